"""Print the processor time of `diff` on two large files against h5py reading both.

Values are included.

    python benchmarks/diff_speed.py [--megabytes 250] [--repeats 3]

The models are chains of wide Dense layers as `.h5` files; in the second one most weights are zero.
Each measurement is a process of its own, the two alternate, and the least of the repeats counts.
`diff` should take at most 3 times as long as h5py reading both files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

UNITS = 2048
READ = """
import resource, sys
import h5py
for path in sys.argv[1:]:
    with h5py.File(path, "r") as file:
        root = file["model_weights"]
        for group in root:
            for name in root[group].attrs["weight_names"]:
                root[group][name][()]
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_utime + usage.ru_stime)
"""
DIFF = """
import resource, sys
from graphprune.diff.graph_diff import diff_models
from graphprune.graph.read import open_model_file
found = diff_models(*map(open_model_file, sys.argv[1:]))
assert found.sparsity_changed and found.is_weights_equal is False
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_utime + usage.ru_stime)
"""


def main() -> None:
    """Write two files, read and compare them, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    layers = max(1, round(options.megabytes * 1e6 / (UNITS * UNITS * 4)))
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            write(Path(folder, name), layers, keep)
            for name, keep in (("dense.h5", 1.0), ("sparse.h5", 0.2))
        ]
        read, compared = [], []
        for _ in range(options.repeats):
            read.append(run(READ, paths))
            compared.append(run(DIFF, paths))
    ratio = min(compared) / min(read)
    print(f"h5py reads both  {min(read):6.2f} s")
    print(f"diff             {min(compared):6.2f} s   {ratio:.2f} times, target 3")


def run(program: str, paths: list[Path]) -> float:
    """Return the processor time of a program in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def write(path: Path, layers: int, keep: float) -> Path:
    """Write a chain of Dense layers in which a share of the weights is not zero."""
    random = np.random.default_rng(0)
    names = [f"fc{index}" for index in range(layers)]
    begin = {
        "class_name": "InputLayer",
        "config": {"name": "in", "batch_input_shape": [None, UNITS], "dtype": "float32"},
    }
    dense = [
        {"class_name": "Dense", "config": {"name": name, "units": UNITS, "use_bias": False}}
        for name in names
    ]
    config = {"name": "net", "layers": [begin, *dense]}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array(names, "S")
        for name in names:
            values = random.normal(size=(UNITS, UNITS)).astype("float32")
            values[random.random(values.shape) >= keep] = 0
            group = root.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}/kernel:0"], "S")
            group[f"{name}/kernel:0"] = values
    return path


if __name__ == "__main__":
    main()
