"""Runs of tf_keras on each kind of data: stopped in the middle of an epoch, they go on exactly."""

import gzip
import sys
from dataclasses import replace

import numpy as np
import pytest
import tf_keras
from commands import run_command
from file_samples import check_strip_measures, write_images, write_records, write_table
from named_arrays import ARRAYS, BOX, COUNT, HEADS, HERE, IMAGE, RULES, SETTINGS, SIZE

from graphprune.engine.file_data import file_data
from graphprune.errors import DataError
from graphprune.graph import read_graph
from graphprune.serving.bench_data import read_bench_data
from graphprune.tf.models.loading import load_model
from graphprune.training import resume, train

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The path of a model with two inputs and two outputs."""
    tf_keras.utils.set_random_seed(1)
    image, size = tf_keras.Input((4, 4), name="image"), tf_keras.Input((1,), name="size")
    x = tf_keras.layers.Concatenate()([tf_keras.layers.Flatten()(image), size])
    x = tf_keras.layers.Dense(8, activation="relu", name="a")(x)
    outputs = [tf_keras.layers.Dense(3, name="heads")(x), tf_keras.layers.Dense(2, name="box")(x)]
    model = tf_keras.Model([image, size], outputs)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", {"heads": loss, "box": "mse"}, metrics={"heads": "accuracy"})
    path = tmp_path_factory.mktemp("model") / "two.keras"
    model.save(path)
    return path


def check_goes_on(model, data, folder, **options):
    """Hold a run that is stopped in the middle of an epoch against one that is not stopped."""
    settings = {**SETTINGS, **options}
    whole = train(model, RULES, data, folder / "whole", **settings)
    train(model, RULES, data, folder / "cut", **settings, stop_after_step=HERE)
    again = resume(folder / "cut")
    assert (again.status, again.step) == ("finished", whole.step)
    for one, other in zip(
        *(load_model(run.model).get_weights() for run in (whole, again)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    lines = [(folder / name / "metrics.jsonl").read_text() for name in ("whole", "cut")]
    assert lines[0] == lines[1]
    return whole


def test_an_npz_with_several_inputs_outputs_and_weights(model, tmp_path):
    np.savez(tmp_path / "two.npz", **ARRAYS)
    whole = check_goes_on(model, tmp_path / "two.npz", tmp_path, batch_size=8)
    np.savez(tmp_path / "even.npz", **{**ARRAYS, "w_train": np.ones(COUNT)})
    even = train(model, RULES, tmp_path / "even.npz", tmp_path / "e", batch_size=8, **SETTINGS)
    assert whole.metrics["loss"] != even.metrics["loss"]
    assert "val_heads_accuracy" in whole.metrics


def test_weights_of_one_output(model, tmp_path):
    arrays = {name: array for name, array in ARRAYS.items() if not name.startswith("w")}
    named = {"w_train.heads": np.zeros(COUNT), "w_val.heads": np.zeros(9)}
    np.savez(tmp_path / "named.npz", **arrays, **named)
    whole = check_goes_on(model, tmp_path / "named.npz", tmp_path, batch_size=8)
    for part in ("", "val_"):
        assert whole.metrics[f"{part}heads_loss"] == 0
        assert whole.metrics[f"{part}box_loss"] == whole.metrics[f"{part}loss"] > 0
    x, y = {"image": IMAGE, "size": SIZE}, {"heads": HEADS, "box": BOX}
    data = ((x, y, {"heads": np.zeros(COUNT)}), (x, y))
    given = train(model, RULES, data, tmp_path / "given", batch_size=8, **SETTINGS)
    assert given.metrics["loss"] == whole.metrics["loss"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"x_train.image": None, "x_train.img": IMAGE},
            "x has 'img', the model has no such input; closest: 'image'",
        ),
        ({"x_train.size": None}, "x lacks 'size'; the model's inputs are image, size"),
        (
            {"y_train.heads": None, "y_train.head": HEADS},
            "y has 'head', the model has no such output; closest: 'heads'",
        ),
        (
            {"x_train.size": IMAGE},
            "x.size has shape (4, 4), the model's input size takes (1,); reshape the data to fit",
        ),
        ({"y_train.heads": HEADS + 1}, "y_train.heads holds 3 at"),
    ],
)
def test_names_and_labels_that_the_model_does_not_have(model, tmp_path, changed, message):
    arrays = {name: array for name, array in ARRAYS.items() if "train" in name} | changed
    np.savez(tmp_path / "d.npz", **{key: one for key, one in arrays.items() if one is not None})
    with pytest.raises(DataError) as caught:
        train(model, RULES, tmp_path / "d.npz", tmp_path / "run", **SETTINGS)
    assert str(caught.value).startswith(f"{tmp_path}/d.npz: {message}")


def test_arrays_in_python_may_be_dicts_and_have_weights(model, tmp_path):
    x, y = {"image": IMAGE, "size": SIZE}, {"heads": HEADS, "box": BOX}
    data = ((x, y, ARRAYS["w_train"]), (x, y))
    result = train(
        model, RULES, data, tmp_path / "run", batch_size=8, **SETTINGS, stop_after_step=HERE
    )
    assert resume(result.run_dir, data=data).status == "finished"


FUNCTION = """
import numpy as np, tf_keras
class Batches(tf_keras.utils.Sequence):
    def __init__(self):
        self.random, self.order = np.random.default_rng(2), np.arange(21)
    def __len__(self):
        return 3
    def __getitem__(self, index):
        chosen = self.order[7 * index:7 * index + 7]
        x = np.stack([chosen + n for n in range(16)], 1).reshape(-1, 4, 4) / 20
        return {"image": x, "size": x[:, :1, 0]}, {"heads": chosen % 3, "box": x[:, 0, :2]}
    def on_epoch_end(self):
        self.random.shuffle(self.order)
def load():
    return Batches(), Batches()
"""


def test_a_function_that_returns_sequences(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sequence_data.py").write_text(FUNCTION)
    whole = check_goes_on(model, "sequence_data:load", tmp_path)
    assert (whole.steps, "val_loss" in whole.metrics) == (6, True)
    sys.modules.pop("sequence_data")


@pytest.fixture(scope="module")
def digits_net(tmp_path_factory):
    """The path of a model of images of 8 by 8 in three classes."""
    tf_keras.utils.set_random_seed(1)
    layers = [tf_keras.layers.Flatten(), tf_keras.layers.Dense(3, name="a")]
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 1), name="image"), *layers])
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    path = tmp_path_factory.mktemp("net") / "net.keras"
    model.save(path)
    return path


def test_a_table(digits_net, tmp_path):
    write_table(tmp_path / "t.csv", 22)
    write_table(tmp_path / "v.csv", 9)
    options = {"label": "digit", "validation_data": tmp_path / "v.csv", "batch_size": 8}
    whole = check_goes_on(digits_net, tmp_path / "t.csv", tmp_path, **options)
    data = (tmp_path / "t.csv", "--label", "digit", "--validation-data", tmp_path / "v.csv")
    check_strip_measures(whole, tmp_path, *data)
    found = file_data(str(tmp_path / "v.csv"), "digit", None, None)
    bench = read_bench_data(found.of_model(read_graph(digits_net)))
    assert (len(bench), bench.x[""].shape) == (9, (9, 8, 8, 1))


def test_a_folder_of_images(digits_net, tmp_path):
    write_images(tmp_path / "images")
    whole = check_goes_on(digits_net, tmp_path / "images", tmp_path, batch_size=8)
    check_strip_measures(whole, tmp_path, tmp_path / "images")
    listed = tf_keras.utils.image_dataset_from_directory(
        str(tmp_path / "images" / "train"), color_mode="grayscale", image_size=(8, 8), shuffle=False
    )
    data = file_data(str(tmp_path / "images"), None, None, None)
    rows = replace(data, files=replace(data.files, inputs={"image": (8, 8, 1)})).read().train
    wanted = next(iter(listed.unbatch().batch(100)))
    for one, other in zip(rows.take(slice(None)), wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_records_with_a_function(digits_net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_records(tmp_path)
    options = {"parse": "record_data:parse", "validation_data": "valid.tfrecord", "batch_size": 8}
    whole = check_goes_on(digits_net, "part-*.tfrecord", tmp_path, **options)
    data = ("part-*.tfrecord", "--parse", options["parse"], "--validation-data", "valid.tfrecord")
    check_strip_measures(whole, tmp_path, *data)
    for path in tmp_path.glob("part-*.tfrecord"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    packed = train(digits_net, RULES, "part-*.tfrecord", "packed", **options, **SETTINGS)
    assert packed.metrics == whole.metrics
    (tmp_path / "record_data.py").write_text("def parse(record):\n    return record\n")
    sys.modules.pop("record_data")
    with pytest.raises(DataError, match=r"record_data:parse: returned .*; it must return"):
        train(digits_net, RULES, "part-*.tfrecord", "none", parse=options["parse"], **SETTINGS)
    sys.modules.pop("record_data")


def test_options_of_data_need_data(tmp_path):
    out = ("-o", tmp_path / "o.keras")
    for words in (("strip", "m.keras", *out), ("prune", "m.keras", *out), ("bench", "m.keras")):
        done = run_command(*words, "--label", "digit")
        assert done.code == 64
        assert "--label says how to read --data, which is not given" in done.err
