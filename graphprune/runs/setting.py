"""A setting of training runs: a flag of `train`, and the key of the run file that says the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["text", "whole", "real", "switch", "on-off", "list", "pairs", "by-output", "yaml"]
"""How a flag writes its value: as text, a whole number, a number or a YAML mapping, nothing (a
switch), nothing with a second flag `--no-...` for false, repeated, `NAME=VALUE`, `[OUTPUT=]NAME`,
or YAML.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """A flag of `train` and the key of the run file that says the same.

    Attributes:
        key: The key's path in the run file, such as `train.epochs`.
        flag: The flag; empty for the command's argument.
        value: The type of the key's value: check and JSON Schema.
        help: What it does, for both.
        example: The key's value in YAML.
        form: How the flag writes the value.
        argument: The argument of `graphprune.train` for it; empty where the command uses it.
        metavar: The flag's value in help.
        least, most: The limits of a whole number.
        shown: The default that help shows.
        is_path: Whether it is a path, relative to the run file's folder.
        is_recorded: Whether the run file that a run writes has it.
    """

    key: str
    flag: str
    value: Any
    help: str
    example: str
    form: Form = "text"
    argument: str = ""
    metavar: str | None = None
    least: int | None = None
    most: int | None = None
    shown: str = ""
    is_path: bool = False
    is_recorded: bool = True

    @property
    def path(self) -> tuple[str, ...]:
        """The key as a path."""
        return tuple(self.key.split("."))

    @property
    def option(self) -> str:
        """The name of the flag's value in the command."""
        return self.flag.lstrip("-").replace("-", "_") or self.key
