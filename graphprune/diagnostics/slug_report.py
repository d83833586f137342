"""What a diagnostic slug means, as text."""

from __future__ import annotations

import textwrap
from collections.abc import Collection

from graphprune.diagnostics.slugs import SlugHelp

_MARGIN = "    "


def render_slug(help: SlugHelp, width: int = 100) -> str:
    """Return the meaning of one slug, why it hurts, an example that gives it, and the example
    mended.
    """
    about = textwrap.fill(help.means, width)
    hurts = textwrap.fill(f"Why it hurts: {help.hurts}", width)
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
        "Mended:",
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
