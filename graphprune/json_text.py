"""JSON as graphprune writes it: strict, indented, the same bytes for the same value."""

from __future__ import annotations

import json
from typing import Any


def to_json(config: Any) -> str:
    """Return `config` as indented strict JSON with a newline at the end; the same value gives the
    same bytes.
    """
    return encodable(json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def encodable(text: str) -> str:
    r"""Return `text` with halves of surrogate pairs as escapes: paths and configs may hold them,
    and no file and no terminal takes them.

    Example:
        >>> encodable('{"path": "\udcff.keras"}')
        '{"path": "\\udcff.keras"}'
    """
    return text.encode("utf-8", "backslashreplace").decode()
