"""Random numbers of layers (dropout, noise, augmentation) whose state can be saved and restored.

Keras layers draw from operations whose state is inside TensorFlow's kernels and cannot be read.
During training they draw from `tf.random.Generator` instead, whose state is a variable. Model files
must not show that, so the layers have their original settings while a file is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src.backend import RandomGenerator

from graphprune.errors import CheckpointError
from graphprune.tf.layers.replicas import copies


@dataclass(frozen=True, slots=True)
class Randomness:
    """The random generators of a model under training.

    Attributes:
        switched: Keras's generators that were switched, each with its original type and seed.
        generators: All generators in the order of the layers.
    """

    switched: tuple[tuple[RandomGenerator, str, int | None], ...]
    generators: tuple[tf.random.Generator, ...]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the state of every generator by number; on several replicas each has its own."""
        return {str(index): state.numpy() for index, state in enumerate(self._states())}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore what `to_arrays` returned.

        Raises:
            CheckpointError: the model has other generators.
        """
        states = self._states()
        wanted = {str(index): state.shape.as_list() for index, state in enumerate(states)}
        if wanted != {name: list(array.shape) for name, array in arrays.items()}:
            raise CheckpointError(
                f"the checkpoint holds the state of {len(arrays)} random generators, the model has"
                f" {len(wanted)}; start a new run"
            )
        for name, array in arrays.items():
            states[int(name)].assign(array)

    def _states(self) -> list[tf.Variable]:
        return [state for generator in self.generators for state in copies(generator.state)]

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Give the layers their original settings while a file is written."""
        for generator, kind, _ in self.switched:
            generator._rng_type = kind
        try:
            yield
        finally:
            for generator, _, _ in self.switched:
                generator._rng_type = RandomGenerator.RNG_STATEFUL


@contextmanager
def saved_randomness(model: tf_keras.Model, seed: int) -> Iterator[Randomness]:
    """Let every layer of `model` draw from a generator seeded by `seed` and its place.

    Everything is restored afterwards. It covers Keras's random layers, recurrent cells with
    dropout, and custom layers that hold a `tf.random.Generator`, but no Lambda that calls
    `tf.random`.
    """
    switched, generators = [], []
    for index, found in enumerate(_find_generators(model)):
        start = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
        if isinstance(found, RandomGenerator):
            switched.append((found, found._rng_type, found._seed))
            generators.append(_switch(found, start))
        else:
            found.reset_from_seed(start)
            generators.append(found)
    randomness = Randomness(tuple(switched), tuple(generators))
    try:
        yield randomness
    finally:
        for generator, kind, old_seed in switched:
            generator._rng_type, generator._seed = kind, old_seed


def _find_generators(model: tf_keras.Model) -> list[Any]:
    found: dict[int, Any] = {}
    for layer in model._flatten_layers():
        for value in vars(layer).values():
            if isinstance(value, RandomGenerator | tf.random.Generator):
                found.setdefault(id(value), value)
    return list(found.values())


def _switch(generator: RandomGenerator, seed: int) -> tf.random.Generator:
    generator._rng_type, generator._seed, generator._built = (
        RandomGenerator.RNG_STATEFUL,
        seed,
        False,
    )
    generator._maybe_init()
    return generator._generator
