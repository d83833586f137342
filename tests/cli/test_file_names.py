"""File names that are not UTF-8 are read, and reports write them with escapes."""

import json
import os

import pytest
from builders import build_config
from commands import run_command
from hostile_files import write_keras

RULES = "version: 1\nrules: [{id: a, match: {type: Dense}, keep: true}]\n"


@pytest.fixture
def odd(tmp_path):
    """Return the paths of a model and a rule file whose names no UTF-8 text can hold."""
    model, rules = (
        os.fsdecode(os.fsencode(tmp_path) + name) for name in (b"/\xff.keras", b"/\xff.yaml")
    )
    os.rename(write_keras(tmp_path / "a.keras", build_config("in > fc")), model)
    with open(rules, "w", encoding="utf-8") as file:
        file.write(RULES)
    return model, rules


@pytest.mark.parametrize("suffix", ["json", "html", "svg", "dot", "md", "txt"])
def test_reports_are_written(odd, tmp_path, suffix):
    model, rules = odd
    commands = {
        "plan": ("plan", model, "-r", rules),
        "diff": ("diff", model, model),
        "graph": ("graph", model),
    }
    for name, command in commands.items():
        if suffix not in {"plan": ("dot",), "diff": ("dot",), "graph": ("md", "txt")}[name]:
            out = tmp_path / f"{name}.{suffix}"
            result = run_command(*command, "-o", out)
            assert (result.code, result.err) == (0, f"wrote {out}\n")
            out.read_text(encoding="utf-8")


def test_reports_are_printed(odd):
    model, rules = odd
    for command in (
        ("plan", model, "-r", rules),
        ("lint", rules, "--model", model),
        ("layers", model),
        ("explain", model, "-r", rules, "--rule", "a"),
    ):
        result = run_command(*command)
        assert (result.code, result.err) == (0, "")
        result.out.encode()


def test_a_plan_keeps_the_names(odd, tmp_path):
    model, rules = odd
    document = json.loads(run_command("plan", model, "-r", rules, "--format", "json").out)
    assert document["model"]["path"] == model
    assert run_command("plan", model, "-r", rules, "-o", tmp_path / "plan.json").code == 0
    assert run_command("verify", model, "--plan", tmp_path / "plan.json").code == 0


def test_faults_name_the_file(odd):
    _, rules = odd
    os.truncate(rules, 10)
    document = json.loads(run_command("lint", rules, "--format", "json").out)
    assert {found["where"]["file"] for found in document["diagnostics"]} == {rules}
    text = run_command("lint", rules)
    assert "/\\udcff.yaml" in text.out
    text.out.encode()


def test_a_missing_file_is_named_with_escapes(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.keras")
    result = run_command("layers", path)
    assert result.code == 1
    assert "/\\udcff" in result.err
    result.err.encode()
