"""What a loaded model keeps of its file: how the weights of custom layers are named there."""

from __future__ import annotations

import tf_keras

from graphprune.archive import Archive
from graphprune.graph.read import read_graph
from graphprune.tf.layers.live_tensors import weight_names
from graphprune.tf.layers.stored_names import keep_names, kept_names, names_in_format
from graphprune.tf.pruning.addresses import addressed_layers, inner_layer, is_layered_model


def keep_file_names(archive: Archive, model: tf_keras.Model) -> None:
    """Let the custom layers of a model that was loaded from `archive` know the names of their
    weights there, which plans of the file go by.
    """
    custom = {
        address: inner_layer(layer)
        for address, layer in addressed_layers(model)
        if not is_layered_model(layer) and weight_names(inner_layer(layer))
    }
    if not custom:
        return
    graph = read_graph(archive)
    for address, layer in custom.items():
        if kept_names(layer) is None and address in graph.layers:
            stored = [tensor.name for tensor in graph.layers[address].tensors]
            keep_names(layer, names_in_format(layer, archive.format, stored), stored)
