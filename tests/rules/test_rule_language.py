"""docs/rule-language.md says what the schema says, and its example is a rule file."""

import re
from pathlib import Path

from rule_language import fill_in, key_table, shapes

from graphprune.rules import parse_rules
from graphprune.rules.building.patterns import PATTERN_SHAPES

DOCS = Path(__file__).parents[2] / "docs" / "rule-language.md"


def test_the_tables_are_those_of_the_schema(request):
    """Rewrite them with `--rewrite-golden`, as golden files."""
    text = DOCS.read_text(encoding="utf-8")
    if request.config.getoption("--rewrite-golden"):
        DOCS.write_text(fill_in(text), encoding="utf-8")
        text = DOCS.read_text(encoding="utf-8")
    assert fill_in(text) == text


def test_every_mapping_of_the_language_has_a_table():
    named = set(re.findall(r"<!-- keys: (\w+) -->", DOCS.read_text(encoding="utf-8")))
    named |= {shape.__name__ for shape in PATTERN_SHAPES}
    # bases of others, and the one matcher of the command line
    bases = {"Shape", "Conditions", "PruneFieldsShape", "PatternShape"}
    assert set(shapes()) - named == bases | {"MatchShape"}


def test_a_table_shows_what_must_be_given_and_an_example():
    text = key_table(shapes()["CountShape"])
    assert text.splitlines()[2:] == [
        "| `of` (required) | Which layers are counted. | `of: {type: Dense}` |",
        "| `is` (required) | The number, or a test of it. | `is: {gte: 1}` |",
    ]


def test_the_example_is_a_rule_file():
    example, *grouped = re.findall(
        r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL
    )
    actions = [parse_rules(text, "grouped.yaml").rules[0].action for text in grouped]
    assert [action.group for action in actions] == ["auto", "auto"]
    assert [str(action.budget) for action in actions] == [
        "None",
        "magnitude, 50% of multiply-adds over claimed, max 80%",
    ]
    assert [rule.id for rule in parse_rules(example, "example.yaml").rules] == [
        "dense-90",
        "keep-classifier",
    ]
