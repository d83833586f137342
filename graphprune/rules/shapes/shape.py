"""What every mapping of a rule file has in common, as a pydantic model: unknown keys are faults,
and nothing that is given may be empty.

Models see plain values (variables already filled in) and a context: `schedules`, the names that any
of the files defines, and `shapes`, into which each model writes the identity of the mapping that it
judged, so that a fault can tell which keys are known there. Tags of unions begin with `~`; they are
not part of a place.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, ValidationInfo, model_validator

from graphprune.rules.shapes.scalars import Fault

# A field with this default may be left out, but not be empty: an empty `name:` is a fault, not a
# condition that is always true.
OPTIONAL: Any = Field(default=None)
NEGATION: Any = Field(default=None, alias="not")


class Shape(BaseModel):
    """One mapping of the file; unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

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
    return tuple(info.alias or name for name, info in shape.model_fields.items())


def kind_of(text: bool, expectation: str) -> Discriminator:
    """Return the union switch of `text | list | mapping` (with `text`), or `anything | mapping`."""

    def kind(value: Any) -> str | None:
        if isinstance(value, dict):
            return "~mapping"
        if not text:
            return "~value"
        return "~text" if isinstance(value, str) else "~list" if isinstance(value, list) else None

    return Discriminator(kind, custom_error_type="value/type", custom_error_message=expectation)
