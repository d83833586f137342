"""What is said where a file's weights are not those that its config asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphprune.archive import Archive, StoredTensor
from graphprune.errors import ArchiveError
from graphprune.graph.layers import Layer

Named = Mapping[str, StoredTensor]
"""Tensors by bare name."""


def misfit(
    archive: Archive, layer: Layer, names: Iterable[str], count: int, missing: Sequence[str] = ()
) -> ArchiveError:
    """Return the error for a layer of which the file holds `count` tensors where `names` should be;
    `missing` are those that are known not to be there.
    """
    wanted = ", ".join(names) or "no weights"
    holds = f"should hold {wanted}, the file holds {count} tensor{'' if count == 1 else 's'} there"
    fault = holds
    if missing:
        fault += f", {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    return ArchiveError(
        f"{archive.path}: layer {layer.address!r} ({layer.type})"
        f" {_find_extra(layer) or f'{fault}; save the model again'}"
    )


def names_in_wrapper(layer: Layer) -> list[str]:
    """Return the names of a custom layer's weights where its wrapper tells them, in the order of
    the layer; `.keras` files number them.
    """
    names = layer.wrap.entry["config"].get("weight_names") if layer.wrap is not None else None
    return (
        names
        if isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
        else []
    )


def rename_by_wrapper(layer: Layer, kind: str, found: Named) -> Named:
    """Return the tensors of a custom layer, named by their places in this format, under the names
    that its wrapper tells.
    """
    names, places = (
        names_in_wrapper(layer),
        layer.wrap.entry["config"].get("weight_places") if layer.wrap is not None else None,
    )
    listed = places.get(kind) if isinstance(places, Mapping) else None
    if not isinstance(listed, list) or len(listed) != len(names) or set(listed) != found.keys():
        return found
    return {name: found[place] for name, place in zip(names, listed, strict=True)}


def _find_extra(layer: Layer) -> str | None:
    """Return what Keras 3 keeps beside or instead of a layer's own weights, with a way out; None
    for an ordinary layer.

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
