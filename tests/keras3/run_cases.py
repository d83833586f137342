"""Training runs of Keras 3 models on one backend: resumed bit for bit, refused in words."""

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from commands import run_command
from keras import layers
from keras3.child import Cases, refusal
from keras3.models import VERSION, array, assert_same
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.util import tensor_util

import graphprune
from graphprune import PolynomialDecay, prune_scope, resume, train
from graphprune.errors import CheckpointError, DataError, RuleError, TrainingError
from graphprune.keras3.training.recorder import Recorder
from graphprune.runs.records import read_record, write_record

CASES = Cases()
HAD_TF_KERAS = "tf_keras" in sys.modules
FOLDER = Path(tempfile.mkdtemp())
SAMPLES, STEPS, EPOCHS = 22, 3, 2
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(SAMPLES, 6)).astype("float32")
Y = RANDOM.integers(0, 3, size=SAMPLES)
DATA = ((X, Y), (X[:9], Y[:9]))
RULES = """
version: 1
schedules:
  ramp: {curve: polynomial, from: 0, begin: 0%, end: 100%, every: 2 steps}
rules:
  - id: dense
    match: {type: Dense}
    prune: {sparsity: 0.75, schedule: ramp}
"""


def net(dropout=0.3):
    inputs = keras.Input((6,), name="x")
    x = layers.Dense(12, activation="relu", name="a")(inputs)
    x = layers.BatchNormalization(name="norm")(layers.Dropout(dropout, name="drop")(x))
    return keras.Model(inputs, layers.Dense(3, name="b", dtype="float32")(x), name="net")


def stateful():
    inputs = keras.Input(batch_shape=(1, 4, 2), name="x")
    x = layers.LSTM(4, stateful=True, name="memory")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="b")(x), name="stateful")


def compiled(optimizer="adam", build=net):
    keras.utils.set_random_seed(8)
    model = build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def pruned(optimizer="adam", build=net):
    schedule = PolynomialDecay(0.1, 0.75, 0, 5, frequency=2)
    return graphprune.prune_low_magnitude(compiled(optimizer, build), schedule)


def run(name, model, data=DATA, rules=None, **options):
    settings = {"epochs": EPOCHS, "checkpoint_every": "2 steps", "seed": 3}
    if isinstance(data, tuple) and isinstance(data[0], tuple | np.ndarray):
        settings["batch_size"] = 8
    return train(model, rules, data, FOLDER / name, **{**settings, **options})


def load(path):
    with prune_scope():
        return keras.models.load_model(path)


def state(path):
    """All that a run leaves in the model's file."""
    model = load(path)
    held_layers = graphprune.collect_prunable_layers(model)
    masks = [tensor.read_mask() for held in held_layers for tensor in held.tensors]
    steps = [np.array([held.read_step(), held.read_last_update()]) for held in held_layers]
    own = [one for one in model.optimizer.variables if "graphprune" not in one.name]
    seeds = [one.state for layer in model._flatten_layers() for one in layer._seed_generators]
    return [*(array(one) for one in (*model.variables, *own, *seeds)), *masks, *steps]


def lines(name):
    return (FOLDER / name / "metrics.jsonl").read_text()


def check_resumes(name, make, data=lambda: DATA, stops=range(1, STEPS * EPOCHS + 1), **options):
    """Hold a run that is stopped after some of its steps against one that is not stopped."""
    whole = run(f"{name}-whole", make(), data(), **options)
    assert whole.status == "finished"
    assert not whole.missed
    for step in stops:
        folder = f"{name}-{step}"
        stopped = run(folder, make(), data(), stop_after_step=step, **options)
        assert (stopped.status, stopped.step) == ("interrupted", step)
        keras.utils.set_random_seed(70 + step)
        result = resume(FOLDER / folder, data=data())
        assert (result.status, result.step) == ("finished", whole.step)
        assert_same(state(whole.model), state(result.model))
        assert lines(folder) == lines(f"{name}-whole")
    return whole


@CASES.slowly
def a_run_stopped_at_each_step_goes_on():
    check_resumes("each", pruned, checkpoint_every="1 steps")


def with_schedule():
    rates = keras.optimizers.schedules.ExponentialDecay(0.05, 4, 0.9)
    return compiled(keras.optimizers.SGD(rates, momentum=0.9))


@functools.cache
def whole():
    """A run that is not stopped, with rules, dropout, validation and a learning rate schedule."""
    return run("whole", with_schedule(), rules=RULES)


def check_like_whole(name, result):
    assert (result.status, result.step) == ("finished", STEPS * EPOCHS)
    assert_same(state(whole().model), state(result.model))
    assert lines(name) == lines("whole")


@CASES
def a_run_stopped_inside_of_an_epoch_goes_on():
    stopped = run("inside", with_schedule(), rules=RULES, stop_after_step=5)
    assert (stopped.status, stopped.step) == ("interrupted", 5)
    keras.utils.set_random_seed(70)
    result = resume(FOLDER / "inside", data=DATA)
    assert result.resumed_from == FOLDER / "inside" / "checkpoints" / "step-00000004"
    check_like_whole("inside", result)
    last = json.loads(lines("whole").splitlines()[-1])
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(last)
    assert last["sparsity"] == 0.75
    for held in graphprune.collect_prunable_layers(load(result.model)):
        for tensor in held.tensors:
            assert not tensor.read()[~tensor.read_mask()].any()
    assert resume(FOLDER / "inside", data=DATA).status == "already-finished"
    assert ("tf_keras" in sys.modules) == HAD_TF_KERAS


@CASES.fast_on("jax")
def a_run_stopped_in_its_validation_goes_on():
    stop, theirs = graphprune.StopRequest(), Recorder.on_test_batch_end

    def ask_first(self, batch, logs=None):
        stop.ask()
        theirs(self, batch, logs)

    Recorder.on_test_batch_end = ask_first
    try:
        stopped = run("asked", with_schedule(), rules=RULES, stop=stop)
    finally:
        Recorder.on_test_batch_end = theirs
    assert (stopped.status, stopped.step) == ("interrupted", STEPS)
    check_like_whole("asked", resume(FOLDER / "asked", data=DATA))


@CASES.fast_on("jax")
def another_backend_is_refused():
    own = keras.config.backend()
    run("elsewhere", with_schedule(), rules=RULES, stop_after_step=1)
    path = FOLDER / "elsewhere" / "run.json"
    config = read_record(path).config
    assert (config["keras"], config["backend"]) == (3, own)
    state_file = FOLDER / "elsewhere" / "checkpoints" / "step-00000000" / "state.json"
    assert set(read_record(state_file).config["versions"]) == {"graphprune", "keras", own}
    write_record(path, {**config, "backend": "other"})
    assert refusal(lambda: resume(FOLDER / "elsewhere", data=DATA), CheckpointError) == (
        f"{FOLDER}/elsewhere: began on the other backend of Keras, and Keras uses {own} in this"
        " process; resume with KERAS_BACKEND=other in the environment"
    )


def scaled():
    """Return a pruned model with a scale of the loss that is too large for its first updates."""
    adam = keras.optimizers.Adam(0.01)
    return pruned(keras.optimizers.LossScaleOptimizer(adam, initial_scale=2.0**18))


@CASES.slowly
def mixed_precision_goes_on():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        whole = check_resumes("mixed", scaled, stops=(1, 4), checkpoint_every="1 steps")
        model = load(whole.model)
        made = int(array(model.optimizer.inner_optimizer.iterations))
        assert 0 < made < STEPS * EPOCHS, "some updates were skipped"
        steps = {held.read_step() for held in graphprune.collect_prunable_layers(model)}
        assert steps == {STEPS * EPOCHS}
    finally:
        keras.config.set_dtype_policy("float32")


@CASES.slowly
def averages_and_hidden_state_of_optimizers_go_on():
    for optimizer in (
        lambda: keras.optimizers.AdamW(0.01, use_ema=True, ema_overwrite_frequency=2),
        lambda: keras.optimizers.Nadam(0.01),
    ):
        name = optimizer().name
        check_resumes(name, lambda make=optimizer: pruned(make()), stops=(2, 4))


@CASES.slowly
def states_of_recurrent_layers_go_on():
    x = RANDOM.normal(size=(6, 4, 2)).astype("float32")
    data = ((x, Y[:6]), (x[:2], Y[:2]))
    if keras.config.backend() == "torch":
        make = functools.partial(run, "stateful", pruned(build=stateful), data, batch_size=1)
        text = refusal(make, TrainingError)
        assert "layer 'memory' is stateful, and Keras cannot train it on PyTorch" in text, text
        return
    check_resumes(
        "stateful",
        lambda: pruned(build=stateful),
        lambda: data,
        stops=(2, 6, 8),
        batch_size=1,
        epochs=2,
    )


class Shuffled(keras.utils.PyDataset):
    """Batches that a seed of their own shuffles after each pass."""

    def __init__(self, fails_at=None):
        super().__init__()
        self._random, self._fails_at, self._calls = np.random.default_rng(2), fails_at, 0
        self._order = np.arange(18)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self._calls += 1
        if self._calls == self._fails_at:
            raise RuntimeError("the disk is on fire")
        taken = self._order[6 * index : 6 * index + 6]
        return X[taken], Y[taken], np.full(6, 0.5, "float32")

    def on_epoch_end(self):
        self._random.shuffle(self._order)


@CASES.slowly
def batches_of_a_dataset_with_numbers_go_on():
    check_resumes("numbered", pruned, lambda: (Shuffled(), Shuffled()), stops=(4,))
    assert lines("numbered-4").count("val_loss") == EPOCHS


@CASES.slowly
def datasets_of_tensorflow_go_on():
    import tensorflow as tf

    def data():
        tf.random.set_seed(1)  # the order also depends on it
        rows = tf.data.Dataset.from_tensor_slices((X, Y))
        return rows.shuffle(22, seed=5).batch(8), rows.batch(9)

    check_resumes("stream", pruned, data, stops=(2, 3, 4))


@CASES.fast_on("jax")
def what_cannot_be_trained_is_refused():
    model = compiled()
    cases = {
        "no optimizer is called 'adm'; closest: 'adam', ": {"optimizer": "adm"},
        "no loss is called 'poison'; closest: 'poisson'": {"loss": "poison"},
        "no metric is called 'acuracy'; closest: 'accuracy', ": {"metrics": ["acuracy"]},
    }
    for text, options in cases.items():
        found = refusal(lambda o=options: run("refused", model, rules=RULES, **o), TrainingError)
        assert found.startswith(text), found
    text = refusal(lambda: run("refused", model, rules=RULES, strategy="mirrored:2"), TrainingError)
    assert text.startswith("strategy: runs of Keras 3 models train on one device, got 'mirrored:2'")
    wide = (X[:, :5], Y)
    assert refusal(lambda: run("refused", model, wide, RULES), DataError) == (
        "data: x has shape (5,), the model's input x takes (6,); reshape the data to fit"
    )
    beyond = (X, Y + 1)
    text = refusal(lambda: run("refused", model, beyond, RULES), DataError)
    assert "y_train holds 3" in text
    late = refusal(
        lambda: run("refused", model, rules=RULES.replace("end: 100%", "end: 90 steps")), RuleError
    )
    assert "the schedule ends at 90 steps, the run is 2 epochs (6 steps)" in late, late
    text = refusal(lambda: run("refused", model, [X], RULES), TypeError)
    assert "a keras.utils.PyDataset" in text
    twice = compiled(keras.optimizers.Adam(gradient_accumulation_steps=2))
    text = refusal(lambda: run("refused", twice, rules=RULES), TrainingError)
    assert text.startswith("net: its optimizer accumulates the gradients of 2 batches")
    model.compile("adam", None)
    text = refusal(lambda: run("refused", model, rules=RULES), TrainingError)
    assert "has no compile settings; compile the model before it is saved" in text
    assert not (FOLDER / "refused").exists()


def blocked(place):
    """Return a model that passes no gradient on, before its last layer or after it."""
    inputs = keras.Input((6,), name="x")
    x = layers.Dense(12, activation="relu", name="a")(inputs)
    x = keras.ops.stop_gradient(x) if place == "before" else x
    x = layers.Dense(3, name="b")(x)
    return keras.Model(inputs, keras.ops.stop_gradient(x) if place == "after" else x, name="net")


if VERSION > (3, 5):  # before, stop_gradient is no operation of models

    @CASES
    def layers_without_a_gradient_reach_their_targets():
        model = compiled(build=lambda: blocked("before"))
        kernel = array(model.get_layer("a").kernel)
        result = run("without", model, rules=RULES)
        assert (result.status, result.missed, result.standing_still) == ("finished", (), ())
        trained = array(load(result.model).get_layer("a").kernel)
        np.testing.assert_array_equal(trained, np.where(trained == 0, 0, kernel))
        assert np.count_nonzero(trained) == kernel.size / 4

    @CASES
    def a_loss_without_gradients_is_refused():
        if keras.config.backend() != "tensorflow":
            return  # other backends have gradients of zeros, or fail
        model = compiled(build=lambda: blocked("after"))
        assert refusal(lambda: run("no-gradient", model, rules=RULES), TrainingError) == (
            "net: no weight gets a gradient from the loss, so nothing can be trained; change the"
            " model or the loss"
        )
        assert not (FOLDER / "no-gradient").exists()


if keras.config.backend() == "torch":

    @CASES
    def executions_of_several_steps_are_refused():
        text = refusal(
            lambda: run("steps", compiled(), rules=RULES, steps_per_execution=3), TrainingError
        )
        assert text.endswith(
            ": steps per execution must be 1 on PyTorch, got 3; leave the setting out"
        )


@CASES.slowly
def data_that_fails_ends_a_run_that_goes_on():
    text = refusal(
        lambda: run("failing", pruned(), Shuffled(fails_at=7), checkpoint_every="1 steps"),
        DataError,
    )
    assert text.startswith("data: failed after step "), text
    assert "the disk is on fire" in text
    assert "run_cases.py:" in text
    assert resume(FOLDER / "failing", data=Shuffled()).status == "finished"


def points(name):
    """The points of the curves of a run: value by file, tag and step."""
    loader = event_file_loader.EventFileLoader
    found = {}
    for path in sorted((FOLDER / name / "tensorboard").glob("*/events*")):
        for event in loader(str(path)).Load():
            for value in event.summary.value:
                key = (path.parent.name, value.tag, event.step)
                assert key not in found, key
                found[key] = float(tensor_util.make_ndarray(value.tensor))
    return found


@CASES.slowly
def events_go_on_without_a_point_written_twice():
    asked = {"rules": RULES, "tensorboard": "tensorboard", "checkpoint_every": "3 steps"}
    run("events-whole", with_schedule(), **asked)
    run("events", with_schedule(), **asked, stop_after_step=5)
    resume(FOLDER / "events", data=DATA)
    whole_points = points("events-whole")
    assert {tag for _, tag, _ in whole_points} >= {"epoch_loss", "sparsity/a/kernel"}
    assert points("events") == whole_points


@CASES.fast_on("tensorflow")
def commands_train_a_file_and_go_on():
    source, data, rules = FOLDER / "net.keras", FOLDER / "d.npz", FOLDER / "rules.yaml"
    with_schedule().save(source)
    np.savez(data, x_train=X, y_train=Y, x_test=X[:9], y_test=Y[:9])
    rules.write_text(RULES)
    begun = run_command(
        *("train", source, "--data", data, "-r", rules, "--run", FOLDER / "cli"),
        *("--batch-size", 8, "--epochs", EPOCHS, "--seed", 3, "--checkpoint-every", "2 steps"),
        *("--stop-after", 5),
    )
    assert begun.code == 0, begun.err
    gone_on = run_command("resume", FOLDER / "cli")
    assert gone_on.code == 0, gone_on.err
    assert "step-00000004" in gone_on.out
    assert_same(state(whole().model), state(FOLDER / "cli" / "model.keras"))
    stripped = run_command("strip", FOLDER / "cli", "-o", FOLDER / "sparse.keras")
    assert stripped.code == 0, stripped.err
    weights = keras.models.load_model(FOLDER / "sparse.keras").get_layer("a").kernel
    assert (array(weights) == 0).sum() == 54
    rules.write_text(RULES.replace("end: 100%", "end: 9 steps"))
    missed = run_command(
        *("train", source, "--data", data, "-r", rules, "--run", FOLDER / "short"),
        *("--batch-size", 8, "--epochs", 1, "--allow-missed"),
    )
    assert missed.code == 3, missed.err


@CASES.slowly
def a_killed_process_goes_on():
    source, data = FOLDER / "killed.keras", FOLDER / "k.npz"
    pruned().save(source)
    np.savez(data, x_train=X, y_train=Y)
    asked = {"batch_size": 8, "epochs": 20}
    whole = train(source, None, str(data), FOLDER / "killed-whole", **asked)
    words = ("train", source, "--data", data, "--run", FOLDER / "killed", "--batch-size", 8)
    options = ("--epochs", 20, "--checkpoint-every", "1 steps")
    begun = subprocess.Popen(
        [sys.executable, "-m", "graphprune", *map(str, (*words, *options))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(3):
        assert begun.stdout.readline()  # the line of an epoch
    os.kill(begun.pid, signal.SIGKILL)
    begun.stdout.close()
    assert begun.wait() == -signal.SIGKILL
    result = resume(FOLDER / "killed")
    assert result.resumed_from is not None
    assert_same(state(whole.model), state(result.model))
    assert lines("killed") == lines("killed-whole")


if __name__ == "__main__":
    CASES.run()
