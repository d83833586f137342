"""What a call of a layer computes, as steps in words: rules of layer classes.

Other formats have such steps as operators, so that a file without layers can be compared with the
model that it was made of. Steps that only move or rename values (flattening, dropout in inference)
are left out, and an addition or multiplication of constants is the step `affine`, whatever layer
makes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphprune.archive.entries import Entry
from graphprune.archive.operators import same_width
from graphprune.graph.classes.channels import Weights
from graphprune.graph.classes.lengths import Config
from graphprune.graph.shapes.axis_lengths import Shape

AFFINE, LEARNED = "affine", "affine, learned from data"
"""The second is that of a Normalization, whose statistics change nothing until it is adapted."""
NORMALIZE, PRODUCT, RECURRENT = "normalize", "product", "recurrent"
ADDITIVE = "additive scores"
"""The scores of attention that are sums of tanh(query + key) along the last axis."""
CROP = "crop"
SYMMETRIC = frozenset({"add", "multiply", "maximum", "minimum"})
"""Steps whose result does not depend on the order of the tensors that they take."""
PADDINGS = ("same", "valid", "same or valid")
"""The paddings by their numbers in files; the last has no zeros to put anywhere, so it is both."""
EACH = "each of sequence"
"""The beginning of the steps that a layer has for each part of a sequence."""
FIGURES = ("epsilon", "factor", "length", "slope", "threshold")
"""Names of figures at the end of steps, which not every file tells exactly."""
MOVES = ("permute", "reshape", EACH)
"""Steps that only move values; they are compared by the names of operators alone, or not."""
_LINEAR = ("convolution", "depthwise convolution", "transposed convolution", "matrix")


@dataclass(frozen=True, slots=True)
class Branch:
    """A step of a call that takes other steps of it than the one before.

    Attributes:
        computes: What it is.
        inputs: The steps of the call that it takes, by their places; -1 is the first tensor that
            the call takes, -2 the second.
    """

    computes: str
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """The end of the steps of a call with several results.

    Attributes:
        places: The steps that give them, in their order.
    """

    places: tuple[int, ...]


MASK = -1000
"""The place of the mask of the first tensor that a call takes; that of the second is one less."""
IF_KEPT, NOTHING = " if kept, else ", "nothing"
"""Between what a step is where masks are kept, and what it is where Keras 3 deleted them."""
UNEQUAL, ANY = "not equal", "any"
"""The step that makes a mask of numbers: those that are not a certain one count."""
Steps = tuple[str | Branch | Results, ...]
"""A text takes the result of the step before it, the first one all tensors of the call; the last
step gives the result, unless `Results` name those that do.
"""


def _nothing_held() -> Steps | None:
    return None


def _nothing_inside(
    _entry: Entry, _weights: Weights, _taken: Sequence[Shape | None]
) -> Steps | None:
    return None


@dataclass(frozen=True, slots=True)
class StepCall:
    """One call of a layer.

    Attributes:
        config: The layer's config.
        weights: The shapes of its weights by name.
        taken: The shapes of the tensors that it takes; None where one is not known.
        arguments: The argument that each of them is for.
        settings: The other arguments that it is given by keyword.
        masks: Of each tensor that it takes, the place of the first one that has the same mask; None
            without one that is known.
        kept: Of each of those, whether it still has the mask when the model runs.
        is_masked: Whether a tensor that it takes has a mask, which the converter computes with.
        is_mask_known: Whether all such masks are known.
        keras: The major version of the Keras that wrote the config.
        inside: From the entry of a layer inside this one, its weights and what it takes, to its
            steps.
        held: Returns the steps of the model inside this layer, if it has one.
    """

    config: Config
    weights: Weights
    taken: Sequence[Shape | None]
    arguments: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    masks: Sequence[int | None] = ()
    kept: Sequence[bool] = ()
    is_masked: bool = False
    is_mask_known: bool = False
    keras: int = 2
    inside: Callable[[Entry, Weights, Sequence[Shape | None]], Steps | None] = _nothing_inside
    held: Callable[[], Steps | None] = _nothing_held


StepsRule = Callable[[StepCall], Steps | None]
"""From a call to its steps; None for settings of which nothing is known."""


def with_figures(step: str, **figures: float | None) -> str:
    """Return a step with figures behind it; without any where one of them is not known."""
    if None in figures.values():
        return step
    told = {name: f"{v:.4g}" if isinstance(v, float) else v for name, v in figures.items()}
    return step + "".join(f", {name} {text}" for name, text in told.items())


def is_linear(step: str) -> bool:
    """Return whether a step multiplies with a kernel, which can take in an affine step beside it.

    Example:
        >>> is_linear("matrix 3x4"), is_linear("relu")
        (True, False)
    """
    return step.startswith(_LINEAR)


def is_unordered(step: str) -> bool:
    """Return whether a converter may exchange the tensors of a step.

    It transposes those of a product of matrices, and adds in either order.
    """
    return step in SYMMETRIC or step.startswith((PRODUCT, ADDITIVE))


def has_kernel(step: str) -> bool:
    """Return whether a step multiplies with kernels, which the name of its layer tells.

    Example:
        >>> has_kernel("recurrent 6x16 4x16, sigmoid 3, tanh 2"), has_kernel("product")
        (True, False)
    """
    return is_linear(step) or step.startswith(RECURRENT)


def kind_of(step: str) -> str:
    """Return a step without its figures.

    Example:
        >>> kind_of("depthwise convolution 3x3x8, strides 1x1, dilation 1x1, same")
        'depthwise convolution'
    """
    first = step.split(",")[0]
    return " ".join(word for word in first.split(" ") if not word[:1].isdigit())


def matrix(kernel: Sequence[int]) -> str:
    """Return the step of a product with a matrix: inputs, outputs."""
    return f"matrix {_times(kernel)}"


def convolution(
    kind: str, kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int], padding: str
) -> str:
    """Return the step of a convolution.

    Args:
        kind: `convolution`, `depthwise convolution` or `transposed convolution`.
        kernel: The spatial axes and channels of its kernel, as Keras has them; of a depthwise
            convolution the channels of the output alone.
        strides, dilation: For each spatial axis.
        padding: `same` or `valid`.

    Example:
        >>> convolution("convolution", (3, 3, 8, 16), (2, 2), (1, 1), "same")
        'convolution 3x3x8x16, strides 2x2, dilation 1x1, same'
    """
    return (
        f"{kind} {_times(kernel)}, strides {_times(strides)}, dilation {_times(dilation)},"
        f" {padding}"
    )


def along_lengths(
    read: Sequence[int | None],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return strides and dilation of a convolution, 1 along axes in which it has one place.

    Those have no effect there, and tf_keras gives others to the operator of a DepthwiseConv1D.

    Example:
        >>> along_lengths((1, 8), (1, 3), (2, 2), (1, 1))
        ((1, 2), (1, 1))
    """
    found = [
        (1, 1) if length == size == 1 else pair
        for length, size, pair in zip(
            read, kernel, zip(strides, dilation, strict=True), strict=True
        )
    ]
    return tuple(stride for stride, _ in found), tuple(step for _, step in found)


def pooling(kind: str, window: Sequence[int], strides: Sequence[int], padding: str) -> str:
    """Return the step of a pooling; axes that it leaves as they are do not count.

    Example:
        >>> pooling("max pooling", (1, 2), (1, 2), "valid")
        'max pooling 2, strides 2, valid'
    """
    used = [pair for pair in zip(window, strides, strict=True) if pair != (1, 1)]
    return f"{kind} {_times(size for size, _ in used)}, strides {_times(s for _, s in used)}, " + (
        padding
    )


def padded(widths: Sequence[Sequence[int]]) -> str:
    """Return the step of padding with zeros, for all axes but the batch.

    Example:
        >>> padded([(0, 1), (0, 1), (0, 0)])
        'pad 0+1 0+1 0+0'
    """
    return "pad " + " ".join(f"{before}+{after}" for before, after in widths)


def cropped(widths: Sequence[Sequence[int]]) -> str:
    """Return the step that cuts off both ends of axes, for all of them but the batch.

    Example:
        >>> cropped([(1, 0), (2, 1), (0, 0)])
        'crop 1+0 2+1 0+0'
    """
    return padded(widths).replace("pad", CROP, 1)


_CONVOLUTION = re.compile(
    r"(.*convolution) (\d+)x(\d+)x.*, strides (\d+)x(\d+), dilation (\d+)x(\d+), valid"
)


def with_padding(step: str, pad: str, lengths: Sequence[int | None]) -> str | None:
    """Return a convolution that pads itself, for one behind a step of padding; None for others.

    Args:
        step: The convolution.
        pad: The step of padding before it.
        lengths: Height and width of what is padded.

    Example:
        >>> step = convolution("convolution", (3, 3, 1, 8), (2, 2), (1, 1), "valid")
        >>> with_padding(step, "pad 0+1 0+1 0+0", (16, 16))
        'convolution 3x3x1x8, strides 2x2, dilation 1x1, same'
        >>> with_padding(step, "pad 0+1 0+1 0+0", (17, 17))
    """
    match = _CONVOLUTION.fullmatch(step)
    if match is None or match[1].startswith("transposed") or None in lengths or len(lengths) != 2:
        return None
    numbers = [int(number) for number in match.groups()[1:]]
    widths = [same_width(length or 1, *numbers[axis::2]) for axis, length in enumerate(lengths)]
    return step.removesuffix("valid") + "same" if padded([*widths, (0, 0)]) == pad else None


def joined(axis: int, rank: int) -> str:
    """Return the step of a concatenation.

    Example:
        >>> joined(3, 4), joined(-1, 4)
        ('concatenate -1', 'concatenate -1')
    """
    return f"concatenate {axis - rank if axis >= 0 else axis}"


def reduced(kind: str, axes: Sequence[int], rank: int) -> str:
    """Return the step of a mean or maximum over axes.

    Example:
        >>> reduced("mean", (1, -2), 4)
        'mean over 1 2'
    """
    return f"{kind} over {' '.join(map(str, sorted({axis % rank for axis in axes})))}"


def lookup(table: Sequence[int]) -> str:
    """Return the step of a lookup of rows in a table."""
    return f"lookup {_times(table)}"


def fixed(*steps: str) -> StepsRule:
    """Return the rule of a class that always has these steps."""
    return lambda _call: steps


def permuted(call: StepCall) -> Steps:
    """Return the steps of a Permute."""
    return (f"permute {' '.join(map(str, call.config['dims']))}",)


def reshaped(call: StepCall) -> Steps:
    """Return the steps of a Reshape."""
    return (f"reshape {_times(call.config['target_shape'])}",)


def mask_of_indices(config: Config, _shape: Shape | None) -> tuple[str, ...]:
    """Return the steps of the mask of an Embedding, which leaves out the index 0."""
    return (f"{UNEQUAL} 0",) if config.get("mask_zero") else ()


def mask_of_values(config: Config, shape: Shape | None) -> tuple[str, ...] | None:
    """Return the steps of the mask of a Masking, which leaves out steps of one value alone."""
    if shape is None:
        return None
    rank = len(shape)
    return f"{UNEQUAL} {config.get('mask_value', 0.0):g}", reduced(ANY, (rank - 1,), rank)


def masking(call: StepCall) -> Steps | None:
    """Return the steps of a Masking, which makes zero of the steps that it leaves out."""
    mask = mask_of_values(call.config, call.taken[0])
    if mask is None:
        return None
    first, second = mask
    return Branch(first, (-1,)), second, Branch("multiply", (-1, 1))


def looked_up(call: StepCall) -> Steps:
    """Return the steps of an embedding."""
    return (lookup(call.weights["embeddings"]),)


def combined(*steps: str) -> StepsRule:
    """Return the rule of a class that computes one tensor of several, with these steps.

    Keras 3 computes products and extremes with masks in a way that is not known.
    """
    has_masks = not {*steps}.isdisjoint(("maximum", "minimum", "multiply"))

    def rule(call: StepCall) -> Steps | None:
        is_chosen = has_masks and call.is_masked and call.keras == 3
        return steps if len(call.taken) > 1 and not is_chosen else None

    return rule


def concatenation(call: StepCall) -> Steps | None:
    """Return the steps of a concatenation."""
    first, axis = call.taken[0], call.config.get("axis", -1)
    if first is None and axis >= 0:
        return None
    return (joined(axis, 0 if first is None else len(first)),)


def rescaled(call: StepCall) -> Steps | None:
    """Return the steps of a Rescaling; one that changes nothing has none."""
    found = call.config.get("scale"), call.config.get("offset", 0.0)
    return () if found == (1.0, 0.0) else (AFFINE,)


def only_last_axis(*steps: str) -> StepsRule:
    """Return the rule of a class whose axis must be the last one."""

    def rule(call: StepCall) -> Steps | None:
        axis: Any = call.config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        shape = call.taken[0]
        is_last = axis == -1 or (shape is not None and axis == len(shape) - 1)
        return steps if is_last else None

    return rule


def _times(lengths: Any) -> str:
    return "x".join(map(str, lengths))
