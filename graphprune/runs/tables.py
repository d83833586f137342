"""Samples in a CSV file: one a line, with named columns.

The columns of labels are named by the user. The others are the features: for a model with one
input all of them, in their order; for several inputs, each input has the column of its name, or the
columns `NAME.…` and `NAME_…`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from graphprune.errors import DataError
from graphprune.runs.data_files import DataFiles, InputShapes
from graphprune.runs.samples import Array, ArrayRows, Samples, Tree
from graphprune.suggestions import closest

Classes = dict[str, tuple[str, ...]]
"""The words of columns of labels that are text, sorted: their places are the class numbers."""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file: its columns as text by name, and the hash of its bytes."""

    path: str
    columns: Mapping[str, Sequence[str]]
    sha256: str


def read_tables(path: str, files: DataFiles) -> Samples:
    """Return the samples of a CSV file, and those of the one for validation.

    Raises:
        DataError: a file cannot be read, a column is missing or unknown, or a value is no number.
    """
    table, classes = _read(path), Classes()
    train = _rows(table, files, classes, "train")
    if files.validation is None:
        return Samples(train, None, table.sha256)
    other = _read(files.validation)
    test = _rows(other, files, classes, "val")
    both = sha256((table.sha256 + other.sha256).encode()).hexdigest()
    return Samples(train, test, both)


def _read(path: str) -> Table:
    place = Path(path)
    if not place.is_file():
        raise DataError("no such file", place=path)
    content = place.read_bytes()
    try:
        lines = list(csv.reader(content.decode("utf-8-sig").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"not a CSV file in UTF-8: {fault}", place=path) from fault
    names, rows = lines[0] if lines else [], lines[1:]
    if len(set(names)) < len(names) or not all(names):
        raise DataError(
            "its first line must name each column once, with a name for each", place=path
        )
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise DataError(
                f"line {number} has {len(row)} values, and there are {len(names)} columns",
                place=path,
            )
    if not rows:
        raise DataError("has no samples; training needs at least one", place=path)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return Table(path, columns, sha256(content).hexdigest())


def _rows(table: Table, files: DataFiles, classes: Classes, part: str) -> ArrayRows:
    names = tuple(table.columns)
    if not files.label:
        raise DataError(
            f"name the column of the labels with --label; the columns are {', '.join(names)}",
            place=table.path,
        )
    for name in files.label:
        if name not in table.columns:
            known = closest(name, names) or f"the columns are {', '.join(names)}"
            raise DataError(f"has no column {name!r}; {known}", place=table.path)
    labels = {name: _labels(table, name, classes) for name in files.label}
    features = tuple(name for name in names if name not in files.label)
    y: Tree = labels if len(labels) > 1 else next(iter(labels.values()))
    return ArrayRows(part, _features(table, features, files.inputs), y)


def _features(table: Table, features: tuple[str, ...], inputs: InputShapes) -> Tree:
    if len(inputs) <= 1:
        name, shape = next(iter(inputs.items()), ("", (None,)))
        return _block(table, features, name, shape)
    found, used = dict[str, Array](), set[str]()
    for name, shape in inputs.items():
        own = tuple(
            one for one in features if one == name or one.startswith((f"{name}.", f"{name}_"))
        )
        if not own:
            near = closest(name, features) or f"the columns are {', '.join(features)}"
            raise DataError(f"has no column for the model's input {name}; {near}", place=table.path)
        found[name] = _block(table, own, name, shape)
        used |= set(own)
    left = [name for name in features if name not in used]
    if left:
        raise DataError(
            f"the column {left[0]!r} is of no input of the model ({', '.join(inputs)}); remove it",
            place=table.path,
        )
    return found


def _block(table: Table, names: tuple[str, ...], called: str, shape: Sequence[int | None]) -> Array:
    """Return columns as one array, in the shape of an input if that is known."""
    values = np.stack([_numbers(table, name) for name in names], 1) if names else np.empty((0, 0))
    if None in shape:
        return values
    wanted = tuple(length or 0 for length in shape)
    if math.prod(wanted) != len(names):
        raise DataError(
            f"has {len(names)} columns for the model's input {called}, which takes"
            f" {math.prod(wanted)} ({wanted}); the columns are {', '.join(names)}",
            place=table.path,
        )
    return values.reshape(-1, *wanted)


def _numbers(table: Table, name: str) -> Array:
    found = [_number(text) for text in table.columns[name]]
    for line, (number, text) in enumerate(zip(found, table.columns[name], strict=True), 2):
        if number is None or not math.isfinite(number):
            raise DataError(
                f"line {line}: column {name!r} holds {text[:40]!r}, which is no finite number",
                place=table.path,
            )
    return np.array(found, np.float32)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _labels(table: Table, name: str, classes: Classes) -> Array:
    """Return labels as they are, or words as class numbers: their places in sorted order."""
    texts = table.columns[name]
    is_text = name in classes or any(_number(text) is None for text in texts)
    if not is_text:
        values = _numbers(table, name).astype(np.float64)
        whole = np.array([float(text) for text in texts])
        return whole.astype(np.int64) if (whole == np.floor(whole)).all() else values
    words = classes.setdefault(name, tuple(sorted(set(texts))))
    places = {word: place for place, word in enumerate(words)}
    for line, text in enumerate(texts, 2):
        if text not in places:
            raise DataError(
                f"line {line}: column {name!r} holds {text[:40]!r}, which is no class of the"
                f" training data; {closest(text, words) or 'known are ' + ', '.join(words)}",
                place=table.path,
            )
    return np.array([places[text] for text in texts], np.int64)
