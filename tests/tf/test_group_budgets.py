"""A budget over groups of channels: both Kerases have the same masks, `shrink` what it says."""

import json

import numpy as np
import pytest
import tf_keras
from commands import run_command
from shrink.nets import residual

from graphprune.graph.read import open_model_file
from graphprune.plan import make_plan

pytestmark = pytest.mark.tf

RULES = """\
version: 1
budgets: {net: {sparsity: 40%, allocate: magnitude, of: macs}}
rules:
  - id: some-channels
    match: {isa: Conv2D}
    prune:
      pattern: {channel: out}
      group: auto
      budget: net
      schedule: {curve: step, begin: 0 steps}
"""


def ran(*arguments):
    done = run_command(*arguments)
    assert done.code == 0, done.err
    return done.out


def zeros_of(path):
    """The zeros of each weight of a file."""
    model = open_model_file(path)
    with model.opened() as weights:
        return {
            (address, name): weights.read(address, name) == 0
            for address, named in model.weights.tensors.items()
            for name in named
        }


def test_both_kerases_lose_the_same_channels_and_shrink_brings_what_the_plan_says(tmp_path):
    rules = tmp_path / "some.yaml"
    rules.write_text(RULES)
    tf_keras.utils.set_random_seed(1)
    residual(tf_keras).save(tmp_path / "2.keras")
    ran("convert", tmp_path / "2.keras", "-o", tmp_path / "3.keras", "--keras", "3")
    found = []
    for name in "23":
        outlook = make_plan(str(tmp_path / f"{name}.keras"), str(rules)).outlook
        pruned, small = (tmp_path / f"{name}-{kind}.keras" for kind in ("pruned", "small"))
        ran("prune", tmp_path / f"{name}.keras", "-r", rules, "-o", pruned)
        told = json.loads(ran("shrink", pruned, "-o", small, "--format", "json"))
        for counted in ("parameters", "multiply_adds"):
            planned = getattr(outlook.before, counted), getattr(outlook.after, counted)
            assert planned == (told[counted]["before"], told[counted]["after"])
        assert outlook.after.multiply_adds <= 0.6 * outlook.before.multiply_adds
        found.append(zeros_of(pruned))
    first, second = found
    assert list(first) == list(second)
    for key, zeros in first.items():
        np.testing.assert_array_equal(zeros, second[key], err_msg=str(key))
    assert any(zeros.any() for zeros in first.values())
