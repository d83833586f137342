"""The JSON Schema against every rule file that ships or stands in a test: it refuses nothing that
the checker accepts, and sees every fault of shape.
"""

import ast
import textwrap
from pathlib import Path

import jsonschema
import pytest

from graphprune.diagnostics.slugs import read_slugs
from graphprune.errors import RuleError
from graphprune.rules import parse_rules
from graphprune.rules.building.schema import KINDS, build_schema
from graphprune.rules.text.files import list_shipped_rules
from graphprune.rules.text.yaml_text import parse_document

TESTS = Path(__file__).parents[1]
VALIDATORS = {kind: jsonschema.Draft7Validator(build_schema(kind)) for kind in KINDS}
# Faults of shape, which a schema can tell; all other slugs are about what the values mean together,
# in the text, or in other files.
OF_SHAPE = {"key/unknown", "key/missing", "value/type", "value/range", "schedule/unit"}
# What the schema lets through of them: values that depend on others, text that is not read as YAML,
# and matchers that say only how far to look.
ONLY_THE_CHECKER = (
    "a variable must be",
    "there are no rules",
    "merge keys",
    "needs an end",
    "has no meaning for the curve",
    "that its schedule begins from",
    "must hold a condition beside",
    "version must be 1, got 1.0",
    "is a layer of Keras",
    "must name each prunable weight once",
    "half of a surrogate pair",
)
HEAD = "version: 1\nschedules: {once: {curve: step, begin: 0 steps}}\n"
SECTIONS = (
    "rules: ",
    "selectors:",
    "schedules:",
    "vars:",
    "layers:",
    "require:",
    "budgets:",
    "defaults:",
)


def as_rule_file(text):
    """Return a text of a test as a rule file: it is one, or the sections of one, or one rule; ""
    where it is none of them.
    """
    if "rules:" in text and "version: 1" in text:
        return text
    return (
        f"{HEAD}rules: [{text}]\n"
        if text.startswith("{id: ")
        else f"version: 1\n{text}"
        if text.startswith(SECTIONS)
        else ""
    )


def rule_texts():
    """Return every text in the tests' source that is meant to be a rule file, and the rule files
    that ship.
    """
    found = {path.path.read_text(encoding="utf-8") for path in list_shipped_rules()}
    found |= {
        text
        for help in read_slugs().values()
        if not help.is_command
        for text in (help.example, help.mended)
    }
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and len(node.value) < 20_000
            ):
                found.add(as_rule_file(textwrap.dedent(node.value)))
    return sorted(found)


def is_rule_file(text):
    data = parse_document(text, "a.yaml").data
    return isinstance(data, dict) and data.get("version") == 1 and "cases" not in data


@pytest.fixture(scope="module")
def texts():
    """Every text in the tests' source that is a rule file."""
    return [text for text in rule_texts() if is_rule_file(text)]


def faults_of(text):
    try:
        parse_rules(text, "a.yaml")
    except RuleError as err:
        return err.diagnostics
    return ()


def slugs_of(text):
    return {fault.slug for fault in faults_of(text)}


def is_of_shape(fault):
    return fault.slug in OF_SHAPE and not any(part in fault.message for part in ONLY_THE_CHECKER)


def accepts(text, kind="rules"):
    return VALIDATORS[kind].is_valid(parse_document(text, "a.yaml").data)


def test_the_schema_passes_what_is_sound_and_sees_every_fault_of_shape(texts):
    """A missed fault is one that the schema can tell, or a part of its message belongs into
    ONLY_THE_CHECKER.
    """
    refused, missed, sound = {}, {}, 0
    for text in texts:
        errors = [
            error.message
            for error in VALIDATORS["rules"].iter_errors(parse_document(text, "a.yaml").data)
        ]
        faults = faults_of(text)
        sound += not faults
        if errors and not faults:
            refused[text] = errors
        # what a variable holds shows only when it is filled in
        if faults and not errors and "${" not in text:
            missed[text] = [fault.message for fault in faults if is_of_shape(fault)]
    assert refused == {}
    assert {text: messages for text, messages in missed.items() if messages} == {}
    assert sound > 50
    assert len(texts) - sound > 100


RULE = (
    "version: 1\nrules:\n  - {id: a, match: {type: Dense}, prune: {sparsity: 90%, schedule: {curve:"
    " step, begin: 0 steps}}}\n"
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("match:", "macth:"),
        ("{type: Dense}", "{}"),
        ("{type: Dense}", "{typ: Dense}"),
        ("{type: Dense}", "{params: many}"),
        ("{type: Dense}", "{trainable: 3}"),
        ("{type: Dense}", "{name: {glob: a, regex: a}}"),
        ("{type: Dense}", "{config: {units: {inn: [3]}}}"),
        ("{type: Dense}", "{not: {last: {typ: Dense}}}"),
        ("90%", "1.2"),
        ("90%", "much"),
        ("step,", "stairs,"),
        ("0 steps", "0"),
        ("0 steps", "0 hours"),
        ("id: a", "id: a b"),
        ("id: a,", "id: a, keep: true,"),
        ("{sparsity: 90%", "{prune: 90%"),
        ("rules:", "x-other: 3\nruels: []\nrules:"),
    ],
)
def test_the_schema_and_the_checker_refuse_the_same(old, new):
    assert accepts(RULE)
    text = RULE.replace(old, new)
    assert text != RULE
    assert slugs_of(text)
    assert not accepts(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{type: Dense}", '"*"'),
        (
            "{type: Dense}",
            (
                "{trainable: '${flag}', params: '${many}', config: {units: 3, use_bias: true,"
                " activation: {in: [relu]}}}"
            ),
        ),
        ("{type: Dense}", "{params: {gte: 1.5M, lt: 2M}, calls: 2}"),
        (
            "{type: Dense}",
            "{fed_by: {type: Conv2D, only: true}, after: {name: conv, hops: 3, until: '*'}}",
        ),
        ("90%", '"${share}"'),
        ("0 steps", "60%"),
        ("step,", "'${curve}',"),
        ("rules:", "x-anchors: {a: [1]}\nrules:"),
    ],
)
def test_the_schema_and_the_checker_accept_the_same(old, new):
    text = RULE.replace(old, new) + "vars: {flag: true, many: 10, share: 0.5, curve: step}\n"
    assert text != RULE
    assert slugs_of(text) == set()
    assert accepts(text)


def test_every_key_has_help():
    for kind in KINDS:
        schema = build_schema(kind)
        for name, mapping in {"the file": schema, **schema["definitions"]}.items():
            bare = [
                key
                for key, value in mapping.get("properties", {}).items()
                if not value.get("description")
            ]
            assert bare == [], f"{name}: give {bare} a description in the shape"


def test_the_schema_of_rule_tests():
    case = (
        "version: 1\nrules: prune.yaml\ncases:\n  - {graph: g.json, rule: a, selects: [fc1],"
        " spares: [], plan: snapshot, fails: [rule/no-match]}\n"
    )
    assert accepts(case, "test")
    for old, new in (
        ("snapshot", "other"),
        ("rule/no-match", "no match"),
        ("graph:", "grahp:"),
        ("[fc1]", "fc1"),
        ("prune.yaml", "{}"),
    ):
        assert not accepts(case.replace(old, new), "test")


def test_the_schemas_are_schemas():
    for kind in KINDS:
        jsonschema.Draft7Validator.check_schema(build_schema(kind))
