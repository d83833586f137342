import re

import pytest

from graphprune.errors import RuleError
from graphprune.rules import parse_matcher, parse_rules

SIMPLER = "repeat each part once: '[a-z_0-9]+' instead of '([a-z_0-9]+)+', '.*' instead of '.*.*'; or split it into several patterns under 'all' or 'any'"
NESTED = "a repeat inside a repeat can read the same text in many ways"


def regex_faults(text, file="p.yaml"):
    with pytest.raises(RuleError) as caught:
        parse_rules(f"version: 1\nrules: [{{id: a, match: {text}, keep: true}}]\n", file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(([a-z_0-9])+)+!", NESTED),
        ("(a*)*b", NESTED),
        ("(ab|ab)+c", NESTED),
        ("(a|ab|b)*c", NESTED),
        ("(a?a)+b", NESTED),
        ("(a{1,30}){1,30}b", NESTED),
        ("(?=(a+)+b).*", NESTED),
        ("x(?i:(ab?|Ab)+)c", NESTED),
        (r"([a-z]+|\w+_)+!", NESTED),
        (".*.*.*.*x", "more than 2 repeats side by side can read the same text"),
        (".*a.*b.*c.*d.*e", "more than 4 repeats can read the same text"),
    ],
)
def test_a_pattern_that_can_take_for_ever_is_refused(pattern, reason):
    assert regex_faults(f"{{name: {{regex: '{pattern}'}}}}") == (
        f"error[regex/invalid]: rule 'a': regex could take for ever to match: {reason}, got {pattern!r}\n  --> p.yaml:2:39\n  help: {SIMPLER}"
    )


def test_so_is_one_that_tests_a_config_value():
    assert regex_faults("{config: {activation: {regex: '(a+)+b'}}}") == (
        f"error[regex/invalid]: rule 'a': regex could take for ever to match: {NESTED}, got '(a+)+b'\n  --> p.yaml:2:54\n  help: {SIMPLER}"
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "block_([2-9]|1[0-6])_(expand|project)",
        ".*expand.*",
        r"(conv|dense)_\d+",
        r"(.+\.)?(identity|add)",
        r"(block_\d+_)+x",
        "((?!::).)*",
        "(?!.*bn).*conv.*",
        ".*block.*expand.*conv.*",
        r"[a-z]+_\d+_[a-z]+_\d+_[a-z]+_\d+",
        r"(conv\d+|dense\d+)*",
        "|".join(f"layer_with_a_long_name_{index}" for index in range(100)),
        r"(.)\1.*",
        "(a{0,3}b)+",
        "(a?b|c)*",
    ],
)
def test_ordinary_patterns_are_taken(pattern):
    assert re.compile(parse_matcher(f"name: {{regex: '{pattern}'}}", "--match").regex).pattern == pattern
