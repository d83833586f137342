"""What people read who write a rule wrong: every message says where, what, and what to do."""

import jsonschema
import pytest
from wrong_rules import empty_matchers, wrong_texts

from graphprune.errors import RuleError
from graphprune.rules import parse_rules
from graphprune.rules.building.schema import KINDS, build_schema
from graphprune.rules.text.shape import Shape, example_of, help_for, keys_of
from graphprune.rules.text.yaml_text import parse_document

WRONG = dict(wrong_texts())
GENERATED = frozenset(f"match {matcher}" for matcher in empty_matchers())
SCHEMA = jsonschema.Draft7Validator(build_schema("rules"))


def faults_of(text):
    with pytest.raises(RuleError) as caught:
        parse_rules(text, "p.yaml")
    return caught.value.diagnostics


@pytest.fixture(scope="module")
def all_faults():
    """The faults of each wrong text, by its name."""
    return {name: faults_of(text) for name, text in WRONG.items()}


def test_the_messages_are_these(all_faults, check_golden):
    """Read the difference as a user would: does each message say what is wrong there, and what to
    write instead?
    """
    blocks = [
        f"=== {name}\n" + "\n".join(map(str, faults))
        for name, faults in all_faults.items()
        if name not in GENERATED
    ]
    check_golden("\n".join(blocks) + "\n", "rule_messages.txt")


def test_each_message_says_what_to_do(all_faults):
    """By its help, or by what it says must stand there."""
    silent = [
        f"{name}: {fault}"
        for name, faults in all_faults.items()
        for fault in faults
        if not (fault.help or says_what_may_stand(fault.message))
    ]
    assert silent == []


def says_what_may_stand(message):
    return "such as" in message or "must be one of" in message


def test_each_message_says_what_it_got(all_faults):
    values = [
        fault
        for faults in all_faults.values()
        for fault in faults
        if fault.slug in ("value/type", "value/range", "schedule/unit")
    ]
    without = {fault.message for fault in values if ", got " not in fault.message}
    assert {message.partition(": ")[2] for message in without} <= {
        "power has no meaning for the curve linear",
        "from has no meaning for the curve step",
        "points has no meaning for the curve step",
        "begin has no meaning for the curve points",
        "a linear schedule needs an end",
        "a points schedule needs points",
        "end (2 epochs) comes before begin (4 epochs)",
        "sparsity 0.5 is below the 0.6 that its schedule begins from",
        "'Dense' is a layer of Keras, whose weights are known",
    }


def test_each_place_lies_in_the_text(all_faults):
    for name, text in WRONG.items():
        lines = text.split("\n")
        for fault in all_faults[name]:
            if fault.where.line is not None:
                assert 1 <= fault.where.line <= len(lines), name
                assert 1 <= fault.where.column <= len(lines[fault.where.line - 1]) + 1, name


def test_one_slip_is_one_fault(all_faults):
    many = {
        name for name, faults in all_faults.items() if len(faults) > 1 and name not in GENERATED
    }
    assert many == {
        "match {between: {from: {type: A}, to: {type: B}}}",
        "prune {}",
        "schedule {curve: linear, begin: 0, end: 4}",
        "schedule {frequency: 3}",
        "check {id: r, result: {sparsity: 80}}",
        "rule {}",
        "file version: 1\nrules: [{<<: {id: a}}]\n",
        "file version: 1\nrules: [{id: a, match: {? [a] : b}, keep: true}]\n",
        "file version: 1\nrules: [{id: a, match: !!python/object:os.system {}, keep: true}]\n",
    }


# Faults of meaning: a schema sees one value at a time, and no text that is not YAML.
OF_MEANING = (
    "threshold looks at single weights",
    "threshold cannot be combined with",
    "exactly one of 'sparsity', 'budget' and 'threshold'",
    "has no meaning",
    "needs an end",
    "comes before",
    "merge keys",
    "a key must be plain text",
    "tags such as",
    "is a layer of Keras",
    "there are no rules",
)
OF_MEANING += (
    "must name each prunable weight",
    "that its schedule begins from",
    "which the last point",
    "must hold a condition beside",
    "a variable must be",
)
OF_MEANING += (
    "keep must be at least 1 and below of",
    "needs points",
    "got nan",
    "version must be 1, got 1.0",
    "is missing in prune",
    "got '99.999999999999999999%'",
    "must be at most max",
    "points must be in",
    "must not fall",
    "every must be above 0",
    "beside a sparsity",
)
MEANING_SLUGS = {
    "match/contradiction",
    "regex/invalid",
    "selector/unknown",
    "selector/cycle",
    "schedule/unknown",
    "budget/unknown",
    "rule/unknown",
    "like/cycle",
}
MEANING_SLUGS |= {
    "override/unknown",
    "override/cycle",
    "id/duplicate",
    "var/unknown",
    "yaml/syntax",
}


def test_the_schema_fails_too_or_the_fault_is_one_of_meaning(all_faults):
    passed = [
        name for name, text in WRONG.items() if SCHEMA.is_valid(parse_document(text, "p.yaml").data)
    ]
    missed = [
        f"{name}: {fault}"
        for name in passed
        for fault in all_faults[name]
        if not is_of_meaning(fault)
    ]
    assert missed == []
    assert len(passed) < len(WRONG) / 4


def is_of_meaning(fault):
    return fault.slug in MEANING_SLUGS or any(part in fault.message for part in OF_MEANING)


def all_shapes(base=Shape):
    for shape in base.__subclasses__():
        yield shape
        yield from all_shapes(shape)


def test_every_key_has_a_description_and_an_example():
    shapes = {shape for shape, _ in KINDS.values()} | set(all_shapes())
    silent = [
        f"{shape.__name__}.{key}"
        for shape in shapes
        for key in keys_of(shape)
        if not help_for(shape, key) or example_of(shape, key) is None
    ]
    assert silent == []
    assert sum(len(keys_of(shape)) for shape in shapes) > 100
