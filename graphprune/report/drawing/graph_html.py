"""A model, a plan or a diff as one self-contained HTML page.

The page has a graph with search, a table, a panel for each layer, and the data in script tags.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.graph import LayerGraph
from graphprune.graph.out_of_reach import is_never_built
from graphprune.report.drawing.graph_view import Box, view_graph
from graphprune.report.drawing.layer_marks import COLOURS, STATUSES
from graphprune.report.drawing.page_data import Drawing, Metrics, page_to_config
from graphprune.report.numbers import count_of, format_count, format_share

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("start.js", "boxes.js", "layout.js", "panel.js", "find.js", "tools.js")
"""Parts of one script, in order, with names of their own."""


def render_graph_html(graph: LayerGraph, metrics: Metrics | None = None) -> str:
    """Return the page of a model.

    Args:
        graph: The model.
        metrics: What the values of each tensor say, by (address, tensor name); without them panels
            show shapes alone.
    """
    zeros = None if metrics is None else {key: found.zeros for key, found in metrics.items()}
    return render_page(Drawing(graph, view_graph(graph, zeros), metrics))


def render_page(drawing: Drawing, report: dict[str, Any] | None = None) -> str:
    """Return the page of a drawing, with `report` as JSON in the script tag of that name.

    It asks for nothing over the network: its content security policy allows only its own style and
    script, by their hashes.
    """
    style = (_TEMPLATES / "graph.css").read_text(encoding="utf-8") + _colours_to_css()
    parts = "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{parts}}})();\n'
    marking = drawing.marking
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("graph.html").render(
        title=escape_controls(drawing.graph.name),
        kind="layer graph" if marking is None else marking.title,
        summary=_summary(drawing),
        lines=() if marking is None else [escape_controls(line) for line in marking.lines],
        legend=() if marking is None else marking.legend,
        headings=[
            *(["Mark"] if marking and marking.legend else []),
            "Layer",
            "Type",
            "Weights",
            "Parameters",
            "Zeros",
            "Note",
        ],
        rows=list(_rows(drawing)),
        style=style,
        script=script,
        data=to_script_json(page_to_config(drawing)),
        report="" if report is None else to_script_json(report),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _rows(drawing: Drawing) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table, in the order of the drawing, layers inside a model after it."""
    number = {key: index for index, key in enumerate(drawing.views)}

    def frame(key: str) -> Iterator[dict[str, Any]]:
        for index, box in enumerate(drawing.views[key].boxes):
            if box.address:
                yield _row(drawing, box, f"{number[key]}:{index}")
            if box.frame is not None:
                yield from frame(box.frame)

    yield from frame("")


def _row(drawing: Drawing, box: Box, key: str) -> dict[str, Any]:
    layer = drawing.layer_of(box)
    tensors = () if layer is None else layer.tensors
    size = sum(tensor.size for tensor in tensors)
    share = (
        ""
        if box.sparsity is None
        else " → ".join(
            dict.fromkeys(
                format_share(share) for share in (box.before, box.sparsity) if share is not None
            )
        )
    )
    weights = ", ".join(escape_controls(tensor.label()) for tensor in tensors)
    return {
        "key": key,
        "status": box.status,
        "sign": box.sign,
        "address": escape_controls(box.address),
        "cells": [box.title, weights, format_count(size) if size else "", share, box.mark],
    }


def to_script_json(value: Any) -> str:
    r"""Return `value` as JSON for a script tag: no text in it ends the tag or starts a comment.

    Example:
        >>> to_script_json({"name": "</script><!--"})
        '{"name":"\\u003c/script\\u003e\\u003c!--"}'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _summary(drawing: Drawing) -> str:
    graph, metrics = drawing.graph, drawing.metrics
    if is_never_built(graph):
        return (
            f"{count_of(len(graph.layers), 'layer')}; parameters, prunable weights and zeros are"
            " unknown"
        )
    parts = [
        count_of(len(graph.layers), "layer"),
        count_of(graph.parameters, "parameter"),
        f"{format_count(graph.prunable_weights)} prunable",
    ]
    if metrics is not None:
        zeros = sum(found.zeros for found in metrics.values())
        parts.append(
            f"{count_of(zeros, 'zero')} ({format_share(zeros / max(graph.parameters, 1))})"
        )
    return ", ".join(parts)


def _colours_to_css() -> str:
    """Return the colours of categories and statuses, those of statuses for light and dark paper."""
    light = "".join(f".s-{status}{{--s:{colour.light}}}" for status, colour in STATUSES.items())
    dark = {status: f".s-{status}{{--s:{colour.dark}}}" for status, colour in STATUSES.items()}
    by_system = "".join(f':root:not([data-theme="light"]) {rule}' for rule in dark.values())
    by_choice = "".join(f':root[data-theme="dark"] {rule}' for rule in dark.values())
    categories = "".join(f".c-{category}{{--c:{colour}}}" for category, colour in COLOURS.items())
    return f"{categories}{light}@media (prefers-color-scheme: dark){{{by_system}}}{by_choice}"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
