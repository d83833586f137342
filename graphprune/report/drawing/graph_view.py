"""The contents of a drawing: boxes, wires and rows, one view for each model and nested model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.graph import SEPARATOR, Layer, LayerGraph, find_tensor_shapes
from graphprune.graph.frames import Frame, Use
from graphprune.graph.out_of_reach import NEVER_BUILT, find_out_of_reach
from graphprune.graph.tensor_shapes import Shape, TensorUse, format_output
from graphprune.report.drawing.graph_rows import Rows, arrange_rows
from graphprune.report.drawing.graph_wires import Wire, WireList
from graphprune.report.drawing.layer_marks import LayerMark, category_of
from graphprune.report.layer_figures import prunable_zeros
from graphprune.report.numbers import format_share

_SHOWN_WEIGHTS = 2
_SHOWN_ATTRIBUTES = 3
_SIZES = ("units", "filters", "kernel_size", "input_dim", "output_dim")
"""Settings that the shapes of weights tell too."""
_ATTRIBUTES = (
    "strides",
    "padding",
    "pool_size",
    "rate",
    "activation",
    "num_heads",
    "key_dim",
    "target_shape",
    "function",
)
_DULL = {
    "strides": ([1], [1, 1], [1, 1, 1], 1),
    "padding": ("valid",),
    "activation": ("linear", None),
}


@dataclass(frozen=True, slots=True)
class Box:
    """One layer, nested model, input or output in a drawing, with escaped texts of full length.

    Attributes:
        kind: `input`, `output`, `layer` or `model`.
        title: The layer's class.
        name: Its own name.
        address: Its address in the graph; empty for an output.
        category: Gives the colour.
        weights: Its kernels (tensors with two axes or more) with their shapes.
        attributes: The settings that tell layers of this class apart.
        shape: The tensors that it gives, as far as they are known.
        sparsity: The measured share of zeros in its prunable tensors.
        mark: What is said of its pruning wrapper, empty without one; in a plan or a diff, what
            happens to the layer.
        frame: Of a nested model, the key of its view; None for everything else.
        before: The share of zeros before, where a plan or a diff tells it.
        sign, status: The text mark and the status of a plan or a diff; empty without one.
        is_gone: Whether only the left side of a diff has it.
        calls: How often its model calls it; each call takes and gives tensors of its own.
    """

    kind: str
    title: str
    name: str
    address: str
    category: str
    weights: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    shape: str = ""
    sparsity: float | None = None
    mark: str = ""
    frame: str | None = None
    before: float | None = None
    sign: str = ""
    status: str = ""
    is_gone: bool = False
    calls: int = 1

    @property
    def calls_text(self) -> str:
        """What the box says of its calls: nothing of one."""
        return f"{self.calls} calls" if self.calls > 1 else ""


@dataclass(frozen=True, slots=True)
class FrameView:
    """One model: its boxes in topological order (outputs last), its wires, and the rows."""

    address: str
    title: str
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    rows: Rows


def view_graph(
    graph: LayerGraph,
    zeros: Mapping[tuple[str, str], int] | None = None,
    marks: Mapping[str, LayerMark] | None = None,
) -> Mapping[str, FrameView]:
    """Return the view of the model (key: empty text) and of each nested model (key: its address).

    Args:
        graph: The model.
        zeros: Measured zeros by (address, tensor name), for the bars.
        marks: What a plan or a diff says of its layers, by address.
    """
    shapes = find_tensor_shapes(graph)
    reasons = {layer.address: layer.reason for layer in find_out_of_reach(graph)}
    members: dict[str, list[Layer]] = {address: [] for address in graph.frames}
    for layer in graph.layers.values():
        members[layer.container or ""].append(layer)
    return {
        address: (
            _FrameWalk(graph, frame, members[address], shapes, zeros, marks or {}, reasons).view()
        )
        for address, frame in graph.frames.items()
    }


def mark_of(layer: Layer) -> str:
    """Return the text of a box about the layer's wrapper: the rule and its target."""
    if layer.wrap is None:
        return ""
    rule = layer.wrap.provenance.rule or layer.wrap.type.rpartition(">")[2]
    target = (
        ""
        if layer.wrap.pruning is None
        else f", target {layer.wrap.pruning.describe_target(format_share)}"
    )
    return escape_controls(f"wrapped by {rule}{target}")


@dataclass(slots=True)
class _FrameWalk:
    graph: LayerGraph
    frame: Frame
    layers: list[Layer]
    shapes: Mapping[TensorUse, Shape]
    zeros: Mapping[tuple[str, str], int] | None
    marks: Mapping[str, LayerMark]
    reasons: Mapping[str, str]
    wires: WireList = field(default_factory=WireList)

    def view(self) -> FrameView:
        number = {layer.address: index for index, layer in enumerate(self.layers)}
        calls = {self.frame.address_of(member.name): member.calls for member in self.frame.members}
        for layer in self.layers:
            for call, uses in enumerate(calls.get(layer.address, ())):
                for use in uses:
                    self._connect(use, number, number[layer.address], call, layer.type)
        outputs = [self._output(index, use, number) for index, use in enumerate(self.frame.outputs)]
        boxes = (
            *(
                self._box(index, layer, len(calls.get(layer.address, "1")))
                for index, layer in enumerate(self.layers)
            ),
            *outputs,
        )
        wires = self.wires.wires([box.calls for box in boxes])
        rows = arrange_rows(len(boxes), [(wire.source, wire.target) for wire in wires])
        title = (
            self.graph.name
            if not self.frame.address
            else self.frame.address.rsplit(SEPARATOR, 1)[-1]
        )
        return FrameView(self.frame.address, escape_controls(title), boxes, wires, rows)

    def _connect(
        self, use: Use, number: Mapping[str, int], target: int, call: int = 0, kind: str = ""
    ) -> None:
        address = self.frame.address_of(use.source)
        shape = format_output(
            self.layers[number[address]],
            self.shapes.get((address, use.source_call, use.source_tensor)),
        )
        self.wires.add(number[address], target, call, use, shape, kind)

    def _output(self, index: int, use: Use, number: Mapping[str, int]) -> Box:
        """Return the box of an output, named by its key in a dict or by its index among several."""
        is_keyed = not use.argument.replace(".", "").isdecimal()
        self._connect(replace(use, argument="0"), number, len(self.layers) + index)
        key = ""
        if is_keyed or len(self.frame.outputs) > 1:
            key = f"{use.argument if is_keyed else index}: "
        return Box("output", "Output", escape_controls(key + use.source), "", "output")

    def _box(self, index: int, layer: Layer, calls: int) -> Box:
        size, measured = prunable_zeros(layer, self.zeros)
        kernels = [
            escape_controls(tensor.label()) for tensor in layer.tensors if len(tensor.shape) > 1
        ]
        more = len(kernels) - _SHOWN_WEIGHTS
        shapes = [
            format_output(layer, self.shapes.get((layer.address, *made)))
            for made in self.wires.made_by(index) or [(0, 0)]
        ]
        box = Box(
            kind=layer.kind,
            title="Input" if layer.kind == "input" else escape_controls(layer.type),
            name=escape_controls(layer.name),
            address=layer.address,
            category=category_of(layer),
            weights=(
                *(kernels if more <= 1 else [*kernels[:_SHOWN_WEIGHTS], f"and {more} more"]),
                *self._reach(layer),
            ),
            attributes=_attributes(layer),
            shape=", ".join(dict.fromkeys(filter(None, shapes))),
            sparsity=None if measured is None else measured / max(size, 1),
            mark=mark_of(layer),
            frame=layer.address if layer.kind == "model" else None,
            calls=calls,
        )
        return mark_box(box, self.marks.get(layer.address))

    def _reach(self, layer: Layer) -> tuple[str, ...]:
        reason = self.reasons.get(layer.address)
        if reason is None:
            return ()
        return (
            "never built, weights unknown" if reason == NEVER_BUILT else "out of reach of rules",
        )


def mark_box(box: Box, mark: LayerMark | None) -> Box:
    """Return the box with the mark of a plan or a diff, and the mark's sparsity if it has one."""
    if mark is None:
        return box
    marked = replace(
        box, sign=mark.sign, status=mark.status, mark=escape_controls(mark.text), before=mark.before
    )
    if mark.after is None and mark.before is None:
        return marked
    return replace(marked, sparsity=mark.before if mark.after is None else mark.after)


def _attributes(layer: Layer) -> tuple[str, ...]:
    names = _ATTRIBUTES if layer.tensors else (*_SIZES, *_ATTRIBUTES)
    shown = [
        name
        for name in names
        if name in layer.config
        and layer.kind == "layer"
        and layer.config[name] not in _DULL.get(name, ())
    ]
    return tuple(
        escape_controls(f"{name} {_value(layer.config[name])}")
        for name in shown[:_SHOWN_ATTRIBUTES]
    )


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        items = ("?" if item is None else _value(item) for item in value[:8])
        return "×".join(items)  # noqa: RUF001 - the sign of multiplication is meant
    return str(value.get("class_name", "…")) if isinstance(value, dict) else str(value)[:40]
