"""Print how long wrapping and stripping a whole model take.

Measured beside it: the TensorFlow toolkit (tfmot), and Keras's own copy (`clone_model`, then its
weights).

    pip install '.[bench]' && python benchmarks/surgery_speed.py [--rounds 5] [--only MODEL ...]

Seconds of processor time, the median of the rounds, in one process in which all take turns; in
parentheses, the median of the ratios to graphprune's time in the same round. graphprune returns a
clone and leaves the model as it was. tfmot puts the model's own layers into the new model, so it
gets a fresh copy to wrap, which is not counted. graphprune strips a model whose masks are chosen
and whose weights are zero there, as after training.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tfmot asks for it
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow_model_optimization as tfmot
import tf_keras

import graphprune
from graphprune.engine.masks import prune_at_once
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.pruner import held_layers
from graphprune.tf.pruning.surgery import strip_model

MODELS: dict[str, dict[str, Any]] = {
    "MobileNetV2": {"input_shape": (96, 96, 3)},
    "VGG16": {},
    "RegNetY080": {"include_preprocessing": False},
}
TOOLKIT = tfmot.sparsity.keras
Times = dict[str, float]


def main() -> None:
    """Time every model and print a row for each operation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=MODELS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'model':<12} {'':<6} graphprune {'tfmot':>16} {'Keras copy':>16}")
    for name in options.only or MODELS:
        model = getattr(tf_keras.applications, name)(weights=None, **MODELS[name])
        rounds = [_round(model) for _ in range(options.rounds + 1)][1:]
        for what in ("wrap", "strip"):
            print(_row(name, what, [times[what] for times in rounds]), flush=True)


def _round(model: tf_keras.Model) -> dict[str, Times]:
    """Return the seconds of each contestant, by operation."""
    wrap, strip = {}, {}
    wrap["graphprune"], wrapped = _time(
        lambda: graphprune.prune_low_magnitude(model, graphprune.ConstantSparsity(0.5, 0))
    )
    prune_at_once(held_layers(find_wrappers(wrapped)))
    strip["graphprune"], _ = _time(lambda: strip_model(wrapped))
    del wrapped
    copied, copy = _time(lambda: _copy(model))
    wrap["Keras copy"] = strip["Keras copy"] = copied
    wrap["tfmot"], wrapped = _time(
        lambda: tf_keras.models.clone_model(copy, clone_function=_wrap_by_toolkit)
    )
    strip["tfmot"], _ = _time(lambda: TOOLKIT.strip_pruning(wrapped))
    return {"wrap": wrap, "strip": strip}


def _copy(model: tf_keras.Model) -> tf_keras.Model:
    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def _wrap_by_toolkit(layer: Any) -> Any:
    """Return the layer in tfmot's wrapper.

    This is tfmot's own wrapping of a whole model, which refuses models with a TensorFlow operation
    in them.
    """
    if type(layer).__name__ in ("TFOpLambda", "Rescaling"):
        return layer
    return TOOLKIT.prune_low_magnitude(layer, TOOLKIT.ConstantSparsity(0.5, 0))


def _time(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def _row(name: str, what: str, rounds: list[Times]) -> str:
    def cell(other: str) -> str:
        ratio = statistics.median(times[other] / times["graphprune"] for times in rounds)
        return f"{statistics.median(times[other] for times in rounds):7.2f} ({ratio:5.2f}x)"

    own = statistics.median(times["graphprune"] for times in rounds)
    return f"{name:<12} {what:<6} {own:10.2f} {cell('tfmot'):>16} {cell('Keras copy'):>16}"


if __name__ == "__main__":
    main()
