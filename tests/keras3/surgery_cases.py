"""Plans applied to live Keras 3 models, and the graph of a live model, on one backend."""

import tempfile
from pathlib import Path

import keras
import numpy as np
from keras3 import models
from keras3.child import Cases, refusal
from keras3.models import MODELS, array, operations, sequential, shared_with_a_nested_model, unbuilt

import graphprune
from graphprune import UpdatePruningStep
from graphprune.errors import GraphError, StalePlanError, TrainingError

CASES = Cases()
FOLDER = Path(tempfile.mkdtemp())


def rules(match, sparsity=0.5, **more):
    """Return rules whose only rule, `it`, prunes what matches, from step 0 to step 4."""
    schedule = {"curve": "linear", "from": 0}
    schedule |= {"begin": "0 steps", "end": "4 steps", "every": "2 steps"}
    if "pattern" not in more:
        more["sparsity"] = sparsity
    rule = {"id": "it", "match": match, "prune": {"schedule": schedule, **more}}
    return {"version": 1, "rules": [rule]}


def saved(model, name="model.keras"):
    model.save(FOLDER / name)
    return FOLDER / name


@CASES.each(
    [name for name in MODELS if name not in ("unbuilt", "subclassed", "custom layers")],
    fast=("operations", "nested called twice"),
)
def the_graph_of_a_live_model_is_that_of_its_file(name):
    model, _ = MODELS[name]()
    path = saved(model)
    live, stored = graphprune.read_graph(model), graphprune.read_graph(path)
    assert live == stored
    assert list(live.layers) == list(stored.layers)
    assert graphprune.diff_models(model, path).is_empty


@CASES
def a_layer_shared_with_a_nested_model_is_read_and_not_cloned():
    model, _ = shared_with_a_nested_model()  # Keras itself cannot load the file again
    path = saved(model)
    live, stored = graphprune.read_graph(model), graphprune.read_graph(path)
    assert live == stored
    assert {len(layer.tensors) for layer in stored.layers.values() if layer.type == "Dense"} == {2}
    refused = refusal(lambda: graphprune.prune_low_magnitude(model), GraphError)
    assert "Keras cannot build this model from its own config (" in refused
    assert refused.endswith("it may have a layer both inside and outside of a nested model")


@CASES
def layers_inside_custom_layers_are_those_of_the_file():
    model, _ = MODELS["custom layers"]()
    live, stored = graphprune.read_graph(model), graphprune.read_graph(saved(model))
    assert list(live.layers) == list(stored.layers)
    for address, layer in live.layers.items():
        found = stored.layers[address]  # the file names no class, and no attribute of a weight
        assert (layer.type, layer.name) == (found.type, found.name)
        if address != "scaled":
            assert layer.tensors == found.tensors


@CASES
def a_plan_prunes_what_it_claims():
    model, x = operations()
    model.compile("adam", "mse")
    before = [array(weight) for weight in model.weights]
    path, rule = saved(model), rules({"type": "Dense", "not": {"name": "c"}}, 0.75)
    plan = graphprune.make_plan(path, rule)
    assert graphprune.make_plan(model, rule).changes == plan.changes
    pruned = graphprune.apply_plan(model, plan)
    held = {one.name: one for one in graphprune.collect_prunable_layers(pruned)}
    assert list(held) == ["a", "b"]
    assert held["a"].provenance.rule == "it"
    assert held["a"].pruning == plan.changes[0].after
    for weight, value in zip(pruned.weights, before, strict=True):
        np.testing.assert_array_equal(array(weight), value)
    assert not graphprune.collect_prunable_layers(model)
    assert pruned.get_config() == model.get_config()
    wrapped = {
        address: layer.wrap.provenance.rule
        for address, layer in graphprune.read_graph(pruned).layers.items()
        if layer.wrap
    }
    assert wrapped == {"a": "it", "b": "it"}
    assert graphprune.read_graph(saved(pruned)) == graphprune.read_graph(pruned)
    assert graphprune.read_graph(pruned) != graphprune.read_graph(model)
    train(pruned, x)
    assert not graphprune.verify(pruned, plan).drift
    assert not graphprune.verify(saved(pruned), plan).drift
    assert graphprune.verify(model, plan).drift


def train(model, x, epochs=3):
    targets = np.random.default_rng(4).normal(size=(len(x), 4)).astype("float32")
    model.fit(x, targets, batch_size=8, epochs=epochs, verbose=0, callbacks=[UpdatePruningStep()])


@CASES
def patterns_and_budgets_are_those_of_the_plan():
    model, x = operations()
    model.compile("adam", "mse")
    for rule in (rules({"name": "a"}, pattern={"keep": 2, "of": 4, "along": "in"}),):
        pruned = graphprune.apply_rules(model, rule)
        train(pruned, x)
        (held,) = graphprune.collect_prunable_layers(pruned)
        kept = held.tensors[0].read_mask().reshape(2, 4, 16).sum(axis=1)
        assert (kept == 2).all()


@CASES
def stale_plans_and_models_without_weights_are_refused():
    model, _ = operations()
    plan = graphprune.make_plan(model, rules({"type": "Dense"}))
    other, _ = sequential()
    text = refusal(lambda: graphprune.apply_plan(other, plan), StalePlanError)
    assert "the plan was made for another model: 'c' is missing in" in text
    again = graphprune.apply_plan(model, plan)
    text = refusal(lambda: graphprune.apply_plan(again, plan), StalePlanError)
    assert "'a' is wrapped, but not as planned for" in text
    text = refusal(lambda: graphprune.apply_plan(unbuilt()[0], plan), GraphError)
    assert text.endswith(
        "the model is not built, so it has no weights yet; call model.build(input_shape) first"
    )


@CASES
def a_second_plan_keeps_masks_and_steps():
    model, x = operations()
    model.compile("adam", "mse")
    first = graphprune.apply_rules(model, rules({"name": "a"}))
    train(first, x, epochs=2)
    second = graphprune.apply_rules(first, rules({"name": ["a", "b"]}, 0.75))
    steps = {one.name: one.read_step() for one in graphprune.collect_prunable_layers(second)}
    assert steps == {"a": 6, "b": 0}
    old, new = (graphprune.collect_prunable_layers(one)[0] for one in (first, second))
    np.testing.assert_array_equal(old.tensors[0].read_mask(), new.tensors[0].read_mask())
    assert new.pruning.sparsity == 0.75
    path = saved(second)
    with graphprune.prune_scope():
        loaded = keras.models.load_model(path)
    train(loaded, x, epochs=2)
    steps = {one.name: one.read_step() for one in graphprune.collect_prunable_layers(loaded)}
    assert steps == {"a": 12, "b": 6}
    third = graphprune.apply_rules(second, rules({"name": "b"}, 0.75))
    assert [one.name for one in graphprune.collect_prunable_layers(third)] == ["b"]


@CASES
def custom_layers_are_pruned_by_their_names_in_files():
    model, x = models.custom_layers()
    model.compile("adam", "mse")
    inner = rules({"name": "block.more.dense_1"})
    taught = inner | {"layers": {"Block": {"prunable": {"more.dense_1.kernel": ["in", "out"]}}}}
    for rule in (inner, taught, rules({"type": "Scaled"})):
        pruned = graphprune.apply_rules(model, rule)
        train(pruned, x)
        (held,) = graphprune.collect_prunable_layers(pruned)
        assert abs(np.mean(held.tensors[0].read() == 0) - 0.5) < 0.02
        graph = graphprune.read_graph(saved(pruned))
        (wrapped,) = [layer for layer in graph.layers.values() if layer.wrap]
        assert wrapped.wrap.pruning.weights == held.pruning.weights
        assert wrapped.wrap.pruning.weights[0] in [tensor.name for tensor in wrapped.tensors]
        objects = {
            "Block": models.Block,
            "Scaled": models.Scaled,
            "own_function": models.own_function,
        }
        with graphprune.prune_scope():
            loaded = keras.models.load_model(FOLDER / "model.keras", objects, safe_mode=False)
        np.testing.assert_array_equal(
            graphprune.collect_prunable_layers(loaded)[0].tensors[0].read_mask(),
            held.tensors[0].read_mask(),
        )


@CASES
def one_shot():
    model, _ = operations()
    model.compile("adam", "mse")
    pruned = graphprune.prune_one_shot(model, rules({"type": "Dense"}))
    assert not graphprune.collect_prunable_layers(pruned)
    zeros = [np.mean(array(one) == 0) for one in pruned.weights if len(one.shape) == 2]
    np.testing.assert_allclose(zeros, 0.5)
    assert not any((array(one) == 0).any() for one in model.weights if len(one.shape) == 2)
    model.weights[0].assign(np.full((8, 16), np.nan, "float32"))
    text = refusal(
        lambda: graphprune.prune_one_shot(model, rules({"type": "Dense"})), TrainingError
    )
    assert text == (
        "net: NaN or infinity in a/kernel; such a model cannot be pruned by magnitude; train it"
        " again"
    )


if __name__ == "__main__":
    CASES.run()
