"""Layer graphs from a line of text: `build_graph("in > conv_1 > bn > out")`.

Chains are separated by `;`, `>` (and a space after it) feeds one layer to the next, `a + b > add_1`
feeds several. A layer is `name:Type(key=value, ...)[axis, lengths, of, its, first, weight]`; each
part after the name may be left out, on all mentions but one. The type is guessed from the name's
beginning (`PREFIXES`). A layer that is mentioned again as a target is called again (shared); as the
start of a chain it stands for its latest call (`shared@0` for its first). Layers that nobody takes
are the outputs. `models={"inner": "in > fc"}` makes the layer `inner` a nested model; mention it to
call it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.graph import SEPARATOR, LayerGraph, graph_from_config
from graphprune.graph.classes.builtin_layers import find_expected_shapes

Shape = Sequence[int]
Facts = list[tuple[str, tuple[int, ...], str]]

PREFIXES = {
    "in": "InputLayer",
    "depthwise": "DepthwiseConv2D",
    "separable": "SeparableConv2D",
    "conv1d": "Conv1D",
    "conv": "Conv2D",
    "fc": "Dense",
    "dense": "Dense",
    "pred": "Dense",
    "head": "Dense",
    "out": "Dense",
    "bn": "BatchNormalization",
    "ln": "LayerNormalization",
    "add": "Add",
    "cat": "Concatenate",
    "concat": "Concatenate",
    "flatten": "Flatten",
    "relu": "ReLU",
    "embed": "Embedding",
    "lstm": "LSTM",
    "gru": "GRU",
    "rnn": "SimpleRNN",
    "gap": "GlobalAveragePooling2D",
    "pool": "MaxPooling2D",
    "drop": "Dropout",
    "pad": "ZeroPadding2D",
}
SHAPES: dict[str, tuple[int, ...]] = {
    "Dense": (4, 4),
    "Conv1D": (3, 4, 4),
    "Conv2D": (3, 3, 4, 4),
    "Conv3D": (3, 3, 3, 4, 4),
    "Conv2DTranspose": (3, 3, 4, 4),
    "DepthwiseConv2D": (3, 3, 4, 1),
    "SeparableConv1D": (3, 4, 4),
    "SeparableConv2D": (3, 3, 4, 4),
    "Embedding": (16, 4),
    "LSTM": (4, 16),
    "GRU": (4, 12),
    "SimpleRNN": (4, 4),
    "BatchNormalization": (4,),
    "LayerNormalization": (4,),
}
GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}

_LAYER = re.compile(
    r"(?P<name>[\w./-]+)(?:@(?P<call>\d+))?(?::(?P<type>[A-Za-z][\w>]*))?"
    r"(?:\((?P<arguments>[^()]*(?:\([^()]*\)[^()]*)*)\))?(?:\[(?P<shape>[\d, ]+)\])?"
)


def build_graph(
    text: str,
    *,
    name: str = "net",
    shapes: Mapping[str, Shape] | None = None,
    models: Mapping[str, str] | None = None,
) -> LayerGraph:
    """Return the graph that `text` draws; `shapes` gives the first weight's shape by address, as
    brackets in the text do.
    """
    config, tensors = _build(text, name, shapes or {}, models or {}, "")
    return graph_from_config(config, tensors=tensors)


def build_config(
    text: str,
    *,
    name: str = "net",
    shapes: Mapping[str, Shape] | None = None,
    models: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the serialized Functional model (dialect of `.keras` files) that `text` draws."""
    return _build(text, name, shapes or {}, models or {}, "")[0]


def _build(
    text: str, name: str, shapes: Mapping[str, Shape], models: Mapping[str, str], prefix: str
) -> tuple[dict[str, Any], dict[str, Facts]]:
    facts, calls = _parse(text, models)
    entries: list[dict[str, Any]] = []
    tensors: dict[str, Facts] = {}
    first = {layer: 1 if layer in models else 0 for layer in facts}
    used: set[tuple[str, int]] = set()
    for layer, fact in facts.items():
        address = prefix + layer
        if layer in models:
            entry, inner = _build(models[layer], layer, shapes, models, address + SEPARATOR)
            tensors |= inner
        else:
            shape = tuple(shapes.get(address, fact["shape"] or SHAPES.get(fact["type"], ())))
            entry = _entry(layer, fact, shape)
            tensors[address] = _weights(entry, shape)
        used.update(source for call in calls[layer] for source in call)
        nodes = [
            [[source, first[source] + call, 0, {}] for source, call in uses]
            for uses in calls[layer]
        ]
        entries.append({**entry, "name": layer, "inbound_nodes": nodes})
    ends = [
        [layer, first[layer] + call, 0]
        for layer in facts
        for call in range(max(1, len(calls[layer])))
        if (layer, call) not in used
    ]
    starts = [[layer, 0, 0] for layer, fact in facts.items() if fact["type"] == "InputLayer"]
    config = {
        "name": name,
        "trainable": True,
        "layers": entries,
        "input_layers": starts,
        "output_layers": ends,
    }
    return {
        "module": "tf_keras.src.engine.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": "Functional",
    }, tensors


def _parse(
    text: str, models: Mapping[str, str]
) -> tuple[dict[str, dict[str, Any]], dict[str, list[list[tuple[str, int]]]]]:
    facts: dict[str, dict[str, Any]] = {}
    calls: dict[str, list[list[tuple[str, int]]]] = {}
    for chain in filter(str.strip, text.split(";")):
        sources: list[tuple[str, int]] = []
        for place, step in enumerate(re.split(r">(?!\w)", chain)):
            mentions = [_mention(layer, facts) for layer in step.split("+")]
            for layer, _ in mentions:
                calls.setdefault(layer, [])
                if place:
                    calls[layer].append(sources)
            sources = [
                (layer, max(0, len(calls[layer]) - 1) if call is None else call)
                for layer, call in mentions
            ]
    for layer, fact in facts.items():
        fact["type"] = (
            "Functional"
            if layer in models
            else fact["type"]
            or next(
                (kind for start, kind in PREFIXES.items() if layer.startswith(start)), "Activation"
            )
        )
    return facts, calls


def _mention(text: str, facts: dict[str, dict[str, Any]]) -> tuple[str, int | None]:
    match = _LAYER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"cannot read the layer {text.strip()!r}")
    fact = facts.setdefault(match["name"], {"type": None, "arguments": {}, "shape": ()})
    fact["type"] = match["type"] or fact["type"]
    fact["shape"] = (
        tuple(int(length) for length in match["shape"].split(","))
        if match["shape"]
        else fact["shape"]
    )
    if match["arguments"]:
        call = ast.parse(f"f({match['arguments']})", mode="eval").body
        assert isinstance(call, ast.Call)
        fact["arguments"] = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    return match["name"], None if match["call"] is None else int(match["call"])


def _entry(name: str, fact: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    kind = fact["type"]
    custom = ">" in kind
    config = {
        "name": name,
        "trainable": True,
        "dtype": "float32",
        **_defaults(kind, shape),
        **fact["arguments"],
    }
    entry: dict[str, Any] = {
        "module": "mypkg.layers" if custom else "keras.layers",
        "class_name": kind.rsplit(">", 1)[-1],
        "config": config,
    }
    return entry | {"registered_name": kind if custom else None}


def _defaults(kind: str, shape: tuple[int, ...]) -> dict[str, Any]:
    if kind == "InputLayer":
        return {"batch_input_shape": [None, 4]}
    if kind == "Dense":
        return {"units": shape[-1], "activation": "linear", "use_bias": True}
    if "Conv" in kind and shape:
        size = {
            "kernel_size": list(shape[:-2]),
            "strides": [1] * (len(shape) - 2),
            "padding": "valid",
            "activation": "linear",
            "use_bias": True,
        }
        return size | (
            {"depth_multiplier": shape[-1]}
            if kind.startswith("Depthwise")
            else {"filters": shape[-2 if kind.endswith("Transpose") else -1]}
        )
    if kind == "Embedding":
        return {"input_dim": shape[0], "output_dim": shape[1]}
    if kind in GATES:
        return {"units": shape[-1] // GATES[kind], "activation": "tanh", "use_bias": True}
    if kind in ("BatchNormalization", "LayerNormalization"):
        return {"axis": [-1], "scale": True, "center": True}
    return {}


def _weights(entry: Mapping[str, Any], shape: tuple[int, ...]) -> Facts:
    kind, config = entry["registered_name"] or entry["class_name"], entry["config"]
    if not shape:
        return []
    made: dict[str, tuple[int, ...]] = {"kernel": shape, "bias": shape[-1:]}
    if kind in GATES:
        units = shape[-1] // GATES[kind]
        made = {
            "kernel": shape,
            "recurrent_kernel": (units, shape[-1]),
            "bias": (2, shape[-1]) if kind == "GRU" else shape[-1:],
        }
    elif kind.startswith("Depthwise"):
        made = {"depthwise_kernel": shape, "bias": (shape[-2] * shape[-1],)}
    elif kind.startswith("Separable"):
        made = {
            "depthwise_kernel": (*shape[:-1], 1),
            "pointwise_kernel": (*(1,) * (len(shape) - 2), *shape[-2:]),
            "bias": shape[-1:],
        }
    elif kind.endswith("Transpose"):
        made["bias"] = shape[-2:-1]
    elif kind == "Embedding":
        made = {"embeddings": shape}
    elif kind == "EinsumDense":
        made["bias"] = tuple(find_expected_shapes(entry).get("bias", ()))  # type: ignore[arg-type]
    elif kind == "MultiHeadAttention":
        made = {
            f"{part}.{name}": size
            for part in ("query", "key", "value")
            for name, size in (("kernel", shape), ("bias", shape[1:]))
        }
        made |= {
            "attention_output.kernel": (*shape[1:], shape[0]),
            "attention_output.bias": shape[:1],
        }
    elif kind == "BatchNormalization":
        made = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), shape)
    elif kind == "LayerNormalization":
        made = dict.fromkeys(("gamma", "beta"), shape)
    if config.get("use_bias") is False:
        made.pop("bias", None)
    return [(name, size, "float32") for name, size in made.items()]
