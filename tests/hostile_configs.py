"""Models whose config would run code, read a file or write one when they are built; each says which
file would appear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hostile_files import FC, IN, layer
from hostile_files import model as _model

Config = dict[str, Any]


def model(*layers: Config, call: int = 0) -> Config:
    """Return a model that tf_keras builds, were it not refused."""
    return _model(*layers, call=call) | {"module": "tf_keras.src.engine.functional"}


def function(name: str, module: str = "builtins", registered: str = "function") -> Config:
    return {
        "class_name": "function",
        "config": name,
        "module": module,
        "registered_name": registered,
    }


def called(text: Any, entry: Config) -> Config:
    """Return a model in which a layer is called on a constant while the model is built."""
    nodes = [[["_CONSTANT_VALUE", -1, text, {}]]]
    join = layer("Dense", "fc", ("in",), units=4, use_bias=True)
    return model(IN, entry | {"inbound_nodes": nodes}, join)


def python(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def activation(
    code: Any, named: Config | str, kind: str = "Activation", key: str = "activation", **config: Any
) -> Config:
    return called(code, layer(kind, "evil", **{key: named}, **config))


def bare_lambda(code: str, named: Config | str, **config: Any) -> Config:
    return activation(
        code,
        named,
        "Lambda",
        "function",
        function_type="function",
        output_shape=[None],
        output_shape_type="raw",
        **config,
    )


def module_of_the_model(marker: Path) -> Config:
    return model(IN, FC) | {"module": "this"}


def operation(kind: str, config: Mapping[str, Any], *constants: Any) -> Config:
    nodes = [
        [
            [
                "_CONSTANT_VALUE",
                -1,
                constants[0],
                dict(zip(("contents",), constants[1:], strict=False)),
            ]
        ]
    ]
    return model(IN, layer(kind, "evil", **config) | {"inbound_nodes": nodes}, FC)


def debugging(marker: Path) -> Config:
    node = {
        "name": "d",
        "op": "DebugIdentity",
        "input": ["x"],
        "attr": {"T": {"type": "DT_FLOAT"}, "debug_urls": {"list": {"s": [f"file://{marker}"]}}},
    }
    return model(IN, layer("TensorFlowOpLayer", "evil", ("in",), node_def=node, constants={}), FC)


def data_class(kind: str, module: str, registered: str) -> Config:
    return {"class_name": kind, "config": {}, "module": module, "registered_name": registered}


def renamed_key(marker: Path) -> Config:
    """Return a model of the toolkit's, whose wrapper is named so that renaming it would put another
    config in place of the one that names a file.
    """
    schedule = {
        "class_name": "ConstantSparsity",
        "config": {"target_sparsity": 0.5, "begin_step": 0, "end_step": -1, "frequency": 100},
    }
    inside = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": "config", "units": 4},
        "registered_name": None,
    }
    settings = {
        "layer": inside,
        "pruning_schedule": schedule,
        "block_size": [1, 1],
        "block_pooling_type": "AVG",
    }
    wrapper = layer("PruneLowMagnitude", "prune_low_magnitude_config", ("in",), **settings) | {
        "registered_name": "PruneLowMagnitude"
    }
    evil = layer("StringLookup", "evil", ("in",), vocabulary=f"{marker}.py") | {
        "prune_low_magnitude_config": {"name": "evil", "vocabulary": ["a"]}
    }
    return model(IN, wrapper, evil, FC)


CODE: Mapping[str, Callable[[Path], Config]] = {
    "builtin": lambda marker: activation(python(marker), function("exec")),
    "dotted-builtin": lambda marker: activation(python(marker), function("exec.__call__")),
    "dotted-builtin-in-lambda": lambda marker: bare_lambda(
        python(marker), function("exec.__call__")
    ),
    "registered-name": lambda marker: activation(
        f"touch {marker}", function("system", "os", "graphprune>PruneLowMagnitude")
    ),
    "registered-name-in-lambda": lambda marker: bare_lambda(
        f"touch {marker}", function("system", "os", "graphprune>PruneLowMagnitude")
    ),
    "runpy": lambda marker: activation(
        f"{marker}.py", function("run_path", "runpy", "graphprune>PruneLowMagnitude")
    ),
    "keras-get-file": lambda marker: activation(
        "x", function("get_file", "keras.utils", "get_file")
    ),
    "keras-loader": lambda marker: activation(
        f"{marker}.keras", function("load_model", "keras.saving", "load_model")
    ),
    "tensorflow-loader": lambda marker: activation(
        python(marker),
        function("load_source", "tensorflow.python.autograph.pyct.loader", "load_source"),
    ),
    "tensorflow-remover": lambda marker: activation(
        str(marker), function("delete_file", "tensorflow.python.lib.io.file_io", "delete_file")
    ),
    "module-of-the-model": module_of_the_model,
    "deserializer-as-activation": lambda marker: activation(function("exec"), "deserialize"),
    "module-of-a-layer": lambda marker: model(IN, FC | {"module": "this", "class_name": "s"}),
    "write-file": lambda marker: operation(
        "TFOpLambda", {"function": "io.write_file"}, str(marker), "x"
    ),
    "gfile": lambda marker: operation("TFOpLambda", {"function": "io.gfile.remove"}, str(marker)),
    "debug-identity": debugging,
    "vocabulary-of-a-file": lambda marker: model(
        IN, layer("StringLookup", "evil", ("in",), vocabulary="/etc/passwd"), FC
    ),
    "vocabulary-of-a-device": lambda marker: model(
        IN, layer("TextVectorization", "evil", ("in",), vocabulary="/dev/zero"), FC
    ),
    "data-class-of-another-module": lambda marker: activation(
        f"{marker}.py", data_class("__slice__", "runpy", "run_path")
    ),
    "shape-of-another-module": lambda marker: activation(
        "x", data_class("TensorShape", "this", "s")
    ),
    "path-behind-a-registered-name": lambda marker: model(
        IN,
        layer("StringLookup", "evil", ("in",), vocabulary=f"{marker}.py")
        | {"registered_name": "graphprune>PruneLowMagnitude"},
        FC,
    ),
    "path-behind-a-renamed-key": renamed_key,
    "call-of-a-constant": lambda marker: activation(python(marker), "relu"),
}
"""By what they would do; all act while Keras builds the model, before a weight is read."""


def in_keras(kind: str, module: str = "keras.layers", **config: Any) -> Config:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def steps(*layers: Config, shape: tuple[Any, ...] = (None, 3, 4)) -> Config:
    return model(layer("InputLayer", "in", batch_input_shape=list(shape)), *layers)


MANY = 1_500_000_000
TEXTS: Config = {
    "class_name": "__numpy__",
    "config": {"value": ["a"] * 8, "dtype": "U300000000"},
    "module": "builtins",
    "registered_name": None,
}
BOMBS: Mapping[str, tuple[str, Config]] = {
    "units": (
        "asks for a tensor of 24,000,000,000 bytes",
        model(IN, layer("Dense", "fc", ("in",), units=MANY)),
    ),
    "inner-units": (
        "asks for a tensor of",
        steps(
            layer("TimeDistributed", "fc", ("in",), layer=in_keras("Dense", name="d", units=MANY))
        ),
    ),
    "cells": (
        "asks for a tensor of",
        steps(
            layer(
                "RNN",
                "fc",
                ("in",),
                cell=in_keras("StackedRNNCells", cells=[in_keras("LSTMCell", units=50_000)]),
            )
        ),
    ),
    "state": (
        "asks for a tensor of",
        steps(layer("LSTM", "fc", ("in",), units=4, stateful=True), shape=(500_000_000, 3, 4)),
    ),
    "steps": (
        "is unrolled over 2,000,000 steps, more than 10,000",
        steps(layer("SimpleRNN", "fc", ("in",), units=4, unroll=True), shape=(None, 2_000_000, 4)),
    ),
    "normalization": (
        "asks for a tensor of",
        steps(
            layer("Normalization", "fc", ("in",), axis=-1, mean=0.0, variance=1.0),
            shape=(None, MANY),
        ),
    ),
    "local-masks": (
        "asks for a tensor of",
        steps(
            layer(
                "LocallyConnected1D", "fc", ("in",), filters=1, kernel_size=[2], implementation=2
            ),
            shape=(None, 40_000, 1),
        ),
    ),
    "local-places": (
        "asks for a tensor of",
        steps(
            layer(
                "LocallyConnected1D", "fc", ("in",), filters=1, kernel_size=[2], implementation=3
            ),
            shape=(None, 9_000_000, 1),
        ),
    ),
    "constant": (
        "'evil' is called on no tensor of the model",
        called(
            [40_000, 60_000],
            layer("TFOpLambda", "evil", function="zeros")
            | {"module": "tf_keras.src.layers.core.tf_op_layer"},
        ),
    ),
    "array": (
        "the class '__numpy__'",
        model(
            IN,
            layer(
                "Dense",
                "fc",
                ("in",),
                units=4,
                kernel_initializer=in_keras("Constant", "keras.initializers", value=TEXTS),
            ),
        ),
    ),
    "unknown-words": (
        "num_oov_indices must be at most 10,000,000, got 300000000",
        model(
            IN, layer("IntegerLookup", "fc", ("in",), num_oov_indices=300_000_000, vocabulary=[1])
        ),
    ),
    "ngrams": (
        "ngrams must be at most 1,000, got 100000000",
        model(IN, layer("TextVectorization", "fc", ("in",), ngrams=100_000_000, vocabulary=["a"])),
    ),
}
"""Small files that would fill memory or never end when they are built, with a part of the message
that refuses them.
"""
