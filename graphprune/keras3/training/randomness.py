"""Random numbers of layers (dropout, noise, augmentation) whose state is saved and restored.

Layers of Keras 3 draw from seed generators, whose state is a variable. On PyTorch, dropout without
a seed draws from the global generator of the process. So does each new iterator of a `DataLoader`,
and a resumed run has others than an uninterrupted one: training steps have a state of their own,
which is set when a step begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphprune.errors import CheckpointError
from graphprune.keras3.backend import read_generator, seed_generator, sync, write_generator
from graphprune.keras3.optimizers import copy_of
from graphprune.keras3.state import seed_generators

_GLOBAL = "global"


class Randomness:
    """The random generators of a model under training.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model, self._generators = model, seed_generators(model)
        self._in_steps = read_generator()

    def to_arrays(self) -> dict[str, Any]:
        """Return the state of every generator by number, and that of the process in steps."""
        sync(self._model)
        found: dict[str, Any] = {
            str(index): copy_of(generator.state) for index, generator in enumerate(self._generators)
        }
        return found if self._in_steps is None else {**found, _GLOBAL: self._in_steps}

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Restore what `to_arrays` returned; that of the process is set by `begin_step`.

        Raises:
            CheckpointError: the model has other generators.
        """
        states = {name: array for name, array in arrays.items() if name != _GLOBAL}
        wanted = {
            str(index): tuple(generator.state.shape)
            for index, generator in enumerate(self._generators)
        }
        if wanted != {name: array.shape for name, array in states.items()}:
            raise CheckpointError(
                f"the checkpoint holds the state of {len(states)} random generators, the model has"
                f" {len(wanted)}; start a new run"
            )
        for name, array in states.items():
            self._generators[int(name)].state.assign(array)
        self._in_steps = arrays.get(_GLOBAL, self._in_steps)

    def begin_step(self) -> None:
        """Set the generator of the process to its state at the end of the step before."""
        if self._in_steps is not None:
            write_generator(self._in_steps)

    def end_step(self) -> None:
        """Keep the state of the generator of the process."""
        self._in_steps = read_generator()


@contextmanager
def saved_randomness(model: Any, seed: int) -> Iterator[Randomness]:
    """Let every layer of `model` draw from a generator seeded by `seed` and its place.

    The generator of the process is restored afterwards. Functions of a Lambda that draw from
    `keras.random` without a seed generator are not covered.
    """
    before = read_generator()
    for index, generator in enumerate(seed_generators(model)):
        start = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
        dtype = generator.state.dtype  # int64 on TensorFlow, uint32 on JAX, int32 on PyTorch
        generator.state.assign(np.array([start & np.iinfo(dtype).max, 0], dtype))
    seed_generator(seed)
    try:
        yield Randomness(model)
    finally:
        if before is not None:
            write_generator(before)
