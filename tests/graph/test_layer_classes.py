"""What the records of layer classes say, without TensorFlow."""

import pytest

from graphprune.graph.classes.builtin_layers import (
    BUILTIN_LAYERS,
    find_output_shapes,
    is_custom,
    known_class,
    layer_class,
    weights_of,
)
from graphprune.graph.classes.layer_class import Weight
from graphprune.graph.classes.quantization import quantized_weights
from graphprune.graph.shapes.operation_calls import OperationCall

DENSE = (Weight("kernel", ("in", "out"), prunable=True), Weight("bias", ("out",)))
INSIDE = tuple(Weight(f"query.{weight.name}", weight.axes) for weight in DENSE)
ROWS = (Weight("embeddings", ("in", "out")), Weight("reverse_embeddings", ("in", "out")))
FLOAT = "float32"


@pytest.mark.parametrize(
    ("weights", "dtypes", "names"),
    [
        (DENSE, ["int8", FLOAT, FLOAT], "kernel bias kernel_scale"),
        (DENSE[:1], ["int8", FLOAT], "kernel kernel_scale"),
        (
            DENSE,
            ["int8", FLOAT, FLOAT, "int8", FLOAT],
            "kernel bias kernel_scale kernel_zero g_idx",
        ),
        (DENSE[:1], ["int8", FLOAT, "int8", FLOAT], "kernel kernel_scale kernel_zero g_idx"),
        (
            DENSE,
            [FLOAT, "uint8", FLOAT, "uint8", FLOAT],
            "bias quantized_kernel kernel_scale kernel_zero g_idx",
        ),
        (
            DENSE,
            [FLOAT, "uint8", FLOAT, "uint8", FLOAT, FLOAT],
            "bias quantized_kernel kernel_scale kernel_zero awq_scales g_idx",
        ),
        (INSIDE, ["int8", FLOAT, FLOAT], "query.kernel query.bias query.kernel_scale"),
        (
            ROWS,
            ["int8", FLOAT, "int8", FLOAT],
            "embeddings embeddings_scale reverse_embeddings reverse_embeddings_scale",
        ),
        (ROWS[:1], ["int8", FLOAT], "embeddings embeddings_scale"),
    ],
)
def test_quantized_weights_have_the_names_of_their_order(weights, dtypes, names):
    found = quantized_weights(weights, dtypes)
    assert " ".join(weight.name for weight in found) == names
    assert [weight for weight in found if weight in weights] == [
        weight for weight in weights if weight.name in names.split()
    ]


@pytest.mark.parametrize(
    ("weights", "dtypes"),
    [
        (DENSE, [FLOAT, FLOAT, FLOAT]),
        (DENSE, ["int8", FLOAT, FLOAT, FLOAT]),
        (DENSE, [FLOAT]),
        ((Weight("gamma"), Weight("beta")), ["int8", FLOAT, FLOAT]),
        ((), ["int8"]),
    ],
)
def test_other_tensors_are_not_those_of_a_quantized_layer(weights, dtypes):
    assert quantized_weights(weights, dtypes) is None


def test_a_name_that_only_keras_3_has_is_a_users_own_where_no_module_says_otherwise():
    own = {"class_name": "RMSNormalization", "config": {}}
    assert is_custom(own)
    assert known_class(own) is None
    of_keras = own | {"module": "keras.layers"}
    assert not is_custom(of_keras)
    assert [weight.name for weight in weights_of(of_keras)] == ["scale"]
    assert known_class({"class_name": "Dense", "config": {}}) is BUILTIN_LAYERS["Dense"]


def test_arguments_have_the_names_of_the_class():
    grouped, lstm = layer_class("GroupQueryAttention"), layer_class("LSTM")
    assert [grouped.argument_name(place) for place in ("0", "2", "3", "mask")] == [
        *("query", "key", "3", "mask")
    ]
    assert [lstm.argument_name(place) for place in ("0", "2")] == ["0", "initial_state.1"]


def output(kind, shape, *, settings=None, **config):
    entry = {"class_name": kind, "module": "keras.layers", "config": config}
    call = OperationCall((shape,), settings=settings or {})
    return find_output_shapes(entry, [shape], call)


def test_an_embedding_that_is_reversed_gives_a_number_for_each_row():
    sizes = {"input_dim": 7, "output_dim": 4}
    assert output("ReversibleEmbedding", (None, 5), **sizes) == ((None, 5, 4),)
    back = output("ReversibleEmbedding", (None, 5, 4), settings={"reverse": True}, **sizes)
    assert back == ((None, 5, 7),)


def test_adaptive_pooling_gives_the_size_that_it_was_told():
    assert output("AdaptiveMaxPooling2D", (None, 9, 8, 3), output_size=[2, 3]) == ((None, 2, 3, 3),)
    first = output(
        "AdaptiveAveragePooling1D", (None, 3, 9), output_size=2, data_format="channels_first"
    )
    assert first == ((None, 3, 2),)


def test_a_pipeline_has_the_weights_of_its_layers():
    inside = [
        {"class_name": "Rescaling", "module": "keras.layers", "config": {"scale": 2.0}},
        {"class_name": "Dense", "module": "keras.layers", "config": {"units": 3, "name": "d"}},
    ]
    entry = {"class_name": "Pipeline", "module": "keras.layers", "config": {"layers": inside}}
    assert [(weight.name, weight.path) for weight in weights_of(entry)] == [
        ("layers.1.kernel", "layers/dense"),
        ("layers.1.bias", "layers/dense"),
    ]
