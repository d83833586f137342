"""Words for mutated model configs: keys and values that Keras's configs have, names on the
allow-list, and names of what no file may reach.
"""

from __future__ import annotations

from typing import Any

from hostile_configs import function

from graphprune.archive.allowed.keras_names import KERAS, LAYERS, LIMITS, OPERATION_LAYERS, PATHS

KEYS = (
    "class_name", "config", "module", "registered_name", "name", "inbound_nodes", "layers",
    "input_layers", "output_layers", "build_config", "compile_config", "input_shape",
    "batch_input_shape", "dtype", "units", "filters", "kernel_size", "activation",
    "kernel_initializer", "kernel_regularizer", "layer", "cell", "cells", "function",
    "function_type", "arguments", "output_shape", "output_shape_type", "node_def", "op",
    "attr_name", "cls_symbol", "method_name", "type_spec", "spec_name", "shared_object_id",
    "__passive_serialization__", "trainable", "axis", "weights", "loss", "metrics", "optimizer",
    "fn", "learning_rate", "items", "stateful", "unroll", "return_sequences", "sparse", "ragged",
    "pruning_schedule", "feature_columns", "normalizer_fn",
)  # fmt: skip
HOSTILE = (
    "__lambda__", "__numpy__", "__tensor__", "__slice__", "__tuple__", "__typespec__",
    "TensorShape", "function", "builtins", "this", "os", "system", "runpy", "run_path", "exec",
    "exec.__call__", "eval", "deserialize", "get", "/etc/passwd", "/dev/zero", "file:///etc/passwd",
    "_CONSTANT_VALUE", "io.write_file", "keras.utils", "get_file", "keras.src.saving.saving_lib",
    "tf_keras.src.backend", "TFSMLayer", "graphprune>PruneLowMagnitude", "PruneLowMagnitude",
    "lambda", "raw", "U300000000", "float32", "mixed_float16", "prune_low_magnitude_fc",
    "keras.layers", "keras", "Functional", "Sequential", "Model",
)  # fmt: skip
NAMES = tuple(
    sorted(
        LAYERS
        | OPERATION_LAYERS
        | {name for names in KERAS.values() for name in names.classes | names.functions}
    )
)
WORDS = (*KEYS, *HOSTILE, *sorted(PATHS), *sorted(LIMITS), *NAMES)


def entries() -> list[Any]:
    """Return serialized objects that may not be named."""
    marker = "open('/nowhere/at/all', 'w')"
    data: Any = {"class_name": "__numpy__", "config": {"value": ["a"] * 8, "dtype": "U300000000"}}
    return [
        function("exec"),
        function("exec.__call__"),
        function("system", "os", "graphprune>PruneLowMagnitude"),
        {"class_name": "__slice__", "config": {}, "module": "runpy", "registered_name": "run_path"},
        {"class_name": "s", "config": {}, "module": "this", "registered_name": None},
        {
            "class_name": "__typespec__",
            "spec_name": "s",
            "module": "this",
            "registered_name": None,
            "config": [],
        },
        data,
        [[["_CONSTANT_VALUE", -1, marker, {}]]],
        10**9,
        [None, 10**9],
    ]
