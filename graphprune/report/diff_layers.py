"""The lines of a diff about layers: changed settings, wrappers and tensors, in aligned columns."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from graphprune.archive.entries import to_snake_case
from graphprune.diagnostics.terminal_text import escape_controls, text_width
from graphprune.diff.changes import (
    PRUNING_PREFIX,
    ConfigChange,
    LayerDiff,
    PruningState,
    Status,
    TensorDiff,
)
from graphprune.graph.classes.python_code import CODE
from graphprune.graph.layers import SEPARATOR, name_call
from graphprune.report.numbers import count_of, format_count, format_share
from graphprune.report.tables import Line, align_rows, mark_rows, shorten, shorten_middle

_VALUE_WIDTH = 60
_CODE = f".{CODE}"
_NUMBER = re.compile(r"_[0-9]{1,9}$")
_CALL = re.compile(r"^calls\.([0-9]{1,9})\.?")
"""What the path of a constant argument begins with: the index of its call."""


def change_text(change: ConfigChange) -> str:
    """Return a changed setting with both values shortened, or that Python code differs."""
    if change.path.endswith(_CODE):
        return f"{escape_controls(change.path.removesuffix(_CODE))}  Python code differs"
    path = _CALL.sub(lambda call: f"{name_call(int(call[1]))} ", change.path)
    return f"{escape_controls(path)}  {_value_text(change.before)} -> {_value_text(change.after)}"


def _value_text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return shorten(escape_controls(text), _VALUE_WIDTH)


def arrow(before: str, after: str) -> str:
    """Return both texts with an arrow between them, or one text if they are equal."""
    return before if before.strip() == after else f"{before} -> {after}"


EVIDENCE = {"weights": "equal weights", "structure": "equal structure", "address": "same address"}
MARKS: Mapping[Status, str] = {
    "added": "+",
    "removed": "-",
    "reconfigured": "~",
    "renamed": ">",
    "wrapped": "w",
    "unwrapped": "u",
}
_SHARE_WIDTH = 5


@dataclass(frozen=True, slots=True)
class _Head:
    """One line about a layer: a row of the table, or a changed setting, which has no type."""

    mark: str
    address: str
    type: str
    text: str
    change: ConfigChange | None = None

    def to_line(self, name: str, width: int) -> Line:
        """Return the line of a changed setting, its name padded to `width` columns."""
        assert self.change is not None
        more = f"  {escape_controls(self.text)}" if self.text else ""
        text = f"  {self.mark} {_pad(name, width)}  {change_text(self.change)}{more}"
        return Line(text, ((2, 4 + len(name), self.mark),))


def layer_lines(
    layers: Sequence[LayerDiff],
    *,
    show_all: bool,
    name_width: int | None = None,
    joined: bool = False,
) -> Iterator[Line]:
    """Yield the lines about the layers, with heads below heads and tensors below tensors.

    Args:
        layers: What to show.
        show_all: Also show tensors in which nothing but trained values differs.
        name_width: Names of layers and tensors that are longer lose their middle.
        joined: Show the same change of a setting in several layers of a class once, as two Kerases
            have other defaults.
    """
    heads = [list(_heads(layer)) for layer in layers]
    if not show_all:
        heads = _join_renames(layers, heads)
    if joined:
        heads = _join_changes(layers, heads)
    tensors = [_shown_tensors(layer, show_all=show_all) for layer in layers]
    rows = [
        (head.mark, _fit_name(head.address, name_width), head.type, head.text)
        for group in heads
        for head in group
        if head.change is None
    ]
    table = iter(mark_rows(rows, gaps={3: 3}))
    width = max((text_width(_fit_name(layer.address, name_width)) for layer in layers), default=0)
    tensor_lines = iter(
        _tensor_lines(
            [
                (tensor, layer)
                for layer, group in zip(layers, tensors, strict=True)
                for tensor in group
            ],
            name_width,
        )
    )
    for group, shown in zip(heads, tensors, strict=True):
        for head in group:
            if head.change is None:
                yield next(table)
            else:
                yield head.to_line(_fit_name(head.address, name_width), width)
        for _ in shown:
            yield Line(next(tensor_lines))


_RENAMES = 3
"""Layers with shifted default names up to which each has its own line."""


def _join_renames(
    layers: Sequence[LayerDiff], heads: Sequence[Sequence[_Head]]
) -> list[list[_Head]]:
    """Return the heads with one line for all layers whose default names have other numbers.

    One layer more shifts the numbers of all layers of its class behind it.
    """
    shifted = [
        index
        for index, layer in enumerate(layers)
        if layer.status == ("renamed",)
        and _has_default_names(layer)
        and not layer.notable_tensors
        and len(heads[index]) == 1
    ]
    if len(shifted) <= _RENAMES:
        return [list(own) for own in heads]
    first, *others = shifted
    dropped = set(others)
    joined = [[] if index in dropped else list(own) for index, own in enumerate(heads)]
    (head,) = heads[first]
    more = f"; {format_count(len(others))} more layers have a shifted default name"
    joined[first] = [replace(head, text=head.text + more)]
    return joined


def _has_default_names(layer: LayerDiff) -> bool:
    """Return whether Keras gave both names, after the class and with a number."""
    own = to_snake_case(layer.type)
    return all(
        _NUMBER.sub("", name.rpartition(SEPARATOR)[2]) == own
        for name in (layer.address, layer.previous_address or "")
    )


def _join_changes(
    layers: Sequence[LayerDiff], heads: Sequence[Sequence[_Head]]
) -> list[list[_Head]]:
    """Return the heads with each change of a setting once; its line counts the other layers."""
    keys = [
        [_change_key(layer, head) for head in own] for layer, own in zip(layers, heads, strict=True)
    ]
    counts = Counter(key for own in keys for key in own if key)
    told: set[str] = set()
    joined = []
    for layer, own, its_keys in zip(layers, heads, keys, strict=True):
        kept = []
        for head, key in zip(own, its_keys, strict=True):
            if key in told:
                continue
            more = counts[key] - 1 if key else 0
            if more:
                told.add(key)
                head = replace(head, text=f"(and {format_count(more)} more {layer.type})")
            kept.append(head)
        joined.append(kept)
    return joined


def _change_key(layer: LayerDiff, head: _Head) -> str:
    """Return what two layers have in common if the same setting changes; empty for other lines."""
    change = head.change
    if change is None or change.path.startswith(PRUNING_PREFIX):
        return ""
    return json.dumps([layer.type, change.path, change.before, change.after], default=str)


def _heads(layer: LayerDiff) -> Iterator[_Head]:
    if layer.paired_by is None:
        yield _Head(
            "+" if "added" in layer.status else "-", layer.address, layer.type, _lone_text(layer)
        )
        return
    if "renamed" in layer.status:
        yield _Head(
            ">",
            layer.address,
            layer.type,
            f"renamed from {layer.previous_address} ({EVIDENCE[layer.paired_by]})",
        )
    for change in layer.config:
        yield _Head("~", layer.address, "", "", change)
    if layer.before is None and layer.after is not None:
        yield _Head("w", layer.address, layer.type, f"wrapped{state_text(layer.after)}")
    elif layer.before is not None and layer.after is None:
        yield _Head(
            "u", layer.address, layer.type, f"unwrapped; was wrapped{state_text(layer.before)}"
        )
    elif layer.before != layer.after and layer.before is not None and layer.after is not None:
        yield _Head(" ", layer.address, layer.type, _progress_text(layer.before, layer.after))
    elif not layer.status:
        yield _Head(" ", layer.address, layer.type, _quiet_text(layer))


def _lone_text(layer: LayerDiff) -> str:
    """Return the text of a layer that only one side has."""
    what = "added" if "added" in layer.status else "removed"
    listed = ", ".join(
        f"{tensor.name} {_shape(tensor.shape_after or tensor.shape_before or ())}"
        for tensor in layer.tensors
    )
    state = layer.after or layer.before
    return (
        what
        + (f": {listed}" if listed else "")
        + ("" if state is None else f"; wrapped{state_text(state)}")
    )


def _quiet_text(layer: LayerDiff) -> str:
    """Return the text of a layer that is the same in structure and has the same wrapper, if any."""
    if any(tensor.is_sparsity_changed for tensor in layer.tensors):
        return "sparsity changed"
    if layer.is_pruning_changed:
        return "mask changed"
    return "new values" if any(tensor.values == "changed" for tensor in layer.tensors) else "same"


def state_text(state: PruningState) -> str:
    """Return the rule and settings of a wrapper, to follow the word `wrapped`."""
    by = f" by {state.rule}" if state.rule else ""
    if state.pruning is None:
        return by
    if not state.pruning.weights:
        return f"{by}, without anything to prune"
    return f"{by}: {state.pruning.describe_pattern()}, {_schedule_text(state)}"


def _schedule_text(state: PruningState) -> str:
    assert state.pruning is not None
    schedule = state.pruning.schedule
    if state.step is None:
        return str(schedule)
    if state.step < 0:  # tfmot counts from -1
        return f"{schedule.name or schedule.curve}, not begun"
    return (
        f"{schedule.name or schedule.curve} {'finished at' if state.finished else 'at'} step"
        f" {state.step}"
    )


def _progress_text(before: PruningState, after: PruningState) -> str:
    """Return the text of a layer that is wrapped on both sides, with what differs."""
    rules = (
        f" by {arrow(before.rule or 'no rule', after.rule or 'no rule')}"
        if before.rule or after.rule
        else ""
    )
    if before.pruning is None or after.pruning is None:
        return f"wrapped{rules}"
    if not before.pruning.weights and not after.pruning.weights:
        return f"wrapped{rules}, without anything to prune"
    return (
        f"wrapped{rules}:"
        f" {arrow(before.pruning.describe_pattern(), after.pruning.describe_pattern())},"
        f" {arrow(_schedule_text(before), _schedule_text(after))}"
    )


def _shown_tensors(layer: LayerDiff, *, show_all: bool) -> tuple[TensorDiff, ...]:
    if layer.paired_by is None:
        return ()
    return layer.tensors if show_all else layer.notable_tensors


def _tensor_lines(
    tensors: Sequence[tuple[TensorDiff, LayerDiff]], name_width: int | None
) -> list[str]:
    shares = [
        tensor.sparsity_before if tensor.shape_before is not None else tensor.sparsity_after
        for tensor, _ in tensors
    ]
    width = max((len(format_share(share)) for share in shares if share is not None), default=0)
    rows = [
        (
            _fit_name(tensor.name, name_width),
            _shapes(tensor),
            _zeros_text(tensor),
            _share_text(tensor, max(width, _SHARE_WIDTH)),
            _target_text(tensor, layer),
            _mask_text(tensor),
        )
        for tensor, layer in tensors
    ]
    return align_rows(rows, gaps={2: 3, 3: 3, 4: 3, 5: 3}, indent="      ")


def _shapes(tensor: TensorDiff) -> str:
    if tensor.shape_before is None:
        return f"added {_shape(tensor.shape_after or ())}"
    if tensor.shape_after is None:
        return f"removed {_shape(tensor.shape_before)}"
    return arrow(_shape(tensor.shape_before), _shape(tensor.shape_after))


def _shape(shape: tuple[int, ...]) -> str:
    return str(list(shape))


def _zeros_text(tensor: TensorDiff) -> str:
    counts = [
        format_count(zeros)
        for zeros in (tensor.zeros_before, tensor.zeros_after)
        if zeros is not None
    ]
    return f"zeros {arrow(counts[0], counts[-1])}" if counts else ""


def _share_text(tensor: TensorDiff, width: int) -> str:
    shares = [
        format_share(share)
        for share in (tensor.sparsity_before, tensor.sparsity_after)
        if share is not None
    ]
    if not shares:
        return ""
    return f"{shares[0]:>{width}}" + (f" -> {shares[-1]}" if tensor.is_sparsity_changed else "")


def _target_text(tensor: TensorDiff, layer: LayerDiff) -> str:
    if tensor.target is None:
        return ""
    unfinished = layer.after is not None and layer.after.finished is False
    met = {None: "", True: " met", False: " not yet met" if unfinished else " missed"}[
        tensor.target_met
    ]
    target = format_share(tensor.target)
    is_shown = tensor.sparsity_after is None or format_share(tensor.sparsity_after) != target
    by = f", {count_of(tensor.zeros_missing, 'zero')} short" if tensor.zeros_missing else ""
    return f"target {target}{met}" + ("" if is_shown else by)


def _mask_text(tensor: TensorDiff) -> str:
    if tensor.mask is None:
        return ""
    mask = tensor.mask
    return (
        f"mask: {format_share(mask.shared)} of kept weights shared, {format_count(mask.dropped)}"
        f" dropped, {format_count(mask.regrown)} regrown"
    )


def _fit_name(name: str, width: int | None) -> str:
    """Return a name safe to print, without its middle where it is longer than `width` columns."""
    text = escape_controls(name)
    return text if width is None else shorten_middle(text, width)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - text_width(text))
