"""`graphprune lint`, and how other commands show the same faults."""

import json
import os
import threading

import pytest
from commands import run_command

from graphprune.rules.matchers.keys import MatcherShape
from graphprune.rules.text.shape import keys_of
from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
FAULTY = """\
version: 1
rules:
  - id: a
    match: {typ: Dense}
    prune: {sparsity: 1.2, schedule: {curve: step, begin: 0 steps}}
"""
KNOWN = ", ".join(keys_of(MatcherShape))  # tests/golden/rule_messages.txt pins them
FAULTS = (
    f"""\
error[key/unknown]: rule 'a': unknown key 'typ' in match
  --> p.yaml:4:13
    4 |     match: {{typ: Dense}}
      |             ^
  help: closest: 'type'; known keys: {KNOWN}

error[value/range]: rule 'a': sparsity must be at least 0 and below 1, got 1.2
  --> p.yaml:5:23
    5 |     prune: {{sparsity: 1.2, schedule: {{curve: step, begin: 0 steps}}}}
      |                       ^
"""
    "  help: it is the share of zeros: 0.9 or 90% leaves one weight in ten\n"
)
TWICE = """\
version: 1
selectors:
  wide: {type: Dense}
rules:
  - {id: a, match: {name: hidden}, prune: {sparsity: 50%, schedule: {curve: step, begin: 0 steps}}}
  - {id: b, match: {type: Dense}, prune: {sparsity: 60%, schedule: {curve: step, begin: 0 steps}}}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(FAULTY)
    (tmp_path / "twice.yaml").write_text(TWICE)
    return tmp_path


def test_all_faults_come_at_once_with_their_lines(folder):
    done = run_command("lint", "p.yaml")
    assert (done.code, done.out, done.err) == (1, f"{FAULTS}\np.yaml: 2 errors\n", "")


def test_other_commands_show_the_same_text(folder):
    assert run_command("plan", MODEL, "-r", "p.yaml").err == FAULTS
    assert (
        run_command(
            "train", MODEL, "-r", "p.yaml", "--data", "none.npz", "--run", "run", "--epochs", 1
        ).err
        == FAULTS
    )


def test_files_with_faults_are_not_held_against_a_model(folder):
    assert run_command("lint", "p.yaml", "--model", "none.keras").out.endswith(
        "p.yaml: 2 errors; not checked against none.keras yet\n"
    )


def test_errors_and_warnings_against_a_model_come_together_by_place(folder):
    done = run_command("lint", "twice.yaml", "--model", MODEL)
    assert (done.code, done.out) == (
        1,
        (
            "warning[selector/unused]: selector 'wide' is used by no rule and no check\n"
            "  --> twice.yaml:3:3\n"
            "    3 |   wide: {type: Dense}\n"
            "      |   ^\n"
            "  help: write '{use: wide}' where it is meant, or delete it\n\n"
            "error[rule/conflict]: layer 'hidden' is claimed twice with different settings\n"
            "  --> twice.yaml:5:5   a   50% unstructured, step\n"
            "    5 |   - {id: a, match: {name: hidden}, prune: {sparsity: 50%, schedule: {curve:"
            " step, begin: 0 steps}}}\n"
            "      |     ^\n"
            "  --> twice.yaml:6:5   b   60% unstructured, step\n"
            "    6 |   - {id: b, match: {type: Dense}, prune: {sparsity: 60%, schedule: {curve:"
            " step, begin: 0 steps}}}\n"
            "      |     ^\n"
            "  help: add 'overrides: [b]' to a, or narrow one match\n\n"
            f"twice.yaml: 1 error, 1 warning against {MODEL}\n"
        ),
    )


def test_rules_without_faults_are_counted():
    done = run_command("lint", "builtin:dense-90", "builtin:conv-80-dense-90")
    assert done.code == 1  # both have a rule dense-90, and each place is in a file that ships
    assert "  --> builtin:conv-80-dense-90:" in done.out
    assert " | " in done.out
    done = run_command("lint", "builtin:dense-90", "--model", MODEL)
    assert (done.code, done.out, done.err) == (
        0,
        f"builtin:dense-90: 1 rule, no faults against {MODEL}\n",
        "",
    )


def test_rules_are_switched_as_in_every_other_command(folder):
    done = run_command("lint", "twice.yaml", "--model", MODEL, "--off", "b")
    assert (done.code, done.out.splitlines()[-1]) == (0, f"twice.yaml: 1 warning against {MODEL}")
    assert run_command("lint", "-r", "twice.yaml", "--only", "a", "--model", MODEL).out == done.out
    done = run_command("lint", "twice.yaml", "--set", "a.prune.sparsity=2")
    assert done.code == 1
    assert done.out.startswith(
        "error[value/range]: rule 'a': sparsity must be at least 0 and below 1, got 2\n"
        "  --> --set a.prune.sparsity=2\n"
        "  help: did you mean 2%?\n\n"
    )
    assert done.out.endswith("\n\ntwice.yaml: 1 error, 1 warning\n")


def test_warnings_alone_are_no_failure(folder):
    done = run_command("lint", "twice.yaml")
    assert (done.code, done.out.splitlines()[-1]) == (0, "twice.yaml: 1 warning")


def test_json_is_one_document(folder):
    done = run_command("lint", "p.yaml", "--format", "json")
    found = json.loads(done.out)
    assert (done.code, done.err, found["format_version"], found["kind"]) == (
        1,
        "",
        "1.0",
        "graphprune.diagnostics",
    )
    assert found["summary"] == {"error": 2, "warning": 0, "note": 0}
    assert found["diagnostics"][1] == {
        "slug": "value/range",
        "severity": "error",
        "message": "rule 'a': sparsity must be at least 0 and below 1, got 1.2",
        "where": {"file": "p.yaml", "line": 5, "column": 23},
        "help": "it is the share of zeros: 0.9 or 90% leaves one weight in ten",
        "related": [],
    }
    assert (
        json.loads(run_command("lint", "builtin:dense-90", "--format", "json").out)["diagnostics"]
        == []
    )


def test_github_gets_one_command_a_fault(folder):
    done = run_command("lint", "p.yaml", "--format", "github")
    assert (done.code, done.err) == (1, "")
    assert (
        done.out
        == "::error file=p.yaml,line=4,col=13,title=key/unknown::rule 'a': unknown key 'typ' in"
        f" match%0Ahelp: closest: 'type'; known keys: {KNOWN}\n"
        "::error file=p.yaml,line=5,col=23,title=value/range::rule 'a': sparsity must be at"
        " least 0 and below 1, got 1.2%0Ahelp: it is the share of zeros: 0.9 or 90%25 leaves one"
        " weight in ten\n"
    )
    assert run_command("lint", "builtin:dense-90", "--format", "github").out == ""


def test_a_report_goes_to_a_file_and_the_exit_code_stays(folder):
    done = run_command("lint", "p.yaml", "-o", "out.json")
    assert (done.code, done.out, done.err) == (1, "", "wrote out.json\n")
    assert (folder / "out.json").read_text() == run_command(
        "lint", "p.yaml", "--format", "json"
    ).out
    assert (
        run_command("lint", "p.yaml", "-o", "p.yaml", "--force").err
        == "graphprune: p.yaml: is an input of this command, so it is not overwritten; give another"
        " name\n"
    )


def test_a_pipe_is_read_once_and_shows_no_line(folder):
    os.mkfifo("pipe")
    writer = threading.Thread(target=(folder / "pipe").write_text, args=(FAULTY,))
    writer.start()
    done = run_command("lint", "pipe", "--format", "text")
    writer.join()
    assert (
        "  --> pipe:5:23\n"
        "  help: it is the share of zeros: 0.9 or 90% leaves one weight in ten\n\n"
        "pipe: 2 errors\n" in done.out
    )


def test_without_rules_the_usage_is_wrong():
    done = run_command("lint")
    assert (done.code, done.err.splitlines()[-1]) == (
        64,
        "Error: no rules: name a rule file, as in graphprune lint prune.yaml",
    )


def test_a_plan_cannot_make_a_command_print_lines_of_files_that_were_not_named(folder):
    (folder / "secret.txt").write_text("password\n")
    run_command("plan", MODEL, "-r", "builtin:dense-90", "-o", "plan.json")
    plan = json.loads((folder / "plan.json").read_text())
    plan["diagnostics"] = [
        {
            "slug": "rule/shadowed",
            "severity": "warning",
            "message": "m",
            "where": {"file": "secret.txt", "line": 1, "column": 1},
            "help": None,
            "related": [],
        }
    ]
    (folder / "plan.json").write_text(json.dumps(plan))
    done = run_command(
        "train", MODEL, "--plan", "plan.json", "--data", "none.npz", "--run", "run", "--epochs", 1
    )
    assert "password" not in done.err


def test_a_slug_is_explained_with_an_example_and_its_correction():
    done = run_command("lint", "--explain", "rule/count")
    assert (done.code, done.err) == (0, "")
    assert (
        done.out == "rule/count\n\n"
        "A rule matches another number of layers than its 'expect' says.\n"
        "Why it matters: The model has changed since the number was written, and the rule now"
        " reaches too few\n"
        "layers or too many.\n\n"
        "A rule file that gives it:\n\n"
        "    version: 1\n"
        "    rules: [{id: a, match: {type: Dense}, keep: true, expect: 3}]\n\n"
        "Corrected:\n\n"
        "    version: 1\n"
        "    rules: [{id: a, match: {type: Dense}, keep: true, expect: 2}]\n"
    )
    assert "in a run of 3 epochs:" in run_command("lint", "--explain", "schedule/never-reached").out
    assert (
        "A command that gives it:\n\n    graphprune lint dense-90\n"
        in run_command("lint", "--explain", "file/unreadable").out
    )


def test_all_slugs_are_listed_with_one_line_each():
    lines = run_command("lint", "--explain", "list").out.splitlines()
    assert lines[0] == "file/unreadable         The rule file cannot be read"
    assert "rule/conflict           Two rules claim one layer with different settings" in lines


def test_an_unknown_slug_brings_close_ones():
    done = run_command("lint", "--explain", "rule/conflct")
    assert (done.code, done.err.splitlines()[-1]) == (
        64,
        (
            "Error: --explain: no diagnostic has the slug 'rule/conflct'; closest: 'rule/conflict',"
            " 'rule/count'"
        ),
    )
    done = run_command("lint", "--explain", "\x1b[2J")
    assert (
        done.err.splitlines()[-1]
        == "Error: --explain: no diagnostic has the slug '\\x1b[2J'; graphprune lint --explain list"
        " names them all"
    )


def test_an_explanation_overwrites_no_file(folder):
    assert run_command("lint", "--explain", "list", "-o", "p.yaml").code == 1
    assert (folder / "p.yaml").read_text() == FAULTY
