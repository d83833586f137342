"""What a plan says that shrink will bring."""

import json

from builders import build_graph

from graphprune.plan import make_plan, plan_from_config, plan_to_config
from graphprune.report import render_plan_text
from graphprune.rules import parse_rules

IN = "in(batch_input_shape=[None, 8, 8, 3])"
CHAIN = f"{IN} > conv_1[3,3,3,8] > bn[8] > relu > conv_2[1,1,8,4] > gap > fc[4,2]"
RESIDUAL = (
    f"{IN} > conv_1[3,3,3,8] > relu_1 > conv_2[1,1,8,8]; relu_1 + conv_2 > add >"
    " conv_3[1,1,8,4] > gap > fc[4,2]"
)


def plan_of(text, pattern="{channel: out}", group="auto", sparsity="50%"):
    rules = parse_rules(
        "version: 1\n"
        "rules:\n"
        "- id: half\n"
        "  match: {type: Conv2D}\n"
        f"  prune: {{pattern: {pattern}, group: {group}, sparsity: {sparsity},"
        " schedule: {curve: step, begin: 0 steps}}\n",
        "p.yaml",
    )
    return make_plan(build_graph(text), rules)


def test_half_of_the_channels_leave_the_model_and_what_reads_them():
    outlook = plan_of(CHAIN).outlook
    before = 3 * 9 * 8 + 8 + 4 * 8 + 8 * 4 + 4 + 4 * 2 + 2
    after = 3 * 9 * 4 + 4 + 4 * 4 + 4 * 2 + 2 + 2 * 2 + 2
    assert (outlook.before.parameters, outlook.after.parameters) == (before, after)
    places = 6 * 6
    assert outlook.before.multiply_adds == places * (27 * 8 + 8 * 4) + 8
    assert outlook.after.multiply_adds == places * (27 * 4 + 4 * 2) + 4
    assert [(layer.address, layer.removed) for layer in outlook.layers] == [
        ("conv_1", 4),
        ("bn", 0),
        ("conv_2", 2),
        ("fc", 0),
    ]


def test_members_of_a_sum_leave_together_only_in_a_group():
    together, alone = (plan_of(RESIDUAL, group=group).outlook for group in ("auto", "none"))
    assert together.layers[0].removed == 4
    removed = {layer.address: layer.removed for layer in alone.layers}
    assert removed.get("conv_1", 0) < 4
    assert removed["conv_3"] == 2


def test_patterns_without_channels_have_no_outlook():
    plan = plan_of(CHAIN, pattern="unstructured", group="none")
    assert plan.outlook is None
    assert "shrink" not in plan_to_config(plan)
    assert "shrink" not in render_plan_text(plan)


def test_the_text_says_it_for_the_model_and_by_layer():
    lines = render_plan_text(plan_of(CHAIN)).splitlines()
    start = lines.index(
        "With graphprune shrink after training: 302 -> 144 parameters (47.7%), 8,936 -> 4,180"
        " multiply-adds (46.8%)"
    )
    assert lines[start + 1 : start + 6] == [
        "  layer   channels  parameters         multiply-adds",
        "  conv_1        -4         112  50.0%          3,888  50.0%",
        "  bn                        16  50.0%",
        "  conv_2        -2          10  27.8%            288  25.0%",
        "  fc                         6  60.0%              4  50.0%",
    ]


def test_the_json_has_it_and_is_read_with_and_without_it():
    plan = plan_of(CHAIN)
    document = json.loads(json.dumps(plan_to_config(plan)))
    assert document["shrink"]["parameters"] == {"before": 302, "after": 144}
    assert document["shrink"]["layers"][0] == {
        "address": "conv_1",
        "type": "Conv2D",
        "removed_channels": 4,
        "parameters": {"before": 224, "after": 112},
        "multiply_adds": {"before": 7776, "after": 3888},
    }
    read = plan_from_config(document)
    assert (read.outlook.before, read.outlook.after) == (plan.outlook.before, plan.outlook.after)
    assert read.outlook.layers == plan.outlook.layers
    assert plan_to_config(read)["shrink"] == document["shrink"]
    assert read == plan_from_config(
        {key: value for key, value in document.items() if key != "shrink"}
    )
