"""A request to stop a training run at its next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class StopRequest:
    """Asks a training run, from another thread, to write a checkpoint after its current step and
    return.

    Example:
        >>> stop = StopRequest()
        >>> stop.ask(), stop.asked
        (False, False)
        >>> with stop.listening():
        ...     stop.ask(), stop.asked
        (True, True)
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._listening = False
        self._asked = False

    @property
    def asked(self) -> bool:
        """Whether the run was asked to stop."""
        return self._asked

    def ask(self) -> bool:
        """Ask the run to stop; return whether it will, which a run does only while it trains."""
        with self._lock:
            self._asked = self._asked or self._listening
            return self._listening

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Mark the time in which a run looks at `asked`; a request that came in it can be seen
        afterwards as well.
        """
        with self._lock:
            self._listening = True
        try:
            yield
        finally:
            with self._lock:
                self._listening = False
