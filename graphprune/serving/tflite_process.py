"""The process in which a model is converted to int8: calibration runs it, and may crash.

TensorFlow Lite's calibrator ends the process on some models, such as those with sequences, where
other forms are refused in words.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.child_process import child_command, child_environment
from graphprune.errors import GraphpruneError
from graphprune.files import temporary_folder
from graphprune.serving.outputs import Arrays

_FILE, _SAMPLES = "model.tflite", "samples.npz"


class CrashError(Exception):
    """The process ended without an error of its own."""


def convert_in_process(
    folder: Path, precision: str, samples: Arrays, batch: int | None, *, is_sparse: bool
) -> bytes:
    """Return an exported model as a TensorFlow Lite file, converted in a process of its own.

    Args:
        folder: The exported SavedModel.
        precision: That of its weights.
        samples: What activations are measured on, by the names of the inputs.
        batch: The batch size; None if it is open.
        is_sparse: Whether zeros are left out.

    Raises:
        CrashError: the converter refuses the model, or crashes; the text is its last line.
    """
    given = json.dumps([str(folder.absolute()), precision, is_sparse, batch])
    with temporary_folder() as parent:
        plain: dict[str, Any] = {name: _plain(each) for name, each in samples.items()}
        np.savez(Path(parent, _SAMPLES), **plain)
        done = subprocess.run(
            child_command("graphprune.serving.tflite_process", given),
            capture_output=True,
            text=True,
            check=False,
            cwd=parent,
            env=child_environment(),
        )
        if done.returncode < 0:
            name = signal.Signals(-done.returncode).name
            raise CrashError(f"the converter crashes while it measures activations ({name})")
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise CrashError(lines[-1])
        return Path(parent, _FILE).read_bytes()


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array that is stored without pickle: texts as bytes."""
    return values.astype("S") if values.dtype.kind == "O" else values


def main(words: list[str]) -> None:
    """Convert a folder: its path, the precision, whether it is sparse, and the batch, as JSON."""
    from graphprune.serving.tflite_forms import Precision, TfliteForm, TfliteRequest, convert

    folder, precision, is_sparse, batch = json.loads(words[0])
    form = TfliteForm(Precision(precision), is_sparse=is_sparse)
    with np.load(_SAMPLES, allow_pickle=False) as samples:
        request = TfliteRequest(form.precision, batch, dict(samples))
    try:
        Path(_FILE).write_bytes(convert(Path(folder), form, request))
    except GraphpruneError as fault:
        sys.exit(fault.text)


if __name__ == "__main__":
    main(sys.argv[1:])
