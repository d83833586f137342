"""Training goes on where its output is no longer read (`| head`, a closed terminal) or can no
longer be written.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from graphprune import signals


class LastingStream:
    """A stream that takes whatever is written once the place where it went is gone, and says so
    once.

    Args:
        stream: Where the text goes while that is possible.
        name: Its name for the user, None to say nothing.
    """

    def __init__(self, stream: TextIO, name: str | None) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        """Write `text`, as long as that is possible."""
        try:
            self._stream.write(text)
        except OSError as fault:
            self._give_up(fault)
        return len(text)

    def flush(self) -> None:
        """Send what was written, as long as that is possible."""
        try:
            self._stream.flush()
        except OSError as fault:
            self._give_up(fault)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, fault: OSError) -> None:
        """Send what comes from now on nowhere, also what Python flushes when it ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if self._name is not None:
            signals.say(
                f"graphprune: warning: {self._name} cannot be written any more ({fault.strerror});"
                " going on without it"
            )


@contextmanager
def lasting_output() -> Iterator[None]:
    """Let nothing that becomes of stdout and stderr end the command meanwhile."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = LastingStream(streams[0], "stdout"), LastingStream(streams[1], None)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = streams
        signal.signal(signal.SIGPIPE, before)
