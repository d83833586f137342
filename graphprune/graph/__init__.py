"""A saved model as a value: `LayerGraph`, from a Keras config and back.

What belongs here: layers, their weights and connections, and what a config says of them. What does
not: which layers are pruned (`rules`, `plan`), and how a file stores them (`archive`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.graph.from_config import graph_from_config
    from graphprune.graph.graph_json import graph_from_json_config, graph_to_config
    from graphprune.graph.layer_graph import LayerGraph
    from graphprune.graph.layers import SEPARATOR, Layer, Tensor, Wrap
    from graphprune.graph.read import ModelFile, open_model_file, read_graph
    from graphprune.graph.tensor_shapes import find_tensor_shapes
    from graphprune.graph.weights import (
        ModelWeights,
        TensorMetrics,
        locate_weights,
        measure_mask_faults,
        measure_tensors,
        measure_zeros,
        read_steps,
    )

__all__ = [
    "SEPARATOR",
    "Layer",
    "LayerGraph",
    "ModelFile",
    "ModelWeights",
    "Tensor",
    "TensorMetrics",
    "Wrap",
    "find_tensor_shapes",
    "graph_from_config",
    "graph_from_json_config",
    "graph_to_config",
    "locate_weights",
    "measure_mask_faults",
    "measure_tensors",
    "measure_zeros",
    "open_model_file",
    "read_graph",
    "read_steps",
]

if not TYPE_CHECKING:  # so that type checkers know every name, and no other
    __getattr__ = lazy_names(
        __name__,
        {
            "from_config": ["graph_from_config"],
            "graph_json": ["graph_from_json_config", "graph_to_config"],
            "layer_graph": ["LayerGraph"],
            "layers": ["SEPARATOR", "Layer", "Tensor", "Wrap"],
            "weights": [
                "ModelWeights",
                "TensorMetrics",
                "measure_mask_faults",
                "measure_tensors",
                "measure_zeros",
                "locate_weights",
                "read_steps",
            ],
            "read": ["ModelFile", "open_model_file", "read_graph"],
            "tensor_shapes": ["find_tensor_shapes"],
        },
    )
