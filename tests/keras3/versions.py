"""Run the core of the Keras 3 cases with each minor version of Keras, on TensorFlow and JAX.

    python tests/keras3/versions.py [--only 3.3.3 ...] [--backend jax ...] [--every]

It needs an environment with graphprune's extra `test`, and pip. Each version of Keras is installed,
without its dependencies, in a folder of its own that precedes the environment's on the path. Keras
before 3.10 calls what newer versions of JAX lack, so JAX 0.4.30 is installed for it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

HOME = Path(__file__).parent
VERSIONS = (
    *("3.3.3", "3.4.1", "3.5.0", "3.6.0", "3.7.0", "3.8.0", "3.9.2"),
    *("3.10.0", "3.11.3", "3.12.4", "3.13.2", "3.14.1", "3.15.1"),
)
OLD_JAX, NEEDS_OLD_JAX = "0.4.30", VERSIONS[:7]
CORE = {
    "training_cases": (
        "model: operations",
        "model: nested called twice",
        "model: GRU",
        "model: custom layers",
        "model: subclassed",
        "compiled again",
        "layers alone and in lists",
    ),
    "command_cases": ("a model is planned pruned and checked",),
    "export_cases": ("several_inputs_and_outputs_keep_their_names: folder",),
    "loading_cases": ("names of operations are kept",),
    "loop_cases": (
        "masked weights are zero after every step",
        "a step without a pruner is refused",
    ),
    "optimizer_cases": (
        "optimizer: AdamW",
        "setting: averages",
        "loss_scaling: Adam",
        "updates_that_loss_scaling_skips_count_as_steps: Adam",
    ),
    "run_cases": ("a run stopped inside of an epoch goes on", "mixed precision goes on"),
    "setting_cases": (
        "settings of runs go on",
        "executions of several steps and early stopping go on",
    ),
    "saving_cases": (
        "saved_model_goes_on: Adam",
        "checkpoints_of_each_epoch_go_on: Adam",
        "saved weights go on",
        "backup and restore",
        "what_is_frozen_stays_frozen_and_goes_on: a weight",
        "what_is_frozen_stays_frozen_and_goes_on: a layer inside a custom one",
        "plain keras loads the file",
        "stripped models load in plain keras",
    ),
}
"""The scripts and their cases; `--every` runs all cases of them that the suite runs. Training comes
first: it must not import tf_keras, which cases of commands do."""
OTHERS = (
    *("channel_cases", "data_cases", "layer_cases"),
    *("precision_cases", "refusal_cases", "surgery_cases"),
)
"""The scripts that only `--every` runs."""


def main() -> None:
    """Print a line for each version and backend; end with status 1 if a case failed."""
    options = read_options()
    if options.run:
        run_cases(options.run == "every")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        clean = [
            check(version, backend, folder, options.every)
            for version in options.only or VERSIONS
            for backend in options.backend or ("tensorflow", "jax")
        ]
    raise SystemExit(not all(clean))


def read_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", help="versions of Keras, instead of all")
    parser.add_argument("--backend", nargs="+", choices=("tensorflow", "jax", "torch"))
    parser.add_argument("--every", action="store_true", help="all cases, not the core of them")
    parser.add_argument("--folder", type=Path, help="where versions are installed, to use again")
    parser.add_argument("--run", choices=("core", "every"), help=argparse.SUPPRESS)
    return parser.parse_args()


def check(version: str, backend: str, folder: Path, every: bool) -> bool:
    """Run the cases with one version on one backend; return whether all of them passed."""
    places = [install(f"keras=={version}", folder)]
    programs = {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs")}
    if backend == "jax" and version in NEEDS_OLD_JAX:
        places.append(install(f"jax=={OLD_JAX}", folder, f"jaxlib=={OLD_JAX}"))
        programs = {}  # what JAX 0.4 reads from a cache computes something else
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, __file__, "--run", "every" if every else "core"],
        capture_output=True,
        text=True,
        env={name: text for name, text in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
        | programs
        | {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(map(str, (*places, HOME.parents[1], HOME.parent))),
        },
        check=False,
    )
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    faults = {name: fault for name, fault in results if fault}
    print(
        f"Keras {version:<7} {backend:<11} {len(results) - len(faults):3} of {len(results):3} cases"
        f" passed in {time.monotonic() - start:4.0f} s",
        flush=True,
    )
    for name, fault in faults.items():
        print(f"  {name}: {fault.strip().splitlines()[-1][:300]}", flush=True)
    if done.returncode:
        print(done.stderr[-2000:], flush=True)
    return bool(results) and not faults and done.returncode == 0


def install(requirement: str, folder: Path, *more: str) -> Path:
    """Install packages without their dependencies in a folder of their own; return it."""
    target = folder / requirement
    if not target.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", str(target), requirement, *more], check=True)
    return target


def run_cases(every: bool) -> None:
    """Run the cases in this process, whose environment has one version and one backend."""
    import numpy as np
    from keras3.child import QUICK_TO_COMPILE

    if not hasattr(np, "Inf"):
        np.Inf = np.inf  # Keras before 3.5 was written for NumPy 1
    os.environ.update(QUICK_TO_COMPILE)
    for script in (*CORE, *OTHERS) if every else CORE:
        import_module(f"keras3.{script}").CASES.run([] if every else list(CORE[script]))


if __name__ == "__main__":
    main()
