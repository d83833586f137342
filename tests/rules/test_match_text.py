import pytest

from graphprune.errors import RuleError
from graphprune.rules import parse_matcher
from graphprune.rules.matchers.classes import TypeIs
from graphprune.rules.matchers.facts import Params
from graphprune.rules.matchers.logic import AllOf, Everything
from graphprune.rules.matchers.names import NameGlob
from graphprune.rules.matchers.number_test import NumberTest


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        ("type: Dense", TypeIs(("Dense",))),
        (
            "{type: Dense, params: {gte: 10k}}",
            AllOf((TypeIs(("Dense",)), Params(NumberTest(gte=10_000)))),
        ),
        ('{"name": {"glob": "block_*"}}', NameGlob("block_*")),
        ("*", Everything()),
        ('"*"', Everything()),
    ],
)
def test_text_becomes_the_matcher_that_a_rule_would_hold(text, matcher):
    assert parse_matcher(text, "--match") == matcher


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "type: 3",
            (
                "error[value/type]: type must be a name or a list of names, got 3\n  -->"
                " --match:1:7\n  help: write for example 'type: Dense'"
            ),
        ),
        (
            "",
            (
                "error[value/type]: match must be a mapping of conditions, such as {name: conv_1},"
                ' or "*", got nothing\n  --> --match:1:1'
            ),
        ),
        (
            "config: {units: {gte: x}}",
            (
                "error[value/type]: gte must be a number, got 'x'\n  --> --match:1:23\n  help:"
                " write for example 'gte: 64'"
            ),
        ),
        (
            "params: {gt: 5, lt: 2}",
            (
                "error[match/contradiction]: params cannot hold for any number: above 5 and below"
                " 2\n  --> --match:1:9\n  help: change one of the bounds"
            ),
        ),
        (
            "{type: A, not: {type: A}}",
            (
                "error[match/contradiction]: match cannot hold for any layer: 'A' and 'not A'"
                " exclude each other\n  --> --match:1:1\n  help: delete one of them, or put them"
                " under 'any' where one is enough"
            ),
        ),
        (
            "[1",
            (
                "error[yaml/syntax]: not readable as YAML: the '[' that opens here is not closed\n "
                " --> --match:1:1\n  help: write ']' where it ends"
            ),
        ),
    ],
)
def test_a_fault_says_where_in_the_text_it_is(text, message):
    with pytest.raises(RuleError) as caught:
        parse_matcher(text, "--match")
    assert str(caught.value) == message


def test_an_unknown_key_has_its_place_and_the_closest_key():
    with pytest.raises(RuleError) as caught:
        parse_matcher("last: {typ: Dense}", "--match")
    assert str(caught.value).startswith(
        "error[key/unknown]: unknown key 'typ'\n  --> --match:1:8\n  help: closest: 'type'; known"
        " keys: name, type,"
    )
