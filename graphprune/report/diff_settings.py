"""A changed setting of a layer or a model, in words."""

from __future__ import annotations

import json
import re

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.diff.changes import ConfigChange
from graphprune.graph.classes.python_code import CODE
from graphprune.graph.layers import name_call
from graphprune.report.tables import shorten

_VALUE_WIDTH = 60
_CODE = f".{CODE}"
_CALL = re.compile(r"^calls\.([0-9]{1,9})\.?")
"""What the path of a constant argument begins with: the index of its call."""


def change_text(change: ConfigChange) -> str:
    """Return a changed setting with both values, long ones cut; of Python code only that it
    differs.
    """
    if change.path.endswith(_CODE):
        return f"{escape_controls(change.path.removesuffix(_CODE))}  Python code differs"
    path = _CALL.sub(lambda call: f"{name_call(int(call[1]))} ", change.path)
    return f"{escape_controls(path)}  {_value_text(change.before)} -> {_value_text(change.after)}"


def _value_text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return shorten(escape_controls(text), _VALUE_WIDTH)


def arrow(before: str, after: str) -> str:
    """Return both texts with an arrow between them, or the one that both are."""
    return before if before.strip() == after else f"{before} -> {after}"
