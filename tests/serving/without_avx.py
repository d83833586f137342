"""Runs `.tflite` files where XNNPACK has its sparse convolutions in use: not on x86 with AVX.

There, the emulator `qemu-x86_64` gives a process a processor without AVX, where it is installed
(Debian's package `qemu-user`).

    python tests/serving/without_avx.py FILE.tflite VALUES.npz

reads images from VALUES.npz and writes for each the outputs, or why there are none, to VALUES.npz.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

EMULATORS = ("qemu-x86_64", "qemu-x86_64-static")


def find_prefix(processor):
    """Return what a command begins with to run without AVX; None where that is not possible."""
    if not (processor.is_x86 and processor.has_avx):
        return ()
    found = next(filter(None, map(shutil.which, EMULATORS)), None)
    return None if found is None else (found, "-cpu", "Nehalem")


def run_without_avx(prefix, path, images):
    """Return the outputs of a file for each of some images; None where LiteRT does not run it."""
    values = path.with_suffix(".npz")
    np.savez(values, *images)
    words = [*prefix, Path(sys.executable).resolve(), "-S", __file__, path, values]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(words, check=True, capture_output=True, timeout=120, env=environment)
    with np.load(values) as made:
        found = [
            [made[name] for name in made.files if name.startswith(f"{place}_")]
            for place in range(len(images))
        ]
    return found if all(found) else None


def _compute(path, images):
    from ai_edge_litert.interpreter import Interpreter

    made = {}
    try:
        interpreter = Interpreter(path, num_threads=1)
        interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()
        for place, image in enumerate(images):
            interpreter.resize_tensor_input(given["index"], image.shape)
            interpreter.allocate_tensors()
            interpreter.set_tensor(given["index"], image)
            interpreter.invoke()
            for number, output in enumerate(interpreter.get_output_details()):
                made[f"{place}_{number}"] = interpreter.get_tensor(output["index"])
    except RuntimeError as fault:
        print(fault)
        return {}
    return made


if __name__ == "__main__":
    file, store = sys.argv[1:]
    with np.load(store) as stored:
        all_images = [stored[name] for name in stored.files]
    np.savez(store, **_compute(file, all_images))
