"""A format of saved models that graphprune does not know, and a record that makes it known.

The file is a line that tells it, a line of JSON with the config and the place of each tensor, and
the tensors one after another. Tensors are named as in a `.keras` file.
"""

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from graphprune.archive import StoredTensor, read_archive
from graphprune.archive.archive import GroupFacts, Header, as_written
from graphprune.archive.formats import FileFormat

SIGNATURE = b"ONE FILE\n"
RECORD = FileFormat(".one", (".one",), (SIGNATURE,), ("one_file", "OneFile"))


@dataclass(frozen=True)
class OneFile:
    path: str
    layout = "keras"

    @contextmanager
    def opened(self):
        yield OpenedOneFile(Path(self.path).read_bytes())


class OpenedOneFile:
    def __init__(self, data):
        _, text, self._values = data.split(b"\n", 2)
        self._header = json.loads(text)

    def read_header(self):
        return Header(self._header["keras_version"], self._header["config"])

    def index(self):
        return {
            group: tuple(StoredTensor(**tensor) for tensor, _ in tensors)
            for group, tensors in self._header["tensors"].items()
        }

    def describe(self, group):
        return GroupFacts()

    def read(self, tensor):
        starts = {one["path"]: start for one, start in self._header["tensors"][tensor.group]}
        count = int(np.prod(tensor.shape))
        values = np.frombuffer(self._values, tensor.dtype, count, starts[tensor.path])
        return values.reshape(tensor.shape)

    def check_checksums(self):
        pass


def write_one_file(path, model):
    """Write the model of a `.keras` file in this format."""
    archive = as_written(read_archive(model))
    tensors, parts, start = {}, [], 0
    for group, stored in archive.stored.items():
        tensors[group] = []
        for tensor in stored:
            parts.append(archive.read(tensor).tobytes())
            facts = {key: value for key, value in asdict(tensor).items() if key != "stretch"}
            tensors[group].append((facts, start))
            start += len(parts[-1])
    header = {"keras_version": archive.keras_version, "config": archive.config, "tensors": tensors}
    Path(path).write_bytes(b"".join([SIGNATURE, json.dumps(header).encode(), b"\n", *parts]))
