"""The layers that rules select equal sets that are computed here, by a walk of its own over the
live model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from live_models import walk
from tf_keras import applications, layers
from tf_keras.src.applications import regnet, resnet

from graphprune.rules import parse_rules, resolve_rules
from graphprune.tf.pruning.live_graph import graph_of_model

pytestmark = pytest.mark.tf

Set = set[str]

OPERATIONS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "concat": "Concatenate",
}
"""The types that rules know operations by, as in Keras 3."""


def operation_of(layer: layers.Layer) -> str | None:
    return OPERATIONS.get(getattr(layer, "symbol", ""))


class Live:
    """A live model, flattened: `flow` has one node a call of a layer that computes."""

    def __init__(self, model: tf_keras.Model) -> None:
        self.layers = dict(walk(model))
        self.flow: nx.DiGraph = nx.DiGraph()
        self.counts: Counter[str] = Counter()
        outputs = self.call(model, "", None)
        self.outputs = {address for calls in outputs for address, _ in calls}
        self.prunable = {
            address: prunable_weights(layer)
            for address, layer in self.layers.items()
            if not isinstance(layer, tf_keras.Model)
        }
        self.candidates = {address for address, weights in self.prunable.items() if weights}

    def call(self, model, prefix, given):
        made = (
            {}
            if given is None
            else {id(tensor): calls for tensor, calls in zip(model.inputs, given, strict=True)}
        )
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                layer = node.layer
                tensors = (
                    [node.outputs]
                    if not isinstance(node.outputs, list | tuple | dict)
                    else tf.nest.flatten(node.outputs)
                )
                if node.is_input and given is not None:
                    continue
                producers = (
                    [made[id(tensor)] for tensor in node.keras_inputs] if not node.is_input else []
                )
                if isinstance(layer, tf_keras.Model):
                    self.counts[prefix + layer.name] += 1
                    results = self.call(layer, f"{prefix}{layer.name}::", producers)
                else:
                    results = [{self.add(prefix + layer.name, producers)}] * len(tensors)
                made |= {id(tensor): calls for tensor, calls in zip(tensors, results, strict=True)}
        return [made[id(tensor)] for tensor in model.outputs]

    def add(self, address, producers):
        node = address, self.counts[address]
        self.counts[address] += 1
        self.flow.add_node(node)
        self.flow.add_edges_from((source, node) for sources in producers for source in sources)
        return node

    def where(self, holds: Callable) -> Set:
        return {address for address, layer in self.layers.items() if holds(layer)}

    def typed(self, *names: str) -> Set:
        return self.where(
            lambda layer: type(layer).__name__ in names or operation_of(layer) in names
        )

    def isa(self, *names: str) -> Set:
        return self.where(lambda layer: any(kind.__name__ in names for kind in type(layer).__mro__))

    def config(self, key: str, *values: object) -> Set:
        return self.where(
            lambda layer: (
                not isinstance(layer, tf_keras.Model)
                and key in (own := layer.get_config())
                and plain(own[key]) in values
            )
        )

    def tensors(self, holds: Callable) -> Set:
        return {
            address
            for address, weights in self.prunable.items()
            if any(holds(self.layers[address], name, shape) for name, shape in weights)
        }

    def calls(self, addresses: Set) -> set:
        return {call for call in self.flow if call[0] in addresses}

    def holders(self, holds: Callable) -> Set:
        return {call[0] for call in self.flow if holds(call)}

    def upstream(self, call) -> Set:
        return {other[0] for other in nx.ancestors(self.flow, call)}

    def downstream(self, call) -> Set:
        return {other[0] for other in nx.descendants(self.flow, call)}

    def fed_by(self, call) -> list[str]:
        return [other[0] for other in self.flow.predecessors(call)]

    def feeds(self, call) -> list[str]:
        return [other[0] for other in self.flow.successors(call)]

    def first(self, addresses: Set) -> Set:
        return self.holders(
            lambda call: call[0] in addresses and not self.upstream(call) & addresses
        )

    def last(self, addresses: Set) -> Set:
        return self.holders(
            lambda call: call[0] in addresses and not self.downstream(call) & addresses
        )

    def after(self, addresses: Set, until: Set) -> Set:
        found: Set = set()
        for start in self.calls(addresses):
            open_part = self.flow.copy()
            open_part.remove_edges_from(
                [edge for edge in self.flow.edges if edge[0] != start and edge[0][0] in until]
            )
            found |= {call[0] for call in nx.descendants(open_part, start)}
        return found

    def before(self, addresses: Set, hops: int) -> Set:
        backward = self.flow.reverse()
        near = [
            nx.single_source_shortest_path_length(backward, start, cutoff=hops)
            for start in self.calls(addresses)
        ]
        return {call[0] for lengths in near for call, length in lengths.items() if length}


def prunable_weights(layer: layers.Layer) -> list[tuple[str, tuple[int, ...]]]:
    if not type(layer).__module__.startswith("tf_keras.src.layers"):
        return []
    names = [
        (variable.name.split(":")[0].split("/"), tuple(variable.shape))
        for variable in layer.weights
    ]
    return [
        ("/".join(name[-2:]), shape)
        for name, shape in names
        if re.fullmatch(r"(\w+_)?kernel|embeddings", name[-1])
    ]


def plain(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else value


def fan_in(layer: layers.Layer, name: str, shape: tuple[int, ...]) -> int:
    if isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose):
        return shape[-1]
    if "attention_output" in name:
        return shape[1]
    return (
        shape[-2]
        if isinstance(
            layer, layers.Conv1D | layers.Conv2D | layers.SeparableConv2D | layers.DepthwiseConv2D
        )
        else shape[0]
    )


def window(layer: layers.Layer, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-2] if "Conv" in type(layer).__name__ else ()


MERGES = ("Add", "Concatenate")
RULES: dict[str, tuple[str, Callable[[Live], Set]]] = {
    "everything": ('"*"', lambda live: live.candidates),
    "type": ("{type: Dense}", lambda live: live.typed("Dense")),
    "isa": ("{isa: [Conv2D, RNN]}", lambda live: live.isa("Conv2D", "RNN")),
    "not-last": (
        "{type: Dense, not: {last: {type: Dense}}}",
        lambda live: live.typed("Dense") - live.last(live.typed("Dense")),
    ),
    "first": ("{first: {isa: Conv2D}}", lambda live: live.first(live.isa("Conv2D"))),
    "last-of-all": ("{last: '*'}", lambda live: live.last(live.candidates)),
    "no-bias": ("{config: {use_bias: false}}", lambda live: live.config("use_bias", False)),
    "pointwise": (
        "{use: pointwise}",
        lambda live: live.isa("Conv2D") & live.config("kernel_size", (1, 1)),
    ),
    "large": (
        "{params: {gte: 10k}}",
        lambda live: {
            address
            for address, weights in live.prunable.items()
            if sum(int(np.prod(shape)) for _, shape in weights) >= 10_000
        },
    ),
    "in-of-4": (
        "{weight: {in: {multiple_of: 4}}}",
        lambda live: live.tensors(lambda *tensor: fan_in(*tensor) % 4 == 0),
    ),
    "three-by-three": (
        "{weight: {kernel: [3, 3]}}",
        lambda live: live.tensors(lambda *tensor: window(*tensor) == (3, 3)),
    ),
    "matrices": (
        "{weight: {rank: 2, in: {gte: 8}}}",
        lambda live: live.tensors(lambda *tensor: len(tensor[2]) == 2 and fan_in(*tensor) >= 8),
    ),
    "after-norm": (
        "{fed_by: {isa: [BatchNormalization, LayerNormalization]}}",
        lambda live: live.holders(
            lambda call: (
                set(live.fed_by(call)) & live.isa("BatchNormalization", "LayerNormalization")
            )
        ),
    ),
    "only-relu": (
        "{fed_by: {type: [ReLU, Activation], only: true}}",
        lambda live: live.holders(
            lambda call: (
                len(live.fed_by(call)) == 1
                and set(live.fed_by(call)) <= live.typed("ReLU", "Activation")
            )
        ),
    ),
    "only-norms": (
        "{feeds: {type: BatchNormalization, every: true}}",
        lambda live: live.holders(
            lambda call: (
                live.feeds(call) and set(live.feeds(call)) <= live.typed("BatchNormalization")
            )
        ),
    ),
    "after-merge": (
        "{after: {type: [Add, Concatenate]}}",
        lambda live: live.holders(lambda call: live.upstream(call) & live.typed(*MERGES)),
    ),
    "shortly-before-merge": (
        "{before: {type: [Add, Concatenate], hops: 2}}",
        lambda live: live.before(live.typed(*MERGES), 2),
    ),
    "until": (
        "{after: {isa: Conv2D, until: {type: BatchNormalization}}}",
        lambda live: live.after(live.isa("Conv2D"), live.typed("BatchNormalization")),
    ),
    "body": (
        "{between: {after: {first: {isa: Conv2D}}, before: {last: '*'}}}",
        lambda live: (
            live.holders(
                lambda call: (
                    live.upstream(call) & live.first(live.isa("Conv2D"))
                    and live.downstream(call) & live.last(live.candidates)
                )
            )
            - live.first(live.isa("Conv2D"))
            - live.last(live.candidates)
        ),
    ),
    "named": (
        "{name: {regex: '.*(conv|expand|dense).*[0-9]'}}",
        lambda live: {
            name for name in live.layers if re.fullmatch(".*(conv|expand|dense).*[0-9]", name)
        },
    ),
    "nested": (
        "{inside: {not: {name: no-such-model}}}",
        lambda live: {name for name in live.layers if "::" in name},
    ),
    "ends": (
        "{any: [{produces_output: true}, {calls: {gte: 2}}]}",
        lambda live: live.outputs | {name for name, count in live.counts.items() if count > 1},
    ),
}
SELECTORS = "selectors: {pointwise: {isa: Conv2D, config: {kernel_size: [1, 1]}}}"


def assert_sets_agree(model: tf_keras.Model) -> None:
    live = Live(model)
    graph = graph_of_model(model)
    assert set(graph.layers) == set(live.layers)
    for name, (match, expected) in RULES.items():
        rules = parse_rules(
            "version: 1\n"
            f"{SELECTORS}\n"
            f"rules: [{{id: a, match: {match}, keep: true, expect: {{gte: 0}}}}]",
            "p.yaml",
        )
        selected = [
            claim.address for claim in resolve_rules(graph, rules).claims if claim.rule is not None
        ]
        assert set(selected) == expected(live) & live.candidates, name


QUICK = {
    "MobileNet": lambda: applications.MobileNet(alpha=0.25, weights=None),
    "VGG16": lambda: applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=10),
    "RegNetX": lambda: regnet.RegNet([1, 1, 2, 2], [24, 56, 152, 368], 8, "X", 64, weights=None),
    "ResNet": lambda: resnet.ResNet(
        lambda x: resnet.stack1(resnet.stack1(x, 64, 2, stride1=1, name="a"), 128, 2, name="b"),
        preact=False,
        use_bias=True,
        weights=None,
    ),
}
SLOW = {
    "MobileNetV2": lambda: applications.MobileNetV2(alpha=0.35, weights=None),
    "MobileNetV3Small": lambda: applications.MobileNetV3Small(weights=None),
    "RegNetX002": lambda: applications.RegNetX002(weights=None),
    "ResNet50": lambda: applications.ResNet50(weights=None),
    "DenseNet121": lambda: applications.DenseNet121(weights=None),
    "EfficientNetB0": lambda: applications.EfficientNetB0(weights=None),
    "EfficientNetV2B0": lambda: applications.EfficientNetV2B0(weights=None),
    "InceptionV3": lambda: applications.InceptionV3(weights=None),
    "NASNetMobile": lambda: applications.NASNetMobile(weights=None),
    "Xception": lambda: applications.Xception(weights=None),
}


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_rules_select_on_an_application_what_a_walk_over_it_finds(name: str) -> None:
    assert_sets_agree((QUICK | SLOW)[name]())


def siamese() -> tf_keras.Model:
    tower = tf_keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(8),
        ],
        name="tower",
    )
    left, right = layers.Input((8, 8, 3)), layers.Input((8, 8, 3))
    return tf_keras.Model(
        [left, right], layers.Dense(1)(layers.Concatenate()([tower(left), tower(right)]))
    )


def two_heads() -> tf_keras.Model:
    x = layers.Input((16,))
    trunk = layers.Dense(16, activation="relu", name="trunk")(x)
    age = layers.Dense(1, name="age")(layers.Dense(8, name="age_dense_1")(trunk))
    return tf_keras.Model(x, [age, layers.Dense(2, name="sex")(trunk), trunk])


def shared_layer() -> tf_keras.Model:
    x = layers.Input((8,))
    shared = layers.Dense(8, name="shared")
    y = layers.Dense(8, name="middle")(shared(x))
    return tf_keras.Model(
        x, layers.Dense(2, name="end")(layers.Add()([shared(layers.ReLU()(y)), y]))
    )


def nested_three_deep() -> tf_keras.Model:
    inner_in = layers.Input((8, 8, 4))
    inner = tf_keras.Model(
        inner_in,
        layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="conv_1")(inner_in)),
        name="inner",
    )
    middle_in = layers.Input((8, 8, 4))
    middle = tf_keras.Model(
        middle_in, layers.Add()([inner(middle_in), inner(layers.ReLU()(middle_in))]), name="middle"
    )
    outer_in = layers.Input((8, 8, 4))
    outer = tf_keras.Model(
        outer_in, layers.Conv2D(4, 1, name="conv_2")(middle(outer_in)), name="outer"
    )
    x = layers.Input((8, 8, 4))
    return tf_keras.Model(
        x,
        layers.Dense(3, name="dense_3")(
            layers.GlobalAveragePooling2D()(outer(layers.Conv2D(4, 1, use_bias=False)(x)))
        ),
    )


def u_net() -> tf_keras.Model:
    x = layers.Input((16, 16, 3))
    one = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x))
    two = layers.ReLU()(layers.SeparableConv2D(12, 3, padding="same")(layers.MaxPooling2D()(one)))
    deep = layers.Conv2D(16, 3, padding="same", groups=4)(layers.MaxPooling2D()(two))
    up = layers.Concatenate()([layers.Conv2DTranspose(10, 2, strides=2)(deep), two])
    top = layers.Concatenate()(
        [
            layers.Conv2DTranspose(8, 3, strides=2, padding="same")(
                layers.Conv2D(8, 3, padding="same")(up)
            ),
            one,
        ]
    )
    return tf_keras.Model(x, layers.Conv2D(1, 1)(layers.DepthwiseConv2D(3, padding="same")(top)))


def transformer_encoder() -> tf_keras.Model:
    tokens = layers.Input((6,), dtype="int32")
    x = layers.Embedding(50, 16)(tokens)
    for block in range(2):
        attended = layers.MultiHeadAttention(2, 8, name=f"attention_{block}")(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
        x = layers.LayerNormalization()(
            layers.Add()([x, layers.Dense(16)(layers.Dense(32, activation="relu")(x))])
        )
    return tf_keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def seq2seq() -> tf_keras.Model:
    source, target = layers.Input((5,), dtype="int32"), layers.Input((4,), dtype="int32")
    _, h, c = layers.LSTM(8, return_state=True, name="encoder")(
        layers.Embedding(20, 6, name="source_words")(source)
    )
    decoded = layers.LSTM(8, return_sequences=True, name="decoder")(
        layers.Embedding(30, 6, name="target_words")(target), initial_state=[h, c]
    )
    return tf_keras.Model([source, target], layers.Dense(30)(decoded))


def op_layers() -> tf_keras.Model:
    x = layers.Input((8, 8, 3))
    y = layers.Conv2D(4, 3, padding="same")(x * 2.0)
    z = tf.nn.relu(y) + layers.Conv2D(4, 1)(y)
    return tf_keras.Model(x, layers.Dense(3)(tf.reduce_mean(z, axis=[1, 2])))


@pytest.mark.parametrize(
    "build",
    [
        siamese,
        two_heads,
        shared_layer,
        nested_three_deep,
        u_net,
        transformer_encoder,
        seq2seq,
        op_layers,
    ],
)
def test_rules_select_on_a_hand_built_model_what_a_walk_over_it_finds(
    build: Callable[[], tf_keras.Model],
) -> None:
    assert_sets_agree(build())
