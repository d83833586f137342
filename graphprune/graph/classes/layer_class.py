"""The record of one layer class and of its weights: what is known without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphprune.archive.entries import Entry
from graphprune.graph.classes.channels import ChannelRule, ResizeRule
from graphprune.graph.classes.lengths import Config, Lengths
from graphprune.graph.classes.multiply_adds import MultiplyAddsRule
from graphprune.graph.classes.steps import StepsRule
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.shapes.operation_calls import OperationCall

Axes = tuple[str, ...]

MAX_INSIDE = 1000
"""Layers in a layer."""

SPATIAL: Mapping[int, Axes] = {1: ("w",), 2: ("h", "w"), 3: ("d", "h", "w")}
"""The spatial axes of a kernel by their number."""
AXES: Axes = ("in", "out", "h", "w", "d", "multiplier", "heads", "each", "position", "weight")
"""The names of all axes of weights that can be pruned; where a layer has several of a kind, they
are numbered (`out_1`).
"""


def is_axis(name: str) -> bool:
    """Return whether a prunable weight of some layer class of Keras has an axis of this name.

    Example:
        >>> is_axis("in"), is_axis("out_2"), is_axis("inn"), is_axis("out_0")
        (True, True, False, False)
    """
    return re.sub(r"_[1-9]\d*$", "", name) in AXES


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight that a layer class makes.

    Attributes:
        name: Its bare name, below the path of a layer inside the layer (`forward_layer.kernel`,
            `query.kernel`); the cell of an RNN layer adds nothing to it.
        axes: One name an axis; empty where they have no settled meaning.
        prunable: Whether rules may claim it.
        needs: The config key that must be true for the weight to exist.
        trainable: Whether optimizers update it while its layer is not frozen.
        path: Where a `.keras` file holds it, below the layer's own path.
        scopes: The names, in the paths of variables, of the layers around it inside its own layer.
        is_copy: Whether it stands for a weight that a `.keras` file holds at a second place; it
            takes a number there and is no weight of its own.
    """

    name: str
    axes: Axes = ()
    prunable: bool = False
    needs: str = ""
    trainable: bool = True
    path: str = ""
    scopes: tuple[str, ...] = ()
    is_copy: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A layer inside another, as the config of the outer one has it.

    Attributes:
        name: What stands before the names of its weights; empty for the cell of an RNN.
        entry: The layer inside; a damaged file may have anything there.
        path: Where a `.keras` file holds it, below the outer layer.
        before: What Keras puts before its name in the paths of variables; None where its name does
            not tell its weights from others.
        setting: The setting of the outer layer that has its entry; empty in a list of layers.
    """

    name: str
    entry: Any
    path: str
    before: str | None = None
    setting: str = ""


@dataclass(frozen=True, slots=True)
class LayerCall:
    """One call of a layer of which the output shapes are wanted.

    Attributes:
        config: The layer's config.
        taken: The shapes of its tensors, positional ones first; None where they are not known.
        operation: The call with all its arguments, of a layer that calls an operation.
        shapes_inside: Returns the output shapes of a layer inside for shapes that it takes.
    """

    config: Config
    taken: Sequence[Shape | None]
    operation: OperationCall | None
    shapes_inside: Callable[[Entry, Sequence[Shape | None]], Sequence[Shape | None]]

    def all_known(self) -> list[Shape] | None:
        """Return the shapes of all tensors; None where one is not known."""
        known = [shape for shape in self.taken if shape is not None]
        return known if len(known) == len(self.taken) else None


Expected = Mapping[str, Lengths]
"""The shapes of weights by their names; one that is left out may have any shape."""
WeightsOf = Callable[[Config], tuple[Weight, ...] | None]
"""From a layer's config to its weights; None where the config does not say."""
OutputShapes = Callable[[LayerCall], Sequence[Shape | None]]


@dataclass(frozen=True, slots=True)
class Difference:
    """What the two Kerases compute differently by the same name.

    Attributes:
        keras2: What tf_keras computes.
        keras3: What Keras 3 computes.
    """

    keras2: str
    keras3: str


def _no_shapes(_config: Config) -> Expected:
    return {}


def _as_it_is(config: dict[str, Any]) -> dict[str, Any]:
    return config


def always(_config: Config) -> bool:
    """Return that each layer of a class does so."""
    return True


@dataclass(frozen=True, slots=True)
class LayerClass:
    """All that is known of one layer class; attributes that are functions take the layer's config.

    Attributes:
        category: Its kind, for the colour of its box in drawings.
        bases: Names of its base classes, nearest first.
        weights: Its own weights in storage order, or the function that finds them; those of layers
            inside are found by `parts`.
        weight_shapes: Returns the shapes of its weights, as far as class and config tell them.
        output_shapes: Returns what it gives for the shapes that it takes; ValueError and other
            errors of damaged configs mean that nothing is known. None: nothing is known.
        parts: Returns the layers inside it, whose weights it has; None where the config is damaged.
        outer_axes: How many axes of its input the layers inside do not see.
        around: Returns all its weights, given those of its parts.
        shapes_around: Returns the shapes of all its weights, given those of its parts.
        arguments: The names of its positional tensors.
        rest: The name of a list that takes all positional tensors after the first.
        is_symmetric: Whether it gives the same whatever the order of its inputs.
        output_weight: The weight whose last axis is that of its output, unless channels come first.
        attributes: Of a live layer, the attribute of each part that its weights' names begin with,
            where it has another name.
        attribute_class: The class of the layers in these attributes.
        calls: Attributes of a live layer that hold the layers which it calls.
        file_class: The name of the class by which `.keras` files name its groups, where Keras
            exports it under another one.
        stored_twice: Where a `.keras` file holds the weights of a layer inside once more.
        is_pure: Whether a call does not change the layer: no seed, no loss, no attribute.
        is_built_by_call: Whether it has weights only after it was called.
        has_sparse_gradients: Whether the gradient of a weight may have rows of some indices only.
        tfmot_prunes: The weights that the TensorFlow toolkit prunes, where these are not the
            prunable ones.
        versions: The versions of Keras that have the class: 2 is tf_keras.
        normalize: Returns complete settings in the form that today's Keras writes, the same for
            both Kerases.
        keras3_class: The class of Keras 3 that computes the same, where it has another name.
        keras3_settings: The settings that the class of Keras 3 needs for that.
        keras3_names: The names that Keras 3 gives to settings, by those of tf_keras.
        unused: Settings that only tf_keras writes, and that change nothing of what is computed.
        learned: The setting that `adapt` learns from data if the program does not give it.
        difference: What the two Kerases compute differently with the same settings.
        channels: The rule that says what a call does with channels; None keeps those that it takes.
        resized: Returns the settings that change where channels are removed.
        multiply_adds: Returns how often a call multiplies and adds; None for a class that has no
            matrix, or whose parts have it.
        steps: The rule that says what a call computes, in steps that other formats have as
            operators; None where it is not compared with such formats.
        numbers: The settings that its operations take as constants.
        mask: Returns the steps in which a layer makes a mask of what it takes: none if it makes
            none, None if they are not known. Classes without the rule make none.
        keeps_mask: Whether the mask of the first tensor that it takes is that of its result too,
            which has none otherwise; None for a class of which that is not known.
        joins_masks: Whether its result has the mask that all tensors have that it takes.
        takes_mask: Whether a call has the argument `mask`, which Keras 3 writes into the model for
            a call with one tensor; the others find the masks of tensors when the model runs.
        deletes_masks: Whether Keras 3 deletes the masks of the tensors that it takes.
    """

    category: str = "operation"
    bases: tuple[str, ...] = ()
    weights: tuple[Weight, ...] | WeightsOf = ()
    weight_shapes: Callable[[Config], Expected] = _no_shapes
    output_shapes: OutputShapes | None = None
    parts: Callable[[Config], Sequence[Part] | None] | None = None
    outer_axes: int = 0
    around: Callable[[tuple[Weight, ...]], tuple[Weight, ...]] | None = None
    shapes_around: Callable[[Expected], Expected] | None = None
    arguments: tuple[str, ...] = ()
    rest: str = ""
    is_symmetric: bool = False
    output_weight: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    attribute_class: str = ""
    calls: tuple[str, ...] = ()
    file_class: str = ""
    stored_twice: str = ""
    is_pure: bool = False
    is_built_by_call: bool = False
    has_sparse_gradients: bool = False
    tfmot_prunes: tuple[str, ...] | None = None
    versions: tuple[int, ...] = (2, 3)
    normalize: Callable[[dict[str, Any]], dict[str, Any]] = _as_it_is
    keras3_class: str = ""
    keras3_settings: Mapping[str, Any] = field(default_factory=dict)
    keras3_names: Mapping[str, str] = field(default_factory=dict)
    unused: frozenset[str] = frozenset()
    learned: str = ""
    difference: Difference | None = None
    channels: ChannelRule | None = None
    resized: ResizeRule | None = None
    multiply_adds: MultiplyAddsRule | None = None
    steps: StepsRule | None = None
    numbers: tuple[str, ...] = ()
    mask: Callable[[Config, Shape | None], tuple[str, ...] | None] | None = None
    keeps_mask: Callable[[Config], bool] | None = None
    joins_masks: bool = False
    takes_mask: bool = False
    deletes_masks: bool = False

    @property
    def has_no_weights(self) -> bool:
        """Whether no layer of the class has weights, whatever its config."""
        return self.weights == () and self.parts is None

    @property
    def has_fixed_weights(self) -> bool:
        """Whether the class says the weights, but for those that a setting leaves out."""
        return not callable(self.weights) and self.parts is None

    def weights_in(self, config: Config) -> tuple[Weight, ...] | None:
        """Return the own weights of a layer with this config, copies included.

        None where the config does not say.
        """
        found = self.weights(config) if callable(self.weights) else self.weights
        if found is None:
            return None
        return tuple(
            weight for weight in found if not weight.needs or config.get(weight.needs, True)
        )

    def argument_name(self, argument: str) -> str:
        """Return the class's name of a tensor argument; positions without a name stay numbers."""
        if not argument.isdecimal():
            return argument
        position = int(argument)
        if self.rest and position:
            return f"{self.rest}.{position - 1}"
        return self.arguments[position] if position < len(self.arguments) else argument


def one(rule: Callable[[Config, Shape], Shape]) -> OutputShapes:
    """Return the output shapes of a class that takes one tensor and gives one."""

    def shapes(call: LayerCall) -> Sequence[Shape | None]:
        return () if call.taken[0] is None else [rule(call.config, call.taken[0])]

    return shapes


def several(rule: Callable[[Config, Shape], Sequence[Shape]]) -> OutputShapes:
    """Return the output shapes of a class that gives several tensors for its first one."""

    def shapes(call: LayerCall) -> Sequence[Shape | None]:
        return () if call.taken[0] is None else rule(call.config, call.taken[0])

    return shapes


def merged(rule: Callable[[Config, Sequence[Shape]], Shape]) -> OutputShapes:
    """Return the output shapes of a class that makes one tensor of several, all known."""

    def shapes(call: LayerCall) -> Sequence[Shape | None]:
        taken = call.all_known()
        return () if taken is None else [rule(call.config, taken)]

    return shapes


def same_shape(_config: Config, shape: Shape) -> Shape:
    """Return the shape that a layer takes, for one that keeps it."""
    return shape


SAME = one(same_shape)
"""The output shapes of a class that keeps the shape of its tensor."""


def names_in_order(weights: Sequence[Weight], stored: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of `weights`, without copies, in the order of the variables `stored`.

    `stored` are paths without `:0`, as Keras lists them.

    Keras lists trainable variables first, so what is frozen inside a layer comes last, and configs
    do not always say what is. Variables whose names tell them apart go by name. None where their
    numbers differ.

    Example:
        >>> names_in_order(
        ...     [Weight("layer.kernel"), Weight("u", trainable=False)],
        ...     ["spectral/u", "spectral/kernel"],
        ... )
        ('u', 'layer.kernel')
        >>> both = [
        ...     Weight("forward_layer.kernel", scopes=("forward_a",)),
        ...     Weight("backward_layer.kernel", scopes=("backward_a",)),
        ... ]
        >>> names_in_order(both, ["b/backward_a/kernel", "b/forward_a/kernel"])
        ('backward_layer.kernel', 'forward_layer.kernel')
    """
    own = sorted(
        (weight for weight in weights if not weight.is_copy),
        key=lambda weight: not weight.trainable,
    )
    if len(own) != len(stored):
        return None
    by_last = {weight.name.rsplit(".", 1)[-1]: weight.name for weight in own}
    lasts = [path.rsplit("/", 1)[-1] for path in stored]
    if len(by_last) == len(own) and by_last.keys() == set(lasts):
        return tuple(by_last[name] for name in lasts)
    return _names_by_scopes(own, stored) or tuple(weight.name for weight in own)


def _names_by_scopes(weights: Sequence[Weight], stored: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the variables by the layers in their paths.

    Nothing where the paths do not tell the variables apart.
    """
    found: list[str] = []
    for path in stored:
        *scopes, last = path.split("/")
        fits = [
            weight.name
            for weight in weights
            if weight.scopes
            and weight.name.endswith(f".{last}")
            and set(weight.scopes) <= set(scopes)
        ]
        found += fits if len(fits) == 1 else ()
    return tuple(found) if len(set(found)) == len(stored) else ()
