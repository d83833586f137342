import pytest

from graphprune.graph.classes.builtin_layers import find_output_shapes
from graphprune.graph.shapes.operation_calls import OperationCall


def made(kind, *shapes, keywords=None, **config):
    call = OperationCall(shapes, settings=keywords) if keywords else None
    return find_output_shapes({"class_name": kind, "config": config}, shapes, call)


@pytest.mark.parametrize(
    ("kind", "shape", "config", "result"),
    [
        (
            "Conv2D",
            (None, 9, 9, 3),
            {"filters": 4, "kernel_size": [3, 3], "strides": [2, 2], "padding": "valid"},
            (None, 4, 4, 4),
        ),
        (
            "Conv2D",
            (None, None, 9, 3),
            {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
            (None, None, 5, 4),
        ),
        (
            "Conv2D",
            (None, 3, 9, 9),
            {"filters": 4, "kernel_size": 3, "padding": "valid", "data_format": "channels_first"},
            (None, 4, 7, 7),
        ),
        (
            "DepthwiseConv2D",
            (None, 9, 9, 3),
            {"kernel_size": 3, "padding": "same", "depth_multiplier": 2},
            (None, 9, 9, 6),
        ),
        (
            "Conv1DTranspose",
            (None, 5, 3),
            {"filters": 4, "kernel_size": 4, "strides": 3, "padding": "valid"},
            (None, 16, 4),
        ),
        ("MaxPooling2D", (None, 9, 9, 3), {"pool_size": [2, 2], "strides": None}, (None, 4, 4, 3)),
        ("GlobalAveragePooling2D", (None, 9, 9, 3), {"keepdims": True}, (None, 1, 1, 3)),
        ("Flatten", (None, None, 3), {}, (None, None)),
        ("Reshape", (None, 6, 4), {"target_shape": [-1, 8]}, (None, 3, 8)),
        (
            "EinsumDense",
            (None, 4, 5),
            {"equation": "...x,xy->...y", "output_shape": [7]},
            (None, 4, 7),
        ),
    ],
)
def test_what_a_layer_makes_of_a_shape(kind, shape, config, result):
    assert made(kind, shape, **config) == (result,)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Conv2D", {"filters": 4, "kernel_size": [3, 3], "strides": 0, "padding": "valid"}),
        ("Conv2D", {"filters": "four", "kernel_size": [3, 3], "padding": "valid"}),
        ("Conv2D", {"filters": 4, "kernel_size": [30, 30], "padding": "valid"}),
        ("Conv2D", {"filters": True, "kernel_size": 3, "padding": "valid"}),
        ("Conv2D", {}),
        ("Conv3D", {"filters": 4, "kernel_size": 3, "padding": "valid"}),
        ("Reshape", {"target_shape": [1] * 99}),
        ("Reshape", {"target_shape": "ab"}),
        ("Permute", {"dims": [1, 1, 2]}),
        ("TimeDistributed", {"layer": "no layer"}),
        ("Bidirectional", {"layer": {"class_name": "LSTM", "config": {}}, "merge_mode": "concat"}),
        ("EinsumDense", {"equation": 7}),
        ("Lambda", {}),
    ],
)
def test_settings_that_make_no_sense_tell_nothing(kind, config):
    assert [shape for shape in made(kind, (None, 9, 9, 3), **config) if shape is not None] == []


def test_layers_of_others_tell_nothing():
    assert (
        find_output_shapes(
            {
                "class_name": "Dense",
                "registered_name": "Mine>Dense",
                "module": "mine",
                "config": {"units": 3},
            },
            [(None, 7)],
        )
        == ()
    )


def test_operations_go_by_their_tensors_and_constants():
    add = {"function": "__operators__.add"}
    assert made("TFOpLambda", (None, 8, 3), (3,), **add) == ((None, 8, 3),)
    assert made("TFOpLambda", (None, 8, 3), keywords={"y": 1.5}, **add) == ((None, 8, 3),)
    assert made("TFOpLambda", (None, 2, 3), keywords={"y": [[[1.0], [2.0]]] * 4}, **add) == (
        (4, 2, 3),
    )
    assert made("TFOpLambda", (None, 8, 3), keywords={"y": [[1.0], [2.0]]}, **add) == ()
    assert made("TFOpLambda", (None, 8, 3), keywords={"y": {"class_name": "X"}}, **add) == ()
    assert made("TFOpLambda", (None, 8, 3), None, **add) == ()
    assert made(
        "TFOpLambda",
        (None, 8, 3),
        keywords={"axis": -1, "keepdims": True},
        function="math.reduce_max",
    ) == ((None, 8, 1),)
    assert made("TFOpLambda", (None, 8, 3), function="linalg.inv") == ()


def test_a_layer_with_states_gives_several_tensors():
    settings = {"units": 5, "return_state": True, "return_sequences": True}
    assert made("LSTM", (None, 8, 3), **settings) == ((None, 8, 5), (None, 5), (None, 5))
    assert made(
        "Bidirectional",
        (None, 8, 3),
        layer={"class_name": "GRU", "config": settings},
        merge_mode="concat",
    ) == ((None, 8, 10), (None, 5), (None, 5))


def test_wrappers_go_by_the_layer_inside():
    dense = {"class_name": "Dense", "config": {"units": 5}}
    assert made("SpectralNormalization", (None, 8, 3), layer=dense) == ((None, 8, 5),)
    assert made("TimeDistributed", (None, 8, 3), layer=dense) == ((None, 8, 5),)


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("squeeze", OperationCall(((None, 1, 3),))),
        ("squeeze", OperationCall(((None, 1, 3),), settings={"axis": 7})),
        ("reshape", OperationCall(((None, 4),), named={"shape": (2,)})),
        ("reshape", OperationCall(((None, 4),), settings={}, mixed=frozenset({"shape"}))),
        ("reshape", OperationCall(((None, 4),), settings={"shape": ["a"]})),
        ("where", OperationCall(((None, 4),))),
        ("split", OperationCall(((None, 4),), settings={"num_or_size_splits": 10**9, "axis": 1})),
        ("split", OperationCall(((None, 4),), settings={"num_or_size_splits": 0, "axis": 1})),
        ("tile", OperationCall(((None, 4),), settings={"multiples": [1]})),
        ("matmul", OperationCall(((None, 4, 5), (None, 4, 5)))),
        ("matmul", OperationCall(((4, 5),), constants=([[1.0]],))),
        ("strings.split", OperationCall(((None,),))),
        ("sparse.add", OperationCall(((None, 4), (None, 4)))),
        ("__operators__.getitem", OperationCall(((None, 4),), settings={"slice_spec": [0, 0, 0]})),
        (
            "__operators__.getitem",
            OperationCall(((None, 4),), settings={"slice_spec": [{"start": "x"}]}),
        ),
        (
            "__operators__.getitem",
            OperationCall(((None, 4),), settings={"slice_spec": [["x", 0, 0]]}),
        ),
    ],
)
def test_operations_whose_result_depends_on_values_or_that_make_no_sense_tell_nothing(
    function, call
):
    entry = {"class_name": "TFOpLambda", "config": {"function": function}}
    assert [
        shape for shape in find_output_shapes(entry, call.taken, call) if shape is not None
    ] == []


SLICE = {
    "ellipsis_mask": {"i": "0"},
    "begin_mask": {"i": "1"},
    "new_axis_mask": {"i": "0"},
    "shrink_axis_mask": {"i": "0"},
    "end_mask": {"i": "3"},
}
"""`x[:, 1:]`, as TensorFlow 1.15 and 2.1 write it."""


@pytest.mark.parametrize(
    ("node", "constants", "taken", "result"),
    [
        ({"op": "AddV2"}, {"1": 2.0}, [(None, 4)], (None, 4)),
        (
            {"op": "Mean", "attr": {"keep_dims": {"b": True}}},
            {"1": [1, 2]},
            [(None, 7, 7, 9)],
            (None, 1, 1, 9),
        ),
        ({"op": "Reshape"}, {"1": [-1, 8]}, [(None, 2, 4)], (None, 8)),
        ({"op": "Transpose"}, {"1": [0, 2, 1]}, [(None, 2, 4)], (None, 4, 2)),
        ({"op": "ConcatV2"}, {"2": -1}, [(None, 4), (None, 5)], (None, 9)),
        (
            {"op": "Squeeze", "attr": {"squeeze_dims": {"list": {"i": ["1"]}}}},
            {},
            [(None, 1, 4)],
            (None, 4),
        ),
        ({"op": "Pack", "attr": {"axis": {"i": "1"}}}, {}, [(None, 4), (None, 4)], (None, 2, 4)),
        (
            {"op": "BatchMatMulV2", "attr": {"adj_y": {"b": True}}},
            {},
            [(None, 3, 4), (None, 5, 4)],
            (None, 3, 5),
        ),
        ('{"op": "Relu"}', None, [(None, 4)], (None, 4)),
        ("\n\u0003add\u0012", None, [(None, 4)], None),
        ({"op": "Sub"}, {"0": 2.0}, [(None, 4)], (None, 4)),
        (
            {"op": "StridedSlice", "attr": SLICE},
            {"1": [0, 1], "2": [0, 0], "3": [1, 1]},
            [(None, 6, 4)],
            (None, 5, 4),
        ),
        (
            {"op": "StridedSlice", "attr": {"shrink_axis_mask": {"i": "2"}}},
            {"1": [0, 1], "2": [9, 2], "3": [1, 1]},
            [(9, 6, 4)],
            (9, 4),
        ),
        (
            {
                "op": "StridedSlice",
                "attr": {"new_axis_mask": {"i": "2"}, "ellipsis_mask": {"i": "1"}},
            },
            {"1": [0] * 2, "2": [0] * 2, "3": [1] * 2},
            [(6,)],
            (6, 1),
        ),
        ({"op": "StridedSlice", "attr": SLICE}, {"1": [0, 1], "2": [0, 0]}, [(None, 6, 4)], None),
        (
            {"op": "Split", "attr": {"num_split": {"i": "1"}}},
            {"0": -1},
            [(None, 6, 4)],
            (None, 6, 4),
        ),
        ({"op": "Unique"}, {}, [(None, 4)], None),
    ],
)
def test_operations_of_graphs_go_by_their_node_and_constants(node, constants, taken, result):
    assert made("TensorFlowOpLayer", *taken, node_def=node, constants=constants) == (
        () if result is None else (result,)
    )


def test_a_split_of_a_graph_gives_each_part():
    node = {"op": "Split", "attr": {"num_split": {"i": "2"}, "T": {"type": "DT_FLOAT"}}}
    assert made("TensorFlowOpLayer", (None, 6, 4), node_def=node, constants={"0": -1}) == (
        (None, 6, 2),
        (None, 6, 2),
    )


@pytest.mark.parametrize(
    ("shape", "settings", "result"),
    [
        ((None, 1), {}, ((None, 4),)),
        ((None,), {"output_sequence_length": None}, ((None, None),)),
        ((None, 1), {"output_mode": "count"}, ()),
        ((None, 1), {"split": None}, ()),
        ((None, 1), {"ragged": True}, ()),
        ((None, 3), {}, ()),
    ],
)
def test_texts_become_as_many_words_as_the_config_tells(shape, settings, result):
    assert (
        made(
            "TextVectorization",
            shape,
            **{"output_mode": "int", "split": "whitespace", "output_sequence_length": 4} | settings,
        )
        == result
    )


def test_a_dot_sums_one_axis_of_each_side():
    assert made("Dot", (None, 4, 5), (None, 7, 5), axes=-1) == ((None, 4, 7),)
    assert made("Dot", (None, 4), (None, 4), axes=1, normalize=True) == ((None, 1),)


def test_nothing_is_told_of_what_comes_of_a_tensor_of_unknown_shape():
    """An open length says that any will do, which nobody knows here: ConvNeXt's pooling gives 1,024
    channels behind a layer of its own.
    """
    assert made("Flatten", None) == ()
    assert made("LSTM", None, units=5, return_sequences=True) == ()
    assert made("GlobalAveragePooling2D", None) == ()
    assert made("Dense", None, units=3) == ()
