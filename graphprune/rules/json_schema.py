"""The JSON Schema of rule files, for editors: what the pydantic models say, with a line of help for every key.

Draft 7, which YAML language servers read. It is a little wider than the checker: faults between distant parts of a file, or with a model, are the checker's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphprune.rules.file_shape import FileShape
from graphprune.rules.key_help import KEY_HELP
from graphprune.rules.shape import Conditions, Shape

Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
_VARIABLE: Schema = {"$ref": "#/definitions/Variable"}
_PLAIN: Schema = {"type": ["string", "number", "boolean", "array", "null"]}
# What the models' validators demand of whole mappings, which pydantic does not write.
_WHOLE: dict[str, Schema] = {
    "RuleShape": {"oneOf": [{"required": ["prune"]}, {"required": ["keep"]}]},
    "NamePatternShape": {"minProperties": 1, "maxProperties": 1},
    "CheckShape": {
        "oneOf": [{"required": [form]} for form in ("count", "every", "covers", "result")],
        "dependencies": {"every": ["satisfies"], "satisfies": ["every"]},
    },
}


def make_json_schema() -> Schema:
    """Return the JSON Schema of a rule file.

    Example:
        >>> make_json_schema()["properties"]["version"]["description"]
        'Version of the rule language: 1.'
    """
    made = FileShape.model_json_schema(ref_template="#/definitions/{model}")
    shapes = {shape.__name__: shape for shape in _all_shapes(Shape)}
    definitions = {name: _finish(part, shapes[name]) for name, part in made.pop("$defs").items()}
    root = _finish(made, FileShape)
    root["properties"]["vars"] = made["properties"]["vars"] | {"description": KEY_HELP["FileShape"]["vars"]}  # nothing is filled in there
    for key in ("title", "default"):
        root["properties"]["vars"].pop(key, None)
    return {
        "$schema": _DRAFT,
        "title": "graphprune rule file",
        **{key: value for key, value in root.items() if key != "title"},
        "patternProperties": {"^x-": {}},
        "definitions": {"Variable": {"type": "string", "pattern": r"^\s*\$\{[^{}]*\}\s*$", "description": "A variable of 'vars'."}, **definitions},
    }


def help_for(shape: type[Shape], key: str) -> str | None:
    """Return the line of help of a key, which may stand with a shape that this one inherits from."""
    return next((KEY_HELP[base.__name__][key] for base in shape.__mro__ if key in KEY_HELP.get(base.__name__, {})), None)


def _all_shapes(shape: type[Shape]) -> Iterator[type[Shape]]:
    for inner in shape.__subclasses__():
        yield inner
        yield from _all_shapes(inner)


def _finish(made: Schema, shape: type[Shape]) -> Schema:
    """Return the schema of one mapping: each key with its help and open to variables, and what holds of the whole."""
    properties = {key: _property(value, help_for(shape, key)) for key, value in made["properties"].items()}
    least = {"minProperties": 1} if issubclass(shape, Conditions) else {}
    return made | {"title": shape.__name__.removesuffix("Shape"), "properties": properties} | least | _WHOLE.get(shape.__name__, {})


def _property(made: Schema, help: str | None) -> Schema:
    default = {"default": made["default"]} if made.get("default") is not None else {}
    bare = {key: value for key, value in made.items() if key not in ("title", "default")}
    return _value(bare) | default | ({} if help is None else {"description": help})


def _value(made: Schema) -> Schema:
    """Return the schema of one value: alternatives need not exclude one another, and a variable may stand for each scalar."""
    if not made:
        return _PLAIN
    if made.get("type") == "array":
        return made | {"items": _value(made.get("items", {"type": [*_PLAIN["type"], "object"]}))}
    if made.get("type") == "object":
        inner = made.get("additionalProperties")
        return made | {"additionalProperties": _value(inner)} if isinstance(inner, dict) else made
    if "$ref" in made:
        return made
    parts = [_value(part) for part in (made.get("oneOf") or made.get("anyOf") or [made]) if part is not made] or [made]
    flat = [inner for part in parts for inner in part.get("anyOf", [part])]
    return {"anyOf": [*(part for part in flat if part != _VARIABLE), _VARIABLE]}
