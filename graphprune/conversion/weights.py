"""Writing of the weights of a saved model into a `.keras` file of the other Keras."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

import h5py

from graphprune.archive import no_weights
from graphprune.archive.keras_zip import WEIGHTS
from graphprune.errors import GraphError
from graphprune.graph.read import ModelFile
from graphprune.graph.weights import ModelWeights, ReadableWeights
from graphprune.wrapper_names import is_state

_ADAPTING = frozenset({"summary"})
"""Counts that Discretization keeps while it adapts; the result is in the config."""
_GENERATOR = "seed_generator"


def write_converted(
    source: ModelFile, made: ModelFile, renamed: Mapping[str, str], stream: BinaryIO
) -> None:
    """Write the file `made` with the weights of `source`.

    Args:
        source: The model whose weights are copied.
        made: The same model as built and saved by the other Keras, a `.keras` file.
        renamed: The addresses in `made` of layers that were renamed.
        stream: Where to write the `.keras` file.

    Raises:
        GraphError: the layers of the two files do not have the same weights.
        ArchiveError: a file is damaged.
    """
    with zipfile.ZipFile(made.path) as members:
        content = io.BytesIO(members.read(WEIGHTS))
        with h5py.File(content, "r+") as file, source.opened() as weights:
            if weights is None:
                raise no_weights(source.path)
            _copy_weights(source, weights, made, renamed, file)
        with zipfile.ZipFile(stream, "w") as whole:
            for info in members.infolist():
                whole.writestr(
                    info, content.getbuffer() if info.filename == WEIGHTS else members.read(info)
                )


def _is_weight(name: str) -> bool:
    """Return whether a tensor is copied: no state of pruning, of randomness or of adapting."""
    return not is_state(name) and _GENERATOR not in name and name not in _ADAPTING


def _names_of(source: ModelFile) -> dict[str, set[str]]:
    """Return the names of the weights of each layer, by address."""
    if isinstance(source.located, ModelWeights):
        return {address: set(named) for address, named in source.located.tensors.items()}
    layers = source.graph.layers.values()
    return {layer.address: {tensor.name for tensor in layer.tensors} for layer in layers}


def _copy_weights(
    source: ModelFile,
    weights: ReadableWeights,
    made: ModelFile,
    renamed: Mapping[str, str],
    file: h5py.File,
) -> None:
    addresses = {renamed.get(address, address): address for address in source.graph.layers}
    names = _names_of(source)
    for address, own in names.items():
        lost = sorted(filter(_is_weight, own))
        if renamed.get(address, address) not in made.weights.tensors and lost:
            raise _other_weights(source.path, address, lost, [])
    for address, named in made.weights.tensors.items():
        own = names.get(addresses.get(address, address), set())
        theirs = {name: stored for name, stored in named.items() if _is_weight(name)}
        mine = sorted(filter(_is_weight, own))
        if mine != sorted(theirs):
            raise _other_weights(source.path, address, mine, sorted(theirs))
        for name, stored in theirs.items():
            values = weights.read(addresses.get(address, address), name)
            if tuple(values.shape) != stored.shape:
                raise GraphError(
                    f"{name!r} of layer {address!r} has the shape"
                    f" {list(values.shape)}, and {list(stored.shape)} in the other Keras; please"
                    " report this with the layer's config",
                    "convert/refused",
                    place=source.path,
                )
            file[stored.path][...] = values.astype(file[stored.path].dtype)


def _other_weights(path: str, address: str, mine: list[str], theirs: list[str]) -> GraphError:
    return GraphError(
        f"layer {address!r} has the weights {', '.join(mine) or 'none'}, and in the other"
        f" Keras {', '.join(theirs) or 'none'}; this layer cannot be converted",
        "convert/refused",
        place=path,
    )
