from __future__ import annotations

import copy
import re
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers
from tf_zoo import ZOO, build, pruning, sample, wrap_all

from graphprune.diagnostics.diagnostic import Where
from graphprune.errors import GraphError, PlanError
from graphprune.plan.changes import LayerChange, ModelFacts, Plan, RuleRef
from graphprune.plan.make import make_plan
from graphprune.rules import parse_rules
from graphprune.sparsity.pruning import Pruning
from graphprune.tf.pruning.addresses import addressed_layers, check_model, find_wrappers
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.live_graph import graph_of_model
from graphprune.tf.pruning.surgery import apply_plan, apply_rules, strip_model, wrap_layers

pytestmark = pytest.mark.tf


def values(variables):
    return [variable.numpy() for variable in variables if isinstance(variable, tf.Variable)]


def assert_same_values(left, right):
    for one, other in zip(values(left), values(right), strict=True):
        np.testing.assert_array_equal(one, other)


def snapshot(model):
    parts = [layer for _, layer in addressed_layers(model)]
    nodes = [
        (layer.name, len(layer._inbound_nodes), len(layer._outbound_nodes), sorted(vars(layer)))
        for layer in parts
    ]
    return (
        nodes,
        [id(weight) for weight in model.weights],
        values(model.weights),
        copy.deepcopy(model.get_config()),
    )


@cache
def wrapped_zoo(name):
    """A model of the zoo, what could be seen of it before it was wrapped, and the wrapped copy."""
    model = build(name)
    return model, snapshot(model), wrap_all(model)


@pytest.mark.parametrize("name", ZOO)
def test_wrapped_equals_the_original_which_is_untouched(name):
    model, before, wrapped = wrapped_zoo(name)
    inputs = sample(model)
    np.testing.assert_equal(snapshot(model), before)
    assert find_wrappers(wrapped)
    assert not {id(weight) for weight in model.weights} & {id(weight) for weight in wrapped.weights}
    assert not {id(layer) for _, layer in addressed_layers(model)} & {
        id(layer) for _, layer in addressed_layers(wrapped)
    }
    tf.nest.map_structure(np.testing.assert_array_equal, wrapped(inputs), model(inputs))
    assert [layer.name for layer in wrapped.layers] == [layer.name for layer in model.layers]
    assert [weight.name for weight in wrapped.trainable_weights] == [
        weight.name for weight in model.trainable_weights
    ]
    assert [loss.numpy() for loss in wrapped.losses] == [loss.numpy() for loss in model.losses]


@pytest.mark.parametrize("name", ZOO)
def test_strip_of_wrap_is_the_identity(name):
    model, _, wrapped = wrapped_zoo(name)
    stripped = strip_model(wrapped)
    assert stripped.get_config() == model.get_config()
    assert type(stripped) is type(model)
    assert_same_values(model.weights, stripped.weights)
    assert not find_wrappers(stripped)


@pytest.mark.parametrize("name", ZOO)
def test_graph_of_a_wrapped_model_has_the_layers_of_the_original(name):
    model, _, twin = wrapped_zoo(name)
    graph, wrapped = graph_of_model(model), graph_of_model(twin)
    assert [(layer.address, layer.tensors) for layer in wrapped.layers.values()] == [
        (layer.address, layer.tensors) for layer in graph.layers.values()
    ]
    assert {address for address, layer in wrapped.layers.items() if layer.wrap} == {
        layer.address for layer in graph.candidates()
    }


OPTIMIZERS = {
    "adam": lambda: tf_keras.optimizers.Adam(
        tf_keras.optimizers.schedules.CosineDecay(0.01, 50), amsgrad=True
    ),
    "sgd": lambda: tf_keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True),
    "legacy": lambda: tf_keras.optimizers.legacy.Adam(0.01),
    "scaled": lambda: tf_keras.mixed_precision.LossScaleOptimizer(
        tf_keras.optimizers.RMSprop(0.01), initial_scale=64.0, dynamic_growth_steps=2
    ),
}


def train_by_hand(model, steps):
    rng = np.random.default_rng(8)
    for _ in range(steps):
        model.train_on_batch(rng.normal(size=(4, 4)).astype("float32"), np.ones((4, 4), "float32"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_wrap_and_strip_keep_the_optimizer(name):
    model = build("deep")
    model.compile(OPTIMIZERS[name](), "mse", run_eagerly=True)
    train_by_hand(model, 2)
    twin = strip_model(wrap_all(model))
    assert twin.optimizer is not model.optimizer
    assert str(twin.optimizer.get_config()) == str(model.optimizer.get_config())
    assert_same_values(
        *(m.optimizer.weights if name == "legacy" else m.optimizer.variables for m in (model, twin))
    )
    for each in (model, twin):
        train_by_hand(each, 2)
    assert_same_values(model.weights, twin.weights)


@pytest.mark.parametrize("has_run", [False, True])
def test_wrap_and_strip_keep_compile_settings_but_share_no_metric(has_run):
    model = build("siamese")
    loss = {"head": "mse", "aux": tf_keras.losses.Huber()}
    metrics = {"aux": [tf_keras.metrics.MeanAbsoluteError("mae"), "mse"]}
    model.compile(
        "adam", loss, metrics, loss_weights={"aux": 0.5}, run_eagerly=True, steps_per_execution=2
    )
    data = (
        [np.ones((4, 5), "float32")] * 2,
        [np.ones((4, 1), "float32"), np.ones((4, 2), "float32")],
    )
    if has_run:
        model.evaluate(*data, verbose=0)
    twin = strip_model(wrap_all(model))
    assert model.evaluate(*data, verbose=0, return_dict=True) == twin.evaluate(
        *data, verbose=0, return_dict=True
    )
    assert (twin.run_eagerly, twin._steps_per_execution.numpy()) == (True, 2)
    assert not {id(metric) for metric in model.metrics} & {id(metric) for metric in twin.metrics}


def test_an_optimizer_keeps_its_order_of_variables_when_layers_are_frozen_later():
    model = build("deep")
    model.compile(tf_keras.optimizers.Adam(), "mse", run_eagerly=True)
    train_by_hand(model, 1)
    model.layers[1].trainable = False
    twin = wrap_all(model)
    assert_same_values(model.optimizer.variables, twin.optimizer.variables)
    assert [weight.name for weight in twin.trainable_weights] == [
        weight.name for weight in model.trainable_weights
    ]


def plan_of(*changes: LayerChange) -> Plan:
    return Plan(ModelFacts("", "", 0, 0, 0, 0, 0), (("p.yaml", "ab12"),), 1, {}, changes)


def change(
    address: str, actions: tuple, after: Pruning | None, before: Pruning | None = None
) -> LayerChange:
    return LayerChange(
        address,
        "Dense",
        1,
        actions,
        "claimed_by_rule",
        RuleRef("r", Where("p.yaml", 1)),
        (),
        before,
        after,
        (),
        (),
    )


def trained_and_wrapped():
    model = wrap_all(build("sequential"))
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(
        np.ones((8, 5)),
        np.ones((8, 2)),
        batch_size=2,
        verbose=0,
        epochs=2,
        callbacks=[UpdatePruningStep()],
    )
    return model


def test_wrap_model_carries_out_each_action_of_a_plan():
    model = trained_and_wrapped()
    old = pruning("kernel")
    new = pruning("kernel", sparsity=0.9)
    retargeted = apply_plan(
        model, plan_of(change("d1", ("retarget",), new, old), change("d2", ("noop",), old, old))
    )
    d1, d2 = (retargeted.get_layer(name) for name in ("d1", "d2"))
    assert (d1.pruning, d1.provenance.rule, d1.provenance.rules_sha256, d2.pruning) == (
        new,
        "r",
        "ab12",
        old,
    )
    assert_same_values(model.get_layer("d1").pruning_state, d1.pruning_state)
    assert_same_values(model.get_layer("d2").pruning_state, d2.pruning_state)
    assert_same_values(model.optimizer.variables, retargeted.optimizer.variables)

    unwrapped = apply_plan(
        model,
        plan_of(change("d1", ("unwrap",), None, old), change("d2", ("unwrap", "wrap"), new, old)),
    )
    assert list(find_wrappers(unwrapped)) == ["d2"]
    state = unwrapped.get_layer("d2").pruning_state
    assert state[0].numpy().all()
    assert [int(variable.numpy()) for variable in state[-2:]] == [0, -1]
    np.testing.assert_array_equal(
        unwrapped.get_layer("d1").kernel.numpy(), model.get_layer("d1").layer.kernel.numpy()
    )


RULES = """
version: 1
rules:
  - id: dense
    match: {type: Dense}
    prune: {sparsity: 0.5, schedule: {curve: polynomial, end: 1 epochs}}
  - {id: last, match: {name: "head::h2"}, keep: true}
"""


def test_rules_are_applied_to_a_live_model_and_a_second_plan_is_empty():
    rules = parse_rules(RULES, "p.yaml")
    model = build("siamese")
    wrapped = apply_rules(model, rules, steps_per_epoch=10, epochs=2)
    found = find_wrappers(wrapped)
    assert {
        address: wrapper.provenance.rule for address, wrapper in found.items()
    } == dict.fromkeys(["tower::shared", "head::h1", "aux"], "dense")
    assert not any(
        change.is_change
        for change in make_plan(
            graph_of_model(wrapped), rules, steps_per_epoch=10, epochs=2
        ).changes
    )


def test_a_plan_for_another_model_is_refused():
    with pytest.raises(
        PlanError,
        match=(
            r"^error\[plan/stale\]: the plan was made for another model: 'fc9' is missing in seq\n "
            r" help: make the plan again"
        ),
    ):
        apply_plan(build("sequential"), plan_of(change("fc9", ("wrap",), pruning("kernel"))))


def test_a_weight_that_does_not_exist_is_refused_by_name():
    with pytest.raises(
        PlanError, match=r"^d1: Dense has no weight named 'kernle'; it has kernel, bias$"
    ):
        wrap_layers(build("sequential"), {"d1": pruning("kernle")})


class Bare(layers.Layer):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width


class Subclassed(tf_keras.Model):
    pass


class Scaled(layers.Layer):
    def __init__(self, regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.regularizer = tf_keras.regularizers.get(regularizer)

    def build(self, shape):
        self.scale = self.add_weight(
            "scale", shape[-1:], initializer="uniform", regularizer=self.regularizer
        )

    def call(self, inputs):
        return inputs * self.scale

    def get_config(self):
        return {
            **super().get_config(),
            "regularizer": tf_keras.regularizers.serialize(self.regularizer),
        }


class Tiny(tf_keras.regularizers.Regularizer):
    def __call__(self, weight):
        return tf.reduce_sum(weight)

    def get_config(self):
        return {}


def test_custom_classes_need_no_registration():
    x = layers.Input((4,))
    model = tf_keras.Model(
        x,
        layers.Dense(2, name="d")(
            layers.TimeDistributed(Scaled(Tiny()), name="t")(layers.Reshape((2, 2))(x))
        ),
    )
    wrapped = wrap_all(model)
    assert wrapped.get_layer("t").layer.regularizer is not model.get_layer("t").layer.regularizer
    np.testing.assert_array_equal(wrapped(tf.ones((1, 4))), model(tf.ones((1, 4))))


def test_a_layer_without_get_config_is_named():
    x = layers.Input((4,))
    model = tf_keras.Model(x, Bare(object(), name="odd")(x))
    with pytest.raises(
        GraphError,
        match=(
            r"^odd: layer class Bare has no get_config, so it cannot be copied; give it one that"
            r" returns its arguments$"
        ),
    ):
        strip_model(model)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: Subclassed(name="s"),
            (
                "s: {module}.Subclassed is a subclassed model, whose layers and connections cannot"
                " be read; rebuild it with the Functional API: tf_keras.Model(inputs, outputs)"
            ),
        ),
        (
            lambda: tf_keras.Sequential([layers.Dense(2)], name="q"),
            (
                "q: the model is not built, so it has no weights yet; call model.build(input_shape)"
                " first"
            ),
        ),
        (lambda: 3, "builtins.int is not a Keras model; give a Sequential or Functional model"),
    ],
)
def test_what_cannot_be_pruned_is_refused(make, text):
    with pytest.raises(GraphError, match="^" + re.escape(text.format(module=__name__)) + "$"):
        check_model(make())


def test_a_keras_3_model_is_refused():
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="k3")
    text = (
        "k3: keras.src.models.sequential.Sequential is of Keras 3 (module keras), and this function"
        " of graphprune.tf takes those of tf_keras; call the one of the same name that graphprune"
        " itself has, which takes both"
    )
    with pytest.raises(GraphError, match="^" + re.escape(text) + "$"):
        check_model(model)


@pytest.mark.parametrize("kind", ["GlorotUniform", "HeNormal", "Orthogonal", "RandomNormal"])
def test_a_clone_draws_no_random_numbers_for_weights_that_it_copies(kind, monkeypatch):
    model = tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, kernel_initializer=kind)])
    initializer = getattr(tf_keras.initializers, kind)
    drawn = []
    monkeypatch.setattr(
        initializer, "__call__", lambda *_, **__: drawn.append(kind) or tf.zeros((4, 3))
    )
    twin = strip_model(wrap_all(model))
    assert drawn == []
    assert_same_values(model.weights, twin.weights)


@pytest.mark.parametrize(
    "copied", [strip_model, lambda wrapped: wrap_layers(wrapped, {})], ids=["stripped", "copied"]
)
def test_weights_that_something_wrote_under_the_mask_are_zero_in_a_copy(copied):
    model = tf_keras.Sequential(
        [layers.Input((4,)), layers.Dense(3, name="d", kernel_initializer="ones")]
    )
    wrapped = wrap_all(model)
    ((weight, mask, _),) = wrapped.get_layer("d").pruning_vars
    mask.assign(np.arange(12).reshape(4, 3) % 2 == 0)
    twin = copied(wrapped).get_layer("d")
    kernel = getattr(twin, "layer", twin).kernel
    np.testing.assert_array_equal(kernel.numpy(), mask.numpy().astype("float32"))
    assert weight.numpy().all()  # the model that was copied is left as it was


def test_initializers_of_a_clone_are_its_own():
    kernel = tf_keras.initializers.RandomNormal(stddev=0.2, seed=3)
    model = tf_keras.Sequential([layers.Dense(3, kernel_initializer=kernel, input_shape=(4,))])
    twin = strip_model(model)
    assert twin.layers[0].kernel_initializer is not model.layers[0].kernel_initializer
    assert twin.get_config() == model.get_config()
