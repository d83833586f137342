"""Whatever stands in a rule file, reading it raises nothing but RuleError, and matching what could be read raises nothing."""

import contextlib

from builders import build_graph
from hypothesis import given
from hypothesis import strategies as st
from rule_mutations import DAMAGED, WITH_OTHER_VALUES

from graphprune.errors import RuleError
from graphprune.rules import parse_rules, resolve_rules

GRAPH = build_graph("in > conv_1 > flatten > fc1 > fc2")


def read_and_resolve(text):
    with contextlib.suppress(RuleError):
        resolve_rules(GRAPH, parse_rules(text, "p.yaml"))


@given(DAMAGED)
def test_damaged_text(text):
    read_and_resolve(text)


@given(WITH_OTHER_VALUES)
def test_other_values(text):
    read_and_resolve(text)


@given(st.text(max_size=80))
def test_any_text(text):
    read_and_resolve(text)
    read_and_resolve(f"version: 1\nrules:\n- id: {text}\n  match: {text}\n  keep: {text}\n")
