"""Whatever stands in a rule file, reading it raises nothing but RuleError, and matching what could
be read raises nothing.
"""

from builders import build_graph
from hypothesis import given
from hypothesis import strategies as st
from rule_mutations import DAMAGED, WITH_OTHER_VALUES

from graphprune.diagnostics.slugs import read_slugs
from graphprune.errors import RuleError
from graphprune.rules import parse_rules, resolve_rules

SLUGS = frozenset(read_slugs())
GRAPH = build_graph("in > conv_1 > flatten > fc1 > fc2")


def check_reading(text):
    """Read and match: claims are of the model's candidates, in order; or every fault has a known
    slug and stands in the file.
    """
    try:
        resolved = resolve_rules(GRAPH, parse_rules(text, "p.yaml"))
    except RuleError as error:
        faults = error.diagnostics
    else:
        faults = resolved.diagnostics
        assert [claim.address for claim in resolved.claims] == [
            layer.address for layer in GRAPH.candidates()
        ]
    assert {found.slug for found in faults} <= SLUGS
    assert {found.where.file for found in faults} <= {"p.yaml"}


@given(DAMAGED)
def test_damaged_text(text):
    check_reading(text)


@given(WITH_OTHER_VALUES)
def test_other_values(text):
    check_reading(text)


@given(st.text(max_size=80))
def test_any_text(text):
    check_reading(text)
    check_reading(f"version: 1\nrules:\n- id: {text}\n  match: {text}\n  keep: {text}\n")
