"""A layer graph in the DOT language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.graph import LayerGraph
from graphprune.report.drawing.graph_view import Box, FrameView, view_graph
from graphprune.report.drawing.layer_marks import COLOURS

_MARKED = "#b45309"


def render_graph_dot(graph: LayerGraph) -> str:
    r"""Return a digraph: a node for each layer, a cluster for each nested model, shapes on edges.

    Example:
        >>> from graphprune.graph import graph_from_config
        >>> layer = {
        ...     "class_name": "InputLayer",
        ...     "config": {"name": "x", "batch_input_shape": [None, 4]},
        ... }
        >>> print(render_graph_dot(graph_from_config({"name": "m", "layers": [layer]})), end="")
        ... # doctest: +NORMALIZE_WHITESPACE
        digraph "m" {
          graph [compound=true, fontname="Helvetica", rankdir=TB];
          node [shape=box, style="filled,rounded", fontname="Helvetica", fontcolor=white,
                color="#00000040"];
          edge [fontname="Helvetica", fontsize=10, color="#5d6673"];
          n0 [label="Input\nx", fillcolor="#2d5d4f"];
          n1 [label="Output\nx", fillcolor="#2d5d4f"];
          n0 -> n1 [label="?×4"];
        }
    """  # noqa: RUF002 - the sign of multiplication is meant
    views = view_graph(graph)
    ids = _Ids(views)
    lines = [
        f"digraph {quote(escape_controls(graph.name))} {{",
        '  graph [compound=true, fontname="Helvetica", rankdir=TB];',
        (
            '  node [shape=box, style="filled,rounded", fontname="Helvetica", fontcolor=white,'
            ' color="#00000040"];'
        ),
        '  edge [fontname="Helvetica", fontsize=10, color="#5d6673"];',
        *_frame_lines(views, "", ids, "  "),
        "}",
    ]
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    r"""Return `text` as a quoted string; a line feed becomes a line of the label.

    Example:
        >>> print(quote('a "b"\\c'))
        "a \"b\"\\c"
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class _Ids:
    """The names of nodes and clusters: numbers, as layer names may hold anything."""

    def __init__(self, views: Mapping[str, FrameView]) -> None:
        self._number: dict[tuple[str, int], int] = {}
        self._views = views
        for address, view in views.items():
            for index, box in enumerate(view.boxes):
                if not self.is_cluster(box):
                    self._number[address, index] = len(self._number)
        self.cluster = {address: f"cluster_{index}" for index, address in enumerate(views)}

    def is_cluster(self, box: Box) -> bool:
        """Return whether the box is a nested model with anything in it."""
        return box.frame is not None and bool(self._views[box.frame].boxes)

    def node(self, frame: str, index: int, side: str) -> str:
        """Return the node of a box; for a nested model, the node inside at its `head` or `tail`."""
        while self.is_cluster(box := self._views[frame].boxes[index]):
            frame, boxes = str(box.frame), self._views[str(box.frame)].boxes
            index = 0 if side == "head" else len(boxes) - 1
        return f"n{self._number[frame, index]}"


def _frame_lines(
    views: Mapping[str, FrameView], address: str, ids: _Ids, indent: str
) -> Iterator[str]:
    view = views[address]
    for index, box in enumerate(view.boxes):
        if ids.is_cluster(box):
            label = quote(
                f"{box.title} {box.name}" + (f", {box.calls_text}" if box.calls_text else "")
            )
            yield f"{indent}subgraph {ids.cluster[str(box.frame)]} {{"
            yield f'{indent}  label={label}; style="rounded"; color="{COLOURS["model"]}";'
            yield from _frame_lines(views, str(box.frame), ids, indent + "  ")
            yield f"{indent}}}"
        else:
            yield f"{indent}{ids.node(address, index, 'head')} [{_node_attributes(box)}];"
    for wire in view.wires:
        source, target = view.boxes[wire.source], view.boxes[wire.target]
        attributes = [f"label={quote(wire.label)}"] if wire.label else []
        attributes += [f"ltail={ids.cluster[str(source.frame)]}"] if ids.is_cluster(source) else []
        attributes += [f"lhead={ids.cluster[str(target.frame)]}"] if ids.is_cluster(target) else []
        end = f" [{', '.join(attributes)}]" if attributes else ""
        yield (
            f"{indent}{ids.node(address, wire.source, 'tail')} ->"
            f" {ids.node(address, wire.target, 'head')}{end};"
        )


def _node_attributes(box: Box) -> str:
    label = "\n".join(filter(None, (box.title, box.name, box.calls_text, *box.weights, box.mark)))
    marked = f', color="{_MARKED}", penwidth=3' if box.mark else ""
    return f'label={quote(label)}, fillcolor="{COLOURS[box.category]}"{marked}'
