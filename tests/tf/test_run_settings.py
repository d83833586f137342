"""The settings of `train` in tf_keras: each does what it says, and an interrupted run goes on as if
nothing had happened.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from commands import run_command
from named_metrics import check_names_of_metrics
from run_builders import assert_same_bits, ramp, wrap
from tf_keras import layers

from graphprune.errors import CheckpointError, DataError, TrainingError
from graphprune.runs.run_file import read_run_file
from graphprune.runs.run_options import Compiling
from graphprune.tf.models.loading import load_model
from graphprune.tf.training.compiling import compile_model
from graphprune.training import resume, train

pytestmark = pytest.mark.tf

OWN = """
import numpy as np
import tensorflow as tf
import tf_keras


def squared(y_true, y_pred):
    return tf.reduce_mean(tf.square(tf.cast(y_true, y_pred.dtype) - y_pred), axis=-1)


class Counting(tf_keras.callbacks.Callback):
    seen = []

    def __init__(self):
        super().__init__()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1

    def on_epoch_end(self, epoch, logs=None):
        Counting.seen.append((epoch, self.steps))

    def get_state(self):
        return {"steps": np.array(self.steps)}

    def set_state(self, state):
        self.steps = int(state["steps"])


def counting():
    return [Counting()]


def nothing():
    return 3


class Failing(tf_keras.callbacks.Callback):
    fails = True

    def on_train_batch_end(self, batch, logs=None):
        if Failing.fails and int(self.model.optimizer.iterations) == 7:
            raise ValueError("seven")


def failing():
    return Failing()


def talking():
    print("made")
    return tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print("mine", epoch))


def wrong(y_true, y_pred):
    raise ValueError("wrong")


def plateau():
    return tf_keras.callbacks.ReduceLROnPlateau()


def scheduler():
    return tf_keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)
"""
FAILED = (
    "own_settings:failing: the callback Failing failed after step 6 at own_settings.py:{line} with"
    " ValueError: seven; go on with graphprune resume failing, which starts at step 6"
)
CURVE = {"curve": "cosine", "from": 0.01, "to": 0.001, "warm_up": "2 steps"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a model of two outputs, its data, and a module of the user's."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "own_settings.py").write_text(OWN)
    tf_keras.utils.set_random_seed(5)
    inputs = layers.Input((6,), name="x")
    hidden = layers.Dense(8, activation="relu", name="fc")(inputs)
    outputs = [
        layers.Dense(3, activation="softmax", name="kind")(hidden),
        layers.Dense(1, name="size")(hidden),
    ]
    two = tf_keras.Model(inputs, outputs, name="two")
    wrap(two, fc=ramp()).save(folder / "two.keras")
    one = tf_keras.Model(inputs, outputs[0], name="one")
    one.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    wrap(one, fc=ramp()).save(folder / "one.keras")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(32, 6)).astype("float32")
    y = rng.integers(0, 3, 32)
    np.savez(folder / "d.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    return folder


@pytest.fixture(autouse=True)
def in_place(place, monkeypatch):
    monkeypatch.chdir(place)
    yield
    sys.modules.pop("own_settings", None)


OPTIONS = {"epochs": 3, "batch_size": 8, "checkpoint_every": "2 steps", "seed": 3}


def twice(name, stop, model="one.keras", **options):
    """Return the results of a run and of one that is stopped and resumed, after a comparison."""
    options = {**OPTIONS, **options}
    whole = train(model, None, "d.npz", f"{name}-whole", **options)
    stopped = train(model, None, "d.npz", name, stop_after_step=stop, **options)
    assert (stopped.status, stopped.model) == ("interrupted", None)
    result = resume(name, callbacks=options.get("callbacks_again", ()))
    assert_same_bits(whole.model, result.model)
    lines = [Path(one, "metrics.jsonl").read_text() for one in (name, f"{name}-whole")]
    assert lines[0] == lines[1]
    assert (result.step, result.stopped_early) == (whole.step, whole.stopped_early)
    return whole


def test_settings_of_the_optimizer_a_curve_and_own_objects_resume_exactly(place):
    whole = twice(
        "many",
        7,
        optimizer={"name": "adamw", "weight_decay": 0.01},
        learning_rate=CURVE,
        loss="own_settings:squared",
        metrics=["own_settings:squared", "mae"],
        class_weight={0: 1.0, 1: 3.0, 2: 0.5},
        callbacks=["own_settings:counting"],
        steps_per_execution=2,
        jit_compile=False,
    )
    from own_settings import Counting

    # whole, then stopped at step 8 in epoch 1, then resumed from the checkpoint of step 6
    assert Counting.seen == [(0, 2), (1, 4), (2, 6), (0, 2), (1, 4), (2, 6)]
    model = load_model(whole.model, custom_objects={"squared": sys.modules["own_settings"].squared})
    rate = model.optimizer.get_config()["learning_rate"]["config"]
    assert (rate["warmup_target"], rate["warmup_steps"], rate["decay_steps"]) == (0.01, 2, 10)
    assert model.optimizer.weight_decay == 0.01
    settings = read_run_file("many-whole/run.yaml", {})
    assert settings["train.learning_rate"]["warm_up"] == "2 steps"
    assert settings["train.class_weight"] == {0: 1.0, 1: 3.0, 2: 0.5}
    assert settings["train.callbacks"] == ["own_settings:counting"]
    assert settings["train.optimizer"] == {"name": "adamw", "weight_decay": 0.01}
    assert settings["on.jit_compile"] is False


def test_a_run_of_compiled_steps_with_a_step_curve_resumes_exactly(place):
    curve = {"curve": "step", "from": 0.01, "at": {"50%": 0.001}, "warm_up": "2 steps"}
    whole = twice("stairs", 5, learning_rate=curve, optimizer="adam", jit_compile=True)
    model = load_model(whole.model)
    rates = [float(model.optimizer._learning_rate(step)) for step in (0, 2, 5, 6, 11)]
    assert rates == pytest.approx([0.01 / 2, 0.01, 0.01, 0.001, 0.001], rel=1e-5)
    for asked, found in ((True, True), ("auto", None), (False, False)):
        compile_model(model, Compiling(jit_compile=asked), "stairs")
        assert model.jit_compile is found


def test_a_share_of_the_samples_is_split_off_for_validation(place):
    with np.load("d.npz") as found:
        x, y = found["x_train"], found["y_train"]
    np.savez("train-only.npz", x_train=x, y_train=y)
    options = {**OPTIONS, "epochs": 2}
    split = train("one.keras", None, "train-only.npz", "split", validation_split=0.25, **options)
    given = train("one.keras", None, ((x[:24], y[:24]), (x[24:], y[24:])), "given", **options)
    assert_same_bits(split.model, given.model)
    assert split.metrics == given.metrics
    stopped = train(
        "one.keras",
        None,
        "train-only.npz",
        "split-again",
        validation_split=0.25,
        stop_after_step=4,
        **options,
    )
    assert (stopped.step, stopped.steps) == (4, 6)
    assert_same_bits(split.model, resume("split-again").model)
    with pytest.raises(DataError, match="has validation samples already"):
        train("one.keras", None, "d.npz", "never", validation_split=0.25, **options)


def test_early_stopping_begins_at_the_end_of_the_schedule_and_is_part_of_checkpoints(place):
    # two steps in an epoch, the schedule ends with epoch 2, and epoch 3 is the
    # first that is trained with the last masks
    options = {"learning_rate": 1e-9, "optimizer": "sgd", "epochs": 12, "batch_size": 16}
    whole = twice("early", 7, early_stopping="loss:2", checkpoint_every="1 steps", **options)
    assert whole.stopped_early.startswith(
        "stopped early after epoch 5 of 12: loss has not improved"
    )
    assert (whole.step, whole.missed) == (10, ())
    lines = Path("early/metrics.jsonl").read_text().splitlines()
    sparsity = [json.loads(line)["sparsity"] for line in lines]
    assert sparsity == [sparsity[0], 0.75, 0.75, 0.75, 0.75]
    assert sparsity[0] < 0.75
    again = resume("early")
    assert (again.status, again.step) == ("already-finished", whole.step)
    (place / "early" / "result.json").unlink()
    result = resume("early")
    assert (result.status, result.step, result.stopped_early) == (
        "finished",
        whole.step,
        whole.stopped_early,
    )


def test_early_stopping_that_can_never_act_is_told(place):
    options = {**OPTIONS, "epochs": 2, "early_stopping": "loss:1"}
    with pytest.warns(UserWarning, match="end of the schedules, step 8, and the run has 8 steps"):
        train("one.keras", None, "d.npz", "pointless", **options)


def test_losses_and_metrics_by_output_and_the_original_measured_first(place):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(24, 6)).astype("float32")
    y = (rng.integers(0, 3, 24), rng.normal(size=24).astype("float32"))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    result = train(
        "two.keras",
        None,
        (data, data),
        "outputs",
        epochs=2,
        optimizer=tf_keras.optimizers.legacy.SGD(0.0),
        loss={"kind": "sparse_categorical_crossentropy", "size": "mse"},
        metrics={"kind": ["accuracy"], "size": ["mae"]},
        callbacks=[tf_keras.callbacks.LambdaCallback()],
        allow_missed=True,
    )
    assert {"kind_loss", "size_loss", "kind_accuracy", "size_mae"} <= set(result.original_metrics)
    assert (
        "Given in Python, and not here: optimizer, callbacks"
        in Path("outputs/run.yaml").read_text()
    )
    (place / "outputs" / "result.json").unlink()
    with pytest.raises(CheckpointError, match="began with 1 callbacks given in Python, got 0"):
        resume("outputs", data=(data, data))
    again = resume("outputs", data=(data, data), callbacks=[tf_keras.callbacks.LambdaCallback()])
    assert again.original_metrics == result.original_metrics


def test_a_class_without_a_weight_has_one(place):
    """tf_keras itself takes no gaps, and fails on labels of classes beyond the last."""
    written = []
    for number, weights in enumerate(({1: 3.0}, {0: 1.0, 1: 3.0, 2: 1.0}, {0: 1.0, 1: 3.0})):
        options = {**OPTIONS, "epochs": 2, "class_weight": weights}
        written.append(train("one.keras", None, "d.npz", f"weights-{number}", **options).model)
    for other in written[1:]:
        assert_same_bits(written[0], other)


def test_class_weights_that_no_keras_takes_are_refused(place):
    options = {**OPTIONS, "class_weight": {0: 2.0}}
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(16, 6)).astype("float32"), rng.integers(0, 3, 16)
    batches = tf.data.Dataset.from_tensor_slices((x, y, np.ones(16))).batch(8)
    for data, size in (((x, y, np.ones(16)), 8), (batches, None)):
        with pytest.raises(DataError, match="samples and classes both have weights; leave out"):
            train("one.keras", None, data, "never", **{**options, "batch_size": size})
    y = {"kind": y, "size": x[:, :1]}
    two = {"loss": {"kind": "sparse_categorical_crossentropy", "size": "mse"}, "optimizer": "sgd"}
    with pytest.raises(TrainingError, match="class weights for one output, and this model has 2;"):
        train("two.keras", None, (x, y), "never", **options, **two)
    assert not (place / "never").exists()


def test_objects_given_in_python_train_like_names(place):
    rng = np.random.default_rng(2)
    data = (rng.normal(size=(16, 6)).astype("float32"), rng.integers(0, 3, 16))
    optimizer = tf_keras.optimizers.Adam(0.02)
    objects = {
        "optimizer": optimizer,
        "loss": tf_keras.losses.SparseCategoricalCrossentropy(),
        "metrics": [tf_keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    }
    one = train("one.keras", None, data, "live", **OPTIONS, **objects)
    names = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    named = {"name": "adam", "learning_rate": 0.02}
    other = train("one.keras", None, data, "named", **OPTIONS, optimizer=named, **names)
    assert int(optimizer.iterations) == 0
    for a, b in zip(load_model(one.model).weights, load_model(other.model).weights, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes(), a.name


def test_the_names_of_metrics_are_known_before_keras_is_imported(tmp_path):
    check_names_of_metrics(tf_keras, 2, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"early_stopping": "val_acc:3"}, "early stopping: there is no metric 'val_acc'; closest"),
        ({"early_stopping": 3}, "early_stopping: early must be text, got 3"),
        ({"optimizer": {"name": "adam", "weight_dacay": 1}}, "has no setting 'weight_dacay'; clos"),
        ({"loss": {"kinds": "mse"}}, "loss: the model has no output 'kinds'; closest: 'kind'"),
        ({"loss": "own_settings:squad"}, "own_settings:squad: module own_settings has no function"),
        ({"callbacks": ["own_settings:nothing"]}, "must be callbacks of tf_keras, got int"),
        ({"steps_per_execution": 3}, "an epoch has 4 batches, which is no multiple of 3"),
        ({"gradient_accumulation": 3}, "an epoch has 4 batches, which is no multiple of 3; choose"),
        ({"jit_compile": "always"}, "jit_compile: jit_compile must be true, false or auto, got"),
        ({"learning_rate": {"curve": "cosin", "from": 1}}, "learning_rate: curve must be one of"),
        (
            {"learning_rate": {"curve": "cosine", "from": 1, "warm_up": "100%"}},
            "warm_up takes 12 updates, and the curve ends after 12",
        ),
        (
            {"learning_rate": {"curve": "step", "from": 1, "at": {"75%": 0.1, "50%": 0.2}}},
            "its positions must rise and come after warm_up, got the updates 0, 9, 6 in a run",
        ),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(place, options, message):
    with pytest.raises(TrainingError) as caught:
        train("one.keras", None, "d.npz", "never", **{**OPTIONS, **options})
    assert message in str(caught.value)
    assert not (place / "never").exists()


def test_a_failing_callback_is_named_with_its_lines_and_the_run_goes_on(place):
    line = OWN.splitlines().index('            raise ValueError("seven")') + 1
    command = ("--data", "d.npz", "--epochs", "3", "--batch-size", "8", "--checkpoint-every")
    command += ("2 steps", "--callbacks", "own_settings:failing", "--run", "failing")
    done = run_command("train", "one.keras", *command, "--quiet")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{place}/own_settings.py", line {line}, in Failing.on_train_batch_end',
        '    raise ValueError("seven")',
        "ValueError: seven",
        f"graphprune: {FAILED.format(line=line)}",
    ]
    assert json.loads(Path("failing", "failure.json").read_text())["message"] in done.err
    from own_settings import Failing

    Failing.fails = False
    assert resume("failing").status == "finished"


def test_what_own_code_prints_is_not_among_lines_of_json(place):
    command = ("--data", "d.npz", "--epochs", "2", "--batch-size", "8", "--run", "talking")
    command += ("--callbacks", "own_settings:talking", "--format", "json")
    done = run_command("train", "one.keras", *command)
    assert done.code == 0
    events = [json.loads(line)["event"] for line in done.out.splitlines()]
    assert events[-3:] == ["epoch", "epoch", "result"]
    assert [line for line in done.err.splitlines() if "m" in line] == ["made", "mine 0", "mine 1"]


def test_a_failing_callback_given_in_python_keeps_its_error(place):
    def fail(epoch, logs):
        raise KeyError("mine")

    callback = tf_keras.callbacks.LambdaCallback(on_epoch_end=fail)
    with pytest.raises(KeyError, match="mine") as caught:
        train("one.keras", None, "d.npz", "live-failing", callbacks=[callback], **OPTIONS)
    assert caught.value.__notes__ == [
        "graphprune: failed after step 4; go on with graphprune resume live-failing, which starts"
        " at step 2"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "own_settings:wrong"}, "own_settings:wrong: the loss failed on the first batch"),
        ({"metrics": ["own_settings:wrong"]}, "own_settings:wrong: the metric failed on the first"),
        (
            {"callbacks": ["own_settings:plateau"], "learning_rate": CURVE},
            "own_settings:plateau: ReduceLROnPlateau sets the learning rate, but in this run",
        ),
        (
            {"callbacks": ["own_settings:scheduler"], "learning_rate": CURVE},
            "own_settings:scheduler: LearningRateScheduler sets the learning rate, but in this run",
        ),
    ],
)
def test_own_code_that_cannot_work_is_told_before_anything_is_written(place, options, message):
    with pytest.raises(TrainingError) as caught:
        train("one.keras", None, "d.npz", "never", **{**OPTIONS, **options})
    assert str(caught.value).startswith(message)
    assert not (place / "never").exists()


def test_a_dry_run_and_a_measurement_write_nothing(place):
    before = sorted(place.rglob("*"))
    options = ("--data", "d.npz", "--epochs", "3", "--batch-size", "8", "--run", "dry")
    done = run_command("train", "one.keras", *options, "--dry-run")
    assert (done.code, done.err) == (0, "")
    said = "model, rules, data and settings fit, for 12 steps; nothing was written"
    assert said in done.out
    measured = run_command("train", "one.keras", "--data", "d.npz", "--evaluate")
    assert [line.split()[0] for line in measured.out.splitlines()] == ["loss", "accuracy"]
    result = train("one.keras", None, "d.npz", "dry", epochs=3, evaluate=True)
    assert f"{result.original_metrics['accuracy']:.4f}" in measured.out
    assert f"{result.original_metrics['accuracy']:.4f}" in done.out
    assert sorted(place.rglob("*")) == before
