"""Proof that a written file works: it is loaded and run in a process of its own, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graphprune.files import temporary_folder
from graphprune.serving.outputs import Arrays, Limit, find_deviation, not_written
from graphprune.serving.running import try_run
from graphprune.serving.runtimes import RunFault, RunnerSpec


def prove(path: Path, batches: Sequence[Arrays], wanted: Arrays, limit: Limit) -> str | None:
    """Return why a file is not to be served, in words; None if it computes what the model does.

    Args:
        path: The file.
        batches: Inputs by name, one batch after another.
        wanted: What the model computes from all of them, by the names of the outputs.
        limit: How far the file's outputs may differ.
    """
    found = try_run(RunnerSpec.of_file(path), *batches)
    if isinstance(found, RunFault):
        return found.reason
    return find_deviation(wanted, found, limit)


def check_onnx_file(
    content: bytes, inputs: Arrays, wanted: Arrays, limit: Limit, place: str
) -> None:
    """Run the bytes of an ONNX file, and compare; arguments as for `prove`.

    Raises:
        OutputError: the file does not run, or computes something else.
    """
    with temporary_folder() as folder:
        file = folder / "model.onnx"
        file.write_bytes(content)
        reason = prove(file, [inputs], wanted, limit)
    if reason is not None:
        raise not_written("ONNX", reason, place)
