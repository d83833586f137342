"""Models whose epochs have the metrics that the early check says, in the Keras that is given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphprune.engine.early_checks import check_early
from graphprune.engine.metric_names import find_metric_names
from graphprune.errors import TrainingError
from graphprune.graph import open_model_file

ONE = "sparse_categorical_crossentropy"
CLASSES = 6  # top 5 accuracy of fewer is an error on JAX in Keras 3.3
TWO = {"heads": ONE, "size": "mse"}
CASES: tuple[tuple[bool, Any, Any, bool], ...] = (
    # several outputs?, loss, metrics, known for sure?
    (False, ONE, None, True),
    (False, ONE, ["accuracy"], True),
    (False, ONE, ["acc", ONE, "sparse_top_k_categorical_accuracy"], True),
    (False, ONE, ["SparseCategoricalAccuracy"], False),
    (True, TWO, None, True),
    (True, TWO, {"heads": ["accuracy"], "size": ["mse", "mae"]}, True),
    (True, TWO, {"size": "mean_absolute_error"}, True),
    (True, ["mse", "mse"], [["mae"], ["mse"]], False),
    (True, "mse", None, True),
)


def check_names_of_metrics(keras: Any, version: int, folder: Path) -> None:
    """Compare what the file says with what an epoch has, for each case."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(8, 4)).astype("float32"), np.arange(8) % 3
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_val=x, y_val=y)
    # Keras 3.3 and 3.4 report no loss of each output
    is_old = keras.__version__.startswith(("3.3.", "3.4."))
    for number, (several, loss, metrics, is_sure) in enumerate(CASES):
        inputs = keras.Input((4,), name="x")
        outputs = [keras.layers.Dense(CLASSES, activation="softmax", name="heads")(inputs)]
        if several:
            outputs.append(keras.layers.Dense(1, name="size")(inputs))
        model = keras.Model(inputs, outputs if several else outputs[0])
        model.compile("sgd", loss, metrics=metrics, run_eagerly=True)
        labels: Any = [y.reshape(-1, 1), x[:, :1]] if several else y
        measured = model.test_on_batch(x, labels, return_dict=True)
        path = folder / f"{number}.keras"
        model.save(path)
        saved = open_model_file(path)
        named = tuple(one.name for one in model.layers if isinstance(one, keras.layers.Dense))
        found = find_metric_names(saved, named, loss, None)
        again = find_metric_names(saved, named, loss, metrics or [])
        if metrics is not None:
            assert again == found
        assert (found is not None) == is_sure, (number, found)
        losses = {f"{name}_loss" for name in named} if is_old else set()
        assert found is None or set(found) - losses == set(measured), (number, found, measured)
        if several:
            continue
        for name in measured:  # a right name is never refused
            for watched in (name, f"val_{name}"):
                arguments = {"early_stopping": watched, "keep_best": watched}
                check_early(saved, str(folder / "data.npz"), arguments, version)
        wrong = {"keep_best": "val_los"}
        if not is_sure:
            check_early(saved, str(folder / "data.npz"), wrong, version)
            continue
        with pytest.raises(TrainingError, match="closest: 'val_loss'; available: loss"):
            check_early(saved, str(folder / "data.npz"), wrong, version)
