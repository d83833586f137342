"""What matchers on neighbours and weights select, and that their sets obey the algebra on random
graphs.
"""

from dataclasses import replace

import networkx as nx
import pytest
from builders import build_graph
from hypothesis import given
from hypothesis import strategies as st

from graphprune.diagnostics.diagnostic import Where
from graphprune.rules import (
    Keep,
    Matches,
    Prune,
    Rule,
    RuleSet,
    parse_matcher,
    parse_rules,
    resolve_rules,
)
from graphprune.rules.matchers.classes import IsA, TypeIs
from graphprune.rules.matchers.facts import Calls, Flag
from graphprune.rules.matchers.logic import AllOf, AnyOf, Everything, Not, Use
from graphprune.rules.matchers.names import NameIs
from graphprune.rules.matchers.neighbours import FedBy, Feeds, Inside
from graphprune.rules.matchers.number_test import NumberTest
from graphprune.rules.matchers.reach import After, Before, Between, First, Last
from graphprune.sparsity.positions import Position
from graphprune.sparsity.schedules import Schedule

BRANCHES = build_graph(
    "in > pad > conv_1[3,3,3,8] > relu_1 > conv_2[3,3,8,8] > relu_2 ; relu_2 + conv_1 > add_1 > gap"
    " > fc_1[8,16] > fc_2[16,4]"
)


def select(graph, match, zeros=None):
    found = Matches(graph, zeros).of(parse_matcher(match, "match"))
    return [address for address in graph.layers if address in found]


@pytest.mark.parametrize(
    ("match", "addresses"),
    [
        ("{fed_by: {type: ReLU}}", ["conv_2", "add_1"]),
        ("{fed_by: {type: ReLU, every: true}}", ["conv_2"]),
        (
            "{fed_by: {any: [{type: ReLU}, {type: Conv2D}], every: true}}",
            ["relu_1", "conv_2", "relu_2", "add_1"],
        ),
        ("{fed_by: {type: ReLU, only: true}}", ["conv_2"]),
        ("{fed_by: '*'}", ["relu_1", "relu_2", "add_1", "fc_2"]),
        ("{feeds: {type: Add}}", ["conv_1", "relu_2"]),
        ("{feeds: {type: Add, every: true}}", ["relu_2"]),
        ("{feeds: {type: Add, only: true}}", ["relu_2"]),
        ("{feeds: {type: Dense, every: false}}", ["gap", "fc_1"]),
        ("{after: {name: relu_2}}", ["add_1", "gap", "fc_1", "fc_2"]),
        ("{after: {name: relu_2, hops: 2}}", ["add_1", "gap"]),
        ("{after: {name: conv_1, hops: 1}}", ["relu_1", "add_1"]),
        ("{before: {name: conv_2}}", ["in", "pad", "conv_1", "relu_1"]),
        ("{before: {name: conv_2, hops: 3}}", ["pad", "conv_1", "relu_1"]),
        ("{before: {name: add_1, hops: 1}}", ["conv_1", "relu_2"]),
        (
            "{after: {type: Conv2D, until: {type: ReLU}}}",
            ["relu_1", "relu_2", "add_1", "gap", "fc_1", "fc_2"],
        ),
        ("{after: {name: pad, until: {type: Conv2D}}}", ["conv_1"]),
        ("{before: {type: Dense, until: {type: Add}}}", ["add_1", "gap", "fc_1"]),
        (
            "{after: {type: Conv2D, until: {type: Conv2D}, hops: 2}}",
            ["relu_1", "conv_2", "relu_2", "add_1", "gap"],
        ),
        ("{between: {after: {name: conv_1}, before: {type: Add}}}", ["relu_1", "conv_2", "relu_2"]),
        (
            "{between: {after: {type: Conv2D}, before: {type: Dense}}}",
            ["relu_1", "relu_2", "add_1", "gap"],
        ),
        ("{not: {after: {type: Conv2D}}, type: Conv2D}", ["conv_1"]),
        ("{weight: {in: 3}}", ["conv_1"]),
        ("{weight: {in: {multiple_of: 4}, out: {lt: 16}}}", ["conv_2", "fc_2"]),
        ("{weight: {rank: 2}}", ["fc_1", "fc_2"]),
        ("{weight: {kernel: [3, 3]}}", ["conv_1", "conv_2"]),
        ("{weight: {kernel: [3]}}", []),
        ("{weight: {kernel: {gte: 3}}}", ["conv_1", "conv_2"]),
        ("{weight: {kernel: 1}}", []),
        ("{weight: {name: kernel, dtype: float32}, type: Dense}", ["fc_1", "fc_2"]),
        ("{weight: {dtype: [float16, bfloat16]}}", []),
    ],
)
def test_what_a_relation_selects(match, addresses):
    assert select(BRANCHES, match) == addresses


def test_a_layer_that_matches_both_the_aim_and_until_counts_and_ends_the_walk():
    graph = build_graph("in > fc_1 > relu > fc_2 > fc_3")
    assert select(graph, "{before: {type: Dense, until: {name: fc_2}}}") == [
        "in",
        "fc_1",
        "relu",
        "fc_2",
    ]
    assert select(graph, "{after: {name: fc_1, until: {name: fc_2}}}") == ["relu", "fc_2"]
    assert select(graph, "{after: {name: [fc_1, fc_2], until: {name: fc_2}}}") == [
        "relu",
        "fc_2",
        "fc_3",
    ]


def test_relations_run_on_calls_so_a_shared_layer_makes_no_circle():
    graph = build_graph("in > shared:Dense > fc_1 > shared > relu")
    assert select(graph, "{after: {name: shared}}") == ["shared", "fc_1", "relu"]
    assert select(graph, "{fed_by: {name: in}}") == ["shared"]
    assert select(graph, "{feeds: {type: ReLU}}") == ["shared"]
    assert select(graph, "{after: {name: fc_1, hops: 1}}") == ["shared"]
    assert select(graph, "{fed_by: {name: shared, only: true}}") == ["fc_1", "relu"]


def test_nested_models_are_flattened_and_hops_count_the_calls_inside():
    graph = build_graph("in > conv_0 > net > fc_1", models={"net": "in_a > relu > conv_1"})
    assert select(graph, "{after: {name: conv_0, hops: 2}}") == ["net::relu", "net::conv_1"]
    assert select(graph, "{fed_by: {name: 'net::conv_1'}}") == ["fc_1"]
    assert select(graph, "{between: {after: {name: conv_0}, before: {name: fc_1}}}") == [
        "net::relu",
        "net::conv_1",
    ]


def test_axes_go_by_meaning_whatever_the_storage_order():
    graph = build_graph(
        "in > conv_up:Conv2DTranspose[2,2,16,8] > conv_groups(groups=4)[3,3,4,12] >"
        " depthwise[5,5,12,2] > separable[3,3,24,6] > lstm[6,16] > embed:Embedding[50,3]"
    )
    assert select(graph, "{weight: {in: 8}}") == ["conv_up"]
    assert select(graph, "{weight: {out: 16}}") == ["conv_up", "lstm"]
    assert select(graph, "{weight: {in: 4}}") == [
        "conv_groups",
        "lstm",
    ]  # in/groups as stored, and the recurrent kernel
    assert select(graph, "{weight: {in: 12, kernel: [5, 5]}}") == ["depthwise"]
    assert select(graph, "{weight: {out: 2}}") == []  # the multiplier is no output axis
    assert select(graph, "{weight: {kernel: [1, 1]}}") == ["separable"]
    assert select(graph, "{weight: {name: pointwise_kernel}}") == ["separable"]
    assert select(graph, "{weight: {in: 50}}") == ["embed"]


def test_sparsity_is_the_measured_share_of_zeros():
    zeros = {("conv_1", "kernel"): 108, ("fc_1", "kernel"): 100, ("fc_2", "kernel"): 64}
    assert select(BRANCHES, "{weight: {sparsity: {gte: 50%}}}", zeros) == ["conv_1", "fc_1", "fc_2"]
    assert select(BRANCHES, "{weight: {sparsity: {gt: 50%}}}", zeros) == ["fc_1", "fc_2"]
    assert select(BRANCHES, "{weight: {sparsity: 0.5}}", zeros) == ["conv_1"]


def test_sparsity_of_weights_that_nobody_measured_is_a_fault():
    rules = parse_rules(
        "version: 1\nrules:\n- {id: a, match: {weight: {sparsity: {gte: 50%}}}, keep: true}",
        "p.yaml",
    )
    assert [str(found) for found in resolve_rules(BRANCHES, rules).diagnostics] == [
        "error[weight/not-measured]: 'weight: {sparsity: ...}' needs measured zeros, but only"
        " the model's graph is available\n  --> p.yaml:3:19\n  help: give the saved model itself"
        " (.keras, .h5, SavedModel)"
    ]
    assert rules.reads_weights


KINDS = ("Dense", "Conv2D", "ReLU")


@st.composite
def edges_and_calls(draw):
    """Layers with their kinds, and for each call of a layer the earlier calls that feed it; a layer
    may be called twice.
    """
    size = draw(st.integers(2, 7))
    kinds = [draw(st.sampled_from(KINDS)) for _ in range(size)]
    shared = draw(st.sets(st.integers(0, size - 1), max_size=2))
    order = [*range(size), *sorted(shared)]
    feeds = [
        sorted(draw(st.sets(st.integers(0, place), min_size=1, max_size=3)))
        for place in range(len(order))
    ]
    return kinds, order, feeds


def drawn(example):
    """The graph, and the same as (layer, call) nodes of a NetworkX graph."""
    kinds, order, feeds = example
    calls = [("in", 0)]
    flow = nx.DiGraph()
    flow.add_node(("in", 0))
    text = []
    for layer, sources in zip(order, feeds, strict=True):
        name = f"l{layer}"
        call = (name, sum(other == name for other, _ in calls))
        flow.add_edges_from((calls[source], call) for source in sources)
        text.append(
            " + ".join(f"{calls[source][0]}@{calls[source][1]}" for source in sources)
            + f" > {name}:{kinds[layer]}"
        )
        calls.append(call)
    return build_graph(" ; ".join(text)), flow


def naive(flow, holds):
    return {call[0] for call in flow if holds(call)}


LEAVES = [
    TypeIs(("Dense",)),
    TypeIs(("Conv2D",)),
    TypeIs(("ReLU", "InputLayer")),
    NameIs(("l0", "l3")),
    Calls(NumberTest(eq=2)),
    Everything(),
]
MATCHERS = st.recursive(
    st.sampled_from([*LEAVES, Flag("produces_output", True)]),
    lambda inner: st.one_of(
        inner.map(Not),
        st.tuples(inner, inner).map(AllOf),
        st.tuples(inner, inner).map(AnyOf),
        inner.map(First),
        inner.map(Last),
        inner.map(After),
        inner.map(lambda of: Feeds(of, every=True)),
        st.builds(Between, inner, inner),
    ),
    max_leaves=4,
)


@given(edges_and_calls(), MATCHERS, MATCHERS)
def test_de_morgan_and_regions(example, one, other):
    graph, _ = drawn(example)
    found = Matches(graph)
    assert found.of(Not(AnyOf((one, other)))) == found.of(AllOf((Not(one), Not(other))))
    assert found.of(Not(AllOf((one, other)))) == found.of(AnyOf((Not(one), Not(other))))
    assert found.of(Between(one, other)) <= (
        found.of(After(one)) & found.of(Before(other))
    ) - found.of(AnyOf((one, other)))
    assert found.of(First(one)) | found.of(Last(one)) <= found.of(one)
    assert found.of(Use("selector", one)) == found.of(one)


@given(edges_and_calls(), st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(1, 3))
def test_relations_equal_what_networkx_finds(example, kind, other, hops):
    graph, flow = drawn(example)
    assert nx.utils.graphs_equal(nx.DiGraph(graph.flow), flow)
    is_kind = {address for address, layer in graph.layers.items() if layer.type == kind}
    is_other = {address for address, layer in graph.layers.items() if layer.type == other}

    def up(call):
        return {address for address, _ in nx.ancestors(flow, call)}

    def down(call):
        return {address for address, _ in nx.descendants(flow, call)}

    def near(call, view):
        return {
            address
            for (address, _), length in nx.single_source_shortest_path_length(
                view, call, cutoff=hops
            ).items()
            if length
        }

    def walked(call):
        """The ancestors that a walk back from a call meets, not past a layer of the other kind."""
        found, waiting = set(), [call]
        while waiting:
            for before in flow.predecessors(waiting.pop()):
                if before not in found:
                    found.add(before)
                    waiting += [] if before[0] in is_other else [before]
        return {address for address, _ in found}

    def fed_by(call):
        return [address for address, _ in flow.predecessors(call)]

    def feeds(call):
        return [address for address, _ in flow.successors(call)]

    wanted, stop = TypeIs((kind,)), TypeIs((other,))
    expected = {
        After(wanted): lambda call: up(call) & is_kind,
        Before(wanted): lambda call: down(call) & is_kind,
        After(wanted, hops=hops): lambda call: near(call, flow.reverse()) & is_kind,
        Before(wanted, hops=hops): lambda call: near(call, flow) & is_kind,
        After(wanted, until=stop): lambda call: walked(call) & is_kind,
        First(wanted): lambda call: call[0] in is_kind and not up(call) & is_kind,
        Last(wanted): lambda call: call[0] in is_kind and not down(call) & is_kind,
        Between(wanted, stop): lambda call: (
            up(call) & is_kind and down(call) & is_other and call[0] not in is_kind | is_other
        ),
        FedBy(wanted): lambda call: set(fed_by(call)) & is_kind,
        FedBy(wanted, every=True): lambda call: fed_by(call) and set(fed_by(call)) <= is_kind,
        Feeds(wanted, only=True): lambda call: (
            len(feeds(call)) == 1 and set(feeds(call)) <= is_kind
        ),
    }
    found = Matches(graph)
    for matcher, holds in expected.items():
        assert found.of(matcher) == naive(flow, holds), matcher


@given(edges_and_calls(), MATCHERS)
def test_what_looks_forward_and_what_looks_back_swap_when_all_edges_turn(example, matcher):
    graph, _ = drawn(example)
    chosen = NameIs(tuple(sorted(Matches(graph).of(matcher))))
    turned = Matches(replace(graph, flow=graph.flow.reverse()))
    for one, other in ((First, Last), (After, Before), (FedBy, Feeds)):
        assert Matches(graph).of(one(chosen)) == turned.of(other(chosen))
        assert Matches(graph).of(other(chosen)) == turned.of(one(chosen))


ONCE = Schedule("step", Position(0, "step"))
ACTIONS = [Keep(), Prune(0.5, ONCE), Prune(0.9, ONCE)]


@given(
    edges_and_calls(),
    st.lists(st.tuples(MATCHERS, st.sampled_from(ACTIONS)), min_size=2, max_size=4),
    st.randoms(),
)
def test_the_order_of_rules_and_files_never_changes_what_is_claimed(example, parts, random):
    graph, _ = drawn(example)
    files = [f"{index % 2}.yaml" for index in range(len(parts))]
    rules = [
        Rule(f"r{index}", Where(file, index + 1, 1), *part, NumberTest(gte=0))
        for index, (file, part) in enumerate(zip(files, parts, strict=True))
    ]
    results = []
    for order in (rules, random.sample(rules, len(rules))):
        seen = dict.fromkeys(rule.where.file for rule in order)
        results.append(
            resolve_rules(graph, RuleSet(tuple((file, "") for file in seen), tuple(order), {}))
        )
    assert results[0] == results[1]


def test_every_layer_is_a_layer_and_every_nested_model_a_model():
    graph = build_graph("in > inner > fc", models={"inner": "in_2 > fc_1"})
    matches = Matches(graph)
    assert matches.of(IsA(("Layer",))) == frozenset(graph.layers)
    assert matches.of(IsA(("Model",))) == matches.of(IsA(("Functional",))) == {"inner"}
    assert matches.of(Inside(IsA(("Model",)))) == {"inner::in_2", "inner::fc_1"}
