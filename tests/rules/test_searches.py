"""Searches that walk together find what each finds alone."""

from hypothesis import given
from hypothesis import strategies as st

from graphprune.rules import Matches
from graphprune.rules.matchers.classes import TypeIs
from graphprune.rules.matchers.logic import AllOf, Not, Use
from graphprune.rules.matchers.matcher import Search
from graphprune.rules.matchers.matches import find_searches
from graphprune.rules.matchers.names import NameIs
from graphprune.rules.matchers.reach import After, Before, Between, First, Last
from tests.builders import build_graph

DENSE, RELU = TypeIs(("Dense",)), TypeIs(("ReLU",))


def test_each_search_of_a_matcher_is_listed_once():
    matcher = AllOf(
        (
            First(DENSE),
            After(DENSE),
            Between(DENSE, RELU),
            Before(RELU, until=DENSE),
            After(RELU, hops=2),
        )
    )
    assert find_searches([matcher, matcher]) == (
        Search(DENSE, True),
        Search(RELU, False),
        Search(RELU, False, DENSE),
    )


def test_searches_that_need_another_first_are_left_out():
    used = Use("ends", Last(DENSE))
    assert find_searches([After(used)]) == ()
    assert find_searches([After(DENSE, until=Not(used))]) == ()
    assert find_searches([After(Not(Before(DENSE, hops=1)))]) == ()
    assert find_searches([After(Use("plain", DENSE))]) == (Search(Use("plain", DENSE), True),)


@given(
    st.lists(
        st.tuples(st.integers(0, 11), st.integers(0, 11), st.booleans()),
        min_size=9,
        max_size=20,
        unique=True,
    )
)
def test_announced_searches_find_what_each_finds_alone(ends):
    graph = build_graph("in > " + " > ".join(f"fc_{index}" for index in range(12)))
    names = [NameIs((f"fc_{index}",)) for index in range(12)]
    matchers = [
        (
            After(names[one], until=names[other])
            if downstream
            else Before(names[one], until=names[other])
        )
        for one, other, downstream in ends
    ]
    together = Matches(graph)
    together.announce(matchers)
    assert [together.of(matcher) for matcher in matchers] == [
        set(Matches(graph).of(matcher)) for matcher in matchers
    ]
