"""What matchers on neighbours and weights select, and that their sets obey the algebra on random graphs."""

import networkx as nx
import pytest
from builders import build_graph
from hypothesis import given
from hypothesis import strategies as st

from graphprune.rules import Matches, parse_matcher, parse_rules, resolve_rules

BRANCHES = build_graph("in > pad > conv_1[3,3,3,8] > relu_1 > conv_2[3,3,8,8] > relu_2 ; relu_2 + conv_1 > add_1 > gap > fc_1[8,16] > fc_2[16,4]")


def select(graph, match, zeros=None):
    found = Matches(graph, zeros).of(parse_matcher(match, "match"))
    return [address for address in graph.layers if address in found]


@pytest.mark.parametrize(
    ("match", "addresses"),
    [
        ("{fed_by: {type: ReLU}}", ["conv_2", "add_1"]),
        ("{fed_by: {type: ReLU, every: true}}", ["conv_2"]),
        ("{fed_by: {any: [{type: ReLU}, {type: Conv2D}], every: true}}", ["relu_1", "conv_2", "relu_2", "add_1"]),
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
        ("{after: {type: Conv2D, until: {type: ReLU}}}", ["relu_1", "relu_2", "add_1", "gap", "fc_1", "fc_2"]),
        ("{after: {name: pad, until: {type: Conv2D}}}", ["conv_1"]),
        ("{before: {type: Dense, until: {type: Add}}}", ["add_1", "gap", "fc_1"]),
        ("{after: {type: Conv2D, until: {type: Conv2D}, hops: 2}}", ["relu_1", "conv_2", "relu_2", "add_1", "gap"]),
        ("{between: {after: {name: conv_1}, before: {type: Add}}}", ["relu_1", "conv_2", "relu_2"]),
        ("{between: {after: {type: Conv2D}, before: {type: Dense}}}", ["relu_1", "relu_2", "add_1", "gap"]),
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
    assert select(graph, "{before: {type: Dense, until: {name: fc_2}}}") == ["in", "fc_1", "relu", "fc_2"]
    assert select(graph, "{after: {name: fc_1, until: {name: fc_2}}}") == ["relu", "fc_2"]
    assert select(graph, "{after: {name: [fc_1, fc_2], until: {name: fc_2}}}") == ["relu", "fc_2", "fc_3"]


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
    assert select(graph, "{between: {after: {name: conv_0}, before: {name: fc_1}}}") == ["net::relu", "net::conv_1"]


def test_axes_go_by_meaning_whatever_the_storage_order():
    graph = build_graph(
        "in > conv_up:Conv2DTranspose[2,2,16,8] > conv_groups(groups=4)[3,3,4,12] > depthwise[5,5,12,2] > separable[3,3,24,6] > lstm[6,16] > embed:Embedding[50,3]"
    )
    assert select(graph, "{weight: {in: 8}}") == ["conv_up"]
    assert select(graph, "{weight: {out: 16}}") == ["conv_up", "lstm"]
    assert select(graph, "{weight: {in: 4}}") == ["conv_groups", "lstm"]  # in/groups as stored, and the recurrent kernel
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
    rules = parse_rules("version: 1\nrules:\n- {id: a, match: {weight: {sparsity: {gte: 50%}}}, keep: true}", "p.yaml")
    assert [str(found) for found in resolve_rules(BRANCHES, rules).diagnostics] == [
        "error[weight/not-measured]: 'weight: {sparsity: ...}' needs measured zeros, and here only the model's graph is known\n  --> p.yaml:3:19\n"
        "  help: give the saved model itself (.keras, .h5, SavedModel)"
    ]
    assert rules.reads_weights


KINDS = ("Dense", "Conv2D", "ReLU")


@st.composite
def edges_and_calls(draw):
    """Layers with their kinds, and for each call of a layer the earlier calls that feed it; a layer may be called twice."""
    size = draw(st.integers(2, 7))
    kinds = [draw(st.sampled_from(KINDS)) for _ in range(size)]
    shared = draw(st.sets(st.integers(0, size - 1), max_size=2))
    order = [*range(size), *sorted(shared)]
    feeds = [sorted(draw(st.sets(st.integers(0, place), min_size=1, max_size=3))) for place in range(len(order))]
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
        text.append(" + ".join(f"{calls[source][0]}@{calls[source][1]}" for source in sources) + f" > {name}:{kinds[layer]}")
        calls.append(call)
    return build_graph(" ; ".join(text)), flow


def naive(flow, holds):
    return {call[0] for call in flow if holds(call)}


MATCHERS = st.recursive(
    st.sampled_from(["{type: Dense}", "{type: Conv2D}", "{type: [ReLU, InputLayer]}", "{name: [l0, l3]}", "{calls: 2}", "'*'", "{produces_output: true}"]),
    lambda inner: st.one_of(
        inner.map("{{not: {}}}".format),
        st.tuples(inner, inner).map("{{all: [{0[0]}, {0[1]}]}}".format),
        st.tuples(inner, inner).map("{{any: [{0[0]}, {0[1]}]}}".format),
        inner.map("{{first: {}}}".format),
        inner.map("{{after: {{all: [{}]}}}}".format),
        inner.map("{{feeds: {{all: [{}], every: true}}}}".format),
        st.tuples(inner, inner).map("{{between: {{after: {0[0]}, before: {0[1]}}}}}".format),
    ),
    max_leaves=4,
)


def sets(graph, *matches):
    found = Matches(graph)
    return [found.of(parse_matcher(match, "match")) for match in matches]


@given(edges_and_calls(), MATCHERS, MATCHERS)
def test_de_morgan_and_regions(example, one, other):
    graph, _ = drawn(example)
    neither, both_not = sets(graph, f"{{not: {{any: [{one}, {other}]}}}}", f"{{all: [{{not: {one}}}, {{not: {other}}}]}}")
    assert neither == both_not
    not_both, either_not = sets(graph, f"{{not: {{all: [{one}, {other}]}}}}", f"{{any: [{{not: {one}}}, {{not: {other}}}]}}")
    assert not_both == either_not
    between, after, before, ends = sets(
        graph,
        f"{{between: {{after: {one}, before: {other}}}}}",
        f"{{after: {{all: [{one}]}}}}",
        f"{{before: {{all: [{other}]}}}}",
        f"{{any: [{one}, {other}]}}",
    )
    assert between <= (after & before) - ends


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
        return {address for (address, _), length in nx.single_source_shortest_path_length(view, call, cutoff=hops).items() if length}

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

    expected = {
        f"{{after: {{type: {kind}}}}}": lambda call: up(call) & is_kind,
        f"{{before: {{type: {kind}}}}}": lambda call: down(call) & is_kind,
        f"{{after: {{type: {kind}, hops: {hops}}}}}": lambda call: near(call, flow.reverse()) & is_kind,
        f"{{before: {{type: {kind}, hops: {hops}}}}}": lambda call: near(call, flow) & is_kind,
        f"{{after: {{type: {kind}, until: {{type: {other}}}}}}}": lambda call: walked(call) & is_kind,
        f"{{first: {{type: {kind}}}}}": lambda call: call[0] in is_kind and not up(call) & is_kind,
        f"{{last: {{type: {kind}}}}}": lambda call: call[0] in is_kind and not down(call) & is_kind,
        f"{{between: {{after: {{type: {kind}}}, before: {{type: {other}}}}}}}": lambda call: (
            up(call) & is_kind and down(call) & is_other and call[0] not in is_kind | is_other
        ),
        f"{{fed_by: {{type: {kind}}}}}": lambda call: set(fed_by(call)) & is_kind,
        f"{{fed_by: {{type: {kind}, every: true}}}}": lambda call: fed_by(call) and set(fed_by(call)) <= is_kind,
        f"{{feeds: {{type: {kind}, only: true}}}}": lambda call: len(feeds(call)) == 1 and set(feeds(call)) <= is_kind,
    }
    found = Matches(graph)
    for match, holds in expected.items():
        assert found.of(parse_matcher(match, "match")) == naive(flow, holds), match


@given(edges_and_calls(), MATCHERS)
def test_first_and_last_swap_when_all_edges_turn(example, match):
    graph, _ = drawn(example)
    chosen = parse_matcher(match, "match")
    names = sorted(Matches(graph).of(chosen)) or ["nobody"]
    turned = type(graph)(**{field: getattr(graph, field) for field in graph.__dataclass_fields__} | {"flow": graph.flow.reverse()})
    for one, other in (("first", "last"), ("after", "before"), ("fed_by", "feeds")):
        forward, backward = (parse_matcher(f"{{{key}: {{name: {names}}}}}", "match") for key in (one, other))
        assert Matches(graph).of(forward) == Matches(turned).of(backward)


RULE = "{{id: {}, match: {}, prune: {{sparsity: {}, schedule: {{curve: step, begin: 0 steps}}}}, expect: {{gte: 0}}}}"


@given(edges_and_calls(), st.lists(st.tuples(MATCHERS, st.sampled_from(["50%", "90%"])), min_size=2, max_size=4), st.randoms())
def test_the_order_of_rules_and_files_never_changes_what_is_claimed(example, rules, random):
    graph, _ = drawn(example)
    listed = [RULE.format(f"r{index}", match, sparsity) for index, (match, sparsity) in enumerate(rules)]
    shuffled = random.sample(listed, len(listed))
    results = [resolve_rules(graph, parse_rules(f"version: 1\nrules: [{', '.join(order)}]", "p.yaml")) for order in (listed, shuffled)]
    claims = [[(claim.address, claim.rule and claim.rule.id, claim.lost) for claim in result.claims] for result in results]
    assert claims[0] == claims[1]
    assert sorted(found.slug for found in results[0].diagnostics) == sorted(found.slug for found in results[1].diagnostics)
