"""The layers of a model as a table: what `graphprune layers` prints."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.graph.inner_layers import describe_connections, describe_inferred
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR, Layer
from graphprune.graph.out_of_reach import (
    NEVER_BUILT,
    QUANTIZED,
    OutOfReach,
    describe_out_of_reach,
    find_out_of_reach,
)
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.tensor_shapes import TensorUse, find_tensor_shapes, format_output
from graphprune.report.inner_layers import inner_path, inner_tensors, inner_type
from graphprune.report.layer_figures import (
    Totals,
    Zeros,
    prunable_zeros,
    shown_layers,
    totals_of,
    wrap_text,
)
from graphprune.report.numbers import count_of, format_bytes, format_count, format_share
from graphprune.report.tables import align_rows, fit_rows, name_left_out

_HEADINGS = (
    "layer",
    "type",
    "output",
    "weights",
    "params",
    "prunable",
    "sparsity",
    "wrapped by",
    "notes",
)
_LAYER, _TYPE, _OUTPUT, _WEIGHTS, _PARAMS, _PRUNABLE, _SPARSITY, _WRAPPED, _NOTES = range(
    len(_HEADINGS)
)
_FIGURES = {_PARAMS, _PRUNABLE, _SPARSITY}
_SHORTENED = (
    (_WEIGHTS, 24),
    (_WRAPPED, 16),
    (_WEIGHTS, 0),
    (_LAYER, 28),
    (_OUTPUT, 0),
    (_LAYER, 16),
    (_TYPE, 12),
)
"""What is shortened on a narrow terminal, in turn: (column, least width); 0 leaves it out."""


def render_layers_text(
    graph: LayerGraph,
    zeros: Zeros | None = None,
    *,
    width: int | None = None,
    matched: Collection[str] | None = None,
) -> str:
    """Return one line a layer, nested models indented, and a line of totals.

    A layer that holds others (Bidirectional, TimeDistributed, MultiHeadAttention) has an indented
    line for each of them, with its weights.

    Args:
        graph: The model.
        zeros: Measured zeros by (address, tensor name); without them no sparsity is shown.
        width: Columns of the terminal; lists of weights are cut to fit, and long names in their
            middle. Nothing is shortened without it.
        matched: The addresses of the layers to show, with whole addresses as their models may be
            hidden; all layers unless given. Totals are of those shown.
    """
    layers = shown_layers(graph, matched)
    unreached = {layer.address: layer for layer in find_out_of_reach(graph)}
    table = _Table(
        zeros, find_tensor_shapes(graph), _contents(graph), unreached, is_whole=matched is None
    )
    rows = [row for layer in layers for row in table.rows(layer)]
    rows.insert(
        0,
        tuple(
            heading if any(row[column] for row in rows) else ""
            for column, heading in enumerate(_HEADINGS)
        ),
    )
    fitted = rows if width is None else _fit(rows, width)
    title = f"model  {escape_controls(graph.name)}   {escape_controls(graph.type)}"
    of = None if matched is None else len(graph.layers)
    lines = ["no layer matches" if graph.layers else "the model has no layers"]
    if layers:
        lines = _align(fitted)
    note = _address_note(layers) if matched is None else ""
    held = [
        escape_controls(line)
        for line in describe_out_of_reach(
            [table.unreached[layer.address] for layer in layers if layer.address in table.unreached]
        )
    ]
    own = [describe_connections(graph), describe_inferred(layers)]
    left_out = name_left_out(rows, fitted, dict(enumerate(_HEADINGS)))
    ends = [
        line
        for line in (
            left_out,
            note,
            *map(escape_controls, own),
            *held,
            _totals_line(totals_of(layers, zeros), of, table.is_unbuilt),
        )
        if line
    ]
    return "\n".join([title, "", *lines, "", *ends, ""])


def _totals_line(totals: Totals, of: int | None, is_unbuilt: bool) -> str:
    layers = (
        count_of(totals.layers, "layer")
        if of is None
        else f"{format_count(totals.layers)} of {count_of(of, 'layer')}"
    )
    if is_unbuilt:
        return f"{layers}; parameters, prunable weights and zeros are unknown."
    parts = [
        layers,
        count_of(totals.parameters, "parameter"),
        f"{format_count(totals.prunable)} prunable",
    ]
    if totals.zeros is None:
        parts.append("zeros unknown")
    else:
        parts.append(
            f"{count_of(totals.zeros, 'zero')}"
            f" ({format_share(totals.zeros / max(totals.parameters, 1))})"
        )
    return ", ".join([*parts, f"{format_bytes(totals.bytes)} of weights"]) + "."


@dataclass(frozen=True, slots=True)
class _Table:
    """Makes the rows; `is_whole` if no layer is left out, so that names can be indented."""

    zeros: Zeros | None
    shapes: Mapping[TensorUse, Shape]
    contents: Mapping[str, tuple[int, int]]
    unreached: Mapping[str, OutOfReach]
    is_whole: bool

    def rows(self, layer: Layer) -> Iterator[tuple[str, ...]]:
        """Yield the layer's line, and one for each layer inside it that has weights."""
        name = _indented_name(layer) if self.is_whole else layer.address
        inner = inner_tensors(layer)
        labels = ", ".join(tensor.label() for tensor in layer.tensors if not inner_path(tensor))
        yield (
            name,
            layer.type,
            format_output(layer, self.shapes.get((layer.address, 0, 0))),
            self._content(layer) if layer.kind == "model" else labels,
            *self._figures(layer),
            wrap_text(layer),
            ", ".join(_notes(layer, self.unreached.get(layer.address))),
        )
        indent = " " * (len(name) - len(name.lstrip())) + "  "
        for path, tensors in inner.items():
            yield (
                f"{indent}.{path}",
                inner_type(layer, path),
                "",
                ", ".join(tensor.label() for tensor in tensors),
                "",
                "",
                "",
                "",
                "",
            )

    def _figures(self, layer: Layer) -> tuple[str, str, str]:
        if self._is_unknown(layer):
            return "-", "-", "-"
        sizes = (sum(tensor.size for tensor in one) for one in (layer.tensors, layer.prunable))
        weights, prunable = (format_count(size) if size else "" for size in sizes)
        return weights, prunable, _sparsity_cell(layer, self.zeros)

    @property
    def is_unbuilt(self) -> bool:
        """Whether the model was never built, so that figures are unknown."""
        return any(layer.reason == NEVER_BUILT for layer in self.unreached.values())

    def _is_unknown(self, layer: Layer) -> bool:
        return (
            layer.address in self.unreached and self.unreached[layer.address].reason == NEVER_BUILT
        )

    def _content(self, model: Layer) -> str:
        """Return the content of a nested model; its layers have their own lines."""
        layers, parameters = self.contents.get(model.address, (0, 0))
        known = (
            "never built"
            if self.is_unbuilt and not parameters
            else count_of(parameters, "parameter")
        )
        return f"({count_of(layers, 'layer')}, {known})"


def _contents(graph: LayerGraph) -> dict[str, tuple[int, int]]:
    """Return the numbers of layers and of parameters inside each nested model, at any depth."""
    contents: dict[str, tuple[int, int]] = {}
    for layer in graph.layers.values():
        size, around = sum(tensor.size for tensor in layer.tensors), layer.container
        while around is not None:
            layers, parameters = contents.get(around, (0, 0))
            contents[around] = layers + 1, parameters + size
            around = graph.layers[around].container
    return contents


def _notes(layer: Layer, unreached: OutOfReach | None) -> Iterator[str]:
    """Yield what is unusual: several calls, frozen weights, or weights that cannot be pruned."""
    if layer.calls > 1 and layer.kind != "input":
        yield f"{format_count(layer.calls)} calls"
    if layer.tensors and not layer.trainable:
        yield "frozen"
    if unreached is not None:
        words = {NEVER_BUILT: "never built", QUANTIZED: "quantized"}
        yield words.get(unreached.reason, "out of reach")


def _address_note(layers: Sequence[Layer]) -> str:
    """Return a note on the addresses of layers inside models, with an example."""
    nested = [layer for layer in layers if layer.container is not None or layer.holder]
    if not nested:
        return ""
    shown = next((layer for layer in nested if layer.is_candidate), nested[0])
    return (
        f"Rules name a layer inside {'another' if shown.holder else 'a model'} by its address:"
        f" {escape_controls(shown.address)}."
        " --match and --format json show addresses."
    )


def _indented_name(layer: Layer) -> str:
    """Return the layer's name, indented by the number of models around it.

    A layer inside a custom layer has its path there, as the layers inside built-in ones.
    """
    depth = 0 if layer.container is None else 1 + layer.container.count(SEPARATOR)
    if layer.holder:
        return "  " * (depth + 1) + layer.address[len(layer.holder) :]
    return "  " * depth + layer.name


def _sparsity_cell(layer: Layer, zeros: Zeros | None) -> str:
    """Return the share of zeros in the prunable tensors."""
    size, measured = prunable_zeros(layer, zeros)
    return "" if measured is None else format_share(measured / max(size, 1))


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return align_rows(rows, right=_FIGURES)


def _fit(rows: Sequence[tuple[str, ...]], width: int) -> list[tuple[str, ...]]:
    """Return the rows cut to the width; without weights, the rows of inner layers are left out."""
    fitted = fit_rows(rows, width, _SHORTENED, (_LAYER, _TYPE), _align)
    return (
        fitted
        if any(row[_WEIGHTS] for row in fitted)
        else [
            row for row in fitted if any(row[_OUTPUT:]) or not row[_LAYER].lstrip().startswith(".")
        ]
    )
