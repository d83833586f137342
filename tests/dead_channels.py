"""Saved models with dead channels, and the check that removing them changes no output."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from graphprune.graph.read import ModelFile, open_model_file
from graphprune.shrink.dead import Removal
from graphprune.shrink.files import check_shrinkable, find_dead_in, write_shrunk
from graphprune.shrink.groups import find_groups

WEIGHTS = "model.weights.h5"


@contextmanager
def weights_file(path: Path) -> Iterator[h5py.File]:
    """Give the HDF5 file with the weights of a `.keras` or `.h5` file, which is written back."""
    if path.suffix != ".keras":
        with h5py.File(path, "r+") as file:
            yield file
        return
    with zipfile.ZipFile(path) as members:
        content = {name: members.read(name) for name in members.namelist()}
    stream = io.BytesIO(content[WEIGHTS])
    with h5py.File(stream, "r+") as file:
        yield file
    with zipfile.ZipFile(path, "w") as members:
        for name, data in (content | {WEIGHTS: stream.getvalue()}).items():
            members.writestr(name, data)


def randomize(
    path: Path, rng: np.random.Generator, *, offsets: float = 0.5, times: float = 1.0
) -> None:
    """Give each vector of a file values that are neither zero nor all alike; kernels are random.

    Args:
        path: The file.
        rng: Makes the values.
        offsets: How large biases are at most.
        times: What kernels are multiplied by.
    """
    model = open_model_file(path)
    with weights_file(path) as file:
        for named in model.weights.tensors.values():
            for name, stored in named.items():
                if stored.dtype.startswith("float") and len(stored.shape) == 1:
                    is_factor = "variance" in name or "gamma" in name
                    low, high = (0.5, 1.5) if is_factor else (-offsets, offsets)
                    file[stored.path][...] = rng.uniform(low, high, stored.shape)
                elif len(stored.shape) > 1 and times != 1:
                    file[stored.path][...] *= times


def kill_channels(path: Path, rng: np.random.Generator, share: float = 0.5) -> int:
    """Zero random channels of each removable group of a file; return how many.

    A third of them keep biases and the scales of batch normalizations, so that they are constant.
    """
    model, killed = open_model_file(path), 0
    with weights_file(path) as file:
        for group in find_groups(model.graph):
            if not group.is_removable:
                continue
            chosen = rng.random(group.size) < share
            constant = rng.random(group.size) < 1 / 3
            killed += int(chosen.sum())
            for member in group.zeroed:
                data = file[model.weights.find(member.address, member.tensor).path]
                values = data[...]
                is_kernel = member.role == "produces"
                places = member.positions[chosen & (is_kernel | ~constant)].ravel()
                np.moveaxis(values, member.axis, 0)[places] = 0
                data[...] = values
    return killed


def shrink_file(path: Path, small: Path) -> tuple[ModelFile, Removal]:
    """Write the model without its dead channels; return it as it was, and what was removed."""
    source = open_model_file(path)
    check_shrinkable(source)
    removal = find_dead_in(source)
    with small.open("wb") as stream:
        write_shrunk(source, removal, stream)
    return source, removal


def inputs_of(model: Any, rng: np.random.Generator, samples: int = 3) -> list[np.ndarray]:
    """Return random inputs for a live model; open lengths become 6, whole numbers stay below 5."""
    return [
        (
            rng.integers(0, 5, shape)
            if "int" in str(tensor.dtype)
            else rng.normal(size=shape).astype("float32")
        )
        for tensor in model.inputs
        for shape in [(samples, *(length or 6 for length in tensor.shape[1:]))]
    ]


def calibrate(model: Any, path: Path, given: list[np.ndarray], rng: np.random.Generator) -> None:
    """Give the batch normalizations of a live model and of its file statistics that fit its data.

    Without them, signals fade in a deep net with random weights until its outputs do not depend on
    its inputs, and a comparison of outputs shows nothing. The statistics are then shifted, so that
    they are those of no channel exactly.
    """
    norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    for layer in norms:
        layer.momentum = 0.0
    model(given[0], training=True)
    places = open_model_file(path).weights
    with weights_file(path) as file:
        for layer in norms:
            mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
            spread = np.sqrt(variance + 0.01)
            made = {
                "moving_mean": mean + rng.uniform(-0.1, 0.1, mean.shape) * spread,
                "moving_variance": rng.uniform(0.9, 1.1, mean.shape) * spread**2,
            }
            for name, values in made.items():
                values = values.astype(mean.dtype)
                getattr(layer, name).assign(values)
                file[places.find(layer.name, name).path][...] = values


def outputs_of(model: Any, given: list[np.ndarray]) -> list[np.ndarray]:
    made = model(given if len(given) > 1 else given[0], training=False)
    return [np.asarray(one) for one in (made if isinstance(made, list | tuple) else [made])]


def assert_shrinks(
    path: Path, small: Path, load: Callable[[Path], Any], rng: np.random.Generator
) -> Removal:
    """Check that the shrunk file gives the same outputs, in its Keras, as the one with zeros."""
    source, removal = shrink_file(path, small)
    before, after = load(path), load(small)
    given = inputs_of(before, rng)
    for left, right in zip(outputs_of(before, given), outputs_of(after, given), strict=True):
        scale = max(1.0, float(np.abs(left).max()))
        assert left.shape == right.shape
        assert np.isfinite(left).all()
        assert np.abs(left - right).max() <= 1e-5 * scale, np.abs(left - right).max()
    shrunk = open_model_file(small)
    assert shrunk.graph.parameters == after.count_params()
    assert removal.removed or shrunk.graph.parameters == source.graph.parameters
    return removal
