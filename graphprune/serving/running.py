"""Runs a served file in a process of its own, which may crash or hang without harm.

The parent says when the process works, so that several models can take turns while they are timed:

    with open_runner(RunnerSpec.of_file("sparse.tflite")) as runner:
        inputs = sample_inputs_of(runner.inputs)
        outputs = runner.outputs(inputs)
        runner.prepare(inputs)
        seconds = runner.time(10)

`try_run` returns the outputs of a file, or why there are none.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from graphprune.child_process import child_command, child_environment
from graphprune.files import temporary_folder
from graphprune.serving.messages import Message
from graphprune.serving.outputs import Arrays, join_batches, sample_shapes
from graphprune.serving.runtimes import (
    FaultKind,
    InputSpec,
    RunFault,
    RunnerError,
    RunnerSpec,
    Usage,
)

PROCESS = "graphprune.runner_process"
"""The module that the process runs."""
_END = 5.0
"""Seconds that a process gets to end by itself once its connection is closed."""
_LONGEST = 400
"""Characters of what a runtime wrote that a reason shows."""


@contextmanager
def open_runner(spec: RunnerSpec) -> Iterator[Runner]:
    """Load a file in a process of its own, and end the process at the end of the block.

    Raises:
        RunnerError: the runtime is missing, refuses the file, crashes on it, or takes too long.
    """
    with temporary_folder() as folder:
        runner = Runner(spec, Path(folder))
        try:
            runner.wait_until_loaded()
            yield runner
        finally:
            runner.close()


def try_run(spec: RunnerSpec, *batches: Arrays) -> dict[str, NDArray[Any]] | RunFault:
    """Return what a file computes, by the names of its outputs, or why it computes nothing.

    Args:
        spec: The file, and what runs it.
        batches: Arrays by the names of the inputs, run one after another, which may keep a state;
            random ones if there are none.
    """
    try:
        with open_runner(spec) as runner:
            given = batches or [sample_inputs_of(runner.inputs)]
            return join_batches([runner.outputs(batch) for batch in given])
    except RunnerError as error:
        return error.fault


def sample_inputs_of(
    inputs: Sequence[InputSpec], batch: int = 1, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Return random inputs for a loaded model, as `sample_shapes` makes them.

    Args:
        inputs: Its inputs.
        batch: The batch size, where the model leaves it open.
        seed: The seed of the random numbers.
    """
    shapes = {given.name: (given.shape, given.dtype) for given in inputs}
    return sample_shapes(shapes, batch, seed=seed)


class Runner:
    """A file that is loaded in a process of its own; `open_runner` makes it.

    Each method raises RunnerError if the process crashes, takes too long, or the runtime refuses.

    Attributes:
        spec: What runs.
        inputs: The inputs of the model.
        version: The runtime and its version: `LiteRT 2.1.0`.
        load_seconds: Seconds from reading the file until it was ready to run.
    """

    def __init__(self, spec: RunnerSpec, folder: Path) -> None:
        self.spec = spec
        self.inputs: tuple[InputSpec, ...] = ()
        self.version = ""
        self.load_seconds = 0.0
        self._log = folder / "log"
        self._connection, far = Pipe()
        try:
            self._process = _start(spec, folder, self._log, far)
        finally:
            far.close()  # so that its end is seen here

    def wait_until_loaded(self) -> None:
        """Wait until the process has loaded the file."""
        facts = self._receive("loading").facts
        self.inputs = tuple(
            InputSpec(name, tuple(shape), dtype) for name, shape, dtype in facts["inputs"]
        )
        self.version, self.load_seconds = facts["version"], facts["load_seconds"]

    def outputs(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return what the model computes, by the names of its outputs.

        Inputs and outputs are real numbers, also where the file computes with integers.
        """
        return dict(self._ask("outputs", inputs).arrays)

    def prepare(self, inputs: Arrays) -> None:
        """Give the inputs that `time` runs on."""
        self._ask("prepare", inputs)

    def time(self, runs: int) -> tuple[float, ...]:
        """Return the seconds that each of some runs took, on the inputs given to `prepare`."""
        return tuple(self._ask("time", runs=runs).facts["seconds"])

    def usage(self) -> Usage:
        """Return the memory and threads that the process takes."""
        return Usage(**self._ask("usage").facts["usage"])

    def peak_memory(self) -> int:
        """Return the bytes that the model took at most, beyond the runtime itself."""
        usage = self.usage()
        return max(usage.peak - usage.before, 0)

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._kill()

    def _ask(self, request: str, arrays: Arrays | None = None, **facts: Any) -> Message:
        try:
            self._connection.send_bytes(Message({"do": request, **facts}, arrays or {}).to_bytes())
        except OSError:
            raise self._explain_end("running") from None
        return self._receive("running")

    def _receive(self, doing: str) -> Message:
        try:
            if not self._connection.poll(self.spec.timeout):
                self._kill()
                raise self._error("timed-out", f"{doing} it took more than {self.spec.timeout:g} s")
            message = Message.from_bytes(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise self._explain_end(doing) from None
        except BaseException:  # a stop by the user, for one
            self._kill()
            raise
        if "fault" in message.facts:
            raise self._error(message.facts["kind"], message.facts["fault"])
        return message

    def _explain_end(self, doing: str) -> RunnerError:
        """Return why the process ended without an answer."""
        try:
            code = self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._kill()
            return self._error("crashed", f"{doing} it, the process closed its connection")
        written = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(written) if line.strip()), "")
        said = f": {last[:_LONGEST]}" if last else ""
        if code >= 0:
            return self._error(
                "crashed", f"{doing} it, the process ended with exit code {code}{said}"
            )
        name = signal.Signals(-code).name
        told = signal.strsignal(-code) or name
        return self._error(
            "crashed", f"{doing} it crashes the process ({name}, {told}){said}", name
        )

    def _error(self, kind: FaultKind, reason: str, name: str | None = None) -> RunnerError:
        return RunnerError(RunFault(kind, reason, name), self.spec.path)

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _start(spec: RunnerSpec, folder: Path, log: Path, far: Connection) -> subprocess.Popen[bytes]:
    """Start the process, which has one end of a pipe and works in an empty folder."""
    given = asdict(spec) | {"path": str(spec.path.absolute()), "home": os.getcwd()}
    quiet = child_environment(TF_CPP_MIN_LOG_LEVEL="2")  # errors stay: a crash may leave no more
    with log.open("wb") as written:
        return subprocess.Popen(
            child_command(PROCESS, str(far.fileno()), json.dumps(given)),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            cwd=folder,
            env=quiet,
            pass_fds=[far.fileno()],
        )
