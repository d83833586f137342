"""The JSON Schema of rule files and rule tests, for editors, from the models that check them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from graphprune.rules.building.case_file import CaseFileShape
from graphprune.rules.building.checks import FORMS, CheckShape
from graphprune.rules.building.rule_file import FileShape, RuleShape
from graphprune.rules.matchers.names import NamePatternShape
from graphprune.rules.text.shape import Conditions, Shape, help_for

Kind = Literal["rules", "test"]
KINDS: Mapping[Kind, tuple[type[Shape], str]] = {
    "rules": (FileShape, "graphprune rule file"),
    "test": (CaseFileShape, "graphprune rule test"),
}
DIALECT = (
    "http://json-schema.org/draft-07/schema#"  # the draft that YAML language servers support best
)
_VARIABLE = {"$ref": "#/definitions/variable"}
_VARIABLE_TEXT = {
    "description": "A variable of the section vars, as the whole value.",
    "type": "string",
    "pattern": r"^\s*\$\{[^{}]*\}\s*$",
}
_ONE_ACTION = [{"required": ["prune"]}, {"required": ["keep"]}]
_ONE_FORM = [{"required": [form]} for form in FORMS]
_BOTH_HALVES = {"every": ["satisfies"], "satisfies": ["every"]}
_UNUSED = ("title", "default", "description", "examples")
"""Keys that pydantic adds to the schema of a value and that are not needed there."""
Node = dict[str, Any]


def build_schema(kind: Kind) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file.

    A file that fails it has a fault. A file that passes may have faults that a schema cannot
    express.

    Example:
        >>> build_schema("rules")["required"]
        ['version']
    """
    schema = schema_of_shape(*KINDS[kind])
    if kind == "rules":
        schema["definitions"]["variable"] = _VARIABLE_TEXT
        schema["properties"]["vars"].pop("examples", None)
        schema["patternProperties"] = {
            "^x-": {"description": "A place for YAML anchors; not read as rules."}
        }
    return schema


def schema_of_shape(shape: type[Shape], title: str) -> dict[str, Any]:
    """Return the JSON Schema of files of this shape."""
    raw = shape.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    shapes = {found.__name__: found for found in _all_shapes(Shape)}
    definitions = {
        name: _mapping(shapes[name], node) for name, node in sorted(raw.pop("$defs", {}).items())
    }
    root = _mapping(shape, raw)
    return {"$schema": DIALECT, "title": title, **root, "definitions": definitions}


def _all_shapes(base: type[Shape]) -> Iterator[type[Shape]]:
    for shape in base.__subclasses__():
        yield shape
        yield from _all_shapes(shape)


def _mapping(shape: type[Shape], node: Node) -> Node:
    """Return the schema of a mapping, with help for its keys and rules that pydantic leaves out."""
    properties = {
        key: _described(_value(item, shape.takes_variables), help_for(shape, key))
        for key, item in node["properties"].items()
    }
    result = {key: value for key, value in node.items() if key != "title"} | {
        "properties": properties
    }
    if issubclass(shape, NamePatternShape):
        result |= {"minProperties": 1, "maxProperties": 1}
    elif issubclass(shape, Conditions):
        result["minProperties"] = 1
    elif issubclass(shape, RuleShape):
        result["oneOf"] = _ONE_ACTION
    elif issubclass(shape, CheckShape):
        result |= {"oneOf": _ONE_FORM, "dependencies": _BOTH_HALVES}
    return result


def _described(node: Node, help: str | None) -> Node:
    if "$ref" in node:
        node = {"allOf": [node]}  # draft 7 ignores keys beside $ref
    return node if help is None else {"description": help, **node}


def _value(node: Node, takes_variables: bool) -> Node:
    """Return the schema of a value in a file, where a variable can replace any scalar."""
    node = {key: value for key, value in node.items() if key not in _UNUSED}
    for key in ("anyOf", "oneOf"):
        if key in node:
            alternatives = [
                _value(part, False) if _is_scalar(part) else _value(part, takes_variables)
                for part in node.pop(key)
            ]
            # an empty alternative means "any value", beside a mapping with its own schema
            node["anyOf"] = [part or {"not": {"type": "object"}} for part in alternatives]
            if takes_variables and any(map(_is_scalar, alternatives)):
                node["anyOf"].append(_VARIABLE)
            return node
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = _value(node[key], takes_variables)
    return {"anyOf": [node, _VARIABLE]} if takes_variables and _is_scalar(node) else node


def _is_scalar(node: Node) -> bool:
    """Return whether the schema is that of a scalar other than arbitrary text."""
    is_narrow_text = node.get("type") == "string" and ("pattern" in node or "format" in node)
    return (
        node.get("type") in ("integer", "number", "boolean")
        or "enum" in node
        or "const" in node
        or is_narrow_text
    )
