"""The process in which a model of another backend is exported with TensorFlow.

With KERAS_BACKEND=tensorflow, it loads the `.keras` file that the other process has just written,
and exports it as a SavedModel. Keras has no such export on PyTorch; what it exports on JAX cannot
be converted to ONNX, and is larger and without the names of layers as TensorFlow Lite.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from graphprune.child_process import child_command, child_environment
from graphprune.errors import GraphpruneError, OutputError
from graphprune.write_faults import find_reason


def export_in_process(
    file: Path, folder: Path, name: str, batch: int | None, inputs: Sequence[str]
) -> None:
    """Export a `.keras` file with TensorFlow in a process of its own.

    Args:
        file: The model's file, alone in a temporary folder and written by this program: bytecode in
            it runs in the process.
        folder: The SavedModel folder to write.
        name: The model's name, for errors.
        batch: The batch size, None to leave it open.
        inputs: The names of the model's inputs, which a file may not have.

    Raises:
        OutputError: TensorFlow cannot load or export it.
    """
    words = [str(file), str(folder.absolute()), json.dumps([batch, list(inputs)])]
    done = subprocess.run(
        child_command("graphprune.keras3.export_process", *words),
        capture_output=True,
        text=True,
        check=False,
        cwd=file.parent,
        env=child_environment(KERAS_BACKEND="tensorflow"),
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        fault = OutputError(
            f"{name}: cannot be exported with TensorFlow ({lines[-1]}); save it as .keras"
        )
        raise find_reason(fault) or fault


def main(words: list[str]) -> None:
    """Export a file: its path, the folder, and as JSON the batch size and the inputs' names."""
    from graphprune.archive.read import read_archive
    from graphprune.keras3.export import export_folder
    from graphprune.keras3.loading import load_archive

    file, folder, (batch, inputs) = words[0], Path(words[1]), json.loads(words[2])
    try:
        model = load_archive(read_archive(file), {}, unsafe_lambda=True, unsafe_ops=True)
        export_folder(model, folder, batch, names=inputs)
    except GraphpruneError as fault:
        sys.exit(fault.text)


if __name__ == "__main__":
    main(sys.argv[1:])
