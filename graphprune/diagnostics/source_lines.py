"""Lines of rule files as text, to be shown under what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from pathlib import Path

from graphprune.diagnostics.diagnostic import Where

FindPath = Callable[[str], Path | None]
"""Returns where the file is that a place names; None where there is none."""

_MAX_BYTES = 1_000_000
_LINE_END = re.compile(r"\r\n|\n|\r")  # as the YAML reader counts lines


class SourceLines:
    """Reads lines of rule files; each file once.

    Only regular files are read: a pipe would be waited for, and what stood in it is gone.
    """

    def __init__(self, find_path: FindPath, files: Collection[str] | None = None) -> None:
        """Read any file that a place names, or only these; `find_path` says where they are."""
        self.files = files
        self._read = lru_cache(partial(_read_lines, find_path))

    def find(self, where: Where) -> str | None:
        """Return the line at `where` without its end, or None where there is none: the place is no
        place in a file, or the file is gone.
        """
        if where.line is None or (self.files is not None and where.file not in self.files):
            return None
        lines = self._read(where.file)
        return lines[where.line - 1] if 0 < where.line <= len(lines) else None


def _read_lines(find_path: FindPath, file: str) -> tuple[str, ...]:
    """Return the lines of a file; none where it is no readable file of a rule file's size."""
    try:
        path = find_path(file)
        if path is None or not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return ()
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        return ()  # its own fault was told already
    return tuple(
        line.replace("\ufeff", "") for line in _LINE_END.split(text)
    )  # the YAML reader gives a byte order mark no column
