"""The settings of runs of Keras 3 models: each survives an interruption, bit for bit."""

import sys
import warnings
from functools import partial

import keras
import numpy as np
from keras3.child import Cases, refusal
from keras3.models import array
from keras3.run_cases import (
    DATA,
    EPOCHS,
    FOLDER,
    RULES,
    X,
    Y,
    check_resumes,
    compiled,
    load,
    net,
    run,
)
from named_metrics import check_names_of_metrics

from graphprune.errors import DataError, TrainingError
from graphprune.keras3.optimizers import read_updates
from graphprune.keras3.training.compiling import check_executions, compile_model
from graphprune.keras3.training.fitting import Hooks
from graphprune.runs.run_file import read_run_file
from graphprune.runs.run_options import Compiling
from graphprune.sparsity.positions import Run
from graphprune.training import resume

CASES = Cases()
SPLIT = ((X[:16], Y[:16]), (X[16:], Y[16:]))
"""Two batches of 8 in an epoch."""
(FOLDER / "own_settings.py").write_text(
    """
import keras


@keras.saving.register_keras_serializable("settings")
def squared(y_true, y_pred):
    labels = keras.ops.cast(keras.ops.expand_dims(y_true, -1), y_pred.dtype)
    return keras.ops.mean(keras.ops.square(labels - y_pred), axis=-1)


class Counting(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1

    def get_state(self):
        return {"epochs": self.epochs}

    def set_state(self, state):
        self.epochs = int(state["epochs"])


def counting():
    return Counting()


class Failing(keras.callbacks.Callback):
    fails = True

    def on_train_batch_end(self, batch, logs=None):
        if Failing.fails and self.model.optimizer.iterations == 5:
            raise ValueError("five")


def failing():
    return Failing()


def wrong(y_true, y_pred):
    raise ValueError("wrong")


def plateau():
    return keras.callbacks.ReduceLROnPlateau()


def scheduler():
    return keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)
"""
)
sys.path.insert(0, str(FOLDER))


class Weighted(keras.utils.PyDataset):
    """Batches with sample weights."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[:8], Y[:8], np.ones(8)


@CASES.fast_on("tensorflow")
def weights_of_classes_and_of_samples_are_refused_together():
    weighted = ((X[:16], Y[:16], np.ones(16)), SPLIT[1])
    both = partial(run, "both", compiled(), weighted, rules=RULES, epochs=1, class_weight={0: 2.0})
    assert refusal(both, DataError) == (
        "data: samples and classes both have weights; leave out --class-weight (class_weight in"
        " Python), or the weights of the samples"
    )
    assert "samples and classes both have weights" in refusal(
        partial(run, "both", compiled(), Weighted(), rules=RULES, class_weight={0: 2.0}), DataError
    )
    assert not (FOLDER / "both").exists()


CURVE = {"curve": "cosine", "from": 0.01, "to": 0.001, "warm_up": "1 step"}


@CASES.fast_on("tensorflow")
def a_curve_over_accumulated_batches_equals_one_over_larger_batches():
    """In 8 updates, of two batches each or of one of twice their size."""
    asked = {
        "rules": RULES,
        "epochs": 8,
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "learning_rate": {"curve": "step", "from": 0.5, "warm_up": "2 steps", "at": {"50%": 0.1}},
    }

    def build():
        x = keras.Input((6,), name="x")
        hidden = keras.layers.Dense(12, activation="relu", name="a")(x)
        return keras.Model(x, keras.layers.Dense(3, name="b")(hidden), name="net")

    sizes = ({"batch_size": 8, "gradient_accumulation": 2}, {"batch_size": 16})
    one, other = (
        load(run(f"curve-{at}", compiled(build=build), SPLIT, **asked, **size).model)
        for at, size in enumerate(sizes)
    )
    for weight, expected in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(array(weight), array(expected), rtol=1e-4, atol=1e-5)


@CASES
def settings_of_runs_go_on():
    whole = check_resumes(
        "settings",
        compiled,
        lambda: SPLIT,
        (3,),
        rules=RULES,
        epochs=4,
        optimizer={"name": "AdamW", "weight_decay": 0.01},
        learning_rate=CURVE,
        loss="own_settings:squared",
        metrics=["own_settings:squared"],
        class_weight={0: 1.0, 1: 3.0, 2: 0.5},
        callbacks=["own_settings:counting"],
        gradient_accumulation=2,
        checkpoint_every="1 steps",
    )
    model = load(whole.model)
    assert model.optimizer.gradient_accumulation_steps == 2
    assert read_updates(model, model.optimizer) == 4, "of 8 batches"
    assert model.optimizer.get_config()["learning_rate"]["config"]["decay_steps"] == 6
    assert {"squared", "loss"} <= set(whole.original_metrics)
    assert abs(whole.metrics["loss"] - whole.metrics["squared"]) > 0.01, "classes are weighted"
    settings = read_run_file(str(FOLDER / "settings-whole" / "run.yaml"), {})
    assert settings["train.gradient_accumulation"] == 2
    assert settings["model"] == str(FOLDER / "settings-whole" / "original.keras")


@CASES.fast_on("tensorflow")
def compiled_steps_with_a_step_curve_go_on():
    whole = check_resumes(
        "stairs",
        compiled,
        lambda: SPLIT,
        (3,),
        rules=RULES,
        optimizer="adam",
        learning_rate={"curve": "step", "from": 0.01, "at": {"50%": 0.001}},
        jit_compile=True,
        checkpoint_every="1 steps",
    )
    model = load(whole.model)
    for asked, found in ((False, False), (True, keras.config.backend() != "torch")):
        compile_model(model, Compiling(jit_compile=asked), "stairs")
        assert model.jit_compile is found
    rate = model.optimizer._learning_rate
    rates = [float(rate(step)) for step in (0, 1, 2, 3)]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.001, 0.001], rtol=1e-6)
    settings = read_run_file(str(FOLDER / "stairs-whole" / "run.yaml"), {})
    assert settings["on.jit_compile"] is True


def takes_executions():
    try:
        check_executions(2, "stops", keras.config.backend(), keras.__version__)
    except TrainingError:
        return False
    return True


@CASES.fast_on("jax")
def executions_of_several_steps_are_refused_where_keras_fails():
    check_executions(1, "net", "torch", "3.3.3")
    check_executions(2, "net", "jax", "3.3.3")
    check_executions(2, "net", "tensorflow", "3.10.0")
    for backend, version, where in (
        ("torch", "3.15.1", "on PyTorch"),
        ("tensorflow", "3.6.0", "with Keras 3.6.0 on TensorFlow, and 3.7 or newer takes more"),
    ):
        call = partial(check_executions, 2, "net", backend, version)
        assert refusal(call, TrainingError) == (
            f"net: steps per execution must be 1 {where}, got 2; leave the setting out"
        )


@CASES
def executions_of_several_steps_and_early_stopping_go_on():
    size = 2 if takes_executions() else 1
    whole = check_resumes(
        "stops",
        lambda: compiled(build=lambda: net(dropout=0.0)),
        lambda: SPLIT,
        (4,),
        rules=RULES.replace("end: 100%", "end: 2 steps"),
        epochs=9,
        optimizer={"name": "sgd", "learning_rate": 1e-12},
        early_stopping={"metric": "val_accuracy", "patience": 1},
        steps_per_execution=size,
    )
    assert whole.stopped_early.startswith("stopped early after epoch ")
    assert whole.step < 18


@CASES.fast_on("jax")
def callbacks_hear_of_the_last_step_of_an_execution():
    told = []
    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: told.append(batch))
    hooks = Hooks([look], 0, 2, size=2, steps=5)
    for batch in (0, 2, 4):  # the first steps, as Keras before 3.11 says; 0 and 1 are done
        hooks.on_train_batch_end(batch)
    for batch in (1, 3, 4):
        hooks.on_train_batch_end(batch)
    assert told == [3, 4, 3, 4]


@CASES
def failures_of_own_code_are_named():
    options = {"rules": RULES, "callbacks": ["own_settings:failing"]}
    text = refusal(lambda: run("own-failing", compiled(), **options), TrainingError)
    assert text.startswith("own_settings:failing: the callback Failing failed after step 4 at"), (
        text
    )
    assert f"ValueError: five; go on with graphprune resume {FOLDER / 'own-failing'}, which" in text
    assert text.endswith("starts at step 4"), text
    from own_settings import Failing

    Failing.fails = False
    assert resume(FOLDER / "own-failing", data=DATA).status == "finished"
    for options, message in (
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
    ):
        text = refusal(lambda: run("never", compiled(), rules=RULES, **options), TrainingError)  # noqa: B023
        assert text.startswith(message), text
    assert not (FOLDER / "never").exists()


@CASES.fast_on("jax")
def steps_that_are_not_compiled_warn_on_jax():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for eager, asked, told in [(False, None, True), (True, None, False), (False, True, False)]:
        model.compile("sgd", "mse", jit_compile=False, run_eagerly=eager)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            compile_model(model, Compiling(jit_compile=asked), "m.keras", Run(2, 1))
        texts = [str(warning.message) for warning in caught]
        is_told = any(text.startswith("m.keras: the model's compile settings") for text in texts)
        assert is_told == (told and keras.config.backend() == "jax"), texts


@CASES.fast_on("jax")
def the_names_of_metrics_are_known_before_keras_is_imported():
    (FOLDER / "named").mkdir()
    check_names_of_metrics(keras, 3, FOLDER / "named")


@CASES
def live_objects_and_wrong_settings():
    result = run(
        "live-objects",
        compiled(),
        rules=RULES,
        optimizer=keras.optimizers.Adam(0.02),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="right")],
        callbacks=[keras.callbacks.LambdaCallback()],
    )
    assert (result.status, set(result.original_metrics)) == ("finished", {"loss", "right"})
    assert abs(array(load(result.model).optimizer.learning_rate) - 0.02) < 1e-6
    for options, message in (
        ({"gradient_accumulation": 2}, "an epoch has 3 batches, which is no multiple of 2"),
        ({"early_stopping": "val_acc"}, "there is no metric 'val_acc'; closest: 'val_accuracy'"),
        ({"class_weight": {3: 2.0}}, "class weight: got class 3, but output 'b' has 3 classes"),
        ({"loss": {"c": "mse"}}, "loss: the model has no output 'c'"),
        ({"optimizer": {"name": "adam", "beta": 1}}, "has no setting 'beta'; closest: 'beta_"),
    ):
        text = refusal(lambda: run("no", compiled(), rules=RULES, **options), TrainingError)  # noqa: B023
        assert message in text, text
    assert not (FOLDER / "no").exists()
    checked = run("no", compiled(), rules=RULES, dry_run=True)
    assert (checked.status, checked.steps) == ("checked", 3 * EPOCHS)
    measured = run("no", compiled(), evaluate=True)
    assert np.isclose(measured.original_metrics["loss"], checked.original_metrics["loss"])
    assert not (FOLDER / "no").exists()


if __name__ == "__main__":
    CASES.run()
