"""The base of all mappings of rule files, a pydantic model: unknown and empty keys are faults.

Each key has its description (`Field(description=)`) and an example of its value in YAML
(`examples=`), which editors, messages and the language reference use.

Models get plain values (with variables substituted) and a context: `schedules`, the names of
schedules of all files, and `shapes`, in which each model stores the identity of the mapping that it
checked, so that a fault can list the known keys. Tags of unions begin with `~`; they are not part
of a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

FORM_SHOWN = "form_shown"
MATCHER_WANTED = "matcher_wanted"
"""Additional types of pydantic errors, which say how help shows the form of a value."""

Form = Literal["example", "shown", "matcher"]


class Fault(ValueError):
    """A value is wrong; the message becomes `FIELD EXPECTATION, got VALUE`.

    With `says_all` the message is the expectation alone, which then includes the value.

    If there is no other help, `form` says how to show a correct value: by the example of the key,
    as a matcher, or not at all because the expectation shows it.
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
        """What to write instead; it is searched for only when it is read."""
        return self._help if isinstance(self._help, str) else self._help()


def optional(
    description: str, example: str, *, alias: str | None = None, default: Any = None
) -> Any:
    """Return a key that can be omitted but not be empty.

    An empty `name:` is a fault, not a condition that is always true.
    """
    return Field(default=default, alias=alias, description=description, examples=[example])


def required(description: str, example: str, *, alias: str | None = None) -> Any:
    """Return a required key."""
    return Field(alias=alias, description=description, examples=[example])


class Shape(BaseModel):
    """One mapping of the file; unknown keys are faults.

    Attributes:
        meant: Common wrong keys, and the correct key for each.
        missing: Help for missing keys whose example is not enough.
        takes_variables: Whether `${name}` can replace a scalar.
        noun: The name of a whole file of this shape, in messages.
        opening: Help for a file that is no mapping.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, arbitrary_types_allowed=True, defer_build=True
    )

    meant: ClassVar[Mapping[str, str]] = {}
    missing: ClassVar[Mapping[str, str]] = {}
    takes_variables: ClassVar[bool] = True
    noun: ClassVar[str] = "rule file"
    opening: ClassVar[str] = (
        "begin with 'version: 1' and a list 'rules'; graphprune rules lists the files that ship, as"
        " examples"
    )

    @model_validator(mode="before")
    @classmethod
    def remember_shape(cls, data: Any, info: ValidationInfo) -> Any:
        """Store in the context which model checks this mapping."""
        if isinstance(data, dict) and info.context is not None:
            info.context["shapes"][id(data)] = cls
        return data

    def given(self, name: str) -> Any:
        """Return a field's value, or None if the file omits it."""
        return getattr(self, name) if name in self.model_fields_set else None


class Conditions(Shape):
    """A mapping that must not be empty."""

    @model_validator(mode="after")
    def check_not_empty(self) -> Conditions:
        """Refuse `{}`."""
        if not self.model_fields_set:
            raise Fault("value/range", "must hold at least one condition")
        return self


def keys_of(shape: type[Shape]) -> tuple[str, ...]:
    """Return the keys that a mapping of this shape can have."""
    return tuple(key for key, _ in _fields(shape))


def help_for(shape: type[Shape], key: str) -> str | None:
    """Return the description that an editor shows for a key."""
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
