"""`graphprune verify` on files."""

import json
from pathlib import Path

from commands import run_command

from graphprune.shipped import shipped_file

MODEL = str(shipped_file("fixtures/digits-cnn.keras"))


def made_plan(folder: Path) -> str:
    path = folder / "plan.json"
    assert run_command("plan", MODEL, "-r", "builtin:dense-90", "-o", path).code == 0
    return str(path)


def test_a_dense_model_is_not_what_the_plan_wants(tmp_path):
    plan = made_plan(tmp_path)
    done = run_command("verify", MODEL, "--plan", plan)
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("\nDrift: 1 of 1 tensor; 0 zeros of 29,491 planned.\n")
    assert run_command("verify", MODEL, "--plan", plan, "--detailed-exitcode").code == 2
    report = tmp_path / "found.json"
    assert run_command("verify", MODEL, "--plan", plan, "-o", report).code == 0
    assert json.loads(report.read_text())["kind"] == "graphprune.verification"


def test_a_graph_without_weights_cannot_be_verified(tmp_path):
    graph = tmp_path / "g.json"
    assert run_command("graph", MODEL, "-o", graph).code == 0
    done = run_command("verify", graph, "--plan", made_plan(tmp_path))
    assert done.code == 1
    assert done.err.startswith(f"graphprune: {graph}: ")
    assert done.err.count("\n") == 1


def test_no_plan_is_a_usage_error():
    assert run_command("verify", MODEL).code == 64
