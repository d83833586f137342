"""Runs a written file on any number of samples, to measure its accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.serving.outputs import Arrays, open_saved_model, served_input
from graphprune.serving.running import Runner, open_runner
from graphprune.serving.runtimes import RunnerSpec
from graphprune.serving.tflite_forms import split_samples

Computed = dict[str, NDArray[Any]]


@contextmanager
def open_predictor(path: Path) -> Iterator[Callable[[Arrays], Computed]]:
    """Give a function that returns the outputs of a written file, by name, from named inputs.

    `.tflite` and `.onnx` files run in a process of their own, SavedModel folders in this one.

    Raises:
        RunnerError: the file does not run.
    """
    if path.is_dir():
        yield open_saved_model(path)
        return
    with open_runner(RunnerSpec.of_file(path)) as runner:
        yield lambda inputs: _predict(runner, inputs)


def _predict(runner: Runner, inputs: Arrays) -> Computed:
    named = _as_named(inputs, [given.name for given in runner.inputs])
    count = len(next(iter(named.values())))
    fixed = next((given.shape[0] for given in runner.inputs if given.shape), None)
    parts = [runner.outputs(part) for part in split_samples(named, fixed or count)]
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}


def _as_named(inputs: Arrays, names: Sequence[str]) -> Arrays:
    """Return inputs by the names of a file; a single one is meant whatever its name.

    Example:
        >>> list(_as_named({"image": np.ones(1)}, ["keras_tensor_4"]))
        ['keras_tensor_4']
        >>> list(_as_named({"b": np.ones(1), "my_a": np.ones(1)}, ["my-a", "b"]))
        ['my-a', 'b']
    """
    if len(names) == 1:
        return {names[0]: next(iter(inputs.values()))}
    return {name: inputs[served_input(name)] for name in names}
