"""Mixed precision of a run: the dtype policies of layers in configs, set and taken back.

A layer with a mixed policy computes in 16 bits and keeps its variables in float32. A run sets the
policy on a clone of a float32 model and records it in the provenance of the pruned layers, so that
stripping can take it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

from graphprune.archive.entries import Entry, is_builtin, is_entry, is_input, type_of
from graphprune.errors import GraphpruneError, OutputError, TrainingError
from graphprune.graph.classes import preprocessing
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.nested import mappings_in, rebuild
from graphprune.sparsity.pruning import Provenance

POLICIES = ("mixed_float16", "mixed_bfloat16")
SCALED = "mixed_float16"
"""The policy whose gradients may underflow, so that the loss is scaled, as Keras does."""
FLOAT32 = "float32"
_Model = TypeVar("_Model")
_OWN = "own"
"""Says in a provenance that the loss was scaled before a run set a policy."""
_WITHOUT_POLICY = ("losses", "metrics")
"""Modules of objects whose `dtype` is not a policy of layers."""
_OTHERS = ("float16", "bfloat16", "float64")
"""What layers compute in that TensorFlow Lite has no Dense layers and convolutions for."""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A dtype policy that takes the place of others.

    Attributes:
        old: The names of those that change.
        new: That of the other one.
        is_everywhere: Whether preprocessing layers change too.
    """

    old: tuple[str, ...]
    new: str
    is_everywhere: bool = False

    def config_of(self, entry: Entry) -> dict[str, Any]:
        """Return the config of a layer with the new policy, layers in it included.

        Input and preprocessing layers are left as they are, unless `is_everywhere` includes the
        latter: what a model is given may be larger than float16 holds.

        Example:
            >>> dense = {"class_name": "Dense", "config": {"units": 3, "dtype": "float32"}}
            >>> PolicyChange(("float32",), "mixed_float16").config_of(dense)
            {'units': 3, 'dtype': 'mixed_float16'}
        """
        changed: dict[str, Any] = rebuild(entry, self._changed)["config"]
        return changed

    def _changed(self, value: dict[str, Any]) -> dict[str, Any]:
        takes = _is_layer(value) if self.is_everywhere else has_policy(value)
        if not takes or policy_of(value) not in self.old:
            return value
        return {**value, "config": {**value["config"], "dtype": self.new}}


SERVED = PolicyChange((*POLICIES, *_OTHERS), FLOAT32, is_everywhere=True)
"""The change to what TensorFlow Lite computes in."""


def copy_in_float32(
    model: _Model,
    copy: Callable[[_Model], _Model],
    dtypes: Callable[[_Model], Mapping[str, str]],
    place: str,
) -> _Model:
    """Return a model that TensorFlow Lite can compute: itself, or its copy in float32.

    Args:
        model: The model.
        copy: Returns its copy with the change `SERVED`.
        dtypes: Returns what each layer of a model computes in, by name.
        place: The path of the file, for errors.

    Raises:
        OutputError: a layer cannot be copied in float32.
    """
    found = _find_other(dtypes(model))
    if found is None:
        return model
    name, dtype = found
    try:
        copied = copy(model)
        left = _find_other(dtypes(copied))
        reason = f"the copy of {left[0]!r} still computes in {left[1]}" if left else ""
    except (GraphpruneError, TypeError, ValueError) as fault:
        reason = str(fault).strip().partition("\n")[0]
    if not reason:
        return copied
    raise OutputError(
        f"cannot be written for TensorFlow Lite: layer {name!r} computes in {dtype}, and the model"
        f" cannot be copied in float32 ({reason}); build the model in float32, or save it as"
        " .keras",
        place=place,
    )


def _find_other(dtypes: Mapping[str, str]) -> tuple[str, str] | None:
    return next((each for each in dtypes.items() if each[1] in _OTHERS), None)


def has_policy(value: Mapping[str, Any]) -> bool:
    """Return whether this is the entry of a layer whose policy a run may set."""
    return _is_layer(value) and not (is_builtin(value) and type_of(value) in preprocessing.CLASSES)


def _is_layer(value: Mapping[str, Any]) -> bool:
    """Return whether this is the entry of a layer with a policy, no input."""
    if not is_entry(value) or "dtype" not in value["config"] or is_input(value):
        return False
    return str(value.get("module")).rpartition(".")[2] not in _WITHOUT_POLICY


def policy_of(entry: Entry) -> str:
    """Return the name of the dtype policy in a layer's config; empty if it has none.

    Example:
        >>> policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
        >>> policy_of({"class_name": "Dense", "config": {"dtype": policy}})
        'mixed_float16'
    """
    dtype = entry["config"].get("dtype")
    if isinstance(dtype, Mapping):
        config = dtype.get("config")
        named = config.get("name") if isinstance(config, Mapping) else None
        dtype = named or dtype.get("class_name")
    return dtype if isinstance(dtype, str) else ""


def policy_set_by_run(provenances: Iterable[Provenance]) -> str:
    """Return the policy that a run set on the layers of a model; empty if none did."""
    return next((one.precision for one in provenances if one.precision in POLICIES), "")


def in_policy(provenance: Provenance, policy: str, *, scales_loss: bool) -> Provenance:
    """Return the provenance of a layer on whose model a run sets a policy.

    Args:
        provenance: That of the layer before.
        policy: The policy.
        scales_loss: Whether the model's optimizer scales the loss already.
    """
    return replace(provenance, precision=policy, loss_scale=_OWN if scales_loss else "")


def scale_set_by_run(provenances: Iterable[Provenance]) -> bool:
    """Return whether a run made the optimizer of a model scale the loss.

    Example:
        >>> run = in_policy(Provenance("r"), SCALED, scales_loss=False)
        >>> user = in_policy(Provenance("r"), SCALED, scales_loss=True)
        >>> scale_set_by_run([run]), scale_set_by_run([user])
        (True, False)
    """
    return any(one.precision == SCALED and one.loss_scale != _OWN for one in provenances)


def precision_of(graph: LayerGraph) -> str:
    """Return the policy that a run set on the model's layers; empty if none did."""
    wraps = (layer.wrap for layer in graph.layers.values())
    return policy_set_by_run(wrap.provenance for wrap in wraps if wrap is not None)


def in_float32(graph: LayerGraph) -> LayerGraph:
    """Return the graph without the policy that a run set on its layers."""
    policy = precision_of(graph)
    if not policy:
        return graph
    change = PolicyChange((policy,), FLOAT32)

    def changed(layer: Layer) -> Layer:
        if layer.kind != "layer":
            return layer
        return replace(layer, entry={**layer.entry, "config": change.config_of(layer.entry)})

    layers = {address: changed(layer) for address, layer in graph.layers.items()}
    return replace(graph, layers=MappingProxyType(layers))


def check_takes_policy(graph: LayerGraph, policy: str, place: str) -> None:
    """Refuse a model whose layers have other policies than float32, unless a run set this one.

    Raises:
        TrainingError: a layer has another policy; the text begins with `place`.
    """
    before = precision_of(graph)
    if before == policy:
        return
    if before:
        raise TrainingError(
            f"mixed precision: the model was trained in {before}, got {policy}; strip it first"
            f" (graphprune strip), or go on with {before}",
            place=place,
        )
    for address, layer in graph.layers.items():
        for entry in mappings_in(layer.entry if layer.kind == "layer" else {}):
            found = policy_of(entry) if has_policy(entry) else ""
            if "float" in found and found != FLOAT32:
                raise TrainingError(
                    f"mixed precision: layer {address!r} has the dtype policy {found}, and only"
                    f" float32 models take {policy}; leave the setting out, and the model trains"
                    " with its own policies",
                    place=place,
                )
