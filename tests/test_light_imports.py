"""The commands that need no TensorFlow are proven to run where it cannot be imported."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run_command

ROOT = Path(__file__).parents[1]
MODEL = "fixtures/digits-cnn.keras"
RULES = "rules/conv-80-dense-90.yaml"
WITHOUT_TENSORFLOW = """
import sys
for name in ("tensorflow", "tf_keras", "keras"):
    sys.modules[name] = None
sys.argv = ["graphprune", *sys.argv[1:]]
from graphprune.cli.main import main
main()
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
    "strip",
    "diff",
    "verify",
    "schema",
    "rules",
    "demo",
]


def run_without_tensorflow(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
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
        ("rules", "dense-90"),
        *((command, "--help") for command in COMMANDS),
    ],
    ids=" ".join,
)
def test_a_light_command_runs_where_tensorflow_cannot_be_imported(arguments):
    done = run_without_tensorflow(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_wrong_data_is_refused_before_tensorflow_is_imported(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.zeros((4, 8)), y_train=np.zeros(3))
    done = run_without_tensorflow(
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
    message = (
        f"graphprune: {tmp_path}/d.npz: x_train has 4 samples and y_train has 3; each sample needs"
        " one label\n"
    )
    assert (done.returncode, done.stderr) == (1, message)


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


def test_the_proof_can_fail():
    assert (
        "ModuleNotFoundError"
        in run_without_tensorflow("strip", MODEL, "-o", "/nowhere/out.keras").stderr
    )
