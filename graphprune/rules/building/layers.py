"""Custom layers: their shape and values, and unknown axes in patterns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field, model_validator

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS
from graphprune.graph.classes.layer_class import AXES, is_axis
from graphprune.rules.text.document import Notes
from graphprune.rules.text.shape import Fault, Shape, optional, required
from graphprune.rules.text.words import Text, Texts
from graphprune.rules.values.custom_layers import CustomLayer
from graphprune.rules.values.rule_set import Prune, Rule
from graphprune.suggestions import closest

SECTION = "layers"


class CustomLayerShape(Shape):
    """One custom layer: the axes of its prunable weights.

    For files that only number weights, also the names of all its weights.
    """

    prunable: Annotated[
        dict[str, Annotated[list[Text], Field(min_length=1)]], Field(min_length=1)
    ] = required(
        "By weight name, the meaning of each axis: {u: [in, rank], v: [rank, out]}.",
        "{u: [in, rank], v: [rank, out]}",
    )
    weights: Texts = optional(
        "All weights, in the order in which the layer makes them, where files only number them.",
        "[u, v, bias]",
    )

    @model_validator(mode="after")
    def check_names(self) -> CustomLayerShape:
        """Refuse a list of weights that lacks a prunable one or has duplicates."""
        weights = self.given("weights")
        if weights is not None and (
            not set(self.prunable) <= set(weights) or len(set(weights)) < len(weights)
        ):
            raise Fault(
                "value/range",
                "must name each prunable weight once in 'weights'",
                "'weights' lists all weights in the order in which the layer makes them",
            )
        return self


def build_custom_layer(name: str, shape: CustomLayerShape, notes: Notes) -> CustomLayer:
    """Return the custom layer of the entry `name`."""
    known = BUILTIN_LAYERS.get(name)
    if known is not None and 2 in known.versions:
        message = f"layers: {name!r} is a layer of Keras, whose weights are known"
        notes.faults.append(
            Diagnostic(
                "value/range",
                message,
                notes.document.key((SECTION, name)),
                "delete the entry; name custom layers only",
            )
        )
    return CustomLayer(
        type=name,
        where=notes.document.key((SECTION, name)),
        axes={weight: tuple(axes) for weight, axes in shape.prunable.items()},
        weights=tuple(shape.given("weights") or ()),
        places={
            weight: notes.document.key((SECTION, name, "prunable", weight))
            for weight in shape.prunable
        },
    )


def find_unknown_axes(
    rules: Sequence[Rule], custom_layers: Sequence[CustomLayer]
) -> Iterator[Diagnostic]:
    """Yield a warning for each axis of a pattern that no layer and no section `layers` has."""
    taught = {axis for custom in custom_layers for axes in custom.axes.values() for axis in axes}
    for rule in rules:
        if not isinstance(rule.action, Prune):
            continue
        for axis in rule.action.pattern.lengths():
            if not is_axis(axis) and axis not in taught:
                message = (
                    f"rule {rule.id!r}: no layer of Keras has an axis {axis!r}, and no section"
                    " 'layers' names it"
                )
                help = closest(axis, {*AXES, *taught}) or f"axes are {', '.join(AXES)}"
                yield Diagnostic(
                    "pattern/rank",
                    message,
                    rule.action.pattern_where or rule.where,
                    help,
                    severity="warning",
                )
