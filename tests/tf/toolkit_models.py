"""Models of all layers that the TensorFlow toolkit wraps, pruned and trained by it; run as a
program of its own, with its own tf.keras.

python toolkit_models.py FOLDER: leaves FOLDER/<model>.keras, .h5 where the toolkit can write it,
and what graphprune made of the live models.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from tf_keras import layers

import graphprune
from graphprune.rules import parse_rules
from graphprune.tf.pruning.live_graph import graph_of_model

toolkit = tfmot.sparsity.keras


def image():
    x = layers.Input((8, 8, 3))
    h = layers.Conv2D(4, 3, padding="same")(x)
    for layer in (
        layers.BatchNormalization(),
        layers.experimental.SyncBatchNormalization(),
        layers.ReLU(),
        layers.SeparableConv2D(4, 3, padding="same"),
        layers.LayerNormalization(),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.ELU(),
        layers.Conv2DTranspose(4, 3, padding="same"),
        layers.LeakyReLU(),
        layers.LocallyConnected2D(3, 3),
        layers.SpatialDropout2D(0.1),
        layers.ZeroPadding2D(1),
        layers.UpSampling2D(),
        layers.Cropping2D(2),
        layers.MaxPooling2D(),
        layers.AveragePooling2D(2, 1),
        layers.ThresholdedReLU(0.0),
    ):
        h = layer(h)
    return tf_keras.Model(
        x,
        [
            layers.GlobalAveragePooling2D()(h),
            layers.GlobalMaxPooling2D()(h),
            layers.Dense(2, name="end")(layers.Flatten()(h)),
        ],
    )


def sequence():
    x = layers.Input((8,))
    h = layers.Embedding(16, 6)(x)
    for layer in (
        layers.Conv1D(6, 3),
        layers.BatchNormalization(center=False),
        layers.Activation("tanh"),
        layers.SeparableConv1D(6, 3, padding="same"),
        layers.ZeroPadding1D(1),
        layers.LocallyConnected1D(6, 3),
        layers.SpatialDropout1D(0.1),
        layers.UpSampling1D(),
        layers.Cropping1D(1),
        layers.MaxPooling1D(),
        layers.AveragePooling1D(),
        layers.Permute((2, 1)),
        layers.Reshape((-1, 2)),
        layers.Softmax(),
    ):
        h = layer(h)
    return tf_keras.Model(x, [layers.GlobalAveragePooling1D()(h), layers.GlobalMaxPooling1D()(h)])


def volume():
    x = layers.Input((6, 6, 6, 2))
    h = layers.Conv3D(3, 3, padding="same")(x)
    for layer in (
        layers.BatchNormalization(scale=False),
        layers.Conv3DTranspose(3, 3, padding="same"),
        layers.SpatialDropout3D(0.1),
        layers.ZeroPadding3D(1),
        layers.UpSampling3D(),
        layers.Cropping3D(2),
        layers.MaxPooling3D(),
        layers.AveragePooling3D(),
    ):
        h = layer(h)
    return tf_keras.Model(x, [layers.GlobalAveragePooling3D()(h), layers.GlobalMaxPooling3D()(h)])


def merges():
    x = layers.Input((6,))
    a = layers.BatchNormalization(trainable=False)(layers.Dense(6)(x))
    b = layers.GaussianNoise(0.1)(layers.Dense(6, use_bias=False)(layers.Dropout(0.1)(x)))
    made = [
        layer()([a, b])
        for layer in (
            layers.Add,
            layers.Average,
            layers.Maximum,
            layers.Minimum,
            layers.Multiply,
            layers.Subtract,
        )
    ]
    h = layers.Concatenate()([*made, layers.Dot(1)([a, b])])
    h = layers.GaussianDropout(0.1)(
        layers.AlphaDropout(0.1)(layers.Flatten()(layers.RepeatVector(2)(h)))
    )
    nested = tf_keras.Sequential(
        [layers.Input((74,)), layers.BatchNormalization(name="norm"), layers.Dense(4, name="in")],
        name="nested",
    )
    return tf_keras.Model(x, layers.Lambda(lambda v: v * 2.0, name="own")(nested(h)))


def recurrent():
    x = layers.Input((5, 4))
    h = layers.BatchNormalization()(layers.LSTM(4, return_sequences=True)(layers.Masking()(x)))
    h = layers.GRU(4, return_sequences=True)(layers.SimpleRNN(4, return_sequences=True)(h))
    h = layers.RNN([layers.LSTMCell(4), layers.GRUCell(4)], return_sequences=True)(h)
    h = layers.MultiHeadAttention(2, 3)(h, h)
    return tf_keras.Model(x, layers.RNN(layers.SimpleRNNCell(3))(h))


MODELS = {
    "image": image,
    "sequence": sequence,
    "volume": volume,
    "merges": merges,
    "recurrent": recurrent,
}
HDF5 = ("image", "sequence", "volume", "merges")
"""The others have several masks of one name in a layer, and the toolkit fails to write them."""


def inputs_of(model):
    return np.random.default_rng(1).integers(0, 9, (8, *model.input_shape[1:])).astype(
        "float32"
    ) / (1 if len(model.input_shape) == 2 else 9)


def pruned(make):
    """Return a model that the toolkit pruned and trained."""
    tf_keras.utils.set_random_seed(2)
    model = toolkit.prune_low_magnitude(
        make(), toolkit.PolynomialDecay(0.3, 0.6, 0, 8, frequency=1)
    )
    model.compile("adam", "mse")
    x = inputs_of(model)
    y = [np.ones_like(output) for output in predictions(model, x)]
    model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[toolkit.UpdatePruningStep()])
    return model


def predictions(model, x):
    found = model.predict(x, verbose=0)
    return found if isinstance(found, list) else [found]


def caught(call):
    """Return the error of a call, as a user sees it."""
    try:
        call()
    except Exception as err:
        return f"{type(err).__name__}: {err}"
    return "no error"


def live_facts(model, folder, name):
    """Return what graphprune makes of a live model that the toolkit pruned."""
    x = inputs_of(model)
    expected = predictions(model, x)
    own, stripped = (
        graphprune.prune_low_magnitude(model, graphprune.ConstantSparsity(0.5, 0)),
        graphprune.strip_pruning(model),
    )
    graph = graph_of_model(model)
    own.save(folder / f"{name}-converted.keras")
    return {
        "outputs": [
            bool(np.allclose(one, other, atol=1e-5))
            for copy in (own, stripped)
            for one, other in zip(expected, predictions(copy, x), strict=True)
        ],
        "own_names": not any(
            layer.name.startswith("prune_low_magnitude")
            for layer in (*own.layers, *stripped.layers)
        ),
        "steps": sorted(
            {int(wrapper.pruning_step) for wrapper in graphprune.collect_prunable_layers(own)}
        ),
        "optimizer": int(own.optimizer.iterations),
        "same_graph": graph == graph_of_model(own),
        "wrapped": {
            address: list(layer.wrap.pruning.weights)
            for address, layer in graph.layers.items()
            if layer.wrap and layer.wrap.pruning.weights
        },
    }


def refusals():
    """Return what graphprune says where a live model of the toolkit is no use to it."""
    model = toolkit.prune_low_magnitude(
        tf_keras.Sequential([layers.Input((3,)), layers.Dense(2, name="d")]),
        toolkit.ConstantSparsity(0.5, 0),
    )
    model.compile("adam", "mse")
    return {
        "collect": caught(lambda: graphprune.collect_prunable_layers(model)),
        "fit": caught(
            lambda: model.fit(
                np.ones((4, 3)),
                np.ones((4, 2)),
                verbose=0,
                callbacks=[graphprune.UpdatePruningStep()],
            )
        ),
        "pruner": caught(lambda: graphprune.Pruner(model)),
        "layer": caught(lambda: graphprune.prune_low_magnitude(model.layers[0])),
    }


def patterns():
    """Return what a live layer says that the toolkit's files leave out, and that rules go by its
    layers' own names.
    """
    model = toolkit.prune_low_magnitude(
        tf_keras.Sequential([layers.Input((8,)), layers.Dense(4, name="d")]),
        toolkit.ConstantSparsity(0.5, 0),
        sparsity_m_by_n=(2, 4),
    )
    rules = parse_rules(
        "version: 1\n"
        "rules: [{id: a, match: '*', prune: {sparsity: 75%, schedule: {curve: step, begin: 0"
        " steps}}}]",
        "r.yaml",
    )
    again = graphprune.apply_rules(model, rules).get_layer("d")
    own = graphprune.prune_low_magnitude(model).get_layer("d")
    return {"live": str(own.pruning.pattern), "rules": again.pruning.sparsity}


def main(folder: Path) -> None:
    facts = {}
    for name, make in MODELS.items():
        model = pruned(make)
        for suffix in (".keras", ".h5") if name in HDF5 else (".keras",):
            model.save(folder / f"{name}{suffix}")
        x = inputs_of(model)
        np.savez(folder / f"{name}.npz", x, *predictions(model, x))
        facts[name] = live_facts(model, folder, name)
    facts["refusals"], facts["patterns"] = refusals(), patterns()
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
