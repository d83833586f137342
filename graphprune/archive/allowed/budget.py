"""How much a config may make Keras allocate, in proportion to the weights in the file.

A config of a few bytes may ask for a Dense of 10 ** 9 units, an LSTM unrolled over 10 ** 6 steps,
or a state for a batch of 10 ** 9. A real file holds the weights that its config asks for, so
variables may take a few times their bytes, plus a fixed amount for variables that are not in files
(metrics, states of recurrent layers).
"""

from __future__ import annotations

import math
from typing import Any

from graphprune.archive.archive import Archive
from graphprune.errors import ArchiveError

FREE = 512 * 2**20
"""Bytes of variables that any model may have, whatever its file holds."""
TIMES = 8
"""How many times the bytes of the weights in the file: some optimizers keep three values for each
weight, and types may be widened.
"""
MAX_STEPS = 10_000
"""Steps of an unrolled recurrent layer, each of which becomes separate operations."""


class Budget:
    """The bytes that may still be allocated."""

    def __init__(self, archive: Archive) -> None:
        self._place = archive.path
        stored = sum(
            math.prod(tensor.shape) * 8 for tensors in archive.stored.values() for tensor in tensors
        )
        self._held = stored
        self._left = FREE + TIMES * stored

    def spend(self, shape: Any, size: int) -> None:
        """Subtract a tensor's bytes; unknown dimensions are ignored."""
        known = [int(length) for length in shape if length is not None] if shape is not None else []
        wanted = math.prod(known) * size
        if wanted > self._left:
            raise ArchiveError(
                f"its config asks for a tensor of {wanted:,} bytes (shape {known}),"
                f" and the file holds weights of at most {self._held:,}; the file is damaged, save"
                " the model again",
                place=self._place,
            )
        self._left -= wanted

    def check_steps(self, steps: int) -> None:
        """Refuse a recurrent layer that is unrolled over too many steps."""
        if steps > MAX_STEPS:
            raise ArchiveError(
                f"a layer is unrolled over {steps:,} steps, more than {MAX_STEPS:,}; build"
                " it with unroll=False and save it again",
                place=self._place,
            )
