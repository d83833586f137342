from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from graphprune.report.drawing.graph_rows import BENDS_PER_NODE, arrange_rows, place_rows


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    edges = draw(
        st.lists(
            st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)),
            unique=True,
            max_size=30,
        )
    )
    return count, edges


def reaches(edges, start, end):
    seen, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        found = {target for source, target in edges if source == node} - seen
        seen |= found
        waiting += found
    return end in seen


@given(graphs())
def test_each_node_stands_once_and_only_edges_that_close_a_circle_go_up(graph):
    count, edges = graph
    rows = arrange_rows(count, edges)
    row_of = {node: index for index, row in enumerate(rows.rows) for node in row}
    assert sorted(node for row in rows.rows for node in row if node < count) == list(range(count))
    assert len(row_of) == sum(map(len, rows.rows))
    for (source, target), path in zip(edges, rows.paths, strict=True):
        assert (path[0], path[-1]) == (source, target)
        if row_of[source] < row_of[target]:
            assert [row_of[node] for node in path] == list(
                range(row_of[source], row_of[target] + 1)
            )
        else:
            assert path == (source, target)
            assert source >= target
            assert reaches(edges, target, source)


@given(graphs(), st.data())
def test_nodes_of_a_row_keep_their_distance(graph, data):
    count, edges = graph
    widths = data.draw(st.lists(st.floats(1, 300), min_size=count, max_size=count))
    rows = arrange_rows(count, edges)
    x = place_rows(rows, widths, gap=20, bend_width=4)
    width_of = [*widths, *([4.0] * (len(x) - count))]
    for row in rows.rows:
        for left, right in pairwise(row):
            assert x[right] - x[left] >= 20 + (width_of[left] + width_of[right]) / 2 - 1e-6


def test_an_input_stands_just_above_what_takes_it_first():
    assert arrange_rows(5, [(0, 1), (1, 2), (2, 4), (3, 4)]).rows == ((0,), (1,), (2, 3), (4,))


def test_a_crossing_is_taken_out():
    assert arrange_rows(5, [(0, 4), (1, 3), (2, 3), (2, 4)]).rows[-1] == (4, 3)


def test_a_chain_beside_a_skip_connection_is_straight():
    x = place_rows(
        arrange_rows(4, [(0, 1), (1, 2), (2, 3), (0, 3)]), [100] * 4, gap=20, bend_width=4
    )
    assert x[:4] == (50, 50, 50, 50)


def test_a_layer_that_feeds_thousands_does_not_make_millions_of_bends():
    edges = [(index, index + 1) for index in range(2999)] + [(0, index) for index in range(2, 3000)]
    rows = arrange_rows(3000, edges)
    assert sum(map(len, rows.rows)) <= 3000 * (BENDS_PER_NODE + 1)
