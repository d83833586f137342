"""Print what `graphprune plan` costs on a large model.

Measured beside it: loading and wrapping the model with the TensorFlow toolkit (tfmot).

    pip install '.[bench]' && python benchmarks/plan_speed.py [--repeats 3] [--model resnet152.h5]

The model is ResNet152 of tf_keras.applications with random weights, a file of 230 MB, made here
unless one is given. Each measurement is a process of its own, imports included: medians of seconds
of processor time, seconds of wall time and peak memory, and each as a ratio to the toolkit's in the
same round.

On two cores, one round (the aim is a tenth of the time):

                       processor time          wall time        peak memory
    tfmot                  16.91 s  1.000     18.13 s  1.000   1339.09 MB 1.000
    graphprune plan         1.28 s  0.076      1.31 s  0.072    100.22 MB 0.075
    graphprune layers       0.76 s  0.045      0.77 s  0.042     84.42 MB 0.063
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RULES = """\
version: 1
schedules: {ramp: {curve: polynomial, begin: 0 epochs, end: 4 epochs, every: 100 steps}}
rules: [{id: all, match: "*", prune: {sparsity: 90%, schedule: ramp}}]
"""
MAKE = "import sys, tf_keras; tf_keras.applications.ResNet152(weights=None).save(sys.argv[1])"
TOOLKIT = """
import sys, tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import prune
prune.prune_low_magnitude(tf_keras.models.load_model(sys.argv[1], compile=False))
"""
MEASURE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
wall = time.perf_counter() - start
processor = used.ru_utime + used.ru_stime
print(json.dumps({"processor": processor, "wall": wall, "peak": used.ru_maxrss / 1000}))
"""
"""Runs in a small process, whose only child is the one that is measured."""

ENVIRONMENT = {
    **os.environ,
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
}
COLUMNS = (("processor", "s"), ("wall", "s"), ("peak", "MB"))


def main() -> None:
    """Measure all ways in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", help="an .h5 file to use instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or make_model(Path(folder, "resnet152.h5"))
        rules = Path(folder, "rules.yaml")
        rules.write_text(RULES)
        command = [sys.executable, "-m", "graphprune"]
        ways = {
            "tfmot": [sys.executable, "-c", TOOLKIT, model],
            "graphprune plan": [*command, "plan", model, "-r", str(rules)],
            "graphprune layers": [*command, "layers", model],
        }
        print(
            f"{Path(model).name}, {Path(model).stat().st_size / 1e6:.0f} MB\n"
            f"{'':<18} {'processor time':>18} {'wall time':>18} {'peak memory':>18}"
        )
        rounds = [
            {name: run_process(way) for name, way in ways.items()} for _ in range(options.repeats)
        ]
        for name in ways:
            print(f"{name:<18}{''.join(column(rounds, name, key, unit) for key, unit in COLUMNS)}")


def make_model(path: Path) -> str:
    """Write the model, and return its path."""
    subprocess.run(
        [sys.executable, "-c", MAKE, str(path)],
        check=True,
        env=ENVIRONMENT,
        stderr=subprocess.DEVNULL,
    )
    return str(path)


def run_process(way: list[str]) -> dict[str, float]:
    """Measure in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *way],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def column(rounds: list[dict[str, dict[str, float]]], name: str, key: str, unit: str) -> str:
    """Return the median and its ratio to the toolkit's."""
    value = statistics.median(found[name][key] for found in rounds)
    ratio = statistics.median(found[name][key] / found["tfmot"][key] for found in rounds)
    return f" {value:9.2f} {unit:<2} {ratio:5.3f}"


if __name__ == "__main__":
    main()
