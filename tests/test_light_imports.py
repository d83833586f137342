"""The commands that need no TensorFlow are proven to run where it cannot be imported."""

import subprocess
import sys
from pathlib import Path

import pytest

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
COMMANDS = ["layers", "graph", "lint", "plan", "apply", "train", "resume", "strip", "diff", "rules", "demo"]


def run_without_tensorflow(*arguments):
    return subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW, *arguments], capture_output=True, text=True, cwd=ROOT, check=False)


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
        ("diff", MODEL, MODEL),
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


def test_the_proof_can_fail():
    assert "ModuleNotFoundError" in run_without_tensorflow("strip", MODEL, "-o", "/nowhere/out.keras").stderr
