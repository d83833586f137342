"""Numbers are written in ASCII digits, and texts hold whole characters; anything else is a fault at
its place.
"""

import pytest
from builders import build_graph
from commands import run_command

from graphprune.errors import RuleError
from graphprune.plan import make_plan, plan_to_config
from graphprune.rules import parse_matcher, parse_rules
from graphprune.sparsity.positions import parse_position

WRITE = "write the character itself, or both halves"


def faults_of(text, variables=None):
    with pytest.raises(RuleError) as caught:
        parse_rules(text, "p.yaml", variables=variables)
    return [str(fault) for fault in caught.value.diagnostics]


def rule(prune, match="{type: Dense}"):
    return (
        "version: 1\nvars: {share: 0.5, percent: 50%, count: 3}\nrules:\n- {id: a, match:"
        f" {match}, prune: {prune}}}\n"
    )


SCHEDULE = "{curve: step, begin: 0 steps}"
OTHER_DIGITS = ["٥٠%", "５０%", "5٠%", "五十%"]


@pytest.mark.parametrize("share", OTHER_DIGITS)
def test_a_share_in_other_digits_is_a_fault(share):
    (fault,) = faults_of(rule(f"{{sparsity: '{share}', schedule: {SCHEDULE}}}"))
    assert (
        fault == "error[value/type]: rule 'a': sparsity must be a share such as 0.9 or 90%, got"
        f" '{share}'\n  --> p.yaml:4:51"
    )


@pytest.mark.parametrize(
    "place", ["１０ epochs", "٤ epochs", "٥٠%", "1_000 steps", "inf steps", "nan steps", "² steps"]
)
def test_a_position_in_other_digits_is_a_fault(place):
    (fault,) = faults_of(rule(f"{{sparsity: 50%, schedule: {{curve: step, begin: '{place}'}}}}"))
    assert fault.startswith("error[schedule/unit]: rule 'a': begin ")
    assert f"got '{place}'" in fault
    with pytest.raises(ValueError, match="a position needs a unit"):
        parse_position(place)


@pytest.mark.parametrize("point", ["²", "٣ epochs", "３"])
def test_so_is_a_point_of_a_curve(point):
    (fault,) = faults_of(
        rule(
            f"{{sparsity: 50%, schedule: {{curve: points, points: {{0 epochs: 0%, '{point}':"
            " 50%}}}"
        )
    )
    assert fault.startswith("error[schedule/unit]: rule 'a': a point ")
    assert f"got '{point}'" in fault


@pytest.mark.parametrize("count", ["'１０k'", "'٣k'", "1_000", "'inf'"])
def test_so_is_a_count(count):
    (fault,) = faults_of(
        rule(f"{{sparsity: 50%, schedule: {SCHEDULE}}}", f"{{params: {{gte: {count}}}}}")
    )
    assert fault.startswith("error[value/type]: rule 'a': gte must be a whole number")


def test_underscores_are_told_how_to_write_the_number():
    (fault,) = faults_of(rule(f"{{sparsity: 50%, schedule: {SCHEDULE}}}", "{params: {gte: 1_000}}"))
    assert fault.endswith("  help: write 1000")


@pytest.mark.parametrize("pattern", ["٢ of 4", "2 of ４", "２:4", "４x1"])
def test_so_is_a_pattern(pattern):
    assert faults_of(rule(f"{{pattern: '{pattern}', schedule: {SCHEDULE}}}"))


@pytest.mark.parametrize(
    "value", ["inf", "nan", "-inf", "1e999", "1_0", "٠.٥", "０.5", "0x1", "9" * 5000, "²", ""]
)
@pytest.mark.parametrize("name", ["share", "count"])
def test_a_variable_from_outside_takes_plain_numbers(name, value):
    text = rule(
        f"{{sparsity: '${{share}}', schedule: {SCHEDULE}}}", "{params: {gte: '${count}'}}"
    ).replace(", percent: 50%", "")
    (fault,) = faults_of(text, {name: value})
    assert fault.startswith(
        f"error[value/type]: variable '{name}' must be a number like its default"
    )


@pytest.mark.parametrize(
    ("value", "sparsity"),
    [
        ("0.5", 0.5),
        (".5", 0.5),
        ("5e-1", 0.5),
        ("+0.5", 0.5),
        ("0", 0),
        ("50%", 0.5),
        (" 0.5 ", 0.5),
    ],
)
def test_plain_numbers_are_taken(value, sparsity):
    text = rule(f"{{sparsity: '${{share}}', schedule: {SCHEDULE}}}").replace(
        ", percent: 50%, count: 3", ""
    )
    (found,) = parse_rules(text, "p.yaml", variables={"share": value}).rules
    assert found.action.sparsity == sparsity


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("--epochs", "٣", "whole number"),
        ("--epochs", "1_0", "whole number"),
        ("--epochs", "３", "whole number"),
        ("--steps-per-epoch", "9" * 20, "whole number"),
    ],
)
def test_options_take_ascii_digits(option, value, kind):
    result = run_command("plan", "model.keras", "-r", "p.yaml", option, value)
    assert result.code == 64
    assert f"Invalid value for '{option}': '{value}' is not a {kind}" in result.err


@pytest.mark.parametrize("value", ["inf", "nan", "1_0", "٠.١", "1e-٣", "infinity"])
def test_so_does_the_learning_rate(value):
    result = run_command(
        "train",
        "model.keras",
        "--data",
        "d.npz",
        "--run",
        "r",
        "--epochs",
        "1",
        "--learning-rate",
        value,
    )
    assert result.code == 64
    assert (
        f"Invalid value for '--learning-rate': '{value}' is not a number; write it in digits, such"
        " as 0.001" in result.err
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('version: 1\nrules: [{id: "a\\ud800", match: {type: Dense}, keep: true}]\n', "2:14"),
        ('version: 1\nrules: [{id: a, match: {name: "\\udfff"}, keep: true}]\n', "2:31"),
        (
            'version: 1\nrules: [{id: a, note: "\\ud83d x", match: {type: Dense}, keep: true}]\n',
            "2:23",
        ),
        ('version: 1\nrules: [{id: a, match: {name: {regex: "\\ud800.*"}}, keep: true}]\n', "2:39"),
        ('version: 1\nrules: [{id: a, match: {name: {glob: "\\ud800*"}}, keep: true}]\n', "2:38"),
        (
            (
                'version: 1\nrules: [{id: a, match: {config: {activation: "\\ude00\\ud83d"}}, keep:'
                " true}]\n"
            ),
            "2:46",
        ),
        (
            (
                'version: 1\nvars: {x: "\\ud800"}\nrules: [{id: a, match: {name: "${x}"}, keep:'
                " true}]\n"
            ),
            "2:11",
        ),
    ],
)
def test_half_a_character_is_a_fault_at_its_place(text, place):
    half = text[text.index("\\u") :][:6]
    if half == "\\ud83d" and "x" not in text:
        half = "\\ude00"
    assert (
        f"error[value/type]: the text contains {half}, half of a surrogate pair, which is not a"
        f" character\n  --> p.yaml:{place}\n  help: {WRITE}" in faults_of(text)
    )


def test_so_is_half_a_character_in_a_key():
    faults = faults_of(
        'version: 1\nvars: {"\\ud800": 1}\nrules: [{id: a, match: {type: Dense}, keep: true}]\n'
    )
    assert faults[0].startswith(
        "error[value/type]: the text contains \\ud800, half of a surrogate pair, which is not a"
        " character\n  --> p.yaml:2:8"
    )


def test_both_halves_are_the_character():
    rules = parse_rules(
        '{"version": 1, "rules": [{"id": "\\ud83d\\ude00\ufffd", "match": {"type": "Dense"},'
        ' "keep": true}]}',
        "p.json",
    )
    assert rules.rules[0].id == "😀\ufffd"
    plan = make_plan(build_graph("in > fc_1"), rules)
    assert "😀" in str(plan_to_config(plan))


def test_half_a_character_from_the_command_line_is_a_fault():
    text = "version: 1\nvars: {x: fc}\nrules: [{id: a, match: {name: '${x}'}, keep: true}]\n"
    (fault,) = faults_of(text, {"x": "\udcff"})
    assert (
        fault == "error[value/type]: variable 'x' must be text in UTF-8, got '\\udcff'\n  --> --var"
        " x=\\udcff\n  help: is the terminal set to another encoding?"
    )
    with pytest.raises(RuleError, match="special characters are not allowed"):
        parse_matcher("name: '\udcff'", "--match")
    with pytest.raises(RuleError, match="special characters are not allowed"):
        parse_rules(text.replace("fc", "\udcff"), "p.yaml")
