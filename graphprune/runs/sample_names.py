"""Names of arrays of samples, in an `.npz` or in Python: `x_train`, `y_val.heads`, `w_train`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from graphprune.errors import DataError
from graphprune.suggestions import find_close

PARTS = ("train", "val", "test")
NAMES = tuple(f"{side}_{part}" for part in PARTS for side in "xyw")
_MEMBER = re.compile(r"(?P<side>[xyw])_(?P<part>train|val|test)(?:\.(?P<name>.+))?", re.S)
_NEEDED = "x_train and y_train are required, x_test and y_test are optional"
_OTHER_WORDS = {
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "tst": "test",
    "training": "train",
}
_SHOWN = 10


def group_arrays(arrays: Mapping[str, Any], side: str, part: str) -> dict[str, Any]:
    """Return the arrays of a side of a part, by the names of inputs or outputs; "" for none."""
    found = {}
    for member, array in arrays.items():
        known = _MEMBER.fullmatch(member)
        if known is not None and (known["side"], known["part"]) == (side, part):
            found[known["name"] or ""] = array
    return found


def is_known(name: str) -> bool:
    """Return whether an array of this name is used."""
    return _MEMBER.fullmatch(name) is not None


def side_and_part(name: str) -> tuple[str, str]:
    """Return the side and the part that a known name begins with.

    Example:
        >>> side_and_part("y_val.heads")
        ('y', 'val')
    """
    known = _MEMBER.fullmatch(name)
    return (known["side"], known["part"]) if known is not None else ("", "")


def check_names(spec: str, names: tuple[str, ...]) -> None:
    """Refuse unknown names, and names of which others are missing.

    Raises:
        DataError: there is one, or x_train or y_train is missing.
    """
    unknown = [name for name in names if not is_known(name)]
    for name in unknown:
        if _guess(name):
            _refuse_unknown(spec, name)
    present = {(known["side"], known["part"]) for name in names if (known := _MEMBER.match(name))}
    for name in ("x_train", "y_train"):
        if (name[0], "train") not in present:
            raise DataError(f"has no {name}, it holds {_list(names)}; {_NEEDED}", place=spec)
    for name in unknown:
        _refuse_unknown(spec, name)
    for part in PARTS[1:]:
        _check_part(spec, part, {side for side, of in present if of == part})
    _check_single(spec, names)


def _check_part(spec: str, part: str, sides: set[str]) -> None:
    if sides in (set(), {"x", "y"}, {"x", "y", "w"}):
        return
    here = ", ".join(f"{side}_{part}" for side in "xyw" if side in sides)
    missing = " and ".join(f"{side}_{part}" for side in "xy" if side not in sides)
    advice = "give both or neither" if "w" not in sides else f"{here} needs it"
    raise DataError(f"has {here} but no {missing}; {advice}", place=spec)


def _check_single(spec: str, names: tuple[str, ...]) -> None:
    """Refuse `x_train` beside `x_train.image`: one of them would not be used."""
    for name in names:
        whole, dot, _ = name.partition(".")
        if dot and whole in names:
            raise DataError(
                f"has {whole} and {name}; give one array, or one for each name", place=spec
            )


def _refuse_unknown(spec: str, name: str) -> NoReturn:
    guess = _guess(name)
    said = f"did you mean {guess}?" if guess else f"known are {', '.join(NAMES)} and x_train.NAME"
    raise DataError(f"unknown array {name[:40]}; {said}", place=spec)


def _guess(name: str) -> str:
    """Return the name that was probably meant; empty where none is near.

    Example:
        >>> _guess("x_valid"), _guess("Y_train"), _guess("sample_weight"), _guess("class_names")
        ('x_val', 'y_train', 'w_train', '')
    """
    side, _, part = name.lower().partition("_")
    word = f"{side}_{_OTHER_WORDS.get(part, part)}"
    if word in NAMES:
        return word
    if "weight" in name.lower():
        return "w_train"
    return next(iter(find_close(name.lower(), NAMES, count=1)), "")


def _list(names: tuple[str, ...]) -> str:
    shown = [name[:40] for name in sorted(names)[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(shown) or 'nothing'}{more}"
