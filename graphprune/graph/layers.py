"""What one layer of a saved model is: values without a file format and without a framework."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from graphprune.archive.entries import type_of
from graphprune.sparsity.pruning import Provenance, Pruning

SEPARATOR = "::"
_BITS = {"bool": 8, "int4": 4, "uint4": 4, "string": 0}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One weight tensor of a layer.

    Attributes:
        name: Bare name (`kernel`, `recurrent_kernel`), unique in its layer.
        shape: Axis lengths in storage order.
        dtype: NumPy name.
        axes: One name an axis (`h`, `w`, `in`, `out`, ...); empty where the table of layers does
            not know them.
        prunable: Whether rules may claim it.
        stored_as: Its name in the file, where a rule file gave it another (`layers`); empty
            otherwise.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    axes: tuple[str, ...] = ()
    prunable: bool = False
    stored_as: str = field(default="", compare=False)

    @property
    def size(self) -> int:
        """The number of weights."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """The uncompressed bytes of all weights; a dtype without a width has 32 bits.

        Example:
            >>> Tensor("kernel", (2, 3)).bytes, Tensor("kernel", (2, 3), "bfloat16").bytes
            (24, 12)
        """
        digits = self.dtype[len(self.dtype.rstrip("0123456789")) :]
        bits = _BITS.get(self.dtype, int(digits) if 0 < len(digits) < 5 else 32)
        return self.size * bits // 8

    def label(self) -> str:
        """Return name and shape as reports print them.

        Example:
            >>> Tensor("kernel", (3, 3, 3, 32), axes=("h", "w", "in", "out")).label()
            'kernel [3, 3, in 3, out 32]'
            >>> Tensor("kernel", (8, 2, 4), axes=("in", "out_1", "out_2")).label()
            'kernel [in 8, out_1 2, out_2 4]'
        """
        named = self.axes or ("",) * len(self.shape)
        axes = (
            f"{axis} {length}" if axis.split("_")[0] in ("in", "out", "heads") else str(length)
            for axis, length in zip(named, self.shape, strict=True)
        )
        return f"{self.name} [{', '.join(axes)}]"


def is_named(tensor: str, names: Collection[str]) -> bool:
    """Return whether one of `names` means the tensor: its whole name, or the end of it after a dot.

    So `kernel` means the kernels of both directions.

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


@dataclass(frozen=True, slots=True)
class Wrap:
    """The pruning wrapper around a layer.

    Attributes:
        type: The wrapper's registered class name.
        entry: The wrapper's raw layer entry as the model's config holds it (class, module, config
            with the inner layer inside).
        pruning: What it was told to do; None for a wrapper that graphprune did not write.
        provenance: Which rule asked for it.
        is_attached: Whether the layer is pruned without a wrapper, as in Keras 3, whose files hold
            masks beside the weights; `entry` is then that of the layer itself.
    """

    type: str
    entry: Mapping[str, Any]
    pruning: Pruning | None
    provenance: Provenance
    is_attached: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer; for a wrapped layer, the layer inside the wrapper.

    Attributes:
        address: Name, prefixed by the address of the nested model around it and `::`.
        type: Registered class name (`Dense`, `MyPkg>LowRankDense`); that of Keras 3 where tf_keras
            has another for the same (`Add` for a TFOpLambda that adds).
        entry: Its raw layer entry (class, module, registered name, config, build config) without
            name and inbound nodes; read-only.
        bases: Names of its known base classes, nearest first, without its own.
        container: Address of the nested model around it, or None at top level.
        kind: `input`, `layer`, or `model` for a nested model.
        trainable: Its own flag and those of all models around it.
        tensors: Its weights in storage order, without the wrapper's.
        wrap: The pruning wrapper around it, if any.
        calls: How often it is called.
        produces_output: Whether one of its tensors is an output of the model.
        holder: For a layer that no config connects, because it is inside a custom layer or a
            subclassed model: the address of the custom layer, empty for the model. None otherwise.
    """

    address: str
    type: str
    entry: Mapping[str, Any]
    bases: tuple[str, ...] = ()
    container: str | None = None
    kind: Literal["input", "layer", "model"] = "layer"
    trainable: bool = True
    tensors: tuple[Tensor, ...] = ()
    wrap: Wrap | None = None
    calls: int = 1
    produces_output: bool = False
    holder: str | None = None

    @property
    def name(self) -> str:
        """The layer's own name, unique only inside its model."""
        return (
            self.address.rsplit(SEPARATOR, 1)[-1]
            if self.container is None
            else self.address[len(self.container) + len(SEPARATOR) :]
        )

    @property
    def config(self) -> Mapping[str, Any]:
        """What `get_config()` of the layer returned."""
        config: Mapping[str, Any] = self.entry["config"]
        return config

    @property
    def types(self) -> tuple[str, ...]:
        """`type`, and the class name in the config where that is another one."""
        written = type_of(self.entry)
        return (self.type,) if written == self.type else (self.type, written)

    @property
    def prunable(self) -> tuple[Tensor, ...]:
        """The tensors that rules may claim."""
        return tuple(tensor for tensor in self.tensors if tensor.prunable)

    @property
    def is_candidate(self) -> bool:
        """Whether the layer owns at least one prunable tensor."""
        return any(tensor.prunable for tensor in self.tensors)


def name_call(index: int) -> str:
    """Return how reports and drawings write the call with this index: numbered from 1.

    Configs, graphs and JSON keep the index, which counts from 0 as Keras's node index does.

    Example:
        >>> name_call(0), name_call(1)
        ('call 1', 'call 2')
    """
    return f"call {index + 1:,}"
