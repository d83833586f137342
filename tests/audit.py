"""Loads model files in a process of its own and reports what each did outside its own file: opened,
imported, ran, connected, removed.

`load_audited` is for tests. Python's audit events (PEP 578) show what Python code does; files that
TensorFlow's C++ opens raise no event, so the folder `watched` is watched with inotify too: files
that a hostile model names are put there.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

TESTS = Path(__file__).parent
EVENTS = (
    "open", "import", "marshal.loads", "ctypes.dlopen", "subprocess.Popen", "socket.", "os.system",
    "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.kill", "os.remove", "os.rename",
    "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.listdir", "os.scandir", "os.walk",
    "os.chmod", "os.chown", "os.truncate", "os.utime", "os.putenv", "os.chdir", "shutil.", "glob.",
    "pty.", "pickle.", "urllib.", "webbrowser.", "code.__new__", "builtins.input", "sqlite3.",
    "ftplib.", "smtplib.", "http.", "tempfile.", "exec", "compile",
)  # fmt: skip
"""Events, or how their names begin, that are looked at."""
RUNNING = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.kill",
    "subprocess.",
    "pty.",
    "socket.",
    "urllib.",
    "webbrowser.",
)
"""Events that no model file may cause, whatever they are about."""
PACKAGES = (
    "tensorflow",
    "tf_keras",
    "numpy",
    "h5py",
    "graphprune",
    "google",
    "networkx",
    "encodings",
    "absl",
    "ml_dtypes",
)
"""What may be imported while a model loads: the libraries' own parts, on first use."""
MARK, DONE = "loaded: ", "done\n"
CPU_SECONDS = 40
"""For one file; then the process ends, and the file is named."""
IN_OPEN, IN_CREATE, IN_DELETE = 0x20, 0x100, 0x200


@dataclass(frozen=True)
class Loaded:
    """What came of one file.

    Attributes:
        error: The class of the error; empty where the model was loaded.
        message: What the error says.
        foreign: What the file did outside itself.
        warned: Classes of the warnings that it raised.
        seconds, megabytes: CPU time, and memory that the process grew by.
    """

    error: str
    message: str
    foreign: tuple[str, ...]
    warned: tuple[str, ...] = field(default=())
    seconds: float = 0.0
    megabytes: int = 0

    @property
    def is_ours(self) -> bool:
        """Whether it ended as it should: loaded, or refused by graphprune."""
        return self.error in ("", "ArchiveError", "GraphError")


def load_audited(
    paths: Iterable[Path],
    *,
    watched: Path | None = None,
    objects: str = "",
    memory: int = 8 * 2**30,
) -> dict[str, Loaded]:
    """Load files one after another in another process; return what came of each, by path.

    The process is kept for later calls, since it takes fifteen seconds to start, and another is
    started where it ended.

    Args:
        paths: The files, or SavedModel folders.
        watched: A folder in which no file may be opened, made or removed.
        objects: `module:name` of a mapping of custom objects.
        memory: Bytes of address space that the process may take.
    """
    order = {
        "paths": [str(path) for path in paths],
        "watched": str(watched or ""),
        "objects": objects,
        "memory": memory,
    }
    process = _Process.running()
    lines = process.answers(order)
    found = {
        line.pop("path"): Loaded(
            **{
                key: tuple(value) if isinstance(value, list) else value
                for key, value in line.items()
            }
        )
        for line in lines
    }
    missing = [path for path in order["paths"] if path not in found]
    assert not missing, (
        f"the process ended with {process.code} at {missing[0]}: {process.said[-3000:]}"
    )
    return found


class _Process:
    """A process that loads files: takes an order on a line, answers with a line for each file."""

    _latest: ClassVar[_Process | None] = None

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        self._err = Path(self._scratch.name, "stderr.txt")
        environment = os.environ | {
            "TMPDIR": self._scratch.name,
            "PYTHONDONTWRITEBYTECODE": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        with self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env=environment,
                cwd=self._scratch.name,
            )

    @classmethod
    def running(cls) -> _Process:
        """Return the process that runs, or a new one."""
        if cls._latest is None or cls._latest.code is not None:
            cls._latest = cls()
            atexit.register(cls._latest.end)
        return cls._latest

    @property
    def code(self) -> int | None:
        """How the process ended."""
        return self._process.poll()

    @property
    def said(self) -> str:
        """What the process wrote to stderr."""
        return self._err.read_text(errors="replace")

    def answers(self, order: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what the process says of each file, until all are done or the process ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        found = []
        for line in self._process.stdout:
            if line.startswith(MARK):
                found.append(json.loads(line.removeprefix(MARK)))
            if line == DONE:
                return found
        self._process.wait()
        return found

    def end(self) -> None:
        """End the process, and remove its files."""
        self._process.communicate()
        self._scratch.cleanup()


def main() -> None:
    """Read orders from standard input, load their files, and write a line for each."""
    sys.path.insert(0, str(TESTS))
    log: list[str] = []
    auditor = Auditor(log)
    load = _warm_load_model()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    sys.addaudithook(auditor)
    for line in sys.stdin:
        _do(json.loads(line), load, auditor)
        sys.__stdout__.write(DONE)
        sys.__stdout__.flush()


def _do(order: Mapping[str, Any], load: Any, auditor: Auditor) -> None:
    """Load the files of an order."""
    module, _, name = order["objects"].partition(":")
    objects = getattr(__import__(module), name) if name else None
    _limit_memory(order["memory"])
    with _watching(order["watched"], auditor.log) as look:
        for path in order["paths"]:
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            report = _load_one(load, path, objects, auditor, look)
            sys.__stdout__.write(f"{MARK}{json.dumps({'path': path, **report})}\n")
            sys.__stdout__.flush()
    signal.setitimer(signal.ITIMER_PROF, 0)


class Auditor:
    """The audit hook: notes what the file that is being loaded does outside itself."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.path = ""
        self._scratch = tempfile.gettempdir()
        self._libraries = tuple(
            {str(Path(module.__file__).parents[1]) for module in (os, json) if module.__file__}
            | {sys.prefix, str(TESTS.parent / "graphprune")}
        )

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.path and event.startswith(EVENTS) and not self._is_own(event, arguments):
            self.log.append(f"{event} {str(arguments)[:200]}")

    def _is_own(self, event: str, arguments: tuple[Any, ...]) -> bool:
        first = arguments[0] if arguments else None
        if event == "import":
            return str(first).split(".")[0] in PACKAGES
        if event in ("exec", "compile", "marshal.loads", "code.__new__"):
            return _runs_library_code(self._libraries)
        if event.startswith(RUNNING):
            return False
        if event.startswith(("open", "os.", "shutil.", "tempfile.")) and isinstance(
            first, str | bytes
        ):
            place = os.path.abspath(os.fsdecode(first))
            is_read = event != "open" or not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            inside = place == self.path or place.startswith(
                (f"{self.path}/", f"{self._scratch}/", "/proc/self/")
            )
            return (
                inside or place == self._scratch or (is_read and place.startswith(self._libraries))
            )
        return isinstance(first, int) or first is None


def _runs_library_code(libraries: tuple[str, ...]) -> bool:
    """Return whether who compiles or runs code here is a library in the middle of its own import,
    or makes a named tuple.
    """
    frame = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen"):
        if frame.f_code.co_filename.endswith(
            (
                "collections/__init__.py",
                "dataclasses.py",
                "pyct/loader.py",
                "pyct/parser.py",
                "inspect.py",
            )
        ):
            return True
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


def _warm_load_model() -> Any:
    """Return `load_model` after TensorFlow has done what it does once."""
    import warm_models

    from graphprune.tf.models.loading import load_model

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in warm_models.write_all(Path(folder)):
            load_model(path)
    return load_model


def _load_one(load: Any, path: str, objects: Any, auditor: Auditor, look: Any) -> dict[str, Any]:
    auditor.log.clear()
    before, start = _resident(), time.process_time()
    error = message = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        auditor.path = path
        try:
            load(path, objects)
        except BaseException as err:
            error, message = type(err).__name__, str(err)[:2000]
        finally:
            look()
            auditor.path = ""
    warned = sorted({type(warning.message).__name__ for warning in caught})
    seconds, grown = time.process_time() - start, (_resident() - before) // 2**20
    return {
        "error": error,
        "message": message,
        "foreign": list(auditor.log),
        "warned": warned,
        "seconds": seconds,
        "megabytes": grown,
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf(
        "SC_PAGE_SIZE"
    )


def _limit_memory(size: int) -> None:
    import resource

    mapped = (
        int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        * resource.getpagesize()
    )
    resource.setrlimit(resource.RLIMIT_AS, (mapped + size, resource.RLIM_INFINITY))


@contextmanager
def _watching(folder: str, log: list[str]) -> Iterator[Any]:
    """Watch a folder with inotify(7); gives a function that puts what happened in it since the last
    call into `log`.
    """
    if not folder:
        yield lambda: None
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    if (
        descriptor < 0
        or libc.inotify_add_watch(descriptor, os.fsencode(folder), IN_OPEN | IN_CREATE | IN_DELETE)
        < 0
    ):
        raise OSError(ctypes.get_errno(), "inotify")

    def look() -> None:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return
        while data:
            _, mask, _, size = struct.unpack_from("iIII", data)
            log.append(f"inotify {mask:#x} {data[16 : 16 + size].rstrip(bytes(1)).decode()}")
            data = data[16 + size :]

    yield look
    os.close(descriptor)


def faults(found: Mapping[str, Loaded]) -> list[str]:
    """Return what should not have come of files: foreign events, and errors that are not
    graphprune's.
    """
    return [
        f"{path}: {loaded.error} {loaded.message[:300]} {loaded.foreign}"
        for path, loaded in found.items()
        if loaded.foreign or not loaded.is_ours
    ]


if __name__ == "__main__":
    main()
