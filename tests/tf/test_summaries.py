from __future__ import annotations

import re
import shutil
from collections import defaultdict

import numpy as np
import pytest
import tf_keras
from commands import run_command
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray
from tf_keras import layers

import graphprune.engine.callbacks
from graphprune.errors import TrainingError
from graphprune.tf.pruning.callbacks import PruningSummaries, UpdatePruningStep
from graphprune.tf.pruning.keras_api import prune_low_magnitude
from graphprune.tf.pruning.keras_schedules import PolynomialDecay

pytestmark = pytest.mark.tf

X, Y = (
    np.random.default_rng(0).normal(size=(24, 3, 2)).astype("float32"),
    np.ones((24, 4), "float32"),
)
RULES = (
    'version: 1\nrules: [{id: all, match: "*", prune: {sparsity: 50%, schedule: {curve: linear,'
    " end: 4 steps, every: 1 step}}}]"
)


def opened(path) -> tuple[int, int]:
    """Return when TensorFlow opened the file: the second, and and the number of the file in its
    process, which is not in order as text (10 before 9).
    """
    parts = path.name.split(".")
    return int(parts[3]), int(parts[-2]) if parts[-2].isdigit() else 0


def read_events(folder, part="train") -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) by tag, as TensorBoard's own reader finds them in all files of the
    folder.
    """
    found = defaultdict(list)
    for path in sorted((folder / part).glob("events.*"), key=opened):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars" or value.HasField("tensor"):
                    array = make_ndarray(value.tensor)
                    if array.dtype.kind == "f":
                        found[value.tag].append((event.step, float(array)))
    return dict(found)


def fit(folder, update_freq, **settings) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential([layers.Input((3, 2)), layers.LSTM(4, name="lstm")])
    model = prune_low_magnitude(model, PolynomialDecay(0.25, 0.75, 1, 11, power=1, frequency=2))
    # tracing takes most of the time
    model.compile("sgd", "mse", **settings, run_eagerly="steps_per_execution" not in settings)
    model.fit(
        X,
        Y,
        batch_size=4,
        epochs=2,
        verbose=0,
        callbacks=[UpdatePruningStep(), PruningSummaries(folder, update_freq)],
    )
    return model


@pytest.mark.parametrize(
    ("update_freq", "settings", "steps"),
    [
        ("epoch", {}, [6, 12]),
        ("batch", {}, list(range(1, 13))),
        (5, {}, [5, 10, 12]),
        (5, {"steps_per_execution": 3}, [6, 12]),
    ],
)
def test_targets_sparsity_and_thresholds_are_written_for_each_kernel_to_the_end(
    tmp_path, update_freq, settings, steps
):
    model = fit(tmp_path, update_freq, **settings)
    events = read_events(tmp_path)
    tags = {
        f"{kind}/lstm/{name}"
        for kind in ("target_sparsity", "sparsity", "threshold")
        for name in ("kernel", "recurrent_kernel")
    }
    assert {tag for tag in events if not tag.startswith(("epoch_", "batch_"))} == tags
    for (weight, _, threshold), name in zip(
        model.get_layer("lstm").pruning_vars, ("kernel", "recurrent_kernel"), strict=True
    ):
        expected = [
            (step, 0.0 if step < 1 else min(0.75, 0.25 + 0.05 * (step - 1))) for step in steps
        ]
        assert [step for step, _ in events[f"target_sparsity/lstm/{name}"]] == steps
        np.testing.assert_allclose(events[f"target_sparsity/lstm/{name}"], expected, rtol=1e-6)
        assert events[f"sparsity/lstm/{name}"][-1] == (12, 0.75)
        assert [step for step, _ in events[f"sparsity/lstm/{name}"]] == steps
        assert 1 - np.count_nonzero(weight) / weight.shape.num_elements() == 0.75
        assert events[f"threshold/lstm/{name}"][-1] == (12, pytest.approx(float(threshold)))
        assert np.all(np.diff([value for _, value in events[f"sparsity/lstm/{name}"]]) >= 0)
    assert len(events["epoch_loss"]) == 2


def test_wrong_frequencies_and_a_missing_package_are_refused(tmp_path, monkeypatch):
    for wrong in ("step", 0, -1, True, 1.5):
        with pytest.raises(
            ValueError,
            match="^"
            + re.escape(f"update_freq must be 'epoch', 'batch' or a number of steps, got {wrong!r}")
            + "$",
        ):
            PruningSummaries(tmp_path, wrong)
    monkeypatch.setattr(graphprune.engine.callbacks.importlib.util, "find_spec", lambda name: None)
    text = (
        "TensorBoard events need the package tensorboard, which is not installed; pip install"
        " 'graphprune[tensorboard]'"
    )
    with pytest.raises(TrainingError, match="^" + re.escape(text) + "$"):
        PruningSummaries(tmp_path)


@pytest.mark.parametrize("folder", [None, "events"])
def test_train_writes_events_and_goes_on_with_them_when_resumed(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    model = tf_keras.Sequential([layers.Input((3, 2)), layers.Flatten(), layers.Dense(4, name="d")])
    model.compile("sgd", "mse")
    model.save("m.keras")
    np.savez("d.npz", x_train=X, y_train=Y, x_test=X[:8], y_test=Y[:8])
    (tmp_path / "r.yaml").write_text(RULES)
    every = ("--checkpoint-every", "5 steps", "--stop-after", "8")
    options = (
        "--run",
        "run",
        "--epochs",
        "3",
        "--batch-size",
        "8",
        "--tensorboard",
        *([folder] if folder else []),
        *every,
    )
    answer = run_command("train", "m.keras", "-r", "r.yaml", "--data", "d.npz", *options)
    assert answer.code == 0, answer.err
    events = tmp_path / (folder or "run/tensorboard")
    assert [step for step, _ in read_events(events)["sparsity/d/kernel"]] == [3, 6]
    file = next((events / "train").glob("events.*"))
    older = file.with_name(".".join([*file.name.split(".")[:3], "5", "another-run"]))
    shutil.copy(file, older)
    assert run_command("resume", "run").code == 0
    assert (older.read_bytes() == file.read_bytes()) == (folder is None), (
        "what another run wrote in a folder of the user's stays"
    )
    older.unlink()
    assert read_events(events)["sparsity/d/kernel"] == [
        (3, pytest.approx(9 / 24)),
        (6, 0.5),
        (9, 0.5),
    ]
    assert [step for step, _ in read_events(events)["epoch_loss"]] == [0, 1, 2]
    assert [step for step, _ in read_events(events, "validation")["epoch_loss"]] == [0, 1, 2]
    assert [
        step for step, _ in read_events(events, "validation")["evaluation_loss_vs_iterations"]
    ] == [3, 6, 9]
