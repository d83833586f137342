"""The layers of a model as a table: what `graphprune layers` prints."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR, Layer, Tensor
from graphprune.report.numbers import count_of, format_bytes, format_count, format_share
from graphprune.report.tables import align_rows, escape_controls, shorten, text_width

_Zeros = Mapping[tuple[str, str], int]
_HEADINGS = ("layer", "type", "weights", "params", "prunable", "sparsity", "wrapped by")
_WEIGHTS = 2
_NARROWEST = 12
_BITS = {"bool": 8, "int4": 4, "uint4": 4, "string": 0}


def render_layers_text(graph: LayerGraph, zeros: _Zeros | None = None, *, width: int | None = None, matched: Collection[str] | None = None) -> str:
    """Return one line a layer and one of totals; the layers of nested models are indented below their model.

    A layer that holds others (Bidirectional, TimeDistributed, MultiHeadAttention) has an indented line for each of them, with its weights.

    Args:
        graph: The model.
        zeros: Measured zeros by (address, tensor name); without them no sparsity is shown.
        width: Columns of the terminal; the list of weights is shortened to fit where it can be.
        matched: The addresses of the layers to show, with whole addresses as their models may be hidden; all layers unless given. Totals are of those shown.
    """
    layers = _shown(graph, matched)
    rows = [row for layer in layers for row in _rows(layer, zeros, layer.address if matched is not None else _indented_name(layer))]
    rows.insert(0, tuple(heading if any(row[column] for row in rows) else "" for column, heading in enumerate(_HEADINGS)))
    if width is not None:
        rows = _fit(rows, width)
    title = f"model  {escape_controls(graph.name)}   {escape_controls(graph.type)}"
    of = None if matched is None else len(graph.layers)
    return "\n".join([title, "", *(align_rows(rows, right={3, 4, 5}) if layers else ["no layer matches"]), "", _totals_line(_totals(layers, zeros), of), ""])


def layers_to_config(graph: LayerGraph, zeros: _Zeros | None = None, *, path: str = "", matched: Collection[str] | None = None) -> dict[str, Any]:
    """Return the table as JSON data, layers in the graph's order and shares rounded to 6 places; `matched` as for the text."""
    layers = _shown(graph, matched)
    totals = _totals(layers, zeros)
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
        "layers": [_layer_to_config(layer, zeros) for layer in layers],
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


def _rows(layer: Layer, zeros: _Zeros | None, name: str) -> Iterator[tuple[str, ...]]:
    """Yield the layer's line, and one for each layer inside it that has weights."""
    size = sum(tensor.size for tensor in layer.tensors)
    prunable = sum(tensor.size for tensor in layer.prunable)
    inner = _inner_tensors(layer)
    yield (
        name,
        layer.type,
        ", ".join(tensor.label() for tensor in layer.tensors if inner_path(tensor) == ""),
        format_count(size) if size else "",
        format_count(prunable) if prunable else "",
        _sparsity_cell(layer, zeros),
        wrap_text(layer),
    )
    indent = " " * (len(name) - len(name.lstrip())) + "  "
    for path, tensors in inner.items():
        yield f"{indent}.{path}", inner_type(layer, path), ", ".join(tensor.label() for tensor in tensors), "", "", "", ""


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
    """Return the rows with the list of weights cut so that lines fit into `width`, but never below a readable rest."""
    line = max(text_width(text) for text in align_rows(rows, right={3, 4, 5}))
    longest = max(text_width(row[_WEIGHTS]) for row in rows)
    allowed = max(longest - max(line - width, 0), _NARROWEST)
    return [(*row[:_WEIGHTS], shorten(row[_WEIGHTS], allowed), *row[_WEIGHTS + 1 :]) for row in rows]


def _layer_to_config(layer: Layer, zeros: _Zeros | None) -> dict[str, Any]:
    wrap = layer.wrap
    wrapped = None if wrap is None else {"rule": wrap.provenance.rule, "pruning": None if wrap.pruning is None else wrap.pruning.to_config()}
    return {
        "address": layer.address,
        "type": layer.type,
        "kind": layer.kind,
        "calls": layer.calls,
        "trainable": layer.trainable,
        "produces_output": layer.produces_output,
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
