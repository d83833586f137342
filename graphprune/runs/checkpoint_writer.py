"""Writing of checkpoints in the background, one at a time, while training goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from graphprune.arguments import user_level


class CheckpointWriter:
    """Writes checkpoints from copies in one other thread; within its block.

    At most one write is in progress, so there is one copy of the model in memory. The block ends
    when its last write has ended, however the block ends.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="graphprune-checkpoint")
        self._write: Future[object] | None = None

    def start(self, write: Callable[[], object]) -> None:
        """Begin a write, after `wait`.

        Args:
            write: Writes a checkpoint; it must not touch the model.
        """
        self.wait()
        self._write = self._thread.submit(write)

    def check(self) -> None:
        """Raise the error of a write that has ended; does not wait."""
        if self._write is not None and self._write.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the write in progress, and raise its error."""
        write, self._write = self._write, None
        if write is not None:
            write.result()

    def __enter__(self) -> CheckpointWriter:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the write in progress; its error is a warning where the block raised another."""
        try:
            self.wait()
        except Exception as lost:
            if fault is None:
                raise
            warnings.warn(str(lost), stacklevel=user_level())
        finally:
            self._thread.shutdown()
