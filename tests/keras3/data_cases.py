"""Runs of Keras 3 on each kind of data: stopped in the middle of an epoch, they go on exactly."""

import sys
import tempfile
from functools import partial
from pathlib import Path

import keras
import numpy as np
from file_samples import check_strip_measures, write_images, write_records, write_table
from keras import layers
from keras3.child import Cases, refusal
from keras3.models import VERSION, assert_same
from named_arrays import ARRAYS, COUNT, HEADS, HERE, IMAGE, RANDOM, RULES, SETTINGS

from graphprune import collect_prunable_layers, prune_scope, resume, train
from graphprune.errors import DataError, TrainingError
from graphprune.keras3.training.compiling import MIXING_LOSSES, check_losses

CASES = Cases()
FOLDER = Path(tempfile.mkdtemp())


def two(*, is_list=False):
    """Return the path of a model with two inputs and two outputs, in a dict or in a list."""
    path = FOLDER / ("list.keras" if is_list else "two.keras")
    if not path.exists():
        keras.utils.set_random_seed(1)
        image, size = keras.Input((4, 4), name="image"), keras.Input((1,), name="size")
        x = layers.Concatenate()([layers.Flatten()(image), size])
        x = layers.Dense(8, activation="relu", name="a")(x)
        outputs = {"heads": layers.Dense(3, name="heads")(x), "box": layers.Dense(2, name="box")(x)}
        if is_list:
            outputs = list(outputs.values())
        model = keras.Model([image, size], outputs)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", {"heads": loss, "box": "mse"}, metrics={"heads": ["accuracy"]})
        model.save(path)
    return path


def check_goes_on(name, model, data, **options):
    """Hold a run that is stopped in the middle of an epoch against one that is not stopped."""
    settings = {**SETTINGS, **options}
    whole = train(model, RULES, data, FOLDER / f"{name}-whole", **settings)
    train(model, RULES, data, FOLDER / f"{name}-cut", **settings, stop_after_step=HERE)
    again = resume(FOLDER / f"{name}-cut")
    assert (again.status, again.step) == ("finished", whole.step)
    found = [keras.models.load_model(run.model).get_weights() for run in (whole, again)]
    assert_same(*found)
    lines = [(run.run_dir / "metrics.jsonl").read_text() for run in (whole, again)]
    assert lines[0] == lines[1]
    return whole


@CASES
def an_npz_with_several_inputs_outputs_and_weights():
    path = FOLDER / "two.npz"
    np.savez(path, **ARRAYS)
    whole = check_goes_on("npz", two(), path, batch_size=8)
    np.savez(FOLDER / "even.npz", **{**ARRAYS, "w_train": np.ones(COUNT)})
    even = train(two(), RULES, FOLDER / "even.npz", FOLDER / "even", batch_size=8, **SETTINGS)
    assert whole.metrics["loss"] != even.metrics["loss"]
    assert "val_heads_accuracy" in whole.metrics


@CASES
def weights_of_one_output():
    arrays = {name: array for name, array in ARRAYS.items() if not name.startswith("w")}
    named = {"w_train.heads": np.zeros(COUNT), "w_val.heads": np.zeros(9)}
    np.savez(FOLDER / "named.npz", **arrays, **named)
    losses = []
    for is_list in (False, True) if VERSION not in MIXING_LOSSES else (False,):
        whole = check_goes_on(
            f"named-{is_list}", two(is_list=is_list), FOLDER / "named.npz", batch_size=8
        )
        losses.append(whole.metrics["loss"])
        for part in ("", "val_") if "heads_loss" in whole.metrics else ():  # not in Keras 3.3
            assert whole.metrics[f"{part}heads_loss"] == 0 < whole.metrics[f"{part}box_loss"]
        assert "val_heads_accuracy" in whole.metrics
    assert losses[0] == losses[-1]


@CASES.fast_on("tensorflow")
def losses_by_name_are_refused_where_keras_mixes_them_up():
    for is_list, version, is_refused in (
        (True, "3.6.0", True),
        (True, "3.5.0", True),
        (True, "3.7.0", False),
        (False, "3.6.0", False),
    ):
        check = partial(check_losses, keras.models.load_model(two(is_list=is_list)), "net", version)
        if is_refused:
            assert refusal(check, TrainingError) == (
                f"net: Keras {version} gives the losses of a dict to the outputs of a list in"
                " alphabetical order; use Keras 3.7 or newer, or compile the model with a list of"
                " losses"
            )
        else:
            check()
    if VERSION in MIXING_LOSSES:
        path = FOLDER / "mixed.npz"
        np.savez(path, **ARRAYS)
        call = partial(train, two(is_list=True), RULES, path, FOLDER / "mixed", epochs=1)
        assert "alphabetical order" in refusal(call, TrainingError)


@CASES.fast_on("tensorflow")
def names_that_the_model_does_not_have_are_refused():
    for changed, message in (
        (
            {"x_train.image": None, "x_train.img": IMAGE},
            "x has 'img', the model has no such input; closest: 'image'",
        ),
        ({"x_train.size": None}, "x lacks 'size'; the model's inputs are image, size"),
        (
            {"y_train.heads": None, "y_train.head": HEADS},
            "y has 'head', the model has no such output; closest: 'heads'",
        ),
        ({"y_train.heads": HEADS + 1}, "y_train.heads holds 3 at"),
    ):
        arrays = {name: array for name, array in ARRAYS.items() if "train" in name} | changed
        path = FOLDER / "wrong.npz"
        np.savez(path, **{name: one for name, one in arrays.items() if one is not None})
        call = partial(train, two(), RULES, path, FOLDER / "none", **SETTINGS)
        said = refusal(call, DataError)
        assert said.startswith(f"{path}: {message}"), said


@CASES
def zeros_of_a_file_stay_zero_to_the_bit_and_the_rest_is_trained():
    keras.utils.set_random_seed(2)
    parts = [layers.Dense(9, name="a"), layers.Dense(3, name="b")]
    model = keras.Sequential([keras.Input((6,)), *parts])
    for layer in parts:
        kernel = np.array(layer.kernel)
        kernel[RANDOM.random(kernel.shape) < 0.6] = 0
        layer.kernel.assign(kernel)
    before = {layer.name: np.array(layer.kernel) for layer in parts}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(0.05, weight_decay=0.1), loss)
    model.save(FOLDER / "sparse.keras")
    x, y = RANDOM.normal(size=(24, 6)).astype("float32"), RANDOM.integers(0, 3, 24)
    np.savez(FOLDER / "held.npz", x_train=x, y_train=y)
    rules = "version: 1\nrules: [{id: held, match: {type: Dense}, prune: {method: keep}}]\n"
    options = {"epochs": 4, "batch_size": 8, "checkpoint_every": "1 step"}
    source, data = FOLDER / "sparse.keras", FOLDER / "held.npz"
    stopped = train(source, rules, data, FOLDER / "held", **options, stop_after_step=5)
    result = resume(stopped.run_dir)
    assert not result.missed
    with prune_scope():
        trained = keras.models.load_model(result.model)
    for held in collect_prunable_layers(trained):
        old, new = before[held.layer.name], np.array(held.layer.kernel)
        assert ((new == 0) == (old == 0)).all()
        assert (new[old != 0] != old[old != 0]).all()
        assert held.pruning.method == "keep"


def net():
    """Return the path of a model of images of 8 by 8 in three classes."""
    path = FOLDER / "net.keras"
    if not path.exists():
        keras.utils.set_random_seed(1)
        parts = [layers.Flatten(), layers.Dense(3, name="a")]
        model = keras.Sequential([keras.Input((8, 8, 1), name="image"), *parts])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        model.save(path)
    return path


@CASES
def a_table():
    write_table(FOLDER / "t.csv", 22)
    write_table(FOLDER / "v.csv", 9)
    options = {"label": "digit", "validation_data": FOLDER / "v.csv", "batch_size": 8}
    whole = check_goes_on("csv", net(), FOLDER / "t.csv", **options)
    data = (FOLDER / "t.csv", "--label", "digit", "--validation-data", FOLDER / "v.csv")
    check_strip_measures(whole, FOLDER, *data)


@CASES
def a_folder_of_images():
    write_images(FOLDER / "images")
    whole = check_goes_on("images", net(), FOLDER / "images", batch_size=8)
    check_strip_measures(whole, FOLDER, FOLDER / "images")


@CASES
def records_with_a_function():
    write_records(FOLDER)
    sys.path.insert(0, str(FOLDER))
    options = {
        "parse": "record_data:parse",
        "validation_data": FOLDER / "valid.tfrecord",
        "batch_size": 8,
    }
    whole = check_goes_on("records", net(), FOLDER / "part-*.tfrecord", **options)
    assert "val_accuracy" in whole.metrics
    sys.path.remove(str(FOLDER))


if __name__ == "__main__":
    CASES.run()
