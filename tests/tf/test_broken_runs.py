"""Runs that must not count as a success, and runs that two processes want at once."""

import fcntl

import numpy as np
import pytest
import tensorflow as tf
from run_builders import build_model, build_setting, wrap

from graphprune.errors import CheckpointError, DataError, TrainingError
from graphprune.graph import read_graph
from graphprune.plan import make_plan
from graphprune.rules import parse_rules
from graphprune.runs.run_status import summarize_run
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.training import resume, train

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return build_setting(
        tmp_path_factory.mktemp("broken"), model=wrap(build_model(run_eagerly=True))
    )


def test_a_model_with_weights_that_are_no_numbers_is_not_trained(setting, tmp_path):
    model = load_model(setting.model)
    kernel = model.get_layer("fc").layer.kernel
    kernel.assign(np.where(np.arange(kernel.shape[1]) == 2, np.nan, kernel.numpy()))
    save_model(model, tmp_path / "nan.keras")
    with pytest.raises(TrainingError) as caught:
        train(tmp_path / "nan.keras", None, setting.data, tmp_path / "run", **setting.options)
    assert (
        str(caught.value)
        == f"{tmp_path}/nan.keras: NaN or infinity in fc/kernel; such a model cannot be pruned by"
        " magnitude; train it again"
    )
    assert not (tmp_path / "run").exists()


def test_training_that_breaks_down_is_an_error_and_keeps_the_checkpoints_before(setting, tmp_path):
    with pytest.raises(TrainingError) as caught:
        train(
            setting.model,
            None,
            setting.data,
            tmp_path / "run",
            **{**setting.options, "learning_rate": 1e30},
        )
    assert str(caught.value).startswith(
        f"{tmp_path}/run: training diverged by step 3: NaN or infinity in "
    )
    assert str(caught.value).endswith(
        "lower the learning rate or look for such values in the data; earlier checkpoints are"
        " intact"
    )
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000000"]
    assert not (tmp_path / "run" / "model.keras").exists()
    found = summarize_run(tmp_path / "run")
    assert (found.status, f"{tmp_path}/run: {found.message}") == ("failed", str(caught.value))
    resume(tmp_path / "run", stop_after_step=1)
    assert summarize_run(tmp_path / "run").status == "interrupted"


def no_number(truth, guess):
    """Return a loss that becomes NaN and leaves no gradient, so that the weights stay numbers."""
    return tf.stop_gradient(tf.reduce_mean(guess) * np.nan) + 0 * tf.reduce_mean(guess)


def test_a_loss_that_is_no_number_ends_the_run_though_the_weights_are(setting, tmp_path):
    model = load_model(setting.model)
    model.compile("sgd", no_number)
    save_model(model, tmp_path / "model.keras")
    with pytest.raises(TrainingError) as caught:
        train(
            tmp_path / "model.keras",
            None,
            setting.data,
            tmp_path / "run",
            custom_objects={"no_number": no_number},
            **setting.options,
        )
    way_out = (
        "lower the learning rate or check the loss and the data; earlier checkpoints are intact"
    )
    assert str(caught.value) == f"{tmp_path}/run: the loss became nan by step 4; {way_out}"
    assert not (tmp_path / "run" / "model.keras").exists()


def test_two_processes_do_not_train_in_one_folder(setting, tmp_path):
    train(setting.model, None, setting.data, tmp_path / "run", stop_after_step=4, **setting.options)
    with (tmp_path / "run" / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for call in (
            lambda: resume(tmp_path / "run"),
            lambda: train(
                setting.model, None, setting.data, tmp_path / "run", force=True, **setting.options
            ),
        ):
            with pytest.raises(CheckpointError) as caught:
                call()
            assert (
                str(caught.value)
                == f"{tmp_path}/run: another process is training in this folder; wait for it, or"
                " stop it"
            )
    assert resume(tmp_path / "run").status == "finished"


def test_a_batch_larger_than_the_data_is_all_of_it(setting, tmp_path):
    done = train(
        setting.model,
        None,
        setting.data,
        tmp_path / "run",
        **{**setting.options, "batch_size": 10**21, "checkpoint_every": "1 epoch"},
    )
    assert (done.status, done.steps) == ("finished", setting.options["epochs"])


def test_a_file_is_not_the_folder_of_a_run(setting):
    with pytest.raises(CheckpointError) as caught:
        resume(setting.model)
    assert (
        str(caught.value)
        == f"{setting.model}: is a file; give the folder that graphprune train --run made"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "x_test",
            np.zeros((5, 4, 3, 1), "float32"),
            (
                "samples of x_test have shape (4, 3, 1), those of x_train (4, 4, 1); give both the"
                " same"
            ),
        ),
        (
            "y_test",
            np.zeros((5, 2), "int64"),
            "samples of y_test have shape (2,), those of y_train (); give both the same",
        ),
    ],
)
def test_a_test_set_of_other_samples_is_refused_before_training(
    setting, tmp_path, name, value, message
):
    with np.load(setting.data) as stored:
        arrays = {
            **stored,
            "x_test": stored["x_test"][:5],
            "y_test": stored["y_test"][:5],
            name: value,
        }
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(DataError) as caught:
        train(setting.model, None, str(tmp_path / "other.npz"), tmp_path / "run", **setting.options)
    assert str(caught.value) == f"{tmp_path}/other.npz: {message}"
    assert not (tmp_path / "run").exists()


def test_a_plan_that_wraps_nothing_is_not_trained(setting, tmp_path):
    save_model(build_model(), tmp_path / "plain.keras")
    keep = "version: 1\nrules:\n  - {id: all, match: '*', keep: true}"
    plan = make_plan(read_graph(tmp_path / "plain.keras"), parse_rules(keep, "keep.yaml"))
    with pytest.raises(TrainingError) as caught:
        train(tmp_path / "plain.keras", plan, setting.data, tmp_path / "run", **setting.options)
    assert (
        str(caught.value)
        == f"{tmp_path}/plain.keras: the plan wraps no layer, so training would prune nothing;"
        " graphprune plan shows why"
    )
