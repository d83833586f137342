"""Two model files compared: the weights of a diff come out of the files, where they hold any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from graphprune.archive import Archive, TensorReader
from graphprune.diff.changes import GraphDiff
from graphprune.diff.graph_diff import diff_graphs
from graphprune.diff.sizes import measure_weights_gzip, side_by_side
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.read import ModelFile
from graphprune.graph.weights import ModelWeights, locate_weights
from graphprune.sparsity.positions import Run


@dataclass(frozen=True, slots=True)
class ArchiveWeights:
    """The weights in an open archive, one tensor in memory at a time; a `Weights`."""

    located: ModelWeights
    reader: TensorReader

    def read(self, address: str, name: str, /) -> NDArray[Any]:
        """Return a weight tensor of the layer at `address`.

        Raises:
            GraphError: there is no such tensor.
            ArchiveError: the file is damaged.
        """
        return self.reader.read(self.located.find(address, name))

    def read_state(self, address: str, name: str, /) -> NDArray[Any] | None:
        """Return a tensor of the pruning wrapper around the layer, or None where it has none of
        that name.

        Raises:
            ArchiveError: the file is damaged.
        """
        stored = self.located.tensors.get(address, {}).get(name)
        return None if stored is None else self.reader.read(stored)


@contextmanager
def open_archive_weights(archive: Archive, graph: LayerGraph) -> Iterator[ArchiveWeights]:
    """Open the weights of `archive`, from which `graph` was read."""
    located = locate_weights(archive, graph)
    with archive.opened() as reader:
        yield ArchiveWeights(located, reader)


def diff_models(
    left: ModelFile, right: ModelFile, *, run: Run | None = None, measure_gzip: bool = True
) -> GraphDiff:
    """Return everything that differs between two models, weights included where they are there.

    Args:
        left: The model before.
        right: The model after.
        run: The length of the training run, where it is known (see `diff_graphs`).
        measure_gzip: Also gzip all weights of both sides, which reads them once more and takes
            about a second for 20 MB, on one core a side. Where all weights are the same there is
            nothing to tell, and they are not.

    Raises:
        ArchiveError: the weights of one side are damaged.
    """
    with _open_weights(left) as left_weights, _open_weights(right) as right_weights:
        difference = diff_graphs(
            left.graph,
            right.graph,
            left_weights=left_weights,
            right_weights=right_weights,
            left_path=left.path,
            right_path=right.path,
            run=run,
        )
        if (
            not measure_gzip
            or left_weights is None
            or right_weights is None
            or difference.is_weights_equal
        ):
            return difference
        before, after = side_by_side(
            lambda side: measure_weights_gzip(*side),
            (left.graph, left_weights),
            (right.graph, right_weights),
        )
        return replace(difference, weights_gzip=(before, after))


@contextmanager
def _open_weights(model: ModelFile) -> Iterator[ArchiveWeights | None]:
    if model.archive is None:
        yield None
        return
    with open_archive_weights(model.archive, model.graph) as weights:
        yield weights
