"""Messages between a runner and its process: JSON facts and arrays, without pickle.

The process runs files that may be hostile, so nothing that it sends is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = "biuf"
"""Kinds of dtypes that are sent as they are; others are sent as numbers or texts."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one side tells the other.

    Attributes:
        facts: JSON data.
        arrays: Arrays by name, in their order.
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the message as bytes: a line of JSON, then the arrays in NumPy's format.

        Example:
            >>> sent = Message({"do": "outputs"}, {"x": np.ones(2)}).to_bytes()
            >>> Message.from_bytes(sent)
            Message(facts={'do': 'outputs'}, arrays={'x': array([1., 1.])})
        """
        buffer = BytesIO()
        head = {"facts": dict(self.facts), "arrays": list(self.arrays)}
        buffer.write(json.dumps(head).encode() + b"\n")
        for array in self.arrays.values():
            np.save(buffer, _plain(array), allow_pickle=False)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, sent: bytes) -> Message:
        """Return the message that these bytes hold.

        Raises:
            ValueError: they hold none.
        """
        buffer = BytesIO(sent)
        head = json.loads(buffer.readline())
        arrays = {name: np.load(buffer, allow_pickle=False) for name in head["arrays"]}
        return cls(head["facts"], arrays)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that NumPy can write alone: bfloat16 as float32, texts as bytes."""
    if array.dtype.kind == "O":
        return np.array([_text(value) for value in array.reshape(-1)], "S").reshape(array.shape)
    if array.dtype.kind in (*NUMBERS, "S", "U"):
        return np.ascontiguousarray(array).reshape(array.shape)
    return array.astype(np.float32)


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
