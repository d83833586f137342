"""The files that ship with graphprune, in the wheel or in the checkout of an editable install."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_ROOTS = (_PACKAGE / "_shipped", _PACKAGE.parent)


def shipped_file(name: str) -> Path:
    """Return the path of a shipped file or folder, such as `rules/dense-90.yaml` or `rules`.

    Raises:
        FileNotFoundError: nothing of that name ships; the installation is damaged, or the name is
            wrong.

    Example:
        >>> shipped_file("rules").name
        'rules'
    """
    for root in _ROOTS:
        path = root / name
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{name}: not among the files that ship with graphprune (looked in"
        f" {', '.join(map(str, _ROOTS))})"
    )
