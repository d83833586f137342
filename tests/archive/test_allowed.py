"""The walk over configs: what is on the list passes, everything else is refused by name, wherever
it stands.
"""

import json
from pathlib import Path

import pytest

from graphprune.archive import read_archive
from graphprune.archive.allowed import Refusal, find_refused
from graphprune.archive.allowed.entries import OTHER
from graphprune.archive.allowed.keras_names import FUNCTION, KERAS, LAYER, LAYERS
from graphprune.archive.allowed.refusals import explain_refusal
from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS

OWN = {
    "MyLayer": frozenset({LAYER}),
    "my_function": frozenset({FUNCTION}),
    "MyThing": frozenset({OTHER}),
}


def layer(kind="Dense", module="keras.layers", registered=None, **config):
    entry = {
        "class_name": kind,
        "config": {"name": "fc", **config},
        "module": module,
        "registered_name": registered,
    }
    return {key: value for key, value in entry.items() if value != "none"}


def function(name, module="builtins", registered="function"):
    return {
        "class_name": "function",
        "config": name,
        "module": module,
        "registered_name": registered,
    }


def refused(entry, given=OWN):
    found = find_refused(entry, given)
    return None if found is None else (found.name, found.kind, found.layer)


PASSES = {
    "a layer": layer(units=4, activation="relu", kernel_initializer="glorot_uniform"),
    "a layer without a module, as in .h5": {
        "class_name": "Dense",
        "config": {"name": "fc", "activation": "swish"},
    },
    "an object where a text may stand": layer(
        kernel_regularizer={
            "class_name": "L2",
            "config": {"l2": 0.1},
            "module": "keras.regularizers",
        }
    ),
    "a layer as activation": layer(activation=layer("LeakyReLU", alpha=0.1)),
    "a function by object": layer(activation=function("gelu")),
    "a function of TensorFlow": layer(
        activation=function("sin", "tensorflow.python.ops.gen_math_ops", "sin")
    ),
    "a layer of an application": layer(
        "CustomScaleLayer",
        "tf_keras.src.applications.inception_resnet_v2",
        "Custom>CustomScaleLayer",
        scale=0.1,
    ),
    "a layer of ConvNeXt": layer(
        "LayerScale", "keras.src.applications.convnext", projection_dim=4, init_values=0.1
    ),
    "a layer in a layer": layer("Bidirectional", layer=layer("LSTM"), backward_layer=layer("GRU")),
    "an initializer of TensorFlow": layer(
        kernel_initializer={
            "class_name": "Constant",
            "config": {"value": 0},
            "module": "tensorflow.python.ops.init_ops_v2",
            "registered_name": "Constant",
        }
    ),
    "cells": layer("StackedRNNCells", cells=[layer("LSTMCell"), layer("GRUCell")]),
    "a model": {
        "class_name": "Functional",
        "module": "tf_keras.src.engine.functional",
        "registered_name": "Functional",
        "config": {"layers": [layer()]},
    },
    "a model of Keras 3": {
        "class_name": "Functional",
        "module": "keras.src.models.functional",
        "registered_name": "Functional",
        "config": {},
    },
    "an operation": layer(
        "TFOpLambda", "tf_keras.src.layers.core.tf_op_layer", "TFOpLambda", function="math.add"
    ),
    "an operation of Keras 3": layer("Multiply", "keras.src.ops.numpy", "Multiply"),
    "a vocabulary as a list": layer("StringLookup", vocabulary=["a", "/etc/passwd"]),
    "the user's layer": layer(
        "MyLayer", "my_program", "MyLayer", anything=["exec", {"a": 1}], activation="odd"
    ),
    "the user's function as activation": layer(activation="my_function"),
    "the user's function in a Lambda": layer(
        "Lambda", function="my_function", function_type="function"
    ),
    "the user's class in a custom layer": layer(
        "MyLayer",
        None,
        part={"class_name": "MyThing", "config": {}, "module": "x", "registered_name": "MyThing"},
    ),
    "a wrapped layer": layer(
        "PruneLowMagnitude",
        "graphprune.tf.pruning.wrapper",
        "graphprune>PruneLowMagnitude",
        layer=layer(activation="relu"),
    ),
    "a tensor": layer(
        "Normalization",
        mean={"class_name": "__numpy__", "config": {"value": [1.0], "dtype": "float32"}},
    ),
    "a name that is also a function": layer(name="exec"),
}
WRAPPER = {"graphprune>PruneLowMagnitude": frozenset({LAYER})}


@pytest.mark.parametrize("what", PASSES)
def test_what_keras_writes_passes(what):
    assert refused(PASSES[what], OWN | WRAPPER) is None


BUILTIN = function("exec.__call__")
FOREIGN_TYPE = {
    "class_name": "__typespec__",
    "spec_name": "Popen",
    "module": "os",
    "registered_name": None,
}
REFUSED = {
    "a dotted builtin": (layer(activation=BUILTIN), ("exec.__call__", "activation", "fc")),
    "a builtin in a Lambda": (
        layer("Lambda", function=BUILTIN, function_type="function"),
        ("exec.__call__", "function", "fc"),
    ),
    "a registered name beside another function": (
        layer(activation=function("os.system", "builtins", "graphprune>PruneLowMagnitude")),
        ("os.system", "activation", "fc"),
    ),
    "a registered layer that is no activation": (
        layer(
            kernel_initializer={
                "class_name": "MyLayer",
                "config": {},
                "module": None,
                "registered_name": "MyLayer",
            }
        ),
        ("MyLayer", "initializer", "fc"),
    ),
    "a function where a layer stands": (
        {"class_name": "Functional", "config": {"layers": [function("my_function")]}},
        ("my_function", "layer", ""),
    ),
    "the user's class where a layer stands": (
        layer("TimeDistributed", layer={"class_name": "MyThing", "config": {}}),
        ("MyThing", "layer", "fc"),
    ),
    "an initializer where a layer stands": (
        layer("TimeDistributed", layer={"class_name": "Zeros", "config": {}}),
        ("Zeros", "layer", "fc"),
    ),
    "Keras's loader of files": (
        layer(activation=function("get_file", "keras.utils", "get_file")),
        ("get_file", "activation", "fc"),
    ),
    "TensorFlow's loader of sources": (
        layer(
            activation=function(
                "load_source", "tensorflow.python.autograph.pyct.loader", "load_source"
            )
        ),
        ("load_source", "activation", "fc"),
    ),
    "TensorFlow's writer of files": (
        layer(activation=function("write_file", "tensorflow.python.ops.io_ops", "write_file")),
        ("write_file", "activation", "fc"),
    ),
    "another registered name of a function": (
        layer(activation=function("relu", "keras.activations", "deserialize")),
        ("relu", "activation", "fc"),
    ),
    "a model of a module of Keras that does not have it": (
        {"class_name": "Functional", "module": "keras.utils", "config": {"layers": []}},
        ("Functional", "layer", ""),
    ),
    "a column with its vocabulary in a file": (
        layer(
            "DenseFeatures",
            feature_columns=[
                {
                    "class_name": "VocabularyListCategoricalColumn",
                    "config": {"vocabulary_file": "/tmp/x"},
                }
            ],
        ),
        ("/tmp/x", "path", "fc"),
    ),
    "a function that normalizes a column": (
        layer(
            "DenseFeatures",
            feature_columns=[{"class_name": "NumericColumn", "config": {"normalizer_fn": "exec"}}],
        ),
        ("exec", "function", "fc"),
    ),
    "the model's own module": (
        {"class_name": "Functional", "module": "this", "config": {"layers": []}},
        ("Functional", "layer", ""),
    ),
    "a class of a module that is not Keras's": (layer("Dense", "evil"), ("Dense", "layer", "fc")),
    "a class of a module of Keras that does not have it": (
        layer("Dense", "keras.utils"),
        ("Dense", "layer", "fc"),
    ),
    "another registered name": (layer(registered="x>Dense"), ("Dense", "layer", "fc")),
    "a layer of an application from another module": (
        layer("CustomScaleLayer"),
        ("CustomScaleLayer", "layer", "fc"),
    ),
    "a layer of an application that tf_keras does not load": (
        layer("LayerScale", "tf_keras.src.applications.convnext"),
        ("LayerScale", "layer", "fc"),
    ),
    "a class that an application only imports": (
        layer("Functional", "keras.src.applications.inception_resnet_v2"),
        ("Functional", "layer", "fc"),
    ),
    "the registered name of a layer of an application for another class": (
        layer(registered="Custom>Dense"),
        ("Dense", "layer", "fc"),
    ),
    "a text that Keras looks up": (
        layer(activation="deserialize_keras_object"),
        ("deserialize_keras_object", "activation", "fc"),
    ),
    "a text for a constraint": (layer(kernel_constraint="get"), ("get", "constraint", "fc")),
    "a text in a Lambda": (
        {
            "class_name": "Lambda",
            "config": {
                "name": "fc",
                "function": "system",
                "function_type": "function",
                "module": "os",
            },
        },
        ("system", "function", "fc"),
    ),
    "a SavedModel as a layer": (
        layer("TFSMLayer", filepath="/tmp/x"),
        ("TFSMLayer", "layer", "fc"),
    ),
    "a pickled module": (
        layer("TorchModuleWrapper", module={}),
        ("TorchModuleWrapper", "layer", "fc"),
    ),
    "a column that reads a file": (
        layer(
            "DenseFeatures",
            feature_columns=[{"class_name": "VocabularyFileCategoricalColumn", "config": {}}],
        ),
        ("VocabularyFileCategoricalColumn", "feature column", "fc"),
    ),
    "a column that reads a checkpoint": (
        layer(
            "DenseFeatures",
            feature_columns=[
                {"class_name": "EmbeddingColumn", "config": {"ckpt_to_load_from": "/tmp/x"}}
            ],
        ),
        ("/tmp/x", "path", "fc"),
    ),
    "a vocabulary in a file": (
        layer("StringLookup", vocabulary="/etc/passwd"),
        ("/etc/passwd", "path", "fc"),
    ),
    "a vocabulary at a URL": (
        layer("TextVectorization", vocabulary="gs://a/b"),
        ("gs://a/b", "path", "fc"),
    ),
    "deep inside": (
        layer(
            "TimeDistributed",
            layer=layer("Bidirectional", layer=layer("LSTM", name="in", activation="exec")),
        ),
        ("exec", "activation", "in"),
    ),
    "inside a custom layer": (
        layer("MyLayer", None, part={"class_name": "Popen", "module": "subprocess", "config": {}}),
        ("Popen", "class", "fc"),
    ),
    "inside a wrapped layer": (
        layer("PruneLowMagnitude", None, "graphprune>PruneLowMagnitude", layer=function("relu")),
        ("relu", "layer", "fc"),
    ),
    "in an argument of a call": (
        layer() | {"inbound_nodes": [[["in", 0, 0, {"x": function("os.system")}]]]},
        ("os.system", "function", "fc"),
    ),
    "in the shapes that a layer is built with": (
        layer() | {"build_config": {"x": function("eval")}},
        ("eval", "function", "fc"),
    ),
    "in settings of a model in a model": (
        layer("Sequential", "keras", layers=[]) | {"compile_config": {"loss": "exec"}},
        ("exec", "loss", "fc"),
    ),
    "a type of another module": (
        layer("InputLayer", type_spec=FOREIGN_TYPE),
        ("__typespec__", "class", "fc"),
    ),
    "a class name that is no text": (
        layer(activation={"class_name": ["x"], "config": {}}),
        ("['x']", "activation", "fc"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_everything_else_is_refused_by_name(what):
    entry, expected = REFUSED[what]
    assert refused(entry, OWN | WRAPPER) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {
                "loss": "mse",
                "metrics": ["acc", ["mae"]],
                "optimizer_config": {"class_name": "Adam", "config": {"learning_rate": 0.1}},
            },
            None,
        ),
        (
            {
                "loss": {
                    "a": "mse",
                    "b": {"class_name": "MeanSquaredError", "config": {"fn": "mean_squared_error"}},
                }
            },
            None,
        ),
        (
            {
                "optimizer": {
                    "class_name": "LossScaleOptimizer",
                    "config": {"inner_optimizer": {"class_name": "SGD", "config": {}}},
                }
            },
            None,
        ),
        ({"optimizer_config": {"class_name": "adam", "config": {}}}, None),
        ({"loss": {"a": "mse", "b": "os.system"}}, ("os.system", "loss")),
        ({"metrics": [["acc", "exec"]]}, ("exec", "metric")),
        (
            {"loss": {"class_name": "LossFunctionWrapper", "config": {"fn": "eval"}}},
            ("eval", "loss"),
        ),
        (
            {
                "optimizer": {
                    "class_name": "Adam",
                    "config": {"learning_rate": {"class_name": "Dense", "config": {}}},
                }
            },
            ("Dense", "learning rate"),
        ),
    ],
)
def test_compile_settings_are_walked_as_well(settings, expected):
    found = find_refused(settings, {}, kind=None)
    assert (None if found is None else (found.name, found.kind)) == expected


@pytest.mark.parametrize(
    ("kind", "config", "operation"),
    [
        ("TFOpLambda", {"function": "io.write_file"}, "io.write_file"),
        ("TFOpLambda", {"function": "raw_ops.WriteFile"}, "raw_ops.WriteFile"),
        ("TFOpLambda", {"function": "compat.v1.py_func"}, "compat.v1.py_func"),
        (
            "TFOpLambda",
            {"function": "random.fixed_unigram_candidate_sampler"},
            "random.fixed_unigram_candidate_sampler",
        ),
        ("TFOpLambda", {"function": "keras.backend.set_floatx"}, "keras.backend.set_floatx"),
        ("TFOpLambda", {"function": "math.add.__globals__"}, "math.add.__globals__"),
        ("TFOpLambda", {"function": ["math.add"]}, "['math.add']"),
        ("SlicingOpLambda", {"function": "map_fn"}, "map_fn"),
        ("TFOpLambda", {"function": "compat.v1.nn.relu"}, None),
        ("SlicingOpLambda", {"function": "__operators__.getitem"}, None),
        (
            "TensorFlowOpLayer",
            {"node_def": {"op": "DebugIdentity", "attr": {"debug_urls": {}}}},
            "DebugIdentity",
        ),
        (
            "TensorFlowOpLayer",
            {"node_def": {"op": "GenerateVocabRemapping"}},
            "GenerateVocabRemapping",
        ),
        ("TensorFlowOpLayer", {"node_def": {"op": "LoadAndRemapMatrix"}}, "LoadAndRemapMatrix"),
        ("TensorFlowOpLayer", {"node_def": {"op": "DecodeProtoV2"}}, "DecodeProtoV2"),
        ("TensorFlowOpLayer", {"node_def": {"op": "ImmutableConst"}}, "ImmutableConst"),
        (
            "TensorFlowOpLayer",
            {"node_def": "\n\x01x\x12\tWriteFile"},
            "operation in a node_def that is not JSON",
        ),
        ("TensorFlowOpLayer", {"node_def": {"op": "AddV2"}}, None),
        ("ClassMethod", {"cls_symbol": "RaggedTensor", "method_name": "from_row_splits"}, None),
        (
            "ClassMethod",
            {"cls_symbol": "io.TFRecordWriter", "method_name": "__init__"},
            "io.TFRecordWriter.__init__",
        ),
        ("InstanceMethod", {"attr_name": "to_tensor"}, None),
        ("InstanceProperty", {"attr_name": "__class__"}, "__class__"),
    ],
)
def test_an_op_layer_only_computes(kind, config, operation):
    entry = {"class_name": kind, "config": {"name": "op", **config}}
    assert find_refused(entry, {}) == (
        None if operation is None else Refusal(operation, "operation", "op")
    )
    assert find_refused(entry, {}, unsafe_ops=True) is None


@pytest.mark.parametrize(
    ("key", "most", "place"),
    [
        ("num_oov_indices", 10_000_000, "layer"),
        ("ngrams", 1_000, "layer"),
        ("num_thresholds", 1_000_000, "settings"),
    ],
)
def test_a_length_that_keras_would_fill_a_list_with_is_bounded(key, most, place):
    def entry(value):
        made = {
            "class_name": "StringLookup" if place == "layer" else "AUC",
            "config": {"name": "x", key: value},
        }
        return made if place == "layer" else {"metrics": [made]}

    kind = LAYER if place == "layer" else None
    assert find_refused(entry(most), {}, kind=kind) is None
    for value, told in ((most + 1, str(most + 1)), (float("inf"), "inf")):
        found = find_refused(entry(value), {}, kind=kind)
        assert (found.name, found.kind, found.layer, found.value) == (
            key,
            "size",
            "x" if place == "layer" else "",
            told,
        )


def test_a_first_look_leaves_names_for_later_but_no_paths_and_operations():
    assert find_refused(layer("MyLayer", "my_program"), None) is None
    assert find_refused(layer("StringLookup", vocabulary="/etc/passwd"), None) == Refusal(
        "/etc/passwd", "path", "fc"
    )
    assert find_refused(layer("TFOpLambda", function="io.write_file"), None) == Refusal(
        "io.write_file", "operation", "fc"
    )


def test_every_layer_of_the_table_is_on_the_list():
    assert set(BUILTIN_LAYERS) <= LAYERS


def test_no_name_on_the_list_has_a_dot():
    assert [
        name
        for names in KERAS.values()
        for name in names.classes | names.functions
        if not name.isidentifier()
    ] == []


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("fixtures/*.*")), ids=lambda path: path.name
)
def test_the_fixtures_pass(path):
    if path.suffix not in (".keras", ".h5"):
        return
    config = {
        key: value for key, value in read_archive(path).config.items() if key != "compile_config"
    }
    text = json.dumps(config)
    own = {
        name: frozenset({LAYER})
        for name in ("MyPkg>LowRankDense", "graphprune>PruneLowMagnitude", "PruneLowMagnitude")
        if name in text
    }
    assert find_refused(config, own) is None


def data(kind="__numpy__", **changed):
    return {
        "class_name": kind,
        "config": {"value": ["a"], "dtype": "float32"},
        "module": "builtins",
        "registered_name": None,
    } | changed


DATA_THAT_IS_NONE = {
    "a class that tf_keras looks up in the module": data(
        "__slice__", module="runpy", registered_name="run_path"
    ),
    "a shape that is looked up as well": data("TensorShape", module="this"),
    "another registered name": data("__tuple__", registered_name="run_path"),
    "texts of 300 MB": data(config={"value": ["a"], "dtype": "U300000000"}),
    "records": data(
        config={"value": [1], "dtype": {"names": ["a"], "formats": ["i1"], "itemsize": 10**9}}
    ),
    "Python objects": data(config={"value": [1], "dtype": "object"}),
    "a type that is no text": data("__typespec__", spec_name=[]),
    "a module that is no text": function("relu", module=["keras"]),
    "a registered name that is no text": function("relu", registered=["relu"]),
    "an attribute that is no text": {
        "class_name": "InstanceProperty",
        "config": {"attr_name": []},
        "module": "keras.layers",
    },
    "a function of the user's, called with what the file says": {
        "class_name": "my_function",
        "config": {"x": 1},
    },
}


@pytest.mark.parametrize("what", DATA_THAT_IS_NONE)
def test_objects_that_only_look_like_data_are_refused(what):
    assert refused(layer(activation=DATA_THAT_IS_NONE[what])) is not None
    assert refused(layer(anything=DATA_THAT_IS_NONE[what])) is not None


def test_a_conversion_asks_for_nothing_that_it_does_not_take():
    refusal = Refusal("<lambda>", "activation", "fc")
    assert explain_refusal(refusal, can_give=False) == (
        "layer 'fc': a function in it is a lambda, so it cannot be converted; replace it before the"
        " model is converted"
    )
