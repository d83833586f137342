"""A stand-in for onnxruntime that does what the name of a file says, such as to crash."""

from pathlib import Path

ONNXRUNTIME = """
import os, signal, sys
import numpy as np

__version__ = "0.0"


class SessionOptions:
    pass


class Tensor:
    name, shape, type = "x", ["batch", 3], "tensor(float)"


class InferenceSession:
    def __init__(self, path, options, providers):
        self.does = os.path.basename(path).removesuffix(".onnx")
        self.threads = options.intra_op_num_threads
        print("a note on stdout")
        if self.does == "refuse":
            raise ValueError("error: no such operator: Erfc")
        if self.does == "hang":
            signal.pause()
        if self.does == "exit":
            print("terminate called", file=sys.stderr, flush=True)
            os._exit(7)

    def get_inputs(self):
        return [Tensor]

    def get_outputs(self):
        return [Tensor]

    def run(self, names, given):
        if self.does == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.does == "fail":
            raise RuntimeError("wrong rank")
        if self.does == "folder":
            return [np.array([os.getcwd(), ",".join(os.listdir())], object)]
        if self.does == "threads":
            return [np.array([self.threads])]
        if self.does == "grow":
            self.held = np.ones(20_000_000)
        if self.does == "classes":
            return [np.eye(3)[given["x"].argmax(axis=1)]]
        return [given["x"] * 2]
"""


def install(folder):
    """Write the stand-in to a folder, which is to be put in front of the module path."""
    package = Path(folder, "onnxruntime")
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(ONNXRUNTIME)
