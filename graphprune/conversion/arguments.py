"""The arguments of layer calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.archive.calls import Call, is_reference, references

RECURRENT = (
    *("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"),
    *("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
)
_POSITIONAL = {
    "MultiHeadAttention": ("query", "value", "key"),
    "GroupQueryAttention": ("query", "value", "key"),
    **dict.fromkeys(RECURRENT, ("inputs", "initial_state")),
}
"""The argument names of classes that Keras 3 calls with several positional tensors."""


def named_arguments(kind: str, call: Call) -> Call:
    """Return the call with named arguments if its first argument holds several tensors.

    A recurrent layer of tf_keras stores the initial state there, and Keras 3 may call layers with
    several positional tensors.
    """
    (first,), keywords = call
    kept = {key: value for key, value in keywords.items() if key != "training"}
    arguments = _POSITIONAL.get(kind)
    if arguments is None or is_reference(first) or not isinstance(first, list):
        return [first], kept
    if arguments[1] == "initial_state":
        state = first[1:] if len(first) > 2 or is_reference(first[1]) else first[1]
        return [first[0]], {"initial_state": state} | kept
    return [first[0]], dict(zip(arguments[1:], first[1:], strict=False)) | kept


def has_all_layers(value: Any, names: Mapping[str, str]) -> bool:
    """Return whether all tensors in an argument come from layers of the result.

    Implicit masks do not, since tf_keras computes them itself.
    """
    return all(reference[0] in names for reference in references(value))
