"""Command lines of graphprune in processes of their own, without the seconds that the import of
TensorFlow takes each time.

A server process imports TensorFlow, but computes nothing with it, and forks a child for each
command line: what the child does from `main` on is what a process does that was started anew. Run
as a program this file is the server: a line of JSON in, the child's pid out, its exit code out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Ended:
    """How a command line ended: its exit code, the negative number of the signal that killed it,
    and what it said.
    """

    code: int
    out: str
    err: str


class Child:
    """A command line that runs."""

    def __init__(self, pid, wait, files):
        self.pid, self._wait, self._files, self._code = pid, wait, files, None

    @property
    def listens(self) -> bool:
        """Whether the process has its own handler for SIGTERM."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    @property
    def runs(self) -> bool:
        """Whether the process has not ended."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def send(self, number) -> None:
        """Send a signal; one that comes too late is lost."""
        if self._code is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def wait(self) -> Ended:
        """Return how the process ended."""
        self._code = self._wait()
        return Ended(self._code, *(path.read_text() for path in self._files))


class ForkServer:
    """Starts command lines by forking; one at a time."""

    def __init__(self, folder: Path):
        self._files = folder / "out.txt", folder / "err.txt"
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            bufsize=1,
        )

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def start(self, *arguments) -> Child:
        """Start `graphprune ARGUMENTS` in a fork."""
        self._server.stdin.write(
            json.dumps([list(map(str, arguments)), *map(str, self._files)]) + "\n"
        )
        return Child(
            int(self._server.stdout.readline()),
            lambda: int(self._server.stdout.readline()),
            self._files,
        )

    def start_anew(self, *arguments) -> Child:
        """Start `python -m graphprune ARGUMENTS` in a process of its own, import of TensorFlow and
        all.
        """
        out, err = (path.open("w") for path in self._files)
        with out, err:
            command = [sys.executable, "-m", "graphprune", *map(str, arguments)]
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=err,
                cwd=ROOT,
                preexec_fn=usual_signals,
                start_new_session=True,
            )
        return Child(process.pid, process.wait, self._files)

    def run(self, *arguments) -> Ended:
        """Return how `graphprune ARGUMENTS` ends."""
        return self.start(*arguments).wait()


def usual_signals() -> None:
    """Handle signals as a shell in the foreground starts a process; a job in the background would
    ignore Ctrl-C.
    """
    for number in STOPPING:
        signal.signal(
            number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler
        )


def wait_until(condition, child: Child, seconds: float = 120) -> bool:
    """Wait, by asking again and again, until `condition()` is true; return whether it was before
    the child ended.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        if not child.runs:
            return False
    raise AssertionError("waited in vain")


def _serve() -> None:
    sys.path.insert(0, str(ROOT))
    from graphprune.tf.models.quiet import import_tensorflow

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import_tensorflow()
    __import__("graphprune.tf.training.run")
    for line in sys.stdin:
        arguments, out, err = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(arguments, out, err)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _become(arguments, out, err) -> None:
    """Be a process that was started with `arguments`."""
    os.setsid()
    usual_signals()
    for number, path in [(1, out), (2, err)]:
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["graphprune", *arguments]
    from graphprune.__main__ import main

    main()


if __name__ == "__main__":
    _serve()
