"""The JSON document of a verification, key by key, and the function that writes it."""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired

from typing_extensions import TypedDict

from graphprune.documents import Count, Flag, Text
from graphprune.plan.verify import ArchitectureCheck, Difference, Fault, TensorCheck, Verification
from graphprune.sparsity.pattern_checks import UnitCount

FORMAT_VERSION = "1.1"
KIND: Final = "graphprune.verification"


class UnitsJson(TypedDict):
    """The groups, blocks or channels of a tensor."""

    unit: Text
    """What they are: `groups of 4`, `blocks`, `channels`."""
    wanted: Count
    """How many must have the zeros of the pattern."""
    found: Count
    """How many have them."""
    total: Count
    """How many there are."""


class TensorCheckJson(TypedDict):
    """One tensor that the plan prunes."""

    address: Text
    """The layer."""
    tensor: Text
    """The weight tensor."""
    rule: Text
    """The id of the rule that the plan prunes it by."""
    size: Count
    """The number of weights."""
    zeros_planned: Count
    """Zeros when the plan is finished."""
    zeros_measured: Count | None
    """Zeros in the model; null if it was not checked."""
    under_mask: Count
    """Non-zero weights where the mask says zero."""
    non_finite: Count
    """Weights that are NaN or infinite."""
    units: UnitsJson | None
    """What the pattern zeroes as a whole; null where every weight is by itself."""
    faults: list[Fault]
    """What is not as planned."""
    unchecked: NotRequired[Text]
    """Why it could not be checked; absent if it was."""
    as_planned: Flag
    """Whether it was checked and has no faults."""


class LayerDifferenceJson(TypedDict):
    """A layer that differs from the plan's original model."""

    address: Text
    """The layer; empty for the model itself."""
    what: Difference
    """How it differs; `inputs` are the tensors that it takes."""


class ArchitectureCheckJson(TypedDict):
    """Layers and connections against the plan's original model."""

    status: Literal["same", "differs", "unchecked"]
    """The outcome."""
    differences: list[LayerDifferenceJson]
    """The layers that differ."""
    unchecked: NotRequired[Text]
    """Why they could not be compared; absent if they were."""


class NotFiniteJson(TypedDict):
    """A tensor that the plan does not prune, with weights that are NaN or infinite."""

    address: Text
    """The layer."""
    tensor: Text
    """The weight tensor."""
    non_finite: Count
    """How many."""


class VerificationSummaryJson(TypedDict):
    """How many tensors are as planned."""

    tensors: Count
    """Tensors that the plan prunes."""
    drift: Count
    """Those that are not as planned."""
    unchecked: Count
    """Those that could not be checked."""
    zeros_planned: Count
    """Zeros when the plan is finished."""
    zeros_measured: Count
    """Zeros in the model."""


class VerificationJson(TypedDict):
    """A model against a plan."""

    format_version: Text
    """Readers refuse another major version."""
    kind: Literal["graphprune.verification"]
    """What this document is."""
    model: Text
    """The model, as the command named it."""
    plan: Text
    """The plan's file."""
    as_planned: Flag | None
    """Whether all is as planned; null if nothing differs, but not all could be checked."""
    tensors: list[TensorCheckJson]
    """Every tensor that the plan prunes, in its order."""
    architecture: ArchitectureCheckJson
    """Whether the model is the plan's original one, apart from how it is pruned."""
    not_finite: list[NotFiniteJson]
    """Other tensors with weights that are NaN or infinite."""
    summary: VerificationSummaryJson
    """The figures over all tensors."""


def verification_to_config(found: Verification) -> dict[str, Any]:
    """Return the verification as JSON data, keys and tensors in fixed order."""
    document: VerificationJson = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "model": found.model,
        "plan": found.plan,
        "as_planned": found.is_as_planned,
        "tensors": [_tensor(check) for check in found.checks],
        "architecture": _architecture(found.architecture),
        "not_finite": [
            {"address": one.address, "tensor": one.tensor, "non_finite": one.non_finite}
            for one in found.not_finite
        ],
        "summary": {
            "tensors": len(found.checks),
            "drift": len(found.drift),
            "unchecked": len(found.unchecked),
            "zeros_planned": sum(check.planned for check in found.checks),
            "zeros_measured": sum(check.measured for check in found.checks),
        },
    }
    return dict(document)


def _tensor(check: TensorCheck) -> TensorCheckJson:
    document: TensorCheckJson = {
        "address": check.address,
        "tensor": check.tensor,
        "rule": check.rule,
        "size": check.size,
        "zeros_planned": check.planned,
        "zeros_measured": None if check.unchecked else check.measured,
        "under_mask": check.under_mask,
        "non_finite": check.non_finite,
        "units": None if check.units is None else _units(check.units),
        "faults": list(check.faults),
        "as_planned": check.is_as_planned,
    }
    if check.unchecked:
        document["unchecked"] = check.unchecked
    return document


def _units(units: UnitCount) -> UnitsJson:
    return {"unit": units.unit, "wanted": units.wanted, "found": units.found, "total": units.total}


def _architecture(check: ArchitectureCheck) -> ArchitectureCheckJson:
    document: ArchitectureCheckJson = {
        "status": check.status,
        "differences": [
            {"address": difference.address, "what": difference.what}
            for difference in check.differences
        ],
    }
    if check.unchecked:
        document["unchecked"] = check.unchecked
    return document
