"""Where the nodes of a drawing stand: rows from top to bottom, ordered so that few edges cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

Edge = tuple[int, int]

BENDS_PER_NODE = 20
"""Bends per node in a drawing; further long edges are straight, which bounds its size."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A drawing's rows.

    Attributes:
        rows: The nodes of each row from left to right; numbers from the count of nodes on are
            bends, where a long edge passes a row.
        paths: For each edge its nodes from source to target, the bends between.
    """

    rows: tuple[tuple[int, ...], ...]
    paths: tuple[tuple[int, ...], ...]


def arrange_rows(count: int, edges: Sequence[Edge]) -> Rows:
    """Return the rows of `count` nodes.

    An edge of a cycle (a shared layer that uses its own result) to a lower number points up and
    does not count for the rows.

    Rows are topological generations, sources just above their first consumer; one barycentre pass
    from the top orders each row.

    Example:
        >>> arrange_rows(3, [(0, 1), (1, 2), (0, 2)])
        Rows(rows=((0,), (1, 3), (2,)), paths=((0, 1), (1, 2), (0, 3, 2)))
    """
    forward = _without_circles(count, edges)
    row_of = {
        node: row for row, nodes in enumerate(nx.topological_generations(forward)) for node in nodes
    }
    for node in range(count):
        if not forward.in_degree(node) and forward.out_degree(node):
            row_of[node] = min(row_of[target] for target in forward.successors(node)) - 1
    rows: list[list[int]] = [[] for _ in range(max(row_of.values(), default=-1) + 1)]
    for node in range(count):
        rows[row_of[node]].append(node)
    paths = _add_bends(edges, row_of, rows, count)
    _order(rows, paths)
    return Rows(tuple(tuple(row) for row in rows), tuple(paths))


def _without_circles(count: int, edges: Sequence[Edge]) -> nx.DiGraph[int]:
    network: nx.DiGraph[int] = nx.DiGraph()
    network.add_nodes_from(range(count))
    network.add_edges_from(edges)
    circle_of = {
        node: index
        for index, nodes in enumerate(nx.strongly_connected_components(network))
        for node in nodes
    }
    network.remove_edges_from(
        [
            (source, target)
            for source, target in edges
            if source >= target and circle_of[source] == circle_of[target]
        ]
    )
    return network


def _add_bends(
    edges: Sequence[Edge], row_of: dict[int, int], rows: list[list[int]], count: int
) -> list[tuple[int, ...]]:
    """Return the path of each edge and put its bends into the rows, shortest edges first."""
    left = BENDS_PER_NODE * count
    made = count
    paths: list[tuple[int, ...]] = list(edges)
    for index in sorted(
        range(len(edges)), key=lambda index: row_of[edges[index][1]] - row_of[edges[index][0]]
    ):
        source, target = edges[index]
        between = range(row_of[source] + 1, row_of[target])
        if not between or len(between) > left:
            continue
        left -= len(between)
        bends = tuple(range(made, made + len(between)))
        made += len(between)
        for bend, row in zip(bends, between, strict=True):
            rows[row].append(bend)
        paths[index] = (source, *bends, target)
    return paths


def _order(rows: list[list[int]], paths: Sequence[tuple[int, ...]]) -> None:
    """Order each row by the mean place of its producers, measured from the middle of their rows."""
    fed_by = _producers(paths)
    place: dict[int, float] = {}
    for row in rows:
        means = {
            node: _mean([place[source] for source in fed_by.get(node, ()) if source in place])
            for node in row
        }
        row.sort(key=lambda node: means[node])
        place.update({node: index - (len(row) - 1) / 2 for index, node in enumerate(row)})


def _producers(paths: Sequence[tuple[int, ...]]) -> dict[int, list[int]]:
    fed_by: dict[int, list[int]] = {}
    for path in paths:
        for source, target in pairwise(path):
            fed_by.setdefault(target, []).append(source)
    return fed_by


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def place_rows(
    rows: Rows, widths: Sequence[float], gap: float, bend_width: float
) -> tuple[float, ...]:
    """Return the x of the middle of each node and bend, with the leftmost edge at 0.

    A node is below its producers; the nodes of a crowded row are moved apart.

    Example:
        >>> place_rows(
        ...     arrange_rows(3, [(0, 1), (1, 2), (0, 2)]), [100, 100, 100], gap=20, bend_width=4
        ... )
        (50.0, 50.0, 50.0, 122.0)
    """
    count = len(widths)
    total = max((node for row in rows.rows for node in row), default=-1) + 1
    width_of = [*widths, *(bend_width for _ in range(total - count))]
    fed_by = _producers(rows.paths)
    x = [0.0] * total
    done: set[int] = set()
    for row in rows.rows:
        wanted = [
            _wanted([source for source in fed_by.get(node, ()) if source in done], x, count)
            for node in row
        ]
        _place_row(row, wanted, x, width_of, gap, count)
        done.update(row)
    left = min((x[node] - width_of[node] / 2 for node in range(total)), default=0.0)
    return tuple(value - left for value in x)


def _wanted(sources: Sequence[int], x: Sequence[float], count: int) -> float:
    """Return the mean x of the sources; bends count only where there are no nodes."""
    return _mean(
        [x[source] for source in sources if source < count] or [x[source] for source in sources]
    )


def _place_row(
    row: Sequence[int],
    wanted: Sequence[float],
    x: list[float],
    width_of: Sequence[float],
    gap: float,
    count: int,
) -> None:
    """Set the x of one row: left to right with gaps, then shifted to the mean wanted place."""
    edge = float("-inf")
    for node, middle in zip(row, wanted, strict=True):
        x[node] = max(middle, edge + gap + width_of[node] / 2)
        edge = x[node] + width_of[node] / 2
    moves = [(node, middle - x[node]) for node, middle in zip(row, wanted, strict=True)]
    shift = _mean([move for node, move in moves if node < count] or [move for _, move in moves])
    for node in row:
        x[node] += shift
