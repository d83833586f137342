"""An exported SavedModel held against a plan: its weights, found by the names of its variables.

The folder has operations of TensorFlow instead of layers; they are compared with what the layers of
the plan's model compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from graphprune.archive.saved_model.exported import ExportedVariables
from graphprune.archive.saved_model.operation import Operations
from graphprune.archive.saved_model.operations import STABLE_HLO, read_operations
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.archive.saved_model.variable_names import named_by_use
from graphprune.graph.layers import SEPARATOR
from graphprune.graph.weights import TensorKey
from graphprune.plan.alike import pair_alike
from graphprune.plan.changes import Plan
from graphprune.plan.kept_figures import find_changed_figures
from graphprune.plan.measured import Measuring, planned_tensors
from graphprune.plan.operator_architecture import check_operator_architecture
from graphprune.plan.verify import (
    ArchitectureCheck,
    NotFinite,
    Verification,
    add_facts,
    list_checks,
)

_NO_SIGNATURE = "the folder has no signature that says what it computes"
_STABLE_HLO = (
    f"the folder has StableHLO ({STABLE_HLO}), which Keras 3 exports on JAX and PyTorch, instead of"
    " operations of TensorFlow"
)
_NONE = "no variable of the folder has the name of the layer and this shape"
_SHARED = "a variable of the folder fits it and another tensor"


def verify_exported(
    plan: Plan, exported: ExportedVariables, *, plan_path: str = ""
) -> Verification:
    """Return what the weights of an exported SavedModel have of what `plan` says.

    A tensor whose variable cannot be told from others is not checked, and its check says why.

    Raises:
        ArchiveError: the folder is damaged.
    """
    operations = read_operations(exported.path)
    if operations is not None:
        exported = named_by_use(exported, operations)
    found = _find_variables(plan, exported)
    measuring = Measuring(plan)
    for key, (stored, why) in found.items():
        if not why:
            measuring.add(key, exported.read(stored))
    facts = measuring.facts()
    checks = tuple(
        replace(check, unchecked=found[key][1]) if found[key][1] else add_facts(check, facts[key])
        for check in list_checks(plan)
        for key in [(check.address, check.tensor)]
    )
    return Verification(
        exported.path,
        plan_path,
        checks,
        _check_architecture(plan, exported, operations),
        tuple(_others(exported, {stored for stored, why in found.values() if not why})),
    )


def _check_architecture(
    plan: Plan, exported: ExportedVariables, operations: Operations | None
) -> ArchitectureCheck:
    """Return the layers that differ between an exported SavedModel and the plan's original model.

    Args:
        plan: The plan.
        exported: The variables of the folder, named after the layers that take them.
        operations: Those of its signature; None without one.
    """
    if operations is None:
        return ArchitectureCheck(unchecked=_NO_SIGNATURE)
    if operations.unread:
        return ArchitectureCheck(unchecked=f"{_STABLE_HLO}; {operations.unread}")
    file = ExportedFile(operations)
    found = check_operator_architecture(plan, file)
    if found.status == "differs" or plan.architecture is None:
        return found
    changed = tuple(find_changed_figures(plan.architecture, exported, file))
    return ArchitectureCheck(changed) if changed else found


def _others(exported: ExportedVariables, used: set[str]) -> Iterator[NotFinite]:
    """Yield the other variables with weights that are no numbers."""
    names = {key: name for name, key in exported.keys.items()}
    told = {exported.content(key) for key in {*names, *used}}
    copies = {key for key in exported.nameless if exported.content(key) in told}
    for key in [*names, *exported.nameless]:
        if key in used or key in copies:
            continue
        wrong = int(np.count_nonzero(~np.isfinite(exported.read(key))))
        if wrong:
            yield NotFinite(names.get(key, key), "values", wrong)


def _find_variables(plan: Plan, exported: ExportedVariables) -> Mapping[TensorKey, tuple[str, str]]:
    """Return the key of the variable of each tensor that the plan prunes, or why there is none."""
    found = {
        key: _choose(key, tensor.shape, exported)
        for key, (tensor, _) in planned_tensors(plan).items()
    }
    taken = Counter(name for name, why in found.values() if not why)
    told = {
        key: (exported.keys.get(name, ""), _SHARED if taken[name] > 1 else why)
        for key, (name, why) in found.items()
    }
    untold = {key for key, (_, why) in told.items() if why}
    find_open = partial(_find_open, exported, {key for key, why in told.values() if not why})
    return told | {key: (stored, "") for key, stored in pair_alike(plan, untold, find_open)}


def _find_open(
    exported: ExportedVariables, told: Collection[str], shape: tuple[int, ...]
) -> list[str]:
    """Return the variables of a shape that names do not tell, once each: Keras 3 stores two of it.

    Args:
        exported: The variables.
        told: The keys of those that names tell.
        shape: The shape.
    """
    every = [*exported.keys.values(), *exported.nameless]
    keys = [key for key in every if exported.shape(key) == shape]
    found = {exported.read(key).tobytes(): key for key in reversed(keys)}
    known = {exported.read(key).tobytes() for key in keys if key in told}
    return [key for content, key in found.items() if content not in known]


def _choose(key: TensorKey, shape: tuple[int, ...], exported: ExportedVariables) -> tuple[str, str]:
    """Return the one variable that fits a tensor, and an empty text, or else why there is none."""
    address, tensor = key
    fitting = _fitting(key, shape, exported)
    if not fitting:  # Keras 3 names the `depthwise_kernel` of a layer `kernel`
        *parts, last = tensor.split(".")
        short = ".".join((*parts, last.rpartition("_")[2]))
        fitting = _fitting((address, short), shape, exported)
    for parts in (tensor.split(".")[:-1], address.split(SEPARATOR)):
        if len(fitting) > 1:  # the parts of an attention layer, layers of two nested models
            fitting = [name for name in fitting if set(parts) <= set(name.split("/"))]
    if len(fitting) == 1:
        return fitting[0], ""
    several = f"{len(fitting)} variables fit, and their names do not tell which it is"
    return "", several if fitting else _NONE


def _fitting(key: TensorKey, shape: tuple[int, ...], exported: ExportedVariables) -> list[str]:
    """Return the variables that have the name and shape of a tensor."""
    return [
        name
        for name, stored in exported.keys.items()
        if exported.shape(stored) == tuple(shape) and _is_named(name, *key)
    ]


def _is_named(name: str, address: str, tensor: str) -> bool:
    """Return whether a variable may be a tensor of a layer, by its name.

    Keras 3 names the layers inside a Bidirectional after what they wrap, and leaves its own name
    out: `forward_layer.kernel` is `forward_lstm/lstm_cell/kernel`.

    Example:
        >>> _is_named("net/fc/kernel", "fc", "kernel"), _is_named("fc_1/kernel", "fc", "kernel")
        (True, False)
        >>> _is_named("forward_lstm/lstm_cell/kernel", "both", "forward_layer.kernel")
        True
    """
    *layers, weight = name.split("/")
    *parts, last = tensor.split(".")
    stems = [part.removesuffix("layer") for part in parts if part.endswith("_layer")]
    if stems:
        named = all(any(layer.startswith(stem) for layer in layers) for stem in stems)
    else:
        named = address.split(SEPARATOR)[-1] in layers
    return weight == last and named
