"""Training on several replicas, in a process of its own: devices and clusters must be set up before
TensorFlow starts.

`python distributed_cases.py mirrored FOLDER` has two logical CPU devices; `python
distributed_cases.py workers` is one worker of the cluster in TF_CONFIG. Each prints one line of
JSON: for each case the weights that training began with, and what every replica holds at its end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from commands import run_command
from reference_training import BATCH, RATE, X, Y, small_model
from run_builders import BATCH as RUN_BATCH
from run_builders import EPOCHS, assert_same_bits, build_setting
from tf_zoo import wrap_all

from graphprune.errors import GraphpruneError
from graphprune.runs.run_options import Compiling
from graphprune.sparsity.positions import Run
from graphprune.tf.layers.replicas import copies
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.pruner import Pruner
from graphprune.tf.pruning.surgery import strip_model
from graphprune.tf.training.compiling import compile_model
from graphprune.tf.training.data import read_data
from graphprune.tf.training.strategies import open_spread
from graphprune.training import train

HALF = len(X) // 2


def state(model: tf_keras.Model) -> list[dict]:
    """Return what each replica of this process holds: weights, masks, and step counts of both
    layers.
    """
    wrappers = [model.get_layer(name) for name in "ab"]
    count = len(copies(wrappers[0].pruning_step))
    return [
        {
            "weights": [
                copies(weight)[at].numpy().tolist()
                for wrapper in wrappers
                for weight in wrapper.layer.weights
            ],
            "masks": [
                copies(wrapper.pruning_vars[0][1])[at].numpy().tolist() for wrapper in wrappers
            ],
            "steps": [
                [
                    int(copies(counter)[at].numpy())
                    for counter in (wrapper.pruning_step, wrapper.last_update)
                ]
                for wrapper in wrappers
            ],
        }
        for at in range(count)
    ]


def start_of(model: tf_keras.Model) -> list[list[float]]:
    return [
        weight.numpy().tolist()
        for name in "ab"
        for weight in getattr(model.get_layer(name), "layer", model.get_layer(name)).weights
    ]


def wrapped() -> tf_keras.Model:
    return wrap_all(small_model(), end=11, every=3)


def fit(model: tf_keras.Model, part: slice = slice(None)) -> None:
    model.fit(
        X[part],
        Y[part],
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        callbacks=[UpdatePruningStep(Run())],
    )


def fit_in_scope(strategy: tf.distribute.Strategy, optimizer: str = "SGD", **settings) -> dict:
    with strategy.scope():
        model = wrapped()
        model.compile(getattr(tf_keras.optimizers, optimizer)(RATE), "mse", **settings)
    start = start_of(model)
    fit(model)
    return {"start": start, "replicas": state(model)}


def accumulated(strategy: tf.distribute.Strategy, *, scaled: bool) -> dict:
    """Three batches in an update."""
    with strategy.scope():
        model = wrapped()
        optimizer = tf_keras.optimizers.SGD(RATE)
        if scaled:
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
        model.compile(optimizer, "mse")
        compile_model(model, Compiling(gradient_accumulation=3), "small")
    start = start_of(model)
    fit(model)
    return {"start": start, "replicas": state(model)}


def saved_and_resumed(strategy: tf.distribute.Strategy, folder: Path) -> dict:
    """Wrap and strip outside of the scope, save within the schedule, go on with the file."""
    with strategy.scope():
        plain = small_model()
        plain.compile(tf_keras.optimizers.SGD(RATE), "mse")
    start, model = start_of(plain), wrap_all(plain, end=11, every=3)
    fit(model, slice(HALF))
    save_model(model, folder / "half.keras")
    with strategy.scope():
        again = load_model(folder / "half.keras")
    fit(again, slice(HALF, None))
    stripped = strip_model(again)
    return {
        "start": start,
        "replicas": state(again),
        "stripped": start_of(stripped),
        "updates": int(stripped.optimizer.iterations.numpy()),
        "copies": len(copies(stripped.get_layer("a").kernel)),
    }


def custom_loop(strategy: tf.distribute.Strategy) -> dict:
    """Wrap a model of no strategy inside the scope; the pruner stands between the steps, and may
    not stand in them.
    """
    plain = small_model()
    with strategy.scope():
        model, optimizer = wrap_all(plain, end=11, every=3), tf_keras.optimizers.legacy.SGD(RATE)
    start, pruner = start_of(model), Pruner(model)
    pruner.start(Run())

    def update(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((model(x, training=True) - y) ** 2) / Y[:BATCH].size
        optimizer.apply_gradients(
            zip(
                tape.gradient(loss, model.trainable_variables),
                model.trainable_variables,
                strict=True,
            )
        )

    step = tf.function(lambda batch: strategy.run(update, batch))
    data = tf.data.Dataset.from_tensor_slices((X.astype("float32"), Y.astype("float32"))).batch(
        BATCH
    )
    for batch in strategy.experimental_distribute_dataset(data):
        step(batch)
        pruner.on_step()
    return {
        "start": start,
        "replicas": state(model),
        "refused": [
            refusal(lambda: strategy.run(pruner.on_step)),
            refusal(tf.function(pruner.on_step)),
        ],
    }


def mixed_precision(strategy: tf.distribute.Strategy) -> dict:
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        with strategy.scope():
            model = wrapped()
            model.compile(
                tf_keras.mixed_precision.LossScaleOptimizer(
                    tf_keras.optimizers.SGD(0.05), initial_scale=2.0**20
                ),
                "mse",
            )
        fit(model)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    return {"replicas": state(model), "scale": float(model.optimizer.loss_scale)}


def run_folder(folder: Path) -> dict:
    """A run that is interrupted in the middle of an epoch and resumed by its folder alone, beside
    one that is not; dropout, batch statistics and Adam in it.
    """
    setting = build_setting(folder)
    whole = train(
        setting.model,
        None,
        setting.data,
        folder / "whole",
        strategy="mirrored:2",
        **setting.options,
    )
    options = [
        "--epochs",
        EPOCHS,
        "--batch-size",
        RUN_BATCH,
        "--checkpoint-every",
        "3 steps",
        "--seed",
        11,
        "--strategy",
        "mirrored:2",
        "--stop-after",
        7,
    ]
    commands = [
        run_command(
            "train", setting.model, "--data", setting.data, "--run", folder / "cut", *options
        ),
        run_command("resume", folder / "cut"),
    ]
    assert_same_bits(whole.model, folder / "cut" / "model.keras")
    return {
        "codes": [command.code for command in commands],
        "errors": [command.err for command in commands],
        "going_on": "going on from" in commands[1].out,
        "metrics": [(folder / name / "metrics.jsonl").read_text() for name in ("whole", "cut")],
        "missed": len(whole.missed),
        "steps": whole.step,
    }


def shared_batches(strategy: tf.distribute.Strategy, folder: Path) -> dict:
    """What each replica is given of 31 samples in batches of 8, for two epochs."""
    np.savez(folder / "counted.npz", x_train=np.arange(31), y_train=np.arange(31))
    data = read_data(str(folder / "counted.npz"), batch_size=8, replicas=2)
    batches = iter(strategy.experimental_distribute_dataset(data.batches()))
    shares = [
        [share.numpy().tolist() for share in strategy.experimental_local_results(next(batches)[0])]
        for _ in range(2 * data.steps_per_epoch)
    ]
    return {
        "steps": data.steps_per_epoch,
        "shares": shares,
        "orders": [data.order(epoch).tolist() for epoch in (0, 1)],
    }


def refusals(folder: Path) -> list[str]:
    """What is refused: a strategy that there is not, more devices than were made, a batch that
    cannot be shared.
    """
    path = str(folder / "counted.npz")
    found = [
        refusal(lambda name=name: open_spread(name))
        for name in ("mirror", "mirrored:0", "mirrored:3")
    ]
    found += [
        refusal(lambda size=size: read_data(path, batch_size=size, replicas=2)).replace(
            path, "FILE"
        )
        for size in (1, 7)
    ]
    found.append(refusal(lambda: read_data(path, replicas=40)).replace(path, "FILE"))
    return found


def other_strategy() -> str:
    with tf.distribute.experimental.CentralStorageStrategy().scope():
        model = wrapped()
    return refusal(lambda: Pruner(model).start(Run()))


def refusal(call: Callable[[], object]) -> str:
    """Return what the call is refused with."""
    try:
        call()
    except GraphpruneError as fault:
        return str(fault)
    return "not refused"


def run_mirrored(folder: Path) -> dict:
    strategy = open_spread("mirrored:2").strategy
    return {
        "fit": fit_in_scope(strategy),
        "steps_per_execution": fit_in_scope(strategy, steps_per_execution=8),
        "saved_and_resumed": saved_and_resumed(strategy, folder),
        "custom_loop": custom_loop(strategy),
        "mixed_precision": mixed_precision(strategy),
        "accumulated": accumulated(strategy, scaled=False),
        "accumulated_scaled": accumulated(strategy, scaled=True),
        "other_strategy": other_strategy(),
        "run_folder": run_folder(folder),
        "shared_batches": shared_batches(strategy, folder),
        "refusals": refusals(folder),
    }


def run_worker() -> dict:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return {"fit": fit_in_scope(strategy), "replicas": strategy.num_replicas_in_sync}


if __name__ == "__main__":
    answer = run_worker() if sys.argv[1] == "workers" else run_mirrored(Path(sys.argv[2]))
    sys.stdout.write(json.dumps(answer) + "\n")
