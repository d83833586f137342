"""Budgets over groups of channels: exact counts, parameters and multiply-adds of the model."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from builders import build_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_weights import make_weights

from graphprune.errors import RuleError
from graphprune.plan import plan_from_config, plan_to_config, wrap_graph
from graphprune.plan.make import plan_graph
from graphprune.plan.outlook import find_outlook
from graphprune.report import render_plan_text
from graphprune.rules import parse_rules
from graphprune.sparsity.counts import zero_count

IN = "in(batch_input_shape=[None, 9, 9, 3])"
RESIDUAL = (
    f"{IN} > conv_1[3,3,3,8] > bn_1[8] > relu_1 > conv_2[1,1,8,12] > relu_2 > conv_3[1,1,12,8];"
    " relu_1 + conv_3 > add > conv_4[3,3,8,6] > gap:GlobalAveragePooling2D > out[6,2]"
)


def rules(budget, group="auto", match="{isa: Conv2D}"):
    return parse_rules(
        "version: 1\n"
        f"budgets: {{net: {{{budget}}}}}\n"
        "rules:\n"
        "- id: some\n"
        f"  match: {match}\n"
        f"  prune: {{pattern: {{channel: out}}, group: {group}, budget: net,"
        " schedule: {curve: step, begin: 0 steps}}\n",
        "p.yaml",
    )


def plan_of(graph, budget, weights=None, **more):
    weights = weights or make_weights(graph)
    return plan_graph(graph, rules(budget, **more), read_weight=weights.read)


def shares_of(plan):
    """The channels and the share of each group."""
    return {
        coupling.group: (coupling.channels, coupling.share)
        for change in plan.changes
        if change.after is not None
        for coupling in change.after.couplings
    }


def gone(plan):
    return {group: zero_count(*found) for group, found in shares_of(plan).items()}


def test_the_channels_with_the_smallest_scores_of_all_groups_go():
    graph = build_graph(RESIDUAL)
    weights = make_weights(graph)
    plan = plan_of(graph, "sparsity: 50%, allocate: magnitude", weights)

    def scores(*tensors):
        total = sum(
            np.square(weights.tensors[key], dtype=np.float64).reshape(-1, size).sum(0)
            for key in tensors
            for size in [weights.tensors[key].shape[-1]]
        )
        return total / total.mean()

    both = [(f"conv_{n}", name) for n in (1, 3) for name in ("kernel", "bias")]
    expected = {
        "conv_1/out": scores(*both, ("bn_1", "gamma"), ("bn_1", "beta")),
        "conv_2/out": scores(("conv_2", "kernel"), ("conv_2", "bias")),
        "conv_4/out": scores(("conv_4", "kernel"), ("conv_4", "bias")),
    }
    threshold = sorted(np.concatenate(list(expected.values())))[13]
    assert gone(plan) == {
        group: int((found < threshold).sum()) for group, found in expected.items()
    }
    assert sum(gone(plan).values()) == 13
    assert "13 of 26 channels (threshold" in render_plan_text(plan)


def test_uniform_takes_the_same_share_of_each_group():
    plan = plan_of(build_graph(RESIDUAL), "sparsity: 50%")
    assert gone(plan) == {"conv_1/out": 4, "conv_2/out": 6, "conv_4/out": 3}


def test_erk_keeps_of_a_group_what_it_keeps_of_its_weights():
    plan = plan_of(build_graph(RESIDUAL), "sparsity: 50%, allocate: erk")
    # the sums of the axes of the kernels by their products: (17 + 22) / (216 + 96), ...
    ratios = {"conv_1/out": 39 / 312, "conv_2/out": 22 / 96, "conv_4/out": 20 / 432}
    sizes = {group: channels for group, (channels, _) in shares_of(plan).items()}
    kept = {group: size - gone(plan)[group] for group, size in sizes.items()}
    assert kept == {"conv_1/out": 3, "conv_2/out": 9, "conv_4/out": 1}
    (budget,) = plan.budgets
    wished = {group: budget.scale * sizes[group] * ratio for group, ratio in ratios.items()}
    assert all(abs(kept[group] - wished[group]) <= 1 for group in kept)
    assert "13 of 26 channels (eps 3" in render_plan_text(plan)


def test_erk_of_one_tensor_for_each_group_is_that_of_single_weights():
    graph = build_graph(f"{IN} > conv_1[3,3,3,40] > relu > conv_2[3,3,40,60] > out[60,2]")
    match = "{isa: Conv2D}"
    channels = shares_of(plan_of(graph, "sparsity: 80%, allocate: erk", match=match))
    ratios = [1 - share for _, share in channels.values()]
    sums = [(3 + 3 + 3 + 40) / (27 * 40), (3 + 3 + 40 + 60) / (9 * 2400)]
    assert ratios[0] / ratios[1] == pytest.approx(sums[0] / sums[1], rel=0.15)
    assert sum(gone(plan_of(graph, "sparsity: 80%, allocate: erk", match=match)).values()) == 80


def test_over_prunable_the_claimed_groups_lose_for_the_others_too():
    graph = build_graph(RESIDUAL)
    match = "{name: conv_2}"
    (claimed, prunable) = (
        plan_of(graph, f"sparsity: 25%, over: {over}", match=match)
        for over in ("claimed", "prunable")
    )
    assert gone(claimed) == {"conv_2/out": 3}
    assert gone(prunable) == {"conv_2/out": 7}  # of 8 + 12 + 6 and the 2 of the output
    assert (prunable.budgets[0].zeros, prunable.budgets[0].weights) == (7, 28)
    with pytest.raises(RuleError, match=r"can reach 0% to 39\.28%"):
        plan_of(graph, "sparsity: 50%, over: prunable", match=match)


def test_bounds_hold_for_each_group():
    plan = plan_of(build_graph(RESIDUAL), "sparsity: 50%, allocate: magnitude, min: 25%, max: 50%")
    assert gone(plan) == {"conv_1/out": 4, "conv_2/out": 6, "conv_4/out": 3}


def test_a_plan_is_empty_for_the_model_that_followed_it():
    graph = build_graph(RESIDUAL)
    plan = plan_of(graph, "sparsity: 40%, allocate: magnitude, of: macs")
    again = plan_from_config(plan_to_config(plan))
    assert [change.after for change in again.changes] == [change.after for change in plan.changes]
    assert [(one.counts, one.zeros) for one in again.budgets] == [("macs", plan.budgets[0].zeros)]
    wrapped = wrap_graph(graph, plan)
    trained = make_weights(graph, seed=5)  # other magnitudes
    assert plan_of(wrapped, "sparsity: 40%, allocate: magnitude, of: macs", trained).is_empty
    assert not plan_of(wrapped, "sparsity: 60%, allocate: magnitude, of: macs", trained).is_empty


def with_float16(graph):
    """The graph with a first convolution of 16 bits."""
    first = graph.layers["conv_1"]
    halved = tuple(replace(tensor, dtype="float16") for tensor in first.tensors)
    return graph.replace({"conv_1": replace(first, tensors=halved)})


def test_bytes_count_by_the_dtype_of_each_tensor():
    graph = with_float16(build_graph(RESIDUAL))
    plan = plan_of(graph, "sparsity: 40%, of: bytes")
    (budget,) = plan.budgets
    first = sum(tensor.size for tensor in graph.layers["conv_1"].tensors)
    assert (budget.counts, budget.weights) == ("bytes", 4 * graph.parameters - 2 * first)
    assert budget.zeros == plan.outlook.before.bytes - plan.outlook.after.bytes
    assert 0.4 <= budget.zeros / budget.weights < 0.55


def test_channels_that_shrink_cannot_remove_are_left_alone_where_only_removal_counts():
    graph = build_graph(f"{IN} > conv_1[3,3,3,8] > conv_2[1,1,8,4]")  # conv_2 is the output
    budgets = ("sparsity: 50%", "sparsity: 40%, of: params")
    zeros, params = (gone(plan_of(graph, budget)) for budget in budgets)
    assert set(zeros) == {"conv_1/out", "conv_2/out"}
    assert set(params) == {"conv_1/out"}


@pytest.mark.parametrize(
    ("budget", "group", "text"),
    [
        (
            "sparsity: 50%, of: macs",
            "none",
            "budget 'net' counts macs, which only groups of channels change",
        ),
        (
            "sparsity: 99.9%, of: params",
            "auto",
            "budget 'net' (uniform, 99.9% of parameters over claimed) cannot be met: its groups of"
            " channels can reach 0% to",
        ),
    ],
)
def test_a_budget_that_cannot_be_is_an_error(budget, group, text):
    with pytest.raises(RuleError) as caught:
        plan_of(build_graph(RESIDUAL), budget, group=group)
    assert text in str(caught.value)


def random_text(seed):
    """A net of convolutions with some sums and concatenations."""
    rng, width = Random(seed), 3
    parts, last, count = [IN], "in", 0
    for _ in range(rng.randint(2, 5)):
        count += 1
        made = rng.choice([4, 6, 8])
        if rng.random() < 0.3 and last != "in":
            parts.append(f"; {last} > conv_{count}[1,1,{width},{width}] > relu_{count}")
            parts.append(f"; {last} + relu_{count} > add_{count}")
            last = f"add_{count}"
            continue
        if rng.random() < 0.2 and last != "in":
            # two convolutions joined, and added to one that leads both of their groups
            parts.append(f"; {last} > conv_{count}a[1,1,{width},4]")
            parts.append(f"; {last} > conv_{count}b[1,1,{width},6]")
            parts.append(f"; {last} > conv_{count}c[1,1,{width},10]")
            parts.append(f"; conv_{count}a + conv_{count}b > concatenate_{count}")
            parts.append(f"; conv_{count}c + concatenate_{count} > add_{count}")
            last, width = f"add_{count}", 10
            continue
        batch = f" > bn_{count}[{made}]" if rng.random() < 0.5 else ""
        head = " > " if last == "in" else f"; {last} > "
        parts.append(f"{head}conv_{count}[1,1,{width},{made}]{batch} > relu_{count}")
        last, width = f"relu_{count}", made
    return "".join(parts) + f"; {last} > gap:GlobalAveragePooling2D > out[{width},2]"


def with_one_more(plan, graph, group, of):
    """What the model costs if a group keeps one of the channels that go."""
    afters = {}
    for address, after in plan.afters.items():
        couplings = tuple(
            replace(one, share=(zero_count(one.channels, one.share) - 1) / one.channels)
            if one.group == group
            else one
            for one in after.couplings
        )
        afters[address] = replace(after, couplings=couplings)
    return cost_of(find_outlook(graph, afters).after, of)


def cost_of(cost, of):
    return {"params": cost.parameters, "bytes": cost.bytes, "macs": cost.multiply_adds}[of]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["params", "bytes", "macs", "weights"]),
    st.sampled_from(["uniform", "erk", "magnitude"]),
    st.integers(10, 60),
)
def test_a_budget_is_met_with_the_fewest_channels(seed, of, allocate, percent):
    graph = with_float16(build_graph(random_text(seed)))
    try:
        plan = plan_of(graph, f"sparsity: {percent}%, of: {of}, allocate: {allocate}")
    except RuleError as fault:
        assert "cannot be met" in str(fault)  # noqa: PT017 - small nets cannot lose so much
        return
    (budget,) = plan.budgets
    if of == "weights":
        assert sum(gone(plan).values()) == budget.zeros == zero_count(budget.weights, percent / 100)
        return
    outlook = plan.outlook
    before, after = (cost_of(cost, of) for cost in (outlook.before, outlook.after))
    assert (budget.weights, budget.zeros) == (before, before - after)
    assert budget.zeros >= zero_count(before, percent / 100)
    fewer = [with_one_more(plan, graph, group, of) for group, count in gone(plan).items() if count]
    assert any(before - cost < zero_count(before, percent / 100) for cost in fewer)
