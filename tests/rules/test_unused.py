"""What is named and does not exist, or exists and is not named, as far as the files tell."""

import pytest
from builders import build_graph

from graphprune.errors import RuleError
from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS
from graphprune.graph.classes.layer_class import is_axis
from graphprune.plan import make_plan
from graphprune.rules import parse_rules, read_rules

BUDGET = """\
version: 1
budgets: {net: {sparsity: 90%}}
rules:
- {id: a, match: {type: Dense}, prune: {budget: net, schedule: {curve: step, begin: 0 steps}}}
"""
PATTERN = """\
version: 1
LAYERS
rules:
- id: a
  match: {type: Dense}
  prune: {sparsity: 50%, schedule: {curve: step, begin: 0 steps}, pattern: {block: {AXIS: 4}}}
"""


def test_a_budget_that_the_command_line_replaces_is_used_all_the_same(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(BUDGET)
    assert read_rules(path, settings={"a.prune.sparsity": "50%"}).warnings == ()


def warnings_of(axis, layers=""):
    return [
        str(found)
        for found in parse_rules(
            PATTERN.replace("AXIS", axis).replace("LAYERS", layers), "p.yaml"
        ).warnings
    ]


def test_an_axis_that_no_layer_has_is_a_warning_without_a_model():
    assert warnings_of("inn") == [
        "warning[pattern/rank]: rule 'a': no layer of Keras has an axis 'inn', and no section"
        " 'layers' names it\n  --> p.yaml:6:67\n  help: closest: 'in'"
    ]
    assert warnings_of("rows")[0].endswith(
        "help: axes are in, out, h, w, d, multiplier, heads, each, position, weight"
    )
    assert (
        warnings_of("in")
        == warnings_of("out_2")
        == warnings_of("rows", "layers: {My: {prunable: {table: [rows, out]}}}")
        == []
    )


def test_with_a_model_it_is_one_error_and_no_warning():
    rules = parse_rules(PATTERN.replace("AXIS", "inn").replace("LAYERS", ""), "p.yaml")
    with pytest.raises(RuleError) as caught:
        make_plan(build_graph("in > fc > fc2"), rules)
    (found,) = caught.value.diagnostics
    assert (
        str(found)
        == "error[pattern/rank]: 'block inn 4, mean' does not fit 2 tensors: kernel [in 4, out 4]"
        " of 'fc' (no axis 'inn'; its axes are in, out), kernel [in 4, out 4] of 'fc2' (no axis"
        " 'inn'; its axes are in, out)\n  --> p.yaml:6:67\n  help: closest: 'in'"
    )


def test_the_axes_of_all_weights_that_can_be_pruned_are_known():
    for name, known in BUILTIN_LAYERS.items():
        weights = () if callable(known.weights) else known.weights or ()
        assert all(
            is_axis(axis) for weight in weights if weight.prunable for axis in weight.axes
        ), name
