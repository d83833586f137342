"""The JSON data of a drawing's page: frames, boxes by number, and the facts for each panel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphprune.archive.entries import canonical
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.graph import Layer, LayerGraph, Tensor, TensorMetrics
from graphprune.graph.out_of_reach import describe_out_of_reach, find_out_of_reach
from graphprune.report.drawing.graph_view import Box, FrameView
from graphprune.report.drawing.graph_wires import Wire
from graphprune.report.drawing.layer_marks import Facts, LayerMark, Marking, share_text
from graphprune.report.layer_figures import wrap_text
from graphprune.report.numbers import format_count, format_share

_LONGEST_VALUE = 400
Metrics = Mapping[tuple[str, str], TensorMetrics]
"""What the values of each tensor say, by address and tensor name."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything that goes on a page.

    Attributes:
        graph: The model; of a diff, the right one.
        views: Its views.
        metrics: What its values say; None where they were not measured.
        marking: What a plan or a diff says of it.
        left: Of a diff, the other model, for the layers that only it has.
    """

    graph: LayerGraph
    views: Mapping[str, FrameView]
    metrics: Metrics | None = None
    marking: Marking | None = None
    left: LayerGraph | None = None

    def layer_of(self, box: Box) -> Layer | None:
        """Return the layer that a box stands for; None for an output."""
        side = self.left if box.is_gone else self.graph
        return side.layers[box.address] if box.address and side is not None else None

    def mark_of(self, box: Box) -> LayerMark | None:
        """Return the mark of the box in the plan or diff."""
        if self.marking is None:
            return None
        return (self.marking.removed if box.is_gone else self.marking.marks).get(box.address)

    def metrics_of(self, box: Box) -> Metrics | None:
        """Return the metrics for the box; None for a removed layer."""
        return None if box.is_gone else self.metrics


def page_to_config(drawing: Drawing) -> dict[str, Any]:
    """Return the data of the page; all texts are safe to print."""
    graph = drawing.graph
    number = {key: index for index, key in enumerate(drawing.views)}
    held = {
        layer.address: escape_controls(describe_out_of_reach((layer,))[0])
        for layer in find_out_of_reach(graph)
    }
    return {
        "kind": drawing.marking.title if drawing.marking else "graph",
        "format_version": "1.0",
        "model": {
            "name": escape_controls(graph.name),
            "type": escape_controls(graph.type),
            "graph_sha256": graph.sha256,
        },
        "frames": [
            _frame_to_config(drawing, view, number, held) for view in drawing.views.values()
        ],
    }


def _frame_to_config(
    drawing: Drawing, view: FrameView, number: Mapping[str, int], held: Mapping[str, str]
) -> dict[str, Any]:
    inputs: dict[int, list[Wire]] = {}
    outputs: dict[int, list[Wire]] = {}
    for wire in view.wires:
        inputs.setdefault(wire.target, []).append(wire)
        outputs.setdefault(wire.source, []).append(wire)
    boxes = []
    for index, box in enumerate(view.boxes):
        entry = _box_to_config(box)
        entry["inputs"] = [_use_to_config(wire, wire.source) for wire in inputs.get(index, ())]
        entry["outputs"] = [_use_to_config(wire, wire.target) for wire in outputs.get(index, ())]
        if box.frame is not None:
            entry["frame"] = number[box.frame]
        layer, mark = drawing.layer_of(box), drawing.mark_of(box)
        if layer is not None:
            told = held.get(layer.address, "")
            entry |= _facts(layer, drawing.metrics_of(box), mark, told)
        if mark is not None:
            entry["facts"] = _safe(mark.facts)
        boxes.append(entry)
    wires = [
        _wire_to_config(wire, path) for wire, path in zip(view.wires, view.rows.paths, strict=True)
    ]
    return {"title": view.title, "boxes": boxes, "wires": wires, "rows": view.rows.rows}


def _use_to_config(wire: Wire, box: int) -> dict[str, Any]:
    return {"box": box, "shape": wire.shape, "note": wire.note}


def _wire_to_config(wire: Wire, path: Sequence[int]) -> dict[str, Any]:
    return {
        "source": wire.source,
        "target": wire.target,
        "path": path,
        "change": wire.change,
        "label": wire.label,
        "port": wire.port,
        "alone": wire.is_alone,
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
        "called": box.calls_text,
        "sparsity": box.sparsity,
        "before": box.before,
        "share": share_text(box.before, box.sparsity),
        "mark": box.mark,
        "sign": box.sign,
        "status": box.status,
        "gone": box.is_gone,
    }


def _facts(
    layer: Layer, metrics: Metrics | None, mark: LayerMark | None, held: str
) -> dict[str, Any]:
    """Return the facts of a layer's panel that are not in its box."""
    return {
        "trainable": layer.trainable,
        "calls": layer.calls,
        "bases": [escape_controls(base) for base in layer.bases],
        "rule": escape_controls(wrap_text(layer)),
        "held": held,
        "attributes": {
            escape_controls(str(key)): _value_text(value)
            for key, value in layer.config.items()
            if layer.kind != "model"
        },
        "tensors": [_tensor_to_config(layer, tensor, metrics, mark) for tensor in layer.tensors],
    }


def _tensor_to_config(
    layer: Layer, tensor: Tensor, metrics: Metrics | None, mark: LayerMark | None
) -> dict[str, Any]:
    found = None if metrics is None else metrics.get((layer.address, tensor.name))
    config: dict[str, Any] = {
        "name": escape_controls(tensor.label()),
        "dtype": tensor.dtype,
        "size": format_count(tensor.size),
        "prunable": tensor.prunable,
    }
    if found is not None:
        config["zeros"] = (
            f"{format_count(found.zeros)} ({format_share(found.zeros / max(tensor.size, 1))})"
        )
        config |= {
            name: f"{getattr(found, name):.6g}"
            for name in ("min", "max", "mean", "std")
            if getattr(found, name) is not None
        }
        config |= {"not finite": format_count(found.non_finite)} if found.non_finite else {}
    return config | dict(_safe(() if mark is None else mark.tensors.get(tensor.name, ())))


def _safe(facts: Facts) -> list[tuple[str, str]]:
    return [(escape_controls(name), escape_controls(value)) for name, value in facts]


def _value_text(value: Any) -> str:
    """Return one setting as text, cut where it is long (a Lambda's bytecode)."""
    plain = canonical(value)
    if isinstance(plain, dict) and isinstance(plain.get("class_name"), str):
        inner = plain.get("config")
        plain = {plain["class_name"]: inner} if inner else plain["class_name"]
    text = escape_controls(
        plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    )
    return (
        text
        if len(text) <= _LONGEST_VALUE
        else f"{text[:_LONGEST_VALUE]}… ({len(text):,} characters)"
    )
