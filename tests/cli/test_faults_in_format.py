"""What a script reads on stdout where a command fails, whatever the failure is: the document of
`lint`, from every command that has the format.
"""

import json
import os
import subprocess
import sys

import pytest
from commands import run_command
from fork_server import ROOT

from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
ONCE = "schedule: {curve: step, begin: 0 steps}"
FAULTY = (
    "version: 1\nrules: [{id: a, match: {type: Dense}, prune: {sparsity: 1.2, " + ONCE + "}}]\n"
)
AGAINST_THE_MODEL = f"""\
version: 1
selectors: {{wide: {{type: Dense}}}}
require:
  - {{id: few-dense, count: {{of: {{type: Dense}}, is: {{lt: 2}}}}, severity: warn}}
  - {{id: three-convs, count: {{of: {{type: Conv2D}}, is: 4}}}}
  - {{id: sparse, result: {{sparsity: {{gte: 99%}}, of: {{type: Dense}}}}}}
budgets: {{spare: {{sparsity: 10%}}}}
rules:
  - {{id: dense, match: {{type: Dense}}, prune: {{sparsity: 90%, {ONCE}}}}}
  - {{id: again, match: {{name: hidden}}, prune: {{like: dense}}}}
"""
EVERYTHING = [
    ("selector/unused", "warning", 2),
    ("require/failed", "warning", 4),
    ("require/failed", "error", 5),
    ("require/failed", "error", 6),
    ("budget/unused", "warning", 7),
    ("rule/same-settings", "note", 9),
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faulty.yaml").write_text(FAULTY)
    (tmp_path / "p.yaml").write_text(AGAINST_THE_MODEL)
    (tmp_path / "cases_test.yaml").write_text("version: 1\nrules: p.yaml\ncases: 3\n")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["plan", MODEL, "-r", "faulty.yaml"], "json"),
        (["plan", MODEL, "-r", "faulty.yaml"], "github"),
        (["plan", MODEL, "-r", "faulty.yaml", "-o", "plan.json"], "json"),
        (["apply", MODEL, "-r", "faulty.yaml", "-o", "out.keras"], "json"),
        (["explain", MODEL, "-r", "faulty.yaml", "--rule", "a"], "json"),
    ],
    ids=["plan", "plan for github", "plan to a file", "apply", "explain"],
)
def test_faults_of_rules_are_the_document_that_lint_prints(folder, command, kind):
    done = run_command(*command, "--format", kind)
    assert (done.code, done.out, done.err) == (
        1,
        run_command("lint", "faulty.yaml", "--format", kind).out,
        "",
    )
    assert done.out.startswith(
        '{\n  "format_version": "1.0",\n  "kind": "graphprune.diagnostics"'
        if kind == "json"
        else "::error file=faulty.yaml,line=2,"
    )
    assert not (folder / "plan.json").exists()


def test_the_name_of_the_file_alone_asks_for_no_document():
    done = run_command("plan", MODEL, "-r", "faulty.yaml", "-o", "plan.json")
    assert (done.code, done.out, done.err.splitlines()[0]) == (
        1,
        "",
        "error[value/range]: rule 'a': sparsity must be at least 0 and below 1, got 1.2",
    )


def test_faults_of_a_matcher_and_of_rule_tests_are_such_documents_too():
    found = json.loads(
        run_command("layers", MODEL, "--match", "typ: Dense", "--format", "json").out
    )
    assert [(fault["slug"], fault["where"]) for fault in found["diagnostics"]] == [
        ("key/unknown", {"file": "--match", "line": 1, "column": 1})
    ]
    found = json.loads(run_command("test", "cases_test.yaml", "--format", "json").out)
    assert [(fault["slug"], fault["where"]["line"]) for fault in found["diagnostics"]] == [
        ("value/type", 3)
    ]
    explained = run_command(
        "explain", MODEL, "-r", "faulty.yaml", "--rule", "a", "--format", "json"
    )
    assert json.loads(explained.out)["summary"]["error"] == 1


def test_a_plan_with_errors_shows_warnings_and_notes_too_by_place_as_lint_does():
    done = run_command("plan", MODEL, "-r", "p.yaml", "--format", "json")
    assert [
        (found["slug"], found["severity"], found["where"]["line"])
        for found in json.loads(done.out)["diagnostics"]
    ] == EVERYTHING
    assert (done.code, done.out) == (
        1,
        run_command("lint", "p.yaml", "--model", MODEL, "--format", "json").out,
    )
    text = run_command("plan", MODEL, "-r", "p.yaml").err
    assert [
        line.partition(":")[0] for line in text.splitlines() if "[" in line.partition(":")[0]
    ] == [f"{severity}[{slug}]" for slug, severity, _ in EVERYTHING]


def stale_plan(folder):
    (folder / "good.yaml").write_text(
        "version: 1\nrules: [{id: a, match: {type: Dense}, prune: {sparsity: 50%, " + ONCE + "}}]\n"
    )
    assert run_command("plan", MODEL, "-r", "good.yaml", "-o", "plan.json").code == 0
    plan = json.loads((folder / "plan.json").read_text())
    plan["layer_changes"] = [
        change | {"address": change["address"].replace("hidden", "fc_1")}
        for change in plan["layer_changes"]
    ]
    (folder / "plan.json").write_text(json.dumps(plan))


def test_a_stale_plan_is_a_diagnostic_that_names_its_file_and_the_layers(folder):
    stale_plan(folder)
    done = run_command("apply", MODEL, "--plan", "plan.json", "-o", "out.keras")
    assert (done.code, done.out, done.err) == (
        1,
        "",
        (
            "error[plan/stale]: the plan was made for another model: 'fc_1' is missing; 'hidden' is"
            " not in the plan\n"
            "  --> plan.json\n"
            "  help: make the plan again for this model: graphprune plan MODEL -r RULES -o"
            " PLAN.json\n"
        ),
    )
    found = json.loads(
        run_command(
            "apply", MODEL, "--plan", "plan.json", "-o", "out.keras", "--format", "json"
        ).out
    )["diagnostics"]
    assert [(fault["slug"], fault["where"]) for fault in found] == [
        ("plan/stale", {"file": "plan.json", "line": None, "column": None})
    ]
    assert not (folder / "out.keras").exists()
    found = json.loads(run_command("verify", MODEL, "--plan", "plan.json", "--format", "json").out)[
        "diagnostics"
    ]
    assert found[0]["message"] == "the plan was made for another model: 'fc_1' is missing"
    assert (
        run_command(
            "train",
            MODEL,
            "--plan",
            "plan.json",
            "--data",
            "none.npz",
            "--run",
            "run",
            "--epochs",
            1,
        ).err
        == done.err
    )


RULES = ["-r", "builtin:conv-80-dense-90"]
READ_A_MODEL = {
    "layers": ["layers", "none.keras"],
    "graph": ["graph", "none.keras"],
    "explain": ["explain", "none.keras", *RULES, "--layer", "hidden"],
    "plan": ["plan", "none.keras", *RULES],
    "apply": ["apply", "none.keras", *RULES, "-o", "out.keras"],
    "strip": ["strip", "none.keras", "-o", "out.keras"],
    "diff": ["diff", str(MODEL), "none.keras"],
    "verify": ["verify", "none.keras", "--plan", "plan.json"],
    "lint": ["lint", "p.yaml", "--model", "none.keras"],
}
WRITE = {
    "layers": ["layers", MODEL],
    "graph": ["graph", MODEL],
    "explain": ["explain", MODEL, *RULES, "--layer", "hidden"],
    "plan": ["plan", MODEL, *RULES],
    "apply": ["apply", MODEL, *RULES],
    "strip": ["strip", MODEL],
    "diff": ["diff", MODEL, MODEL],
    "verify": ["verify", MODEL, "--plan", "plan.json"],
    "lint": ["lint", "p.yaml"],
    "test": ["test", "."],
}
USAGE_FAULTS = {
    "unknown command": (
        ["pln"],
        "no command is called 'pln'; did you mean 'plan'?",
        "see graphprune --help",
    ),
    "no argument": (["plan"], "Missing argument 'MODEL'.", "see graphprune plan --help"),
    "no rules": (
        ["plan", MODEL],
        "no rules: give a rule file with -r RULES (graphprune rules lists those that ship)",
        "see graphprune plan --help",
    ),
    "a value": (
        ["plan", MODEL, *RULES, "--epochs", "three"],
        (
            "Invalid value for '--epochs': 'three' is not a whole number; write it in digits, such"
            " as 100"
        ),
        "see graphprune plan --help",
    ),
}


def only_fault(done):
    """The one diagnostic that a command prints in place of its report, and nothing on stderr."""
    document = json.loads(done.out)
    assert (document["format_version"], document["kind"], done.err) == (
        "1.0",
        "graphprune.diagnostics",
        "",
    )
    (found,) = document["diagnostics"]
    return found


@pytest.mark.parametrize("command", READ_A_MODEL.values(), ids=READ_A_MODEL)
def test_a_model_that_cannot_be_read_has_a_slug_and_its_file(folder, command):
    done = run_command(*command, "--format", "json")
    found = only_fault(done)
    assert (done.code, found["slug"], found["where"]["file"]) == (
        1,
        "model/unreadable",
        "none.keras",
    )
    text = run_command(*command, *(["--format", "svg"] if command[0] == "graph" else []))
    assert (text.out, text.err) == ("", f"graphprune: none.keras: {found['message']}\n")
    asked = run_command(*command, "--format", "github")
    if command[0] in ("plan", "diff", "lint", "verify"):
        assert (asked.code, asked.out, asked.err) == (
            1,
            f"::error file=none.keras,title=model/unreadable::{found['message']}\n",
            "",
        )
    else:
        assert (asked.code, asked.err) == (64, "")
        assert asked.out.startswith(
            "::error title=usage/invalid::Invalid value for '--format': 'github' is not one of "
        )


@pytest.mark.parametrize("command", WRITE.values(), ids=WRITE)
def test_an_output_that_exists_has_a_slug_and_its_file(folder, command):
    name = "out.keras" if command[0] in ("apply", "strip") else "out.json"
    (folder / name).write_text("precious")
    done = run_command(*command, "-o", name, "--format", "json")
    found = only_fault(done)
    assert (done.code, found["slug"], found["where"]["file"]) == (1, "output/exists", name)
    assert (folder / name).read_text() == "precious"


@pytest.mark.parametrize(("command", "message", "help"), USAGE_FAULTS.values(), ids=USAGE_FAULTS)
@pytest.mark.parametrize(
    "asked", [("--format", "json"), ("--format=json",), ("--format", "github")], ids=" ".join
)
def test_a_wrong_command_line_has_a_slug_and_keeps_its_exit_code(command, message, help, asked):
    done = run_command(*command, *asked)
    if asked[-1] == "github":
        assert done.out == f"::error title=usage/invalid::{message}%0Ahelp: {help}\n"
    else:
        found = only_fault(done)
        assert (found["slug"], found["where"], found["message"], found["help"]) == (
            "usage/invalid",
            None,
            message,
            help,
        )
    assert (done.code, done.err) == (64, "")


def test_an_output_that_cannot_be_written_a_damaged_run_and_an_unknown_shipped_file_have_slugs(
    folder,
):
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text("[]")
    commands = {
        "output/unwritable": ["plan", MODEL, *RULES, "-o", "/proc/plan.json"],
        "run/unusable": ["layers", "run"],
        "file/unreadable": ["rules", "dense-91"],
        "plan/invalid": ["verify", MODEL, "--plan", "p.yaml"],
        "layer/unknown": ["explain", MODEL, *RULES, "--layer", "hiden"],
    }
    done = {slug: run_command(*command, "--format", "json") for slug, command in commands.items()}
    assert {slug: only_fault(one)["slug"] for slug, one in done.items()} == {
        slug: slug for slug in commands
    }
    assert {one.code for one in done.values()} == {1}


def test_a_full_stdout_is_told_on_stderr(folder):
    command = [sys.executable, "-m", "graphprune", "layers", "none.keras", "--format", "json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert (done.returncode, done.stderr.splitlines()[0][:41]) == (
        1,
        "graphprune: none.keras: no such file; che",
    )
