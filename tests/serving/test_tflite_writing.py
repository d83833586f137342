"""The form of a TensorFlow Lite file: the best that loads, computes the same and keeps zeros."""

from pathlib import Path

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from graphprune.archive.tflite.file import TfliteFile
from graphprune.cli.stripped_files import explain_slower
from graphprune.errors import OutputError
from graphprune.serving import tflite_writing
from graphprune.serving.kept_zeros import find_lost_zeros, zeros_of
from graphprune.serving.predicting import open_predictor
from graphprune.serving.tflite_forms import Precision, TfliteForm, TfliteRequest
from graphprune.serving.timing import Spread, Timing
from graphprune.tf.models.export import to_tflite, write_model

pytestmark = pytest.mark.tf
RANDOM = np.random.default_rng(0)


def prune_in_blocks_of_four(kernel):
    rows, columns = kernel.shape
    kept = RANDOM.random((rows // 4, 1, columns)) < 0.1
    kernel.assign(
        np.where(kept, kernel.numpy().reshape(rows // 4, 4, columns), 0).reshape(rows, -1)
    )


@pytest.fixture(scope="module")
def model():
    tf_keras.utils.set_random_seed(1)
    first, second = layers.Dense(96, activation="relu"), layers.Dense(96, activation="relu")
    made = tf_keras.Sequential([layers.Input((64,), name="x"), first, second, layers.Dense(4)])
    for layer in (first, second):
        prune_in_blocks_of_four(layer.kernel)
    return made


SAMPLES = {"x": RANDOM.normal(size=(40, 64)).astype("float32")}


def forms(made):
    return str(made.form), [str(rejected.form) for rejected in made.rejected]


def test_every_precision_computes_what_the_model_does_and_keeps_its_zeros(model, tmp_path):
    wanted = model(SAMPLES["x"]).numpy()
    weights = [weight.numpy() for weight in model.weights]
    sizes = {}
    for precision, limit in zip(Precision, (1e-4, 1e-2, 0.1, 0.1), strict=True):
        path = tmp_path / f"{precision}.tflite"
        made = write_model(model, path, TfliteRequest(precision, samples=SAMPLES))
        assert path.read_bytes() == made.content
        assert made.form.precision is precision, made.rejected
        with open_predictor(path) as compute:
            found = compute(SAMPLES)
        assert {name: values.dtype.name for name, values in found.items()} == {
            model.output_names[0]: "float32"
        }
        assert np.abs(found[model.output_names[0]] - wanted).max() < limit * np.abs(wanted).max()
        zeros = zeros_of(TfliteFile(made.content))
        assert find_lost_zeros(weights, zeros, zeros) is None
        assert sum(int(each.sum()) for flags in zeros.values() for each in flags) >= sum(
            int((values == 0).sum()) for values in weights if values.ndim > 1
        )
        sizes[precision] = len(made.content)
        if precision is Precision.FLOAT32:
            assert made.form.is_sparse
            assert not made.rejected
            assert len(made.content) < sum(values.nbytes for values in weights) / 3
    assert sizes[Precision.INT8] < sizes[Precision.FLOAT16]


@pytest.mark.parametrize(
    ("works", "expected"),
    [
        (lambda form: not form.is_sparse, ("float16", ["float16, sparse"])),
        (
            lambda form: form.precision is Precision.FLOAT32,
            ("float32, sparse", ["float16, sparse", "float16"]),
        ),
        (
            lambda form: form == TfliteForm(Precision.FLOAT32),
            ("float32", ["float16, sparse", "float16", "float32, sparse"]),
        ),
    ],
)
def test_what_does_not_work_falls_back_to_the_next_best_form(model, monkeypatch, works, expected):
    tried = iter(tflite_writing.forms_of(Precision.FLOAT16))
    monkeypatch.setattr(
        tflite_writing, "prove", lambda *given: None if works(next(tried)) else "it crashes"
    )
    made = to_tflite(model, TfliteRequest(Precision.FLOAT16))
    assert forms(made) == expected
    assert {rejected.reason for rejected in made.rejected} == {"it crashes"}


def test_a_form_that_gives_the_mean_of_a_large_output_alone_is_not_served():
    x = RANDOM.normal(size=(60, 16)).astype("float32")
    year = layers.Dense(1, bias_initializer=tf_keras.initializers.Constant(2000), name="year")
    model = tf_keras.Sequential([layers.Input((16,), name="x"), year])
    made = to_tflite(model, TfliteRequest(Precision.INT8, samples={"x": x}))
    assert forms(made) == ("dynamic", ["int8"])
    assert made.rejected[0].reason == (
        "the output 'year' differs from the model's by as much as it does from one sample to"
        " another"
    )
    year.bias.assign([2])
    assert forms(to_tflite(model, TfliteRequest(Precision.INT8, samples={"x": x}))) == ("int8", [])


@pytest.mark.parametrize("batch", [None, 3, 1, 20])
def test_a_file_is_checked_with_several_samples_of_any_batch_size(model, monkeypatch, batch):
    seen = []
    right = tflite_writing.prove
    monkeypatch.setattr(
        tflite_writing, "prove", lambda *given: seen.append(given[1:3]) or right(*given)
    )
    for samples in (None, SAMPLES):
        to_tflite(model, TfliteRequest(batch=batch, samples=samples))
        batches, wanted = seen[-1]
        rows = {None: (4, 4), 3: (5, 3), 1: (16, 1), 20: (1, 20)}[batch]
        assert (len(batches), len(batches[0]["x"])) == rows
        assert len(np.unique(wanted[model.output_names[0]], axis=0)) == rows[0] * rows[1]


def test_a_model_of_which_no_form_works_is_not_written(model, monkeypatch, tmp_path):
    monkeypatch.setattr(tflite_writing, "prove", lambda *given: "the output 'y' differs")
    with pytest.raises(OutputError) as caught:
        write_model(model, tmp_path / "net.tflite")
    assert str(caught.value) == (
        f"{tmp_path}/net.tflite: not written: in the TensorFlow Lite form, the output 'y' differs;"
        " save it as .keras"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_form_that_loses_zeros_is_not_served(model, monkeypatch):
    lost = iter(["3 zeros are lost", None])
    monkeypatch.setattr(tflite_writing, "prove", lambda *given: None)
    monkeypatch.setattr(tflite_writing, "find_lost_zeros", lambda *given: next(lost))
    made = to_tflite(model)
    assert (forms(made), made.rejected[0].reason) == (
        ("float32", ["float32, sparse"]),
        "3 zeros are lost",
    )


def test_a_sparse_form_that_is_slower_is_served_and_says_so(model, monkeypatch):
    ratios = iter([Spread(1.52, 1.4, 1.6), Spread(1.52, 0.9, 1.6), Spread(1.05, 1.01, 1.1)])
    compared = []

    def time_in_turns(runners, turns):
        compared.append([runner.spec.path.stem for runner in runners])
        assert all(runner.time(1)[0] > 0 for runner in runners)
        same = Spread(1.0, 1.0, 1.0)
        return [Timing(same, same, turns), Timing(same, next(ratios), turns)]

    monkeypatch.setattr(tflite_writing, "time_in_turns", time_in_turns)
    made = [to_tflite(model) for _ in range(3)]
    assert [forms(each) for each in made] == [("float32, sparse", [])] * 3
    assert [each.slower for each in made] == [1.52, None, None]
    assert compared == [["dense", "sparse"]] * 3
    assert made[0].saved > len(made[0].content)
    assert explain_slower(Path("net.tflite"), 1.52, 786_000) == (
        "net.tflite: is 786.0 kB smaller without its zeros, and takes 1.5 times as long here as"
        " with them; prune in blocks that LiteRT skips (graphprune targets), or measure on the"
        " device with graphprune bench"
    )


def test_a_model_without_zeros_is_not_converted_twice(monkeypatch):
    converted = []
    right = tflite_writing.saved_model_to_tflite
    monkeypatch.setattr(
        tflite_writing,
        "saved_model_to_tflite",
        lambda folder, form, *rest: converted.append(str(form)) or right(folder, form, *rest),
    )
    model = tf_keras.Sequential([layers.Input((8,)), layers.Dense(8)])
    assert forms(to_tflite(model)) == ("float32", [])
    assert converted == ["float32"]


def test_a_recurrent_model_has_the_batch_size_that_was_asked_for(tmp_path):
    words = layers.Input((5, 3), name="words")
    hidden = layers.GRU(4, name="hidden")(words)
    outputs = [layers.Dense(2, name="first")(hidden), layers.Dense(3, name="second")(hidden)]
    model = tf_keras.Model(words, outputs)
    x = RANDOM.normal(size=(7, 5, 3)).astype("float32")
    for batch in (None, 3):
        path = tmp_path / f"{batch}.tflite"
        write_model(model, path, TfliteRequest(batch=batch))
        given = next(each for each in TfliteFile(path.read_bytes()).tensors if "words" in each.name)
        assert given.shape == (batch or 1, 5, 3)
        with open_predictor(path) as compute:
            found = compute({"words": x})
        assert set(found) == {"first", "second"}
        for name, wanted in zip(("first", "second"), model(x), strict=True):
            np.testing.assert_allclose(found[name], wanted, atol=1e-5)


@pytest.mark.slow
def test_a_conversion_that_crashes_falls_back_with_the_signal_named():
    model = tf_keras.Sequential([layers.Input((6, 16), name="x"), layers.LSTM(32)])
    samples = {"x": RANDOM.normal(size=(8, 6, 16)).astype("float32")}
    made = to_tflite(model, TfliteRequest(Precision.INT8, samples=samples))
    assert (forms(made), made.slower) == (("dynamic", ["int8"]), None)
    assert "the converter crashes while it measures activations (SIGSEGV)" in (
        made.rejected[0].reason
    )
