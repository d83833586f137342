"""A file cannot make a model touch files or run Python through the operations that its layers name."""

import json

import pytest
import tensorflow as tf
import tf_keras

from graphprune.errors import ArchiveError
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.unsafe_ops import find_unsafe_op

pytestmark = pytest.mark.tf


@pytest.mark.parametrize(
    "function", ["io.write_file", "io.gfile.rmtree", "raw_ops.WriteFile", "py_function", "numpy_function", "compat.v1.py_func", "compat.v1.write_file"]
)
def test_an_operation_that_does_more_than_compute_is_found(function):
    assert find_unsafe_op([{"class_name": "TFOpLambda", "config": {"name": "op", "function": function}}]) == function


@pytest.mark.parametrize("function", ["__operators__.add", "math.reduce_mean", "nn.relu", "concat", "compat.v1.transpose", "image.resize", "compat.v1.nn.relu"])
def test_a_computation_is_not(function):
    assert find_unsafe_op({"class_name": "TFOpLambda", "config": {"name": "op", "function": function}}) is None


@pytest.mark.parametrize(("node", "found"), [({"op": "WriteFile"}, "WriteFile"), (json.dumps({"op": "EagerPyFunc"}), "EagerPyFunc"), ({"op": "AddV2"}, None)])
def test_the_operation_of_a_node_is_looked_at(node, found):
    assert find_unsafe_op({"class_name": "TensorFlowOpLayer", "config": {"node_def": node}}) == found


def test_a_model_that_would_write_a_file_is_not_loaded(tmp_path):
    image = tf_keras.Input((), dtype="string", name="text")
    model = tf_keras.Model(image, tf.strings.lower(image))
    config = json.loads(model.to_json())
    entry = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "TFOpLambda")
    entry["config"]["function"] = "io.write_file"
    model.save(tmp_path / "evil.h5")
    import h5py

    with h5py.File(tmp_path / "evil.h5", "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ArchiveError) as caught:
        load_model(tmp_path / "evil.h5")
    assert str(caught.value).startswith(f"{tmp_path}/evil.h5: a layer runs TensorFlow's io.write_file, which does more than compute on tensors; ")
