"""The allow-list against the libraries: it holds what they export, and nothing that can do more
than compute.
"""

import importlib
import inspect
import sys

import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.framework import op_def_registry
from tensorflow.python.util import tf_export

from graphprune.archive.allowed.keras_names import (
    KERAS,
    KERAS_3_OPERATIONS,
    MODELS,
    OPERATION_LAYERS,
)
from graphprune.archive.allowed.tensorflow_names import (
    CLASS_METHODS,
    FUNCTION_MODULES,
    FUNCTIONS,
    OPERATIONS,
    UNARY_FUNCTIONS,
)

pytestmark = pytest.mark.tf

NOT_IN_CONFIGS = {
    "InputSpec",
    "Reduction",
    "PyMetric",
    "SidecarEvaluator",
    "SharpnessAwareMinimization",
    "LayoutMap",
    "ExportArchive",
}
NOT_LAYERS_OF_A_FILE = {"TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "InputSpec"}
CALL_FUNCTIONS = {
    "AssociativeScan",
    "Cond",
    "ForiLoop",
    "Map",
    "Scan",
    "Switch",
    "VectorizedMap",
    "WhileLoop",
    "Function",
    "JVP",
}
RANDOM = {
    "Multinomial", "ParameterizedTruncatedNormal", "RandomCrop", "RandomGamma", "RandomPoisson",
    "RandomPoissonV2", "RandomShuffle", "RandomStandardNormal", "RandomUniform", "RandomUniformInt",
    "SampleDistortedBoundingBox", "SampleDistortedBoundingBoxV2", "TruncatedNormal",
    "CheckNumerics", "CheckNumericsV2", "GuaranteeConst",
}  # fmt: skip


def names_a_file(argument):
    return any(word in argument for word in ("file", "path", "url", "region"))


def exported(module):
    """Return the classes that tf_keras exports below `keras.MODULE`."""
    found = set()
    for name, source in list(sys.modules.items()):
        if name.startswith("tf_keras.src"):
            for value in list(vars(source).values()):
                names = value.__dict__.get("_keras_api_names", ()) if inspect.isclass(value) else ()
                found |= {
                    name.rpartition(".")[2]
                    for name in names
                    if name.rpartition(".")[0] == f"keras.{module}".rstrip(".")
                }
    return found


@pytest.mark.parametrize("kind", KERAS)
def test_what_tf_keras_exports_is_on_the_list(kind):
    aliases = {value.__name__ for value in vars(tf_keras.layers).values() if inspect.isclass(value)}
    for module in KERAS[kind].modules:
        names = exported(module) - NOT_IN_CONFIGS - MODELS
        missing = names - set.union(
            *(set(known.classes) for known in KERAS.values() if module in known.modules)
        )
        assert {name for name in missing if name in aliases or not module.startswith("layers")} - {
            "BaseDenseAttention",
            "BaseRandomLayer",
        } == set()


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        (kind, "layers" if kind == "layer" else f"{kind.split()[0]}s")
        for kind in KERAS
        if kind != "seed"
    ],
)
def test_what_keras_3_exports_is_on_the_list(kind, module):
    keras = pytest.importorskip("keras")
    place = {
        "learning rate": "optimizers.schedules",
        "dtype policy": "dtype_policies",
        "losss": "losses",
    }.get(kind, module.replace("losss", "losses"))
    source = importlib.import_module(f"{keras.__name__}.{place}")
    classes = {value.__name__ for value in vars(source).values() if inspect.isclass(value)}
    functions = {value.__name__ for value in vars(source).values() if inspect.isfunction(value)} - {
        "get",
        "serialize",
        "deserialize",
    }
    assert (
        classes
        - set(KERAS[kind].classes)
        - NOT_LAYERS_OF_A_FILE
        - MODELS
        - {"OptimizerMap", "Identity", "STFT"}
        == set()
    )
    if kind in ("activation", "loss", "metric"):
        assert functions - set(KERAS["loss"].functions) - set(KERAS[kind].functions) == set()


@pytest.mark.parametrize("module", KERAS_3_OPERATIONS)
def test_operations_of_keras_3_are_on_the_list(module):
    pytest.importorskip("keras")
    operation = importlib.import_module("keras.src.ops.operation").Operation
    source = importlib.import_module(f"keras.src.{module}")
    names = {
        name
        for name, value in vars(source).items()
        if inspect.isclass(value)
        and issubclass(value, operation)
        and value.__module__ == source.__name__
    }
    assert names - KERAS_3_OPERATIONS[module] - CALL_FUNCTIONS - {"SegmentReduction"} == set()


def test_functions_of_tensorflow_on_the_list_exist():
    symbols = tf_export._NAME_TO_SYMBOL_MAPPING
    gone = {
        name
        for name in FUNCTIONS
        if name not in symbols
        and f"compat.v1.{name}" not in symbols
        and not name.startswith("keras.")
    }
    assert gone - {name for name in FUNCTIONS if name.startswith("compat.v1.")} == set()
    assert {name for name in FUNCTIONS if inspect.isclass(symbols.get(name))} == set()


def test_functions_of_tensorflow_on_the_list_take_no_functions_and_name_no_files():
    found = set()
    for name in FUNCTIONS:
        symbol = tf_export._NAME_TO_SYMBOL_MAPPING.get(name)
        if symbol is not None:
            arguments = inspect.signature(inspect.unwrap(symbol)).parameters
            found |= {
                (name, key)
                for key in arguments
                if names_a_file(key) or any(word in key for word in ("callable", "func", "fn"))
            }
    assert {(name, key) for name, key in found if key not in ("window_fn", "top_paths")} == set()


def test_operations_on_the_list_only_compute():
    wrong = {}
    for name in OPERATIONS - {"NoOp", "DynamicPartition"}:
        definition = op_def_registry.get(name)
        assert definition is not None, name
        attributes = [
            item.name
            for item in definition.attr
            if item.type in ("func", "list(func)") or names_a_file(item.name)
        ]
        tensors = [
            item.name
            for item in [*definition.input_arg, *definition.output_arg]
            if item.is_ref or item.type == tf.resource.as_datatype_enum
        ]
        if attributes or tensors or (definition.is_stateful and name not in RANDOM):
            wrong[name] = attributes + tensors
    assert wrong == {}


def test_class_methods_and_op_layers_exist():
    assert [
        name for name in CLASS_METHODS if not hasattr(tf.RaggedTensor, name.partition(".")[2])
    ] == []
    layers = importlib.import_module("tf_keras.src.layers.core.tf_op_layer")
    base = importlib.import_module("tf_keras.src.engine.base_layer")
    assert [
        name for name in OPERATION_LAYERS if not hasattr(layers, name) and not hasattr(base, name)
    ] == []


def test_functions_that_an_activation_may_be_take_one_tensor():
    x = tf.constant([0.5, 0.25])
    tried = set()
    for module in FUNCTION_MODULES:
        source = importlib.import_module(module)
        for name in UNARY_FUNCTIONS & set(vars(source)):
            result = getattr(source, name)(x)
            assert isinstance(result, tf.Tensor), (module, name)
            tried.add(name)
    assert tried == UNARY_FUNCTIONS
