"""The output of a training run: a line an epoch, and on a terminal a live line below them.

A run continues when its output is closed (`| head`, a closed terminal) or cannot be written.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from graphprune import signals
from graphprune.cli.outputs import is_dumb
from graphprune.report.progress_lines import render_bar, render_epoch
from graphprune.report.tables import shorten

if TYPE_CHECKING:
    from graphprune.runs.training_arguments import Progress


class LastingStream:
    """A stream that discards text, with one warning, once it can no longer be written.

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
        """Discard all further text, including what Python flushes at exit."""
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
    """Within the block, no failure to write stdout or stderr ends the command."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = LastingStream(streams[0], "stdout"), LastingStream(streams[1], None)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = streams
        signal.signal(signal.SIGPIPE, before)


KEY_ECHO = 4
"""Free columns after the live line: a terminal writes ^C there, which must not start a new line."""
REFRESHES = 8
"""Refreshes of the live line in a second."""
SPINNER, ASCII_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
WINDOW = 100
"""The number of steps from which the remaining time is estimated."""


IMPORTING, LOADING = "loading TensorFlow", "loading the model"
IMPORTING_KERAS = {2: IMPORTING, 3: "loading Keras"}
"""The first stage of a command by the version of Keras that it runs on."""


Form = Literal["text", "quiet", "json"]
"""What stdout gets: lines of text, nothing, or one JSON object a line."""


def render_event(event: str, values: Mapping[str, Any]) -> str:
    """Return what happened in a run as one line of JSON; numbers that are not finite are null.

    Example:
        >>> render_event("epoch", {"metrics": {"loss": math.nan}})
        '{"event": "epoch", "metrics": {"loss": null}}'
    """
    return json.dumps({"event": event, **_finite(values)}, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Display:
    """What the user sees of a run. Without a terminal it prints the epochs' lines alone."""

    def __init__(self, console: Console | None, live: ExitStack, form: Form = "text") -> None:
        self._console, self._live, self._form = console, live, form
        self._events: TextIO | None = None
        self._is_ascii = console is not None and not console.encoding.startswith("utf")
        self._stage, self._began = "", time.monotonic()
        self._now: Progress | None = None
        self._times: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self.draw: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Remove the live line."""
        self._live.close()
        self._console, self.draw = None, lambda: None

    def say(self, stage: str) -> None:
        """Show the current stage until the next training step, such as `loading the model`."""
        self._stage, self._began, self._now = stage, time.monotonic(), None
        self.tell("stage", {"stage": stage})
        self.draw()  # at once: an import may keep the thread that draws from running

    def show(self, now: Progress) -> None:
        """Show the position of the run, and print a line at the end of an epoch."""
        self._now = now
        self._times.append((time.monotonic(), now.step))
        if now.epoch_ended:
            self.print(render_epoch(now, line_width()))
            values = asdict(now)
            del values["epoch_ended"]
            self.tell("epoch", values)

    def tell(self, event: str, values: Mapping[str, Any]) -> None:
        """Print what happened as JSON, if stdout gets JSON."""
        if self._form == "json":
            self._write(render_event(event, values))

    @contextmanager
    def own_code(self) -> Iterator[None]:
        """Within the block, what code of the user's prints goes to stderr if stdout gets JSON."""
        if self._form != "json":
            yield
            return
        self._events = sys.stdout
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            self._events = None

    def print(self, text: str) -> None:
        """Print lines on stdout, above the live line if both are on one terminal.

        Nothing is printed if stdout gets JSON or nothing.
        """
        if self._form == "text":
            self._write(text)

    def _write(self, text: str) -> None:
        out = self._events or sys.stdout
        if self._console is not None and is_one_terminal(out):
            self._console.print(Text(text))
        else:
            click.echo(text, file=out)

    def render(self) -> Text:
        """Return the live line as it is now."""
        return Text(
            (
                ""
                if self._console is None
                else self._line(max(1, fit_terminal(self._console) - KEY_ECHO))
            ),
            no_wrap=True,
            end="",
        )

    def _line(self, width: int) -> str:
        if self._now is not None:
            return render_bar(self._now, self._estimate(self._now), width, is_ascii=self._is_ascii)
        seconds = time.monotonic() - self._began
        frames = ASCII_SPINNER if self._is_ascii else SPINNER
        return (
            shorten(f"{frames[int(seconds * REFRESHES) % len(frames)]} {self._stage}", width)
            if self._stage
            else ""
        )

    def _estimate(self, now: Progress) -> float | None:
        """Return the remaining seconds of the run; None before the second step."""
        (first, before), (last, step) = self._times[0], self._times[-1]
        return None if step <= before else (last - first) / (step - before) * (now.steps - now.step)


@contextmanager
def live_display(form: Form = "text") -> Iterator[Display]:
    """Yield the display of a run, with a live line on stderr if that is a terminal.

    The live line is removed at the end. There is none if the run is to be quiet.
    """
    with ExitStack() as stack:
        if form == "quiet" or not sys.stderr.isatty() or is_dumb():
            yield Display(None, stack, form)
            return
        # stderr itself leads nowhere while TensorFlow is imported
        descriptor = os.dup(sys.stderr.fileno())
        stream = stack.enter_context(
            os.fdopen(descriptor, "w", encoding=sys.stderr.encoding, errors="backslashreplace")
        )
        lasting = cast(TextIO, LastingStream(stream, None))
        console = Console(file=lasting, soft_wrap=True, markup=False, emoji=False, highlight=False)
        fit_terminal(console)
        display = Display(console, stack, form)
        stack.enter_context(signals.drawing_on(descriptor))
        live = stack.enter_context(
            Live(
                console=console,
                get_renderable=display.render,
                transient=True,
                refresh_per_second=REFRESHES,
                # Rich's own stand-ins have no encoding, so click writes past them
                redirect_stdout=False,
                redirect_stderr=False,
            )
        )
        display.draw = live.refresh
        if is_one_terminal(sys.stdout):
            stack.enter_context(_lines_above("stdout", console))
        stack.enter_context(_lines_above("stderr", console))
        yield display


@contextmanager
def _lines_above(name: str, console: Console) -> Iterator[None]:
    """Print what is written to `sys.stdout` or `sys.stderr` above the live line."""
    before: TextIO = getattr(sys, name)
    lines = LinesAbove(before, console)
    setattr(sys, name, lines)
    try:
        yield
    finally:
        lines.end()
        setattr(sys, name, before)


class LinesAbove:
    """A stream whose lines are printed above the live line.

    Attributes:
        beneath: The stream that it stands for.
    """

    def __init__(self, beneath: TextIO, console: Console) -> None:
        self.beneath, self._console, self._begun = beneath, console, ""

    def write(self, text: str) -> int:
        """Print complete lines, and keep the rest."""
        *lines, self._begun = (self._begun + text).split("\n")
        if lines:
            self._console.print(Text.from_ansi("\n".join(lines)))
        return len(text)

    def flush(self) -> None:
        """Do nothing: an incomplete line has no place above the live line."""

    def end(self) -> None:
        """Print the text after the last complete line."""
        if self._begun:
            self.write("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


def fit_terminal(console: Console) -> int:
    """Set the console to the size of its own terminal and return the columns.

    Rich asks stdin, stdout and stderr instead, and the size may have changed.
    """
    columns, lines = os.get_terminal_size(console.file.fileno())
    wished = os.environ.get("COLUMNS", "")
    console.size = (int(wished) if wished.isdigit() and int(wished) else columns or 80, lines or 25)
    return console.width


def is_one_terminal(out: TextIO) -> bool:
    """Return whether `out` and stderr are the same terminal."""
    if not (out.isatty() and sys.stderr.isatty()):
        return False
    return os.fstat(out.fileno()).st_rdev == os.fstat(sys.stderr.fileno()).st_rdev


def line_width() -> int | None:
    """Return the columns of the terminal on stdout; None if it is not a terminal."""
    return os.get_terminal_size(sys.stdout.fileno()).columns or 80 if sys.stdout.isatty() else None
