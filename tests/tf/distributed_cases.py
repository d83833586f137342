"""Training on several replicas, in a process of its own: devices and clusters must be set up before TensorFlow starts.

`python distributed_cases.py mirrored FOLDER` has two logical CPU devices; `python distributed_cases.py workers` is one worker of the cluster in TF_CONFIG. Each
prints one line of JSON: for each case the weights that training began with, and what every replica holds at its end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
import tf_keras
from reference_training import BATCH, RATE, X, Y, small_model
from tf_zoo import wrap_all

from graphprune.errors import TrainingError
from graphprune.sparsity.positions import Run
from graphprune.tf.callbacks import UpdatePruningStep
from graphprune.tf.loading import load_model
from graphprune.tf.pruner import Pruner
from graphprune.tf.replicas import copies
from graphprune.tf.saving import save_model
from graphprune.tf.surgery import strip_model

HALF = len(X) // 2


def state(model: tf_keras.Model) -> list[dict]:
    """Return what each replica of this process holds: weights, masks, and step counts of both layers."""
    wrappers = [model.get_layer(name) for name in "ab"]
    count = len(copies(wrappers[0].pruning_step))
    return [
        {
            "weights": [copies(weight)[at].numpy().tolist() for wrapper in wrappers for weight in wrapper.layer.weights],
            "masks": [copies(wrapper.pruning_vars[0][1])[at].numpy().tolist() for wrapper in wrappers],
            "steps": [[int(copies(counter)[at].numpy()) for counter in (wrapper.pruning_step, wrapper.last_update)] for wrapper in wrappers],
        }
        for at in range(count)
    ]


def start_of(model: tf_keras.Model) -> list[list[float]]:
    return [weight.numpy().tolist() for name in "ab" for weight in getattr(model.get_layer(name), "layer", model.get_layer(name)).weights]


def wrapped() -> tf_keras.Model:
    return wrap_all(small_model(), end=11, every=3)


def fit(model: tf_keras.Model, part: slice = slice(None)) -> None:
    model.fit(X[part], Y[part], batch_size=BATCH, shuffle=False, verbose=0, callbacks=[UpdatePruningStep(Run())])


def fit_in_scope(strategy: tf.distribute.Strategy, optimizer: str = "SGD", **settings) -> dict:
    with strategy.scope():
        model = wrapped()
        model.compile(getattr(tf_keras.optimizers, optimizer)(RATE), "mse", **settings)
    start = start_of(model)
    fit(model)
    return {"start": start, "replicas": state(model)}


def saved_and_resumed(strategy: tf.distribute.Strategy, folder: Path) -> dict:
    """Wrap and strip outside of the scope, save in the middle of the schedule, go on with the file."""
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
    """Wrap a model of no strategy inside the scope; the pruner stands between the steps, and may not stand in them."""
    plain = small_model()
    with strategy.scope():
        model, optimizer = wrap_all(plain, end=11, every=3), tf_keras.optimizers.legacy.SGD(RATE)
    start, pruner = start_of(model), Pruner(model)
    pruner.start(Run())

    def update(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((model(x, training=True) - y) ** 2) / Y[:BATCH].size
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True))

    step = tf.function(lambda batch: strategy.run(update, batch))
    data = tf.data.Dataset.from_tensor_slices((X.astype("float32"), Y.astype("float32"))).batch(BATCH)
    for batch in strategy.experimental_distribute_dataset(data):
        step(batch)
        pruner.on_step()
    return {"start": start, "replicas": state(model), "refused": [refusal(lambda: strategy.run(pruner.on_step)), refusal(tf.function(pruner.on_step))]}


def mixed_precision(strategy: tf.distribute.Strategy) -> dict:
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        with strategy.scope():
            model = wrapped()
            model.compile(tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.SGD(0.05), initial_scale=2.0**20), "mse")
        fit(model)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    return {"replicas": state(model), "scale": float(model.optimizer.loss_scale)}


def other_strategy() -> str:
    with tf.distribute.experimental.CentralStorageStrategy().scope():
        model = wrapped()
    return refusal(lambda: Pruner(model).start(Run()))


def refusal(call: Callable[[], object]) -> str:
    """Return what the call is refused with."""
    try:
        call()
    except TrainingError as fault:
        return str(fault)
    return "not refused"


def run_mirrored(folder: Path) -> dict:
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return {
        "fit": fit_in_scope(strategy),
        "steps_per_execution": fit_in_scope(strategy, steps_per_execution=8),
        "saved_and_resumed": saved_and_resumed(strategy, folder),
        "custom_loop": custom_loop(strategy),
        "mixed_precision": mixed_precision(strategy),
        "other_strategy": other_strategy(),
    }


def run_worker() -> dict:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return {"fit": fit_in_scope(strategy), "replicas": strategy.num_replicas_in_sync}


if __name__ == "__main__":
    answer = run_worker() if sys.argv[1] == "workers" else run_mirrored(Path(sys.argv[2]))
    sys.stdout.write(json.dumps(answer) + "\n")
