"""The layers of a model as a table: what `graphprune layers` prints."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR, Layer, Tensor
from graphprune.graph.shapes import Shape, format_shape
from graphprune.graph.tensor_shapes import TensorUse, find_tensor_shapes
from graphprune.report.numbers import count_of, format_bytes, format_count, format_share
from graphprune.report.tables import align_rows, escape_controls, shorten, shorten_middle, text_width

_Zeros = Mapping[tuple[str, str], int]
_HEADINGS = ("layer", "type", "output", "weights", "params", "prunable", "sparsity", "wrapped by", "notes")
_LAYER, _TYPE, _OUTPUT, _WEIGHTS, _PARAMS, _PRUNABLE, _SPARSITY, _WRAPPED, _NOTES = range(len(_HEADINGS))
_FIGURES = {_PARAMS, _PRUNABLE, _SPARSITY}
_SHORTENED = ((_WEIGHTS, 24), (_WRAPPED, 16), (_WEIGHTS, 0), (_LAYER, 28), (_OUTPUT, 0), (_LAYER, 16), (_TYPE, 12))
"""What gives way on a narrow terminal, in turn: (column, how narrow it may become); 0 leaves it out."""
_BITS = {"bool": 8, "int4": 4, "uint4": 4, "string": 0}


def render_layers_text(graph: LayerGraph, zeros: _Zeros | None = None, *, width: int | None = None, matched: Collection[str] | None = None) -> str:
    """Return one line a layer and one of totals; the layers of nested models are indented below their model.

    A layer that holds others (Bidirectional, TimeDistributed, MultiHeadAttention) has an indented line for each of them, with its weights.

    Args:
        graph: The model.
        zeros: Measured zeros by (address, tensor name); without them no sparsity is shown.
        width: Columns of the terminal; lists of weights are cut to fit, and long names in their middle. Nothing is shortened without it.
        matched: The addresses of the layers to show, with whole addresses as their models may be hidden; all layers unless given. Totals are of those shown.
    """
    layers = _shown(graph, matched)
    table = _Table(zeros, find_tensor_shapes(graph), _contents(graph), is_whole=matched is None)
    rows = [row for layer in layers for row in table.rows(layer)]
    rows.insert(0, tuple(heading if any(row[column] for row in rows) else "" for column, heading in enumerate(_HEADINGS)))
    fitted = rows if width is None else _fit(rows, width)
    title = f"model  {escape_controls(graph.name)}   {escape_controls(graph.type)}"
    of = None if matched is None else len(graph.layers)
    lines = align_rows(fitted, right=_FIGURES) if layers else ["no layer matches"]
    ends = [line for line in (_left_out(rows, fitted), _totals_line(_totals(layers, zeros), of)) if line]
    return "\n".join([title, "", *lines, "", *ends, ""])


def layers_to_config(graph: LayerGraph, zeros: _Zeros | None = None, *, path: str = "", matched: Collection[str] | None = None) -> dict[str, Any]:
    """Return the table as JSON data, layers in the graph's order and shares rounded to 6 places; `matched` as for the text."""
    layers = _shown(graph, matched)
    totals, shapes = _totals(layers, zeros), find_tensor_shapes(graph)
    return {
        "format_version": "1.0",
        "kind": "graphprune.layers",
        "model": {
            "path": path,
            "name": graph.name,
            "type": graph.type,
            "graph_sha256": graph.sha256,
            "inputs": list(graph.inputs),
            "outputs": list(graph.outputs),
            "layers": len(graph.layers),
        },
        "layers": [_layer_to_config(layer, zeros, shapes.get((layer.address, 0, 0))) for layer in layers],
        "summary": {
            "layers": totals.layers,
            "parameters": totals.parameters,
            "prunable_weights": totals.prunable,
            "zeros": totals.zeros,
            "sparsity": _share(totals.zeros, totals.parameters),
            "bytes": totals.bytes,
        },
    }


@dataclass(frozen=True, slots=True)
class _Totals:
    """The last line's figures; `zeros` is None where nothing was measured."""

    layers: int
    parameters: int
    prunable: int
    zeros: int | None
    bytes: int


def _shown(graph: LayerGraph, matched: Collection[str] | None) -> tuple[Layer, ...]:
    return tuple(layer for address, layer in graph.layers.items() if matched is None or address in matched)


def _totals(layers: Sequence[Layer], zeros: _Zeros | None) -> _Totals:
    tensors = [(layer.address, tensor) for layer in layers for tensor in layer.tensors]
    return _Totals(
        layers=len(layers),
        parameters=sum(tensor.size for _, tensor in tensors),
        prunable=sum(tensor.size for _, tensor in tensors if tensor.prunable),
        zeros=None if zeros is None else sum(zeros.get((address, tensor.name), 0) for address, tensor in tensors),
        bytes=sum(_bytes(tensor) for _, tensor in tensors),
    )


def _totals_line(totals: _Totals, of: int | None) -> str:
    layers = count_of(totals.layers, "layer") if of is None else f"{format_count(totals.layers)} of {count_of(of, 'layer')}"
    parts = [layers, count_of(totals.parameters, "parameter"), f"{format_count(totals.prunable)} prunable"]
    if totals.zeros is None:
        parts.append("zeros unknown")
    else:
        parts.append(f"{count_of(totals.zeros, 'zero')} ({format_share(totals.zeros / max(totals.parameters, 1))})")
    return ", ".join([*parts, f"{format_bytes(totals.bytes)} of weights"]) + "."


@dataclass(frozen=True, slots=True)
class _Table:
    """Makes the rows; `is_whole` where no layer is left out, so that names can be indented below their models."""

    zeros: _Zeros | None
    shapes: Mapping[TensorUse, Shape]
    contents: Mapping[str, tuple[int, int]]
    is_whole: bool

    def rows(self, layer: Layer) -> Iterator[tuple[str, ...]]:
        """Yield the layer's line, and one for each layer inside it that has weights."""
        name = _indented_name(layer) if self.is_whole else layer.address
        size = sum(tensor.size for tensor in layer.tensors)
        prunable = sum(tensor.size for tensor in layer.prunable)
        inner = _inner_tensors(layer)
        shape = self.shapes.get((layer.address, 0, 0))
        yield (
            name,
            layer.type,
            "" if shape is None else format_shape(shape),
            self._content(layer) if layer.kind == "model" else ", ".join(tensor.label() for tensor in layer.tensors if inner_path(tensor) == ""),
            format_count(size) if size else "",
            format_count(prunable) if prunable else "",
            _sparsity_cell(layer, self.zeros),
            wrap_text(layer),
            ", ".join(_notes(layer)),
        )
        indent = " " * (len(name) - len(name.lstrip())) + "  "
        for path, tensors in inner.items():
            yield f"{indent}.{path}", inner_type(layer, path), "", ", ".join(tensor.label() for tensor in tensors), "", "", "", "", ""

    def _content(self, model: Layer) -> str:
        """Return what is in a nested model, whose layers have their figures on their own lines."""
        layers, parameters = self.contents.get(model.address, (0, 0))
        return f"({count_of(layers, 'layer')}, {count_of(parameters, 'parameter')})"


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


def _notes(layer: Layer) -> Iterator[str]:
    """Yield what is out of the ordinary: a layer that is called several times, or not trained."""
    if layer.calls > 1 and layer.kind != "input":
        yield f"{format_count(layer.calls)} calls"
    if layer.tensors and not layer.trainable:
        yield "frozen"


def _inner_tensors(layer: Layer) -> dict[str, list[Tensor]]:
    """Return the weights of the layers inside, by their path in the layer (`forward_layer`), named without it."""
    inner: dict[str, list[Tensor]] = {}
    for tensor in layer.tensors:
        path = inner_path(tensor)
        if path:
            inner.setdefault(path, []).append(replace(tensor, name=tensor.name[len(path) + 1 :]))
    return inner


def inner_path(tensor: Tensor) -> str:
    """Return where in its layer the tensor's own layer stands, empty for a tensor of the layer itself.

    Example:
        >>> inner_path(Tensor("forward_layer.kernel", (3, 4))), inner_path(Tensor("kernel", (3, 4)))
        ('forward_layer', '')
    """
    return tensor.name.rpartition(".")[0]


def inner_type(layer: Layer, path: str) -> str:
    """Return the class of the layer inside at `path`, empty where the config does not say."""
    entry = layer.config.get("backward_layer" if path == "backward_layer" else "layer") or layer.config.get("layer")
    is_wrapped = path in ("layer", "forward_layer", "backward_layer") and isinstance(entry, Mapping)
    return str(entry.get("class_name", "")) if is_wrapped and isinstance(entry, Mapping) else ""


def _indented_name(layer: Layer) -> str:
    """Return the layer's name, indented by the number of models around it."""
    depth = 0 if layer.container is None else 1 + layer.container.count(SEPARATOR)
    return "  " * depth + layer.name


def _sparsity_cell(layer: Layer, zeros: _Zeros | None) -> str:
    """Return the share of zeros in the prunable tensors."""
    size, measured = prunable_zeros(layer, zeros)
    return "" if measured is None else format_share(measured / max(size, 1))


def prunable_zeros(layer: Layer, zeros: _Zeros | None) -> tuple[int, int | None]:
    """Return the prunable weights and how many are zero; None where they were not measured."""
    found = [None if zeros is None else zeros.get((layer.address, tensor.name)) for tensor in layer.prunable]
    known = [count for count in found if count is not None]
    return sum(tensor.size for tensor in layer.prunable), sum(known) if found and len(known) == len(found) else None


def wrap_text(layer: Layer) -> str:
    """Return the rule that had the layer wrapped, and its target."""
    if layer.wrap is None:
        return ""
    rule = layer.wrap.provenance.rule or layer.wrap.type.rpartition(">")[2]
    return rule if layer.wrap.pruning is None else f"{rule}: {format_share(layer.wrap.pruning.sparsity)}, {layer.wrap.pruning.schedule}"


def _fit(rows: list[tuple[str, ...]], width: int) -> list[tuple[str, ...]]:
    """Return the rows with columns shortened in turn, or left out, until lines fit into `width`."""
    for column, narrowest in _SHORTENED:
        line = max(text_width(text) for text in align_rows(rows, right=_FIGURES))
        if line <= width:
            break
        longest = max(text_width(escape_controls(row[column])) for row in rows)
        allowed = max(longest - (line - width), min(narrowest, longest)) if narrowest else 0
        rows = [(*row[:column], _cut(row[column], column, allowed), *row[column + 1 :]) for row in rows]
    return rows


def _cut(text: str, column: int, width: int) -> str:
    cut = shorten_middle if column in (_LAYER, _TYPE) else shorten
    return cut(escape_controls(text), width) if width else ""


def _left_out(rows: Sequence[tuple[str, ...]], fitted: Sequence[tuple[str, ...]]) -> str:
    """Return the line that names the columns for which the terminal is too narrow, or nothing."""
    names = [heading for column, heading in enumerate(_HEADINGS) if any(row[column] for row in rows) and not any(row[column] for row in fitted)]
    return f"The terminal is too narrow for: {', '.join(names)}." if names else ""


def _layer_to_config(layer: Layer, zeros: _Zeros | None, shape: Shape | None) -> dict[str, Any]:
    wrap = layer.wrap
    wrapped = None if wrap is None else {"rule": wrap.provenance.rule, "pruning": None if wrap.pruning is None else wrap.pruning.to_config()}
    return {
        "address": layer.address,
        "type": layer.type,
        "kind": layer.kind,
        "calls": layer.calls,
        "trainable": layer.trainable,
        "produces_output": layer.produces_output,
        "output_shape": None if shape is None else list(shape),
        "tensors": [_tensor_to_config(layer, tensor, zeros) for tensor in layer.tensors],
        "wrapped_by": wrapped,
    }


def _tensor_to_config(layer: Layer, tensor: Tensor, zeros: _Zeros | None) -> dict[str, Any]:
    measured = None if zeros is None else zeros.get((layer.address, tensor.name))
    return {
        "name": tensor.name,
        "axes": dict(zip(tensor.axes, tensor.shape, strict=False)),
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "size": tensor.size,
        "prunable": tensor.prunable,
        "zeros": measured,
        "sparsity": _share(measured, tensor.size),
    }


def _share(zeros: int | None, size: int) -> float | None:
    return None if zeros is None else round(zeros / max(size, 1), 6)


def _bytes(tensor: Tensor) -> int:
    """Return what the tensor takes uncompressed; a NumPy name ends in its width in bits."""
    digits = tensor.dtype[len(tensor.dtype.rstrip("0123456789")) :]
    bits = _BITS.get(tensor.dtype, int(digits) if digits else 32)
    return tensor.size * bits // 8
