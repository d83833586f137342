"""The process in which a served file runs: it loads it, and answers requests over a pipe.

`graphprune.serving.running` starts it and says what is to be done. Whatever a library prints goes
to a log; a crash of a library ends this process alone.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from graphprune.errors import GraphpruneError
from graphprune.serving.convert import first_line
from graphprune.serving.litert import LiteRtModel, has_litert, load_interpreter
from graphprune.serving.messages import Message
from graphprune.serving.onnx_runtime import OnnxModel
from graphprune.serving.outputs import Arrays
from graphprune.serving.runtimes import FaultKind, InputSpec, RunnerSpec, Runtime

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"
"""What sets the peak of memory to the memory of now; proc(5)."""


class LoadedModel(Protocol):
    """A file in a runtime."""

    inputs: tuple[InputSpec, ...]
    version: str

    def prepare(self, inputs: Arrays) -> Callable[[], Any]:
        """Return what runs the model once on these inputs."""

    def outputs(self, inputs: Arrays) -> Any:
        """Return what the model computes, by name."""


def main(words: list[str]) -> None:
    """Load a file and answer requests: the number of the pipe, and the spec as JSON."""
    connection, given = Connection(int(words[0])), json.loads(words[1])
    home = given.pop("home")
    spec = RunnerSpec(
        **{
            **given,
            "runtime": Runtime(given["runtime"]),
            "path": Path(given["path"]),
            "custom_objects": tuple(given["custom_objects"]),
        }
    )
    missing = find_missing(spec.runtime)
    if missing:
        _send_fault(connection, "missing", missing)
        return
    try:
        load = _find_loader(spec, home)
        before, began = _start_peak(), time.perf_counter()
        model = load()
        loaded = time.perf_counter() - began
    except Exception as fault:  # runtimes raise errors of their own kinds
        _send_fault(connection, "not-loaded", f"{_title(spec)} does not load it: {_line(fault)}")
        return
    inputs = [[given.name, given.shape, given.dtype] for given in model.inputs]
    _send(connection, {"inputs": inputs, "version": model.version, "load_seconds": loaded})
    _Answers(connection, spec, model, before).serve()


def find_missing(runtime: Runtime) -> str | None:
    """Return what to install for a runtime; None if nothing is missing."""
    if runtime is Runtime.LITERT and not has_litert():
        return "to run it, LiteRT is needed, which is not installed; pip install ai-edge-litert"
    if runtime is Runtime.ONNX and find_spec("onnxruntime") is None:
        return "to run it, onnxruntime is needed, which is not installed; pip install onnxruntime"
    return None


class _Answers:
    """Answers the requests of the parent until it closes the pipe."""

    def __init__(
        self, connection: Connection, spec: RunnerSpec, model: LoadedModel, before: int
    ) -> None:
        self._connection, self._spec, self._model = connection, spec, model
        self._before = before
        self._run: Callable[[], Any] | None = None

    def serve(self) -> None:
        while True:
            try:
                request = Message.from_bytes(self._connection.recv_bytes())
            except (EOFError, ConnectionError):
                return
            try:
                answer = self._answer(request)
            except Exception as fault:  # runtimes raise errors of their own kinds
                text = f"{_title(self._spec)} does not run it: {_line(fault)}"
                _send_fault(self._connection, "failed", text)
                continue
            self._connection.send_bytes(answer.to_bytes())

    def _answer(self, request: Message) -> Message:
        match request.facts["do"]:
            case "outputs":
                return Message({}, self._model.outputs(request.arrays))
            case "prepare":
                self._run = self._model.prepare(request.arrays)
                return Message({})
            case "time":
                assert self._run is not None, "prepare comes first"
                return Message({"seconds": _time(self._run, request.facts["runs"])})
            case "usage":
                facts = {"before": self._before, "peak": _read_peak(), "threads": _threads()}
                return Message({"usage": facts})
            case other:
                raise AssertionError(f"unknown request {other}")


def _time(run: Callable[[], Any], runs: int) -> list[float]:
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return seconds


def _find_loader(spec: RunnerSpec, home: str) -> Callable[[], LoadedModel]:
    """Return what loads the file, with the runtime imported."""
    if spec.runtime is Runtime.LITERT:
        load_interpreter()
        return lambda: LiteRtModel(spec.path, spec.threads)
    if spec.runtime is Runtime.ONNX:
        __import__("onnxruntime")
        return lambda: OnnxModel(spec.path, spec.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: spec.threads])
    from graphprune.keras_runtime import find_keras_loader

    return find_keras_loader(spec, home)


def _start_peak() -> int:
    """Begin a new peak of memory, and return the bytes of now."""
    try:
        _CLEAR.write_text(_CLEAR_PEAK)
    except OSError:  # another system, or no permission: the peak counts from the start
        return _read_peak()
    return _kilobytes("VmRSS") or _read_peak()


def _read_peak() -> int:
    peak = _kilobytes("VmHWM")
    if peak is not None:
        return peak
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _threads() -> int:
    found = _find_status("Threads")
    return 0 if found is None else int(found)


def _kilobytes(name: str) -> int | None:
    """Return a field of /proc/self/status, which is in kB, as bytes; None where there is none."""
    found = _find_status(name)
    return None if found is None else int(found.split()[0]) * 1024


def _find_status(name: str) -> str | None:
    if not _STATUS.exists():
        return None
    fields = (line.partition(":") for line in _STATUS.read_text().splitlines())
    return next((value.strip() for field, _, value in fields if field == name), None)


def _title(spec: RunnerSpec) -> str:
    return {Runtime.LITERT: "LiteRT", Runtime.ONNX: "onnxruntime"}.get(spec.runtime, "Keras")


def _line(fault: Exception) -> str:
    return fault.text if isinstance(fault, GraphpruneError) else first_line(fault)


def _send(connection: Connection, facts: dict[str, Any]) -> None:
    connection.send_bytes(Message(facts).to_bytes())


def _send_fault(connection: Connection, kind: FaultKind, text: str) -> None:
    _send(connection, {"kind": kind, "fault": text})


if __name__ == "__main__":
    main(sys.argv[1:])
