"""The runtimes of served models: which files each of them runs, and how a run can end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from graphprune.errors import GraphpruneError, OutputError

FaultKind = Literal["missing", "not-loaded", "failed", "crashed", "timed-out"]
"""Why a file gave no outputs.

`missing`: the runtime is not installed. `not-loaded`: the runtime refuses the file. `failed`: it
refuses to run it on these inputs. `crashed`: the process died. `timed-out`: it took too long.
"""


class Runtime(StrEnum):
    """A library that runs models."""

    LITERT = "litert"
    ONNX = "onnx"
    KERAS = "keras"


RUNTIMES_BY_SUFFIX = {
    ".tflite": Runtime.LITERT,
    ".onnx": Runtime.ONNX,
    ".keras": Runtime.KERAS,
    ".h5": Runtime.KERAS,
    ".hdf5": Runtime.KERAS,
    "": Runtime.KERAS,
}


def runtime_of(path: str | Path) -> Runtime:
    """Return the runtime for a file or SavedModel folder, by the suffix of its name.

    Raises:
        OutputError: no runtime runs files of this suffix.

    Example:
        >>> str(runtime_of("sparse.tflite")), str(runtime_of("model.h5"))
        ('litert', 'keras')
    """
    suffix = Path(path).suffix
    if suffix in RUNTIMES_BY_SUFFIX:
        return RUNTIMES_BY_SUFFIX[suffix]
    if Path(path).is_dir():
        return Runtime.KERAS
    known = ", ".join(filter(None, RUNTIMES_BY_SUFFIX))
    raise OutputError(
        f"no runtime runs files with the suffix {suffix}; give one of {known}, or a SavedModel"
        " folder",
        place=path,
    )


@dataclass(frozen=True, slots=True)
class RunnerSpec:
    """What to run, and how.

    Attributes:
        runtime: What runs it.
        path: The file or SavedModel folder.
        threads: Threads of the runtime; for Keras, the processor cores that its process may use.
        timeout: Seconds that loading, and each request, may take.
        custom_objects: As `--custom-objects` takes them; only for Keras.
        unsafe_lambda, unsafe_ops: As for `graphprune.load_model`; only for Keras. An exported
            SavedModel, which holds a graph of operations and no Keras model, needs `unsafe_ops`.
    """

    runtime: Runtime
    path: Path
    threads: int = 1
    timeout: float = 600.0
    custom_objects: tuple[str, ...] = ()
    unsafe_lambda: bool = False
    unsafe_ops: bool = False

    @classmethod
    def of_file(cls, path: str | Path, threads: int = 1) -> RunnerSpec:
        """Return the spec that runs a file in the runtime for its suffix."""
        return cls(runtime_of(path), Path(path), threads)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a loaded model.

    Attributes:
        name: Its name: that of the signature where the file has one.
        shape: Its shape; None where a length is open.
        dtype: The NumPy dtype of the values to give.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the process of a runner takes.

    Attributes:
        before: Bytes of memory before the model was loaded: the runtime alone.
        peak: The most bytes since then, `before` included.
        threads: Threads that the process has.
    """

    before: int
    peak: int
    threads: int


@dataclass(frozen=True, slots=True)
class RunFault:
    """Why a file gave no outputs.

    Attributes:
        kind: What happened.
        reason: The same in words, with what the runtime said.
        signal: The name of the signal that ended the process (`SIGSEGV`), if one did.
    """

    kind: FaultKind
    reason: str
    signal: str | None = None


class RunnerError(GraphpruneError):
    """A file does not run; `fault` says why, and `path` names it."""

    slug = "model/does-not-run"

    def __init__(self, fault: RunFault, path: str | Path) -> None:
        super().__init__(fault.reason, place=path)
        self.fault, self.path = fault, path
