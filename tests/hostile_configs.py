"""Models whose config would run code, read a file or write one when they are built; each says which file would appear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hostile_files import FC, IN, layer
from hostile_files import model as _model

Config = dict[str, Any]


def model(*layers: Config) -> Config:
    """Return a model that tf_keras builds, were it not refused."""
    return _model(*layers) | {"module": "tf_keras.src.engine.functional"}


def function(name: str, module: str = "builtins", registered: str = "function") -> Config:
    return {"class_name": "function", "config": name, "module": module, "registered_name": registered}


def called(text: Any, entry: Config) -> Config:
    """Return a model in which a layer is called on a constant while the model is built."""
    nodes = [[["_CONSTANT_VALUE", -1, text, {}]]]
    join = layer("Dense", "fc", ("in",), units=4, use_bias=True)
    return model(IN, entry | {"inbound_nodes": nodes}, join)


def python(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def activation(code: Any, named: Config | str, kind: str = "Activation", key: str = "activation", **config: Any) -> Config:
    return called(code, layer(kind, "evil", **{key: named}, **config))


def bare_lambda(code: str, named: Config | str, **config: Any) -> Config:
    return activation(code, named, "Lambda", "function", function_type="function", output_shape=[None], output_shape_type="raw", **config)


def module_of_the_model(marker: Path) -> Config:
    return model(IN, FC) | {"module": "this"}


def operation(kind: str, config: Mapping[str, Any], *constants: Any) -> Config:
    nodes = [[["_CONSTANT_VALUE", -1, constants[0], dict(zip(("contents",), constants[1:], strict=False))]]]
    return model(IN, layer(kind, "evil", **config) | {"inbound_nodes": nodes}, FC)


def debugging(marker: Path) -> Config:
    node = {"name": "d", "op": "DebugIdentity", "input": ["x"], "attr": {"T": {"type": "DT_FLOAT"}, "debug_urls": {"list": {"s": [f"file://{marker}"]}}}}
    return model(IN, layer("TensorFlowOpLayer", "evil", ("in",), node_def=node, constants={}), FC)


CODE: Mapping[str, Callable[[Path], Config]] = {
    "builtin": lambda marker: activation(python(marker), function("exec")),
    "dotted-builtin": lambda marker: activation(python(marker), function("exec.__call__")),
    "dotted-builtin-in-lambda": lambda marker: bare_lambda(python(marker), function("exec.__call__")),
    "registered-name": lambda marker: activation(f"touch {marker}", function("system", "os", "graphprune>PruneLowMagnitude")),
    "registered-name-in-lambda": lambda marker: bare_lambda(f"touch {marker}", function("system", "os", "graphprune>PruneLowMagnitude")),
    "runpy": lambda marker: activation(f"{marker}.py", function("run_path", "runpy", "graphprune>PruneLowMagnitude")),
    "keras-get-file": lambda marker: activation("x", function("get_file", "keras.utils", "get_file")),
    "keras-loader": lambda marker: activation(f"{marker}.keras", function("load_model", "keras.saving", "load_model")),
    "tensorflow-loader": lambda marker: activation(python(marker), function("load_source", "tensorflow.python.autograph.pyct.loader", "load_source")),
    "tensorflow-remover": lambda marker: activation(str(marker), function("delete_file", "tensorflow.python.lib.io.file_io", "delete_file")),
    "module-of-the-model": module_of_the_model,
    "deserializer-as-activation": lambda marker: activation(function("exec"), "deserialize"),
    "module-of-a-layer": lambda marker: model(IN, FC | {"module": "this", "class_name": "s"}),
    "write-file": lambda marker: operation("TFOpLambda", {"function": "io.write_file"}, str(marker), "x"),
    "gfile": lambda marker: operation("TFOpLambda", {"function": "io.gfile.remove"}, str(marker)),
    "debug-identity": debugging,
    "vocabulary-of-a-file": lambda marker: model(IN, layer("StringLookup", "evil", ("in",), vocabulary="/etc/passwd"), FC),
    "vocabulary-of-a-device": lambda marker: model(IN, layer("TextVectorization", "evil", ("in",), vocabulary="/dev/zero"), FC),
}
"""By what they would do; all act while Keras builds the model, before a weight is read."""
