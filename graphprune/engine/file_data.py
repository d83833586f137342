"""Training data in CSV, image and TFRecord files: which are given, checked and read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ClassVar

from graphprune.arguments import wrong_type
from graphprune.decoding import ImageRows, RecordRows
from graphprune.engine.data_fit import BatchPart
from graphprune.engine.data_function import check_module, find_function
from graphprune.errors import DataError
from graphprune.graph.frames import Use
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.tensor_shapes import find_tensor_shapes
from graphprune.runs.data_files import DataFiles, FileKind, find_kind, image_size, list_images
from graphprune.runs.record_files import check_records, index_records
from graphprune.runs.run_options import RunOptions
from graphprune.runs.samples import Samples, is_data_function
from graphprune.runs.tables import read_tables


@dataclass(frozen=True, slots=True)
class FileData:
    """Files of one kind.

    Attributes:
        spec: Their path, or a pattern of paths.
        kind: What they are.
        files: What is needed to read them.
    """

    spec: str
    kind: FileKind
    files: DataFiles
    is_arrays: ClassVar[bool] = True

    def of_model(self, graph: LayerGraph) -> FileData:
        """Return the files as they are read for the inputs of a model."""
        inputs = {
            name: part.shape[1:]
            for name, part in find_ends(graph, graph.frames[""].inputs).items()
            if part.shape is not None
        }
        return replace(self, files=replace(self.files, inputs=inputs))

    def describe(self) -> str:
        """Return what the run's record calls them."""
        return str(Path(self.spec).absolute())

    def check(self) -> None:
        """Check the files as far as that is possible without decoding samples.

        Raises:
            DataError: they are missing, damaged, or do not fit the model's inputs.
        """
        if self.kind == "images":
            list_images(self.spec, self.files.validation)
            image_size(self.spec, self.files.inputs)
        if self.kind == "records":
            check_module(_need_parse(self))
            for spec in _places(self):
                check_records(spec)

    def read(self) -> Samples:
        """Return the samples.

        Raises:
            DataError: they are missing, damaged, or do not fit the model's inputs.
        """
        if self.kind == "csv":
            return read_tables(self.spec, self.files)
        if self.kind == "images":
            train, test, digest = list_images(self.spec, self.files.validation)
            size = image_size(self.spec, self.files.inputs)
            held_out = None if test is None else ImageRows("val", test, size)
            return Samples(ImageRows("train", train, size), held_out, digest)
        parse = _need_parse(self)
        function = find_function(parse)
        train_files, *others = map(index_records, _places(self))
        rows = [
            RecordRows(part, found, function, parse)
            for part, found in zip(("train", "val"), (train_files, *others), strict=False)
        ]
        digest = "".join(found.sha256 for found in (train_files, *others))
        return Samples(rows[0], rows[1] if others else None, sha256(digest.encode()).hexdigest())


def _places(data: FileData) -> list[str]:
    """Return the path of the training samples, and of the validation samples if there are any."""
    return [spec for spec in (data.spec, data.files.validation) if spec is not None]


def _need_parse(data: FileData) -> str:
    if data.files.parse is None:
        raise DataError(
            "TFRecord files need a function for one record: --parse MODULE:FUNCTION (parse in"
            " Python)",
            place=data.spec,
        )
    return data.files.parse


def file_data(spec: Any, label: Any, parse: Any, validation: Any) -> FileData | None:
    """Return the files that the arguments of `train` name; None for other kinds of data.

    Raises:
        DataError: an argument does not apply to this kind of data.
        TypeError: an argument has another type.
    """
    label = (label,) if isinstance(label, str) else tuple(label or ())
    _check_texts(label, parse)
    if validation is not None and not isinstance(validation, str | PathLike):
        raise wrong_type("validation_data", "a path", validation)
    validation = None if validation is None else str(Path(fspath(validation)).absolute())
    kind = find_kind(spec, parse) if isinstance(spec, str) else None
    asked = {"label": bool(label), "parse": parse is not None, "validation_data": bool(validation)}
    takes: dict[FileKind | None, tuple[str, ...]] = {
        "csv": ("label", "validation_data"),
        "images": ("validation_data",),
        "records": ("parse", "validation_data"),
    }
    useless = [name for name, given in asked.items() if given and name not in takes.get(kind, ())]
    if useless:
        raise DataError(
            f"{useless[0]} does not apply to this data: label is for a .csv, parse for TFRecord"
            " files, validation_data for both and for a folder of images",
            place=spec if isinstance(spec, str) else "data",
        )
    return None if kind is None else FileData(spec, kind, DataFiles(label, parse, validation))


def _check_texts(label: tuple[Any, ...], parse: Any) -> None:
    if not all(isinstance(name, str) for name in label):
        raise wrong_type("label", "the name of a column, or a list of names", label)
    if parse is not None and not isinstance(parse, str):
        raise wrong_type("parse", "text, 'package.module:function'", parse)
    if parse is not None and not is_data_function(parse):
        raise DataError(f"parse must be MODULE:FUNCTION, got {parse!r}")


def recorded_data(options: RunOptions) -> str | FileData:
    """Return what a run reads its data from, as its record says."""
    files = options.data_files
    kind = None if files is None else find_kind(options.data, files.parse)
    if files is None or kind is None:
        return options.data
    return FileData(options.data, kind, files)


def find_ends(graph: LayerGraph, uses: tuple[Use, ...]) -> dict[str, BatchPart]:
    """Return the tensors that enter or leave a model, by the names of their layers."""
    shapes = find_tensor_shapes(graph)
    return {
        use.source: BatchPart(
            shapes.get((use.source, use.source_call, use.source_tensor)), _dtype(graph, use.source)
        )
        for use in uses
    }


def _dtype(graph: LayerGraph, address: str) -> str:
    dtype = graph.layer(address).config.get("dtype")
    return dtype if isinstance(dtype, str) else "float32"
