"""Three examples of rule files with their exact numbers, and what holds for the plan of every
example: same bytes, empty when applied, any order.
"""

import json

import pytest
from builders import build_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from planned import plan_with

from graphprune.errors import RuleError
from graphprune.plan import make_plan, plan_to_config, wrap_graph
from graphprune.report import render_plan_text
from graphprune.rules import parse_rules, read_rules

EXAMPLE_4 = """\
version: 1
rules:
  - id: big-dense-2of4
    match: {type: Dense, params: {gte: 1M}}
    prune:
      pattern: {keep: 2, of: 4, along: in}
      schedule: {curve: step, begin: 1 epoch}
"""
EXAMPLE_5 = """\
version: 1
rules:
  - id: block-4in-1out
    match:
      type: Dense
      weight: {in: {multiple_of: 4}}
      not: {last: {type: Dense}}
    prune:
      pattern: {block: {in: 4, out: 1}, pool: mean}
      sparsity: 80%
      schedule: {curve: linear, begin: 0 epochs, end: 5 epochs, every: 500 steps}
"""
EXAMPLE_6 = """\
version: 1
budgets:
  net: {sparsity: 95%, allocate: erk, over: claimed}
rules:
  - id: stem-stays-dense
    match: {first: {isa: Conv2D}}
    keep: true
  - id: the-rest
    match: "*"
    prune:
      budget: net
      schedule: {curve: polynomial, from: 0, begin: 0 epochs, end: 20 epochs, every: 100 steps}
"""
WIDE = "in > fc1[4096,256] > fc2[256,1000] > fc3[1000,10]"
MLP = "in > fc1[784,300] > fc2[300,102] > fc3[102,50] > fc4[50,10]"
SIX = (
    "in > conv1[3,3,3,32] > conv2[3,3,32,64] > conv3[3,3,64,128] > conv4[1,1,128,256] > flatten >"
    " fc1[4096,256] > fc2[256,10]"
)
EXAMPLES = {"4": (EXAMPLE_4, WIDE), "5": (EXAMPLE_5, MLP), "6": (EXAMPLE_6, SIX)}


def plan(number, graph=None, text=None, **options):
    rules, drawn = EXAMPLES[number]
    graph = graph or build_graph(drawn)
    zeros = {
        (layer.address, tensor.name): 0
        for layer in graph.layers.values()
        for tensor in layer.prunable
    }
    return plan_with(
        graph, parse_rules(text or rules, "prune.yaml"), zeros=zeros, path="net.keras", **options
    )


def fault(*args, **options):
    with pytest.raises(RuleError) as caught:
        plan(*args, **options)
    return str(caught.value)


def test_example_4_selects_large_dense_layers_and_halves_them():
    assert render_plan_text(plan("4")).splitlines()[5:9] == [
        (
            "  + fc1  Dense  kernel [in 4096, out 256]  1,048,576   0.0% -> 50.0%  keep 2 of 4"
            " along in (2 zeros in each 4)  step 1 epoch   big-dense-2of4"
        ),
        (
            "  ? fc2  Dense  kernel [in 256, out 1000]    256,000   "
            "dense                                                                   no rule"
        ),
        (
            "  ? fc3  Dense  kernel [in 1000, out 10]      10,000   "
            "dense                                                                   no rule"
        ),
        "",
    ]
    assert plan("4").changes[0].tensors[0].zeros_after == 524_288


def test_example_4_stops_where_the_pattern_does_not_fit():
    graph = build_graph("in > fc7[1023,1200] > fc8[1200,10]")
    assert (
        fault("4", graph)
        == "error[pattern/misfit]: 'keep 2 of 4 along in' does not fit kernel [in 1023, out 1200]"
        " of 'fc7' (1023 is not a multiple of 4)\n"
        "  --> prune.yaml:6:7\n"
        "  help: add 'weight: {in: {multiple_of: 4}}' to the match, or 'misfit: skip' / 'misfit:"
        " pad'"
    )
    text = EXAMPLE_4 + "      misfit: skip\n"
    assert plan("4", graph, text).changes[0].action_reason == "misfit_skipped"


def test_example_4_takes_the_sparsity_that_the_pattern_fixes_and_no_other():
    assert plan("4", text=EXAMPLE_4 + "      sparsity: 0.5\n").changes == plan("4").changes
    assert (
        fault("4", text=EXAMPLE_4 + "      sparsity: 0.75\n")
        == "error[value/range]: rule 'big-dense-2of4': sparsity must be 0.5, which 'keep 2 of 4"
        " along in' fixes, got 0.75\n"
        "  --> prune.yaml:8:17\n"
        "  help: delete it"
    )


def test_example_5_zeroes_whole_blocks():
    assert render_plan_text(plan("5")).splitlines()[5:9] == [
        (
            "  + fc1  Dense  kernel [in 784, out 300]  235,200   0.0% -> 80.0%  block in 4 x out 1,"
            " mean  linear 0 epochs..5 epochs   block-4in-1out"
        ),
        (
            "  + fc2  Dense  kernel [in 300, out 102]   30,600   0.0% -> 80.0%  block in 4 x out 1,"
            " mean  linear 0 epochs..5 epochs   block-4in-1out"
        ),
        (
            "  ? fc3  Dense  kernel [in 102, out 50]     5,100   "
            "dense                                                                no rule"
        ),
        (
            "  ? fc4  Dense  kernel [in 50, out 10]        500   "
            "dense                                                                no rule"
        ),
    ]
    zeros = [tensor.zeros_after for change in plan("5").changes[:2] for tensor in change.tensors]
    assert zeros == [
        4 * (blocks - max(1, round(blocks * 0.2))) for blocks in (235_200 // 4, 30_600 // 4)
    ]


def test_example_6_row_by_row():
    assert render_plan_text(plan("6")).splitlines() == [
        (
            "model  net.keras    8 layers, 6 prunable tensors, 1,176,928 prunable of 1,177,674"
            " parameters"
        ),
        "rules  prune.yaml   2 rules",
        "",
        "  + wrap   = keep dense",
        "",
        (
            "  = conv1  Conv2D  kernel [3, 3, in 3, out 32]           864   "
            "dense                                                         stem-stays-dense (beats"
            " the-rest)"
        ),
        (
            "  + conv2  Conv2D  kernel [3, 3, in 32, out 64]       18,432   0.0% -> 93.8%  "
            "unstructured  polynomial 0 epochs..20 epochs   the-rest"
        ),
        (
            "  + conv3  Conv2D  kernel [3, 3, in 64, out 128]      73,728   0.0% -> 97.0%  "
            "unstructured  polynomial 0 epochs..20 epochs   the-rest"
        ),
        # 28,459 of 32,768 are 86.84998%
        (
            "  + conv4  Conv2D  kernel [1, 1, in 128, out 256]     32,768   0.0% -> 86.8%  "
            "unstructured  polynomial 0 epochs..20 epochs   the-rest"
        ),
        (
            "  + fc1    Dense   kernel [in 4096, out 256]       1,048,576   0.0% -> 95.4%  "
            "unstructured  polynomial 0 epochs..20 epochs   the-rest"
        ),
        (
            "  = fc2    Dense   kernel [in 256, out 10]             2,560   "
            "dense                                                         the-rest (ERK would keep"
            " 115% of its weights)"
        ),
        "",
        (
            "  budget net   erk, 95% over claimed: 1,117,261 zeros of 1,176,064 (eps 11.1638);"
            " 94.93% of prunable"
        ),
        "",
        "2 layers without prunable weights hidden (--all shows them).",
        "",
        "Plan: 4 to wrap, 0 to retarget, 0 to rewrap, 0 to unwrap; 2 kept dense, 0 unclaimed.",
        (
            "Zeros when finished: 1,117,261 = 95.0% of claimed, 94.9% of prunable, 94.9% of all"
            " parameters."
        ),
    ]
    kept = [
        tensor.size - (tensor.zeros_after or 0)
        for change in plan("6").changes[1:]
        for tensor in change.tensors
    ]
    assert kept == [1_139, 2_210, 4_309, 48_585, 2_560]
    assert sum(kept) == 58_803
    assert [
        (change.actions, change.action_reason)
        for change in plan("6").changes
        if change.address == "fc2"
    ] == [(("keep",), "dense_by_budget")]


def test_example_6_as_json():
    assert plan_to_config(plan("6"))["budgets"] == [
        {
            "name": "net",
            "sparsity": 0.95,
            "allocate": "erk",
            "over": "claimed",
            "min": None,
            "max": None,
            "weights": 1_176_064,
            "zeros_after": 1_117_261,
            "sparsity_after": 0.95,
            "scale": 11.163755,
            "dense": [{"address": "fc2", "tensor": "kernel", "size": 2560, "wanted": 1.151961}],
        }
    ]


def test_example_6_over_prunable_asks_for_more():
    assert (
        plan("6", text=EXAMPLE_6.replace("over: claimed", "over: prunable")).budgets[0].zeros
        == 1_118_082
    )


@pytest.mark.parametrize("number", EXAMPLES)
def test_two_runs_give_the_same_bytes_and_a_plan_of_the_result_is_empty(number):
    first, second = plan(number), plan(number)
    assert json.dumps(plan_to_config(first)) == json.dumps(plan_to_config(second))
    assert render_plan_text(first) == render_plan_text(second)
    wrapped = wrap_graph(build_graph(EXAMPLES[number][1]), first)
    assert (
        render_plan_text(plan(number, wrapped))
        == "No changes. The model already follows prune.yaml.\n"
    )


def test_a_budget_of_another_sparsity_retargets():
    wrapped = wrap_graph(build_graph(SIX), plan("6"))
    again = plan("6", wrapped, EXAMPLE_6.replace("95%", "90%"))
    assert {change.actions for change in again.changes if change.is_change} == {("retarget",)}
    assert again.changes[1].action_reason == "sparsity_and_shares_changed"


GRAPH = build_graph(SIX)
ONCE = "schedule: {curve: step, begin: 0 steps}"
PARTS = (
    f"  - {{id: a, match: {{type: Dense}}, prune: {{budget: net, {ONCE}}}}}",
    "  - {id: b, match: {isa: Conv2D}, prune: {like: a, budget: rest}}",
    (
        "  - {id: c, match: {name: fc1}, prune: {pattern: {keep: 2, of: 4, along: in},"
        f" {ONCE}}}, overrides: [a]}}"
    ),
    "  - {id: d, match: {first: '*'}, keep: true}",
    "  - {id: e, match: {name: [conv1, conv2]}, prune: {like: b}, overrides: [d]}",
    "  - {id: f, match: {name: conv3}, prune: {like: a, sparsity: 40%}, overrides: [b, e]}",
)
BUDGETS = ("  net: {sparsity: 50.2%, allocate: erk, over: prunable}", "  rest: {sparsity: 70%}")


def decided(plan):
    config = plan_to_config(plan)
    for change in config["layer_changes"]:
        change["rule"] = change["rule"] and change["rule"]["id"]
    return {key: value for key, value in config.items() if key not in ("rules", "diagnostics")}


@settings(max_examples=25)
@given(st.permutations(PARTS), st.permutations(BUDGETS), st.integers(0, len(PARTS)))
def test_the_order_of_rules_and_files_never_changes_a_plan(tmp_path_factory, parts, budgets, cut):
    folder = tmp_path_factory.mktemp("rules")
    sections = [
        f"budgets:\n{budgets[0]}\nrules:\n" + "\n".join(parts[:cut]),
        f"budgets:\n{budgets[1]}\nrules:\n" + "\n".join(parts[cut:]),
    ]
    paths = [folder / f"{index}.yaml" for index in (0, 1)]
    for path, section in zip(paths, sections, strict=True):
        path.write_text(f"version: 1\n{section}\n".replace("rules:\n\n", "rules: []\n"))
    whole = parse_rules(
        "version: 1\nbudgets:\n" + "\n".join(BUDGETS) + "\nrules:\n" + "\n".join(PARTS) + "\n",
        "p.yaml",
    )
    expected = decided(make_plan(GRAPH, whole))
    one, other = (make_plan(GRAPH, read_rules(*order)) for order in (paths, reversed(paths)))
    assert decided(one) == decided(other) == expected
    assert one.diagnostics == other.diagnostics
    assert [change["rule"] for change in expected["layer_changes"]] == [
        "b",
        "b",
        "f",
        "b",
        "c",
        "a",
    ]
