"""One case for every class of `tf_keras.layers`, models that hold many of them at once, and the way
that each model goes: wrap, train, save, load, strip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from layer_zoo import (
    ARGUMENTS,
    CELLS,
    IMAGE,
    PRUNABLE,
    SIGNAL,
    STRINGS,
    WEIGHTED,
    Sample,
    gates,
    kernels,
)
from tf_keras import layers
from tf_keras.layers import experimental
from tf_zoo import sample

from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS
from graphprune.tf.models.export import write_saved_model
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.addresses import inner_layer
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.keras_api import prune_low_magnitude
from graphprune.tf.pruning.keras_schedules import PolynomialDecay
from graphprune.tf.pruning.surgery import strip_model

Connect = Callable[[layers.Layer, list[Any]], Any]
"""From a layer and its inputs to the tensor that it gives; what else the branch needs is made on
the way.
"""
BATCH, STEPS, SPARSITY = 2, 3, 0.75


def _plainly(layer: layers.Layer, inputs: list[Any]) -> Any:
    if isinstance(inner_layer(layer), layers.MultiHeadAttention):
        return layer(*inputs)
    return layer(inputs[0] if len(inputs) == 1 else inputs)


def _by_keyword(layer: layers.Layer, inputs: list[Any]) -> Any:
    return layer(inputs[0], value=inputs[1], attention_mask=tf.ones_like(inputs[1][:, None, :, 0]))


def _from_encoder(layer: layers.Layer, inputs: list[Any]) -> Any:
    _, *states = layers.LSTM(7, return_state=True)(inputs[1])
    return layer(inputs[0], initial_state=states)


def _with_mask(layer: layers.Layer, inputs: list[Any]) -> Any:
    return layers.LSTM(3)(layer(inputs[0]))


def _by_name(layer: layers.Layer, inputs: list[Any]) -> Any:
    return layer({"column": inputs[0]})


@dataclass(frozen=True, slots=True)
class Case:
    """A layer in a model.

    Attributes:
        sample: The layer, its inputs, and its prunable tensors.
        connect: How the layer is called.
        covers: The class of the case, where it is not that of the layer: a cell inside an RNN.
        batch: The batch size, where the layer must know it.
        place: Which of the shared models holds it; none where it is `alone`, which takes `--slow`.
    """

    sample: Sample
    connect: Connect = _plainly
    covers: str = ""
    batch: int | None = None
    place: str = "prunable"


def class_of(case: Case) -> str:
    """Return the class that a case stands for."""
    return case.covers or type(case.sample.make()).__name__


def _in_recurrent(name: str, cell: Sample) -> Case:
    return Case(Sample(lambda: layers.RNN(cell.make()), ((3, 5),), cell.lengths), covers=name)


def _dense_features() -> layers.Layer:
    return tf_keras.layers.DenseFeatures([tf.feature_column.numeric_column("column", shape=(5,))])


SPECIAL: Mapping[str, Case] = {
    "spectral": Case(
        Sample(
            lambda: layers.SpectralNormalization(layers.Conv2D(7, (2, 3))),
            (IMAGE,),
            kernels(layer__kernel={"h": 2, "w": 3, "in": 5, "out": 7}),
        )
    ),
    "attention_by_keyword": Case(PRUNABLE["attention"], _by_keyword),
    "decoder": Case(Sample(lambda: layers.LSTM(7), (SIGNAL, (4, 5)), gates(4)), _from_encoder),
    "masked_embedding": Case(
        Sample(
            lambda: layers.Embedding(9, 7, mask_zero=True),
            ((6,),),
            kernels(embeddings={"in": 9, "out": 7}),
            "int32",
        ),
        _with_mask,
    ),
    "frozen": Case(Sample(lambda: layers.LSTM(7, trainable=False), ((3, 5),), gates(4))),
    "stateful": Case(
        Sample(lambda: layers.GRU(7, stateful=True), (SIGNAL,), gates(3)), batch=BATCH
    ),
    "stateful_bidirectional": Case(
        Sample(
            lambda: layers.Bidirectional(layers.LSTM(7, stateful=True)),
            (SIGNAL,),
            gates(4, prefix="forward_layer.") | gates(4, prefix="backward_layer."),
        ),
        batch=BATCH,
    ),
    "activity_regularizer": Case(
        Sample(
            lambda: layers.Conv1D(7, 2, activity_regularizer="l2"),
            (SIGNAL,),
            kernels(kernel={"w": 2, "in": 5, "out": 7}),
        )
    ),
    "activity_regularizer_recurrent": Case(
        Sample(lambda: layers.GRU(7, activity_regularizer="l2"), (SIGNAL,), gates(3))
    ),
    "time_distributed_conv": Case(
        Sample(
            lambda: layers.TimeDistributed(layers.Conv1D(7, 2)),
            ((3, *SIGNAL),),
            kernels(layer__kernel={"w": 2, "in": 5, "out": 7}),
        )
    ),
}
"""Layers called in ways of their own."""


def _weightless(name: str) -> Case:
    digits = [int(digit) for digit in name if digit.isdigit()]
    rank = (
        digits[0]
        if digits
        else (
            2
            if name in ("Flatten", "Masking") or name.startswith(("Random", "Center", "Resiz"))
            else 0
        )
    )
    shape = (1,) if name == "HashedCrossing" else (*(4,) * rank, 5)
    dtype = "int64" if name.startswith(("Hash", "Category")) else "float32"
    is_pair = name in (
        "Add",
        "Average",
        "Concatenate",
        "Dot",
        "Maximum",
        "Minimum",
        "Multiply",
        "Subtract",
        "HashedCrossing",
    )
    exported = getattr(layers, name, None) or getattr(experimental.preprocessing, name)
    return Case(
        Sample(
            lambda: exported(**ARGUMENTS.get(name, {})),
            (shape,) * (2 if is_pair else 1),
            dtype=dtype,
        ),
        place="others",
    )


def halve(tensor: Any) -> Any:
    """Return half of a tensor: what a Lambda of the matrix calls; its name is what files hold of
    it.
    """
    return tensor / 2


NO_CASE: Mapping[str, str] = {
    "InputLayer": "stands in every model of the matrix, made by Input",
    "Wrapper": "abstract: it calls nothing of what it holds; its subclasses have cases",
    "AbstractRNNCell": "abstract: its call raises NotImplementedError; its subclasses have cases",
    "PreprocessingLayer": (
        "abstract: no model file of it can be loaded, by Keras either; its subclasses have cases"
    ),
}
"""Why a class has no case."""

WEIGHTLESS = sorted(
    name
    for name, known in BUILTIN_LAYERS.items()
    if known.has_no_weights and 2 in known.versions and name not in (*NO_CASE, "Lambda")
)
VARIANTS = ("gru_before", "rnn_of_cell", "bidirectional_unlike", "bidirectional_of_cells")
"""Recurrent layers that take long and have others of their class beside them."""

CASES: Mapping[str, Case] = {
    **{
        name: Case(each, place="alone" if name in VARIANTS else "prunable")
        for name, each in PRUNABLE.items()
    },
    **{name: _in_recurrent(name, cell) for name, cell in CELLS.items()},
    **SPECIAL,
    **{
        name: Case(each, place="others")
        for name, each in WEIGHTED.items()
        if name != "frozen_bidirectional"
    },
    **{name: _weightless(name) for name in WEIGHTLESS},
    "Lambda": Case(Sample(lambda: layers.Lambda(halve)), place="others"),
    "DenseFeatures": Case(Sample(_dense_features), _by_name, place="others"),
    **{name: Case(each, place="dynamic") for name, each in STRINGS.items()},
}
"""Every layer of the matrix by its id."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a case stands in a model: the name of its layer, and that of the layer that gives the
    branch's output.
    """

    layer: str
    output: str


@dataclass(frozen=True, slots=True)
class Bench:
    """A model with a branch for each of several cases."""

    model: tf_keras.Model
    branches: Mapping[str, Branch]

    def inputs(self, count: int = BATCH, seed: int = 0) -> object:
        """Return random inputs; integers stay below 5."""
        return sample(self.model, count, seed, words=5)

    def outputs(self, model: tf_keras.Model) -> dict[str, Any]:
        """Return what each branch of a model like this bench's gives for the same inputs."""
        model.reset_states()
        tensors = {
            name: model.get_layer(branch.output)._inbound_nodes[0].outputs
            for name, branch in self.branches.items()
        }
        return tf.nest.map_structure(
            lambda tensor: tensor.numpy(),
            tf_keras.Model(model.inputs, tensors)(self.inputs(), training=False),
        )


def build_bench(
    names: Iterable[str], prepare: Callable[[layers.Layer], layers.Layer] = lambda layer: layer
) -> Bench:
    """Return a model of these cases side by side, the layers as `prepare` makes them; its output
    has a number for each, and two of a layer on top of them.
    """
    tf_keras.utils.set_random_seed(1)
    inputs: dict[Any, Any] = {}
    branches, columns = {}, []
    for name in names:
        case = CASES[name]
        keys = [
            (shape, case.sample.dtype, case.batch, index)
            for index, shape in enumerate(case.sample.shapes)
        ]
        for shape, dtype, batch, index in keys:
            if (shape, dtype, batch, index) not in inputs:
                inputs[shape, dtype, batch, index] = layers.Input(
                    shape, dtype=dtype, batch_size=batch, name=f"x{len(inputs)}"
                )
        layer = prepare(case.sample.make())
        output = case.connect(layer, [inputs[key] for key in keys])
        branches[name] = Branch(layer.name, output._keras_history.layer.name)
        columns.append(_mean(output))
    together = tf.stack(columns, axis=1)
    return Bench(
        tf_keras.Model(
            list(inputs.values()),
            layers.Concatenate()([together, layers.Dense(2, name="head")(together)]),
        ),
        branches,
    )


def _mean(tensor: Any) -> Any:
    numbers = tensor if tensor.dtype == tf.float32 else tf.cast(tensor, "float32")
    return tf.reduce_mean(numbers, axis=list(range(1, len(tensor.shape))))


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of a bench's model: wrapped and trained, loaded again from each format, and
    stripped of its wrappers once loaded.
    """

    bench: Bench
    wrapped: tf_keras.Model
    losses: tuple[float, ...]
    loaded: Mapping[str, tf_keras.Model]
    stripped: tf_keras.Model

    def outputs(self) -> dict[str, dict[str, Any]]:
        """Return what each branch of each model gives."""
        models = {"wrapped": self.wrapped, **self.loaded, "stripped": self.stripped}
        return {state: self.bench.outputs(model) for state, model in models.items()}


def travel(
    bench: Bench, folder: Path, formats: Iterable[str], *, is_compiled: bool = False
) -> Journey:
    """Wrap and train the bench's model, and take it through each format: `.keras`, `.h5`, or
    nothing for a SavedModel folder.

    Where `is_compiled`, training runs as a graph and a SavedModel is written as for serving. Else
    training runs eagerly, and a SavedModel is written without the functions that TensorFlow would
    run, which no reading of the model asks for: both take minutes for a model of many classes.
    """
    wrapped = prune_low_magnitude(
        bench.model, PolynomialDecay(0.0, SPARSITY, 0, STEPS - 2, frequency=2)
    )
    wrapped.compile(tf_keras.optimizers.Adam(0.01), "mse", run_eagerly=not is_compiled)
    losses = _Losses()
    count = BATCH * STEPS
    goal = np.random.default_rng(3).normal(size=(count, wrapped.output_shape[1]))
    wrapped.fit(
        bench.inputs(count, seed=1),
        goal,
        batch_size=BATCH,
        verbose=0,
        callbacks=[UpdatePruningStep(), losses],
    )
    loaded = {
        suffix: _save_and_load(wrapped, folder / f"model{suffix}", is_compiled)
        for suffix in formats
    }
    return Journey(
        bench, wrapped, tuple(losses.values), loaded, strip_model(next(iter(loaded.values())))
    )


class _Losses(tf_keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.values.append(logs["loss"])


def _save_and_load(model: tf_keras.Model, path: Path, is_compiled: bool) -> tf_keras.Model:
    if path.suffix:
        save_model(model, path)
    elif is_compiled:
        write_saved_model(model, path)
    else:
        model.save(path, save_format="tf", save_traces=False)
    return load_model(path, {"halve": halve}, unsafe_lambda=True)
