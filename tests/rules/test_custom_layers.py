"""The section `layers`: custom layers, their prunable weights and axes."""

import pytest
from builders import build_config

from graphprune.diagnostics.diagnostic import Where
from graphprune.errors import RuleError
from graphprune.graph import graph_from_config
from graphprune.plan import make_plan, wrap_graph
from graphprune.rules import parse_rules, resolve_rules
from graphprune.rules.values.custom_layers import CustomLayer, teach_layers

RULES = (
    "rules: [{id: a, match: {type: 'MyPkg>LowRankDense'}, prune: {sparsity: 50%, schedule: {curve:"
    " step, begin: 0 steps}}}]"
)
SECTION = "layers: {'MyPkg>LowRankDense': {prunable: {u: [in, rank], v: [rank, out]}}}"
NAMED = [("u", (8, 4), "float32"), ("v", (4, 6), "float32"), ("bias", (6,), "float32")]


def graph_with(tensors, kind="MyPkg>LowRankDense"):
    config = build_config(f"in > low:{kind} > low_2:{kind} > fc[6,2]")
    return graph_from_config(
        config, tensors={"low": tensors, "low_2": tensors, "fc": [("kernel", (6, 2), "float32")]}
    )


def rules(section=SECTION, listed=RULES):
    return parse_rules(f"version: 1\n{section}\n{listed}", "p.yaml")


def faults(section):
    with pytest.raises(RuleError) as caught:
        rules(section)
    return str(caught.value)


def test_taught_layers_are_candidates_with_axes():
    graph = graph_with(NAMED)
    assert [layer.address for layer in graph.candidates()] == ["fc"]
    taught = teach_layers(graph, rules().custom_layers)
    assert [tensor.label() for tensor in taught.layers["low"].prunable] == [
        "u [in 8, 4]",
        "v [4, out 6]",
    ]
    assert [layer.address for layer in taught.candidates()] == ["low", "low_2", "fc"]
    assert teach_layers(taught, rules().custom_layers) == taught
    assert teach_layers(graph, ()) is graph
    assert [layer.is_candidate for layer in graph.layers.values()] == [False, False, False, True]


def test_numbered_weights_take_the_names_in_the_order_of_the_file_or_of_the_list():
    numbered = [(str(index), shape, dtype) for index, (_, shape, dtype) in enumerate(NAMED)]
    taught = teach_layers(graph_with(numbered), rules().custom_layers).layers["low"]
    assert [(tensor.name, tensor.prunable) for tensor in taught.tensors] == [
        ("u", True),
        ("v", True),
        ("2", False),
    ]
    swapped = [numbered[0], ("1", (6,), "float32"), ("2", (4, 6), "float32")]
    listed = SECTION.replace("}}}", "}, weights: [u, bias, v]}}")
    taught = teach_layers(graph_with(swapped), rules(listed).custom_layers).layers["low"]
    assert [(tensor.name, tensor.prunable) for tensor in taught.tensors] == [
        ("u", True),
        ("bias", False),
        ("v", True),
    ]


def test_a_plan_for_a_taught_layer_can_be_carried_out_and_is_empty_then():
    graph = graph_with(NAMED)
    plan = make_plan(graph, rules())
    assert [change.address for change in plan.changes if change.is_change] == ["low", "low_2"]
    assert (plan.model.prunable_weights, plan.model.graph_sha256) == (
        2 * (32 + 24) + 12,
        graph.sha256,
    )
    wrapped = wrap_graph(graph, plan)
    assert make_plan(wrapped, rules()).is_empty


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "layers: {Dense: {prunable: {kernel: [in, out]}}}",
            (
                "error[value/range]: layers: 'Dense' is a layer of Keras, whose weights are known\n"
                "  --> p.yaml:2:10\n  help: delete the entry; name custom layers only"
            ),
        ),
        (
            "layers: {My: {}}",
            (
                "error[key/missing]: layer type 'My': the key 'prunable' is missing\n  -->"
                " p.yaml:2:14\n  help: add it, such as 'prunable: {u: [in, rank], v: [rank, out]}'"
            ),
        ),
        (
            "layers: {My: {prunable: {}}}",
            (
                "error[value/range]: layer type 'My': prunable must not be empty, got {}\n  -->"
                " p.yaml:2:25\n  help: write for example 'prunable: {u: [in, rank], v: [rank,"
                " out]}'"
            ),
        ),
        (
            "layers: {My: {prunable: {u: in}}}",
            (
                "error[value/type]: layer type 'My': u must be a list, got 'in'\n  --> p.yaml:2:29"
                "\n  help: write for example 'prunable: {u: [in, rank], v: [rank, out]}'"
            ),
        ),
        (
            "layers: {My: {prunable: {u: [in, out]}, weights: [v]}}",
            (
                "error[value/range]: layer type 'My': must name each prunable weight once in"
                " 'weights', got {prunable: {u: [in, out]}, weights: [v]}\n  --> p.yaml:2:14\n "
                " help: 'weights' lists all weights in the order in which the layer makes them"
            ),
        ),
    ],
)
def test_a_fault_of_the_section(section, message):
    assert faults(section) == message


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "layers: {'MyPkg>LowRankDense': {prunable: {u: [in, rank], w: [rank, out]}}}",
            (
                "error[layer/not-prunable]: layers: MyPkg>LowRankDense has no weight 'w' (layer"
                " 'low')\n  --> p.yaml:2:59\n  help: it has 'u', 'v', 'bias'"
            ),
        ),
        (
            "layers: {'MyPkg>LowRankDense': {prunable: {u: [in, rank], v: [rank, more, out]}}}",
            (
                "error[layer/not-prunable]: layers: the weight 'v' of MyPkg>LowRankDense has shape"
                " [4, 6] (layer 'low'), got 3 axes\n  --> p.yaml:2:59\n  help: name each axis, such"
                " as [in, out]; where weights are numbered, list all under 'weights'"
            ),
        ),
        (SECTION + "\nx-more: 1\n", ""),
    ],
)
def test_what_the_section_says_of_a_model_that_is_not_so(section, message):
    assert (
        "\n".join(map(str, resolve_rules(graph_with(NAMED), rules(section)).diagnostics)) == message
    )


def test_a_type_that_looks_misspelt_is_a_warning():
    section = "layers: {'MyPkg>LowRankDens': {prunable: {u: [in, rank]}}}"
    listed = "rules: [{id: a, match: {name: fc}, keep: true}]"
    assert [
        str(found) for found in resolve_rules(graph_with(NAMED), rules(section, listed)).diagnostics
    ] == [
        "warning[type/unknown]: layers: no layer of the model has the type 'MyPkg>LowRankDens'\n "
        " --> p.yaml:2:10\n  help: closest: 'MyPkg>LowRankDense'"
    ]


def test_what_the_rules_say_of_a_class_counts_where_the_class_says_something_else():
    entry = {
        "class_name": "Own",
        "module": None,
        "registered_name": "My>Own",
        "config": {"name": "own"},
        "inbound_nodes": [],
    }
    config = {"name": "net", "layers": [entry]}
    facts = {"own": [("a", (4, 6), "float32"), ("b", (6, 2), "float32")]}
    graph = graph_from_config(config, tensors=facts, prunable={"own": ["a"]})
    table = (CustomLayer("My>Own", Where("p.yaml"), {"b": ("in", "out")}),)
    assert [tensor.name for tensor in graph.layers["own"].prunable] == ["a"]
    taught = teach_layers(graph, table)
    assert [(tensor.name, tensor.axes) for tensor in taught.layers["own"].prunable] == [
        ("b", ("in", "out"))
    ]
    assert teach_layers(taught, table) == taught


def test_a_custom_layer_named_in_a_rule_gets_the_lines_that_teach_it():
    named = (
        "rules: [{id: a, match: {name: low}, prune: {sparsity: 50%, schedule: {curve: step, begin:"
        " 0 steps}}}]"
    )
    graph = graph_with(
        [("a.0", (8, 4), "float32"), ("a.1", (4,), "float32"), ("b.0", (4, 6), "float32")]
    )
    (fault,) = resolve_rules(graph, rules("", named)).diagnostics
    taught = "layers: {MyPkg>LowRankDense: {prunable: {'a.0': [in, out]}}}"
    assert (fault.slug, fault.help) == (
        "layer/not-prunable",
        (
            f"its class is not a Keras class; declare its prunable weights: {taught}; its weights"
            " with axes are 'a.0', 'b.0'"
        ),
    )
    assert not resolve_rules(
        teach_layers(graph, rules(taught, named).custom_layers), rules(taught, named)
    ).diagnostics
