"""Layers in custom layers: what a plan made from a file accepts, the loaded model does, by the
names of the file, in all three formats.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import tf_keras
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tf_keras import layers

from graphprune.archive import read_archive
from graphprune.errors import PlanError, RuleError
from graphprune.graph import read_graph
from graphprune.graph.read import open_model_file
from graphprune.graph.weights import locate_weights
from graphprune.plan import make_plan, read_plan
from graphprune.plan.to_document import plan_to_config
from graphprune.rules import parse_rules
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.live_graph import graph_of_model
from graphprune.tf.pruning.surgery import apply_plan, apply_rules, strip_model

pytestmark = pytest.mark.tf


class Nest(layers.Layer):
    """A custom layer of random parts: `own` is a weight, `dense` a layer, `list` two layers in a
    list, a dict another Nest.
    """

    def __init__(self, parts, **kwargs):
        super().__init__(**kwargs)
        self.parts = parts
        for attribute, (kind, name) in parts.items():
            if kind == "dense":
                setattr(self, attribute, layers.Dense(4, name=name))
            elif kind == "list":
                setattr(
                    self,
                    attribute,
                    [layers.Dense(4), layers.Dense(4, use_bias=False, trainable=name is None)],
                )
            elif kind != "own":
                setattr(self, attribute, Nest(kind, name=name))

    def build(self, shape):
        for attribute, (kind, _) in self.parts.items():
            if kind == "own":
                setattr(self, attribute, self.add_weight(name=f"w_{attribute}", shape=(4, 4)))
        super().build(shape)

    def call(self, inputs):
        for attribute, (kind, _) in self.parts.items():
            part = getattr(self, attribute)
            if kind == "own":
                inputs = inputs @ part
            else:
                for layer in part if kind == "list" else [part]:
                    inputs = layer(inputs)
        return inputs

    def get_config(self):
        return {**super().get_config(), "parts": dict(self.parts)}


ATTRIBUTES = ("a", "b", "dense", "z")
NAMES = st.sampled_from([None, "dense", "b"])
LEAF = st.tuples(st.sampled_from(["own", "dense", "list"]), NAMES)


def nests(inner):
    return st.dictionaries(
        st.sampled_from(ATTRIBUTES),
        st.one_of(LEAF, st.tuples(inner, NAMES)),
        min_size=1,
        max_size=3,
    )


PARTS = st.recursive(
    st.dictionaries(st.sampled_from(ATTRIBUTES), LEAF, min_size=1, max_size=2), nests, max_leaves=3
)
CLASSES = {"Nest": Nest}
FORMATS = ("m.keras", "m.h5", "m")


def model_of(parts):
    tf_keras.backend.clear_session()
    x = layers.Input((4,))
    model = tf_keras.Model(x, layers.Dense(2, name="end")(Nest(parts, name="nest")(x)))
    for number, weight in enumerate(model.weights):
        weight.assign(np.random.default_rng(number).normal(size=weight.shape))
    return model


def rules_for(names, listed=()):
    axes = ", ".join(f"'{name}': [in, out]" for name in names)
    weights = f", weights: [{', '.join(map(repr, listed))}]" if listed else ""
    return parse_rules(
        "version: 1\n"
        "layers:\n"
        f"  Nest: {{prunable: {{{axes}}}{weights}}}\n"
        "rules:\n"
        "- {id: all, match: {name: nest}, prune: {sparsity: 50%, schedule: {curve: step, begin: 0"
        " steps}}}\n",
        "r.yaml",
    )


def faults_of(make):
    with pytest.raises(RuleError) as caught:
        make()
    return [(fault.slug, fault.message) for fault in caught.value.diagnostics]


def check_file(path, again):
    archive = read_archive(path)
    graph = read_graph(archive)
    stored = locate_weights(archive, graph)
    kernels = [tensor.name for tensor in graph.layers["nest"].tensors if len(tensor.shape) == 2]
    rules = rules_for(kernels)
    plan = make_plan(graph, rules)
    loaded = load_model(path, CLASSES)
    wrapped = apply_plan(loaded, plan)
    values = {
        name: weight.numpy()
        for name, (weight, _, _) in zip(
            kernels, wrapped.get_layer("nest").pruning_vars, strict=True
        )
    }
    for name in kernels:
        np.testing.assert_array_equal(
            values[name], stored.read("nest", name), err_msg=f"{path} {name}"
        )
    assert (
        apply_rules(loaded, rules).get_layer("nest").pruning.weights
        == tuple(plan.changes[0].after.weights)
        == wrapped.get_layer("nest").pruning.weights
    )
    save_model(wrapped, again)
    for name in kernels:
        np.testing.assert_array_equal(
            values[name],
            locate_weights(read_archive(again), read_graph(again)).read("nest", name),
            err_msg=f"{again} {name}",
        )
    assert load_model(again, CLASSES).get_layer("nest").pruning.weights == tuple(kernels)
    assert strip_model(load_model(again, CLASSES)).get_config() == loaded.get_config()
    wrong = rules_for([*kernels, "nothing.like_it"])
    assert faults_of(lambda: make_plan(graph, wrong)) == faults_of(
        lambda: apply_rules(loaded, wrong)
    )


@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example({"dense": ("dense", "b"), "b": ("dense", "dense")})
@example(
    {
        "a": ({"z": ("own", None), "a": ({"b": ("list", None), "z": ("dense", None)}, "b")}, None),
        "b": ("list", "dense"),
    }
)
@given(PARTS)
@pytest.mark.slow
def test_what_plan_accepts_apply_does(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("nest")
    model = model_of(parts)
    for file in FORMATS:
        model.save(folder / file)
        for again in ("w.keras", "w.h5"):
            check_file(folder / file, folder / again)


BLOCK = {"a": ("dense", None), "b": ("dense", None)}


def test_numbered_weights_take_the_names_of_the_rule_file_and_a_written_plan_keeps_them(tmp_path):
    model_of(BLOCK).save(tmp_path / "m.keras")
    graph, loaded = read_graph(tmp_path / "m.keras"), load_model(tmp_path / "m.keras", CLASSES)
    (tmp_path / "p.json").write_text(
        json.dumps(plan_to_config(make_plan(graph, rules_for(["b.kernel"]))))
    )
    plan = read_plan(tmp_path / "p.json")
    assert [(tensor.name, tensor.stored_as) for tensor in plan.changes[0].tensors] == [
        ("b.kernel", "b.0")
    ]
    weight = apply_plan(loaded, plan).get_layer("nest").pruning_vars[0][0]
    np.testing.assert_array_equal(weight.numpy(), loaded.get_layer("nest").b.kernel.numpy())


def test_a_name_that_the_class_has_for_another_weight_is_refused(tmp_path):
    model_of({"a": ("own", None), "b": ("own", None)}).save(tmp_path / "m.keras")
    plan = make_plan(read_graph(tmp_path / "m.keras"), rules_for(["w_b"]))
    with pytest.raises(PlanError) as caught:
        apply_plan(load_model(tmp_path / "m.keras", CLASSES), plan)
    assert (
        str(caught.value)
        == "nest: the rule file calls the weight '0' of Nest 'w_b', which is another weight of the"
        " class; list all weights under 'weights' in the order in which the layer makes them"
    )
    listed = make_plan(read_graph(tmp_path / "m.keras"), rules_for(["w_b"], ["w_a", "w_b"]))
    loaded = load_model(tmp_path / "m.keras", CLASSES)
    np.testing.assert_array_equal(
        apply_plan(loaded, listed).get_layer("nest").pruning_vars[0][0].numpy(),
        loaded.get_layer("nest").b.numpy(),
    )


@pytest.mark.parametrize("name", ["a.0", "a.kernel", "dense.kernel"])
def test_a_model_that_comes_from_no_file_takes_the_names_of_every_format(name):
    model = model_of({"a": ("dense", "dense"), "b": ("dense", "other")})
    wrapper = apply_rules(model, rules_for([name])).get_layer("nest")
    np.testing.assert_array_equal(
        wrapper.pruning_vars[0][0].numpy(), model.get_layer("nest").a.kernel.numpy()
    )
    assert wrapper.pruning.weights == (name,)


def test_a_custom_class_is_taught_in_every_format(tmp_path):
    model = model_of({"a": ("own", None)})
    for file in FORMATS:
        model.save(tmp_path / file)
        layer = read_graph(tmp_path / file).layers["nest"]
        plan = make_plan(open_model_file(tmp_path / file).graph, rules_for([layer.tensors[0].name]))
        assert [change.is_change for change in plan.changes] == [True, False], file


def test_a_custom_class_with_the_name_of_one_of_keras_stays_custom_in_a_keras_file(tmp_path):
    dense = type("Dense", (Nest,), {"__module__": "own"})
    x = layers.Input((4,))
    model = tf_keras.Model(x, dense({"a": ("own", None)}, name="nest")(x))
    model.save(tmp_path / "m.keras")
    assert [tensor.name for tensor in read_graph(tmp_path / "m.keras").layers["nest"].tensors] == [
        "0"
    ]
    assert [tensor.name for tensor in graph_of_model(model).layers["nest"].tensors] == ["w_a"]
