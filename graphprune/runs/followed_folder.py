"""The folder of a run as its workers see it that are not the chief: they read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphprune.runs.cluster import Cluster
from graphprune.runs.run_folder import MetricsMark, RunFolder


@dataclass(frozen=True, slots=True)
class FollowedFolder(RunFolder):
    """The folder of a run that another process, the chief, makes, locks and writes.

    The methods of `RunFolder` that write do nothing.
    """

    def check_free(self, *, force: bool) -> str:
        """Return nothing: the chief may have made the run already."""
        return ""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold nothing: the chief has the lock."""
        yield

    @contextmanager
    def created(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Create nothing."""
        yield

    def write_result(self, result: Mapping[str, Any], run_id: str) -> None:
        """Write nothing."""

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Write nothing."""

    def mark_metrics(self) -> MetricsMark:
        """Return the mark of an empty file: no checkpoint is written here."""
        return MetricsMark(0, "")

    def cut_metrics(self, step: int, mark: MetricsMark | None) -> str | None:
        """Remove nothing."""
        return None


def open_folder(path: Path, cluster: Cluster | None) -> RunFolder:
    """Return the folder of a run, which of several workers the chief alone writes."""
    is_follower = cluster is not None and not cluster.is_chief
    return FollowedFolder(path) if is_follower else RunFolder(path)
