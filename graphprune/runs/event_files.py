"""TensorBoard event files of a run that is resumed from a checkpoint.

Points written after the checkpoint are written again, so they are removed first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from graphprune.archive.saved_model.protobuf import WireError, messages_in, numbers_of, texts_of
from graphprune.archive.saved_model.tensor_bundle import crc32c, mask_crc
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
            records = list(_records(memoryview(path.read_bytes())))
            kept = [record for record in records if not _is_behind(_data_of(record), place)]
            if len(kept) < len(records):
                write_whole(path, b"".join(kept))


def _began(path: Path) -> int:
    """Return the second in which the file was opened; it is part of the name."""
    second = path.name.split(".")[3]
    return int(second) if second.isascii() and second.isdigit() else 0


_HEAD, _CHECKSUM = 8, 4
"""Bytes of a record's length and of each checksum; see
tensorflow.org/tutorials/load_data/tfrecord.
"""


def _records(content: memoryview) -> Iterator[memoryview]:
    """Yield the whole records; the last one may be cut off, if the process was killed."""
    at = 0
    while at + _HEAD + _CHECKSUM <= len(content):
        size = int.from_bytes(content[at : at + _HEAD], "little")
        record = content[at : at + _HEAD + size + 2 * _CHECKSUM]
        head, data = record[: _HEAD + _CHECKSUM], record[_HEAD + _CHECKSUM :]
        if not (_is_intact(head) and _is_intact(data)):
            return
        yield record
        at += len(record)


def _data_of(record: memoryview) -> memoryview:
    return record[_HEAD + _CHECKSUM : -_CHECKSUM]


def _is_intact(part: memoryview) -> bool:
    """Return whether the checksum at the end of `part` is that of the bytes before it."""
    stored = int.from_bytes(part[-_CHECKSUM:], "little")
    return stored == mask_crc(crc32c(part[:-_CHECKSUM]))


_STEP, _SUMMARY, _VALUE, _TAG = 2, 5, 1, 1
"""The fields of the messages Event and Summary (tensorflow/core/util/event.proto)."""


def _is_behind(event: memoryview, place: Place) -> bool:
    try:
        step = numbers_of(event).get(_STEP, 0)
        return any(
            place.is_behind(texts_of(value).get(_TAG, ""), step)
            for summary in messages_in(event, _SUMMARY)
            for value in messages_in(summary, _VALUE)
        )
    except WireError:
        return False
