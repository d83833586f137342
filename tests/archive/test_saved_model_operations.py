"""The operations of exported SavedModels: functions in place of calls, constants, damage."""

from contextlib import suppress

import numpy as np
import pytest
from saved_model_graphs import Exported, function, node, write_graph

from graphprune.archive.saved_model.folding import fold
from graphprune.archive.saved_model.graph_def import Node, read_graph
from graphprune.archive.saved_model.operations import read_operations
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.errors import ArchiveError


def operations(folder, nodes, functions=(), output="out:0"):
    path = write_graph(folder, nodes, functions, inputs={"x": "x:0"}, outputs={"y": output})
    return read_operations(path)


X = node("x", "Placeholder", shape=(-1, 3))


def call(name, function_name, *inputs):
    return node(name, "PartitionedCall", inputs, f=f"@{function_name}")


def test_called_functions_stand_in_the_place_of_their_calls(tmp_path):
    inner = function("inner", ["a", "b"], {"r": "s:z:0", "q": "a"}, [node("s", "Sub", "ab")])
    outer = function(
        "outer",
        ["a"],
        {"r": "c:output:1"},
        [call("c", "inner", "r:y:0", "a"), node("r", "Relu", ["a"])],
    )
    found = operations(tmp_path, [X, call("out", "outer", "x", "^x")], [inner, outer])
    assert [(one.name, one.node.kind) for one in found.operations] == [
        ("out/r", "Relu"),
        ("out/c/s", "Sub"),
    ]
    assert found.inputs == (0,)
    assert found.outputs == found.operations[0].outputs
    assert found.operations[1].inputs == (*found.outputs, 0)


@pytest.mark.parametrize(
    ("nodes", "functions", "fault"),
    [
        ([X, call("out", "gone", "x")], [], "it has no function 'gone'"),
        ([X, node("out", "Relu", ["gone"])], [], "it has no operation 'gone'"),
        ([X, node("out", "Relu", ["x:4"])], [], "it has no tensor 'x:4'"),
        (
            [X, node("out", "Relu", ["b"]), node("b", "Relu", ["out"])],
            [],
            "the operation 'out' takes what is made of it",
        ),
        (
            [X, call("out", "f", "x")],
            [function("f", ["a"], {"r": "c:output:0"}, [call("c", "f", "a")])],
            "functions call each other too often",
        ),
        (
            [X, call("out", "f", "x")],
            [function("f", [], {"r": "c:output:0"}, [])],
            "out gives 1 tensors to f",
        ),
    ],
)
def test_a_graph_that_contradicts_itself_is_refused(tmp_path, nodes, functions, fault):
    with pytest.raises(ArchiveError) as caught:
        operations(tmp_path, nodes, functions)
    assert str(caught.value) == (
        f"{tmp_path}/saved_model.pb: damaged ({fault}); save or copy the model again"
    )


def test_functions_that_double_their_operations_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("graphprune.archive.saved_model.operations.MAX_OPERATIONS", 1000)
    functions = [function("f0", ["a"], {"r": "r:y:0"}, [node("r", "Relu", ["a"])])]
    for number in range(1, 40):
        calls = [call("c", f"f{number - 1}", "a"), call("d", f"f{number - 1}", "c:output:0")]
        functions.append(function(f"f{number}", ["a"], {"r": "d:output:0"}, calls))
    with pytest.raises(ArchiveError, match="it has more than 1,000 operations"):
        operations(tmp_path, [X, call("out", "f39", "x")], functions)


def test_a_cut_off_graph_is_damaged(tmp_path):
    operations(tmp_path, [X, node("out", "Relu", ["x"])])
    file = tmp_path / "saved_model.pb"
    content = file.read_bytes()
    for end in range(1, len(content)):
        file.write_bytes(content[:end])
        with suppress(ArchiveError):
            assert read_operations(str(tmp_path)) is None


def test_a_graph_without_a_signature_has_no_operations(tmp_path):
    assert read_graph(memoryview(b"")) is None
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert read_operations(str(tmp_path)) is None


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="int32").reshape(2, 3) - 3,
        np.float32([1.5, -2.25]),
        np.array([True, False]),
        np.array(7, "int64"),
    ],
    ids=lambda array: array.dtype.name,
)
def test_constants_are_read_as_they_are_written(tmp_path, array):
    found = operations(tmp_path, [X, node("out", "Const", shape=array.shape, value=array)])
    values = found.operations[0].node.constant()
    assert values.dtype == array.dtype
    np.testing.assert_array_equal(values, array)


def array_of(*values):
    made = np.empty(len(values), object)
    made[:] = values
    return made


def test_what_depends_on_open_lengths_alone_is_not_known(tmp_path):
    shape = fold(Node("", "Shape", (), {}), [None], [(None, 4, 2)])
    assert shape.tolist() == [None, 4, 2]
    doubled = fold(Node("", "Mul", (), {}), [shape, np.array(2, object)], [])
    assert doubled.tolist() == [None, 8, 4]
    axis = np.array(0, object)
    joined = fold(Node("", "ConcatV2", (), {}), [array_of(3), shape, axis], [])
    assert joined.tolist() == [3, None, 4, 2]
    assert fold(Node("", "Prod", (), {}), [shape, array_of(0)], [])[()] is None
    assert fold(Node("", "Prod", (), {}), [array_of(4, 2), array_of(0)], [])[()] == 8
    assert fold(Node("", "Fill", (), {}), [shape, axis], []) is None
    assert fold(Node("", "Fill", (), {}), [array_of(10**6, 10**6), axis], []) is None


def test_a_length_that_only_the_shape_of_a_reshape_tells_is_known(tmp_path):
    net = Exported()
    lengths = net.constant("lengths", [-1, 6])
    reshaped = net.add("reshaped", "Reshape", "x", lengths, shape=(-1, -1))
    file = ExportedFile(read_operations(net.write(tmp_path, (-1, 2, 3), reshaped)))
    (operator,) = file.operators_of(0)
    (made,) = operator.outputs
    tensor = file.tensors_of(0)[made]
    assert (operator.kind, tensor.shape, tensor.open_axes) == ("RESHAPE", (1, 6), frozenset({0}))
