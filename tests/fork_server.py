"""Python programs and command lines of graphprune in processes of their own, without the seconds
that imports take each time.

A server process imports modules, TensorFlow too if it is asked to, but computes nothing with them,
and forks a child for each command line: what the child does from there on is what a process does
that was started anew. Run as a program this file is the server: it gets an order and three
descriptors through a socket, and answers with the child's pid and then its exit code.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quick_tensorflow import collect_rarely

ROOT = Path(__file__).parents[1]
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIGHT = (
    "graphprune.cli.main",
    "graphprune.cli.diff",
    "graphprune.cli.explain",
    "graphprune.cli.lint",
    "graphprune.cli.plan",
    "graphprune.cli.progress",
    "h5py",
    "rich.console",
)
TENSORFLOW = (*LIGHT, "graphprune.tf.training.seam")
KERAS3 = (*LIGHT, "graphprune.keras3.training.seam")
"""Keras 3 on TensorFlow."""


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


class Fork:
    """A forked process, with what `subprocess.Popen` has of these names."""

    def __init__(self, pid: int, server: socket.socket):
        self.pid, self._server, self.returncode = pid, server, None

    def wait(self) -> int:
        """Return how the process ended."""
        if self.returncode is None:
            self.returncode = json.loads(self._server.recv(4096))
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)


class ForkServer:
    """Starts command lines by forking; one at a time."""

    def __init__(self, folder: Path, modules: Sequence[str] = TENSORFLOW):
        self._files, self._latest = (folder / "out.txt", folder / "err.txt"), None
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), *modules],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
            )

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        self._end_latest()
        self._socket.close()
        self._server.wait()

    def fork(
        self,
        command: Sequence[str],
        streams: Sequence[int],
        folder: Path = ROOT,
        env: Mapping[str, str] | None = None,
    ) -> Fork:
        """Start `python ...` in a fork: `-m graphprune` with arguments, or `-c` with a program.

        Args:
            command: The command line, Python itself first.
            streams: Descriptors for stdin, stdout and stderr.
            folder: Where the process runs.
            env: Its whole environment; that of this process if not given.
        """
        self._end_latest()
        order = {
            "command": [str(word) for word in command[1:]],
            "folder": str(folder),
            "env": dict(os.environ if env is None else env),
        }
        socket.send_fds(self._socket, [json.dumps(order).encode()], list(streams))
        self._latest = Fork(json.loads(self._socket.recv(4096)), self._socket)
        return self._latest

    def _end_latest(self) -> None:
        """End the latest process, where its test failed before that."""
        if self._latest is not None and self._latest.returncode is None:
            self._latest.send_signal(signal.SIGKILL)
            self._latest.wait()

    def start(self, *arguments, folder: Path = ROOT) -> Child:
        """Start `graphprune ARGUMENTS` in a fork."""
        return self._start(["-m", "graphprune", *arguments], folder)

    def _start(self, command, folder, env=None) -> Child:
        with _opened(self._files) as streams:
            fork = self.fork([sys.executable, *command], streams, folder, env)
        return Child(fork.pid, fork.wait, self._files)

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

    def run(self, *arguments, folder: Path = ROOT) -> Ended:
        """Return how `graphprune ARGUMENTS` ends."""
        return self.start(*arguments, folder=folder).wait()

    def run_program(self, program, *arguments, folder: Path = ROOT, env=None) -> Ended:
        """Return how `python -c PROGRAM ARGUMENTS` ends."""
        return self._start(["-c", program, *arguments], folder, env).wait()


@contextmanager
def _opened(files: Sequence[Path]) -> Iterator[list[int]]:
    """Open nothing for stdin, and files for stdout and stderr."""
    streams = [os.open(os.devnull, os.O_RDONLY)]
    streams += [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for path in files]
    yield streams
    for number in streams:
        os.close(number)


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


def _serve(orders: socket.socket, modules: Sequence[str]) -> None:
    sys.path.insert(0, str(ROOT))
    if "graphprune.tf.training.seam" in modules:
        from graphprune.quiet import import_tensorflow

        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import_tensorflow()
    for module in modules:
        importlib.import_module(module)
    collect_rarely()  # so that no child looks through, and copies, what was imported
    while True:
        order, streams, _, _ = socket.recv_fds(orders, 1 << 20, 3)
        if not order:
            return
        pid = os.fork()
        if not pid:
            orders.close()
            _become(streams=streams, **json.loads(order))
        for number in streams:
            os.close(number)
        orders.send(json.dumps(pid).encode())
        orders.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _become(
    command: Sequence[str], folder: str, env: Mapping[str, str], streams: Sequence[int]
) -> None:
    """Be a process that was started with `command` in `folder`, and end."""
    os.setsid()
    usual_signals()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    # what the interpreter puts there itself, and then PYTHONPATH
    sys.path[:0] = [folder, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    code = 0
    try:
        _run(command)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(command: Sequence[str]) -> None:
    kind, subject, *arguments = command
    if kind == "-m":
        assert subject == "graphprune"
        sys.argv = [subject, *arguments]
        from graphprune.__main__ import main

        main()
    assert kind == "-c"
    sys.argv = ["-c", *arguments]
    exec(compile(subject, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        _serve(given, sys.argv[2:])
