"""Print what the light commands cost on models of 10,000 and 100,000 layers.

Printed are seconds of processor time and peak memory of the whole process, and their growth.

    python benchmarks/command_speed.py [--layers 10000 100000] [--only COMMAND ...] [--repeats 1]

The models are the chains of Dense layers of read_speed.py, as `.keras` files; `diff` compares with
a copy of which one weight was changed. The least of the repeats counts. Ten times the layers should
take at most 12 times as long.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
from plan_speed import MEASURE, RULES
from read_speed import write_keras

COMMANDS = ("layers", "plan", "diff", "graph.json", "graph.dot", "graph.svg", "graph.html")


def main() -> None:
    """Time each command on models of each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = {size: write_keras(Path(folder, f"{size}.keras"), size) for size in options.layers}
        copies = {
            size: change(model, Path(folder, f"{size}-changed.keras"))
            for size, model in models.items()
        }
        Path(folder, "rules.yaml").write_text(RULES)
        print(f"{'':<12}{''.join(f'{size:>11,} layers        ' for size in models)}")
        for name in options.only:
            found = [
                min(
                    (run(name, models[size], copies[size], folder) for _ in range(options.repeats)),
                    key=lambda used: used[0],
                )
                for size in models
            ]
            cells = "".join(f"{seconds:9.2f} s {peak:8.0f} MB    " for seconds, peak in found)
            print(f"{name:<12}{cells}{found[-1][0] / found[0][0]:6.1f}x", flush=True)


def change(model: Path, copy: Path) -> Path:
    """Write a copy of which one weight is another."""
    with zipfile.ZipFile(model) as archive, zipfile.ZipFile(copy, "w") as changed:
        for name in archive.namelist():
            data = io.BytesIO(archive.read(name))
            if name.endswith(".h5"):
                with h5py.File(data, "r+") as file:
                    file["layers/dense/vars/0"][0, 0] = 1
            changed.writestr(name, data.getvalue())
    return copy


def run(name: str, model: Path, copy: Path, folder: str) -> tuple[float, float]:
    """Return processor time and peak memory of one command."""
    command, _, suffix = name.partition(".")
    output = Path(folder, f"out.{suffix or 'txt'}")
    shutil.rmtree(output, ignore_errors=True)
    output.unlink(missing_ok=True)
    more = {"plan": ["-r", str(Path(folder, "rules.yaml"))], "diff": [str(copy)]}.get(command, [])
    way = [sys.executable, "-m", "graphprune", command, str(model), *more, "-o", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *way],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    used = json.loads(done.stdout.splitlines()[-1])
    return used["processor"], used["peak"]


if __name__ == "__main__":
    main()
