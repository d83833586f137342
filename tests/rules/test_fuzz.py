"""Whatever stands in a rule file, reading it raises nothing but RuleError, and matching what could be read raises nothing."""

import contextlib

from builders import build_graph
from hypothesis import given
from hypothesis import strategies as st

from graphprune.errors import RuleError
from graphprune.rules import parse_rules, resolve_rules

TEXT = """\
version: 1
vars: {final: 0.9}
schedules:
  ramp: {curve: polynomial, power: 3, from: 0, begin: 0 epochs, end: 4 epochs, every: 100 steps}
rules:
  - id: dense-90
    match: {type: Dense, not: {last: {name: {glob: 'fc*'}}}, params: {gte: 1}, config: {units: {in: [4]}}}
    prune: {sparsity: "${final}", schedule: ramp, weights: [kernel]}
    expect: {gte: 0}
  - id: keep
    match: {any: [{name: {regex: 'conv_[0-9]'}}, "*"], all: [{trainable: true}]}
    keep: true
"""
WORDS = [
    "*",
    "&a ",
    "*a",
    "<<",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "'",
    '"',
    "%",
    "!",
    "|",
    "\t",
    "\n",
    "\x00",
    "é",
    "1e999",
    ".nan",
    "null",
    "true",
    "9" * 30,
    "x" * 5,
    "[[",
    "${",
    "type",
]
PIECES = [
    "type",
    "Dense",
    "not",
    "last",
    "name",
    "params",
    "0.9",
    "ramp",
    "1",
    "'fc*'",
    "[kernel]",
    "true",
    "{gte: 0}",
    "polynomial",
    "4 epochs",
    "0 epochs",
    '"*"',
    "${final}",
]
VALUES = [
    "",
    "{}",
    "[]",
    "null",
    "1",
    "-1",
    "1.5",
    "true",
    "'*'",
    "{not: {}}",
    "[1, {a: 2}]",
    ".inf",
    "1k",
    "90%",
    "'['",
    "{glob: '[z-a]'}",
    "{regex: '('}",
    "{in: []}",
]
GRAPH = build_graph("in > conv_1 > flatten > fc1 > fc2")


def read_and_resolve(text):
    with contextlib.suppress(RuleError):
        resolve_rules(GRAPH, parse_rules(text, "p.yaml"))


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 6), st.sampled_from(WORDS)), min_size=1, max_size=4))
def test_damaged_text(edits):
    text = TEXT
    for place, cut, word in edits:
        text = text[:place] + word + text[place + cut :]
    read_and_resolve(text)


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(VALUES)), min_size=1, max_size=3))
def test_other_values(edits):
    text = TEXT
    for piece, value in edits:
        text = text.replace(piece, value, 1)
    read_and_resolve(text)


@given(st.text(max_size=80))
def test_any_text(text):
    read_and_resolve(text)
    read_and_resolve(f"version: 1\nrules:\n- id: {text}\n  match: {text}\n  keep: {text}\n")
