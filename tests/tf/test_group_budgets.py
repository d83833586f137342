"""A budget over groups of channels: both Kerases have the same masks, `shrink` what it says."""

import json

import keras
import numpy as np
import pytest
import tf_keras
from commands import run_command
from shrink.nets import residual

import graphprune
from graphprune.graph.read import open_model_file
from graphprune.plan import make_plan
from graphprune.sparsity.counts import zero_count

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


def joined(keras):
    """Two convolutions joined and added to one that leads the groups of both."""
    layers = keras.layers
    image = layers.Input((6, 6, 3))
    whole = layers.ReLU()(layers.Conv2D(12, 1, name="c")(image))
    both = [layers.Conv2D(count, 1, name=name)(image) for name, count in (("a", 5), ("b", 7))]
    x = layers.Add()([whole, layers.Concatenate()(both)])
    x = layers.Conv2D(8, 3, name="d")(layers.ReLU()(layers.BatchNormalization(name="bn")(x)))
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("keras", [tf_keras, keras], ids=["tf_keras", "keras"])
def test_training_reaches_the_share_of_each_group(keras, tmp_path):
    rules, model, plan, trained = (tmp_path / name for name in (
        "some.yaml", "m.keras", "p.json", "t.keras"
    ))  # fmt: skip
    rules.write_text(RULES.replace("curve: step,", "curve: linear, end: 4 steps, every: 2 steps,"))
    keras.utils.set_random_seed(3)
    live = joined(keras)
    live.save(model)
    ran("plan", model, "-r", rules, "-o", plan)
    planned = make_plan(str(model), str(rules))
    led = {one.group: one.share for one in planned.afters["c"].couplings}
    assert len(led) == len(set(led.values())) == 2
    live = graphprune.apply_plan(live, planned)
    live.compile("sgd", "mse", run_eagerly=True)
    x, y = np.random.default_rng(0).random((16, 6, 6, 3), "float32"), np.zeros((16, 2))
    live.fit(x, y, batch_size=2, callbacks=[graphprune.UpdatePruningStep()], verbose=0)
    live.save(trained)
    assert "As planned" in ran("verify", trained, "--plan", plan)
    assert "No changes." in ran("plan", trained, "-r", rules)


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


@pytest.fixture(scope="module")
def alike(tmp_path_factory):
    """A folder with one model for both Kerases."""
    folder = tmp_path_factory.mktemp("alike")
    tf_keras.utils.set_random_seed(1)
    residual(tf_keras).save(folder / "2.keras")
    ran("convert", folder / "2.keras", "-o", folder / "3.keras", "--keras", "3")
    return folder


@pytest.mark.parametrize(
    "budget",
    [
        "sparsity: 40%, allocate: magnitude, of: macs",
        "sparsity: 35%, allocate: erk, over: prunable",
    ],
)
def test_both_kerases_lose_the_same_channels_and_shrink_brings_what_the_plan_says(
    budget, alike, tmp_path
):
    rules = tmp_path / "some.yaml"
    rules.write_text(RULES.replace("sparsity: 40%, allocate: magnitude, of: macs", budget))
    found = []
    for name in "23":
        plan = make_plan(str(alike / f"{name}.keras"), str(rules))
        (reached,), outlook = plan.budgets, plan.outlook
        pruned, small = (tmp_path / f"{name}-{kind}.keras" for kind in ("pruned", "small"))
        ran("prune", alike / f"{name}.keras", "-r", rules, "-o", pruned)
        told = json.loads(ran("shrink", pruned, "-o", small, "--format", "json"))
        for counted in ("parameters", "multiply_adds"):
            planned = getattr(outlook.before, counted), getattr(outlook.after, counted)
            assert planned == (told[counted]["before"], told[counted]["after"])
        if reached.counts == "macs":
            assert outlook.after.multiply_adds <= 0.6 * outlook.before.multiply_adds
        else:
            removed = sum(layer["removed_channels"] for layer in told["layers"])
            assert (reached.zeros, reached.weights) == (zero_count(19, 0.35), 19)
            assert removed > 0
        found.append(zeros_of(pruned))
    first, second = found
    assert list(first) == list(second)
    for key, zeros in first.items():
        np.testing.assert_array_equal(zeros, second[key], err_msg=str(key))
    assert any(zeros.any() for zeros in first.values())
