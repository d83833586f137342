"""`graphprune test`: the four outcomes, snapshots, expected diagnostics, and faults of test files
with their places.
"""

import json

import pytest
from builders import build_graph
from commands import run_command
from lenet import lenet

from graphprune.graph import graph_to_config

RULES = """\
version: 1
schedules:
  ramp: {curve: polynomial, power: 3, from: 0, begin: 0 epochs, end: 4 epochs, every: 100 steps}
rules:
  - id: dense-90
    match: {type: Dense, not: {last: {type: Dense}}}
    prune: {sparsity: 90%, schedule: ramp}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    (tmp_path / "prune.yaml").write_text(RULES)
    for name, graph in (("lenet", lenet()), ("conv", build_graph("in > conv_1"))):
        (tmp_path / "tests" / f"{name}.json").write_text(json.dumps(graph_to_config(graph)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_cases(folder, *cases, name="prune_test.yaml"):
    (folder / "tests" / name).write_text(
        "version: 1\nrules: ../prune.yaml\ncases:\n" + "".join(f"  - {case}\n" for case in cases)
    )


def run(*options):
    return run_command("test", "tests", *options)


def test_layers_as_wanted_pass(folder):
    write_cases(
        folder, "{graph: lenet.json, rule: dense-90, selects: [fc1, fc2], spares: [predictions]}"
    )
    done = run()
    assert (done.code, done.err) == (0, "")
    assert (
        done.out == "tests/prune_test.yaml\n"
        "  ok    lenet.json  dense-90   2 selected, 1 spared\n\n"
        "1 case: 1 passed, 0 failed.\n"
    )


def test_missed_and_extra_layers_fail_and_say_who_decides(folder):
    write_cases(folder, "{graph: lenet.json, selects: [predictions, fc1], spares: [fc2, flatten]}")
    done = run()
    assert done.code == 1
    assert (
        done.out == "tests/prune_test.yaml\n"
        "  FAIL  lenet.json   1 selected, 1 spared, 1 missed, 1 extra\n"
        "        missed  predictions  no rule decides it\n"
        "        extra   fc2          dense-90 prunes it\n"
        "\n"
        "1 case: 0 passed, 1 failed.\n"
    )


def test_a_rule_that_keeps_selects_what_it_decides(folder):
    (folder / "prune.yaml").write_text(RULES + "  - {id: keep-1, match: {name: fc1}, keep: true}\n")
    write_cases(
        folder,
        "{graph: lenet.json, rule: keep-1, selects: [fc1], spares: [fc2]}",
        "{graph: lenet.json, rule: dense-90, selects: [fc2], spares: [fc1]}",
    )
    assert run().out.endswith("2 cases: 2 passed, 0 failed.\n")


def test_expected_diagnostics_must_come_and_no_other_errors(folder):
    write_cases(
        folder,
        "{graph: conv.json, fails: [rule/no-match]}",
        "{graph: conv.json, fails: [rule/conflict]}",
    )
    done = run()
    assert done.code == 1
    assert "  ok    conv.json   rule/no-match\n" in done.out
    assert (
        "  FAIL  conv.json\n"
        "        expected diagnostic rule/conflict was not reported\n"
        "        error[rule/no-match]: rule 'dense-90' matches no layer\n" in done.out
    )


def test_faults_of_the_rule_file_itself_can_be_expected(folder):
    (folder / "prune.yaml").write_text("version: 1\nrules:\n  - {id: a, macth: '*', keep: maybe}\n")
    write_cases(folder, "{graph: conv.json, fails: [key/unknown, value/type]}")
    assert run().code == 0


def test_a_snapshot_is_kept_by_update_and_fails_when_the_plan_changes(folder):
    write_cases(folder, "{graph: lenet.json, plan: snapshot}")
    fresh = run()
    assert (fresh.code, fresh.out.splitlines()[2]) == (
        1,
        "        look at the plan, then write the snapshot with graphprune test --update",
    )
    assert run("--update").out.splitlines()[-1] == "1 case: 1 passed, 0 failed; 1 snapshot written."
    assert run().out.splitlines()[1] == "  ok    lenet.json   same plan as the snapshot"
    (folder / "prune.yaml").write_text("# a comment moves lines, which is no change\n" + RULES)
    assert run().code == 0
    (folder / "prune.yaml").write_text(RULES.replace("90%", "80%"))
    done = run()
    assert done.code == 1
    assert done.out.splitlines()[1:4] == [
        "  FAIL  lenet.json   plan differs from the snapshot",
        "        layer_changes.fc1.after.sparsity: 0.9 -> 0.8",
        "        layer_changes.fc1.tensors.kernel.zeros_after: 211680 -> 188160",
    ]
    assert run("--update").code == run().code == 0


def test_snapshots_hold_no_paths_versions_and_hashes(folder):
    write_cases(folder, "{graph: lenet.json, plan: snapshot}")
    run("--update")
    text = (folder / "tests" / "__snapshots__" / "prune_test.json").read_text()
    assert json.loads(text)["lenet.json"]["summary"]["zeros_after"] == 238680
    assert not [
        word for word in ("sha256", "version", "prune.yaml", "path", "line") if word in text
    ]


def test_update_drops_what_no_case_asks_for_and_keeps_the_rest_under_k(folder):
    write_cases(
        folder,
        "{graph: lenet.json, plan: snapshot}",
        "{graph: conv.json, plan: snapshot, fails: [rule/no-match]}",
    )
    run("--update")
    kept = folder / "tests" / "__snapshots__" / "prune_test.json"
    run("--update", "-k", "conv")
    assert sorted(json.loads(kept.read_text())) == ["conv.json", "lenet.json"]
    write_cases(folder, "{graph: lenet.json, plan: snapshot}")
    run("--update")
    assert sorted(json.loads(kept.read_text())) == ["lenet.json"]


def test_update_keeps_the_plan_of_a_graph_that_cannot_be_read(folder):
    write_cases(folder, "{graph: lenet.json, plan: snapshot}")
    run("--update")
    (folder / "tests" / "lenet.json").write_text("{")
    assert run("--update").code == 1
    assert list(
        json.loads((folder / "tests" / "__snapshots__" / "prune_test.json").read_text())
    ) == ["lenet.json"]


def test_k_chooses_cases_and_nothing_chosen_is_wrong_usage(folder):
    write_cases(
        folder, "{graph: lenet.json, spares: [fc1]}", "{graph: conv.json, fails: [rule/no-match]}"
    )
    assert run("-k", "conv").out.endswith("1 case: 1 passed, 0 failed.\n")
    assert run("-k", "rule/no-match").out == run("-k", "conv").out
    done = run("-k", "lenett")
    assert (done.code, done.err.splitlines()[-1]) == (
        64,
        "Error: no case contains 'lenett'; closest: 'lenet.json'",
    )
    assert (
        run("-k", "xyz").err.splitlines()[-1]
        == "Error: no case contains 'xyz'; run without -k to see their names"
    )


def test_k_snapshot_chooses_the_cases_whose_plan_is_kept(folder):
    write_cases(
        folder, "{graph: lenet.json, plan: snapshot}", "{graph: conv.json, fails: [rule/no-match]}"
    )
    assert (
        run("--update", "-k", "snapshot").out.splitlines()[-1]
        == "1 case: 1 passed, 0 failed; 1 snapshot written."
    )
    assert run("-k", "snapshot").out.splitlines()[1:] == [
        "  ok    lenet.json   same plan as the snapshot",
        "",
        "1 case: 1 passed, 0 failed.",
    ]


def test_names_that_do_not_exist_are_faults_with_their_place(folder):
    write_cases(folder, "{graph: lenet.json, rule: dense-9, selects: [fc11]}", "{graph: none.json}")
    lines = [line.strip() for line in run().out.splitlines()]
    assert lines[2:6] == [
        "error[rule/unknown]: no rule is named 'dense-9'",
        "--> tests/prune_test.yaml:4:31",
        "4 |   - {graph: lenet.json, rule: dense-9, selects: [fc11]}",
        "|" + " " * 31 + "^",
    ]
    assert lines[6] == "help: closest: 'dense-90'"
    assert "error[layer/unknown]: no layer of lenet.json has the address 'fc11'" in lines
    assert "--> tests/prune_test.yaml:5:5" in lines


def test_a_damaged_test_file_tells_all_its_faults(folder):
    write_cases(folder, "{grahp: lenet.json, plan: kept, fails: [nothing, rule/nomatch]}")
    done = run()
    assert (done.code, done.out) == (1, "")
    assert [line for line in done.err.splitlines() if line.startswith("error[")] == [
        "error[key/unknown]: case 1: unknown key 'grahp'",
        "error[value/range]: case 1: plan must be snapshot, got 'kept'",
        (
            "error[value/range]: case 1: fails must be the slug of a diagnostic, such as"
            " rule/no-match, got 'nothing'"
        ),
        "error[value/range]: case 1: fails must be the slug of a diagnostic, got 'rule/nomatch'",
    ]
    assert "closest: 'rule/no-match'" in done.err
    assert "  --> tests/prune_test.yaml:4:6\n" in done.err


def test_the_faults_of_all_test_files_come_together_those_of_the_text_beside_those_of_its_shape(
    folder,
):
    write_cases(folder, "{graph: lenet.json, graph: lenet.json, plan: kept}")
    (folder / "tests" / "other_test.yaml").write_text("version: 1\nrules: p.yaml\ncases: 3\n")
    assert [line for line in run().err.splitlines() if line.startswith("error[")] == [
        "error[value/type]: cases must be a list, got 3",
        "error[yaml/duplicate-key]: the key 'graph' appears twice in one mapping",
        "error[value/range]: case 1: plan must be snapshot, got 'kept'",
    ]


def test_an_unknown_layer_hides_nothing_of_the_others(folder):
    write_cases(
        folder,
        "{graph: lenet.json, rule: dense-90, selects: [fc11, fc1, predictions], spares: [fc2]}",
    )
    lines = [line.strip() for line in run().out.splitlines()]
    assert lines[1:4] == [
        "FAIL  lenet.json  dense-90   1 selected, 1 missed, 1 extra",
        "missed  predictions  no rule decides it",
        "extra   fc2          dense-90 prunes it",
    ]
    assert "error[layer/unknown]: no layer of lenet.json has the address 'fc11'" in lines


def test_a_folder_without_tests_is_an_error(folder):
    done = run()
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error[file/unreadable]: no rule tests here\n  --> tests\n")


def test_the_report_as_json(folder):
    write_cases(folder, "{graph: lenet.json, rule: dense-90, selects: [fc1]}", name="a_test.yml")
    (folder / "tests" / "b_test.json").write_text(
        json.dumps(
            {
                "version": 1,
                "rules": ["../prune.yaml"],
                "cases": [{"graph": "lenet.json", "selects": ["fc9"]}],
            }
        )
    )
    report = json.loads(run("--format", "json").out)
    assert (report["kind"], report["summary"]) == (
        "graphprune.test-report",
        {"passed": 1, "failed": 1},
    )
    assert report["cases"][0]["layers"] == [
        {"address": "fc1", "outcome": "selected", "reason": "dense-90 prunes it"}
    ]
    assert report["cases"][1]["diagnostics"][0]["slug"] == "layer/unknown"
