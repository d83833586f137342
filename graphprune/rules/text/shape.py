"""The base of all mappings of rule files, as a pydantic model: unknown and empty keys are faults.

Each key carries its description (`Field(description=)`) and an example of its value in YAML
(`examples=`): editors, messages and the reference of the language take them from there.

Models see plain values (variables already filled in) and a context: `schedules`, the names that any
of the files defines, and `shapes`, into which each model writes the identity of the mapping that it
judged, so that a fault can tell which keys are known there. Tags of unions begin with `~`; they are
not part of a place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

FORM_SHOWN = "form_shown"
MATCHER_WANTED = "matcher_wanted"
"""Types of pydantic errors, beside its own, that say how help shows the form of a value."""

Form = Literal["example", "shown", "matcher"]


class Fault(ValueError):
    """One value is wrong; the message becomes `FIELD EXPECTATION, got VALUE`.

    With `says_all` it is the expectation alone, which then says what it got.

    Where there is no other help, `form` says how to show what is written instead: by the example of
    the key, not at all as the expectation shows it, or as a matcher.
    """

    def __init__(
        self,
        slug: str,
        expectation: str,
        help: str | Callable[[], str] = "",
        *,
        says_all: bool = False,
        form: Form = "example",
    ) -> None:
        super().__init__(expectation)
        self.slug = slug
        self.expectation = expectation
        self._help = help
        self.says_all = says_all
        self.form = form

    @property
    def help(self) -> str:
        """What to write instead; a search for it is made only when it is asked for."""
        return self._help if isinstance(self._help, str) else self._help()


def optional(
    description: str, example: str, *, alias: str | None = None, default: Any = None
) -> Any:
    """Return a key that may be left out, but not be empty.

    An empty `name:` is a fault, not a condition that is always true.
    """
    return Field(default=default, alias=alias, description=description, examples=[example])


def required(description: str, example: str, *, alias: str | None = None) -> Any:
    """Return a key that must be given."""
    return Field(alias=alias, description=description, examples=[example])


class Shape(BaseModel):
    """One mapping of the file; unknown keys are faults.

    Attributes:
        meant: Keys that people write here, and the key that each stands for.
        missing: What to say where a key is missing, if its example does not say enough.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, arbitrary_types_allowed=True, defer_build=True
    )

    meant: ClassVar[Mapping[str, str]] = {}
    missing: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def remember_shape(cls, data: Any, info: ValidationInfo) -> Any:
        """Note in the context which model judges this mapping."""
        if isinstance(data, dict) and info.context is not None:
            info.context["shapes"][id(data)] = cls
        return data

    def given(self, name: str) -> Any:
        """Return a field's value, or None where the file leaves it out."""
        return getattr(self, name) if name in self.model_fields_set else None


class Conditions(Shape):
    """A mapping that must say something."""

    @model_validator(mode="after")
    def check_not_empty(self) -> Conditions:
        """Refuse `{}`."""
        if not self.model_fields_set:
            raise Fault("value/range", "must hold at least one condition")
        return self


def keys_of(shape: type[Shape]) -> tuple[str, ...]:
    """Return the keys that a mapping of this shape may have."""
    return tuple(key for key, _ in _fields(shape))


def help_for(shape: type[Shape], key: str) -> str | None:
    """Return what an editor shows beside a key."""
    info = dict(_fields(shape)).get(key)
    return None if info is None else info.description


def example_of(shape: type[Shape], key: str) -> str | None:
    """Return an example of a key's value, as YAML."""
    info = dict(_fields(shape)).get(key)
    return str(info.examples[0]) if info is not None and info.examples else None


def _fields(shape: type[Shape]) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in shape.model_fields.items():
        yield info.alias or name, info


def kind_of(text: bool, expectation: str) -> Discriminator:
    """Return the union switch of `text | list | mapping` (with `text`), or `anything | mapping`."""

    def kind(value: Any) -> str | None:
        if isinstance(value, dict):
            return "~mapping"
        if not text:
            return "~value"
        if isinstance(value, str):
            return "~text"
        return "~list" if isinstance(value, list) else None

    return Discriminator(kind, custom_error_type="value/type", custom_error_message=expectation)
