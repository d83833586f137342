"""The layer's prunable tensors: `weight`."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Discriminator, Field, Tag

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.graph import Layer, Tensor
from graphprune.graph.layers import is_named, means_any
from graphprune.rules.matchers.key import MatcherKey, Place
from graphprune.rules.matchers.matcher import Context, Matcher, Places
from graphprune.rules.matchers.number_test import (
    NumberTest,
    NumberTestShape,
    NumberTestValue,
    ShareTestValue,
)
from graphprune.rules.text.numbers import Count, PositiveCount
from graphprune.rules.text.shape import Conditions, optional
from graphprune.rules.text.words import TextOrList
from graphprune.suggestions import closest

if TYPE_CHECKING:
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches

SHOWN = 3
SPATIAL_AXES = frozenset({"d", "h", "w"})


@dataclass(frozen=True, slots=True)
class HasWeight(Matcher):
    """A prunable tensor passes all the tests.

    Attributes:
        names: Its name is one of these.
        rank: How many axes it has.
        inputs, outputs: Lengths along `in` and `out` in any storage order; the product if there are
            several such axes (`out_1`, `out_2`). Lengths are as stored: a grouped convolution has
            1/groups of its input channels along `in`.
        kernel: Lengths of the spatial axes (`d`, `h`, `w`) in order, or a test that each must pass;
            tensors without such axes fail.
        dtypes: Its dtype is one of these.
        sparsity: Share of zeros, measured in the file.
    """

    names: tuple[str, ...] | None = None
    rank: NumberTest | None = None
    inputs: NumberTest | None = None
    outputs: NumberTest | None = None
    kernel: tuple[int, ...] | NumberTest | None = None
    dtypes: tuple[str, ...] | None = None
    sparsity: NumberTest | None = None
    places: Places = field(default=(), compare=False)

    @property
    def reads_weights(self) -> bool:
        """Whether it tests measured zeros."""
        return self.sparsity is not None

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers with a tensor that passes."""
        return matches.where(
            "weights",
            matches.measured,
            lambda tensors: any(accepts_tensor(self, *measured) for measured in tensors),
        )

    def words(self) -> str:
        """Return `weight rank 2, in a multiple of 4`."""
        tests = (f"{key} {test}" for key, test in self._tests().items())
        return f"weight {', '.join(tests)}"

    def failing(self, failures: Failures, address: str) -> str:
        """Return the condition, the layer's tensors, and the tests that the nearest one fails."""
        layer = failures.matches.graph.layers[address]
        return f"{self.words()} ({self._tensors(failures.matches, layer)})"

    def reason(self, failures: Failures, address: str) -> str:
        """Return the layer's tensors if none passes."""
        if address in failures.matches.of(self):
            return ""
        return self._tensors(failures.matches, failures.matches.graph.layers[address])

    def wider(self, matches: Matches) -> str:
        """Return the layer whose tensor fails the fewest tests, and those tests.

        If no tensor passes any test, return the largest tensors.
        """
        candidates = list(matches.graph.candidates())
        if not candidates:
            return ""
        layer = min(candidates, key=lambda layer: len(self._nearest(matches, layer)[1]))
        if len(self._nearest(matches, layer)[1]) < len(self._tests()):
            return f"nearest: {layer.address}, whose {self._tensors(matches, layer)}"
        tensors = ((layer.address, tensor) for layer in candidates for tensor in layer.prunable)
        largest = heapq.nlargest(SHOWN, tensors, key=lambda found: found[1].size)
        shown = ", ".join(f"{tensor.label()} of {address!r}" for address, tensor in largest)
        return f"the largest weights are {shown}"

    def faults(self, matches: Matches, context: Context) -> Iterator[Diagnostic]:
        """Yield a fault for each unknown tensor name, and for a test of unmeasured zeros."""
        where = self.places[0] if self.places else context.where
        candidates = matches.graph.candidates() if self.names else ()
        known = {tensor.name for layer in candidates for tensor in layer.prunable}
        for name in self.names or ():
            if known and not means_any(name, known):
                message = f"no layer of the model has a prunable weight {name!r}"
                there = f"available: {', '.join(map(repr, sorted(known)))}"
                help = (closest(name, known) or there) if matches.spend_search() else None
                yield Diagnostic("layer/not-prunable", message, where, help)
        if self.sparsity is not None and matches.zeros is None:
            message = (
                "'weight: {sparsity: ...}' needs measured zeros, but only the model's graph is"
                " available"
            )
            help = "give the saved model itself (.keras, .h5, SavedModel)"
            yield Diagnostic("weight/not-measured", message, where, help)

    def _tests(self) -> dict[str, Any]:
        """Return the given tests, by key of a rule file, in their printed form."""
        tests = {
            "name": " or ".join(self.names or ()),
            "rank": self.rank,
            "in": self.inputs,
            "out": self.outputs,
            "kernel": list(self.kernel) if isinstance(self.kernel, tuple) else self.kernel,
            "dtype": " or ".join(self.dtypes or ()),
            "sparsity": self.sparsity,
        }
        return {key: test for key, test in tests.items() if test not in (None, "")}

    def _nearest(self, matches: Matches, layer: Layer) -> tuple[Tensor, tuple[str, ...]]:
        """Return the layer's tensor that fails the fewest tests, and those tests."""
        failing = (
            (tensor, failing_tests(self, tensor, zeros))
            for tensor, zeros in matches.measured(layer)
        )
        return min(failing, key=lambda found: len(found[1]))

    def _tensors(self, matches: Matches, layer: Layer) -> str:
        if not layer.prunable:
            return "has no prunable weights"
        best, failing = self._nearest(matches, layer)
        is_part = len(failing) < len(self._tests())
        labels = ", ".join(
            _label(tensor, zeros)
            for tensor, zeros in matches.measured(layer)
            if not is_part or tensor == best
        )
        return f"{labels} fails {', '.join(failing)}" if is_part else f"is {labels}"


def _label(tensor: Tensor, zeros: int | None) -> str:
    dtype = f" {tensor.dtype}" if tensor.dtype != "float32" else ""
    measured = f" with {zeros:,} zeros" if zeros is not None else ""
    return f"{tensor.label()}{dtype}{measured}"


def accepts_tensor(test: HasWeight, tensor: Tensor, zeros: int | None) -> bool:
    """Return whether a tensor passes; without `zeros` it passes no test of its sparsity."""
    return all(passes for _, passes in _outcomes(test, tensor, zeros))


def failing_tests(test: HasWeight, tensor: Tensor, zeros: int | None) -> tuple[str, ...]:
    """Return the keys of the tests that a tensor fails."""
    return tuple(key for key, passes in _outcomes(test, tensor, zeros) if not passes)


def _outcomes(test: HasWeight, tensor: Tensor, zeros: int | None) -> Iterator[tuple[str, bool]]:
    """Yield each given test by its key in rule files, and whether a tensor passes it."""
    if test.names is not None:
        yield "name", is_named(tensor.name, test.names)
    if test.dtypes is not None:
        yield "dtype", tensor.dtype in test.dtypes
    if test.rank is not None:
        yield "rank", test.rank.accepts(len(tensor.shape))
    if test.inputs is not None:
        yield "in", _accepts_length(test.inputs, axis_length(tensor, "in"))
    if test.outputs is not None:
        yield "out", _accepts_length(test.outputs, axis_length(tensor, "out"))
    if test.kernel is not None:
        yield "kernel", _accepts_kernel(test.kernel, spatial_lengths(tensor))
    if test.sparsity is not None:
        yield (
            "sparsity",
            zeros is not None and tensor.size > 0 and test.sparsity.accepts(zeros / tensor.size),
        )


def axis_length(tensor: Tensor, meaning: str) -> int | None:
    """Return the length along a named axis, or None if the tensor has no such axis.

    For several numbered axes (`out_1`, `out_2`) it is the product.

    Example:
        >>> axis_length(Tensor("kernel", (8, 2, 4), axes=("in", "out_1", "out_2")), "out")
        8
        >>> axis_length(Tensor("kernel", (3, 3, 16, 4), axes=("h", "w", "out", "in")), "in")
        4
    """
    lengths = [
        length
        for axis, length in zip(tensor.axes, tensor.shape, strict=False)
        if re.fullmatch(rf"{meaning}(_\d+)?", axis)
    ]
    return math.prod(lengths) if lengths else None


def spatial_lengths(tensor: Tensor) -> tuple[int, ...]:
    """Return the lengths of the spatial axes in order; empty for a tensor without such axes."""
    return tuple(
        length
        for axis, length in zip(tensor.axes, tensor.shape, strict=False)
        if axis in SPATIAL_AXES
    )


def _accepts_length(test: NumberTest, length: int | None) -> bool:
    return length is not None and test.accepts(length)


def _accepts_kernel(test: tuple[int, ...] | NumberTest, lengths: tuple[int, ...]) -> bool:
    if isinstance(test, NumberTest):
        return bool(lengths) and all(map(test.accepts, lengths))
    return lengths == test


def _kernel_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "~mapping"
    return "~list" if isinstance(value, list) else "~value"


KernelValue = Annotated[
    Annotated[Annotated[list[PositiveCount], Field(min_length=1)], Tag("~list")]
    | Annotated[Count, Tag("~value")]
    | Annotated[NumberTestShape, Tag("~mapping")],
    Discriminator(_kernel_kind),
]


class WeightShape(Conditions):
    """Tests of one prunable tensor; all must hold for the same one."""

    meant: ClassVar[Mapping[str, str]] = {
        "input": "in",
        "output": "out",
        "shape": "kernel",
        "kernel_size": "kernel",
        "ndim": "rank",
        "zeros": "sparsity",
    }

    name: TextOrList = optional(
        (
            "The tensor's name: kernel, recurrent_kernel, or forward_layer.kernel for one of"
            " several."
        ),
        "kernel",
    )
    rank: NumberTestValue = optional("How many axes it has.", "2")
    inputs: NumberTestValue = optional(
        "Its length along the input axis, whatever the storage order.",
        "{multiple_of: 4}",
        alias="in",
    )
    outputs: NumberTestValue = optional(
        "Its length along the output axis, whatever the storage order.", "{gte: 64}", alias="out"
    )
    kernel: KernelValue = optional(
        "Its spatial lengths: [3, 3], or one number or test for each of them.", "[3, 3]"
    )
    dtype: TextOrList = optional("Its dtype: float32, float16, ...", "float32")
    sparsity: ShareTestValue = optional("Its share of zeros, measured in the file.", "{lt: 10%}")


def _build(shape: WeightShape, place: Place) -> Matcher:
    def number(name: str, key: str) -> NumberTest | None:
        value = shape.given(name)
        return None if value is None else place.number_test(value, key)

    kernel = shape.given("kernel")
    lengths = tuple(kernel) if isinstance(kernel, list) else number("kernel", "kernel")
    sparsity = shape.given("sparsity")
    return HasWeight(
        names=shape.given("name"),
        rank=number("rank", "rank"),
        inputs=number("inputs", "in"),
        outputs=number("outputs", "out"),
        kernel=lengths,
        dtypes=shape.given("dtype"),
        sparsity=None if sparsity is None else place.share_test(sparsity, "sparsity"),
        places=(place.where_key(),),
    )


WEIGHT = MatcherKey(
    "weight",
    WeightShape,
    "Some prunable tensor passes all these tests.",
    "{in: {multiple_of: 4}}",
    build=_build,
)
