"""Variables of rule files: `${name}` as a whole scalar with the type of its default."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.diagnostics.diagnostic import MAX_OF_A_KIND, Diagnostic, Where
from graphprune.rules.text.document import Document, Path
from graphprune.rules.text.yaml_text import HALVES, MAX_DIGITS
from graphprune.suggestions import closest

Variable = str | int | float | bool

_WHOLE = re.compile(r"\$\{([^{}]*)\}")
_PERCENT = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?\s*%")
_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_PART = re.compile(r"\$\{\s*[A-Za-z_][\w-]*\s*\}")


def collect_variables(
    documents: Sequence[Document], overrides: Mapping[str, str]
) -> tuple[dict[str, Variable], list[Diagnostic]]:
    """Return the variables of all files after overrides, and the faults of the overrides.

    Definitions of other types are reported by the shape checks.
    """
    defaults: dict[str, Variable] = {}
    for document in documents:
        block = document.data.get("vars") if isinstance(document.data, dict) else None
        for name, value in (block if isinstance(block, dict) else {}).items():
            if isinstance(value, str | int | float):
                defaults.setdefault(name, value)
    faults: list[Diagnostic] = []
    values = dict(defaults)
    for name, text in overrides.items():
        where = Where(f"--var {name}={text}")
        if name not in defaults:
            help = closest(name, defaults) or (
                f"defined: {', '.join(sorted(defaults))}"
                if defaults
                else "the rule files define no variables"
            )
            faults.append(Diagnostic("var/unknown", f"no variable is named {name!r}", where, help))
            continue
        if HALVES.search(text):
            message = f"variable {name!r} must be text in UTF-8, got {text!r}"
            faults.append(
                Diagnostic("value/type", message, where, "is the terminal set to another encoding?")
            )
            continue
        value = _typed_like(defaults[name], text)
        if value is None:
            kind = "true or false" if isinstance(defaults[name], bool) else "a number"
            faults.append(
                Diagnostic(
                    "value/type",
                    f"variable {name!r} must be {kind} like its default {defaults[name]}, got"
                    f" {text!r}".replace("True", "true").replace("False", "false"),
                    where,
                )
            )
        else:
            values[name] = value
    return values, faults


def _typed_like(default: Variable, text: str) -> Variable | None:
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text.strip().lower())
    if isinstance(default, str):
        return _number(text, text) if _is_percent(default) else text
    if _is_percent(text) and 0 <= default <= 1:
        return text.strip()
    return _number(text, None)


def _is_percent(text: str) -> bool:
    return _PERCENT.fullmatch(text.strip()) is not None


def _number(text: str, otherwise: str | None) -> Variable | None:
    plain = text.strip()
    if len(plain) <= MAX_DIGITS and _WHOLE_NUMBER.fullmatch(plain):
        return int(plain)
    if len(plain) <= MAX_DIGITS and _NUMBER.fullmatch(plain) and math.isfinite(float(plain)):
        return float(plain)
    return otherwise


def _known_help(name: str, variables: Mapping[str, Variable]) -> str:
    return closest(name, variables) or (
        f"defined: {', '.join(sorted(variables))}" if variables else "define it under 'vars'"
    )


def fill_in(document: Document, variables: Mapping[str, Variable]) -> tuple[Any, list[Diagnostic]]:
    """Return the document's values with each `${name}` replaced, and the faults of unknown ones.

    Keys that begin with `x-` are left out.
    """
    faults: list[Diagnostic] = []

    def fill(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {
                key: fill(item, (*path, key))
                for key, item in value.items()
                if path or not key.startswith("x-")
            }
        if isinstance(value, list):
            return [fill(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value or path[:1] == ("vars",):
            return value
        return replace(value, path)

    def replace(text: str, path: Path) -> Any:
        whole = _WHOLE.fullmatch(text.strip())
        name = whole[1].strip() if whole else ""
        if whole and name in variables:
            return variables[name]
        if whole:
            help = _known_help(name, variables) if len(faults) < MAX_OF_A_KIND else None
            faults.append(
                Diagnostic(
                    "var/unknown", f"no variable is named {name!r}", document.value(path), help
                )
            )
        elif _PART.search(text):
            help = "make the whole text one variable; text is not put together from parts"
            faults.append(
                Diagnostic(
                    "value/type",
                    f"a variable must be the whole value, got {text[:60]!r}",
                    document.value(path),
                    help,
                )
            )
        return text

    return fill(document.data, ()), faults
