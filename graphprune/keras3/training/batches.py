"""Batches as `fit` of Keras 3 takes them: those of the rest of a run, and those of validation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

from graphprune.engine.faults import find_place
from graphprune.errors import GraphpruneError

_PEEKED = 4
"""Batches that are kept, because Keras looks at the first ones before it trains on them."""


class ReadingFault(Exception):
    """Reading a batch of the user's data failed."""


class RunBatches(keras.utils.PyDataset):
    """The batches of the rest of a run, in one pass.

    Args:
        batches: Yields the batches that are left, endlessly.
        first: A batch that stands for those of the begun epoch that were trained on before.
        done: The number of these.
        count: The batches of the rest of the run, these included.
    """

    def __init__(self, batches: Iterator[Any], first: Any, done: int, count: int) -> None:
        super().__init__()
        self._batches, self._first, self._done, self._count = batches, first, done, count
        self._next, self._kept = 0, dict[int, Any]()

    def __len__(self) -> int:
        return self._count + 1  # Keras begins again at the end, which must not be reached

    def __getitem__(self, index: int) -> Any:
        """Return a batch; those after the first few are asked for in their order."""
        number = index - self._done
        if number < 0:
            return self._first
        while self._next <= number:
            self._kept[self._next] = self._read()
            self._kept.pop(self._next - _PEEKED, None)
            self._next += 1
        return self._kept.get(number, self._first)

    def _read(self) -> Any:
        try:
            return next(self._batches)
        except GraphpruneError:
            raise
        except Exception as fault:
            if keras.config.backend() == "tensorflow":
                raise  # it becomes an error of TensorFlow, with this one's place in its text
            place = find_place(fault)
            said = f"{type(fault).__name__}: {fault}"
            raise ReadingFault(f"{said} ({place})" if place else said) from fault


class NumberedBatches(keras.utils.PyDataset):
    """Batches by number, always in the same order, as validation needs them."""

    def __init__(self, count: int, read: Callable[[int], Any]) -> None:
        super().__init__()
        self._count, self._read_batch = count, read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        """Return a batch."""
        return self._read_batch(index)


class WeightedBatches(keras.utils.PyDataset):
    """Batches with the weights of their classes, which Keras 3.6 and 3.7 do not add.

    There `fit(class_weight=)` fails on TensorFlow, and does nothing on JAX, with a PyDataset.

    Args:
        batches: Batches of inputs and labels, without weights of samples.
        weights: The weight of each class.
    """

    def __init__(self, batches: Any, weights: Mapping[int, float]) -> None:
        super().__init__()
        self._batches, self._weights = batches, dict(weights)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        """Return inputs, labels and the weight of each sample."""
        inputs, labels = self._batches[index]
        return inputs, labels, class_weight_to_sample_weights(labels, self._weights)


def with_fixed_size(batches: Any, first: Any) -> Any:
    """Return batches that are all as long as `first`, as TensorFlow needs it for stateful layers.

    Keras gives TensorFlow's layers the batches of a PyDataset without their length.
    """
    if keras.config.backend() != "tensorflow" or not isinstance(batches, keras.utils.PyDataset):
        return batches
    tensorflow = sys.modules["tensorflow"]
    spec = keras.tree.map_structure(
        lambda array: tensorflow.TensorSpec(array.shape, array.dtype), first
    )
    return tensorflow.data.Dataset.from_generator(
        lambda: (batches[index] for index in range(len(batches))), output_signature=spec
    )
