"""Names of weights as rules write them. Layers that hold layers name theirs by parts:
`forward_layer.kernel`, `cells.0.kernel`, `query.kernel`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable


def is_named(tensor: str, names: Collection[str]) -> bool:
    """Return whether one of `names` means the tensor: its whole name, or the end of it after a dot,
    so that `kernel` means that of both directions.

    Example:
        >>> names = ("kernel", "forward_layer.kernel", "backward_layer.recurrent_kernel")
        >>> [is_named(name, ["kernel"]) for name in names]
        [True, True, False]
        >>> is_named("backward_layer.kernel", ["forward_layer.kernel"])
        False
    """
    return any(tensor == name or tensor.endswith(f".{name}") for name in names)


def means_any(name: str, tensors: Iterable[str]) -> bool:
    """Return whether `name` means one of the tensors."""
    return any(is_named(tensor, (name,)) for tensor in tensors)
