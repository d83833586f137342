"""How much disk space a run takes, and whether there is as much."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphprune.write_faults import cannot_write, free_bytes

_SLOTS: Mapping[str, int] = {
    "adadelta": 2,
    "adagrad": 1,
    "adafactor": 1,
    "adam": 2,
    "adamw": 2,
    "adamax": 2,
    "ftrl": 2,
    "lamb": 2,
    "lion": 1,
    "muon": 2,
    "nadam": 2,
    "rmsprop": 1,
    "sgd": 0,
}
"""Values that an optimizer of Keras holds for each weight, by its name; momentum is one more."""
_UNKNOWN_SLOTS = 2
_STATE = 1 << 16
"""Room for a checkpoint's other files, and for the texts in its model file."""


@dataclass(frozen=True, slots=True)
class DiskNeeds:
    """The disk space that a run takes.

    Attributes:
        checkpoint: The bytes of one checkpoint.
        keep: How many of the newest are kept.
        keeps_best: Whether the best one is kept as well, and its model written at the end.
    """

    checkpoint: int
    keep: int
    keeps_best: bool

    @property
    def total(self) -> int:
        """The bytes at the most: a new checkpoint, or the model at the end, beside those kept.

        Example:
            >>> DiskNeeds(100, keep=3, keeps_best=False).total
            400
            >>> DiskNeeds(100, keep=3, keeps_best=True).total
            600
        """
        return self.checkpoint * (self.keep + 1 + (2 if self.keeps_best else 0))

    def describe(self, show: Callable[[int], str] = "{:,} bytes".format) -> str:
        """Return what takes the space.

        Args:
            show: Writes a number of bytes.

        Example:
            >>> DiskNeeds(312_000, keep=3, keeps_best=True).describe()
            'up to 1,872,000 bytes: 3 checkpoints, the best one, and 2 models at the end'
            >>> DiskNeeds(312_000, keep=1, keeps_best=False).describe()
            'up to 624,000 bytes: 1 checkpoint, and one being written'
        """
        newest = f"{self.keep} checkpoint{'' if self.keep == 1 else 's'}"
        if self.keeps_best:
            parts = f"{newest}, the best one, and 2 models at the end"
        else:
            parts = f"{newest}, and one being written"
        return f"up to {show(self.total)}: {parts}"

    def check(self, run: Path) -> None:
        """Refuse a run whose checkpoints will not fit on the disk.

        What earlier checkpoints of the run take counts as free.

        Raises:
            WriteError: they will not fit.
        """
        if self.total <= free_bytes(run) + _bytes_in(run / "checkpoints"):
            return
        fewer = f"; --keep {self.keep - 1} takes less" if self.keep > 1 else ""
        raise cannot_write(
            run,
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            needed=self.total,
            kept=f"the run takes {self.describe()}{fewer}",
        )


def estimate_checkpoint(
    parameters: int, optimizer: Mapping[str, Any] | str | None, *, accumulates: bool = False
) -> int:
    """Return about how many bytes a checkpoint takes, in float32.

    Args:
        parameters: The model's weights.
        optimizer: Its name, or its config with a name; None if it is not known.
        accumulates: Whether the gradients of several batches make one update, so that their sums
            are in checkpoints.

    Example:
        >>> estimate_checkpoint(25_000_000, "adam") // 1_000_000
        303
        >>> estimate_checkpoint(25_000_000, {"class_name": "SGD", "config": {"momentum": 0.9}})
        203190536
    """
    config: Any = {"class_name": optimizer} if isinstance(optimizer, str) else optimizer or {}
    inner = config.get("config") if isinstance(config.get("config"), Mapping) else config
    name = str(config.get("class_name") or config.get("name") or "").rpartition(">")[2].lower()
    slots = _SLOTS.get(name, _UNKNOWN_SLOTS) + int(accumulates)
    if name in ("sgd", "rmsprop") and inner.get("momentum"):
        slots += 1
    if name == "rmsprop" and inner.get("centered"):
        slots += 1
    if name in ("adam", "adamw") and inner.get("amsgrad"):
        slots += 1
    return parameters * 4 * (1 + slots) + -(-parameters // 8) + _STATE


def _bytes_in(folder: Path) -> int:
    if not folder.is_dir() or folder.is_symlink():
        return 0
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
