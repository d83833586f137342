"""Which tensor of a SavedModel is which weight: layers by position, weights by attribute."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from graphprune.archive import Archive, StoredTensor
from graphprune.archive.entries import is_input
from graphprune.archive.tfmot import is_toolkit_config
from graphprune.errors import ArchiveError
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.classes.layer_class import Weight
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.out_of_reach import find_held_graph
from graphprune.graph.wrappers import TOOLKIT_STATE, rename_by_wrapper, toolkit_state_names
from graphprune.wrapper_names import state_names

_DEEPEST = 30
"""Levels of models that are the first layer of another."""
_INSIDE_WRAPPER = "layer/"
_TOOLKIT_LISTS = ("pruning_vars/", "prunable_weights/")
_CELL = re.compile(r"(?:^|\.)cells\.(\d+)\.")


def state_attribute(name: str) -> str:
    """Return the attribute of the pruning wrapper that holds the variable `name`.

    It has no dots, which Keras's loader of SavedModels reads as a path.

    Example:
        >>> state_attribute("mask_kernel"), state_attribute("mask_forward_layer.kernel")
        ('mask_kernel', 'mask_forward_layer__kernel')
    """
    return name.replace(".", "__")


def locate_checkpoint(archive: Archive, graph: LayerGraph) -> dict[str, dict[str, StoredTensor]]:
    """Return the tensors of each layer by bare name, the state of pruning wrappers included.

    Raises:
        ArchiveError: the weights are damaged or do not fit the config.
    """
    return _locate(archive, graph, "")


def _locate(archive: Archive, graph: LayerGraph, path: str) -> dict[str, dict[str, StoredTensor]]:
    """Return the tensors of each layer of a model that stands at `path`."""
    return {
        address: named
        for address, group in _places(archive, graph, "", path)
        if (named := _name(archive, graph.layers[address], group))
    }


def _places(
    archive: Archive, graph: LayerGraph, model: str, path: str
) -> Iterator[tuple[str, str]]:
    """Yield address and group of each layer.

    `model.layers` of a Sequential model leaves out its InputLayer
    (tf_keras/src/engine/sequential.py); TensorFlow 2.1 and older numbered it too.
    """
    frame = graph.frames[model]
    addresses = [frame.address_of(member.name) for member in frame.members]
    is_sequential = "input_layers" not in frame.entry["config"]
    if (
        is_sequential
        and addresses
        and is_input(graph.layers[addresses[0]].entry)
        and not _holds(archive, f"{path}/layer-{len(addresses) - 1}".lstrip("/"))
    ):
        addresses = addresses[1:]
    for position, address in enumerate(addresses):
        group = f"{path}/layer-{position}".lstrip("/")
        if address in graph.frames:
            yield from _places(archive, graph, address, group)
        else:
            yield address, group


def _holds(archive: Archive, group: str) -> bool:
    """Return whether the checkpoint has a layer or model at `group`.

    The first layer of a model may be a model again.
    """
    return any(group + "/layer-0" * depth in archive.stored for depth in range(_DEEPEST))


def _name(archive: Archive, layer: Layer, group: str) -> dict[str, StoredTensor]:
    by_path = {tensor.name: tensor for tensor in archive.stored.get(group, ())}
    state: dict[str, StoredTensor] = {}
    if layer.wrap is not None:
        state = {path: tensor for path, tensor in by_path.items() if "/" not in path}
        names = () if layer.wrap.pruning is None else state_names(layer.wrap.pruning.weights)
        by_attribute = {state_attribute(name): name for name in names}
        state = {by_attribute.get(path, path): tensor for path, tensor in state.items()}
        if is_toolkit_config(layer.wrap.entry["config"]):
            state = _toolkit_state(archive, layer, state, by_path)
        by_path = {
            path.removeprefix(_INSIDE_WRAPPER): tensor
            for path, tensor in by_path.items()
            if path.startswith(_INSIDE_WRAPPER)
        }
    weights = weights_of(layer.entry)
    if weights is None or not by_path:
        held = find_held_graph(layer) if by_path else None
        inside = (
            {}
            if held is None
            else held.join(_locate(archive, held.graph, "/".join((group, *held.path))))
        )
        taken = {tensor.path for tensor in inside.values()}
        beside = {
            path.replace("/", "."): tensor
            for path, tensor in by_path.items()
            if tensor.path not in taken
        }
        return dict(rename_by_wrapper(layer, "savedmodel", inside | beside)) | state
    wanted = {weight.name: _known_path(_path(weight), by_path) for weight in weights}
    missing = [name for name, path in wanted.items() if path not in by_path]
    if missing:
        raise ArchiveError(
            f"layer {layer.address!r} ({layer.type}) has no tensor {missing[0]!r}"
            " in the checkpoint; save the model again",
            place=archive.path,
        )
    return {name: by_path[path] for name, path in wanted.items()} | state


def _toolkit_state(
    archive: Archive, layer: Layer, state: dict[str, StoredTensor], by_path: Collection[str]
) -> dict[str, StoredTensor]:
    """Return the state of a wrapper of tfmot.

    It keeps the masks of several tensors in a list that is not whole in the checkpoint.
    """
    if any(path.startswith(_TOOLKIT_LISTS) for path in by_path):
        raise ArchiveError(
            f"layer {layer.address!r} ({layer.type}) was pruned in several tensors"
            " by the TensorFlow toolkit, whose SavedModels do not hold such a layer whole; load it"
            " there, and save it as .keras or strip it",
            place=archive.path,
        )
    names = [name for name in TOOLKIT_STATE if name in state]
    pruning = None if layer.wrap is None else layer.wrap.pruning
    return dict(
        zip(toolkit_state_names(names, pruning), (state[name] for name in names), strict=True)
    )


def _known_path(path: str, known: Collection[str]) -> str:
    """Return `path`, or the layer's own attribute for the same variable.

    SpectralNormalization has its layer's kernel so.
    """
    own = path.rsplit("/", 1)[-1]
    return own if path not in known and own in known else path


def _path(weight: Weight) -> str:
    """Return the path of attributes.

    Stacked cells are numbered here (`cell/cells/0`), and named by class in `.keras` files
    (`cell/cells/lstm_cell`).
    """
    cell = _CELL.search(weight.name)
    path = (
        weight.path
        if cell is None
        else re.sub(r"(^|/)cells/[^/]+", rf"\g<1>cells/{cell[1]}", weight.path)
    )
    return f"{path}/{weight.name.rsplit('.', 1)[-1]}".lstrip("/")
