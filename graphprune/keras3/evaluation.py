"""Accuracy of live Keras 3 models on the data of an `.npz` file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphprune.engine.faults import explain_fault
from graphprune.errors import DataError
from graphprune.runs.samples import is_data_function, read_samples


def measure_accuracies(models: Sequence[Any], spec: str) -> list[float | None]:
    """Return the accuracy of each model, 0 to 1, on the test set or else on the training set.

    None for a model that is not compiled, or has no accuracy among its metrics.

    Raises:
        DataError: the data is missing or damaged, or does not fit a model.
    """
    if is_data_function(spec):
        raise DataError(
            "the accuracy of Keras 3 models is measured on an .npz file; give one", place=spec
        )
    samples = read_samples(spec)
    data = samples.x_train, samples.y_train
    if samples.x_test is not None and samples.y_test is not None:
        data = samples.x_test, samples.y_test
    return [_measure(model, *data, spec) for model in models]


def _measure(model: Any, x: Any, y: Any, spec: str) -> float | None:
    if not model.compiled:
        return None
    try:
        found = model.evaluate(x, y, verbose=0, return_dict=True)
    except Exception as fault:  # backends raise their own errors
        raise DataError(
            f"the data does not fit {model.name}: {explain_fault(fault)}", place=spec
        ) from fault
    return next((float(value) for name, value in found.items() if "acc" in name), None)
