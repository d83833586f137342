"""The commands on Keras 3 files, on one backend: plan, apply, layers, prune, strip and verify."""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
from commands import run_command
from keras3.child import Cases
from keras3.models import Called, array, operations

import graphprune
from graphprune.archive.archive import keras_of
from graphprune.archive.keras3 import without_backend
from graphprune.archive.read import read_archive
from graphprune.nested import rebuild
from graphprune.serving.outputs import run_saved_model, sample_inputs
from graphprune.serving.running import try_run
from graphprune.serving.runtimes import RunnerSpec
from graphprune.shipped import shipped_file

CASES = Cases()
FOLDER = Path(tempfile.mkdtemp())
MODEL, PLAN = FOLDER / "model.keras", FOLDER / "plan.json"
RULES = "builtin:all-90"
HIDDEN = """
version: 1
schedules:
  ramp: {curve: polynomial, from: 0, begin: 0%, end: 100%, every: 1 steps}
rules:
  - id: hidden
    match: {name: {glob: "hidden.*"}}
    prune: {sparsity: 0.75, schedule: ramp}
"""


def command(*arguments, code=0):
    done = run_command(*arguments)
    assert done.code == code, (arguments, done)
    return done


def made():
    """Return a saved model and its inputs."""
    model, x = operations()
    model.compile(keras.optimizers.Adam(), "mse")  # Keras 3.3 and 3.4 write "adam" as it is
    model.save(MODEL)
    return model, x


def config_of(path):
    """Return the config in a file, without the addresses of objects that several layers share, and
    with optimizers of any backend.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    return rebuild(without_backend(config), without_address)


def without_address(entry):
    return {key: value for key, value in entry.items() if key != "shared_object_id"}


PLAIN = """
import sys, keras, numpy as np
x = np.load("x.npy")
for number, path in enumerate(sys.argv[1:]):
    model = keras.saving.load_model(path, compile=False)
    np.save(f"y{number}.npy", keras.ops.convert_to_numpy(model(x)))
assert not any(name.partition(".")[0] == "graphprune" for name in sys.modules)
"""


def outputs_in_plain_keras(x, *paths):
    """Return what the model in each file computes in one process without graphprune."""
    np.save(FOLDER / "x.npy", x)
    subprocess.run([sys.executable, "-c", PLAIN, *paths], check=True, cwd=FOLDER)
    return [np.load(FOLDER / f"y{number}.npy") for number in range(len(paths))]


@CASES
def a_model_is_planned_pruned_and_checked():
    made()
    command("plan", MODEL, "-r", RULES, "-o", PLAN, "--force")
    done = command("apply", MODEL, "--plan", PLAN, "-o", FOLDER / "wrapped.keras")
    assert "wrote" in done.out
    assert "everything: 90.0%" in command("layers", FOLDER / "wrapped.keras").out
    shown = command("diff", MODEL, FOLDER / "wrapped.keras").out
    assert "2 wrapped, 0 unwrapped" in shown
    wrapped = graphprune.load_model(FOLDER / "wrapped.keras")
    rules = {one.provenance.rule for one in graphprune.collect_prunable_layers(wrapped)}
    assert rules == {"everything"}

    done = command(
        "prune", MODEL, "--plan", PLAN, "-o", FOLDER / "sparse.keras", "--keep-optimizer"
    )
    assert done.out.splitlines()[0].split() == ["before", "sparse.keras"]
    checked = command("verify", FOLDER / "sparse.keras", "--plan", PLAN, "--detailed-exitcode")
    assert "As planned" in checked.out
    command("verify", MODEL, "--plan", PLAN, "--detailed-exitcode", code=2)
    sparse = graphprune.load_model(FOLDER / "sparse.keras")
    assert sparse.compiled
    assert not graphprune.collect_prunable_layers(sparse)
    assert config_of(FOLDER / "sparse.keras") == config_of(MODEL)


@CASES
def strip_gives_the_original_config_and_the_same_bytes_again():
    model, x = made()
    command("apply", MODEL, "-r", RULES, "-o", FOLDER / "once.keras")
    for name in ("one.keras", "two.keras"):
        done = command("strip", FOLDER / "once.keras", "-o", FOLDER / name)
        assert "its masks were never updated" in done.err
    assert (FOLDER / "one.keras").read_bytes() == (FOLDER / "two.keras").read_bytes()
    before, after = config_of(MODEL), config_of(FOLDER / "one.keras")
    assert before["config"] == after["config"]
    assert not after.get("compile_config")
    pruned = FOLDER / "pruned.keras"
    command("prune", MODEL, "-r", RULES, "-o", pruned, "--keep-optimizer")
    stripped, sparse = outputs_in_plain_keras(x, FOLDER / "one.keras", pruned)
    np.testing.assert_array_equal(array(model(x)), stripped)
    np.testing.assert_array_equal(array(graphprune.load_model(pruned)(x)), sparse)
    assert "graphprune" not in (FOLDER / "one.keras").read_bytes().decode("latin-1")


@CASES
def data_of_another_shape_is_refused_before_anything_is_written():
    made()
    data, out = FOLDER / "wrong.npz", FOLDER / "unwritten.keras"
    np.savez(data, x_train=np.zeros((4, 9), "f"), y_train=np.zeros((4, 4), "f"))
    done = command("strip", MODEL, "-o", out, "--data", data, code=1)
    name = keras.saving.load_model(MODEL).inputs[0].name
    assert done.err.splitlines()[-1] == (
        f"graphprune: {data}: x has shape (9,), the model's input {name} takes (8,); reshape the"
        " data to fit"
    )
    assert not out.exists()


@CASES
def models_are_exported_by_the_commands():
    _, x = made()
    names = ("out.tflite", "folder")
    outputs = [part for name in names for part in ("-o", FOLDER / name)]
    asked = ("prune", MODEL, "-r", RULES, "-o", FOLDER / "same.keras", *outputs)
    done = command(*asked)
    assert done.out.splitlines()[0].split() == ["before", "same.keras", *names]
    wanted = array(graphprune.load_model(FOLDER / "same.keras")(x))
    inputs = sample_inputs(FOLDER / "folder", lambda _: None)
    served = {name: x[:1].astype(value.dtype) for name, value in inputs.items()}
    for found in (
        run_saved_model(FOLDER / "folder", served),
        try_run(RunnerSpec.of_file(FOLDER / "out.tflite"), served),
    ):
        (values,) = found.values()
        np.testing.assert_allclose(values, wanted[:1], atol=1e-6)
    command("plan", MODEL, "-r", RULES, "-o", PLAN, "--force")
    checked = command("verify", FOLDER / "out.tflite", "--plan", PLAN).out
    assert "As planned: 2 tensors" in checked
    assert "not checked" not in checked


@CASES
def formats_that_cannot_be_written_are_refused_in_words():
    made()
    done = command(
        *("prune", MODEL, "-r", RULES, "--keras", "2", "-o", FOLDER / "other.tflite"), code=1
    )
    assert done.err == (
        f"graphprune: {FOLDER / 'other.tflite'}: only .keras and .h5 files are written for the"
        " other Keras; leave out --keras, and the model's own Keras writes it\n"
    )
    done = command("apply", MODEL, "-r", RULES, "-o", FOLDER / "wrapped.h5", code=1)
    assert "an .h5 file cannot hold the masks of a pruned Keras 3 model" in done.err
    assert not list(FOLDER.glob("*.h5"))


@CASES
def models_are_written_for_the_other_keras():
    path = Path(__file__).parents[2] / "fixtures" / "digits-cnn.keras"
    command("apply", path, "-r", RULES, "-o", FOLDER / "three.keras", "--keras", "3")
    pruned = graphprune.load_model(FOLDER / "three.keras")
    assert isinstance(pruned, keras.Model)
    assert len(graphprune.collect_prunable_layers(pruned)) == 4
    made()
    command("prune", MODEL, "-r", RULES, "-o", FOLDER / "two.keras", "--keras", "2", "--force")
    graph = graphprune.read_graph(FOLDER / "two.keras")
    assert [address for address in graph.layers if address in "abc"] == ["a", "b", "c"]
    assert config_of(FOLDER / "two.keras")["module"].startswith(("keras.src.engine", "tf_keras"))


@CASES
def a_subclassed_model_goes_the_whole_way():
    with np.load(shipped_file("fixtures/digits.npz")) as data:
        x, y = data["x_train"][:64].astype("float32"), data["y_train"][:64]
    np.savez(FOLDER / "few.npz", x_train=x, y_train=y)
    model = Called(name="called")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, verbose=0)
    model.save(FOLDER / "called.keras")
    rules = FOLDER / "hidden.yaml"
    rules.write_text(HIDDEN)
    own = ("--custom-objects", "keras3.models:Called")
    done = command("plan", FOLDER / "called.keras", "-r", rules)
    assert "Plan: 2 to wrap" in done.out
    assert "they come from the weights and are not connected" in done.out
    pruned, run = FOLDER / "called-pruned.keras", FOLDER / "called"
    command("apply", FOLDER / "called.keras", "-r", rules, "-o", pruned, *own)
    data = ("--data", FOLDER / "few.npz", "--epochs", 2, "--batch-size", 32)
    done = command("train", pruned, *data, "--run", run, *own)
    assert done.out.count("target met") == 2
    command("strip", run, "-o", FOLDER / "called-sparse.keras", *own)
    command("plan", FOLDER / "called.keras", "-r", rules, "-o", FOLDER / "called.json")
    checked = command("verify", FOLDER / "called-sparse.keras", "--plan", FOLDER / "called.json")
    assert "hidden.dense" in checked.out


@CASES
def a_model_is_trained_in_the_other_keras():
    run, model = FOLDER / "other", shipped_file("fixtures/digits-cnn.keras")
    data = ("--data", shipped_file("fixtures/digits.npz"), "--epochs", 1)
    short = ("--batch-size", 512, "--allow-missed")
    command("train", model, "-r", RULES, *data, *short, "--run", run, "--keras", 3)
    assert keras_of(read_archive(run / "original.keras")) == 3
    trained = graphprune.load_model(run / "model.keras")
    assert len(graphprune.collect_prunable_layers(trained)) == 4


if __name__ == "__main__":
    CASES.run()
