"""JSON documents: their types, text and schemas, and what is wrong with one.

The keys of a document are a TypedDict, the one place that says them: mypy holds what is written
against it, pydantic what is read, and the schema is made from it. pydantic is imported only where a
document is read or a schema asked for, since its import takes longer than to write a document.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema, ErrorDetails

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LARGEST = 2**53
"""The largest whole number that every JSON reader keeps exact."""
_WORDS = {
    "bool_type": "true or false",
    "dataclass_type": "an object",
    "dict_type": "an object",
    "float_type": "a number",
    "int_type": "a whole number",
    "json_invalid": "valid Unicode",
    "list_type": "a list",
    "mapping_type": "an object",
    "string_type": "a string",
    "too_long": "a shorter list",
    "tuple_type": "a list",
}
"""What was expected, by the type of pydantic's error."""
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}
_T = TypeVar("_T")
Key = str | int


def to_json(config: Any, *, allow_nan: bool = False, ascii_only: bool = False) -> str:
    r"""Return `config` as indented JSON with a newline at the end; same value, same bytes.

    Halves of surrogate pairs become escapes, see `encodable`.

    Args:
        config: JSON data.
        allow_nan: Write NaN and the infinities bare, as Python reads them and strict JSON does not.
        ascii_only: Write all other characters as escapes.

    Raises:
        ValueError: a number is not finite, without `allow_nan`.

    Example:
        >>> to_json({"path": "\udcffä.keras"})
        '{\n  "path": "\\udcffä.keras"\n}\n'
        >>> to_json([float("inf"), "ä"], allow_nan=True, ascii_only=True)
        '[\n  Infinity,\n  "\\u00e4"\n]\n'
    """
    text = json.dumps(config, indent=2, ensure_ascii=ascii_only, allow_nan=allow_nan)
    return encodable(text) + "\n"


def encodable(text: str) -> str:
    r"""Return `text` with lone surrogates as escapes, so that files and terminals accept it.

    Paths and configs may contain them.

    Example:
        >>> encodable('{"path": "\udcff.keras"}')
        '{"path": "\\udcff.keras"}'
    """
    return text.encode("utf-8", "backslashreplace").decode()


class Expected:
    """What a value of a document must be, in plain words, and the limits of numbers and strings.

    Args:
        text: The words, which stand behind "expected".
        about: The description of a key that can have no docstring, as its name is a Python keyword.
        limits: Those of pydantic's core schema, such as `ge` and `pattern`.
    """

    def __init__(self, text: str, *, about: str = "", **limits: Any) -> None:
        self.text, self.about, self.limits = text, about, limits

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core import core_schema  # only here, see above

        limited: Any = {**handler(source), "strict": True, **self.limits}
        return core_schema.custom_error_schema(
            limited, custom_error_type="expected", custom_error_message=self.text
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema) | ({"description": self.about} if self.about else {})


class FirstOnly:
    """Ends the check of a list or an object at its first fault.

    pydantic collects all faults, and a malicious file may have millions.
    """

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema: Any = {**handler(source), "fail_fast": True}
        return cast("CoreSchema", schema)


Items = Annotated[list[_T], FirstOnly()]
Table = Annotated[dict[str, _T], FirstOnly()]
Text = Annotated[str, Expected("a string")]
Flag = Annotated[bool, Expected("true or false")]
Count = Annotated[int, Expected("a whole number from 0", ge=0, le=LARGEST)]
Length = Annotated[int, Expected("a whole number from 1", ge=1, le=LARGEST)]
Number = Annotated[float, Expected("a number from 0", ge=0, le=LARGEST, allow_inf_nan=False)]
Real = Annotated[float, Expected("a number", allow_inf_nan=False)]
Share = Annotated[float, Expected("a number from 0 to 1", ge=0, le=1, allow_inf_nan=False)]


class Unexpected(ValueError):
    """A value of a document is not what it must be, or is missing.

    Attributes:
        path: The keys that lead to it.
        expected: What it must be; empty where it is missing.
        got: What it is.

    Example:
        >>> print(Unexpected(("model", "layers"), "a whole number from 0", "5"))
        model.layers: expected a whole number from 0, got '5'
        >>> print(Unexpected(("layer_changes", 0, "rule")))
        layer_changes[0].rule: this field is missing
    """

    def __init__(self, path: tuple[Key, ...], expected: str = "", got: object = None) -> None:
        self.path, self.expected, self.got = path, expected, got
        fault = f"expected {expected}, got {self.shown}" if expected else "this field is missing"
        super().__init__(f"{self.place}: {fault}" if path else fault)

    @property
    def place(self) -> str:
        """The keys as one text, such as `layer_changes[0].rule`."""
        return "".join(
            f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path
        ).removeprefix(".")

    @property
    def shown(self) -> str:
        """What was got, as JSON says it, cut to a readable length."""
        names = {None: "null", True: "true", False: "false"}
        return names[self.got] if isinstance(self.got, bool | None) else reprlib.repr(self.got)


@contextmanager
def within(*keys: Key) -> Iterator[None]:
    """Within the block, put `keys` in front of the path of a fault.

    Raises:
        Unexpected: with the longer path.
    """
    try:
        yield
    except Unexpected as fault:
        raise Unexpected((*keys, *fault.path), fault.expected, fault.got) from fault


def check_document(kind: type[_T], data: object) -> _T:
    """Return JSON data as the TypedDict `kind`; keys that it does not have are left out.

    Raises:
        Unexpected: a key is missing, or has another value.
    """
    from pydantic import ValidationError  # only here, see above

    try:
        value: _T = _adapter(kind).validate_python(data)
    except ValidationError as fault:
        raise to_unexpected(fault) from fault
    return value


def check_json(kind: type[_T], text: str | bytes) -> _T:
    """Return JSON text as the dataclass `kind`: lists as tuples, missing keys as their defaults.

    Raises:
        Unexpected: a key without a default is missing, or one has another value.
    """
    from pydantic import ValidationError  # only here, see above

    try:
        value: _T = _adapter(kind).validate_json(text, strict=True)
    except ValidationError as fault:
        raise to_unexpected(fault) from fault
    return value


def to_unexpected(fault: ValidationError) -> Unexpected:
    """Return the first thing that pydantic found wrong, in the words of this module."""
    first = fault.errors(include_url=False)[0]
    path = tuple(key for key in first["loc"] if key != "[key]")
    if first["type"] == "missing":
        return Unexpected(path)
    return Unexpected(path, _expected(first), first["input"])


def make_schema(kind: type, title: str) -> dict[str, Any]:
    """Return the JSON Schema of the TypedDict `kind`, with the docstrings of its keys."""
    from pydantic import ConfigDict, TypeAdapter  # only here, see above
    from pydantic.json_schema import GenerateJsonSchema

    class Plain(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:
            return False  # a title would only be the key again

    config = ConfigDict(use_attribute_docstrings=True)
    # a TypedDict takes no config, and those inside another type do
    adapter: TypeAdapter[Any] = TypeAdapter(list[kind], config=config)  # type: ignore[valid-type]
    whole = adapter.json_schema(schema_generator=Plain)
    parts = whole["$defs"]
    root = {"$schema": DIALECT, "title": title} | parts.pop(kind.__name__) | {"title": title}
    return {**root, "$defs": dict(sorted(parts.items()))}


def _expected(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "expected":
        return error["msg"]
    if kind == "literal_error":
        choices = re.findall("'([^']*)'", context["expected"])
        return f"one of {', '.join(choices)}"
    if kind == "value_error":
        return str(context["error"])
    return _WORDS.get(kind, "another value")


def _adapter(kind: type) -> TypeAdapter[Any]:
    """Return the checker of a type; making one takes some 10 ms."""
    from pydantic import TypeAdapter  # only here, see above

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
