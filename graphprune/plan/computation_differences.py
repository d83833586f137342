"""Which layers differ between two computations, for reports.

Whether they differ is decided in `computation_check`; here their steps are aligned, so that each
difference gets the name of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from graphprune.graph.classes.activation_steps import ABOVE, SCALED_ELU
from graphprune.graph.classes.normalization_steps import DEVIATION, SQUARES, UNIT_LENGTH
from graphprune.graph.classes.steps import AFFINE, NORMALIZE, SYMMETRIC, is_unordered, kind_of
from graphprune.graph.computation import Computation
from graphprune.plan.computation_check import in_order, label_of
from graphprune.plan.verify import Difference, LayerDifference

_NORMALIZING = (f"{NORMALIZE} over", f"{DEVIATION} over", f"{SQUARES} over", f"{UNIT_LENGTH} over")
_ALIKE = (
    SYMMETRIC | {"subtract"},
    frozenset({"max pooling", "average pooling", "mean over", "maximum over"}),
    frozenset({"affine", *_NORMALIZING}),
    frozenset({"repeat over", "resize bilinear"}),
    frozenset(
        {
            "clip",
            SCALED_ELU,
            ABOVE,
            "elu",
            "exp",
            "gelu",
            "hard swish",
            "leaky relu",
            "log softmax",
            "mish",
            "prelu",
            "relu",
            "relu6",
            "selu",
            "sigmoid",
            "softmax",
            "softmax of scores",
            "softsign",
            "swish",
            "tanh",
        }
    ),
)
"""Kinds of steps of which one may be in the place of another with other settings."""


def list_differences(
    planned: Computation, found: Computation, named: frozenset[str]
) -> list[LayerDifference]:
    """Return which layers differ, for two simplified computations that do.

    Args:
        planned: That of the plan's model.
        found: That of the file.
        named: The layers that both name.
    """
    aligned = _Alignment(planned, _with_outputs_like(planned, found, named), named)
    told = [*aligned.differences()]
    # an affine step is one with the kernel beside it, or not, by what else differs
    certain = [one for one, computes in told if computes != AFFINE] or [one for one, _ in told]
    moved = aligned.moved or not certain
    return list(dict.fromkeys([*certain, *(aligned.rewired() if moved else ())])) or [
        LayerDifference("", "model")
    ]


@dataclass
class _Alignment:
    """The steps of two computations, in pairs where they are the same.

    Attributes:
        pairs: The place in `found` of each step in `planned` that is in both.
        changed: Pairs with other settings.
        gone, new: The steps of one side alone.
        moved: Whether a step has another place among the others.
    """

    planned: Computation
    found: Computation
    named: frozenset[str]
    pairs: dict[int, int] = field(default_factory=dict)
    changed: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    new: list[int] = field(default_factory=list)
    moved: bool = False

    def __post_init__(self) -> None:
        """Align the steps in their order, then those that moved by what they are."""
        labels, others = (
            [label_of(step, self.named) for step in each.steps]
            for each in (self.planned, self.found)
        )
        matcher = SequenceMatcher(None, labels, others, autojunk=False)
        for tag, start, end, other, until in matcher.get_opcodes():
            if tag == "equal":
                self.pairs |= dict(zip(range(start, end), range(other, until), strict=True))
            else:
                self._pair_kinds(range(start, end), range(other, until))
        for place in [*self.gone]:
            match = next((one for one in self.new if others[one] == labels[place]), None)
            if match is not None:
                self.gone.remove(place)
                self.new.remove(match)
                self.pairs[place] = match
                self.moved = True

    def _pair_kinds(self, left: Sequence[int], right: Sequence[int]) -> None:
        """Take steps of one kind in the same place for the same with other settings."""
        is_even = len(left) == len(right)
        for place, other in zip(left, right, strict=False):
            one, two = self.planned.steps[place], self.found.steps[other]
            kinds = {kind_of(one.computes), kind_of(two.computes)}
            is_such = len(kinds) == 1 and one.computes != two.computes
            if is_even and (is_such or any(kinds <= group for group in _ALIKE)):
                self.changed.append(place)
                self.pairs[place] = other
            else:
                self.gone.append(place)
                self.new.append(other)
        self.gone += left[len(right) :]
        self.new += right[len(left) :]

    def differences(self) -> Iterator[tuple[LayerDifference, str]]:
        """Yield what differs with the step that does; a layer with other steps has settings."""
        kept = {self.planned.steps[place].layer for place in self.pairs}
        for place in self.changed:
            step = self.planned.steps[place]
            yield LayerDifference(step.layer, "settings"), step.computes
        sides: tuple[tuple[Computation, list[int], Difference], ...] = (
            (self.planned, self.gone, "missing"),
            (self.found, self.new, "added"),
        )
        for computation, places, what in sides:
            for place in places:
                step = computation.steps[place]
                if not step.is_unknown:
                    has_more = step.layer in kept
                    yield (
                        LayerDifference(step.layer, "settings" if has_more else what),
                        step.computes,
                    )

    def rewired(self) -> Iterator[LayerDifference]:
        """Yield the layers that take other steps than planned."""
        for place, other in self.pairs.items():
            step = self.planned.steps[place]
            wanted = [self.pairs.get(taken) for taken in step.inputs]
            got: list[int | None] = list(self.found.steps[other].inputs)
            if is_unordered(step.computes):
                wanted, got = sorted(wanted, key=str), sorted(got, key=str)
            if wanted != got and None not in wanted:
                yield LayerDifference(step.layer, "inputs")


def _with_outputs_like(
    planned: Computation, found: Computation, named: frozenset[str]
) -> Computation:
    """Return a computation with its outputs, which have no order, in that of another one."""
    wanted = [label_of(planned.steps[output], named) for output in planned.outputs]
    layers = [planned.steps[output].layer for output in planned.outputs]

    def place(output: int) -> tuple[int, int]:
        step = found.steps[output]
        label = label_of(step, named)
        return (
            layers.index(step.layer) if step.layer in layers else len(layers),
            wanted.index(label) if label in wanted else len(wanted),
        )

    return in_order(Computation(found.steps, tuple(sorted(found.outputs, key=place))))
