"""Two model files compared: the weights of a diff come out of the files, where they hold any."""

from __future__ import annotations

from dataclasses import replace

from graphprune.diff.changes import GraphDiff
from graphprune.diff.graph_diff import diff_graphs
from graphprune.diff.sizes import measure_weights_gzip, side_by_side
from graphprune.graph.read import ModelFile
from graphprune.sparsity.positions import Run


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
    with left.opened() as left_weights, right.opened() as right_weights:
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
