"""Texts that are no YAML: each fault has its place and one way out."""

import pytest

from graphprune.errors import RuleError
from graphprune.rules import parse_rules

HEAD = "version: 1\nrules:\n"
CASES = [
    (
        "- id: a\n  match: {type: Dense\n  keep: true\n",
        4,
        10,
        "the '{' that opens here is not closed",
        "write '}' where it ends",
    ),
    (
        "- id: a\n  match: {name: [a, b}\n",
        4,
        22,
        "expected ',' or ']', but got '}'",
        (
            "the '[' of column 17 needs ',' between its entries and ']' at its end; put quotes"
            " around other signs"
        ),
    ),
    (
        "- id: a\n match: {type: Dense}\n",
        4,
        2,
        "expected <block end>, but found '<block mapping start>'",
        ("indent this line like its neighbours; keys of one mapping begin in one column"),
    ),
    (
        '- id: "a\n  match: {type: Dense}\n',
        3,
        7,
        "the quote that begins here never ends",
        "close it where the text ends; a quote inside the text is written twice",
    ),
    (
        "- id: a: b\n",
        3,
        8,
        "mapping values are not allowed here",
        (
            "put quotes around text that holds a colon; begin each 'key: value' on a line of its"
            " own, or put them into { }"
        ),
    ),
    (
        "- id: @a\n",
        3,
        7,
        "found character '@' that cannot start any token",
        "put quotes around text that begins with '@'",
    ),
    (
        '- id: a\n  match: {name: {regex: "conv_\\d"}}\n',
        4,
        32,
        "found unknown escape character 'd'",
        (
            "between double quotes a backslash begins an escape; use single quotes, such as"
            " 'conv_\\d+'"
        ),
    ),
    (
        "- id: a\n  match: {type: Dense}, keep: true\n",
        4,
        23,
        "expected <block end>, but found ','",
        "write entries with commas between them in braces: {key: value, key: value}",
    ),
    (
        "- id: a\n\tmatch: b\n",
        4,
        1,
        "found character '\\t' that cannot start any token",
        "indent with spaces, not tabs",
    ),
]


@pytest.mark.parametrize(("text", "line", "column", "problem", "help"), CASES)
def test_a_fault_of_the_text_has_its_place_and_a_way_out(text, line, column, problem, help):
    with pytest.raises(RuleError) as caught:
        parse_rules(HEAD + text, "p.yaml")
    (found,) = caught.value.diagnostics
    assert (found.message, found.help) == (f"not readable as YAML: {problem}", help)
    assert (found.slug, found.where.line, found.where.column) == ("yaml/syntax", line, column)
