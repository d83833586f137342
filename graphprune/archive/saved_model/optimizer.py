"""The optimizer in a SavedModel's checkpoint: its variables, and the weight that each slot is for.

Optimizers since TensorFlow 2.11 have all variables in the list `_variables`
(tf_keras/src/optimizers/optimizer.py), in the order in which they were built. The name of a slot
ends in that of its weight. Legacy optimizers link slots to weights
(`SlotVariableReference` in tensorflow/core/protobuf/trackable_object_graph.proto).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from graphprune.archive.saved_model.folder import children_of
from graphprune.archive.saved_model.tensor_bundle import Checkpoint, TrackedObject, read_checkpoint

OPTIMIZER = "optimizer"
_VARIABLES = "_variables"
_LOSS_SCALE = "loss_scale"


@dataclass(frozen=True)
class SavedOptimizer:
    """The state of an optimizer; its tensors go by their keys in the checkpoint.

    Attributes:
        checkpoint: Where the values are.
        attributes: Variables that the optimizer has as attributes, such as `_iterations` and
            `_u_product`, legacy `iter`.
        loss_scale: The variables of an optimizer that scales the loss, by name.
        variables: All variables in their order, without those of legacy optimizers.
        slots: Of legacy optimizers: weight, name of the slot, slot.
        weights: The weights that have slots, in the order of the slots; empty if the names of the
            slots do not identify them.
    """

    checkpoint: Checkpoint
    attributes: Mapping[str, str]
    loss_scale: Mapping[str, str]
    variables: tuple[str, ...]
    slots: tuple[tuple[str, str, str], ...]
    weights: tuple[str, ...]

    def shape(self, key: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor, None if the checkpoint has no such tensor."""
        entry = self.checkpoint.entries.get(key)
        return None if entry is None else entry.shape

    def read(self, key: str) -> NDArray[Any]:
        """Return the values of a tensor.

        Raises:
            ArchiveError: they are missing or damaged.
        """
        return self.checkpoint.read(key)


def read_optimizer(folder: str) -> SavedOptimizer | None:
    """Return the optimizer of the SavedModel in `folder`; None if it was saved without one.

    Raises:
        ArchiveError: the checkpoint is missing or damaged.
    """
    checkpoint = read_checkpoint(f"{folder}/variables/variables")
    place = f"{checkpoint.prefix}.index"
    objects = checkpoint.read_objects()
    root = dict(children_of(objects, 0, place)) if objects else {}
    if OPTIMIZER not in root:
        return None
    own = dict(children_of(objects, root[OPTIMIZER], place))
    listed = children_of(objects, own[_VARIABLES], place) if _VARIABLES in own else ()
    numbers = [number for _, number in sorted(listed, key=lambda item: _position(item[0]))]
    scale = children_of(objects, own[_LOSS_SCALE], place) if _LOSS_SCALE in own else ()
    slots = _slots(objects, root[OPTIMIZER])
    return SavedOptimizer(
        checkpoint,
        _keys(objects, own.items()),
        _keys(objects, scale),
        tuple(objects[number].variable or "" for number in numbers),
        slots,
        tuple(dict.fromkeys(weight for weight, _, _ in slots)) or _weights(objects, numbers),
    )


def _position(name: str) -> int:
    return int(name) if name.isdecimal() and len(name) < 10 else -1


def _keys(objects: Sequence[TrackedObject], children: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Return the keys of those children that are variables."""
    found = ((name, objects[number].variable) for name, number in children)
    return {name: key for name, key in found if key is not None}


def _slots(objects: Sequence[TrackedObject], optimizer: int) -> tuple[tuple[str, str, str], ...]:
    count = len(objects)
    linked = [
        (objects[weight].variable, name, objects[slot].variable)
        for weight, name, slot in objects[optimizer].slots
        if weight < count and slot < count
    ]
    return tuple((weight, name, slot) for weight, name, slot in linked if weight and slot)


def _weights(objects: Sequence[TrackedObject], listed: Sequence[int]) -> tuple[str, ...]:
    """Return the weights that the names of the slots end in: `Adam/m/fc/kernel`.

    Empty if a name does not end in that of a weight, or two weights have that name.
    """
    own = {objects[number].variable for number in listed}
    keys: dict[str, set[str]] = {}
    for tracked in objects:
        if tracked.variable is not None and tracked.variable not in own:
            keys.setdefault(tracked.full_name, set()).add(tracked.variable)
    found: dict[str, None] = {}
    for number in listed[1:]:  # the first is the number of steps
        parts = objects[number].full_name.split("/")
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        weight = next((keys[end] for end in ends if end in keys), set[str]())
        if len(weight) != 1:
            return ()
        found |= dict.fromkeys(weight)
    return tuple(found)
