"""The weights of a saved model: where each is stored, and what the values say.

Weights are located without building the model, and measured with one tensor in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graphprune.archive import Archive, StoredTensor
from graphprune.archive.pruning_state import is_packed, unpack_mask
from graphprune.errors import ArchiveError, GraphError
from graphprune.graph.checkpoint_weights import locate_checkpoint
from graphprune.graph.inner_layers import with_inner_layers
from graphprune.graph.keras_weights import locate_keras
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.legacy_weights import locate_legacy
from graphprune.graph.weight_faults import Named, masks_in
from graphprune.wrapper_names import STEP, mask_name

TensorKey = tuple[str, str]
"""Layer address and tensor name."""


class StoredState(Protocol):
    """A mask, step or threshold of a pruned layer in a file."""

    def read(self) -> NDArray[Any]:
        """Return its value.

        Raises:
            ArchiveError: the file is damaged.
        """


@dataclass(frozen=True, slots=True)
class StoredMask:
    """A mask that is stored as bits.

    Attributes:
        archive: The file.
        tensor: The bits.
        shape: The shape of the weight.
    """

    archive: Archive
    tensor: StoredTensor
    shape: tuple[int, ...]

    def read(self) -> NDArray[np.bool_]:
        """Return the mask.

        Raises:
            ArchiveError: the file is damaged.
        """
        return unpack_mask(self.archive.read(self.tensor), self.shape)


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """The weights of one archive, one tensor in memory at a time.

    Attributes:
        archive: The saved model.
        graph: Its layers.
        tensors: Where the tensors are stored, by layer address and bare name, in storage order; the
            state of pruning wrappers is included.
        state: The state of layers that are pruned without a wrapper (Keras 3), by address and the
            name that a wrapper's tensor would have.
    """

    archive: Archive
    graph: LayerGraph
    tensors: Mapping[str, Named]
    state: Mapping[TensorKey, StoredState] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """What to call the model."""
        return self.archive.path

    def opened(self) -> AbstractContextManager[object]:
        """Keep the file open for many reads."""
        return self.archive.opened()

    def read(self, address: str, name: str) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            GraphError: there is no such tensor.
            ArchiveError: the file is damaged.
        """
        if (address, name) in self.state:
            return self.state[address, name].read()
        return self.archive.read(self.find(address, name))

    def read_state(self, address: str, name: str) -> NDArray[Any] | None:
        """Return a tensor of the pruning wrapper around the layer; None where it has none.

        Raises:
            ArchiveError: the file is damaged.
        """
        if (address, name) in self.state:
            return self.state[address, name].read()
        stored = self.tensors.get(address, {}).get(name)
        return None if stored is None else self.archive.read(stored)

    def find(self, address: str, name: str) -> StoredTensor:
        """Return where one tensor is stored.

        Raises:
            GraphError: there is no such tensor.
        """
        named = self.tensors.get(address, {})
        if name not in named:
            is_pruned = self.archive.layout == "keras" and mask_name(name) in named
            way_out = (
                "; load the model and save it again, which writes the names of the weights that a"
                " custom layer has in layers inside it"
                if is_pruned
                else ""
            )
            raise GraphError(
                f"layer {address!r} has no tensor {name!r}; it has"
                f" {', '.join(named) or 'none'}{way_out}",
                place=self.archive.path,
            )
        return named[name]


def locate_weights(archive: Archive, graph: LayerGraph) -> ModelWeights:
    """Return where the file holds each weight of `graph`, which was read from the same file.

    The graph of the result has the layers that only the weights show as well.

    Raises:
        ArchiveError: the weights are damaged or do not fit the config.
    """
    if archive.layout == "keras":
        tensors, inner = locate_keras(archive, graph)
        whole = with_inner_layers(graph, inner)
        return ModelWeights(
            archive, whole, MappingProxyType(tensors), _masks(archive, whole, tensors)
        )
    locate = locate_legacy if archive.layout == "h5" else locate_checkpoint
    return ModelWeights(archive, graph, MappingProxyType(locate(archive, graph)))


def _masks(
    archive: Archive, graph: LayerGraph, tensors: Mapping[str, Named]
) -> dict[TensorKey, StoredState]:
    """Return the masks of wrappers that are stored as bits."""
    return {
        (address, mask_name(name)): StoredMask(archive, mask, weight.shape)
        for address, name, weight, mask in masks_in(graph, tensors)
        if is_packed(mask.dtype, mask.shape, weight.shape)
    }


class ReadableWeights(Protocol):
    """The weights of one model, of a file or live, one tensor in memory at a time."""

    @property
    def graph(self) -> LayerGraph:
        """The layers of the model."""

    @property
    def path(self) -> str:
        """What to call the model."""

    def opened(self) -> AbstractContextManager[object]:
        """Keep open what is behind it for many reads."""

    def read(self, address: str, name: str, /) -> NDArray[Any]:
        """Return a weight of the layer at `address`, or a tensor of the wrapper around it."""

    def read_state(self, address: str, name: str, /) -> NDArray[Any] | None:
        """Return a tensor of the pruning wrapper around the layer; None where it has none."""


@dataclass(frozen=True, slots=True)
class TensorMetrics:
    """What the values of one tensor say.

    Attributes:
        zeros: How many are exactly zero.
        non_finite: How many are NaN or infinite; the other figures leave these out.
        min, max, mean, std: Of the finite values, in float64; None where there are none, or the
            values are not numbers.
    """

    zeros: int
    non_finite: int = 0
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None


_BLOCK = 1 << 16
"""Values that are widened to float64 at once."""


def measure_tensors(weights: ReadableWeights) -> Mapping[TensorKey, TensorMetrics]:
    """Return the metrics of each tensor of each layer, without the state of wrappers.

    Raises:
        ArchiveError: the weights are damaged.
    """
    with weights.opened():
        keys = (
            (address, tensor.name)
            for address, layer in weights.graph.layers.items()
            for tensor in layer.tensors
        )
        return {key: measure_values(weights.read(*key)) for key in keys}


def measure_values(values: NDArray[Any]) -> TensorMetrics:
    """Return the metrics of one array, which may be empty.

    A second pass keeps the deviation exact for values far from zero.

    Example:
        >>> measure_values(np.array([0.0, 1.0, 3.0, np.nan, 0.0]))
        TensorMetrics(zeros=2, non_finite=1, min=0.0, max=3.0, mean=1.0, std=1.224744871391589)
    """
    zeros = int(values.size - np.count_nonzero(values))
    if values.dtype.kind not in "biuf":
        return TensorMetrics(zeros)
    count, total, low, high = 0, 0.0, np.inf, -np.inf
    for block in _finite_blocks(values):
        count, total = count + block.size, total + float(block.sum())
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    if not count:
        return TensorMetrics(zeros, values.size)
    mean = total / count
    squares = sum(float(np.square(block - mean).sum()) for block in _finite_blocks(values))
    return TensorMetrics(
        zeros, values.size - count, low, high, mean, float(np.sqrt(squares / count))
    )


def _finite_blocks(values: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    flat = values.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.float64)
        finite = block[np.isfinite(block)]
        if finite.size:
            yield finite


def measure_zeros(weights: ReadableWeights) -> Mapping[TensorKey, int]:
    """Return the number of zeros in each weight tensor, without the state of wrappers.

    Raises:
        ArchiveError: the weights are damaged.
    """
    zeros = {}
    with weights.opened():
        for address, layer in weights.graph.layers.items():
            for tensor in layer.tensors:
                values = weights.read(address, tensor.name)
                zeros[address, tensor.name] = int(values.size - np.count_nonzero(values))
    return zeros


def measure_mask_faults(weights: ReadableWeights) -> Mapping[TensorKey, int]:
    """Return the number of nonzero weights under a zero mask, for each pruned tensor.

    Raises:
        ArchiveError: the weights are damaged, or a mask has another shape than its weight.
    """
    faults = {}
    with weights.opened():
        for address, layer in weights.graph.layers.items():
            pruned = (
                layer.wrap.pruning.weights
                if layer.wrap is not None and layer.wrap.pruning is not None
                else ()
            )
            for name in pruned:
                values = weights.read(address, name)
                mask = weights.read(address, mask_name(name))
                if values.shape != mask.shape:
                    shapes = (
                        f"the mask of {name!r} in layer {address!r} has shape {list(mask.shape)},"
                        f" the weight {list(values.shape)}"
                    )
                    raise ArchiveError(f"{shapes}; save the model again", place=weights.path)
                faults[address, name] = int(np.count_nonzero(values[mask == 0]))
    return faults


def read_steps(weights: ReadableWeights) -> Mapping[str, int]:
    """Return the optimizer updates before each of graphprune's wrappers was saved, by address.

    Raises:
        ArchiveError: the weights are damaged.
    """
    wrapped = [
        address
        for address, layer in weights.graph.layers.items()
        if layer.wrap is not None and layer.wrap.pruning is not None
    ]
    with weights.opened():
        return {address: int(weights.read(address, STEP)) for address in wrapped}
