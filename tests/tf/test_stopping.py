"""A run that is asked to stop stops at the next step, and goes on to the same end, wherever the
request comes.
"""

import json
import threading

import pytest
from run_builders import (
    STEPS,
    TOTAL,
    assert_same_bits,
    build_dense_model,
    build_setting,
    ramp,
    wrap,
)
from tf_keras import layers

from graphprune.runs.checkpoints import find_checkpoint
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.training_arguments import StopRequest
from graphprune.tf.training.recorder import Recorder
from graphprune.training import resume, train

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopping")
    return build_setting(folder, model=wrap(build_dense_model("adam"), fc=ramp()))


@pytest.fixture(scope="module")
def whole(setting):
    return train(setting.model, None, setting.data, setting.folder / "whole", **setting.options)


def ask_at_step(stop, step):
    """Return what asks after `step` steps, so that the run stops behind the step that follows."""
    return lambda now: stop.ask() if now.step == step and not now.epoch_ended else None


def newest(run_dir):
    state = find_checkpoint(run_dir / "checkpoints", RunFolder(run_dir).read_options().run_id)[
        0
    ].state
    return state.step, state.epoch, state.batch


def stop_train(setting, folder, stop, **options):
    done = train(setting.model, None, setting.data, folder, stop=stop, **setting.options, **options)
    assert (done.status, done.model) == ("interrupted", None)
    return done


def lines(run_dir):
    return [
        json.loads(line)["step"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()
    ]


def check_goes_on(whole, run_dir):
    again = resume(run_dir)
    assert (again.status, again.step) == ("finished", TOTAL)
    assert_same_bits(whole.model, again.model)
    assert again.model.read_bytes() == whole.model.read_bytes()
    assert (run_dir / "metrics.jsonl").read_text() == (whole.run_dir / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("asked_at", "place"),
    [
        pytest.param(1, (2, 0, 2), marks=pytest.mark.slow),
        (3, (4, 0, 4)),
        (5, (6, 1, 2)),
        pytest.param(11, (12, 2, 4), marks=pytest.mark.slow),
    ],
)
def test_a_run_stops_behind_the_next_step_and_goes_on_to_the_same_end(
    setting, whole, tmp_path, asked_at, place
):
    stop = StopRequest()
    done = stop_train(setting, tmp_path / "run", stop, on_progress=ask_at_step(stop, asked_at))
    assert (done.step, newest(tmp_path / "run")) == (place[0], place)
    assert lines(tmp_path / "run") == [STEPS * epoch for epoch in range(1, place[1] + 1)]
    check_goes_on(whole, tmp_path / "run")


def ask_in_validation(monkeypatch, stop, epoch):
    theirs = Recorder.on_test_batch_end

    def ask_first(self, batch, logs=None):
        if self._epoch == epoch:
            stop.ask()
        theirs(self, batch, logs)

    monkeypatch.setattr(Recorder, "on_test_batch_end", ask_first)


def test_a_traced_run_of_an_h5_model_stops_and_goes_on_as_well(tmp_path):
    setting = build_setting(tmp_path, ".h5")
    one = train(setting.model, None, setting.data, tmp_path / "one", **setting.options)
    stop = StopRequest()
    stop_train(setting, tmp_path / "two", stop, on_progress=ask_at_step(stop, 4))
    assert newest(tmp_path / "two") == (4, 0, 4)
    stop = StopRequest()
    assert resume(tmp_path / "two", stop=stop, on_progress=ask_at_step(stop, 9)).step == 10
    check_goes_on(one, tmp_path / "two")


@pytest.mark.parametrize("epoch", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_run_stops_within_a_validation_and_goes_on_with_it(
    setting, whole, tmp_path, monkeypatch, epoch
):
    stop = StopRequest()
    with monkeypatch.context() as patch:
        ask_in_validation(patch, stop, epoch)
        stop_train(setting, tmp_path / "run", stop)
    assert newest(tmp_path / "run") == (STEPS * (epoch + 1), epoch, STEPS)
    assert len(lines(tmp_path / "run")) == epoch
    check_goes_on(whole, tmp_path / "run")


def test_a_resumed_validation_can_be_stopped_again(setting, whole, tmp_path, monkeypatch):
    for _ in range(2):
        stop = StopRequest()
        with monkeypatch.context() as patch:
            ask_in_validation(patch, stop, 1)
            if not (tmp_path / "run").exists():
                stop_train(setting, tmp_path / "run", stop)
            else:
                assert resume(tmp_path / "run", stop=stop).status == "interrupted"
        assert newest(tmp_path / "run") == (2 * STEPS, 1, STEPS)
    check_goes_on(whole, tmp_path / "run")


def test_a_run_stops_behind_the_line_of_an_epoch(setting, whole, tmp_path):
    stop = StopRequest()
    stop_train(
        setting,
        tmp_path / "run",
        stop,
        on_progress=lambda now: stop.ask() if now.epoch_ended else None,
    )
    assert (newest(tmp_path / "run"), lines(tmp_path / "run")) == ((STEPS, 1, 0), [STEPS])
    check_goes_on(whole, tmp_path / "run")


def test_a_request_at_the_beginning_stops_before_the_first_step(
    setting, whole, tmp_path, monkeypatch
):
    stop = StopRequest()
    theirs = Recorder.on_train_begin
    with monkeypatch.context() as patch:
        patch.setattr(
            Recorder, "on_train_begin", lambda self, logs=None: (stop.ask(), theirs(self, logs))
        )
        assert stop_train(setting, tmp_path / "run", stop).step == 0
    assert newest(tmp_path / "run") == (0, 0, 0)
    check_goes_on(whole, tmp_path / "run")


def test_a_request_within_the_final_save_waits_until_the_run_is_finished(
    setting, whole, tmp_path, monkeypatch
):
    stop = StopRequest()
    theirs = Recorder.copy_model

    def ask_first(self, path):
        if path.parent == tmp_path / "run":
            assert stop.ask()
        return theirs(self, path)

    monkeypatch.setattr(Recorder, "copy_model", ask_first)
    done = train(setting.model, None, setting.data, tmp_path / "run", stop=stop, **setting.options)
    assert (done.status, stop.asked) == ("finished", True)
    assert_same_bits(whole.model, done.model)


def test_a_validation_changes_nothing_that_a_stateful_model_goes_on_with(tmp_path, monkeypatch):
    """The states of a stateful recurrent layer go on from batch to batch; validation changes them,
    so a checkpoint holds those from before it.
    """
    import numpy as np
    import tf_keras

    tf_keras.utils.set_random_seed(7)
    inputs = layers.Input(batch_shape=(6, 5, 2), name="x")
    hidden = layers.GRU(4, stateful=True, name="gru")(inputs)
    model = tf_keras.Model(
        inputs, layers.Dense(3, activation="softmax", name="fc")(hidden), name="net"
    )
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(36, 5, 2)).astype("float32"), rng.integers(0, 3, 36)
    np.savez(tmp_path / "own.npz", x_train=x[:24], y_train=y[:24], x_test=x[24:], y_test=y[24:])
    setting = build_setting(tmp_path, model=wrap(model, fc=ramp()))
    options = {**setting.options, "batch_size": 6}
    one = train(setting.model, None, str(tmp_path / "own.npz"), tmp_path / "one", **options)
    stop = StopRequest()
    with monkeypatch.context() as patch:
        ask_in_validation(patch, stop, 1)
        train(
            setting.model, None, str(tmp_path / "own.npz"), tmp_path / "two", stop=stop, **options
        )
    two = resume(tmp_path / "two")
    assert_same_bits(one.model, two.model)
    assert (tmp_path / "one/metrics.jsonl").read_text() == (
        tmp_path / "two/metrics.jsonl"
    ).read_text()


def test_training_in_another_thread_leaves_the_signals_alone(setting, whole, tmp_path):
    import signal

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    results = []
    thread = threading.Thread(
        target=lambda: results.append(
            train(setting.model, None, setting.data, tmp_path / "run", **setting.options)
        )
    )
    thread.start()
    thread.join()
    assert_same_bits(whole.model, results[0].model)
    assert [
        signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ] == before
