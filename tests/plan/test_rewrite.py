from dataclasses import replace

import pytest
from builders import build_graph
from hypothesis import given
from hypothesis import strategies as st
from lenet import RULES, lenet, rules

from graphprune.errors import PlanError
from graphprune.graph import LayerGraph, graph_from_config
from graphprune.plan import (
    check_plan_fits,
    make_plan,
    plan_from_config,
    plan_sha256,
    plan_to_config,
    wrap_graph,
)
from graphprune.sparsity.pruning import Provenance

HALF = (
    "version: 1\n"
    "rules:\n"
    "  - id: half\n"
    "    match: '*'\n"
    "    prune: {sparsity: 50%, schedule: {curve: step, begin: 0 steps}}\n"
)


def facts(graph: LayerGraph):
    return {
        address: [(tensor.name, tensor.shape, tensor.dtype) for tensor in layer.tensors]
        for address, layer in graph.layers.items()
    }


def test_a_wrapped_layer_keeps_its_address_and_carries_its_rule():
    plan = make_plan(lenet(), rules())
    wrapped = wrap_graph(lenet(), plan)
    layer = wrapped.layers["fc1"]
    assert list(wrapped.layers) == list(lenet().layers)
    assert layer.wrap is not None
    assert (layer.type, layer.wrap.type, layer.wrap.pruning) == (
        "Dense",
        "graphprune>PruneLowMagnitude",
        plan.changes[0].after,
    )
    assert layer.wrap.provenance == Provenance("dense-90", plan.rules[0][1], plan_sha256(plan))
    assert [address for address, layer in wrapped.layers.items() if layer.wrap is not None] == [
        "fc1",
        "fc2",
    ]


def test_the_wrapper_entry_names_its_module_in_keras_files():
    layer = lenet().layers["fc1"]
    plan = make_plan(lenet(), rules())
    wrap = wrap_graph(lenet(), plan).layers["fc1"].wrap
    assert wrap is not None
    assert wrap.pruning is not None
    assert wrap.entry == {
        "module": "graphprune.tf.pruning.wrapper",
        "class_name": "PruneLowMagnitude",
        "config": {
            "name": "fc1",
            "trainable": True,
            "dtype": "float32",
            "layer": layer.entry,
            "pruning": wrap.pruning.to_config(),
            "provenance": {
                "rule": "dense-90",
                "rules_sha256": plan.rules[0][1],
                "plan_sha256": plan_sha256(plan),
            },
        },
        "registered_name": "graphprune>PruneLowMagnitude",
    }


def legacy(graph: LayerGraph) -> LayerGraph:
    config = graph.to_config()
    config = {"class_name": "Functional", "config": config["config"]}
    for entry in config["config"]["layers"]:
        entry.pop("module")
        entry.pop("registered_name")
    return graph_from_config(config, tensors=facts(graph))


def test_the_wrapper_entry_has_its_registered_name_as_class_in_h5_files():
    graph = legacy(lenet())
    wrap = wrap_graph(graph, make_plan(graph, rules())).layers["fc1"].wrap
    assert wrap is not None
    assert set(wrap.entry) == {"class_name", "config"}
    assert wrap.entry["class_name"] == "graphprune>PruneLowMagnitude"
    assert wrap.entry["config"]["layer"] == graph.layers["fc1"].entry


@pytest.mark.parametrize("dialect", [lambda graph: graph, legacy])
def test_the_wrapped_config_reads_back_as_the_wrapped_graph(dialect):
    graph = dialect(lenet())
    wrapped = wrap_graph(graph, make_plan(graph, rules()))
    assert graph_from_config(wrapped.to_config(), tensors=facts(wrapped)) == wrapped


def test_a_retarget_and_an_unwrap_are_carried_out():
    wrapped = wrap_graph(lenet(), make_plan(lenet(), rules()))
    other = rules(
        RULES.replace("type: Dense}\n    prune", "name: fc2}\n    prune").replace("0.9}", "0.5}")
    )
    again = wrap_graph(wrapped, make_plan(wrapped, other))
    assert again.layers["fc1"].wrap is None
    assert again.layers["fc2"].wrap is not None
    assert again.layers["fc2"].wrap.pruning.sparsity == 0.5
    assert make_plan(again, other).is_empty


def test_carrying_out_an_empty_plan_gives_the_same_graph():
    wrapped = wrap_graph(lenet(), make_plan(lenet(), rules()))
    assert wrap_graph(wrapped, make_plan(wrapped, rules())) is wrapped


def test_a_plan_from_json_does_the_same():
    plan = make_plan(lenet(), rules())
    assert wrap_graph(lenet(), plan_from_config(plan_to_config(plan))) == wrap_graph(lenet(), plan)


@st.composite
def graphs(draw):
    """Random graphs of layers with and without prunable weights, with joins, a shared layer and a
    nested model.
    """
    kinds = ["fc", "relu", "lstm", "embed", "conv", "separable", "bn", "drop", "depthwise"]
    text, names = "in", ["in"]
    for index in range(draw(st.integers(1, 8))):
        source = draw(st.sampled_from(names))
        name = f"{draw(st.sampled_from(kinds))}_{index}"
        text += f"; {source} > {name}"
        if draw(st.booleans()):
            text += f"; {source} + {name} > add_{index}"
        names.append(name)
    if draw(st.booleans()):
        text += (
            f"; {draw(st.sampled_from(names))} > {draw(st.sampled_from(names[1:]))}_again; in >"
            " shared:Dense > shared"
        )
    models = {"inner": "in > fc_a > relu > fc_b"} if draw(st.booleans()) else {}
    return build_graph(text + ("; in > inner" if models else ""), models=models)


@given(graphs(), st.data())
def test_stripping_undoes_wrapping(graph, data):
    candidates = [layer.address for layer in graph.candidates()]
    plan = make_plan(graph, rules(HALF)) if candidates else None
    if plan is None:
        return
    chosen = data.draw(st.sets(st.sampled_from(candidates)))
    some = replace(
        plan,
        changes=tuple(
            change if change.address in chosen else replace(change, actions=("unclaimed",))
            for change in plan.changes
        ),
    )
    wrapped = wrap_graph(graph, some)
    assert {
        address for address, layer in wrapped.layers.items() if layer.wrap is not None
    } == chosen
    pruned = {address: layer for address, layer in wrapped.layers.items() if layer.wrap}
    bare = {address: replace(layer, wrap=None) for address, layer in pruned.items()}
    assert wrapped.replace(bare) == graph
    assert wrapped.replace(bare).to_config() == graph.to_config()


@given(graphs())
def test_a_second_plan_is_empty(graph):
    if not graph.candidates():
        return
    again = make_plan(wrap_graph(graph, make_plan(graph, rules(HALF))), rules(HALF))
    assert again.is_empty
    assert {change.actions for change in again.changes} == {("noop",)}


def stale(text: str) -> str:
    help = "make the plan again for this model: graphprune plan MODEL -r RULES -o PLAN.json"
    return f"error[plan/stale]: the plan was made for another model: {text}\n  help: {help}"


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (
            "in > flatten > fc1[784,300] > fc2[300,50] > predictions[50,10]",
            (
                "'fc2' kernel is [300, 50], planned as [300, 100]; 'predictions' kernel is [50,"
                " 10], planned as [100, 10]"
            ),
        ),
        (
            "in > flatten > fc1[784,300] > predictions[300,10]",
            "'fc2' is missing; 'predictions' kernel is [300, 10], planned as [100, 10]",
        ),
        (
            "in > flatten > fc1:LSTM[784,300] > fc2[300,100] > predictions[100,10]",
            "'fc1' is LSTM, planned as Dense",
        ),
        (
            "in > flatten > fc1[784,300] > fc2[300,100] > predictions[100,10] > fc3",
            "'fc3' is not in the plan",
        ),
        (
            "in > flatten > fc1[784,300] > fc2[300,100] > relu > predictions[100,10]",
            "layers without prunable weights, or connections, differ",
        ),
    ],
)
def test_a_plan_for_another_model_is_refused(other, fault):
    with pytest.raises(PlanError) as error:
        wrap_graph(build_graph(other, name="lenet"), make_plan(lenet(), rules()))
    assert str(error.value) == stale(fault)


def test_many_differences_are_counted():
    with pytest.raises(PlanError) as error:
        check_plan_fits(build_graph("in > fc_a > fc_b > fc_c > fc_d"), make_plan(lenet(), rules()))
    assert str(error.value) == stale(
        "'fc1' is missing; 'fc2' is missing; 'predictions' is missing; 'fc_a' is not in the plan;"
        " 'fc_b' is not in the plan; and 2 more"
    )


def test_a_plan_that_was_carried_out_does_not_fit_again():
    plan = make_plan(lenet(), rules())
    with pytest.raises(PlanError) as error:
        check_plan_fits(wrap_graph(lenet(), plan), plan)
    assert str(error.value) == stale(
        "'fc1' is wrapped, but not as planned for; 'fc2' is wrapped, but not as planned for"
    )


def test_a_plan_for_a_wrapped_model_does_not_fit_the_original():
    wrapped = wrap_graph(lenet(), make_plan(lenet(), rules()))
    with pytest.raises(PlanError) as error:
        check_plan_fits(lenet(), make_plan(wrapped, rules()))
    assert str(error.value) == stale("'fc1' is not wrapped; 'fc2' is not wrapped")
