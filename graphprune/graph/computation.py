"""What a model computes, step by step, without the layers that only move or rename values.

Steps are those of the layers' classes (`graphprune.graph.classes.steps`), so that files of other
formats, which have operators and no layers, can be compared with a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from graphprune.archive.entries import Entry
from graphprune.archive.op_layers import find_operation
from graphprune.archive.operations import Operation
from graphprune.graph.classes.builtin_layers import DAMAGED, known_class
from graphprune.graph.classes.channels import Weights
from graphprune.graph.classes.operation_steps import operation_steps
from graphprune.graph.classes.steps import MASK, Branch, Results, StepCall, Steps, with_padding
from graphprune.graph.flow import MAX_CALLS
from graphprune.graph.frames import Frame, Member
from graphprune.graph.held_tensors import held_with_tensors
from graphprune.graph.layer_arguments import name_argument, named_arguments
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.tensor_shapes import (
    TensorUse,
    calls_in_order,
    find_tensor_shapes,
    operation_call,
)

INPUT = "input"
UNKNOWN = "unknown"
"""The steps of a layer that no rule describes, with the name of its class."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a model computes.

    Attributes:
        layer: The address of the layer that it belongs to.
        computes: What it is, in words; see `graphprune.graph.classes.steps`.
        inputs: The steps that it takes the results of, by their positions.
    """

    layer: str
    computes: str
    inputs: tuple[int, ...] = ()

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known of what the layer computes."""
        return self.computes.startswith(UNKNOWN)


@dataclass(frozen=True, slots=True)
class Computation:
    """The steps of a model, each after those that it takes the results of.

    Attributes:
        steps: The steps.
        outputs: Those whose results leave the model.
    """

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]


def describe_computation(
    graph: LayerGraph, shapes: Mapping[TensorUse, Shape]
) -> Computation | None:
    """Return what a model computes; None where its config does not have the connections.

    Args:
        graph: The model; how its layers are pruned does not count.
        shapes: The shapes of its tensors.
    """
    if not graph.is_connected:
        return None
    walk = _Walk(graph, shapes)
    outputs = walk.model(graph.frames[""], None)
    if outputs is None or None in outputs:
        return None
    return Computation(tuple(walk.steps), tuple(each for each in outputs if each is not None))


@dataclass(frozen=True, slots=True)
class _Mask:
    """How a layer makes a mask of what it takes.

    Attributes:
        layer: The address of the layer.
        steps: The steps, each of which takes the one before.
        source: What the first one takes.
    """

    layer: str
    steps: tuple[str, ...]
    source: int


@dataclass
class _Walk:
    graph: LayerGraph
    shapes: Mapping[TensorUse, Shape]
    steps: list[Step] = field(default_factory=list)
    calls: int = 0
    padded: dict[int, Shape] = field(default_factory=dict)
    masks: dict[int, _Mask | None] = field(default_factory=dict)
    kept: dict[int, _Mask | None] = field(default_factory=dict)

    def model(self, frame: Frame, given: Sequence[int] | None) -> list[int | None] | None:
        """Return the steps of a model's outputs, given those of the tensors that it takes.

        None for models that call others too often.
        """
        found: dict[TensorUse, int] = {}
        bound = dict(zip((use.source for use in frame.inputs), given or (), strict=False))
        for member, call in calls_in_order(frame):
            self.calls += 1
            if self.calls > MAX_CALLS:
                return None
            address = frame.address_of(member.name)
            if member.name in bound:
                made: Sequence[int | None] = [bound[member.name]]
            elif address in self.graph.frames:
                taken = self._taken(frame, member, call, given, found)
                inner = self.model(self.graph.frames[address], taken)
                if inner is None:
                    return None
                made = inner
                if self.graph.keras == 3:
                    self._forget_masks(taken, made)
            else:
                made = self._layer(frame, member, call, given, found)
            for index, step in enumerate(made):
                if step is not None:
                    found[member.name, call, index] = step
        return [
            _step_of(found, use.source, use.source_call, use.source_tensor) for use in frame.outputs
        ]

    def _forget_masks(self, taken: Sequence[int], made: Sequence[int | None]) -> None:
        """Keep that nothing is known of masks around a call of a model.

        Keras 3 gives its results none where it builds the model around it, and its layers do when
        it runs; the mask that the call is given is put on the tensor that it takes.
        """
        if any(step in self.masks or step in self.kept for step in taken):
            results = [step for step in made if step is not None and step not in taken]
            self.masks |= dict.fromkeys(results)
            self.kept |= dict.fromkeys([*results, *taken])

    def _taken(
        self,
        frame: Frame,
        member: Member,
        call: int,
        given: Sequence[int] | None,
        found: Mapping[TensorUse, int],
    ) -> list[int]:
        uses = member.calls[call]
        if not uses and not frame.inputs and frame.members[0] is member:
            return list(given) if given is not None else [self._add(Step(member.name, INPUT))]
        steps = (_step_of(found, use.source, use.source_call, use.source_tensor) for use in uses)
        return [step for step in steps if step is not None]

    def _layer(
        self,
        frame: Frame,
        member: Member,
        call: int,
        given: Sequence[int] | None,
        found: Mapping[TensorUse, int],
    ) -> list[int]:
        """Return the steps of what a call of a layer gives, mostly one."""
        address = frame.address_of(member.name)
        layer = self.graph.layers[address]
        if layer.kind == "input":
            return [self._add(Step(address, INPUT))]
        taken = self._taken(frame, member, call, given, found)
        uses = member.calls[call]
        shapes: list[Shape | None] = [
            self.shapes.get((frame.address_of(use.source), use.source_call, use.source_tensor))
            for use in uses
        ]
        steps = self._steps_of(layer, member, call, shapes or [None] * len(taken), taken)
        if steps is None or not taken:
            steps = (f"{UNKNOWN} {layer.type}",)
        made: list[int] = []
        results: list[int] = []
        for step in steps:
            if isinstance(step, Results):
                results = [made[place] for place in step.places]
                continue
            if isinstance(step, Branch):
                inputs = tuple(self._place(place, taken, made) for place in step.inputs)
                made.append(self._add(Step(address, step.computes, inputs)))
                continue
            made.append(self._add_behind(address, step, made[-1:] or taken))
            if step.startswith("pad") and shapes[0] is not None and len(shapes[0]) == 4:
                self.padded[made[-1]] = shapes[0]
        if not made and not taken:
            made = [self._add(Step(address, INPUT))]
        results = results or (made or taken)[-1:]
        result = results[0]
        if result not in taken:
            self._note_masks(layer, taken, shapes[0] if shapes else None, result)
        known = known_class(layer.entry)
        if known is not None and known.deletes_masks and self.graph.keras == 3:
            for place in taken:
                self.kept.pop(place, None)
        return results

    def _note_masks(
        self, layer: Layer, taken: Sequence[int], shape: Shape | None, result: int
    ) -> None:
        """Keep the mask of a result: that of the model, and that which is left when it runs.

        A multi-head attention of Keras 3 deletes the masks of what it takes (`call`,
        keras/src/layers/attention/multi_head_attention.py). Layers that take one tensor do not
        miss them: the model has their masks as arguments.
        """
        known = known_class(layer.entry)
        is_argument = known is not None and known.takes_mask and len(taken) == 1
        for mask in self._masks_of(layer, taken, shape, self.masks):
            self.masks[result] = mask
        for mask in self._masks_of(layer, taken, shape, self.masks if is_argument else self.kept):
            self.kept[result] = mask

    def _place(self, place: int, taken: Sequence[int], made: Sequence[int]) -> int:
        """Return the step that a branch takes."""
        if place <= MASK:
            mask = self.masks[taken[MASK - place]]
            assert mask is not None, "the rule was told that the mask is known"
            return self._add_mask(mask)
        return taken[-1 - place] if place < 0 else made[place]

    def _add_mask(self, mask: _Mask) -> int:
        last = mask.source
        for step in mask.steps:
            last = self._add(Step(mask.layer, step, (last,)))
        return last

    def _masks_of(
        self,
        layer: Layer,
        taken: Sequence[int],
        shape: Shape | None,
        of: Mapping[int, _Mask | None],
    ) -> Sequence[_Mask | None]:
        """Return the mask of a layer's result: nothing without one, None for one not known."""
        known = known_class(layer.entry)
        try:
            if known is not None and known.mask is not None:
                steps = known.mask(layer.config, shape)
                if steps is None or len(taken) != 1:
                    return [None]
                return [_Mask(layer.address, steps, taken[0])] if steps else []
            masks = {step: of[step] for step in taken if step in of}
            is_operation = find_operation(layer.entry) is not None
            if not masks or (is_operation and self.graph.keras == 3):
                return []
            config = layer.config
            if known is not None and known.outer_axes:
                inner = config["layer"]
                known, config = known_class(inner), inner["config"]
            if known is None or known.keeps_mask is None:
                return [None]
            if known.joins_masks:
                return self._joined(list(masks.values()), is_each=set(taken) == set(masks))
            is_kept = known.keeps_mask(config) and taken[0] in masks
            return [masks[taken[0]]] if is_kept else []
        except DAMAGED:
            return [None]

    def _joined(self, masks: Sequence[_Mask | None], *, is_each: bool) -> Sequence[_Mask | None]:
        """Return the mask of a sum or the like; Keras 3 has none where a tensor has none."""
        if self.graph.keras == 3 and not is_each:
            return []
        return [masks[0] if all(mask == masks[0] for mask in masks) else None]

    def _masks_seen(self, taken: Sequence[int]) -> dict[int, _Mask | None]:
        """Return the masks of what a call takes; None for one that is not known."""
        seen = {step: self.masks[step] for step in taken if step in self.masks}
        if self.graph.keras == 3 and len(taken) > 1:
            lost = (step for step in taken if self.kept.get(step, seen) is None)
            seen |= dict.fromkeys(lost)
        return seen

    def _steps_of(
        self,
        layer: Layer,
        member: Member,
        call: int,
        shapes: Sequence[Shape | None],
        taken: Sequence[int],
    ) -> Steps | None:
        """Return the steps of one call of a layer; None for a layer of which nothing is known."""
        uses, operation = member.calls[call], find_operation(layer.entry)
        seen = self._masks_seen(taken)
        masks = [seen[step] for step in taken if step in seen]
        held = [seen.get(step) for step in taken]
        known = known_class(layer.entry)
        is_operation = isinstance(operation, Operation)
        arguments = [use.argument if is_operation else name_argument(layer, use) for use in uses]
        settings = operation_call(member, call, shapes)
        given = StepCall(
            layer.config,
            {tensor.name: tensor.shape for tensor in layer.tensors},
            shapes,
            arguments if is_operation else named_arguments(layer, arguments),
            {} if settings is None else settings.settings,
            masks=[None if mask is None else held.index(mask) for mask in held],
            kept=[len(taken) == 1 or step in self.kept for step in taken],
            is_masked=bool(masks),
            is_mask_known=None not in masks,
            keras=self.graph.keras,
            inside=partial(self._steps_inside, is_masked=bool(masks)),
            held=partial(_steps_held, self.graph, layer),
        )
        try:
            if isinstance(operation, Operation):
                return operation_steps(operation.name, given)
            return None if known is None or known.steps is None else known.steps(given)
        except DAMAGED:
            return None

    def _steps_inside(
        self, entry: Entry, weights: Weights, taken: Sequence[Shape | None], *, is_masked: bool
    ) -> Steps | None:
        """Return the steps of a layer inside another; None for one of which nothing is known."""
        known = known_class(entry)
        if known is None or known.steps is None:
            return None
        config, keras = entry["config"], self.graph.keras
        return known.steps(StepCall(config, weights, taken, is_masked=is_masked, keras=keras))

    def _add_behind(self, address: str, computes: str, taken: Sequence[int]) -> int:
        """Add a step; a convolution takes in the padding before it where that is its own kind."""
        shape = self.padded.get(taken[0]) if len(taken) == 1 else None
        if shape is not None:
            pad = self.steps[taken[0]]
            whole = with_padding(computes, pad.computes, shape[1:3])
            if whole is not None:
                return self._add(Step(address, whole, pad.inputs))
        return self._add(Step(address, computes, tuple(taken)))

    def _add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1


def _steps_held(graph: LayerGraph, layer: Layer) -> Steps | None:
    """Return the steps of the model inside a layer; None where they are not known.

    It takes one tensor, and gives one.
    """
    held = held_with_tensors(graph, layer)
    found = None if held is None else describe_computation(held, find_tensor_shapes(held))
    if found is None or len(found.outputs) != 1 or any(step.is_unknown for step in found.steps):
        return None
    places: list[int] = []
    steps: list[Branch] = []
    for step in found.steps:
        if step.computes == INPUT:
            places.append(-1)
            continue
        steps.append(Branch(step.computes, tuple(places[taken] for taken in step.inputs)))
        places.append(len(steps) - 1)
    if places.count(-1) != 1 or places[found.outputs[0]] < 0:
        return None
    return (*steps, Results((places[found.outputs[0]],)))


def _step_of(found: Mapping[TensorUse, int], source: str, call: int, tensor: int) -> int | None:
    """Return the step that makes a tensor; only models keep their tensors apart."""
    return found.get((source, call, tensor), found.get((source, call, 0)))
