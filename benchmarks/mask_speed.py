"""Print how long choosing the mask of 4,194,304 float32 weights takes.

Measured beside it: the TensorFlow toolkit's own functions (tfmot) and `np.partition`.

    pip install '.[bench]' && python benchmarks/mask_speed.py [ROUNDS]

Milliseconds of wall time, the median of 5 rounds (or ROUNDS) that take turns, after one round to
warm up. The toolkit's functions run compiled (`tf.function`), as they do in training. Run it on an
idle machine.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tfmot asks for it
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule

from graphprune.sparsity.patterns import (
    UNSTRUCTURED,
    Block,
    Channel,
    KeepOf,
    Pattern,
    select_pattern_mask,
)

SHAPE = (4096, 1024)
AXES = ("in", "out")
SHARE = 0.9

Run = Callable[[], Any]


def main() -> None:
    """Time each pattern on fresh weights.

    Unstructured masks are also timed on weights that are 80% zeros, as between two updates.
    """
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    fresh = np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    pruned = np.where(np.random.default_rng(1).random(SHAPE) < 0.8, 0, fresh).astype("float32")
    print(f"{'pattern':<44} graphprune     tfmot  np.partition")
    for name, weights, pattern, toolkit in (
        ("unstructured", fresh, UNSTRUCTURED, _toolkit()),
        ("unstructured, 80% zeros before", pruned, UNSTRUCTURED, _toolkit()),
        ("block", fresh, Block((("in", 4), ("out", 1))), _toolkit([4, 1])),
        ("block", fresh, Block((("in", 1), ("out", 4)), "max"), _toolkit([1, 4], "MAX")),
        ("block", fresh, Block((("in", 16), ("out", 16))), _toolkit([16, 16])),
        ("keep", fresh, KeepOf(2, 4, "in"), _toolkit(zeros=(2, 4))),
        ("keep", fresh, KeepOf(1, 4, "in"), _toolkit(zeros=(3, 4))),
        ("keep", fresh, KeepOf(4, 8, "in"), _toolkit(zeros=(4, 8))),
        ("keep", fresh, KeepOf(2, 4, "out"), None),
        ("channel", fresh, Channel("out"), None),
    ):
        print(
            _row(
                name if pattern == UNSTRUCTURED else str(pattern),
                _medians(_contestants(weights, pattern, toolkit), rounds),
            ),
            flush=True,
        )


def _contestants(
    weights: np.ndarray, pattern: Pattern, toolkit: Callable[[tf.Tensor], Any] | None
) -> dict[str, Run]:
    share = 1 - pattern.keep / pattern.of if isinstance(pattern, KeepOf) else SHARE
    runs: dict[str, Run] = {
        "graphprune": lambda: select_pattern_mask(weights, pattern, share, AXES)
    }
    if toolkit is not None:
        tensor = tf.constant(weights)
        runs["tfmot"] = lambda: toolkit(tensor)[1].numpy()
    if pattern == UNSTRUCTURED:
        runs["np.partition"] = lambda: np.partition(
            np.abs(weights).ravel(), int(weights.size * SHARE)
        )
    return runs


def _toolkit(
    block: list[int] | None = None, pool: str = "AVG", zeros: tuple[int, int] | None = None
) -> Callable[[tf.Tensor], Any]:
    schedule = pruning_schedule.ConstantSparsity(SHARE, 0)
    pruning = pruning_impl.Pruning(
        lambda: tf.constant(0), [], schedule, block or [1, 1], pool, zeros
    )
    compiled: Callable[[tf.Tensor], Any] = tf.function(pruning._maybe_update_block_mask)
    return compiled


def _medians(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Return the median time of each in milliseconds.

    They take turns, so that other load on the machine affects all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(found) for name, found in times.items()}


def _row(name: str, found: dict[str, float]) -> str:
    own = found["graphprune"]
    others = (
        f"{found[other]:8.1f} ({found[other] / own:5.1f}x)" if other in found else f"{'-':>17}"
        for other in ("tfmot", "np.partition")
    )
    return f"{name:<44} {own:8.1f}  {'  '.join(others)}"


if __name__ == "__main__":
    main()
