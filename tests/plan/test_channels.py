"""Dead channels in plans: what follows a kernel, what goes together, and what is told."""

from dataclasses import replace

import pytest
from builders import build_graph

from graphprune.errors import RuleError
from graphprune.graph.layers import Tensor
from graphprune.plan import make_plan, plan_from_config, plan_to_config, wrap_graph
from graphprune.report import render_plan_text
from graphprune.rules import parse_rules
from graphprune.rules.resolving.explain import explain_layer, explanation_to_config
from graphprune.sparsity.patterns import Channel

IN = "in(batch_input_shape=[None, 8, 8, 3])"
CHAIN = f"{IN} > conv_1[3,3,3,8] > bn[8] > relu > conv_2[1,1,8,4] > flatten"
RESIDUAL = (
    f"{IN} > conv_1[3,3,3,8] > bn_1[8] > relu_1 > conv_2[1,1,8,8] > bn_2[8] > relu_2 >"
    " depthwise[3,3,8,1] > conv_3[1,1,8,8] > bn_3[8]; relu_1 + bn_3 > add > bn_4[8] >"
    " conv_4[1,1,8,4]"
)


def rules(group="none", match="{isa: Conv2D}", more="", sparsity="50%"):
    return parse_rules(
        "version: 1\n"
        "rules:\n"
        "- id: half\n"
        f"  match: {match}\n"
        "  prune:\n"
        f"    pattern: {{channel: out}}\n"
        f"    group: {group}\n"
        f"    sparsity: {sparsity}\n"
        "    schedule: {curve: step, begin: 0 steps}\n"
        f"{more}",
        "p.yaml",
    )


def masked(plan):
    """The zeros of each masked tensor when the plan is finished, by layer and name."""
    return {
        f"{change.address}/{tensor.name}": tensor.zeros_after
        for change in plan.changes
        for tensor in change.tensors
        if tensor.zeros_after is not None
    }


def groups_of(plan):
    """The names of the groups of each layer."""
    return {
        change.address: " ".join(sorted({coupling.group for coupling in change.after.couplings}))
        for change in plan.changes
        if change.after is not None
    }


def test_bias_and_batch_normalization_behind_a_layer_lose_its_channels():
    graph = build_graph(CHAIN)
    plan = make_plan(graph, rules(match="{name: conv_1}"))
    assert masked(plan) == {
        "conv_1/kernel": 108, "conv_1/bias": 4, "bn/gamma": 4, "bn/beta": 4
    }  # fmt: skip
    assert plan.diagnostics == ()
    follower = next(change for change in plan.changes if change.address == "bn")
    assert (follower.actions, follower.action_reason) == (("wrap",), "follows_channels")
    assert follower.rule is not None
    assert follower.rule.id == "half"
    assert follower.after is not None
    assert follower.after.leaders == ("conv_1",)
    # shares of prunable weights leave bias and batch normalization out
    assert "108 = 50.0% of claimed" in render_plan_text(plan)


def test_without_a_gamma_the_moving_mean_goes_too():
    graph = build_graph(CHAIN)
    unscaled = tuple(tensor for tensor in graph.layers["bn"].tensors if tensor.name != "gamma")
    graph = graph.replace({"bn": replace(graph.layers["bn"], tensors=unscaled)})
    plan = make_plan(graph, rules(match="{name: conv_1}"))
    assert {"bn/beta", "bn/moving_mean"} <= masked(plan).keys()
    assert "bn/gamma" not in masked(plan)


def test_by_themselves_coupled_layers_are_told_with_their_names():
    plan = make_plan(build_graph(RESIDUAL), rules())
    assert [str(found) for found in plan.diagnostics] == [
        "warning[channel/coupled]: rule 'half' zeroes channels of each layer by itself, and these"
        " layers can only lose channels together: 'conv_1' and 'conv_3'; 'conv_2' and 'depthwise'\n"
        "  --> p.yaml:6:5\n"
        "  help: write 'group: auto' beside the pattern, so that they lose the same channels"
    ]
    found = groups_of(plan)
    # a batch normalization behind a sum, or behind the depthwise, is nobody's own
    assert {name: found.get(name) for name in ("bn_1", "bn_2", "bn_3", "bn_4", "depthwise")} == {
        "bn_1": "conv_1/out", "bn_2": "conv_2/out", "bn_3": "conv_3/out", "bn_4": None,
        "depthwise": None,
    }  # fmt: skip


def test_together_all_members_of_a_group_share_one_mask():
    plan = make_plan(build_graph(RESIDUAL), rules("auto", "{name: [conv_1, conv_2]}"))
    assert plan.diagnostics == ()
    assert groups_of(plan) == {
        **dict.fromkeys(["conv_1", "bn_1", "conv_3", "bn_3", "bn_4"], "conv_1/out"),
        **dict.fromkeys(["conv_2", "bn_2", "depthwise"], "conv_2/out"),
    }
    assert {change.address: change.action_reason for change in plan.changes if change.after} == {
        **dict.fromkeys(["conv_1", "conv_2"], "claimed_by_rule"),
        **dict.fromkeys(
            ["bn_1", "bn_2", "bn_3", "bn_4", "depthwise", "conv_3"], "follows_channels"
        ),
    }
    text = " ".join(render_plan_text(plan).split())
    assert "channel out with conv_1, group auto" in text
    couplings = [one for change in plan.changes if change.after for one in change.after.couplings]
    assert {coupling.score for coupling in couplings} == {"norm"}


def test_a_member_that_another_rule_decides_is_refused():
    more = "- {id: stem, match: {name: conv_3}, keep: true}\n"
    with pytest.raises(RuleError) as caught:
        make_plan(build_graph(RESIDUAL), rules("auto", "{name: conv_1}", more))
    assert str(caught.value) == (
        "error[channel/coupled]: layer 'conv_1' and layer 'conv_3' can only lose channels together,"
        " and rule stem decides otherwise\n"
        "  --> p.yaml:6:5\n"
        "  help: let rule half match all of them or none, or write 'group: none' to prune each"
        " layer by itself"
    )


def test_channels_that_stay_are_told():
    plan = make_plan(build_graph(RESIDUAL), rules("auto"))
    # a layer that the rule matches too leads no second group of the same channels
    assert groups_of(plan)["conv_3"] == "conv_1/out"
    assert [(found.slug, found.message) for found in plan.diagnostics] == [
        (
            "channel/stays",
            "channels of layer 'conv_4' become zero and cannot be removed: conv_4 is an output of"
            " the model",
        )
    ]


def test_a_plan_is_the_same_from_json_and_empty_once_it_is_applied():
    graph = build_graph(RESIDUAL)
    plan = make_plan(graph, rules("auto", "{name: [conv_1, conv_2]}"))
    again = plan_from_config(plan_to_config(plan))
    assert [change.after for change in again.changes] == [change.after for change in plan.changes]
    wrapped = wrap_graph(graph, again)
    assert make_plan(wrapped, rules("auto", "{name: [conv_1, conv_2]}")).is_empty
    more = make_plan(wrapped, rules("auto", "{name: [conv_1, conv_2]}", sparsity="75%"))
    assert {change.actions for change in more.changes if change.after} == {("retarget",)}
    alone = make_plan(wrapped, rules("none", "{name: [conv_1, conv_2]}"))
    actions = {change.address: change.actions for change in alone.changes}
    assert actions["conv_1"] == ("unwrap", "wrap")
    assert actions["bn_4"] == actions["conv_3"] == ("unwrap",)
    assert wrap_graph(wrapped, make_plan(wrapped, rules("none", "{name: conv_4}"))).layers[
        "bn_1"
    ].wrap is None  # fmt: skip


@pytest.mark.parametrize("pattern", ["unstructured", "{block: {in: 2, out: 1}}"])
def test_a_group_needs_channels(pattern):
    with pytest.raises(RuleError) as caught:
        parse_rules(
            "version: 1\n"
            "rules:\n"
            f"- {{id: a, match: '*', prune: {{pattern: {pattern}, sparsity: 50%, group: auto,"
            " schedule: {curve: step, begin: 0 steps}}}\n",
            "p.yaml",
        )
    assert "rule 'a': group: auto" in str(caught.value)
    assert "needs the pattern {channel: out}, got '" in str(caught.value)


def test_explain_shows_which_layers_go_together():
    found = explain_layer(build_graph(RESIDUAL), rules("auto"), "conv_3")
    assert [str(group) for group in found.groups] == [
        "8 channels go together in conv_1, bn_1, conv_3, bn_3, bn_4"
    ]
    assert found.result.endswith("50% channel out, step, group auto")
    assert explanation_to_config(found)["channel_groups"] == [
        {"channels": 8, "layers": ["conv_1", "bn_1", "conv_3", "bn_3", "bn_4"], "stays": None}
    ]
    assert explain_layer(build_graph(CHAIN), rules(), "conv_2").groups == ()


def test_a_unit_of_a_recurrent_layer_goes_from_all_its_gates():
    graph = build_graph("in(batch_input_shape=[None, 5, 6]) > lstm[6,16] > fc[4,3]")
    plan = make_plan(graph, rules(match="{name: lstm}"))
    assert masked(plan) == {
        "lstm/kernel": 6 * 4 * 2, "lstm/recurrent_kernel": 4 * 4 * 2, "lstm/bias": 4 * 2
    }  # fmt: skip
    after = plan.changes[0].after
    assert after is not None
    assert {(one.channels, one.repeat, one.stride) for one in after.couplings} == {(4, 4, 4)}


@pytest.mark.parametrize("group", ["none", "auto"])
def test_a_head_goes_from_query_key_value_and_output(group):
    graph = build_graph(
        "in(batch_input_shape=[None, 5, 16]) > attention:MultiHeadAttention(num_heads=2,key_dim=8)"
        "[16,2,8] > fc[16,2]"
    )
    wanted = rules(group, "{name: attention}")
    (rule,) = wanted.rules
    heads = replace(rule, action=replace(rule.action, pattern=Channel("heads")))
    assert masked(make_plan(graph, replace(wanted, rules=(heads,)))) == {
        **{f"attention/{part}.kernel": 128 for part in ("query", "key", "value")},
        **{f"attention/{part}.bias": 8 for part in ("query", "key", "value")},
        "attention/attention_output.kernel": 128,
    }


def test_groups_reach_into_nested_models():
    inner = "in(batch_input_shape=[None, 8, 8, 8]) > conv_1[1,1,8,8] > bn_1[8]"
    graph = build_graph(
        f"{IN} > conv_0[3,3,3,8] > inner ; conv_0 + inner > add > conv_2[1,1,8,4]",
        models={"inner": inner},
    )
    plan = make_plan(graph, rules("auto", "{name: conv_0}"))
    assert groups_of(plan) == dict.fromkeys(
        ["conv_0", "inner::conv_1", "inner::bn_1"], "conv_0/out"
    )


def test_where_channels_are_not_known_a_layer_loses_kernel_and_bias():
    graph = build_graph("in > custom:MyPkg>Layer[4,4] > conv_1[3,3,3,8] > flatten")
    graph = replace(graph, is_connected=False)
    plan = make_plan(graph, rules(match="{name: conv_1}"))
    assert masked(plan) == {"conv_1/kernel": 108, "conv_1/bias": 4}


def test_both_directions_lose_units_of_their_own():
    graph = build_graph(
        "in(batch_input_shape=[None, 5, 6]) > both:Bidirectional(merge_mode='concat',"
        "layer={'module': 'keras.layers', 'class_name': 'LSTM', 'config': {'units': 4,"
        " 'activation': 'tanh', 'recurrent_activation': 'sigmoid'}}) > fc[8,3]"
    )
    sides = [
        Tensor(f"{side}_layer.{name}", shape, axes=axes, prunable=name != "bias")
        for side in ("forward", "backward")
        for name, shape, axes in (
            ("kernel", (6, 16), ("in", "out")),
            ("recurrent_kernel", (4, 16), ("in", "out")),
            ("bias", (16,), ()),
        )
    ]
    graph = graph.replace({"both": replace(graph.layers["both"], tensors=tuple(sides))})
    plan = make_plan(graph, rules(match="{name: both}"))
    assert groups_of(plan)["both"] == "both/out both/out.2"
    assert masked(plan) == {
        f"both/{side}_layer.{name}": zeros
        for side in ("forward", "backward")
        for name, zeros in (("kernel", 48), ("recurrent_kernel", 32), ("bias", 8))
    }


def test_a_budget_gives_followers_the_share_of_their_layer():
    graph = build_graph(
        f"{IN} > conv_1[3,3,3,8] > bn_1[8] > conv_2[3,3,8,40] > bn_2[40] > conv_3[1,1,40,4]"
    )
    text = (
        "version: 1\n"
        "budgets: {net: {sparsity: 60%, allocate: erk}}\n"
        "rules:\n"
        "- {id: a, match: {name: [conv_1, conv_2]}, prune: {pattern: {channel: out}, budget: net,"
        " schedule: {curve: step, begin: 0 steps}}}\n"
    )
    plan = make_plan(graph, parse_rules(text, "p.yaml"))
    found = masked(plan)
    assert 0 < found["bn_2/gamma"] == found["conv_2/bias"] == found["conv_2/kernel"] / 72 < 40
    # the first one is so small that ERK leaves it dense, and so are its followers
    assert not any("_1/" in name for name in found)
    assert make_plan(wrap_graph(graph, plan), parse_rules(text, "p.yaml")).is_empty
