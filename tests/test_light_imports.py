"""The commands that need no TensorFlow are proven to run where it cannot be imported."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import Done, run_command

ROOT = Path(__file__).parents[1]
MODEL = "fixtures/digits-cnn.keras"
RULES = "rules/conv-80-dense-90.yaml"
WITHOUT_TENSORFLOW = """
import json, sys
for name in ("tensorflow", "tf_keras", "keras"):
    sys.modules[name] = None
sys.path.insert(0, "tests")
from commands import run_command
for arguments in json.loads(sys.argv[1]):
    try:
        done = run_command(*arguments)
    except ModuleNotFoundError as fault:
        print(json.dumps([1, "", repr(fault)]))
    else:
        print(json.dumps([done.code, done.out, done.err]))
"""
COLLECT = """
import sys, pytest
options = ["-q", "-p", "no:cacheprovider", "--assert=plain"]
pytest.main(["--collect-only", *options, "-m", "not tf"])
print("imported:", *sorted({"tensorflow", "tf_keras", "keras"} & sys.modules.keys()))
"""
COMMANDS = [
    "layers",
    "graph",
    "lint",
    "explain",
    "test",
    "plan",
    "apply",
    "prune",
    "train",
    "resume",
    "runs",
    "strip",
    "shrink",
    "convert",
    "diff",
    "verify",
    "bench",
    "targets",
    "schema",
    "rules",
    "demo",
]


LIGHT = [
    ("--help",),
    ("--version",),
    ("layers", MODEL),
    *(("graph", MODEL, "--format", kind) for kind in ("json", "dot", "svg", "html")),
    ("lint", RULES),
    ("lint", RULES, "--model", MODEL),
    ("plan", MODEL, "-r", RULES),
    ("explain", MODEL, "-r", RULES, "--rule", "dense-90"),
    ("diff", MODEL, MODEL),
    ("schema",),
    ("lint", "--explain", "list"),
    ("lint", "--explain", "rule/conflict"),
    ("schema", "test"),
    ("schema", "plan"),
    ("rules",),
    ("targets",),
    ("targets", "gzip"),
    ("rules", "dense-90"),
    *((command, "--help") for command in COMMANDS),
]
HEAVIER = [("strip", MODEL, "-o", "/nowhere/out.keras")]


def run_without_tensorflow(commands):
    """Return how command lines end, by each, in a process that cannot import TensorFlow."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    answers = (Done(*json.loads(line)) for line in done.stdout.splitlines())
    return dict(zip(commands, answers, strict=True))


@pytest.fixture(scope="module")
def without_tensorflow():
    """How every light command line ends, and one that needs TensorFlow."""
    return run_without_tensorflow([*LIGHT, *HEAVIER])


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_a_light_command_runs_where_tensorflow_cannot_be_imported(arguments, without_tensorflow):
    done = without_tensorflow[arguments]
    assert (done.code, done.err) == (0, "")
    assert done.out


def test_wrong_data_is_refused_before_tensorflow_is_imported(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.zeros((4, 8)), y_train=np.zeros(3))
    command = (
        "train",
        MODEL,
        "-r",
        RULES,
        "--data",
        str(tmp_path / "d.npz"),
        "--epochs",
        "1",
        "--run",
        str(tmp_path / "run"),
    )
    done = run_without_tensorflow([command])[command]
    message = (
        f"graphprune: {tmp_path}/d.npz: x_train has 4 samples and y_train has 3; each sample needs"
        " one label\n"
    )
    assert (done.code, done.err) == (1, message)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(command):
    assert f"\n      graphprune {command}" in run_command(command, "--help").out


HEAVY = ("h5py", "jinja2", "networkx", "numpy", "pydantic", "rich", "ruamel")
IMPORTED = f"""
import sys
sys.argv = ["graphprune", *sys.argv[1:]]
from graphprune.cli.main import run
run(sys.argv[1:])
print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("--help",), set()),
        (("rules",), set()),
        (("rules", "dense-90"), set()),
        (("layers", MODEL), {"h5py", "networkx", "numpy"}),
        (("diff", MODEL, MODEL), {"h5py", "networkx", "numpy"}),
        (("graph", MODEL, "--format", "dot"), {"h5py", "networkx", "numpy"}),
        (("schema",), {"h5py", "networkx", "numpy", "pydantic", "ruamel"}),
        (("lint", "--explain", "list"), {"h5py", "networkx", "numpy", "pydantic", "ruamel"}),
        (("plan", MODEL, "-r", RULES), {"h5py", "networkx", "numpy", "pydantic", "ruamel"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_imports_only_what_it_needs(arguments, allowed):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert set(done.stderr.split()) <= allowed


def test_the_proof_can_fail(without_tensorflow):
    done = without_tensorflow[HEAVIER[0]]
    assert (done.code, "tf_keras cannot be imported" in done.err) == (1, True), done


def test_collecting_the_light_tests_imports_no_tensorflow():
    done = subprocess.run(
        [sys.executable, "-c", COLLECT], capture_output=True, text=True, cwd=ROOT, check=True
    )
    *_, collected, imported = done.stdout.splitlines()
    assert "tests collected" in collected
    assert "error" not in collected
    assert imported == "imported:"
