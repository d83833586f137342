"""The JSON Schema of rule files against rule files: those that ship, those of the table of slugs, and every text in the tests of rules."""

import ast
import textwrap
from pathlib import Path

import jsonschema
import pytest
from rule_examples import EXAMPLE_3

from graphprune.errors import RuleError
from graphprune.rules import parse_rules
from graphprune.rules.json_schema import help_for, make_json_schema
from graphprune.rules.key_help import KEY_HELP
from graphprune.rules.shape import Shape, keys_of
from graphprune.rules.shipped import list_shipped_rules
from graphprune.rules.slugs import read_slugs
from graphprune.rules.yaml_text import parse_document

HEAD = "version: 1\nschedules: {once: {curve: step, begin: 0 steps}}\n"
# Faults of shape, which a schema can tell; all other slugs are about what the values mean.
OF_SHAPE = {"key/unknown", "key/missing", "value/type", "value/range", "schedule/unit"}
# What the schema lets through of them: values that depend on others, text that is not read as YAML, and matchers that say only how far to look.
ONLY_THE_CHECKER = (
    "a variable must be",
    "there are no rules",
    "merge keys",
    "needs an end",
    "has no meaning for the curve",
    "that its schedule begins from",
    "every, only, hops and until",
)
VALIDATOR = jsonschema.Draft7Validator(make_json_schema())
TESTS = Path(__file__).parents[1]


def texts_in_tests():
    """Every text of a test that is a rule file, or the rules of one."""
    for path in sorted([*(TESTS / "rules").glob("test_*.py"), *(TESTS / "plan").glob("test_*.py"), *(TESTS / "cli").glob("test_*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 20_000:
                text = textwrap.dedent(node.value)
                if text.startswith("version: 1\n"):
                    yield text
                elif text.startswith("{id: "):
                    yield f"{HEAD}rules: [{text}]\n"
                elif text.startswith(("match: ", "rules: ", "selectors:", "schedules:", "vars:", "layers:", "require:")):
                    yield f"version: 1\n{text}"


def judge(text):
    """What the checker says (None where nothing is wrong with the file), and whether the schema accepts it."""
    data = parse_document(text, "p.yaml").data
    try:
        parse_rules(text, "p.yaml")
    except RuleError as fault:
        return fault.diagnostics, VALIDATOR.is_valid(data)
    return None, VALIDATOR.is_valid(data)


def is_of_shape(diagnostic):
    return diagnostic.slug in OF_SHAPE and not any(part in diagnostic.message for part in ONLY_THE_CHECKER)


FILES = {shipped.name: shipped.path.read_text(encoding="utf-8") for shipped in list_shipped_rules()} | {"example-3": EXAMPLE_3}
SLUGS = [help for help in read_slugs().values() if not help.is_command]


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(make_json_schema())
    assert make_json_schema()["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert make_json_schema() == make_json_schema()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_ships_passes(name):
    data = parse_document(FILES[name], name).data
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []


@pytest.mark.parametrize("text", [text for help in SLUGS for text in (help.example, help.mended)])
def test_examples_of_slugs_pass_where_the_checker_passes_them_and_fail_for_their_shape(text):
    faults, accepted = judge(text)
    is_read = parse_document(text, "p.yaml").is_readable
    assert accepted == (is_read and not any(map(is_of_shape, faults or ())))


def test_every_text_of_the_tests_passes_or_fails_as_the_checker_does():
    texts = sorted(set(texts_in_tests()))
    judged = [(text, *judge(text)) for text in texts]
    refused = [text for text, faults, accepted in judged if faults is None and not accepted]
    missed = [(text, faults) for text, faults, accepted in judged if faults is not None and accepted and "${" not in text and any(map(is_of_shape, faults))]
    assert refused == []
    assert missed == []
    assert sum(faults is None for _, faults, _ in judged) >= 15
    assert sum(faults is not None for _, faults, _ in judged) >= 100


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("x-anchors: {a: [1]}\nrules: [{id: a, match: '*', keep: true}]", True),
        ("y-anchors: {a: [1]}\nrules: [{id: a, match: '*', keep: true}]", False),
        ("vars: {a: true, b: '*'}\nrules: [{id: a, match: '${b}', keep: '${a}'}]", True),
        ("vars: {a: {b: 1}}\nrules: [{id: a, match: '*', keep: true}]", False),
        ("rules: [{id: a, match: {config: {units: 4, name: {in: [a, [1, {b: 2}]]}, axis: [3], other: {exists: true}}}, keep: true}]", True),
        ("rules: [{id: a, match: {config: {units: {above: 4}}}, keep: true}]", False),
        ("rules: [{id: a, match: {}, keep: true}]", False),
    ],
)
def test_what_an_editor_would_mark(text, accepted):
    assert VALIDATOR.is_valid(parse_document(f"version: 1\n{text}", "p.yaml").data) == accepted


def shapes(shape=Shape):
    return {inner for direct in shape.__subclasses__() for inner in (direct, *shapes(direct))}


def test_every_key_has_a_line_of_help_and_no_help_is_left_over():
    named = {shape.__name__: shape for shape in shapes()}
    assert [(name, key) for name, shape in named.items() for key in keys_of(shape) if not help_for(shape, key)] == []
    assert [(name, key) for name, keys in KEY_HELP.items() for key in keys if name not in named or key not in keys_of(named[name])] == []


def test_every_property_of_the_schema_shows_its_help():
    schema = make_json_schema()
    parts = [schema, *schema["definitions"].values()]
    assert [key for part in parts for key, value in part.get("properties", {}).items() if "description" not in value] == []
