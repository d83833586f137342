"""The shape of `layers`: custom layers and their weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from graphprune.rules.shapes.matcher_shape import Texts
from graphprune.rules.shapes.scalars import Fault, Text
from graphprune.rules.shapes.shape import OPTIONAL, Shape


class CustomLayerShape(Shape):
    """One custom layer: the axes of its prunable weights, and the names of all its weights where
    files only number them.
    """

    prunable: Annotated[dict[str, Annotated[list[Text], Field(min_length=1)]], Field(min_length=1)]
    weights: Texts = OPTIONAL

    @model_validator(mode="after")
    def check_names(self) -> CustomLayerShape:
        """Refuse a list of weights that lacks a prunable one, or names one twice."""
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
