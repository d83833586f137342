"""Values that print as a short report, show as a page in a notebook, and save themselves.

The reports stand above the values in the table of packages, so they are found by name on first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from html import escape
from os import PathLike, fspath
from pathlib import Path, PurePath

from graphprune.errors import OutputError
from graphprune.files import write_whole

SUFFIXES: Mapping[str, str] = {
    ".txt": "text",
    ".json": "json",
    ".html": "html",
    ".svg": "svg",
    ".md": "github",
    ".dot": "dot",
}
"""The format that the end of a file's name says."""
_RENDERERS = "graphprune.report.rendering"
_FRAME = (
    '<iframe srcdoc="{page}" style="width: 100%; height: 640px; border: 1px solid #ccc"></iframe>'
)


def find_format(path: str) -> str | None:
    """Return the format that a file's name says; None where it says none.

    Example:
        >>> find_format("plan.HTML"), find_format("plan.pdf")
        ('html', None)
    """
    return SUFFIXES.get(PurePath(path).suffix.lower())


class Shown:
    """A value with a report of its own: a plan, a diff, a verification, a layer graph."""

    __slots__ = ()

    def __str__(self) -> str:
        return str(importlib.import_module(_RENDERERS).render_brief(self))

    def __repr__(self) -> str:
        first = " ".join(str(self).partition("\n")[0].split())
        return f"<{type(self).__name__}: {first.partition(': ')[2] or first}>"

    def _repr_html_(self) -> str | None:
        """Return the page in a frame, for notebooks; None without a page: they show the text."""
        try:
            page = importlib.import_module(_RENDERERS).render(self, "html")
        except OutputError:
            return None
        return _FRAME.format(page=escape(page))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the report into a file, in the format of its suffix; an existing file is replaced.

        The suffixes are `.txt`, `.json`, `.html`, `.svg` and `.md`.

        Raises:
            OutputError: no report has such a suffix, or the file cannot be written.
        """
        place = fspath(path)
        kind = find_format(place)
        if kind is None:
            raise OutputError(
                f"no report has this suffix; known are {', '.join(SUFFIXES)}", place=place
            )
        text: str = importlib.import_module(_RENDERERS).render(self, kind)
        write_whole(Path(place), text.encode())
