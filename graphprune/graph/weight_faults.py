"""Whether the weights in a file are those that its config asks for: number, names and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from graphprune.archive import Archive, StoredTensor
from graphprune.archive.pruning_state import is_packed
from graphprune.errors import ArchiveError
from graphprune.graph.classes.builtin_layers import find_expected_shapes, weights_of
from graphprune.graph.classes.layer_class import Expected
from graphprune.graph.classes.lengths import Length, Lengths, Open, SettingError
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.wrapper_names import COUNTERS, mask_name, threshold_name

DAMAGED = "the file is damaged, save the model again"


def find_shape_fault(graph: LayerGraph) -> str | None:
    """Return the first layer whose weights contradict its config, or whose settings are impossible.

    None where all fit.
    """
    return next(
        (
            fault
            for layer in graph.layers.values()
            if layer.kind != "model" and (fault := _layer_fault(layer)) is not None
        ),
        None,
    )


def find_missing_fault(graph: LayerGraph) -> str | None:
    """Return which layer of a built model lacks all weights that its class makes; None if none.

    A Functional model was built when it was made, a Sequential one if it knows its input. Judged
    are layers of the model itself, with weights of their own.
    """
    frame = graph.frames[""]
    if "input_layers" not in frame.entry["config"] and not frame.inputs:
        return None
    for member in frame.members:
        layer = graph.layers[frame.address_of(member.name)]
        awaited = () if layer.tensors or layer.kind != "layer" else weights_of(layer.entry) or ()
        if any(weight.prunable for weight in awaited) and not any(
            "." in weight.name for weight in awaited
        ):
            names = ", ".join(weight.name for weight in awaited if not weight.is_copy)
            return (
                f"layer {layer.address!r} ({layer.type}) should hold {names}, the file holds none"
                f" of them; {DAMAGED}"
            )
    return None


def masks_in(
    graph: LayerGraph, located: Mapping[str, Mapping[str, StoredTensor]]
) -> Iterator[tuple[str, str, StoredTensor, StoredTensor]]:
    """Yield address, name, weight and mask of each pruned weight that has both in the file."""
    for address, layer in graph.layers.items():
        stored = located.get(address, {})
        for name in _pruned(layer):
            weight, mask = stored.get(name), stored.get(mask_name(name))
            if weight is not None and mask is not None:
                yield address, name, weight, mask


def _pruned(layer: Layer) -> tuple[str, ...]:
    is_pruned = layer.wrap is not None and layer.wrap.pruning is not None
    return layer.wrap.pruning.weights if is_pruned else ()  # type: ignore[union-attr]


def find_state_fault(
    graph: LayerGraph, located: Mapping[str, Mapping[str, StoredTensor]]
) -> str | None:
    """Return what is wrong with the first tensor of a pruning wrapper: None where all fit.

    Masks are shaped like their weights, thresholds are one number, and counters one whole number.
    """
    for address, name, weight, mask in masks_in(graph, located):
        is_bits = is_packed(mask.dtype, mask.shape, weight.shape)
        if mask.shape != weight.shape and not is_bits:
            shapes = f"shape {list(mask.shape)}, the weight {list(weight.shape)}"
            return f"the mask of {name!r} in layer {address!r} has {shapes}; save the model again"
    for address, layer in graph.layers.items():
        pruned, stored = _pruned(layer), located.get(address, {})
        numbers = (*map(threshold_name, pruned), *COUNTERS) if pruned else ()
        odd = next(
            (
                stored[name]
                for name in numbers
                if name in stored and not _is_number(stored[name], whole=name in COUNTERS)
            ),
            None,
        )
        if odd is not None:
            got = f"got the shape {list(odd.shape)} of {odd.dtype}"
            return (
                f"the wrapper of layer {address!r} should hold one number as {odd.name!r}, {got};"
                " save the model again"
            )
    return None


def _is_number(tensor: StoredTensor, *, whole: bool) -> bool:
    return not tensor.shape and (not whole or tensor.dtype.startswith(("int", "uint")))


def _comparable_shapes(layer: Layer) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the shapes of weights by name, without those of quantized weights.

    Quantized shapes differ: int4 has two weights in a byte, and float8 makes a matrix of the kernel
    of an EinsumDense.
    """
    names = {tensor.name for tensor in layer.tensors}
    for tensor in layer.tensors:
        if f"{tensor.name}_scale" not in names:
            yield tensor.name, tensor.shape


def _layer_fault(layer: Layer) -> str | None:
    try:
        expected = find_expected_shapes(layer.entry)
    except SettingError as err:
        return (
            f"layer {layer.address!r} ({layer.type}): {err}; no such layer can be built, save the"
            " model again"
        )
    misfit = find_misfit(expected, dict(_comparable_shapes(layer)))
    if misfit is not None:
        name, wanted, got = misfit
        return (
            f"layer {layer.address!r} ({layer.type}): its config asks for a {name} of shape"
            f" {wanted}, got {got}; {DAMAGED}"
        )
    dtype = str(layer.config.get("dtype", "float32"))
    odd = next(
        (
            tensor
            for tensor in layer.tensors
            if tensor.dtype.startswith("complex")
            and tensor.name in expected
            and "complex" not in dtype
        ),
        None,
    )
    return (
        None
        if odd is None
        else (
            f"layer {layer.address!r} ({layer.type}): its config asks for a {odd.name} of"
            f" {dtype[:40]}, got {odd.dtype}; {DAMAGED}"
        )
    )


def find_misfit(
    expected: Expected, shapes: Mapping[str, Sequence[int]]
) -> tuple[str, str, str] | None:
    """Return name, expected and actual shape of the first weight that does not fit; None if all do.

    Example:
        >>> find_misfit(
        ...     {"gamma": (Open("axis"),), "beta": (Open("axis"),)}, {"gamma": (3,), "beta": (4,)}
        ... )
        ('beta', '[3]', '[4]')
        >>> find_misfit({"kernel": (3, Open("in"), None)}, {"kernel": (3, 1, 1)})
    """
    bound: dict[str, int] = {}
    for name, shape in shapes.items():
        lengths = expected.get(name)
        if lengths is None:
            continue
        before = dict(bound)
        if len(lengths) != len(shape) or not all(
            _fits(length, got, bound) for length, got in zip(lengths, shape, strict=True)
        ):
            return name, _shown(lengths, before), f"[{', '.join(map(str, shape))}]"
    return None


def _fits(length: Length, got: int, bound: dict[str, int]) -> bool:
    """Return whether a length is what it should be; one that was open is bound by it."""
    if isinstance(length, Open):
        return (
            got % length.times == 0
            and bound.setdefault(length.name, got // length.times) * length.times == got
        )
    return length is None or length == got


def _shown(lengths: Lengths, bound: Mapping[str, int]) -> str:
    return f"[{', '.join(_shown_one(length, bound) for length in lengths)}]"


def _shown_one(length: Length, bound: Mapping[str, int]) -> str:
    if isinstance(length, Open) and length.name in bound:
        return str(bound[length.name] * length.times)
    return "?" if length is None else str(length)


Named = Mapping[str, StoredTensor]
"""Tensors by bare name."""


def misfit(
    archive: Archive, layer: Layer, names: Iterable[str], count: int, missing: Sequence[str] = ()
) -> ArchiveError:
    """Return the error for a layer with `count` tensors in the file where `names` should be.

    `missing` are those known to be missing.
    """
    wanted = ", ".join(names) or "no weights"
    holds = f"should hold {wanted}, the file holds {count} tensor{'' if count == 1 else 's'} there"
    fault = holds
    if missing:
        fault += f", {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    return ArchiveError(
        f"layer {layer.address!r} ({layer.type})"
        f" {_find_extra(layer) or f'{fault}; save the model again'}",
        place=archive.path,
    )


def _find_extra(layer: Layer) -> str | None:
    """Return what Keras 3 keeps beside or in place of a layer's weights, and what to do.

    None for an ordinary layer.

    A quantized layer names its mode in its dtype policy (keras/src/dtype_policies/dtype_policy.py
    of Keras 3), one with LoRA its rank (`enable_lora`).
    """
    policy = layer.config.get("dtype")
    inside = policy.get("config") if isinstance(policy, Mapping) else None
    mode = inside.get("mode") if isinstance(inside, Mapping) else None
    if mode is not None:
        return (
            f"is quantized to {str(mode)[:40]}, with integers or scales for weights; prune a model"
            " before it is quantized, and give the one that was not"
        )
    rank = layer.config.get("lora_rank")
    return (
        rank
        and f"has LoRA weights of rank {str(rank)[:40]} beside its own; load and save the model"
        " with Keras 3.15, which merges them into the kernel"
    )
