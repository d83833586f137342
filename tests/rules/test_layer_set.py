"""Sets of layers by their marks: the algebra of Python's own sets, in the graph's order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphprune.rules.matchers.layer_set import LayerOrder

ORDER = LayerOrder(f"layer_{index}" for index in range(20))
ADDRESSES = st.sets(st.sampled_from(ORDER.addresses))


@given(ADDRESSES, ADDRESSES)
def test_the_algebra_is_that_of_sets(one, other):
    left, right = ORDER.of(one), ORDER.of(other)
    assert (left & right, left | right, left - right) == (one & other, one | other, one - other)
    assert (len(left), bool(left), list(left)) == (
        len(one),
        bool(one),
        [address for address in ORDER.addresses if address in one],
    )
    assert all((address in left) == (address in one) for address in ORDER.addresses)


def test_what_is_no_layer_of_the_graph_is_in_no_set():
    assert ORDER.of(["layer_3", "other"]) == {"layer_3"}
    assert "other" not in ORDER.everything()
    assert 3 not in ORDER.everything()


def test_sets_of_two_graphs_do_not_meet():
    with pytest.raises(AssertionError, match=r"^sets of layers are of one graph$"):
        ORDER.everything() & LayerOrder(ORDER.addresses).everything()
    with pytest.raises(AssertionError, match=r"^layers meet only layers, got frozenset\(\)$"):
        ORDER.everything() - frozenset()
