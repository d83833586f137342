"""The same input gives the same bytes in every process, whatever the hashes of its strings."""

import os
import subprocess
import sys
from pathlib import Path

import graphprune
from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
RULES = """\
version: 1
selectors:
  wide: {type: [Dense, Conv2D], params: {gte: 100}}
  unused: {any: [{type: Dense}, {type: Conv2D}]}
budgets: {net: {sparsity: 80%, allocate: magnitude, over: prunable}}
rules:
  - {id: wide, match: {use: wide}, prune: {budget: net, schedule: {curve: step, begin: 0 steps}}}
  - id: again
    match: {any: [{name: {glob: 'conv_*'}}, {isa: Dense}]}
    overrides: [wide]
    prune: {like: wide, pattern: {channel: out}}
  - {id: classifier, match: {last: {type: Dense}}, overrides: [again], keep: true}
"""
FAULTS = """\
version: 1
rules:
  - {id: a, match: {type: Dense}, prune: {sparsity: 50%, schedule: {curve: step, begin: 0 steps}}}
  - {id: b, match: {isa: [Dense, Conv2D], config: {unit: 3}}, keep: true}
  - id: c
    match: {name: [hiden, {a: 1}]}
    nmae: x
    prune: {sparsity: 50%, budget: net, schedule: ramp}
"""
COMMANDS = """\
from commands import run_command
model = {model!r}
for command in (
    ("plan", model, "-r", "p.yaml", "--format", "json"),
    ("plan", model, "-r", "p.yaml", "--all"),
    ("explain", model, "-r", "p.yaml", "--layer", "conv_2"),
    ("explain", model, "-r", "p.yaml", "--rule", "classifier"),
    ("lint", "faults.yaml", "--format", "json"),
    ("schema",),
):
    done = run_command(*command)
    print(done.code, done.out, done.err)
"""


def test_hashes_of_strings_change_no_output(tmp_path):
    (tmp_path / "p.yaml").write_text(RULES)
    (tmp_path / "faults.yaml").write_text(FAULTS)
    paths = os.pathsep.join(
        [str(Path(graphprune.__file__).parents[1]), str(Path(__file__).parents[1])]
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", COMMANDS.format(model=str(MODEL))],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            cwd=tmp_path,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert b'"kind": "graphprune.plan"' in outputs[0]
    assert b"key/unknown" in outputs[0]
    assert outputs[0] == outputs[1]
