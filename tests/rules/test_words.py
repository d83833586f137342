"""Matchers in words, and as a rule file spells them."""

import pytest

from graphprune.rules import parse_matcher

CASES = (
    ('"*"', "*", "*"),
    ("{name: a}", "name 'a'", "name: a"),
    ("{name: [a, b]}", "name 'a' or 'b'", "name: [a, b]"),
    ("{name: {glob: 'b_*'}}", "name glob 'b_*'", "name: {glob: 'b_*'}"),
    ("{name: {regex: 'b_.*'}}", "name regex 'b_.*'", "name: {regex: 'b_.*'}"),
    ("{type: [Dense, Conv2D]}", "Dense or Conv2D", "type: [Dense, Conv2D]"),
    ("{isa: Conv2D}", "isa Conv2D", "isa: Conv2D"),
    ("{config: {units: {gte: 64}}}", "units: gte 64", "config: units: gte 64"),
    ("{params: {gte: 10k}}", "params at least 10,000", "params: at least 10,000"),
    ("{calls: 2}", "calls 2", "calls: 2"),
    ("{trainable: false}", "trainable: false", "trainable: false"),
    (
        "{weight: {name: kernel, rank: 2, in: {multiple_of: 4}, kernel: [3, 3], dtype: float32}}",
        "weight name kernel, rank 2, in a multiple of 4, kernel [3, 3], dtype float32",
        "weight: name kernel, rank 2, in a multiple of 4, kernel [3, 3], dtype float32",
    ),
    ("{inside: {type: Dense}}", "inside Dense", "inside: type: Dense"),
    ("{first: {type: Dense}}", "first Dense", "first: type: Dense"),
    ("{not: {last: {type: Dense}}}", "not last Dense", "not: last: type: Dense"),
    ("{fed_by: {type: ReLU, only: true}}", "fed_by only ReLU", "fed_by: {type: ReLU, only: true}"),
    (
        "{feeds: {type: ReLU, every: true}}",
        "feeds nothing but ReLU",
        "feeds: {type: ReLU, every: true}",
    ),
    (
        "{after: {isa: Conv2D, name: {glob: 'stem*'}, hops: 3}}",
        "after (name glob 'stem*', and isa Conv2D) at most 3 calls away",
        "after: {name: {glob: 'stem*'}, isa: Conv2D, hops: 3}",
    ),
    (
        "{before: {type: Conv2D, hops: 1, until: {fed_by: {type: ReLU}}}}",
        "before Conv2D at most 1 call away, not past fed_by ReLU",
        "before: {type: Conv2D, hops: 1, until: fed_by: type: ReLU}",
    ),
    (
        "{after: {type: Conv2D, until: {any: [{type: A}, {type: B}]}}}",
        "after Conv2D not past (any of A; B)",
        "after: {type: Conv2D, until: any: [type: A, type: B]}",
    ),
    (
        "{between: {after: {name: a}, before: {type: B}}}",
        "between name 'a' and B",
        "between: {after: name: a, before: type: B}",
    ),
    (
        "{any: [{type: A, params: 3}, {type: B}]}",
        "any of (A, and params 3); B",
        "any: [{type: A, params: 3}, type: B]",
    ),
    ("{type: A, all: [{params: 3}]}", "A, and params 3", "type: A, params: 3"),
)


@pytest.mark.parametrize(("text", "words", "spelled"), CASES, ids=[text for text, *_ in CASES])
def test_a_matcher_says_itself(text, words, spelled):
    matcher = parse_matcher(text, "match")
    assert (matcher.words(), matcher.spelled()) == (words, spelled)
