"""Patterns in plans: where they do not fit, what is skipped or padded, and exact zeros."""

import pytest
from builders import build_graph

from graphprune.errors import RuleError
from graphprune.plan import make_plan, plan_from_config, plan_to_config, wrap_graph
from graphprune.report import render_plan_text
from graphprune.rules import parse_rules

NET = "in > conv[3,3,6,8] > flatten > fc[10,8] > embed:Embedding[16,4]"


def rules(pattern, more="", match="'*'"):
    return parse_rules(
        "version: 1\n"
        "rules:\n"
        "- id: a\n"
        f"  match: {match}\n"
        "  prune:\n"
        f"    pattern: {pattern}\n"
        "    schedule: {curve: step, begin: 0 steps}\n"
        f"{more}",
        "p.yaml",
    )


def plan(pattern, more="", match="'*'", graph=None):
    return make_plan(graph or build_graph(NET), rules(pattern, more, match))


def faults(pattern, more="", match="'*'"):
    with pytest.raises(RuleError) as caught:
        plan(pattern, more, match)
    return str(caught.value)


TWO_OF_FOUR = "{keep: 2, of: 4, along: in}"


def test_every_tensor_that_a_pattern_does_not_fit_is_told():
    assert (
        faults(TWO_OF_FOUR)
        == "error[pattern/misfit]: 'keep 2 of 4 along in' does not fit kernel [3, 3, in 6, out 8]"
        " of 'conv' (6 is not a multiple of 4)\n"
        "  --> p.yaml:6:5\n"
        "  help: add 'weight: {in: {multiple_of: 4}}' to the match, or 'misfit: skip' / 'misfit:"
        " pad'\n\n"
        "error[pattern/misfit]: 'keep 2 of 4 along in' does not fit kernel [in 10, out 8] of"
        " 'fc' (10 is not a multiple of 4)\n"
        "  --> p.yaml:6:5\n"
        "  help: add 'weight: {in: {multiple_of: 4}}' to the match, or 'misfit: skip' / 'misfit:"
        " pad'"
    )


def test_a_tensor_without_the_axis_is_told_also_with_padding():
    assert (
        faults("{channel: h}", "    sparsity: 50%\n    misfit: pad\n", "{type: Dense}")
        == "error[pattern/rank]: 'channel h' does not fit kernel [in 10, out 8] of 'fc' (no axis"
        " 'h'; its axes are in, out)\n"
        "  --> p.yaml:6:5\n"
        "  help: narrow the match to layers that have the axis, or 'misfit: skip'"
    )


def test_what_is_skipped_stays_dense_and_says_why():
    found = plan(TWO_OF_FOUR, "    misfit: skip\n")
    assert [
        (change.address, change.actions, change.action_reason, change.skipped)
        for change in found.changes
    ] == [
        ("conv", ("keep",), "misfit_skipped", (("kernel", "6 is not a multiple of 4"),)),
        ("fc", ("keep",), "misfit_skipped", (("kernel", "10 is not a multiple of 4"),)),
        ("embed", ("wrap",), "claimed_by_rule", ()),
    ]
    text = render_plan_text(found).splitlines()
    assert (
        " ".join(text[5].split())
        == "= conv Conv2D kernel [3, 3, in 6, out 8] 432 dense a (6 is not a multiple of 4)"
    )
    again = plan_from_config(plan_to_config(found))
    assert again.changes[0].skipped == found.changes[0].skipped


def test_what_fits_of_a_layer_is_pruned():
    graph = build_graph("in > lstm[6,16]")
    found = plan(TWO_OF_FOUR, "    misfit: skip\n", graph=graph)
    assert (found.changes[0].after.weights, found.changes[0].skipped) == (
        ("recurrent_kernel",),
        (("kernel", "6 is not a multiple of 4"),),
    )
    assert "a (kernel: 6 is not a multiple of 4)" in render_plan_text(found)


def test_padding_prunes_a_short_last_group_like_a_whole_one():
    found = plan(TWO_OF_FOUR, "    misfit: pad\n")
    assert [
        (change.address, change.after.pads, change.tensors[0].zeros_after)
        for change in found.changes
    ] == [("conv", True, 9 * 8 * 2), ("fc", True, 8 * 4), ("embed", False, 8 * 4)]


@pytest.mark.parametrize(
    ("pattern", "sparsity", "zeros"),
    [
        ("unstructured", "75%", {"conv": 324, "fc": 60, "embed": 48}),
        ("{keep: 1, of: 2, along: in}", None, {"conv": 216, "fc": 40, "embed": 32}),
        ("{block: {in: 2, out: 4}}", "75%", {"conv": 320, "fc": 64, "embed": 48}),
        ("{channel: out}", "50%", {"conv": 216, "fc": 40, "embed": 32}),
    ],
)
def test_zeros_are_exact_in_every_pattern(pattern, sparsity, zeros):
    found = plan(pattern, "" if sparsity is None else f"    sparsity: {sparsity}\n")
    assert {change.address: change.tensors[0].zeros_after for change in found.changes} == zeros


def test_another_pattern_rebuilds_the_mask_and_another_sparsity_does_not():
    graph = build_graph(NET)
    half = "    sparsity: 50%\n"
    wrapped = wrap_graph(graph, plan("{channel: out}", half, graph=graph))
    assert plan("{channel: out}", half, graph=wrapped).is_empty
    assert {
        change.actions
        for change in plan("{channel: out}", "    sparsity: 25%\n", graph=wrapped).changes
    } == {("retarget",)}
    rewrap = plan("{block: {in: 2}}", half, graph=wrapped)
    assert {(change.actions, change.action_reason) for change in rewrap.changes} == {
        (("unwrap", "wrap"), "pattern_changed")
    }
    assert (
        " ".join(render_plan_text(rewrap).splitlines()[5].split())
        == "-/+ conv Conv2D kernel [3, 3, in 6, out 8] 432 -> 50.0% block in 2, mean # mask is"
        " rebuilt step 0 steps a"
    )


def test_blocks_that_are_short_at_an_edge_leave_the_zeros_open():
    found = plan("{block: {in: 4}}", "    sparsity: 50%\n    misfit: pad\n", "{name: fc}")
    assert [change.after_unknown for change in found.changes if change.after] == [
        ("mask", "tensors.kernel.zeros_after")
    ]


def many_faults(pattern):
    with pytest.raises(RuleError) as caught:
        plan(
            pattern,
            "    sparsity: 50%\n",
            graph=build_graph("in > fc_1[6,8] > fc_2[8,10] > fc_3[10,9] > fc_4[9,8] > fc_5[7,8]"),
        )
    return str(caught.value)


def test_a_pattern_that_fits_many_tensors_badly_is_one_fault():
    assert (
        many_faults("{block: {in: 4, out: 4}}")
        == "error[pattern/misfit]: 'block in 4 x out 4, mean' does not fit 5 tensors: kernel [in 6,"
        " out 8] of 'fc_1' (6 is not a multiple of 4), kernel [in 8, out 10] of 'fc_2' (10 is"
        " not a multiple of 4), kernel [in 10, out 9] of 'fc_3' (10 is not a multiple of 4, 9 is"
        " not a multiple of 4) and 2 more\n"
        "  --> p.yaml:6:5\n"
        "  help: add 'weight: {in: {multiple_of: 4}, out: {multiple_of: 4}}' to the match, or"
        " 'misfit: skip' / 'misfit: pad'"
    )


def test_an_axis_that_no_tensor_has_gets_the_closest():
    assert (
        many_faults("{block: {inn: 4}}")
        == "error[pattern/rank]: 'block inn 4, mean' does not fit 5 tensors: kernel [in 6, out 8]"
        " of 'fc_1' (no axis 'inn'; its axes are in, out), kernel [in 8, out 10] of 'fc_2' (no"
        " axis 'inn'; its axes are in, out), kernel [in 10, out 9] of 'fc_3' (no axis 'inn'; its"
        " axes are in, out) and 2 more\n"
        "  --> p.yaml:6:5\n"
        "  help: closest: 'in'"
    )


ATTENTION = build_graph(
    "in > attention:MultiHeadAttention(num_heads=2,key_dim=8)[16,2,8] > lstm[16,64] > fc[16,4]"
)
PARTS = ("query.kernel", "key.kernel", "value.kernel", "attention_output.kernel")


def pruned_weights(weights, match='"*"', graph=ATTENTION):
    rule = (
        f"{{id: a, match: {match}, prune: {{sparsity: 50%, weights: {weights}, schedule: {{curve:"
        " step, begin: 0 steps}}}"
    )
    return make_plan(graph, parse_rules(f"version: 1\nrules: [{rule}]", "p.yaml"))


@pytest.mark.parametrize(
    ("weights", "pruned"),
    [
        ("kernel", [PARTS, ("kernel",), ("kernel",)]),
        ("[kernel, recurrent_kernel]", [PARTS, ("kernel", "recurrent_kernel"), ("kernel",)]),
        ("[kernel, query.kernel]", [PARTS, ("kernel",), ("kernel",)]),
    ],
)
def test_a_name_means_each_weight_whose_last_part_it_is(weights, pruned):
    plan = pruned_weights(weights)
    assert [change.after.weights for change in plan.changes] == pruned
    assert pruned_weights(weights, graph=wrap_graph(ATTENTION, plan)).is_empty


def test_a_whole_name_means_one_weight():
    assert pruned_weights("query.kernel", "{type: MultiHeadAttention}").changes[
        0
    ].after.weights == ("query.kernel",)
    assert pruned_weights(
        "kernel", "{weight: {name: kernel, in: 16}, type: [LSTM, Dense]}"
    ).changes[0].actions == ("unclaimed",)
    assert (
        pruned_weights("kernel", "{weight: {name: value.kernel}}").changes[0].after.weights == PARTS
    )


def test_a_name_that_no_weight_ends_in_is_a_fault_with_the_closest():
    with pytest.raises(RuleError) as caught:
        pruned_weights("qery.kernel", "{type: MultiHeadAttention}")
    assert (
        str(caught.value)
        == "error[layer/not-prunable]: rule 'a': none of its layers has a prunable tensor"
        " 'qery.kernel'\n"
        "  --> p.yaml:2:9\n"
        "  help: closest: 'query.kernel', 'key.kernel'"
    )
