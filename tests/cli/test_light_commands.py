"""The commands that need no TensorFlow, on the shipped model."""

import json
import re

import pytest
from commands import run_command

from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
RULES = "builtin:conv-80-dense-90"


def test_layers_lists_every_layer_and_the_totals():
    done = run_command("layers", MODEL)
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()[3:15]] == [
        "image", "scale", "conv_1", "conv_2", "bn", "relu", "conv_3", "add", "pool", "flatten",
        "hidden", "digits",
    ]  # fmt: skip
    assert "12 layers, 52,394 parameters, 52,128 prunable" in done.out


@pytest.mark.parametrize("command", [("layers",), ("plan", "-r", RULES)], ids=["layers", "plan"])
def test_tables_fit_the_terminal_and_are_whole_in_a_pipe(command, monkeypatch):
    whole = run_command(*command, MODEL).out
    monkeypatch.setattr("graphprune.cli.outputs.terminal_width", lambda output: 60)
    narrow = run_command(*command, MODEL).out
    assert "kernel [3, 3, in 1, out 32]" in whole
    assert "kernel" not in narrow
    assert max(len(line) for line in narrow.splitlines() if "conv_1" in line) <= 60
    assert re.search(r"^The terminal is too narrow for: .*\bweights\b", narrow, re.M)


def test_layers_as_json_holds_the_same():
    report = json.loads(run_command("layers", MODEL, "--format", "json").out)
    assert (report["model"]["path"], len(report["layers"]), report["summary"]["parameters"]) == (
        str(MODEL),
        12,
        52394,
    )


def test_layers_shows_only_what_a_matcher_finds_of_every_kind_of_layer():
    relu = run_command("layers", MODEL, "--match", "type: ReLU").out
    assert [line.split()[0] for line in relu.splitlines()[3:4]] == ["relu"]
    report = json.loads(
        run_command(
            "layers",
            MODEL,
            "--match",
            "{type: Conv2D, not: {first: {type: Conv2D}}}",
            "--format",
            "json",
        ).out
    )
    assert (
        [layer["address"] for layer in report["layers"]],
        report["summary"]["prunable_weights"],
    ) == (["conv_2", "conv_3"], 18432)


@pytest.mark.parametrize(
    ("matcher", "message"),
    [
        (
            "{name: hiden}",
            (
                "error[layer/unknown]: no layer has the address 'hiden'\n"
                "  --> --match:1:8\n"
                "  help: closest: 'hidden'.  All addresses: graphprune layers MODEL\n"
            ),
        ),
        (
            "type: Dence",
            (
                "error[type/unknown]: no layer of the model has the type 'Dence'\n"
                "  --> --match:1:7\n"
                "  help: closest: 'Dense'\n"
            ),
        ),
        (
            "{type: Dense, config: {unit: 3}}",
            (
                "error[config/unknown-key]: no Dense layer of the model has the config key 'unit'\n"
                "  --> --match:1:24\n"
                "  help: closest: 'units'\n"
            ),
        ),
        (
            "weight: {name: kernal}",
            (
                "error[layer/not-prunable]: no layer of the model has a prunable weight 'kernal'\n"
                "  --> --match:1:1\n"
                "  help: closest: 'kernel'\n"
            ),
        ),
    ],
)
def test_layers_names_the_closest_of_what_the_model_does_not_know(matcher, message):
    done = run_command("layers", MODEL, "--match", matcher)
    assert (done.code, done.out, done.err) == (1, "", message)


def test_layers_names_the_nearest_layer_where_none_matches():
    done = run_command("layers", MODEL, "--match", "{type: Dense, params: {gte: 1M}}")
    assert done.code == 0
    assert "\nno layer matches\n" in done.out
    assert (
        done.err
        == "--match: nearest: hidden (Dense) holds 1 of 2 conditions; fails params at least"
        " 1,000,000 (is 32,768)\n"
    )
    assert run_command("layers", MODEL, "--match", "type: Embedding").err == ""


def test_a_matcher_with_a_fault_is_told_with_its_place_before_the_model_is_read():
    done = run_command("layers", "no-such.keras", "--match", "typ: Dense")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error[key/unknown]: unknown key 'typ'\n  --> --match:1:1\n")


def test_plan_shows_what_two_rules_take_and_what_a_keep_rule_leaves():
    done = run_command("plan", MODEL, "-r", RULES)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-2:] == [
        "Plan: 4 to wrap, 0 to retarget, 0 to rewrap, 0 to unwrap; 1 kept dense, 0 unclaimed.",
        (
            "Zeros when finished: 44,467 = 86.4% of claimed, 85.3% of prunable, 84.9% of all"
            " parameters."
        ),
    ]


def test_plan_has_the_same_bytes_each_time_and_follows_variables(tmp_path):
    first, second = (
        run_command("plan", MODEL, "-r", RULES, "--format", "json"),
        run_command("plan", MODEL, "-r", RULES, "--format", "json"),
    )
    assert first.out == second.out
    other = json.loads(
        run_command("plan", MODEL, "-r", RULES, "--var", "dense=0.5", "--format", "json").out
    )
    assert other["summary"]["zeros_after"] == 44467 - 29491 + 16384


def test_switches_change_the_rules_and_the_plan_says_so():
    switches = [
        "--only",
        "dense-90",
        "--only",
        "classifier",
        "--off",
        "classifier",
        "--var",
        "dense=0.5",
        "--set",
        "dense-90.prune.sparsity=75%",
    ]
    text = run_command("plan", MODEL, "-r", RULES, *switches).out
    assert text.splitlines()[1:3] == [
        f"rules  {RULES}{' ' * (len(str(MODEL)) - len(RULES))}   1 rule",
        (
            "with   --only dense-90 --only classifier --off classifier --var dense=0.5 --set"
            " dense-90.prune.sparsity=75%"
        ),
    ]
    plan = json.loads(run_command("plan", MODEL, "-r", RULES, *switches, "--format", "json").out)
    assert plan["switches"] == {
        "only": ["dense-90", "classifier"],
        "off": ["classifier"],
        "var": {"dense": "0.5"},
        "set": {"dense-90.prune.sparsity": "75%"},
    }
    assert (plan["summary"]["wrap"], plan["summary"]["unclaimed"]) == (2, 3)


def test_switches_that_lead_nowhere_are_told_and_need_rules(tmp_path):
    done = run_command("plan", MODEL, "-r", RULES, "--off", "dens-90")
    assert (done.code, done.err) == (
        1,
        (
            "error[rule/unknown]: no rule has the id 'dens-90'\n"
            "  --> --off dens-90\n"
            "  help: closest: 'dense-90'\n"
        ),
    )
    done = run_command("plan", MODEL, "-r", RULES, "--set", "dense-90")
    assert (done.code, done.err.splitlines()[-1]) == (
        64,
        (
            "Error: Invalid value for '--set': write PATH=VALUE, as in --set"
            " dense-90.prune.sparsity=0.5; got 'dense-90'"
        ),
    )
    done = run_command(
        "apply", MODEL, "--plan", "p.json", "--off", "dense-90", "-o", tmp_path / "w.keras"
    )
    assert (done.code, done.err.splitlines()[-1]) == (
        64,
        (
            "Error: --var, --only, --off and --set change rules; with --plan, give them to"
            " `graphprune plan` instead"
        ),
    )
    done = run_command(
        "train",
        MODEL,
        "--data",
        "d.npz",
        "--run",
        tmp_path / "run",
        "--epochs",
        "1",
        "--off",
        "dense-90",
    )
    assert (done.code, done.err.splitlines()[-1]) == (
        64,
        "Error: no rules: give a rule file with -r RULES (graphprune rules lists those that ship)",
    )


def test_detailed_exitcode_is_2_only_when_something_would_change():
    assert run_command("plan", MODEL, "-r", RULES, "--detailed-exitcode").code == 2
    assert run_command("diff", MODEL, MODEL, "--detailed-exitcode").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("lint",),
        ("lint", "a.yaml", "--format", "html"),
        ("lint", "--explain", "rule/conflit"),
        ("explain", MODEL, "-r", RULES),
        ("explain", MODEL, "--layer", "digits"),
        ("test", "--nope"),
        ("test", ".", "."),
        ("plan", MODEL),
        ("verify", MODEL),
        ("diff", MODEL),
        ("schema", "model"),
        ("rules", "dense-90", "dense-90"),
    ],
    ids=lambda arguments: " ".join(map(str, arguments)).replace(str(MODEL), "MODEL"),
)
def test_wrong_usage_is_never_taken_for_a_difference(arguments):
    done = run_command(*arguments)
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith("Usage: graphprune ")


def test_diff_of_a_model_with_itself_is_empty():
    done = run_command("diff", MODEL, MODEL)
    assert (done.code, done.err) == (0, "")
    assert "No differences." in done.out


def test_lint_against_a_model_checks_patterns_and_budgets_too(tmp_path):
    rules = tmp_path / "p.yaml"
    once = "schedule: {curve: step, begin: 0 steps}"
    rules.write_text(
        "version: 1\n"
        "rules:\n"
        "- {id: a, match: {name: digits}, prune: {pattern: {keep: 1, of: 3, along: in},"
        f" {once}}}}}\n"
    )
    done = run_command("lint", rules, "--model", MODEL)
    assert (done.code, done.out.splitlines()[0]) == (
        1,
        (
            "error[pattern/misfit]: 'keep 1 of 3 along in' does not fit kernel [in 64, out 10] of"
            " 'digits' (64 is not a multiple of 3)"
        ),
    )
    rules.write_text(
        "version: 1\n"
        "budgets: {b: {sparsity: 99.99%, max: 90%}}\n"
        "rules:\n"
        f"- {{id: a, match: '*', prune: {{budget: b, {once}}}}}\n"
    )
    done = run_command("lint", rules, "--model", MODEL)
    assert (done.code, "error[budget/infeasible]" in done.out) == (1, True)


def test_rules_lists_and_prints_what_ships():
    listed = run_command("rules").out.splitlines()
    assert (
        re.sub(" +", " ", listed[0])
        == "builtin:all-90 Everything that can be pruned at 90%, the last layer of each branch"
        " dense"
    )
    assert all(line.startswith("builtin:") for line in listed)
    for name in ("dense-90", "builtin:dense-90", "dense-90.yaml"):
        assert run_command("rules", name).out == shipped_file("rules/dense-90.yaml").read_text()
    assert run_command("rules", "dens-90").code == 1


def test_rules_as_json_say_how_to_use_each():
    listed = json.loads(run_command("rules", "--format", "json").out)
    assert [rules["name"] for rules in listed] == sorted(
        path.stem for path in shipped_file("rules").glob("*.yaml")
    )
    (one,) = [rules for rules in listed if rules["name"] == "dense-90"]
    assert json.loads(run_command("rules", "dense-90", "--format", "json").out) == one | {
        "text": run_command("rules", "dense-90").out
    }
    assert run_command("plan", MODEL, "-r", one["use"]).code == 0


def test_rules_names_the_closest_for_an_unknown_name():
    done = run_command("rules", "dens-90")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(
        "error[file/unreadable]: no built-in rule file is named 'dens-90'\n"
        "  --> builtin:dens-90\n"
        "  help: closest: 'dense-90'"
    )


def test_a_report_goes_to_a_file(tmp_path):
    done = run_command("plan", MODEL, "-r", RULES, "-o", tmp_path / "sub" / "plan.txt")
    assert (done.code, done.out, done.err) == (0, "", f"wrote {tmp_path}/sub/plan.txt\n")
    assert (tmp_path / "sub" / "plan.txt").read_text() == run_command(
        "plan", MODEL, "-r", RULES
    ).out
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["plan.txt"]


def test_a_plan_for_a_run_that_is_too_short_is_refused_unless_that_is_allowed(tmp_path):
    rules = tmp_path / "late.yaml"
    rules.write_text(
        "version: 1\n"
        "rules: [{id: a, match: {type: Dense}, prune: {sparsity: 90%, schedule: {curve: linear,"
        " end: 4 epochs, every: 9 steps}}}]\n"
    )
    done = run_command("plan", MODEL, "-r", rules, "--epochs", "3")
    assert (done.code, done.out) == (1, "")
    assert (
        "error[schedule/never-reached]: rule 'a': the schedule ends at 4 epochs, the run is 3"
        " epochs; its target of 90% is never reached" in done.err
    )
    done = run_command("plan", MODEL, "-r", rules, "--epochs", "3", "--allow-missed")
    assert done.code == 0
    assert "warning[schedule/never-reached]" in done.err
    assert run_command("plan", MODEL, "-r", rules, "--epochs", "4").err == ""
