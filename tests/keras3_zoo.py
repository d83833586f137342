"""One model for every layer class of `keras.layers` of Keras 3, saved with what its layers hold.

`python tests/keras3_zoo.py DIR` writes NAME.keras and NAME.json (the variables of the live model,
and its output shapes), and exported.json. It runs in a process of its own: one process has one
Keras.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from keras.src import api_export
from quick_tensorflow import collect_rarely, trace_without_stacks

import graphprune

IMAGE, SIGNAL, VOLUME, LINE = (6, 8, 3), (6, 5), (4, 5, 6, 3), (5,)
RANKED = {1: SIGNAL, 2: IMAGE, 3: VOLUME}


@dataclass(frozen=True)
class Sample:
    """A layer, the shapes of its inputs, and how it is called.

    Attributes:
        make: Returns the layer.
        shapes: The shapes of its inputs without the batch axis.
        dtype: Of its inputs.
        mode: How the model is quantized before it is saved.
        spread: Whether the inputs are arguments of their own.
    """

    make: Callable[[], Any]
    shapes: tuple[tuple[int, ...], ...] = (LINE,)
    dtype: str = "float32"
    mode: str = ""
    spread: bool = False


def _by_rank(name: str, *args: Any, ranks: tuple[int, ...] = (1, 2, 3), **settings: Any) -> Any:
    return {
        f"{name}{rank}D": Sample(
            lambda rank=rank: getattr(layers, f"{name}{rank}D")(*args, **settings), (RANKED[rank],)
        )
        for rank in ranks
    }


def _attention(**settings: Any) -> Sample:
    return Sample(
        lambda: layers.GroupQueryAttention(4, 6, 3, **settings), ((4, 5), (6, 5)), spread=True
    )


def _quantized(mode: str) -> dict[str, Sample]:
    """Return the classes that Keras can quantize, and layers that hold such."""
    return {
        f"Dense_{mode}": Sample(lambda: layers.Dense(4), mode=mode),
        f"Dense_{mode}_no_bias": Sample(lambda: layers.Dense(4, use_bias=False), mode=mode),
        f"EinsumDense_{mode}": Sample(
            lambda: layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d"),
            (SIGNAL,),
            mode=mode,
        ),
        f"Embedding_{mode}": Sample(lambda: layers.Embedding(7, 4), ((6,),), "int32", mode),
        f"ReversibleEmbedding_{mode}": Sample(
            lambda: layers.ReversibleEmbedding(7, 4), ((6,),), "int32", mode
        ),
        f"ReversibleEmbedding_{mode}_untied": Sample(
            lambda: layers.ReversibleEmbedding(7, 4, tie_weights=False), ((6,),), "int32", mode
        ),
        f"MultiHeadAttention_{mode}": Sample(
            lambda: layers.MultiHeadAttention(2, 4), ((4, 8), (6, 8)), mode=mode, spread=True
        ),
        f"TimeDistributed_{mode}": Sample(
            lambda: layers.TimeDistributed(layers.Dense(4)), (SIGNAL,), mode=mode
        ),
    }


WITH_WEIGHTS: Mapping[str, Sample] = {
    "Dense": Sample(lambda: layers.Dense(4)),
    "Dense_no_bias": Sample(lambda: layers.Dense(4, use_bias=False)),
    "EinsumDense": Sample(
        lambda: layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d"), (SIGNAL,)
    ),
    "Embedding": Sample(lambda: layers.Embedding(7, 4), ((6,),), "int32"),
    "ReversibleEmbedding": Sample(lambda: layers.ReversibleEmbedding(7, 4), ((6,),), "int32"),
    "ReversibleEmbedding_untied": Sample(
        lambda: layers.ReversibleEmbedding(7, 4, tie_weights=False), ((6,),), "int32"
    ),
    **_by_rank("Conv", 4, 2),
    **_by_rank("SeparableConv", 4, 2, ranks=(1, 2)),
    **_by_rank("DepthwiseConv", 2, ranks=(1, 2)),
    **{
        f"Conv{rank}DTranspose": Sample(
            lambda rank=rank: getattr(layers, f"Conv{rank}DTranspose")(4, 2), (RANKED[rank],)
        )
        for rank in (1, 2, 3)
    },
    **{
        f"ConvLSTM{rank}D": Sample(
            lambda rank=rank: getattr(layers, f"ConvLSTM{rank}D")(4, 2), ((3, *RANKED[rank]),)
        )
        for rank in (1, 2, 3)
    },
    **{
        name: Sample(lambda name=name: getattr(layers, name)(4), (SIGNAL,))
        for name in ("SimpleRNN", "LSTM", "GRU")
    },
    "GRU_no_reset": Sample(lambda: layers.GRU(4, reset_after=False), (SIGNAL,)),
    **{
        name: Sample(lambda name=name: layers.RNN(getattr(layers, name)(4)), (SIGNAL,))
        for name in ("SimpleRNNCell", "LSTMCell", "GRUCell")
    },
    "StackedRNNCells": Sample(
        lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3), layers.LSTMCell(2)]), (SIGNAL,)
    ),
    "Bidirectional": Sample(lambda: layers.Bidirectional(layers.LSTM(4)), (SIGNAL,)),
    "TimeDistributed": Sample(lambda: layers.TimeDistributed(layers.Dense(4)), (SIGNAL,)),
    "SpectralNormalization": Sample(lambda: layers.SpectralNormalization(layers.Dense(4))),
    "MultiHeadAttention": Sample(
        lambda: layers.MultiHeadAttention(2, 3), ((4, 5), (6, 5)), spread=True
    ),
    "GroupQueryAttention": _attention(),
    "GroupQueryAttention_gated": _attention(use_gate=True, use_bias=False),
    "Attention": Sample(
        lambda: layers.Attention(use_scale=True, score_mode="concat"), ((4, 5), (6, 5))
    ),
    "AdditiveAttention": Sample(lambda: layers.AdditiveAttention(), ((4, 5), (6, 5))),
    "BatchNormalization": Sample(lambda: layers.BatchNormalization()),
    "LayerNormalization": Sample(lambda: layers.LayerNormalization()),
    "LayerNormalization_rms": Sample(
        lambda: layers.LayerNormalization(rms_scaling=True, scale=False)
    ),
    "RMSNormalization": Sample(lambda: layers.RMSNormalization()),
    "GroupNormalization": Sample(lambda: layers.GroupNormalization(1)),
    "PReLU": Sample(lambda: layers.PReLU()),
    "Normalization": Sample(lambda: layers.Normalization()),
    **_quantized("int8"),
    **_quantized("int4"),
    **_quantized("float8"),
    "Pipeline_normalized": Sample(
        lambda: layers.Pipeline([layers.Rescaling(2.0), layers.Normalization()])
    ),
    "STFTSpectrogram": Sample(lambda: layers.STFTSpectrogram(frame_length=8), ((64, 1),)),
    "STFTSpectrogram_real": Sample(
        lambda: layers.STFTSpectrogram(mode="real", frame_length=8), ((64, 1),)
    ),
}
"""Samples of layers that hold weights; what stands after `_` in a name is a setting."""


def _plain(names: str, *args: Any, shape: tuple[int, ...] = IMAGE, **settings: Any) -> Any:
    return {
        name: Sample(lambda name=name: getattr(layers, name)(*args, **settings), (shape,))
        for name in names.split()
    }


WITHOUT_WEIGHTS: Mapping[str, Sample] = {
    **_plain("Activation", "relu"),
    **_plain("ActivityRegularization ELU Flatten Identity LeakyReLU Masking ReLU Softmax"),
    **_plain("AlphaDropout Dropout GaussianDropout GaussianNoise", 0.1),
    **_plain("Permute", (2, 1, 3)),
    **_plain("RepeatVector", 3, shape=LINE),
    **_plain("Reshape", (-1, 4)),
    **_plain("UnitNormalization"),
    **_plain("Rescaling", 0.5),
    **_plain("Lambda", abs),
    **{
        name: Sample(lambda name=name: getattr(layers, name)(), (LINE, LINE))
        for name in ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"]
    },
    "Dot": Sample(lambda: layers.Dot(1), (LINE, LINE)),
    **_by_rank("AveragePooling", 2),
    **_by_rank("MaxPooling", 2),
    **_by_rank("GlobalAveragePooling"),
    **_by_rank("GlobalMaxPooling"),
    **_by_rank("AdaptiveAveragePooling", 2),
    **_by_rank("AdaptiveMaxPooling", 2),
    **_by_rank("Cropping"),
    **_by_rank("UpSampling"),
    **_by_rank("ZeroPadding"),
    **_by_rank("SpatialDropout", 0.1),
    **_plain("CenterCrop RandomCrop Resizing", 4, 4),
    **_plain("Discretization", bin_boundaries=[0.0, 1.0], shape=LINE),
    "CategoryEncoding": Sample(lambda: layers.CategoryEncoding(5), (LINE,), "int32"),
    "Hashing": Sample(lambda: layers.Hashing(5), (LINE,), "int32"),
    "HashedCrossing": Sample(lambda: layers.HashedCrossing(5), ((1,), (1,)), "int32"),
    "IntegerLookup": Sample(lambda: layers.IntegerLookup(vocabulary=[3, 5]), (LINE,), "int64"),
    "StringLookup": Sample(lambda: layers.StringLookup(vocabulary=["a", "b"]), (LINE,), "string"),
    "TextVectorization": Sample(
        lambda: layers.TextVectorization(vocabulary=["a"], output_sequence_length=4),
        ((1,),),
        "string",
    ),
    **_plain("MelSpectrogram", shape=(2048,)),
    **_plain("AutoContrast ContrastLimitedAdaptiveHistogramEqualization"),
    **_plain("AugMix RandAugment RandomGrayscale RandomInvert RandomErasing RandomPerspective"),
    **_plain("RandomBrightness RandomContrast RandomHue Solarization", 0.2),
    **_plain("RandomPosterization", 4),
    **_plain("RandomColorDegeneration RandomSaturation RandomSharpness RandomRotation", 0.2),
    **_plain("RandomColorJitter RandomElasticTransform RandomFlip RandomGaussianBlur RandomShear"),
    **_plain("RandomTranslation", 0.1, 0.1),
    **_plain("RandomZoom", 0.1),
    "Pipeline": Sample(lambda: layers.Pipeline([layers.Rescaling(2.0)]), (IMAGE,)),
}
"""Samples of layers that hold none."""


def written_name(kind: type) -> str:
    """Return the name that files use for a class: one that Keras exports it under."""
    return str(api_export.get_name_from_symbol(kind)).rsplit(".", 1)[-1]


def exported() -> dict[str, list[str]]:
    """Return the classes of `keras.layers` by the names that files use, with their base classes."""
    found = {}
    for name in dir(layers):
        kind = getattr(layers, name)
        if isinstance(kind, type) and issubclass(kind, layers.Layer):
            found[written_name(kind)] = [
                base.__name__
                for base in kind.__mro__[1:]
                if issubclass(base, layers.Layer) and base is not layers.Layer
            ]
    return found


def _variables(model: Any) -> list[dict[str, Any]]:
    """Give every variable values of its own, and return what the variables are."""
    found = []
    for number, variable in enumerate(model.variables, 1):
        if "seed_generator" in variable.path:
            continue
        values = np.arange(np.prod(variable.shape), dtype="float64").reshape(variable.shape) / 7
        variable.assign((values + 10 * number).astype(variable.dtype))
        found.append(
            {
                "path": variable.path,
                "name": variable.name,
                "shape": list(variable.shape),
                "sum": float(np.sum(np.asarray(variable).astype("float64"))),
            }
        )
    return found


@keras.saving.register_keras_serializable("zoo")
class Inner(layers.Layer):
    """A custom layer of two layers."""

    def __init__(self, units: int = 8, **settings: Any) -> None:
        super().__init__(**settings)
        self.units = units
        self.d = layers.Dense(units)
        self.norm = layers.LayerNormalization()

    def build(self, shape: Any) -> None:
        self.d.build(shape)
        self.norm.build((*shape[:-1], self.units))

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:-1], self.units)

    def call(self, x: Any) -> Any:
        return self.norm(self.d(x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("zoo")
class Block(layers.Layer):
    """A custom layer with a weight, and layers as attributes, in lists, dicts and others."""

    def __init__(self, units: int = 8, **settings: Any) -> None:
        super().__init__(**settings)
        self.units = units
        self.d = layers.Dense(units, name="named_otherwise")
        self.steps = [layers.Dense(units), layers.ReLU(), layers.Dense(units, use_bias=False)]
        self.table = {"a": Inner(units), "b": [layers.Dense(units)]}
        self.mha = layers.MultiHeadAttention(2, 4)
        self.lstm = layers.LSTM(units, return_sequences=True)
        self.emb = layers.Embedding(10, units)

    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(self.units, self.units), name="w")
        for layer in (self.d, *self.steps, *self.table["b"], self.table["a"], self.lstm):
            layer.build(shape)
        self.mha.build(shape, shape)
        self.emb.build(None)
        super().build(shape)

    def call(self, x: Any) -> Any:
        for layer in (self.d, *self.steps, self.table["a"], *self.table["b"]):
            x = layer(x)
        return self.lstm(self.mha(x @ self.w, x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("zoo")
class Net(keras.Model):
    """A subclassed model."""

    def __init__(self, units: int = 8, **settings: Any) -> None:
        super().__init__(**settings)
        self.units = units
        self.block = Block(units)
        self.heads = [layers.Dense(4), layers.Dense(4)]
        self.bn = layers.BatchNormalization()
        self.trunk = keras.Sequential([layers.Input((5, 8)), layers.Dense(8, name="tr")])

    def build(self, shape: Any) -> None:
        for layer in (self.block, *self.heads, self.bn):
            layer.build(shape)
        super().build(shape)

    def call(self, x: Any) -> Any:
        x = self.bn(self.trunk(self.block(x)))
        return self.heads[0](x) + self.heads[1](x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("zoo")
class Tower(keras.Model):
    """A Functional model whose config is the arguments of its constructor."""

    def __init__(self, units: int = 8, **settings: Any) -> None:
        self.units = units
        inputs = keras.Input((5, 8))
        x = layers.Dense(units, name="up")(inputs)
        super().__init__(inputs, Inner(units, name="deep")(x), **settings)

    def get_config(self) -> dict[str, Any]:
        return {"units": self.units, "name": self.name}


def _with_block() -> Any:
    inputs = keras.Input((5, 8))
    x = Block(name="block")(inputs)
    x = layers.TimeDistributed(Inner(8), name="each")(x)
    inside = keras.Sequential([layers.Input((8,)), layers.Dense(8, name="in1")], name="inside")
    x = layers.TimeDistributed(inside, name="model")(x)
    return keras.Model(inputs, layers.Dense(3, name="end")(Tower(name="tower")(x)), name="outer")


def _net(*, compiled: bool = False) -> Any:
    model = Net(name="net")
    model.build((None, 5, 8))
    if compiled:
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(np.zeros((2, 5, 8)), np.zeros((2, 5, 4)), verbose=0)
    return model


def _quantized_net() -> Any:
    model = _net()
    model.quantize("int8")
    return model


OWN: Mapping[str, Callable[[], Any]] = {
    "block": _with_block,
    "net": _net,
    "compiled": lambda: _net(compiled=True),
    "quantized": _quantized_net,
    "tower": lambda: Tower(name="tower"),
}
"""Models with layers that their configs do not describe."""


def live_graph(model: Any) -> dict[str, Any]:
    """Return the weights in the graph of a live model, by address: name, shape and mark."""
    graph = graphprune.read_graph(model)
    return {
        "sha256": graph.sha256,
        "layers": {
            address: [[one.name, list(one.shape), one.prunable] for one in layer.tensors]
            for address, layer in graph.layers.items()
        },
    }


def save_own(name: str, make: Callable[[], Any], folder: Path) -> None:
    """Write one of the models with layers of their own, and its live graph."""
    model = make()
    folder.mkdir(exist_ok=True)
    model.save(folder / f"{name}.keras")
    (folder / f"{name}.json").write_text(json.dumps(live_graph(model)))


def save(name: str, sample: Sample, folder: Path) -> None:
    """Write the model of a sample and what its variables are."""
    inputs = [keras.Input(shape, dtype=sample.dtype) for shape in sample.shapes]
    layer = sample.make()
    together = inputs if len(inputs) > 1 else inputs[0]
    outputs = layer(*inputs) if sample.spread else layer(together)
    model = keras.Model(inputs, outputs)
    if sample.mode:
        model.quantize(sample.mode)
    variables = _variables(model)
    model.save(folder / f"{name}.keras")
    facts = {
        "layer": layer.name,
        "variables": variables,
        "output": list(outputs.shape),
        "graph": live_graph(model),
    }
    (folder / f"{name}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    collect_rarely()
    trace_without_stacks()
    target = Path(sys.argv[1])
    (target / "exported.json").write_text(json.dumps(exported()))
    failed = []
    for own_name, make_own in OWN.items():
        try:
            save_own(own_name, make_own, target / "own")
        except Exception as error:
            failed.append(f"{own_name}: {type(error).__name__}: {str(error)[:300]}")
    for sample_name, one in {**WITH_WEIGHTS, **WITHOUT_WEIGHTS}.items():
        try:
            save(sample_name, one, target)
        except Exception as error:  # all of them are named at the end
            failed.append(f"{sample_name}: {type(error).__name__}: {str(error)[:300]}")
    raise SystemExit("\n".join(failed) or 0)
