import json
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from planned import plan_with
from run_builders import (
    BATCH,
    EPOCHS,
    TOTAL,
    Setting,
    assert_same_bits,
    build_dense_model,
    build_model,
    build_setting,
    ramp,
    slots,
    wrap,
    write_data,
)
from runs.damage import rewrite
from tf_keras import layers

from graphprune.errors import CheckpointError, DataError, OutputError, TrainingError
from graphprune.graph import graph_from_config, read_graph
from graphprune.plan import plan_sha256, read_plan
from graphprune.rules import read_rules
from graphprune.runs.checkpoints import read_checkpoint
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.training import resume, train

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def setting(tmp_path_factory) -> Setting:
    return build_setting(tmp_path_factory.mktemp("setting"))


@pytest.fixture(scope="module")
def told():
    """Return the progress that the standard run told, filled by it."""
    return []


@pytest.fixture(scope="module")
def whole(setting, told):
    """Train the standard run without interruption."""
    result = train(
        setting.model,
        None,
        setting.data,
        setting.folder / "whole",
        on_progress=told.append,
        **setting.options,
    )
    assert (result.status, result.step, result.missed, result.warnings) == (
        "finished",
        TOTAL,
        (),
        (),
    )
    return result


@pytest.fixture(scope="module")
def stopped(setting):
    """Train the standard run up to step 7, with checkpoints at steps 0, 3 and 6."""
    return start(setting, setting.folder / "stopped", 7).run_dir


@pytest.fixture
def run(stopped, tmp_path):
    """Return a copy of the folder of the run that was stopped."""
    return shutil.copytree(stopped, tmp_path / "run")


def start(setting, folder, stop, **options):
    result = train(
        setting.model,
        None,
        setting.data,
        folder,
        stop_after_step=stop,
        **{**setting.options, **options},
    )
    assert (result.status, result.step, result.model) == ("interrupted", stop, None)
    return result


def train_twice(setting, folder, stop, **options):
    """Return the results of a run without interruption and of one that was interrupted after `stop`
    and resumed.
    """
    one = train(setting.model, None, setting.data, folder / "one", **{**setting.options, **options})
    start(setting, folder / "two", stop, **options)
    two = resume(folder / "two")
    assert (folder / "one/metrics.jsonl").read_text() == (folder / "two/metrics.jsonl").read_text()
    return one, two


@pytest.mark.parametrize("step", [0, 3, pytest.param(6, marks=pytest.mark.slow)])
def test_a_resumed_run_equals_one_that_was_never_interrupted(setting, whole, run, step):
    for later in range(step + 3, 7, 3):
        shutil.rmtree(run / "checkpoints" / f"step-{later:08d}")
    result = resume(run)
    assert result.resumed_from == run / "checkpoints" / f"step-{step:08d}"
    assert_same_bits(whole.model, result.model)
    assert (run / "metrics.jsonl").read_text() == (
        setting.folder / "whole" / "metrics.jsonl"
    ).read_text()
    assert result.tensors == whole.tensors


OPTIMIZERS = {
    "adam": lambda: tf_keras.optimizers.Adam(0.01),
    "momentum": lambda: tf_keras.optimizers.SGD(
        tf_keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.9), momentum=0.9
    ),
    "legacy": lambda: tf_keras.optimizers.legacy.Adam(0.01),
    "averaged": lambda: tf_keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.5),
    "scaled": lambda: tf_keras.mixed_precision.LossScaleOptimizer(
        tf_keras.optimizers.Adam(0.01), initial_scale=64, dynamic_growth_steps=2
    ),
}


@pytest.mark.parametrize(
    ("optimizer", "suffix"),
    [
        ("adam", ".h5"),
        ("momentum", ".keras"),
        pytest.param("momentum", ".h5", marks=pytest.mark.slow),
        pytest.param("legacy", ".keras", marks=pytest.mark.slow),
        ("scaled", ".h5"),
        pytest.param("averaged", ".keras", marks=pytest.mark.slow),
    ],
)
def test_resume_is_exact_for_every_optimizer_and_format(tmp_path, optimizer, suffix):
    run_eagerly = optimizer not in ("adam", "legacy", "averaged")  # whose updates differ most
    model = build_dense_model(OPTIMIZERS[optimizer](), run_eagerly=run_eagerly)
    setting = build_setting(tmp_path, suffix, wrap(model, fc=ramp()))
    one, two = train_twice(setting, tmp_path, 7)
    assert_same_bits(one.model, two.model)
    assert (two.model.name, two.missed) == (f"model{suffix}", ())
    assert optimizer in ("legacy", "scaled") or any(
        variable.numpy().any() for variable in slots(load_model(two.model)) if variable.shape.rank
    )


def test_resume_is_exact_at_the_end_of_an_epoch_and_after_several_interruptions(tmp_path):
    setting = build_setting(tmp_path, model=wrap(build_dense_model("adam"), fc=ramp()))
    one = train(setting.model, None, setting.data, tmp_path / "one", **setting.options)
    start(setting, tmp_path / "two", 6, checkpoint_every="1 epoch")
    assert resume(tmp_path / "two", stop_after_step=9).resumed_from.name == "step-00000004"
    two = resume(tmp_path / "two")
    assert two.resumed_from.name == "step-00000008"
    assert_same_bits(one.model, two.model)
    assert (tmp_path / "one/metrics.jsonl").read_text() == (
        tmp_path / "two/metrics.jsonl"
    ).read_text()


def test_resume_is_exact_for_recurrent_dropout_noise_and_carried_states(tmp_path):
    tf_keras.utils.set_random_seed(7)
    inputs = layers.Input(batch_shape=(5, 3, 2), name="series")
    x = layers.GaussianNoise(0.1, name="noise")(inputs)
    kept = {"stateful": True, "unroll": True}
    x = layers.LSTM(4, dropout=0.3, recurrent_dropout=0.2, **kept, name="lstm")(x)
    model = tf_keras.Model(inputs, layers.Dense(2, name="predictions")(x), name="net")
    # tracing would take most of the time
    model.compile(tf_keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    setting = build_setting(tmp_path, model=wrap(model, lstm=ramp("kernel", "recurrent_kernel")))
    rng = np.random.default_rng(3)
    np.savez(setting.data, x_train=rng.normal(size=(20, 3, 2)), y_train=rng.normal(size=(20, 2)))
    one, two = train_twice(setting, tmp_path, 7, batch_size=5, epochs=2)
    assert_same_bits(one.model, two.model)


def test_resume_is_exact_for_embeddings_and_custom_generators(tmp_path):
    @tf_keras.utils.register_keras_serializable("run-tests")
    class Jitter(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.source = tf.random.Generator.from_non_deterministic_state()

        def call(self, inputs, training=None):
            return inputs + self.source.normal([3]) if training else inputs

    tf_keras.utils.set_random_seed(7)
    x = inputs = layers.Input((4,), name="words")
    x = Jitter(name="jitter")(layers.Embedding(20, 3, name="embed")(x))
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    model = tf_keras.Model(inputs, layers.Dense(2, name="predictions")(x), name="net")
    model.compile(
        tf_keras.optimizers.SGD(0.1, momentum=0.9),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    setting = build_setting(tmp_path, ".h5", wrap(model, embed=ramp("embeddings")))
    rng = np.random.default_rng(0)
    np.savez(setting.data, x_train=rng.integers(0, 20, (30, 4)), y_train=rng.integers(0, 2, 30))
    one, two = train_twice(setting, tmp_path, 7)
    assert_same_bits(one.model, two.model)


def test_resume_is_exact_for_datasets_of_a_function_that_shuffle_anew_in_each_pass(
    tmp_path, monkeypatch
):
    setting = build_setting(tmp_path, model=wrap(build_dense_model("adam"), fc=ramp()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run_data.py").write_text(
        "import numpy as np, tensorflow as tf\n"
        f"STORED = np.load({setting.data!r})\n"
        "def load():\n"
        "    train, test = (tf.data.Dataset.from_tensor_slices((STORED[f'x_{part}'],"
        " STORED[f'y_{part}'])) for part in ('train', 'test'))\n"
        "    return train.shuffle(30).batch(7), test.batch(5)\n"
    )
    one, two = train_twice(
        Setting(setting.model, "run_data:load", tmp_path), tmp_path, 8, batch_size=None
    )
    sys.modules.pop("run_data")
    assert one.steps == EPOCHS * 5
    assert_same_bits(one.model, two.model)


def test_the_saved_configs_do_not_show_how_random_numbers_were_drawn(setting, whole):
    config = load_model(whole.model).get_config()
    assert config == load_model(setting.model).get_config()
    assert "rng_type" not in json.dumps(config, default=str)
    newest = max((setting.folder / "whole" / "checkpoints").iterdir())
    assert load_model(newest / "model.keras").get_config() == config


def test_a_run_leaves_its_files(setting, whole):
    names = {
        path.relative_to(setting.folder / "whole").as_posix()
        for path in (setting.folder / "whole").rglob("*")
        if path.is_file()
    }
    kept = {
        f"checkpoints/step-{step:08d}/{name}"
        for step in (6, 9, 12)
        for name in ("model.keras", "state.json", "state.npz")
    }
    assert (
        names
        == {
            ".lock",
            "run.json",
            "run.yaml",
            "original.graph.json",
            "metrics.jsonl",
            "model.keras",
            "result.json",
        }
        | kept
    )


def test_metrics_have_one_line_an_epoch(setting, whole):
    lines = [
        json.loads(line)
        for line in (setting.folder / "whole" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 4), (2, 8), (3, 12)]
    assert list(lines[0]) == [
        "epoch",
        "step",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "target_sparsity",
        "sparsity",
    ]
    assert lines[-1]["sparsity"] == (18 + 768) / (36 + 1024)
    assert whole.metrics == lines[-1]


def test_lines_after_the_checkpoint_are_not_doubled(run):
    def steps():
        return [
            json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()
        ]

    assert steps() == [4]
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    assert resume(run, stop_after_step=8).resumed_from.name == "step-00000003"
    assert steps() == [4]
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "st')
    resume(run)
    assert steps() == [4, 8, 12]


@pytest.mark.usefixtures("whole")
def test_progress_is_told_after_each_step_and_each_epoch(told):
    assert [progress.step for progress in told if not progress.epoch_ended] == list(
        range(1, TOTAL + 1)
    )
    assert [(progress.epoch, progress.step) for progress in told if progress.epoch_ended] == [
        (1, 4),
        (2, 8),
        (3, 12),
    ]
    assert list(told[0].metrics) == ["loss", "accuracy"]
    assert list(told[4].metrics) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    last = told[-1]
    assert (last.epochs, last.steps) == (EPOCHS, TOTAL)
    assert last.sparsity == pytest.approx(last.target_sparsity) == pytest.approx((18 + 768) / 1060)


def test_a_finished_run_is_left_alone(setting, whole):
    before = whole.model.stat().st_mtime_ns
    result = resume(setting.folder / "whole")
    assert result.status == "already-finished"
    assert (result.model, result.metrics, result.tensors) == (
        whole.model,
        whole.metrics,
        whole.tensors,
    )
    assert whole.model.stat().st_mtime_ns == before


def test_a_run_that_stopped_before_its_model_was_saved_is_finished_by_resume(
    setting, whole, tmp_path
):
    run = shutil.copytree(setting.folder / "whole", tmp_path / "run")
    (run / "result.json").unlink()
    (run / "model.keras").unlink()
    result = resume(run)
    assert (result.status, result.step, result.resumed_from.name) == (
        "finished",
        TOTAL,
        "step-00000012",
    )
    assert result.tensors == whole.tensors
    assert_same_bits(whole.model, result.model)


def test_a_damaged_newest_checkpoint_is_passed_over_and_replaced(whole, run):
    folder = run / "checkpoints" / "step-00000006"
    content = bytearray((folder / "model.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.keras").write_bytes(content)
    told = []
    result = resume(run, on_warning=told.append, on_checkpoint=told.append)
    warning = (
        f"{folder}: damaged, model.keras has changed since it was written; resuming from step 3"
    )
    assert (result.warnings, told) == ((warning,), [warning, run / "checkpoints" / "step-00000003"])
    assert result.resumed_from.name == "step-00000003"
    assert_same_bits(whole.model, result.model)
    assert read_checkpoint(folder).state.step == 6


def test_a_run_with_no_whole_checkpoint_cannot_be_resumed(run):
    shutil.rmtree(run / "checkpoints" / "step-00000003")
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    (run / "checkpoints" / "step-00000000" / "state.npz").unlink()
    with pytest.raises(CheckpointError) as caught:
        resume(run)
    assert (
        str(caught.value) == f"{run}/checkpoints/step-00000000: damaged, state.npz is missing\n"
        f"{run}: no checkpoint is intact; restore one from a backup, or move {run}/checkpoints"
        f" away: then graphprune resume {run} starts from the beginning"
    )


def test_a_folder_that_is_no_run_cannot_be_resumed(tmp_path):
    for folder, message in [
        (tmp_path, "no run.json; this is not a training run, start one with graphprune train"),
        (
            tmp_path / "nowhere",
            f"no such folder; start a run with graphprune train --run {tmp_path}/nowhere",
        ),
    ]:
        with pytest.raises(CheckpointError) as caught:
            resume(folder)
        assert str(caught.value) == f"{folder}: {message}"


def test_a_folder_with_a_run_or_other_files_is_not_trained_into(setting, whole, tmp_path):
    taken = setting.folder / "whole"
    with pytest.raises(OutputError) as caught:
        train(setting.model, None, setting.data, taken, **setting.options)
    assert (
        str(caught.value)
        == f"{taken}: already holds a run; resume it with graphprune resume {taken}, or pass"
        " --force to start over"
    )
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError) as caught:
        train(setting.model, None, setting.data, tmp_path, force=True, **setting.options)
    assert str(caught.value) == f"{tmp_path}: holds other files; give the run a folder of its own"


def test_force_replaces_an_earlier_run(setting, run):
    start(setting, run, 2, force=True)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000000"]
    assert (run / "metrics.jsonl").read_text() == ""


def test_data_that_changed_since_is_refused(run, tmp_path):
    data = write_data(tmp_path / "data.npz", classes=2)
    rewrite(run / "run.json", data=data)
    with pytest.raises(DataError) as caught:
        resume(run)
    assert (
        str(caught.value)
        == f"{data}: has changed since the run in {run} began; put the old file back, or start a"
        " new run"
    )


def test_a_run_json_that_says_something_else_is_refused(run):
    rewrite(run / "run.json", batch_size=16)
    with pytest.raises(CheckpointError) as caught:
        resume(run)
    assert (
        str(caught.value)
        == f"{run}/checkpoints/step-00000006: is a checkpoint of another run, with batch_size 8,"
        " but run.json says 16; move it away, then resume"
    )
    (run / "run.json").write_text("{")
    with pytest.raises(CheckpointError) as caught:
        resume(run)
    assert (
        str(caught.value)
        == f"{run}: damaged, run.json is not JSON; restore the file from a backup, or start a new"
        " run in another folder"
    )


def test_a_run_too_short_for_its_schedule_says_what_it_missed(setting, tmp_path):
    with pytest.warns(UserWarning, match="schedule/never-reached"):
        result = train(
            setting.model,
            None,
            setting.data,
            tmp_path / "run",
            epochs=1,
            batch_size=BATCH,
            allow_missed=True,
        )
    assert [(tensor.address, tensor.name, tensor.target_zeros) for tensor in result.missed] == [
        ("conv", "kernel", 18),
        ("fc", "kernel", 768),
    ]
    assert [tensor.address for tensor in resume(tmp_path / "run").missed] == ["conv", "fc"]


def expect_refusal(kind, message, setting, folder, **options):
    """Fail unless `train` raises `message` and writes nothing."""
    with pytest.raises(kind) as caught:
        train(setting.model, None, setting.data, folder / "run", **{**setting.options, **options})
    assert str(caught.value) == message
    assert not (folder / "run").exists()


def test_a_model_without_compile_settings_asks_for_them(setting, tmp_path):
    model = wrap(build_dense_model("adam"), fc=ramp())
    bare = tf_keras.models.clone_model(model)
    save_model(bare, tmp_path / "bare.keras")
    made = Setting(str(tmp_path / "bare.keras"), setting.data, tmp_path)
    expect_refusal(
        TrainingError,
        f"{made.model}: has no compile settings; compile the model before it is saved, or say how"
        " to train it with --loss and --optimizer (loss and optimizer in Python)",
        made,
        tmp_path,
    )
    expect_refusal(
        TrainingError,
        f"{made.model}: has no optimizer; name one with --optimizer (optimizer in Python)",
        made,
        tmp_path,
        loss="mse",
    )
    result = train(
        made.model,
        None,
        made.data,
        tmp_path / "run",
        optimizer="sgd",
        loss="sparse_categorical_crossentropy",
        metrics=("accuracy",),
        **setting.options,
    )
    assert result.metrics["val_accuracy"] >= 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adm"}, "no optimizer is called 'adm'; closest: 'adam', 'nadam', 'adamw'"),
        (
            {"loss": "mean_square_error"},
            (
                "no loss is called 'mean_square_error'; closest: 'mean_squared_error',"
                " 'mean_squared_logarithmic_error', 'mean_absolute_error'"
            ),
        ),
        (
            {"metrics": ("acuracy",)},
            "no metric is called 'acuracy'; closest: 'accuracy', 'binary_accuracy'",
        ),
        (
            {"metrics": ("PrecisionAtRecall",)},
            (
                "the metric 'PrecisionAtRecall' needs arguments, which a name cannot give; compile"
                " the model with it in Python and save it"
            ),
        ),
        (
            {"checkpoint_every": "50"},
            (
                "checkpoint every: a position needs a unit: '4 epochs', '2000 steps' or '60%' of"
                " the run; got '50'"
            ),
        ),
        ({"checkpoint_every": "0 steps"}, "checkpoint every: must be at least 1 step, got 0 steps"),
    ],
)
def test_settings_that_do_not_exist_are_refused(setting, tmp_path, options, message):
    expect_refusal(TrainingError, message, setting, tmp_path, **options)


def test_a_learning_rate_must_be_above_zero(setting, tmp_path):
    expect_refusal(
        TrainingError,
        f"{setting.model}: the learning rate must be above 0, got -1",
        setting,
        tmp_path,
        learning_rate=-1.0,
    )


def test_a_model_without_pruned_layers_is_refused(setting, tmp_path):
    save_model(build_model(), tmp_path / "plain.keras")
    made = Setting(str(tmp_path / "plain.keras"), setting.data, tmp_path)
    message = (
        f"{made.model}: no layer is pruned; give rules with -r RULES (rules in Python), or wrap the"
        " model first with"
        " graphprune apply"
    )
    expect_refusal(TrainingError, message, made, tmp_path)


def test_data_of_another_shape_is_refused(setting, tmp_path):
    made = Setting(setting.model, write_data(tmp_path / "data.npz", (5, 5)), tmp_path)
    expect_refusal(
        DataError,
        f"{made.data}: x has shape (5, 5), the model's input image takes (4, 4, 1); reshape the"
        " data to fit",
        made,
        tmp_path,
    )


def test_labels_that_the_loss_cannot_take_are_refused(setting, tmp_path):
    message = (
        f"{setting.data}: y_train holds class numbers, but categorical_crossentropy takes one-hot"
        " labels of 3 classes; use the loss sparse_categorical_crossentropy, or one-hot labels"
        " (keras.utils.to_categorical)"
    )
    expect_refusal(DataError, message, setting, tmp_path, loss="categorical_crossentropy")


def test_an_image_without_its_channel_axis_fits(setting, tmp_path):
    made = Setting(setting.model, write_data(tmp_path / "data.npz", (4, 4)), tmp_path)
    assert start(made, tmp_path / "run", 1).step == 1


def test_the_learning_rate_changes_and_slots_stay(tmp_path):
    model = wrap(build_dense_model("adam"), fc=ramp())
    with np.load(write_data(tmp_path / "data.npz")) as stored:
        model.fit(
            stored["x_train"],
            stored["y_train"],
            epochs=2,
            batch_size=8,
            verbose=0,
            callbacks=[UpdatePruningStep()],
        )
    setting = build_setting(tmp_path, model=model)
    for folder, options, iterations in (
        ("kept", {"learning_rate": 0.5}, 8),
        ("new", {"reset_optimizer": True}, 0),
        ("other", {"optimizer": "rmsprop"}, 0),
    ):
        start(setting, tmp_path / folder, 1, **options)
        optimizer = load_model(
            tmp_path / folder / "checkpoints" / "step-00000000" / "model.keras"
        ).optimizer
        assert int(optimizer.iterations) == iterations
        assert bool(optimizer.variables[1].numpy().any()) == (folder == "kept")
        assert float(optimizer.learning_rate) == pytest.approx(0.5 if folder == "kept" else 0.001)


RULES = """
version: 1
rules:
  - id: dense
    match: {name: fc}
    prune:
      sparsity: SPARSITY
      schedule: {curve: linear, begin: 0 steps, end: 2 epochs, every: 1 step}
"""


def plan_for(model, folder, sparsity):
    (folder / "prune.yaml").write_text(RULES.replace("SPARSITY", sparsity))
    return plan_with(read_graph(model), read_rules(folder / "prune.yaml"), path=model)


def test_a_run_keeps_its_plan_and_refuses_another(tmp_path):
    save_model(build_dense_model("adam"), tmp_path / "net.keras")
    setting = Setting(str(tmp_path / "net.keras"), write_data(tmp_path / "data.npz"), tmp_path)
    other, plan = plan_for(setting.model, tmp_path, "50%"), plan_for(setting.model, tmp_path, "75%")
    run = tmp_path / "run"
    train(setting.model, plan, setting.data, run, stop_after_step=7, **setting.options)
    assert plan_sha256(read_plan(run / "plan.json")) == plan_sha256(plan)
    assert (run / "rules" / "prune.yaml").read_text() == RULES.replace("SPARSITY", "75%")
    assert (
        graph_from_config(json.loads((run / "original.graph.json").read_text())).sha256
        == read_graph(setting.model).sha256
    )
    with pytest.raises(CheckpointError) as caught:
        resume(run, plan=other)
    assert (
        str(caught.value)
        == f"{run}: made from plan {plan_sha256(plan)[:4]}, this plan is {plan_sha256(other)[:4]};"
        " resume without rules, or apply the new rules to a copy first"
    )
    result = resume(run, plan=plan)
    assert (result.status, result.missed, [tensor.sparsity for tensor in result.tensors]) == (
        "finished",
        (),
        [0.75],
    )
