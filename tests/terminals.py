"""Command lines in a pseudo-terminal, and what a user sees there: pyte is the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import pyte
from fork_server import ROOT, ForkServer, usual_signals

LINES = 400
ERASE = rb"(?=\r\x1b\[2K)"
"""What the live line begins with: a busy machine may show several of them in one piece."""
QUIET = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TERM": "xterm-256color", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Seen:
    """How a command ended in a terminal: its code, the lines of the final screen without empty ones
    at its end, and whether the cursor is shown.

    `moments` are all screens in between, one a live line that was drawn; `raw` is what was written.
    """

    code: int
    lines: list[str]
    cursor: bool
    moments: list[list[str]]
    raw: str


class Terminal:
    """A process in a pseudo-terminal of some width, forked by `server` if one is given. It is the
    process's own terminal, so Ctrl-C is a key that is typed.
    """

    def __init__(
        self,
        command: list[str],
        columns: int,
        folder: Path,
        stdout=None,
        env=None,
        server: ForkServer | None = None,
    ):
        self._screen = pyte.Screen(columns, LINES)
        self._stream, self._moments, self._raw = pyte.ByteStream(self._screen), [], b""
        self._rows: dict[int, str] = {}
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        keep = {
            name: value
            for name, value in os.environ.items()
            if name not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
        }
        env = keep | QUIET | (env or {})
        if server is None:
            self._process = subprocess.Popen(
                command,
                stdin=side,
                stdout=stdout or side,
                stderr=side,
                cwd=folder,
                env=env,
                preexec_fn=self._take_terminal,
            )
        else:
            out = stdout.fileno() if stdout else side
            self._process = server.fork(command, (side, out, side), folder, env)
        os.close(side)

    @staticmethod
    def _take_terminal():
        os.setsid()
        usual_signals()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen as it is now."""
        for row in self._screen.dirty & self._screen.buffer.keys():
            line = self._screen.buffer[row]
            self._rows[row] = "".join(
                line[column].data for column in range(max(line, default=-1) + 1)
            ).rstrip()
        self._screen.dirty.clear()
        last = max((row for row, text in self._rows.items() if text), default=-1)
        return [self._rows.get(row, "") for row in range(last + 1)]

    def read(self, seconds: float) -> bool:
        """Take in what is written within some time; return whether there may be more."""
        if not select.select([self._main], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self._main, 65536)
        except OSError:  # Linux, where the other side is closed
            return False
        self._raw += piece
        for frame in re.split(ERASE, piece):
            self._stream.feed(frame)
            self._moments.append(self.lines)
        return bool(piece)

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Read until a line of the screen has `text`."""
        end = time.monotonic() + seconds
        while not any(text in line for line in self.lines):
            assert self.read(0.1), (text, self.lines)
            assert time.monotonic() < end, (text, self.lines)

    def type(self, key: str) -> None:
        """Type a key, such as Ctrl-C."""
        os.write(self._main, key.encode())

    def end(self, seconds: float = 300) -> Seen:
        """Read until the process has ended."""
        limit = time.monotonic() + seconds
        while self.read(0.1):
            if time.monotonic() > limit:
                self._process.send_signal(signal.SIGKILL)
                raise AssertionError(("does not end", self.lines))
        os.close(self._main)
        return Seen(
            self._process.wait(),
            self.lines,
            not self._screen.cursor.hidden,
            self._moments,
            # Ctrl-C makes a terminal drop what it has not shown yet (termios, NOFLSH), so that
            # a character may be cut in two.
            self._raw.decode(errors="replace"),
        )


def graphprune(*arguments) -> list[str]:
    """Return the command line of graphprune as a process of its own."""
    return [sys.executable, "-m", "graphprune", *map(str, arguments)]
