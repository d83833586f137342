"""Compare the zeros of a wrapped model with its wrappers' schedules (drift)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.plan.changes import Drift
from graphprune.sparsity.positions import Run
from graphprune.sparsity.pruning import Pruning

_TensorKey = tuple[str, str]


def find_drift(
    graph: LayerGraph,
    zeros: Mapping[_TensorKey, int],
    steps: Mapping[str, int],
    mask_faults: Mapping[_TensorKey, int],
    run: Run,
) -> tuple[Drift, ...]:
    """Return the pruned tensors that have too few zeros for their step, or weights under the mask.

    They are in graph order.

    Args:
        graph: The wrapped model.
        zeros: Measured zeros by (address, tensor name).
        steps: The step of each wrapper by address. At step 0 no mask was made yet, so nothing can
            have moved.
        mask_faults: Non-zero weights where the mask says zero, by (address, tensor name).
        run: The length of the run, for schedules that are not in steps; where it is needed and
            unknown, only masks are looked at.
    """
    wrapped = (
        layer
        for layer in graph.layers.values()
        if layer.wrap is not None and steps.get(layer.address, 0) > 0
    )
    return tuple(
        drift
        for layer in wrapped
        for drift in _layer_drift(layer, zeros, steps[layer.address], mask_faults, run)
    )


def _layer_drift(
    layer: Layer,
    zeros: Mapping[_TensorKey, int],
    step: int,
    mask_faults: Mapping[_TensorKey, int],
    run: Run,
) -> Iterator[Drift]:
    if layer.wrap is None or layer.wrap.pruning is None:
        return
    pruning, rule = layer.wrap.pruning, layer.wrap.provenance.rule
    for tensor in layer.tensors:
        key = (layer.address, tensor.name)
        if tensor.name not in pruning.weights:
            continue
        target = _target_at(pruning, tensor, step, run)
        if (
            target is not None
            and key in zeros
            and zeros[key] < pruning.zeros_at(tensor.name, tensor.shape, target)
        ):
            yield Drift(
                layer.address,
                tensor.name,
                rule,
                step,
                target=target,
                measured=zeros[key] / tensor.size,
            )
        if mask_faults.get(key, 0) > 0:
            yield Drift(layer.address, tensor.name, rule, step, under_mask=mask_faults[key])


def _target_at(pruning: Pruning, tensor: Tensor, step: int, run: Run) -> float | None:
    """Return the sparsity that the last mask update up to `step` gave a tensor.

    Return None before the first update, or if the run's length is needed and unknown.
    """
    try:
        timetable = pruning.schedule.to_timetable(run)
    except ValueError:
        return None
    due = timetable.last_due(step)
    return None if due is None else timetable.sparsity_at(due, pruning.share_of(tensor.name))
