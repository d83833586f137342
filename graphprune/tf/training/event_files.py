"""TensorBoard event files of a run that is resumed from a checkpoint.

Points written after the checkpoint are written again, so they are removed first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from graphprune.files import write_whole
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run resumes, on each horizontal axis of its curves.

    Attributes:
        epoch: The epoch of the next batch, from 0; Keras's `epoch_` curves have one point an epoch.
        updates: The optimizer's step count; the axis of Keras's `evaluation_` curves.
        step: Optimizer updates since the wrap; the axis of the curves of pruned tensors.
    """

    epoch: int
    updates: int
    step: int

    def is_behind(self, tag: str, step: int) -> bool:
        """Return whether the resumed run writes this point of the curve `tag` again."""
        if tag.startswith("epoch_"):
            return step >= self.epoch
        if tag.startswith("evaluation_"):
            return step > self.updates
        return tag.startswith(("target_sparsity/", "sparsity/", "threshold/")) and step > self.step


def cut_run_events(folder: RunFolder, options: RunOptions, place: Place) -> None:
    """Remove the points that a run will write again from its TensorBoard files, if it has any.

    A folder outside the run may hold files of other runs, so older files there are kept.
    """
    if options.tensorboard is not None:
        since = folder.began if Path(options.tensorboard).is_absolute() else 0.0
        cut_events(folder.path / options.tensorboard, place, since)


def cut_events(folder: Path, place: Place, since: float) -> None:
    """Remove from the event files of training and validation in `folder` the points after `place`.

    Args:
        folder: The folder that TensorBoard shows.
        place: Where the run resumes.
        since: When the run began, in seconds since 1970; older files belong to other runs and are
            kept.
    """
    for path in sorted(folder.glob("*/events.out.tfevents.*")):
        if path.parent.name in ("train", "validation") and _began(path) >= int(since):
            records = list(_records(path))
            kept = [record for record in records if not _is_behind(record, place)]
            if len(kept) < len(records):
                _write(path, kept)


def _began(path: Path) -> int:
    """Return the second in which TensorFlow opened the file; it is part of the name."""
    second = path.name.split(".")[3]
    return int(second) if second.isascii() and second.isdigit() else 0


def _records(path: Path) -> Iterator[bytes]:
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    while True:
        try:
            yield next(records)
        except (StopIteration, tf.errors.DataLossError):
            # the process was killed while it wrote the last one
            return


def _is_behind(record: bytes, place: Place) -> bool:
    event: Any = tf.compat.v1.Event.FromString(record)
    return any(place.is_behind(value.tag, event.step) for value in event.summary.value)


def _write(path: Path, records: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, path.name)
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for record in records:
                writer.write(record)
        write_whole(path, temporary.read_bytes())
