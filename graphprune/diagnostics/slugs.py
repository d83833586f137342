"""The meaning of every diagnostic slug, and that meaning as text.

`slugs.yaml` is the table; tests run its examples.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML


@dataclass(frozen=True, slots=True)
class SlugHelp:
    """What one slug means.

    Attributes:
        slug: The slug, such as `rule/conflict`.
        means: What was found.
        hurts: Why it matters.
        example: A rule file that gives it, or a command line.
        mended: The same without the fault.
        is_command: Whether `example` and `mended` are command lines.
        graph: The model that the example is about, as a line of text; "" for the one that the
            table's head describes.
        epochs: The length of the run that the example is about.
    """

    slug: str
    means: str
    hurts: str
    example: str
    mended: str
    is_command: bool = False
    graph: str = ""
    epochs: int | None = None


@cache
def read_slugs() -> dict[str, SlugHelp]:
    """Return the table, in its order: faults of files first, then faults with a model.

    Example:
        >>> read_slugs()["rule/count"].means
        "A rule matches another number of layers than its 'expect' says."
    """
    table = YAML(typ="safe", pure=True).load(
        files("graphprune.diagnostics").joinpath("slugs.yaml").read_text(encoding="utf-8")
    )
    return {slug: _entry(slug, fields) for slug, fields in table.items()}


def _entry(slug: str, fields: dict[str, Any]) -> SlugHelp:
    is_command = "command" in fields
    return SlugHelp(
        slug=slug,
        means=fields["means"],
        hurts=fields["hurts"],
        example=fields["command" if is_command else "example"],
        mended=fields["mended_command" if is_command else "mended"],
        is_command=is_command,
        graph=fields.get("graph", ""),
        epochs=fields.get("epochs"),
    )


_MARGIN = "    "


def render_slug(help: SlugHelp, width: int = 100) -> str:
    """Return the meaning of one slug, its harm, an example, and the example corrected."""
    about = textwrap.fill(help.means, width)
    hurts = textwrap.fill(f"Why it matters: {help.hurts}", width)
    example = "A command that gives it:" if help.is_command else "A rule file that gives it:"
    if help.epochs is not None:
        example = f"{example[:-1]}, in a run of {help.epochs} epochs:"
    parts = [
        help.slug,
        "",
        about,
        hurts,
        "",
        example,
        "",
        _indent(help.example),
        "",
        "Corrected:",
        "",
        _indent(help.mended),
    ]
    return "\n".join(parts)


def render_slug_list(table: Collection[SlugHelp]) -> str:
    """Return one line a slug: the first sentence of what it means."""
    width = max((len(help.slug) for help in table), default=0)
    return "\n".join(
        f"{help.slug:<{width}}  {help.means.split('. ')[0].rstrip('.')}" for help in table
    )


def _indent(text: str) -> str:
    return textwrap.indent(text.rstrip(), _MARGIN)
