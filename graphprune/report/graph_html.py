"""A layer graph as one self-contained HTML page: boxes to open and to search, a panel for each layer, and the data in a script tag."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from graphprune.graph import Layer, LayerGraph, Tensor, TensorMetrics
from graphprune.graph.entries import canonical
from graphprune.report.graph_view import Box, FrameView, Wire, view_graph
from graphprune.report.layer_categories import COLOURS
from graphprune.report.layers_report import wrap_text
from graphprune.report.numbers import count_of, format_count, format_share
from graphprune.report.tables import escape_controls

_TEMPLATES = Path(__file__).parent / "templates"
_LONGEST_VALUE = 400
_Metrics = Mapping[tuple[str, str], TensorMetrics]


def render_graph_html(graph: LayerGraph, metrics: _Metrics | None = None) -> str:
    """Return the page. It asks for nothing over the network: its content security policy allows only its own style and script, by their hashes.

    Args:
        graph: The model.
        metrics: What the values of each tensor say, by (address, tensor name); without them panels show shapes alone.
    """
    style = (_TEMPLATES / "graph.css").read_text(encoding="utf-8") + _colours_to_css()
    script = (_TEMPLATES / "graph.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("graph.html").render(
        title=escape_controls(graph.name),
        summary=_summary(graph, metrics),
        style=style,
        script=script,
        data=to_script_json(graph_to_page(graph, metrics)),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def graph_to_page(graph: LayerGraph, metrics: _Metrics | None = None) -> dict[str, Any]:
    """Return what the page shows as JSON data: its frames, boxes by number, and the facts of each layer by address; all texts safe to print."""
    zeros = None if metrics is None else {key: found.zeros for key, found in metrics.items()}
    views = view_graph(graph, zeros)
    number = {address: index for index, address in enumerate(views)}
    return {
        "kind": "graphprune.graph-page",
        "format_version": "1.0",
        "model": {"name": escape_controls(graph.name), "type": escape_controls(graph.type), "graph_sha256": graph.sha256},
        "frames": [_frame_to_config(graph, view, number, metrics) for view in views.values()],
    }


def to_script_json(value: Any) -> str:
    r"""Return `value` as JSON that may stand in a script tag: no text in it can end the tag or begin a comment.

    Example:
        >>> to_script_json({"name": "</script><!--"})
        '{"name":"\\u003c/script\\u003e\\u003c!--"}'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _summary(graph: LayerGraph, metrics: _Metrics | None) -> str:
    parts = [count_of(len(graph.layers), "layer"), count_of(graph.parameters, "parameter"), f"{format_count(graph.prunable_weights)} prunable"]
    if metrics is not None:
        zeros = sum(found.zeros for found in metrics.values())
        parts.append(f"{count_of(zeros, 'zero')} ({format_share(zeros / max(graph.parameters, 1))})")
    return ", ".join(parts)


def _frame_to_config(graph: LayerGraph, view: FrameView, number: Mapping[str, int], metrics: _Metrics | None) -> dict[str, Any]:
    inputs: dict[int, list[Wire]] = {}
    outputs: dict[int, list[Wire]] = {}
    for wire in view.wires:
        inputs.setdefault(wire.target, []).append(wire)
        outputs.setdefault(wire.source, []).append(wire)
    boxes = []
    for index, box in enumerate(view.boxes):
        entry = _box_to_config(box)
        entry["inputs"] = [{"box": wire.source, "note": wire.note} for wire in inputs.get(index, ())]
        entry["outputs"] = [{"box": wire.target, "note": wire.note} for wire in outputs.get(index, ())]
        if box.kind == "model":
            entry["frame"] = number[box.address]
        if box.address:
            entry |= _facts(graph.layers[box.address], metrics)
        boxes.append(entry)
    return {
        "title": view.title,
        "boxes": boxes,
        "wires": [{"source": wire.source, "target": wire.target, "path": path} for wire, path in zip(view.wires, view.rows.paths, strict=True)],
        "rows": view.rows.rows,
    }


def _box_to_config(box: Box) -> dict[str, Any]:
    return {
        "kind": box.kind,
        "title": box.title,
        "name": box.name,
        "address": escape_controls(box.address),
        "category": box.category,
        "weights": box.weights,
        "settings": box.attributes,
        "shape": box.shape,
        "sparsity": box.sparsity,
        "share": None if box.sparsity is None else format_share(box.sparsity),
        "mark": box.mark,
    }


def _facts(layer: Layer, metrics: _Metrics | None) -> dict[str, Any]:
    """Return what the panel says of a layer beyond its box."""
    return {
        "trainable": layer.trainable,
        "calls": layer.calls,
        "bases": [escape_controls(base) for base in layer.bases],
        "rule": escape_controls(wrap_text(layer)),
        "attributes": {escape_controls(str(key)): _value_text(value) for key, value in layer.config.items() if layer.kind != "model"},
        "tensors": [_tensor_to_config(layer, tensor, metrics) for tensor in layer.tensors],
    }


def _tensor_to_config(layer: Layer, tensor: Tensor, metrics: _Metrics | None) -> dict[str, Any]:
    found = None if metrics is None else metrics.get((layer.address, tensor.name))
    config: dict[str, Any] = {"name": escape_controls(tensor.label()), "dtype": tensor.dtype, "size": format_count(tensor.size), "prunable": tensor.prunable}
    if found is not None:
        config["zeros"] = f"{format_count(found.zeros)} ({format_share(found.zeros / max(tensor.size, 1))})"
        config |= {name: f"{getattr(found, name):.6g}" for name in ("min", "max", "mean", "std") if getattr(found, name) is not None}
        config |= {"not finite": format_count(found.non_finite)} if found.non_finite else {}
    return config


def _value_text(value: Any) -> str:
    """Return one setting as text, cut where it is long (a Lambda's bytecode)."""
    plain = canonical(value)
    if isinstance(plain, dict) and isinstance(plain.get("class_name"), str):
        inner = plain.get("config")
        plain = {plain["class_name"]: inner} if inner else plain["class_name"]
    text = escape_controls(plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}… ({len(text):,} characters)"


def _colours_to_css() -> str:
    return "".join(f".c-{category}{{--c:{colour}}}" for category, colour in COLOURS.items())


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
