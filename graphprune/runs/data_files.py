"""Training data in files other than `.npz`: which kind they are, and where their samples lie.

    table.csv            one sample a line; the columns of the labels are named
    images/              images/CLASS/*.png, or images/train/CLASS and images/val/CLASS
    records/*.tfrecord   TFRecord files, with a function that parses one record

Samples of all of them can be taken in any order, so a run resumes exactly as on arrays. What is
hashed is the content of a table, and of images and records their names and lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np

from graphprune.errors import DataError
from graphprune.runs.records import Count, Many, PathText
from graphprune.runs.samples import Array, is_data_function

FileKind = Literal["csv", "images", "records"]
InputShapes = Mapping[str, tuple[Count | None, ...]]

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
"""The formats that `keras.utils.image_dataset_from_directory` reads."""
RECORDS = (".tfrecord", ".tfrecords", ".tfrecord.gz", ".tfrecords.gz")
HELD_OUT = ("val", "validation", "test")
"""Folders of validation images beside `train`, the first that is there counts."""


@dataclass(frozen=True, slots=True)
class DataFiles:
    """What is needed to read files of data beside their path.

    Attributes:
        label: The columns of a table that are labels.
        parse: The function for one record of a TFRecord file, as `module:function`.
        validation: Validation samples of the same kind: a path.
        inputs: The shapes of the model's inputs by name, without the axis of samples.
    """

    label: Many[str] = ()
    parse: str | None = None
    validation: PathText | None = None
    inputs: InputShapes = field(default_factory=dict)


def find_kind(spec: str, parse: str | None = None) -> FileKind | None:
    """Return which files a path names; None for an `.npz`, a function and everything else.

    Example:
        >>> find_kind("a.csv"), find_kind("r/*.tfrecord"), find_kind("a.npz"), find_kind("a:load")
        ('csv', 'records', None, None)
    """
    if is_data_function(spec):
        return None
    if parse is not None or spec.lower().endswith(RECORDS):
        return "records"
    if spec.lower().endswith(".csv"):
        return "csv"
    return "images" if Path(spec).is_dir() else None


@dataclass(frozen=True, slots=True)
class ImageList:
    """The images of a folder in the order of `keras.utils.image_dataset_from_directory`.

    Attributes:
        paths: Their paths, class by class.
        labels: The number of the class of each.
        classes: The names of the classes, which are those of the folders, sorted.
    """

    paths: tuple[str, ...]
    labels: Array
    classes: tuple[str, ...]

    def digest(self, home: Path) -> str:
        """Return the hash of names, lengths and labels."""
        found = sha256()
        for path, label in zip(self.paths, self.labels, strict=True):
            name = Path(path).relative_to(home).as_posix()
            found.update(f"{name} {Path(path).stat().st_size} {label}\n".encode())
        return found.hexdigest()


def list_images(spec: str, validation: str | None) -> tuple[ImageList, ImageList | None, str]:
    """Return the training and the validation images of a folder, and the hash of both.

    Raises:
        DataError: there are no folders of classes or no images, or the classes differ.
    """
    home = Path(spec)
    train_folder, test_folder = home, None if validation is None else Path(validation)
    if (home / "train").is_dir():
        train_folder = home / "train"
        held_out = [home / name for name in HELD_OUT if (home / name).is_dir()]
        test_folder = test_folder or next(iter(held_out), None)
    train = _list_classes(train_folder)
    if test_folder is None:
        return train, None, train.digest(train_folder)
    test = _list_classes(test_folder)
    if test.classes != train.classes:
        raise DataError(
            f"has the classes {', '.join(test.classes)}, and {train_folder} has"
            f" {', '.join(train.classes)}; give both the same",
            place=test_folder,
        )
    both = train.digest(train_folder) + test.digest(test_folder)
    return train, test, sha256(both.encode()).hexdigest()


def _list_classes(folder: Path) -> ImageList:
    if not folder.is_dir():
        raise DataError("no such folder; give a folder with one folder a class", place=folder)
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    paths, labels = list[str](), list[int]()
    for label, name in enumerate(classes):
        found = sorted(
            str(path) for path in (folder / name).rglob("*") if path.suffix.lower() in IMAGES
        )
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise DataError(
            f"has no images; put them in one folder a class, as {', '.join(IMAGES)}", place=folder
        )
    return ImageList(tuple(paths), np.array(labels, np.int64), classes)


def image_size(spec: str, inputs: InputShapes) -> tuple[int, int, int]:
    """Return height, width and channels of the model's only input.

    Raises:
        DataError: the model has several inputs, or one of another or an unknown shape.
    """
    shape = next(iter(inputs.values()), ()) if len(inputs) == 1 else ()
    height, width, channels = shape if len(shape) == 3 else (None, None, None)
    if height is None or width is None or channels not in (1, 3, 4):
        shown = ", ".join(f"{name} {one}" for name, one in inputs.items()) or "none known"
        raise DataError(
            "a folder of images needs a model with one input of shape (height, width, 1, 3 or 4),"
            f" the model's inputs are {shown}; give a data function instead",
            place=spec,
        )
    return height, width, channels
