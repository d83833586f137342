"""Patterns of rule files: matched in linear time, and what RE2 lacks is a fault with its help."""

import pytest
from builders import build_graph

from graphprune.errors import RuleError
from graphprune.rules import Matches, parse_matcher, parse_rules
from graphprune.rules.text.regexes import RegexError, compile_glob, compile_regex

NOT = (
    "say what must not match with 'not', as in 'all: [{name: {regex: \".*conv.*\"}}, {not: {name:"
    ' {regex: ".*bn.*"}}}]\''
)
LISTED = "list the names, or write several expressions under 'any'"
SMALLER = "list the names, or split it into several expressions under 'any'"
WRITTEN = "write for example 'regex: \"block_[0-9]+\"'"
LONG = "a" * 998
CATASTROPHIC = [
    ".*a.*a.*a.*b",
    "(a+)+b",
    "(a*)*b",
    "(a|a)*b",
    "([a-z]+|[a-z_]+)+x",
    ".*.*.*.*x",
    "(a*){1,30}b",
]


def regex_faults(text, file="p.yaml"):
    with pytest.raises(RuleError) as caught:
        parse_rules(f"version: 1\nrules: [{{id: a, match: {text}, keep: true}}]\n", file)
    return str(caught.value)


@pytest.mark.parametrize("pattern", CATASTROPHIC)
@pytest.mark.timeout(20)
def test_a_pattern_that_backtracking_never_finishes_is_matched(pattern):
    graph = build_graph(f"in > {LONG}:Dense > {LONG}{pattern[-1]}:Dense")
    found = Matches(graph).of(parse_matcher(f"name: {{regex: '{pattern}'}}", "--match"))
    assert [len(address) for address in found] == [999]


@pytest.mark.timeout(20)
def test_so_is_a_glob_of_many_stars():
    graph = build_graph(f"in > {LONG}:Dense > {LONG}b:Dense")
    found = Matches(graph).of(parse_matcher("name: {glob: '*a*a*a*a*a*a*a*b'}", "--match"))
    assert [len(address) for address in found] == [999]


@pytest.mark.timeout(20)
def test_a_text_that_needs_more_memory_than_an_expression_may_take_is_matched_all_the_same():
    regex = compile_regex("[ab]*a[ab]{400}")
    text = "".join("ab"[(index * index // 7) % 2] for index in range(20_000))
    assert regex.matches(text[:-401] + "a" + "b" * 400)
    assert not regex.matches(text[:-401] + "b" + "b" * 400)


@pytest.mark.parametrize(
    ("pattern", "reason", "help"),
    [
        ("(?!.*bn).*conv.*", "must not use look-around: RE2 does not support '(?!'", NOT),
        ("(?=a).*", "must not use look-around: RE2 does not support '(?='", NOT),
        ("(?<=a)b", "must not use look-around: RE2 does not support '(?<='", NOT),
        ("(?<!a)b", "must not use look-around: RE2 does not support '(?<!'", NOT),
        (r"(.)\1.*", r"must not use backreferences: RE2 does not support '\\1'", LISTED),
        ("(?P<n>.)(?P=n)", "must not use backreferences: RE2 does not support '(?P'", LISTED),
        (
            "a{2000}",
            "is not a regular expression: invalid repetition size at '{2000}'",
            (
                "an expression repeats a part at most 1,000 times, nested repeats multiplied; write"
                " '*' or '+'"
            ),
        ),
        ("a*+", "is not a regular expression: bad repetition operator at '*+'", WRITTEN),
        ("(", "is not a regular expression: missing ) at '('", WRITTEN),
        ("a{0,1000}b{0,1000}c{0,1000}", "is too large", SMALLER),
    ],
)
def test_what_re2_does_not_take_is_a_fault(pattern, reason, help, capfd):
    column = 39
    assert (
        regex_faults(f"{{name: {{regex: '{pattern}'}}}}")
        == f"error[regex/invalid]: rule 'a': regex {reason}, got {pattern!r}\n  -->"
        f" p.yaml:2:{column}\n  help: {help}"
    )
    assert capfd.readouterr() == ("", "")


def test_so_is_one_that_tests_a_config_value():
    assert (
        regex_faults("{config: {activation: {regex: '(?!r).*'}}}")
        == "error[regex/invalid]: rule 'a': regex must not use look-around: RE2 does not support"
        f" '(?!', got '(?!r).*'\n  --> p.yaml:2:54\n  help: {NOT}"
    )


def test_a_glob_whose_range_runs_backwards_is_a_fault():
    assert (
        regex_faults("{name: {glob: 'conv_[9-0]'}}")
        == "error[regex/invalid]: rule 'a': glob is not a glob: invalid character class range at"
        " '9-0', got 'conv_[9-0]'\n  --> p.yaml:2:38\n  help: '[' and ']' enclose single"
        " characters, as in 'block_[0-9]'"
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "block_([2-9]|1[0-6])_(expand|project)",
        ".*expand.*",
        r"(conv|dense)_\d+",
        r"(.+\.)?(identity|add)",
        r"(block_\d+_)+x",
        "(?P<kind>conv|dense)_[0-9]+",
        "(?i)CONV_.*",
        "(?s).*",
        "|".join(f"layer_with_a_long_name_{index}" for index in range(100)),
    ],
)
def test_ordinary_patterns_are_taken(pattern):
    assert parse_matcher(f"name: {{regex: '{pattern}'}}", "--match").regex == pattern


@pytest.mark.parametrize(
    ("pattern", "text", "is_matched"),
    [
        ("(?i)größe_ä", "GRÖSSE_Ä", False),
        ("(?i)größe_ä", "GRÖßE_Ä", True),
        (".", "ä", True),
        ("[ä-ü]", "ö", True),
        (r"\d+", "12", True),
        (r"\d+", "١٢", False),
        (r"\w+", "ä", False),
        (r"\pL+", "ä", True),
        ("a.b", "a\nb", False),
        ("conv", "conv_1", False),
        ("conv|conv_1", "conv_1", True),
        (".*", "half a pair: \ud800", True),
    ],
)
def test_a_regex_matches_whole_texts(pattern, text, is_matched):
    assert compile_regex(pattern).matches(text) is is_matched


@pytest.mark.parametrize(
    ("glob", "address", "is_matched"),
    [
        ("block_*", "block_1", True),
        ("block_*", "block_1::conv", False),
        ("**conv", "block_1::conv", True),
        ("*::conv", "block_1::conv", True),
        ("a*:b", "a::b", False),
        ("a:*b", "a::b", True),
        ("a?b", "a:b", True),
        ("a?:b", "a::b", False),
        ("a*?b", "a::b", False),
        ("[!a]", ":", True),
        ("x[!:]y", "x:y", False),
        ("x[:]y", "x:y", True),
        ("x[0-z][:]y", "x::y", True),
        ("x[!b]:y", "x::y", True),
        ("a.b(c)+d|e^$ \\-", "a.b(c)+d|e^$ \\-", True),
        ("a.b", "axb", False),
        ("[]", "[]", True),
        ("[a&&b~~|^\\]", "^", True),
        ("line\n*", "line\nend\n", True),
        ("\ud800*", "\ud800\x00", True),
    ],
)
def test_a_glob_matches_whole_addresses(glob, address, is_matched):
    assert compile_glob(glob).matches(address) is is_matched


def test_an_expression_is_searched_for_in_names_too():
    assert compile_regex("[0-9]+").find("block_12_ä") == "12"
    assert compile_regex("[0-9]+").find("block") is None


def test_a_glob_that_is_too_long_is_an_error_of_ours():
    with pytest.raises(RegexError, match="is too large"):
        compile_glob("?*" * 20_000)
