"""Print how small and fast served files are, beside the dense model's, and what is wanted.

    python benchmarks/serving_speed.py [--only FIGURE ...] [--turns 20]

- files: MobileNetV2 at 96x96 with 85% of its weights zero, as `.keras` and `.h5`. A `.keras` file
  must be at most 1.02 times its size after gzip; an `.h5` file cannot (docs/architecture.md), and
  must be at most 3.1 MB, 1.02 times what gzip alone brought.
- blocks: three Dense layers of 2,048 units, 90% of them zero in blocks of 4 and of 16 inputs, as
  `.tflite`: at most 0.25 times the latency of the dense file on x86.
- int8: a small convolutional net without zeros, in 8 bits. What it brings depends on the processor:
  1.16 times the latency of float32 was measured on x86 with AVX2 and without VNNI.
- channels: ResNet50 at 96x96 with half of its channels zero, as it is and after
  `graphprune shrink`: at most 0.4 times the latency.

All commands are those of a user; `graphprune bench` measures latencies. Ratios are medians over its
turns, in which the files alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAYERS, UNITS = 3, 2048
EVERYTHING = """
version: 1
rules:
  - id: all
    match: "*"
    prune: {sparsity: 85%, schedule: {curve: constant, begin: 0 steps, every: 1 steps}}
"""


def main() -> None:
    """Print each figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=[*FIGURES])
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            FIGURES[name](Path(folder), str(options.turns))


def files(folder: Path, turns: str) -> None:
    """Compare raw sizes with those after gzip."""
    import keras
    import numpy as np

    net = keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)
    random = np.random.default_rng(1)  # also where Keras starts with zeros and ones
    net.set_weights([random.normal(size=values.shape) for values in net.get_weights()])
    model = save(net, folder)
    Path(folder, "all.yaml").write_text(EVERYTHING)
    outputs = [Path(folder, f"sparse{suffix}") for suffix in (".keras", ".h5")]
    given = [part for output in outputs for part in ("-o", output)]
    columns = json.loads(run("prune", model, "-r", folder / "all.yaml", *given, "--format", "json"))
    for column in columns[1:]:
        title, size = column["title"], f"{column['raw'] / 1e6:.2f} MB"
        ratio = f"{column['raw'] / column['gzip']:.3f} times gzip"
        if title.endswith(".h5"):
            tell("files", title, f"{ratio}, {size}", 3.1)
        else:
            tell("files", title, f"{size}, {ratio}", 1.02)


def blocks(folder: Path, turns: str) -> None:
    """Compare block-sparse `.tflite` files with the dense one."""
    import keras

    hidden = [keras.layers.Dense(UNITS, "relu") for _ in range(LAYERS)]
    stack = [keras.Input((784,)), *hidden, keras.layers.Dense(10)]
    model = save(keras.Sequential(stack), folder)
    made = [folder / "dense.tflite"]
    run("strip", model, "-o", made[0])
    for rules in ("block-4x1", "dense-blocks-16x1"):
        made.append(folder / f"{rules}.tflite")
        run("prune", model, "-r", f"builtin:{rules}", "--var", "final=0.9", "-o", made[-1])
    compare("blocks", made, turns, 0.25)


def int8(folder: Path, turns: str) -> None:
    """Compare a convolutional net in 8 bits with float32."""
    import keras
    import numpy as np
    from keras import layers

    stack = [keras.Input((96, 96, 3))]
    for filters in (32, 64, 128):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPool2D()]
    net = keras.Sequential([*stack, layers.Flatten(), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("sgd", loss, metrics=["accuracy"])
    model = save(net, folder)
    random = np.random.default_rng(1)
    x, y = random.random((64, 96, 96, 3), "float32"), random.integers(0, 10, 64)
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    made = [folder / "dense.tflite", folder / "int8.tflite"]
    run("strip", model, "-o", made[0])
    run("strip", model, "-o", made[1], "--quantize", "int8", "--data", folder / "data.npz")
    compare("int8", made, turns, None)


def channels(folder: Path, turns: str) -> None:
    """Compare ResNet50 with half of its channels zero, and without them."""
    import keras

    model = save(keras.applications.ResNet50(weights=None, input_shape=(96, 96, 3)), folder)
    zeroed, small = folder / "zeroed.keras", folder / "small.keras"
    run("prune", model, "-r", "builtin:channels-50", "-o", zeroed)
    run("shrink", zeroed, "-o", small)
    compare("channels", [model, zeroed, small], turns, 0.4, only=small)
    tflite = [folder / "zeroed.tflite", folder / "small.tflite"]
    for file, output in zip((zeroed, small), tflite, strict=True):
        run("strip", file, "-o", output)
    compare("channels", tflite, turns, 0.4)


def compare(
    figure: str, made: list[Path], turns: str, wanted: float | None, only: Path | None = None
) -> None:
    """Print the latency of each file, its ratio to the first, and the ratio that is wanted."""
    found = json.loads(run("bench", *made, "--turns", turns, "--format", "json"))
    for place, model in zip(made, found["models"], strict=True):
        latency = model["latency"]
        is_held = place != made[0] and only in (None, place)
        tell(
            figure,
            place.name,
            f"{model['raw'] / 1e6:6.2f} MB, {1000 * latency['median']:8.3f} ms,"
            f" {latency['ratio']:.2f} times the first",
            wanted if is_held else None,
        )


def tell(figure: str, name: str, text: str, wanted: float | None) -> None:
    """Print one line."""
    print(f"{figure:<9} {name:<24} {text}{f' (≤ {wanted})' if wanted else ''}", flush=True)


def save(model: Any, folder: Path) -> Path:
    """Save a model, and return where."""
    path = folder / "model.keras"
    model.save(path)
    return path


def run(*arguments: str | Path) -> str:
    """Run a command of graphprune; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "graphprune", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return done.stdout


FIGURES: dict[str, Callable[[Path, str], None]] = {
    "files": files,
    "blocks": blocks,
    "int8": int8,
    "channels": channels,
}

if __name__ == "__main__":
    main()
