"""Axes that patterns name and no layer has, as far as that is plain without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphprune.errors import Diagnostic
from graphprune.graph.classes.config_weights import AXES, is_axis
from graphprune.rules.values.custom_layers import CustomLayer
from graphprune.rules.values.rule_set import Prune, Rule
from graphprune.sparsity.fit import group_lengths
from graphprune.suggestions import closest


def find_unknown_axes(
    rules: Sequence[Rule], custom_layers: Sequence[CustomLayer]
) -> Iterator[Diagnostic]:
    """Yield a warning for each axis in a rule's pattern that neither a layer of Keras has nor one
    that the files teach.
    """
    taught = {axis for custom in custom_layers for axes in custom.axes.values() for axis in axes}
    for rule in rules:
        if not isinstance(rule.action, Prune):
            continue
        for axis in group_lengths(rule.action.pattern):
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
