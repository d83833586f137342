"""Ctrl-C, SIGTERM and SIGHUP on the command line: one line, an exit code, no partial files.

Python runs a signal handler only between two of its own instructions, and an exception raised there
is lost in an import, a callback or a destructor. So a thread reads the signals from a pipe and ends
the process itself, also while TensorFlow is imported or computes, unless the work in progress has
said that it stops at the next step.

This module is in place before anything heavy is imported, and imports nothing heavy itself. A
program that imports graphprune keeps its own handlers: only the command line calls `install`.
"""

from __future__ import annotations

import _thread
import atexit
import os
import select
import signal
import sys
import time
from contextlib import contextmanager

TYPE_CHECKING = False  # see graphprune/__init__.py

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    StopWork = Callable[[], bool]

EXIT_SIGNAL = 128
"""Added to the number of a signal, the exit code of a process that it stopped; 130 for Ctrl-C."""

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_REQUEST = 0.3
"""Seconds in which several signals are one request: `timeout`, systemd and terminals send two."""

PATIENCE = 0.5
"""Seconds after which the user is told that the process is about to stop."""


class SignalWatch:
    """The thread that acts on signals, and what it needs to know of the work in progress.

    Attributes:
        first: The first signal that came, 0 before.
        is_ending: Whether the process ends at once; nobody else may set the exit code then.
        stop_work: Asks the work in progress to stop by itself; returns whether it will.
        describe: Returns what is said after "stopped by ...".
    """

    def __init__(self) -> None:
        self.first = 0
        self.is_ending = False
        self.stop_work: StopWork = lambda: False
        self.describe: Callable[[], str] = lambda: ""
        self._at = 0.0
        self._tell_at: float | None = None
        # what is written to TensorFlow's own stderr goes nowhere at times
        self._terminal = _copy_of_stderr()
        self._requests, written = os.pipe()
        os.set_blocking(written, False)
        for number in STOPPING:
            # nohup, and jobs in the background of a script
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _leave_to_the_thread)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_forget)
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        while True:
            wait = None if self._tell_at is None else max(0.0, self._tell_at - time.monotonic())
            if select.select([self._requests], [], [], wait)[0]:
                for number in os.read(self._requests, 64):
                    if number in STOPPING:
                        self._receive(number)
            else:
                self._tell_at = None
                self._tell_patience()

    def _receive(self, number: int) -> None:
        now = time.monotonic()
        if self.first and now - self._at < SAME_REQUEST:
            return
        is_first, self._at = not self.first, now
        self.first = self.first or number
        if is_first and self.stop_work():
            self._tell_at = now + PATIENCE
        else:
            self._end(number)

    def _tell_patience(self) -> None:
        again = "press Ctrl-C again" if self.first == signal.SIGINT else "send the signal again"
        self.write(
            f"graphprune: stopping after this step; {again} to stop at once, without the steps"
            " since the last checkpoint"
        )

    def _end(self, number: int) -> None:
        try:
            self.is_ending = True
            _silence()  # first, so that no live line is drawn behind what is said here
            self.write(f"graphprune: stopped by {name_of(number)}{self.describe()}")
            files = sys.modules.get("graphprune.files")
            getattr(files, "remove_unfinished", lambda: None)()
        finally:
            os._exit(EXIT_SIGNAL + number)

    def calm(self) -> None:
        """Say nothing more about patience: the work has stopped."""
        self._tell_at = None

    def write(self, line: str) -> None:
        """Write a line to the stderr that the process began with, over a progress bar if any.

        A closed terminal is not an error.
        """
        try:
            bar = "\r\x1b[2K\x1b[?25h" if os.isatty(self._terminal) else ""
            os.write(self._terminal, f"{bar}{line}\n".encode(errors="backslashreplace"))
        except OSError:
            return


_watch: SignalWatch | None = None


def install() -> None:
    """Handle the signals that end this process; called once, first, by the command line."""
    global _watch
    if _watch is None:
        _watch = SignalWatch()


def first_signal() -> int:
    """Return the number of the first signal, or 0 if none came or `install` was not called."""
    return 0 if _watch is None else _watch.first


def say(line: str) -> None:
    """Write a line to the stderr that the process began with; a closed terminal is no fault."""
    if _watch is not None:
        _watch.write(line)
    else:
        print(line, file=sys.stderr)


def name_of(number: int) -> str:
    """Return the words for a signal.

    Example:
        >>> name_of(signal.SIGINT), name_of(signal.SIGTERM)
        ('Ctrl-C', 'SIGTERM')
    """
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


@contextmanager
def stopping(stop_work: StopWork, describe: Callable[[], str]) -> Iterator[None]:
    """Within the block, ask `stop_work` at the first signal whether the work stops by itself.

    If it does not, the process ends, and `describe()` is added to its last line.

    Both are called in another thread.
    """
    watch = _watch
    if watch is None:
        yield
        return
    before = watch.stop_work, watch.describe
    watch.stop_work, watch.describe = stop_work, describe
    try:
        yield
    finally:
        watch.stop_work, watch.describe = before
        watch.calm()


def leave(code: int) -> NoReturn:
    """End the process with `code`, unless a signal ends it right now.

    What was registered to be done at exit is done, but Python is not taken down: it would first
    give signals their old meaning, so that one kills the process without a word in the second that
    TensorFlow takes to go, and TensorFlow may abort on the way.
    """
    watch = _watch
    if watch is None:
        sys.exit(code)
    if not watch.first:
        atexit._run_exitfuncs()
    while watch.is_ending:
        time.sleep(1)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # closed, as is usual after SIGHUP
    os._exit(code)


def _leave_to_the_thread(number: int, frame: object) -> None:
    """Do nothing: the pipe has told the thread already."""


def _copy_of_stderr() -> int:
    try:
        return os.dup(2)
    except OSError:  # the process was started without one
        return os.open(os.devnull, os.O_WRONLY)


_drawn_on: set[int] = set()
"""Descriptors besides stdout and stderr that lead to the terminal."""


@contextmanager
def drawing_on(descriptor: int) -> Iterator[None]:
    """Within the block, a signal that ends the process silences this live line's descriptor."""
    _drawn_on.add(descriptor)
    try:
        yield
    finally:
        _drawn_on.discard(descriptor)


def _silence() -> None:
    """Let nothing that the main thread says in its last moment reach the terminal."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2, *_drawn_on):
        os.dup2(nowhere, stream)


_held: dict[int, set[signal.Signals]] = {}
"""The signals that a thread held back before, while it forks."""


def _hold() -> None:
    """Block signals while a process forks, since the child has the parent's pipe too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    _held[_thread.get_ident()] = before  # type: ignore[assignment]


def _let_go() -> None:
    before = _held.pop(_thread.get_ident(), None)
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forget() -> None:
    """Restore the default handlers in a forked child, such as a data loader's worker."""
    _restore_handlers()
    _let_go()


def _restore_handlers() -> None:
    global _watch
    if _watch is None:
        return
    _watch = None
    signal.set_wakeup_fd(-1)
    for number in STOPPING:
        if signal.getsignal(number) is _leave_to_the_thread:
            signal.signal(
                number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            )
