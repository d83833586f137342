"""`train` and `resume` with what users hold in Python: live models, rules in any form, arrays,
`tf.data.Dataset` and `Sequence`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from commands import run_command
from run_builders import assert_same_bits, build_dense_model
from runs.damage import rewrite
from tf_keras import layers

import graphprune
from graphprune import DataError, OutputError, RuleError, TrainingError, load_model, resume, train
from graphprune.graph import open_model_file
from graphprune.runs.run_options import GIVEN
from graphprune.tf.training.data import read_data
from graphprune.tf.training.given_data import given_data

pytestmark = pytest.mark.tf

TEXT = """\
version: 1
rules:
  - id: first
    match: {name: fc}
    prune: {sparsity: 75%, schedule: {curve: constant, begin: 1 step}}
"""
RNG = np.random.default_rng(5)
Y = RNG.integers(0, 3, 40)
X = (RNG.normal(size=(40, 4, 4, 1)) + Y.reshape(-1, 1, 1, 1)).astype("float32")
ARRAYS = ((X[:30], Y[:30]), (X[30:], Y[30:]))
OPTIONS = {"epochs": 2, "batch_size": 8, "seed": 11, "checkpoint_every": "3 steps"}
LABELS = "x_train float32 (30, 4, 4, 1), y_train int64 (30,), x_test float32 (10, 4, 4, 1)"


class Batches(tf_keras.utils.Sequence):
    """Batches whose order changes after each pass, by a seed of its own."""

    def __init__(self):
        self.rng, self.order = np.random.default_rng(3), np.arange(30)

    def __len__(self):
        return 4

    def __getitem__(self, number):
        rows = self.order[number * 8 : number * 8 + 8]
        return [X[rows], Y[rows]]

    def on_epoch_end(self):
        self.rng.shuffle(self.order)


def datasets():
    train_set = tf.data.Dataset.from_tensor_slices(ARRAYS[0]).shuffle(30, seed=4).batch(8)
    return train_set, tf.data.Dataset.from_tensor_slices(ARRAYS[1]).batch(8)


def own_loss(y, found):
    return tf_keras.losses.sparse_categorical_crossentropy(y, found) * 2.0


def stop_and_go_on(model, data, folder, **options):
    """Return the run that was stopped in its second epoch and resumed, and the one that was not."""
    for name, stop in (("stopped", 6), ("whole", None)):
        given = OPTIONS | options | {"stop_after_step": stop}
        result = train(model, TEXT, data(), folder / name, **given)
        assert result.status == ("finished" if stop is None else "interrupted")
    assert resume(folder / "stopped", data=data()).status == "finished"
    return folder / "stopped", folder / "whole"


@pytest.fixture(scope="module")
def model():
    return build_dense_model("adam")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(model, folder):
    """The finished run of a live model on arrays by rules as text; it was stopped and resumed."""
    before = model.get_weights()
    stopped, whole = stop_and_go_on(model, lambda: ARRAYS, folder)
    assert all(map(np.array_equal, before, model.get_weights()))
    assert_same_bits(stopped / "model.keras", whole / "model.keras")
    return whole


@pytest.fixture
def stopped(model, run, tmp_path):
    """A copy of the run, as if it had not been finished."""
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "result.json").unlink()
    (copy / "model.keras").unlink()
    shutil.rmtree(copy / "checkpoints" / "step-00000008")
    return copy


def test_a_live_model_is_trained_to_exact_counts(run):
    result = resume(run)
    assert result.status == "already-finished"
    assert [(tensor.address, tensor.zeros, tensor.size) for tensor in result.tensors] == [
        ("fc", 96, 128)
    ]
    trained = load_model(result.model)
    assert np.count_nonzero(trained.get_layer("fc").get_weights()[0]) == 32
    assert "val_accuracy" in result.metrics
    assert json.loads((run / "plan.json").read_text())["rules"][0]["path"] == "<text>"


def test_a_run_records_its_live_model_and_what_its_data_was(run):
    recorded = json.loads((run / "run.json").read_text())
    assert recorded["model"] == "original.keras"
    assert "original.keras" in recorded["files"]
    assert recorded["data"].startswith(f"{GIVEN}: {LABELS}")
    assert len(recorded["data_sha256"]) == 64
    assert load_model(run / "original.keras").optimizer.name == "Adam"


def test_a_run_starts_again_from_the_model_that_it_keeps(stopped, run):
    shutil.rmtree(stopped / "checkpoints")
    shutil.move(stopped, stopped.with_name("moved"))
    again = resume(stopped.with_name("moved"), data=ARRAYS)
    assert again.resumed_from is None
    assert_same_bits(again.model, run / "model.keras")


def test_a_damaged_original_is_told_and_not_started_from(stopped):
    with (stopped / "original.keras").open("ab") as file:
        file.write(b"more")
    shutil.rmtree(stopped / "checkpoints")
    with pytest.raises(graphprune.CheckpointError, match=r"original\.keras: has changed since"):
        resume(stopped, data=ARRAYS)


def test_a_finished_run_is_stripped_and_compared_with_the_live_model(run, tmp_path):
    done = run_command("strip", run, "-o", tmp_path / "s.keras")
    assert (done.code, done.err) == (0, "")
    stripped = load_model(tmp_path / "s.keras")
    assert type(stripped.get_layer("fc")) is layers.Dense
    assert np.count_nonzero(stripped.get_layer("fc").get_weights()[0]) == 32


def test_a_run_is_replaced_with_its_original_and_a_users_file_is_not(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    np.savez(tmp_path / "d.npz", x_train=X[:30], y_train=Y[:30])
    arguments = (run / "original.keras", TEXT, tmp_path / "d.npz", copy)
    train(*arguments, **OPTIONS, force=True, stop_after_step=1)
    assert not (copy / "original.keras").exists()
    (copy / "original.keras").write_text("mine")
    with pytest.raises(OutputError, match=r"original\.keras: was not written by the earlier run"):
        train(load_model(run / "model.keras"), None, ARRAYS, copy, **OPTIONS, force=True)
    assert (copy / "original.keras").read_text() == "mine"


def test_given_data_is_asked_for_where_it_is_not_given(stopped):
    message = (
        f"{stopped}: its training data was given in Python ({LABELS}, y_test int64 (10,)) and"
        " cannot be read again; resume in Python with the same data:"
        f" graphprune.resume({str(stopped)!r}, data=...)"
    )
    with pytest.raises(DataError) as caught:
        resume(stopped)
    assert str(caught.value) == message
    done = run_command("resume", stopped)
    assert (done.code, done.err.splitlines()[-1]) == (1, f"graphprune: {message}")


@pytest.mark.parametrize(
    "other",
    [((X[:30] + 1, Y[:30]), ARRAYS[1]), ARRAYS[0], Batches(), "digits.npz"],
    ids=["values", "no validation", "a Sequence", "a path"],
)
def test_other_data_is_refused(stopped, other):
    message = rf"^data: is not what the run in .* began with \({GIVEN}: x_train float32"
    with pytest.raises(DataError, match=message):
        resume(stopped, data=other)


def test_data_is_refused_where_the_run_reads_its_own(model, tmp_path):
    np.savez(tmp_path / "d.npz", x_train=X[:30], y_train=Y[:30])
    file = open_model_file(_saved(model, tmp_path))
    train(file, TEXT, tmp_path / "d.npz", tmp_path / "run", **OPTIONS, stop_after_step=1)
    with pytest.raises(DataError) as caught:
        resume(tmp_path / "run", data=ARRAYS)
    assert str(caught.value) == (
        f"data: the run in {tmp_path}/run reads its data from {tmp_path}/d.npz; leave data out"
    )


def _saved(model, folder: Path) -> Path:
    graphprune.save_model(model, folder / "m.keras")
    return folder / "m.keras"


@pytest.mark.parametrize(
    ("data", "recorded"),
    [
        (Batches, "a Sequence, Batches"),
        pytest.param(
            lambda: (Batches(), datasets()[1]), "a Sequence, Batches", marks=pytest.mark.slow
        ),
        (datasets, "a tf.data.Dataset with batches of float32 (None, 4, 4, 1), int64 (None,)"),
    ],
    ids=["Sequence", "Sequence and dataset", "datasets"],
)
def test_batches_in_an_order_of_their_own_are_resumed_exactly(model, tmp_path, data, recorded):
    stopped, whole = stop_and_go_on(model, data, tmp_path, batch_size=None)
    assert_same_bits(stopped / "model.keras", whole / "model.keras")
    assert json.loads((whole / "run.json").read_text())["data"] == f"{GIVEN}: {recorded}"
    assert resume(stopped).metrics == resume(whole).metrics


def test_another_first_batch_is_told(model, tmp_path):
    other = tf.data.Dataset.from_tensor_slices((X[:30][::-1], Y[:30][::-1])).batch(8)
    train(model, TEXT, datasets(), tmp_path / "run", epochs=1, stop_after_step=2)
    result = resume(tmp_path / "run", data=other)
    assert [line for line in result.warnings if line.startswith("data: its first batch is not")]


def test_a_sequence_goes_through_its_passes_as_keras_does():
    read = read_data(given_data(Batches()))
    labels = [batch[1].numpy().tolist() for batch in read.batches().take(9)]
    own, wanted = Batches(), []
    for _ in range(3):
        wanted += [own[number][1].tolist() for number in range(4)]
        own.on_epoch_end()
    assert labels == wanted[:9]
    later = read_data(given_data(Batches())).batches(6).take(3)
    assert [batch[1].numpy().tolist() for batch in later] == wanted[6:9]


def test_own_functions_of_a_live_model_need_not_be_given(tmp_path):
    own = build_dense_model("sgd")
    own.compile("sgd", own_loss, metrics=["accuracy"])
    train(own, "builtin:all-90", ARRAYS, tmp_path / "run", **OPTIONS, stop_after_step=1,
          allow_missed=True)  # fmt: skip
    result = resume(tmp_path / "run", data=ARRAYS, custom_objects={"own_loss": own_loss})
    assert load_model(result.model, {"own_loss": own_loss}).loss is own_loss


def test_a_trained_optimizer_goes_on_where_it_was(tmp_path):
    trained = build_dense_model("adam")
    trained.fit(*ARRAYS[0], batch_size=8, verbose=0)
    train(trained, TEXT, ARRAYS, tmp_path / "run", **OPTIONS, stop_after_step=1)
    first = load_model(tmp_path / "run" / "checkpoints" / "step-00000000" / "model.keras")
    assert int(first.optimizer.iterations) == int(trained.optimizer.iterations) == 4
    assert [variable.numpy().tolist() for variable in first.optimizer.variables] == [
        variable.numpy().tolist() for variable in trained.optimizer.variables
    ]


def test_a_lambda_layer_is_refused_unless_it_may_be_loaded(tmp_path):
    inside = layers.Lambda(lambda x: x * 2.0)
    own = tf_keras.Sequential([layers.Input((4, 4, 1)), layers.Flatten(), inside])
    own.add(layers.Dense(3, activation="softmax", name="fc"))
    own.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(
        TrainingError, match=r"^sequential\w*: a Lambda layer holds .*unsafe_lambda"
    ):
        train(own, TEXT, ARRAYS, tmp_path / "run", **OPTIONS)
    assert list(tmp_path.iterdir()) == []
    given = OPTIONS | {"unsafe_lambda": True, "stop_after_step": 1}
    assert train(own, TEXT, ARRAYS, tmp_path / "run", **given).step == 1


def test_a_run_of_another_user_calls_nothing_for_given_data(stopped):
    rewrite(stopped / "run.json", mark=None)
    result = resume(stopped, data=ARRAYS)
    assert result.status == "finished"
    assert any(line.endswith("its training data is given in Python") for line in result.warnings)


def test_two_own_functions_of_one_name_are_refused(tmp_path):
    def other():
        def own_loss(y, found):
            return found

        return own_loss

    own = build_dense_model("sgd")
    own.compile("sgd", own_loss, metrics=[other()])
    with pytest.raises(
        TrainingError, match=r"two of its functions or classes are called 'own_loss'"
    ):
        train(own, TEXT, ARRAYS, tmp_path / "run", **OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_compiled_says_how_to_train_it(tmp_path):
    bare = tf_keras.models.clone_model(build_dense_model("sgd"))
    with pytest.raises(TrainingError, match=r"^net: has no compile settings; compile the model"):
        train(bare, TEXT, ARRAYS, tmp_path / "run", **OPTIONS)
    assert list(tmp_path.iterdir()) == []


PLAIN = {"x": X[:30], "y": Y[:30]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X[:30], Y[:20]), "data: x_train has 30 samples and y_train has 20; each sample needs"),
        ((X[:0], Y[:0]), "data: x_train has no samples; training needs at least one"),
        ((X[:30] * np.nan, Y[:30]), "data: x_train holds nan at (0, 0, 0, 0); training needs"),
        ((X[:30].astype(complex), Y[:30]), "data: x_train has dtype complex128; store it as"),
        ((X[:30, :2], Y[:30]), "data: x has shape (2, 4, 1), the model's input"),
        ((X[:30], Y[:30] + 5), "data: y_train holds"),
        (
            (ARRAYS[0], (X[30:, :2], Y[30:])),
            "data: samples of x_test have shape (2, 4, 1), those of x_train (4, 4, 1)",
        ),
        (
            tf.data.Dataset.from_tensor_slices(ARRAYS[0]),
            "data: its elements are single samples of shape (4, 4, 1)",
        ),
        (
            tf.data.Dataset.from_tensor_slices(X).batch(8),
            "data: the training dataset has elements that are not (x, y); give batches of (x, y)",
        ),
        (
            (datasets()[0], datasets()[1].repeat()),
            "data: the validation dataset never ends; cut it with .take(n)",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_before_anything_is_written(
    model, tmp_path, data, message
):
    with pytest.raises(DataError) as caught:
        train(model, TEXT, data, tmp_path / "run", epochs=1)
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


class Broken(Batches):
    def __getitem__(self, number):
        raise KeyError("no such image")


class Images(Batches):
    def __getitem__(self, number):
        return X[:8]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Broken(), "data: reading batch 0 of the Sequence failed with KeyError: 'no such image'"),
        (
            Images(),
            "data: batch 0 of the Sequence is not (x, y); its __getitem__ must return (x, y) or (x,"
            " y, weight)",
        ),
        (
            (Batches(), Images()),
            "data: validation: batch 0 of the Sequence is not (x, y); its __getitem__ must return"
            " (x, y) or (x, y, weight)",
        ),
    ],
    ids=["fails", "no labels", "validation"],
)
def test_a_sequence_that_gives_no_batches_is_refused(model, tmp_path, data, message):
    with pytest.raises(DataError) as caught:
        train(model, TEXT, data, tmp_path / "run", epochs=1)
    assert str(caught.value) == message


def test_batches_have_a_size_of_their_own(model, tmp_path):
    with pytest.raises(DataError) as caught:
        train(model, TEXT, Batches(), tmp_path / "run", epochs=1, batch_size=8)
    assert str(caught.value) == (
        "data: datasets and Sequences have batches of their own; leave batch_size out"
    )


ONE_OF = (
    "arrays as (x, y) or ((x, y), (x_val, y_val)), a tf.data.Dataset, a tf_keras.utils.Sequence, a"
    " pair (training, validation) of these two, the path of an .npz, or 'package.module:function'"
)
OTHERWISE = "give a tf.data.Dataset with batches of ((x1, x2, ...), y) or (x, y, weight)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, f"data must be {ONE_OF}, got 3"),
        (None, f"data must be {ONE_OF}, got None"),
        (X, f"data must be {ONE_OF}, got ndarray of numpy"),
        (PLAIN, f"data must be {ONE_OF}, got dict"),
        (
            (X, Y, Y, Y),
            "data must be (x, y) or (x, y, weight), got a tuple of 4; for anything else,"
            f" {OTHERWISE}",
        ),
        (
            ([X, X], Y),
            "data[0] must be one array, got list; make it one with numpy.asarray; for several"
            " inputs or outputs, give a dict of arrays by their names",
        ),
        ((X, None), "data[1] must be an array, got None"),
        ((ARRAYS[0], X), "data[1] must be (x, y), a tuple of two arrays, got ndarray of numpy"),
        (
            (ARRAYS[0], ARRAYS[1], ARRAYS[1]),
            "data must be ((x, y), (x_val, y_val)), got a tuple of 3; give training and validation"
            " arrays",
        ),
        (
            (Batches(), ARRAYS[1]),
            "data[1] must be a tf.data.Dataset, a tf_keras.utils.Sequence or None, got tuple",
        ),
    ],
)
def test_data_of_another_kind_is_a_type_error(model, tmp_path, data, message):
    with pytest.raises(TypeError) as caught:
        train(model, TEXT, data, tmp_path / "run", epochs=1)
    assert str(caught.value) == message


def test_a_model_or_rules_of_another_kind_are_type_errors(model, tmp_path):
    with pytest.raises(TypeError, match=r"^model must be the path of a saved model, or a Keras"):
        train(3, TEXT, ARRAYS, tmp_path / "run", epochs=1)
    with pytest.raises(
        TypeError, match=r"^rules must be a RuleSet, the path of a rule file, .* 3$"
    ):
        train(model, 3, ARRAYS, tmp_path / "run", epochs=1)


@pytest.mark.parametrize(
    "rules",
    [
        lambda model, folder: graphprune.make_plan(model, TEXT),
        lambda model, folder: graphprune.read_rules(TEXT),
        lambda model, folder: _written(folder / "rules.yaml", TEXT),
        lambda model, folder: _plan_file(model, folder / "plan.json"),
        lambda model, folder: [TEXT],
    ],
    ids=["Plan", "RuleSet", "rule file", "plan file", "list"],
)
def test_rules_are_taken_in_every_form(model, tmp_path, rules):
    given = rules(model, tmp_path)
    train(model, given, ARRAYS, tmp_path / "run", **OPTIONS, stop_after_step=1)
    changes = json.loads((tmp_path / "run" / "plan.json").read_text())["layer_changes"]
    assert [(change["address"], change["rule"]["id"]) for change in changes if change["rule"]] == [
        ("fc", "first")
    ]


def _written(path, text):
    path.write_text(text)
    return path


def _plan_file(model, path):
    graphprune.write_plan(graphprune.make_plan(model, TEXT), path)
    return path


def test_faults_in_rules_as_text_name_the_line(model, tmp_path):
    with pytest.raises(RuleError, match=r"--> <text>:5:\d+"):
        train(model, TEXT.replace("75%", "175%"), ARRAYS, tmp_path / "run", epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_texts_of_rules_are_numbered():
    more = TEXT.replace("first", "second").replace("75%", "175%")
    with pytest.raises(RuleError, match=r"--> <text 2>:5:"):
        graphprune.read_rules(TEXT, more)


def test_a_model_file_is_loaded(model, tmp_path):
    file = open_model_file(_saved(model, tmp_path))
    assert load_model(file).name == "net"
