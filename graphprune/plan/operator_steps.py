"""What a TensorFlow Lite file computes, in the steps of layer classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.operators import FileOperator, FileTensor, OperatorFile
from graphprune.errors import ArchiveError
from graphprune.graph.classes.activation_steps import ABOVE, BELOW, SCALED_ELU
from graphprune.graph.classes.composite_steps import REPEAT, REVERSE
from graphprune.graph.classes.normalization_steps import DEVIATION, SQUARES, UNIT_LENGTH
from graphprune.graph.classes.steps import AFFINE, RECURRENT, with_padding
from graphprune.graph.computation import INPUT, Step
from graphprune.plan.operator_composites import find_whole
from graphprune.plan.operator_facts import FROM, Facts, Whole
from graphprune.plan.operator_formulas import FUSED
from graphprune.plan.operator_masked_scores import find_masked, find_same, join
from graphprune.plan.operator_masks import is_added
from graphprune.plan.operator_numbers import Number, read_number
from graphprune.plan.operator_readers import BINARY, PASSED_ON, THEN, describe, find_looked_up
from graphprune.plan.operator_recurrent import Recurrence, read_loop
from graphprune.plan.operator_sequences import find_each
from graphprune.plan.operator_unrolled import find_unrolled

JOINED = "operator L2_NORMALIZATION"
"""What the converter makes of the square, sum, root and product of operations of a model."""
_ONLY_PLANNED = (ABOVE, BELOW, DEVIATION, SCALED_ELU, SQUARES, UNIT_LENGTH)
"""Steps that models without such a layer may have as operations of their own."""
_WITH_NUMBER = frozenset({*BINARY, "GREATER", "SELECT", "SELECT_V2"})


@dataclass(frozen=True, slots=True)
class FoundStep:
    """A step of a file.

    Attributes:
        step: What it is; its layer is not known yet.
        names: The names in the file that tell it.
    """

    step: Step
    names: tuple[str, ...]


def _without_root(found: FoundStep) -> FoundStep:
    """Return a division by a deviation without the root that it takes beside what it divides."""
    step = found.step
    if not step.computes.startswith(DEVIATION):
        return found
    return replace(found, step=replace(step, inputs=step.inputs[:1]))


@dataclass
class OperatorSteps:
    """The steps of the main subgraph of a file, each after those that it takes the results of.

    Attributes:
        file: The file.
        planned: What the steps of the plan compute; None where all layers are looked for.
        steps: The steps.
    """

    file: OperatorFile
    planned: frozenset[str] | None = None
    steps: list[FoundStep] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read the operators.

        Raises:
            ArchiveError: the file is damaged.
        """
        self._made: dict[int, int] = {}
        self.facts = Facts([])
        self._unrolled = find_unrolled(self.file)
        self._results: dict[int, int] = {}
        inputs, _ = self.file.ends
        try:
            for index in inputs:
                self._made[index] = self._add(Step("", INPUT), index)
            for operator in self._operators:
                self._read(operator)
            self.steps = [_without_root(found) for found in self.steps]
        except (ArithmeticError, LookupError, ValueError) as fault:
            what, remedy = (
                ("TensorFlow Lite file", "convert the model again")
                if self.file.is_converted
                else ("SavedModel", "save or copy the model again")
            )
            raise ArchiveError(
                f"damaged {what} ({operator.kind} has wrong tensors); {remedy}",
                place=self.file.path,
            ) from fault

    @property
    def outputs(self) -> tuple[int, ...]:
        """The steps whose results leave the file."""
        _, outputs = self.file.ends
        return tuple(self._made[index] for index in outputs if index in self._made)

    @cached_property
    def _operators(self) -> Sequence[FileOperator]:
        return self.file.operators_of(0)

    @cached_property
    def _tensors(self) -> dict[int, FileTensor]:
        return {tensor.index: tensor for tensor in self.file.tensors_of(0)}

    @cached_property
    def _makers(self) -> dict[int, FileOperator]:
        return {output: operator for operator in self._operators for output in operator.outputs}

    def _add(
        self, step: Step, *tensors: int, names: Sequence[str] = (), constants: tuple[int, ...] = ()
    ) -> int:
        own = (self._tensors[index].name for index in tensors if index in self._tensors)
        self.steps.append(FoundStep(step, (*names, *own)))
        self.facts.steps.append(step)
        self.facts.constants.append(constants)
        return len(self.steps) - 1

    def _read(self, operator: FileOperator) -> None:
        """Add the steps of an operator; one that depends on constants and shapes alone has none."""
        taken = [index for index in operator.inputs if index in self._made]
        if operator.kind == "SHAPE" or not taken:
            return
        steps = tuple(dict.fromkeys(self._made[index] for index in taken))
        if operator.kind == "WHILE" and (found := read_loop(self.file, operator)) is not None:
            self._made |= self._add_recurrence(found)
            return
        last = self._passed_on(operator, steps[0])
        if last is None:
            last = self._add_steps(operator, taken)
        for output in operator.outputs:
            if output in self._unrolled and output not in self._results:
                self._results |= self._add_recurrence(self._unrolled[output])
            self._made[output] = self._results.get(output, last)

    def _passed_on(self, operator: FileOperator, source: int) -> int | None:
        """Return the step whose result an operator gives unchanged; None if it has its own."""
        if operator.kind in PASSED_ON:
            return source
        if operator.kind == "TILE" and {*self.values(operator, 1)} == {1}:
            return source
        if operator.kind == "PACK" and (whole := self._for_each(operator)) is not None:
            return whole
        looked_up = find_looked_up(self, operator)
        return find_same(self, operator) if looked_up is None else looked_up

    def _add_recurrence(self, found: Recurrence) -> dict[int, int]:
        """Add the steps of a recurrent layer, and return those of its results."""
        taken = tuple(self._made[index] for index in found.takes if index in self._made)
        if found.is_backward:
            steps = [Step("", REVERSE, (place,)) for place in taken]
            taken = tuple(self._add(step, names=found.names) for step in steps)
        whole = Step("", found.computes, taken)
        cells = [self._add(whole, *found.weights, *found.ends, names=found.names)]
        beside = tuple(self._made[index] for index in found.beside)
        for computes in found.then:
            cells.append(self._add(Step("", computes, (cells[-1], *beside)), names=found.names))
        places = {(-1, ""): cells[-1]}
        for end, (cell, text) in found.results.items():
            if (cell, text) not in places:
                places[cell, text] = self._add(Step("", text, (cells[cell],)), end)
        return {end: places[key] for end, key in found.results.items()}

    def _for_each(self, operator: FileOperator) -> int | None:
        """Return the last step of what is computed for each part of a sequence, added once.

        None where the parts that an operator stacks are not computed alike.
        """
        ends = [self._made[index] for index in operator.inputs if index in self._made]
        axis = int(operator.settings.get("axis", 0))
        if len(ends) != len(operator.inputs):
            return None
        places = find_each(self.facts, ends, axis, self.are_equal)
        if places is None:
            return None
        first, *others = places
        if not others and any(map(self._is_turned, operator.inputs)):
            return None  # a Permute of each part leaves no step
        copies = {first: self.facts.steps[first].inputs[0]}
        for place in others:
            found = self.steps[place]
            inputs = tuple(copies.get(taken, taken) for taken in found.step.inputs)
            copies[place] = self._add(replace(found.step, inputs=inputs), names=found.names)
        return copies[ends[0]]

    def _is_turned(self, index: int) -> bool:
        """Return whether the axes of a tensor are moved by operators that have no step."""
        maker = self.maker_of(index)
        while maker is not None and maker.kind in PASSED_ON:
            if maker.kind == "TRANSPOSE":
                return True
            maker = self.maker_of(maker.inputs[0])
        return False

    def kernel_of(self, place: int) -> int | None:
        """Return the largest constant with several axes that a step takes; None without one."""
        taken = (self._source(index) for index in self.facts.constants[place] if index >= 0)
        kernels = [self._tensors[index] for index in taken if index in self._tensors]
        kernels = [one for one in kernels if one.stored and one.dtype and len(one.shape) > 1]
        return max(kernels, key=lambda one: one.size).index if kernels else None

    def are_equal(self, first: int, other: int) -> bool:
        """Return whether two constants have the same values, up to what is lost in few bits."""
        if first == other:
            return True
        tensors = [self._tensors[first], self._tensors[other]]
        is_read = all(each.stored and each.dtype for each in tensors)
        if not is_read or tensors[0].shape != tensors[1].shape:
            return False
        one, two = (self.file.read(each) for each in tensors)
        loss = 0.02 if tensors[0].quantization else 0.0
        return bool(np.allclose(one, two, rtol=0, atol=loss * float(np.abs(one).max(initial=0))))

    def _add_steps(self, operator: FileOperator, taken: Sequence[int]) -> int:
        computes = describe(self, operator, taken) or f"operator {operator.kind}"
        steps = tuple(self._made[index] for index in taken)
        if computes.startswith(UNIT_LENGTH) and "square" in (self.planned or ()):
            computes = computes if self._is_planned(UNIT_LENGTH) else JOINED
        if computes.startswith("operator"):
            steps = tuple(dict.fromkeys(steps))
        first, *others = computes.split(THEN)
        steps, first = self._with_padding(operator, steps, first)
        if first.startswith(REPEAT):
            source = self.steps[steps[0]].step
            steps = source.inputs if source.computes == "operator SPLIT" else steps[:1]
        number = self.number(operator) if operator.kind in _WITH_NUMBER else None
        number = Number(-1.0) if operator.kind == "NEG" else number
        if number is not None:
            is_from = operator.kind == "SUB" and self.is_constant(operator, 0)
            self.facts.numbers[len(self.steps)] = number
            self.facts.kinds[len(self.steps)] = FROM if is_from else operator.kind
        masked = find_masked(self, operator, first, steps)
        first, steps = masked or self._find_whole(first, steps) or (first, steps)
        weights = [index for index in operator.inputs if self._is_weight(index)]
        last = self._add(
            Step("", first, steps),
            *weights,
            *operator.outputs,
            constants=tuple(index for index in operator.inputs if index not in self._made),
        )
        self._note_count(operator, last)
        if (joined := join(self, operator)) is not None:
            self.facts.masks[last] = joined
        fused = FUSED.get(int(operator.settings.get("fusedActivationFunction", 0)))
        if fused is not None and not first.startswith(RECURRENT):
            others.append(fused)
        for each in others:
            last = self._add(Step("", each, (last,)), *operator.outputs)
        return last

    def _find_whole(self, computes: str, inputs: tuple[int, ...]) -> Whole | None:
        """Return the layer that a step completes, unless models may compute it step by step."""
        whole = find_whole(self.facts, computes, inputs)
        if whole is None:
            return None
        begin = next((text for text in _ONLY_PLANNED if whole[0].startswith(text)), "")
        return whole if self._is_planned(begin) else None

    def _is_planned(self, begin: str) -> bool:
        return self.planned is None or any(text.startswith(begin) for text in self.planned)

    def _note_count(self, operator: FileOperator, place: int) -> None:
        """Keep over how many values a mean or sum is."""
        if operator.kind in ("MEAN", "SUM"):
            lengths = self.lengths(operator, 0)
            reduced = [lengths[axis] for axis in self.values(operator, 1)]
            if None not in reduced:
                self.facts.counts[place] = math.prod(length or 1 for length in reduced)

    def number(self, operator: FileOperator) -> Number | None:
        """Return the number that an operator takes as a constant; None where it takes none."""
        taken = (index for index in operator.inputs if index not in self._made)
        first = next((index for index in taken if self._source(index) in self._tensors), None)
        return None if first is None else self.number_of(first)

    def number_of(self, index: int) -> Number | None:
        """Return the number that a constant is; None for other tensors."""
        tensor = self._tensors.get(self._source(index))
        return None if tensor is None else read_number(self.file, tensor)

    def _with_padding(
        self, operator: FileOperator, steps: tuple[int, ...], computes: str
    ) -> tuple[tuple[int, ...], str]:
        """Take in the padding before a convolution where that is its own kind."""
        maker = self._makers.get(operator.inputs[0]) if operator.inputs else None
        if maker is None or maker.kind != "PAD":
            return steps, computes
        pad = self.steps[steps[0]].step
        whole = with_padding(computes, pad.computes, self.shape(maker, 0)[1:3])
        return (steps, computes) if whole is None else (pad.inputs, whole)

    def _is_weight(self, index: int) -> bool:
        tensor = self._tensors.get(index)
        return tensor is not None and index not in self._made and len(tensor.shape) > 1

    def shape(self, operator: FileOperator, place: int) -> tuple[int, ...]:
        """Return the shape of an input of an operator."""
        return self._tensors[operator.inputs[place]].shape

    def lengths(self, operator: FileOperator, place: int) -> list[int | None]:
        """Return the shape of an input of an operator, with None for open lengths."""
        tensor = self._tensors[operator.inputs[place]]
        return [
            None if axis in tensor.open_axes else length for axis, length in enumerate(tensor.shape)
        ]

    def place_of(self, index: int) -> int | None:
        """Return the step that makes a tensor; None for a constant."""
        return self._made.get(index)

    def shape_of(self, index: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._tensors[index].shape

    def is_truth(self, index: int) -> bool:
        """Return whether a tensor has truths."""
        return self._tensors[index].dtype == "bool"

    def is_constant(self, operator: FileOperator, place: int) -> bool:
        """Return whether an input of an operator does not depend on the file's inputs."""
        return place < len(operator.inputs) and operator.inputs[place] not in self._made

    def table(self, index: int) -> NDArray[Any]:
        """Return a constant of truths; an empty one for other tensors."""
        tensor = self._tensors[index]
        is_such = tensor.stored and tensor.dtype == "bool"
        return self.file.read(tensor) if is_such else np.zeros(0, np.bool_)

    def is_lowered(self, index: int, other: int) -> bool:
        """Return whether a tensor is another one with a constant added or taken away."""
        lowered, source = self._made[index], self._made[other]
        step = self.steps[lowered].step
        return step.computes == AFFINE and step.inputs == (source,)

    def is_mask(self, index: int) -> bool:
        """Return whether a constant is a causal mask that is added."""
        tensor = self._tensors[self._source(index)]
        is_table = tensor.stored and tensor.dtype and len(tensor.shape) > 1
        return bool(is_table) and is_added(self.file.read(tensor))

    def _source(self, index: int) -> int:
        """Return the constant that an operator passes on, such as one of 16 bits."""
        maker = self._makers.get(index)
        return maker.inputs[0] if maker is not None and maker.kind in PASSED_ON else index

    def step_before(self, operator: FileOperator) -> str:
        """Return what the step computes that an operator takes first."""
        return self.steps[self._made[operator.inputs[0]]].step.computes

    def tensors_of(self, operator: FileOperator) -> list[FileTensor | None]:
        """Return the inputs of an operator; None for one that is left out."""
        return [None if index < 0 else self._tensors[index] for index in operator.inputs]

    def maker_of(self, index: int) -> FileOperator | None:
        """Return the operator that makes a tensor; None for a constant or an input."""
        return self._makers.get(index)

    def values(self, operator: FileOperator, place: int) -> list[int]:
        """Return the whole numbers in a constant input of an operator; empty where it has none."""
        return self.numbers_of(operator.inputs[place])

    def numbers_of(self, index: int) -> list[int]:
        """Return the whole numbers in a constant; empty for other tensors."""
        tensor = self._tensors.get(index)
        if tensor is None or not tensor.stored or not tensor.dtype.startswith("int"):
            return []
        return [int(value) for value in np.ravel(self.file.read_stored(tensor))]
