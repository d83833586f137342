"""All faults of a file come in one run: none hides another, and what only follows from another is
not told.
"""

from textwrap import dedent

import pytest

from graphprune.errors import RuleError
from graphprune.rules import parse_rules

STEP = "{curve: step, begin: 0 steps}"
LATE = "{curve: linear, begin: 5 steps, end: 1 step, every: 1 step}"


def found(text):
    """Line, slug and the beginning of the message of each diagnostic."""
    with pytest.raises(RuleError) as caught:
        parse_rules(dedent(text), "p.yaml")
    return [(fault.where.line, fault.slug, fault.message) for fault in caught.value.diagnostics]


def one_rule(rule, before=""):
    return found(f"version: 1\nvars: {{final: 0.5}}\n{before}rules:\n- {rule}\n")


@pytest.mark.parametrize(
    ("rule", "messages"),
    [
        (
            f"{{id: a, match: {{type: Dense}}, prune: {{sparsity: 150%, schedule: {LATE}}}}}",
            [
                "rule 'a': sparsity must be at least 0% and below 100%, got '150%'",
                "rule 'a': end (1 step) comes before begin (5 steps)",
            ],
        ),
        (
            (
                "{id: a, match: {type: Dense}, prune: {sparsity: 50%, schedule: {curve: linear,"
                " begin: 5 steps, end: 6 stps, power: 3, every: 0 steps}}}"
            ),
            [
                "rule 'a': end needs one of the units epochs, steps or %, got '6 stps'",
                "rule 'a': power has no meaning for the curve linear",
                "rule 'a': every must be above 0, got 0 steps",
            ],
        ),
        (
            (
                "{id: a, match: {type: Dense}, prune: {sparsity: 50%, schedule: {curve: cubic,"
                " begin: 5 steps, end: 1 step, power: 3}}}"
            ),
            [
                (
                    "rule 'a': curve must be one of constant, linear, polynomial, exponential,"
                    " step, points, got 'cubic'"
                ),
                "rule 'a': end (1 step) comes before begin (5 steps)",
            ],
        ),
        (
            (
                "{match: {use: nobody, trainable: 3, params: {gte: 5, lte: 3}}, prune:"
                f" {{budget: none, like: b, schedule: {STEP}}}, overrides: [c]}}"
            ),
            [
                "rule 1: the key 'id' is missing",
                "rule 1: use must name a selector that is defined, got 'nobody'",
                "rule 1: trainable must be true or false, got 3",
                "rule 1: params cannot hold for any number: at least 5 and at most 3",
                "rule 1: like must name a rule, got 'b'",
                "rule 1: overrides must name a rule, got 'c'",
            ],
        ),
        (
            (
                "{id: a, match: {any: [{typ: Dense}, {use: nobody}]}, prune: {sparsity:"
                f" 50%, budget: none, schedule: {STEP}}}, note: 3}}"
            ),
            [
                "rule 'a': unknown key 'typ' in any",
                "rule 'a': use must name a selector that is defined, got 'nobody'",
                (
                    "rule 'a': must have exactly one of 'sparsity' and 'budget', got 'none' beside"
                    " a sparsity"
                ),
                "rule 'a': note must be text, got 3",
            ],
        ),
        (
            (
                "{id: a, match: {type: Dense}, prune: {sparsity: '${finl}', schedule: none,"
                " pattern: {keep: 4, of: 2, along: in}}}"
            ),
            [
                "no variable is named 'finl'",
                "rule 'a': schedule must name a schedule that is defined, got 'none'",
                "rule 'a': keep must be at least 1 and below of, got 4 of 2",
            ],
        ),
    ],
)
def test_a_fault_hides_no_other_in_its_rule(rule, messages):
    assert [message for _, _, message in one_rule(rule)] == messages


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            (
                "{id: a, match: {type: Dense, not: {type: Dense, nmae: x}}, prune:"
                f" {{sparsity: 50%, schedule: {STEP}}}}}"
            ),
            "rule 'a': unknown key 'nmae' in not",
        ),
        (
            f"{{id: a, match: {{typ: Dense}}, prune: {{sparsity: 50%, schedule: {STEP}}}}}",
            "rule 'a': unknown key 'typ' in match",
        ),
        (
            f"{{id: a, match: '*', prune: {{sparsity: 2, schedule: {STEP}}}}}",
            "rule 'a': sparsity must be at least 0 and below 1, got 2",
        ),
        (
            f"{{id: a, match: '*', prune: {{budget: 2, schedule: {STEP}}}}}",
            "rule 'a': budget must be text, got 2",
        ),
        (
            (
                "{id: a, match: '*', prune: {sparsity: 50%, schedule: {curve: linear, begin: 0"
                " steps, end: 2}}}"
            ),
            "rule 'a': end needs one of the units epochs, steps or %, got 2",
        ),
        (
            (
                "{id: a, match: '*', prune: {sparsity: 50%, schedule: {curve: points, points: {4"
                " epochs: 2}}}}"
            ),
            "rule 'a': 4 epochs must be at least 0 and below 1, got 2",
        ),
        ("{id: a, match: '*', prune: {like: 3}}", "rule 'a': like must be text, got 3"),
        (
            "{id: a, match: '*', prune: {sparsity: 50%, schedule: 3}}",
            "rule 'a': schedule must be the name of a schedule, or a schedule, got 3",
        ),
        (
            (
                "{id: a, match: '*', prune: {budget: '${net}', schedule: {curve: step, begin: 0"
                " steps}}}"
            ),
            "no variable is named 'net'",
        ),
        (
            "{id: a, <<: {match: '*', keep: true}}",
            "merge keys '<<' are not supported in rule files",
        ),
        ("3", "rule 1: must be a mapping, got 3"),
    ],
)
def test_what_follows_from_another_fault_is_not_told(rule, message):
    assert [message for _, _, message in one_rule(rule)] == [message]


def test_faults_of_the_text_and_the_version_hide_none_below():
    assert found("""\
        version: 2
        selectors: {wide: {tpe: Dense, use: nobody}}
        budgets: {net: {sparsity: 90, min: 50%, max: 10%}}
        schedules: {late: {begin: 5 steps, end: 1 step}}
        defaults: {prune: {sparsity: 2, schedule: {curve: linear, begin: 5 steps, end: 1 step}}}
        require: [{count: {of: {use: nobody}, is: {gte: 3, lte: 1}}}]
        layers: {Dense: {prunable: {kernel: 3}}}
        rules:
        - {id: a, match: {typ: Dense}, keep: true, keep: true}
        """) == [
        (1, "value/range", "version must be 1, got 2"),
        (2, "key/unknown", "selector 'wide': unknown key 'tpe'"),
        (
            2,
            "selector/unknown",
            "selector 'wide': use must name a selector that is defined, got 'nobody'",
        ),
        (3, "value/range", "budget 'net': sparsity must be at least 0 and below 1, got 90"),
        (3, "value/range", "budget 'net': min must be at most max, got 0.5 and 0.1"),
        (4, "key/missing", "schedule 'late': the key 'curve' is missing"),
        (4, "value/range", "schedule 'late': end (1 step) comes before begin (5 steps)"),
        (5, "value/range", "defaults: sparsity must be at least 0 and below 1, got 2"),
        (5, "value/range", "defaults: end (1 step) comes before begin (5 steps)"),
        (6, "key/missing", "check 1: the key 'id' is missing"),
        (6, "selector/unknown", "check 1: use must name a selector that is defined, got 'nobody'"),
        (
            6,
            "match/contradiction",
            "check 1: is cannot hold for any number: at least 3 and at most 1",
        ),
        (7, "value/type", "layer type 'Dense': kernel must be a list, got 3"),
        (9, "key/unknown", "rule 'a': unknown key 'typ' in match"),
        (9, "yaml/duplicate-key", "the key 'keep' appears twice in one mapping"),
    ]


def test_the_second_of_two_rules_with_one_id_is_judged_too():
    rules = f"""\
        version: 1
        rules:
        - {{id: a, match: {{name: x}}, prune: {{sparsity: 50%, schedule: {STEP}}}}}
        - {{id: a, match: {{name: y}}, prune: {{like: nope, sparsity: 50%}}, overrides: [none]}}
        - {{id: a, match: {{name: z}}, prune: {{like: a}}}}
        """
    assert [(line, slug) for line, slug, _ in found(rules)] == [
        (4, "id/duplicate"),
        (4, "rule/unknown"),
        (4, "override/unknown"),
        (5, "id/duplicate"),
        (5, "like/cycle"),
    ]


def test_warnings_come_with_the_errors_unless_an_error_may_explain_them():
    text = "version: 1\nselectors: {wide: {type: Dense}}\nbudgets: {net: {sparsity: 50%}}\nrules:\n"
    dense = "- {id: b, match: {type: Dense}, keep: tru}\n"
    unused = ["selector/unused", "budget/unused"]
    assert [slug for _, slug, _ in found(text + dense)] == [*unused, "value/type"]
    assert [
        slug for _, slug, _ in found(text + "- {id: b, match: {usee: wide}, keep: true}\n")
    ] == ["budget/unused", "key/unknown"]
    assert [slug for _, slug, _ in found(text + "- {id: b, match: {use: wid}, keep: true}\n")] == [
        "budget/unused",
        "selector/unknown",
    ]
    budget = (
        "- {id: b, match: '*', prune: {budget: nett, schedule: {curve: step, begin: 0 steps}}}\n"
    )
    assert [slug for _, slug, _ in found(text + budget)] == ["selector/unused", "budget/unknown"]
    assert [
        warning.slug
        for warning in parse_rules(text + dense.replace("tru}", "true}"), "p.yaml").warnings
    ] == unused


def test_an_id_that_is_a_dash_is_an_id():
    assert [
        message
        for _, _, message in one_rule("{id: '-', match: {use: nobody, trainable: 3}, keep: true}")
    ] == [
        "rule '-': use must name a selector that is defined, got 'nobody'",
        "rule '-': trainable must be true or false, got 3",
    ]
