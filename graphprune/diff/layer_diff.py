"""Two layers compared: settings, wrappers and weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from graphprune.archive.entries import Entry
from graphprune.diff.changes import ConfigChange, LayerDiff, PruningState, Status
from graphprune.diff.pairing import Pair
from graphprune.diff.weights import Weights, compare_tensors
from graphprune.graph.architecture import WHEN_BUILT, plain_config
from graphprune.graph.call_constants import collect_call_constants
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.classes.completion import fill_from_other
from graphprune.graph.classes.differences import find_differences
from graphprune.graph.layer_arguments import is_renamed
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.tensor_shapes import Shape, TensorUse, find_tensor_shapes
from graphprune.sparsity.positions import Run
from graphprune.sparsity.pruning import Pruning
from graphprune.wrapper_names import STEP

GetRank = Callable[[], int | None]
"""Returns how many axes the tensor has that a layer takes; None where that is not known."""


def compare_layers(
    left: Entry,
    right: Entry,
    *,
    names: bool,
    is_model: bool = False,
    get_rank: GetRank = lambda: None,
) -> Iterator[ConfigChange]:
    """Yield what differs between the settings of two layers.

    Args:
        left: The layer before.
        right: The layer after.
        names: As in `plain_config`.
        is_model: Whether both are models.
        get_rank: Called if one side counts an axis from the end.
    """
    if _is_written_alike(left, right):
        return
    before, after = (plain_config(entry, names=names, is_model=is_model) for entry in (left, right))
    if known_class(left) is None or known_class(right) is None:
        before, after = fill_from_other(before, after), fill_from_other(after, before)
    yield from compare_settings(before, after, "config", get_rank)


def _is_written_alike(left: Entry, right: Entry) -> bool:
    """Return whether two entries are the same JSON text.

    Most layers of two versions of a model are, and comparing their settings takes far longer.
    """
    try:
        return json.dumps(left) == json.dumps(right)
    except TypeError:
        return False  # a live model's config may hold objects


def compare_settings(
    before: Any, after: Any, path: str, get_rank: GetRank = lambda: None
) -> Iterator[ConfigChange]:
    """Yield what differs between two values that `plain_config` made; a missing key equals null.

    Example:
        >>> [
        ...     change.path
        ...     for change in compare_settings(
        ...         {"units": 3, "bias": {"seed": 1}}, {"units": 3, "bias": {"seed": 2}}, "config"
        ...     )
        ... ]
        ['config.bias.seed']
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            left, right = before.get(key), after.get(key)
            if not _is_same_when_built(key, left, right, get_rank):
                inside = _no_rank if key in _LAYERS_INSIDE else get_rank
                yield from compare_settings(left, right, f"{path}.{key}", inside)
    elif _is_list_of_dicts(before) and _is_list_of_dicts(after) and len(before) == len(after):
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from compare_settings(left, right, f"{path}[{index}]", get_rank)
    elif not _is_same(before, after):
        yield ConfigChange(path, before, after)


_LAYERS_INSIDE = frozenset({"layer", "backward_layer"})


def _no_rank() -> None:
    """Return that the rank of what a layer inside another takes is unknown."""


def _is_same_when_built(key: str, before: Any, after: Any, get_rank: GetRank) -> bool:
    """Return whether a setting differs only because one layer was saved before it was built."""
    if key in WHEN_BUILT:
        return before is None or after is None
    if (
        key != "axis"
        or not (_is_list_of_ints(before) and _is_list_of_ints(after))
        or len(before) != len(after)
    ):
        return False
    turned = [(left, right) for left, right in zip(before, after, strict=True) if left != right]
    if not turned or any((left < 0) == (right < 0) for left, right in turned):
        return False
    rank = get_rank()
    return rank is None or all((left - right) % rank == 0 for left, right in turned)


def _is_list_of_ints(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _is_list_of_dicts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _is_same(before: Any, after: Any) -> bool:
    """Return whether two plain values are equal; True is not 1, and NaN equals itself."""
    if isinstance(before, bool) != isinstance(after, bool):
        return False
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(
            _is_same(left, right) for left, right in zip(before, after, strict=True)
        )
    return bool(before == after) or bool(before != before and after != after)


class LayerComparison:
    """Compares layers, with the weights of each side that can be read."""

    def __init__(
        self,
        left: LayerGraph,
        right: LayerGraph,
        left_weights: Weights | None,
        right_weights: Weights | None,
        run: Run,
    ) -> None:
        self._right = right
        self._kerases = left.keras, right.keras
        self._left_weights, self._right_weights, self._run = left_weights, right_weights, run
        self._left_constants, self._right_constants = (
            collect_call_constants(left),
            collect_call_constants(right),
        )

    def compare(self, left: Layer | None, right: Layer | None, pair: Pair | None) -> LayerDiff:
        """Return what differs between two layers; one may be None for an added or removed layer."""
        shown = right or left
        assert shown is not None
        tensors = tuple(compare_tensors(left, right, self._left_weights, self._right_weights))
        renamed = left is not None and right is not None and is_renamed(left, right)
        config = (
            ()
            if left is None or right is None
            else tuple(self._compare_configs(left, right, names=not renamed))
        )
        return LayerDiff(
            address=shown.address,
            type=shown.type,
            previous_address=left.address if left is not None and renamed else None,
            paired_by=None if pair is None else pair.paired_by,
            status=tuple(_statuses(left, right, renamed=renamed, reconfigured=bool(config))),
            config=config,
            before=self._state(
                left, self._left_weights, {tensor.name: tensor.zeros_before for tensor in tensors}
            ),
            after=self._state(
                right, self._right_weights, {tensor.name: tensor.zeros_after for tensor in tensors}
            ),
            tensors=tensors,
        )

    def _compare_configs(self, left: Layer, right: Layer, *, names: bool) -> Iterator[ConfigChange]:
        is_model = left.kind == right.kind == "model"
        settings = list(
            compare_layers(
                left.entry,
                right.entry,
                names=names,
                is_model=is_model,
                get_rank=lambda: self._rank(right.address),
            )
        )
        yield from settings
        yield from compare_settings(
            self._left_constants.get(left.address, {}),
            self._right_constants.get(right.address, {}),
            "calls",
        )
        if self._kerases[0] != self._kerases[1]:
            known = {change.path for change in settings}
            found = _different_computations(left, self._kerases)
            yield from (change for change in found if change.path not in known)
        yield from _compare_wraps(left, right)

    def _rank(self, address: str) -> int | None:
        """Return the rank of the tensors of a layer that keeps their shape, or None."""
        shape = self._shapes.get((address, 0, 0))
        return len(shape) if shape else None

    @cached_property
    def _shapes(self) -> Mapping[TensorUse, Shape]:
        return find_tensor_shapes(self._right)

    def _state(
        self, layer: Layer | None, weights: Weights | None, zeros: Mapping[str, int | None]
    ) -> PruningState | None:
        if layer is None or layer.wrap is None:
            return None
        stored = None if weights is None else weights.read_state(layer.address, STEP)
        step = None if stored is None else int(stored)
        return PruningState(
            rule=layer.wrap.provenance.rule,
            pruning=layer.wrap.pruning,
            step=step,
            finished=_is_finished(layer, step, zeros, self._run),
        )


def _is_finished(
    layer: Layer, step: int | None, zeros: Mapping[str, int | None], run: Run
) -> bool | None:
    """Return whether the layer's schedule is finished.

    Its step decides if the end is known in steps, otherwise its zeros do.
    """
    pruning = None if layer.wrap is None else layer.wrap.pruning
    if pruning is None or step is None:
        return None
    end = None if pruning.schedule.end is None else pruning.schedule.end.to_step(run)
    if end is not None:
        return step >= end
    found = [
        (tensor, zeros.get(tensor.name))
        for tensor in layer.tensors
        if tensor.name in pruning.weights
    ]
    if any(count is None for _, count in found):
        return None
    return step > 0 and all(
        count is not None and count >= pruning.target_zeros(tensor.name, tensor.shape)
        for tensor, count in found
    )


def _statuses(
    left: Layer | None, right: Layer | None, *, renamed: bool, reconfigured: bool
) -> Iterator[Status]:
    if left is None or right is None:
        yield "added" if left is None else "removed"
        return
    if renamed:
        yield "renamed"
    if reconfigured:
        yield "reconfigured"
    if (left.wrap is None) != (right.wrap is None):
        yield "wrapped" if left.wrap is None else "unwrapped"


def _different_computations(layer: Layer, kerases: tuple[int, int]) -> Iterator[ConfigChange]:
    """Yield what a layer of the same config computes differently in the other Keras."""
    if layer.kind == "model":
        return
    for setting, found in find_differences(layer.entry):
        texts = {2: found.keras2, 3: found.keras3}
        path = f"config.{setting}" if setting else "class_name"
        yield ConfigChange(path, texts[kerases[0]], texts[kerases[1]])


def _settings_of(pruning: Pruning) -> dict[str, Any]:
    """Return how a layer is pruned, with the groups of its channels by name and without places."""
    config = pruning.to_config()
    places = config.pop("couplings", ())
    groups = ", ".join(dict.fromkeys(coupling["group"] for coupling in places))
    return config | ({"channels": groups} if groups else {})


def _compare_wraps(left: Layer, right: Layer) -> Iterator[ConfigChange]:
    if left.wrap is None or right.wrap is None:
        return
    before, after = left.wrap.pruning, right.wrap.pruning
    if before is not None and after is not None:
        yield from compare_settings(_settings_of(before), _settings_of(after), "pruning")
    elif left.wrap.type != right.wrap.type:
        yield ConfigChange("pruning.wrapper", left.wrap.type, right.wrap.type)
