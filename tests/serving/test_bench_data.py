"""Samples for `bench`: several inputs and outputs, and functions of the user's."""

import numpy as np
import pytest

from graphprune.errors import DataError
from graphprune.serving.bench_data import BenchData, read_bench_data
from graphprune.serving.runtimes import InputSpec

X, Y = np.arange(10.0).reshape(5, 2), np.array([0, 1, 0, 1, 1])


def test_several_inputs_go_by_name_and_the_first_samples_fill_up_a_batch(tmp_path):
    arrays = {"x_test.my-a": X, "x_test.b": X + 1, "y_test": Y}
    arrays |= {"x_train.my-a": X, "x_train.b": X, "y_train": Y}
    np.savez(tmp_path / "data.npz", **arrays)
    data = read_bench_data(str(tmp_path / "data.npz"))
    rows = data.rows(["b", "my_a"], 4, 2, "net.tflite")
    assert {name: values.tolist() for name, values in rows.items()} == {
        "b": [[9.0, 10.0], [1.0, 2.0]],
        "my_a": [[8.0, 9.0], [0.0, 1.0]],
    }
    with pytest.raises(DataError) as caught:
        data.rows(["b", "c"], 0, 1, "net.tflite")
    assert str(caught.value) == (
        f"{tmp_path}/data.npz: net.tflite takes 'b', 'c', and the data holds 'my-a', 'b'; name the"
        " arrays x_test.NAME"
    )


def test_samples_of_another_shape_are_told_with_the_model_and_its_input():
    data, rows = BenchData("d.npz", {"": X}, {"": Y}), {"x": X}
    for shape in ((None, 2), (1, 2), (None, None), (None, 2, 1), ()):  # () is not known
        data.check_shapes(rows, [InputSpec("x", shape, "float32")], "net.onnx")
    for shape, text in (((None, 3), "(3,)"), ((None, 2, None), "(2, None)")):
        with pytest.raises(DataError) as caught:
            data.check_shapes(rows, [InputSpec("x", shape, "float32")], "net.onnx")
        assert str(caught.value) == (
            f"d.npz: its samples have shape (2,), the input 'x' of net.onnx takes {text}; give data"
            " of that shape"
        )


def test_accuracy_is_counted_for_each_output_with_labels():
    data = BenchData("d", {"": X}, {"left": Y, "right": 1 - Y})
    outputs = {"left": np.eye(2)[Y], "right": np.eye(2)[Y], "other": X}
    assert data.count_right(outputs, 0) == {"left": 5, "right": 0}
    with pytest.raises(DataError, match="the model has 2 outputs, and the labels name none"):
        BenchData("d", {"": X}, {"": Y}).count_right({"a": X, "b": X}, 0)


def test_a_function_gives_its_validation_data_in_batches(tmp_path, monkeypatch):
    (tmp_path / "bench_own.py").write_text(
        "import numpy as np\n"
        "batch = (np.ones((2, 3)), np.zeros(2))\n"
        "def load(): return [batch], iter([batch, batch])\n"
        "def only_train(): return [batch], None\n"
        "def named(): return [({'a': batch[0], 'b': batch[0]}, batch[1])], None\n"
        "def fails(): return (1 / 0 for _ in range(2)), None\n"
        "def wrong(): return [batch]\n"
    )
    monkeypatch.chdir(tmp_path)
    sizes = {name: len(read_bench_data(f"bench_own:{name}")) for name in ("load", "only_train")}
    assert sizes == {"load": 4, "only_train": 2}
    assert list(read_bench_data("bench_own:named").x) == ["a", "b"]
    with pytest.raises(DataError) as caught:
        read_bench_data("bench_own:wrong")
    assert str(caught.value) == "bench_own:wrong: must return (train, validation)"
    with pytest.raises(DataError) as caught:
        read_bench_data("bench_own:fails")
    assert str(caught.value) == (
        "bench_own:fails: reading its batches failed with ZeroDivisionError: division by zero"
    )
