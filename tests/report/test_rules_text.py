"""Explanations of layers and rules: an example, and a witness for every relation."""

import json

import pytest
from builders import build_graph
from lenet import lenet

from graphprune.errors import RuleError
from graphprune.report import render_explanation
from graphprune.rules import parse_rules
from graphprune.rules.resolving.explain import explain_layer, explain_rule, explanation_to_config

EXAMPLE = """\
# the first example
version: 1
schedules:
  ramp: {curve: polynomial, power: 3, from: 0, begin: 0 epochs, end: 4 epochs, every: 100 steps}
rules:
  - id: dense-90
    match:
      type: Dense
      not: {last: {type: Dense}}
    prune: {sparsity: 90%, schedule: ramp}
"""
RELATIONS = """\
version: 1
selectors:
  stem: {first: {type: Conv2D}}
rules:
  - {id: a, match: {type: Conv2D, after: {use: stem}, before: {type: Dense}, not: {use: stem}}, \
     keep: true}
  - {id: b, match: {any: [{name: {glob: 'conv*'}}, {fed_by: {type: ReLU, only: true}}], \
     weight: {in: {multiple_of: 64}}}, keep: true}
  - {id: c, match: {between: {after: {use: stem}, before: {type: Dense}}}, keep: true}
  - {id: d, match: {after: {type: Conv2D, hops: 1, until: {type: ReLU}}, inside: {name: net}, \
     params: {gte: 1M}}, keep: true}
"""


def example():
    return parse_rules(EXAMPLE, "prune.yaml")


def relations():
    return build_graph(
        "in > conv_1 > bn > relu > conv_2 > relu_2 > conv_3 > flatten > fc"
    ), parse_rules(RELATIONS, "r.yaml")


def test_a_layer_that_no_rule_claims():
    assert (
        render_explanation(explain_layer(lenet(), example(), "predictions"))
        == "predictions   Dense   kernel [in 100, out 10]   1,000 weights   after fc2\n"
        "\n"
        "  rule dense-90   prune.yaml:6   does not match (1 of 2 conditions)\n"
        "    yes  type: Dense\n"
        "    no   not: last: type: Dense      no Dense follows predictions, so it is the last one\n"
        "\n"
        "  result: left dense, no rule claims it\n"
    )


def test_a_layer_that_is_pruned():
    assert (
        render_explanation(explain_layer(lenet(), example(), "fc1"))
        == "fc1   Dense   kernel [in 784, out 300]   235,200 weights   after flatten\n"
        "\n"
        "  rule dense-90   prune.yaml:6   matches\n"
        "    yes  type: Dense\n"
        "    yes  not: last: type: Dense      fc2 follows fc1\n"
        "\n"
        "  result: pruned by dense-90: 90% unstructured, ramp\n"
    )


def test_a_rule():
    assert (
        render_explanation(explain_rule(lenet(), example(), "dense-90"))
        == "  rule dense-90   matches 2 of 3 candidates: fc1, fc2\n"
        "  nearest misses: predictions (1 of 2; fails: not last Dense)\n"
    )


def test_a_layer_that_rules_cannot_claim():
    assert (
        render_explanation(explain_layer(lenet(), example(), "flatten"))
        == "flatten   Flatten   after in\n\n"
        "  result: no prunable weights, so no rule can claim it\n"
    )


def test_every_relation_names_a_witness():
    assert (
        render_explanation(explain_layer(*relations(), "conv_2"))
        == "conv_2   Conv2D   kernel [3, 3, in 4, out 4]   144 weights   after relu\n\n"
        "  rule a   r.yaml:5   matches\n"
        "    yes  type: Conv2D\n"
        "    yes  after: use: stem           after conv_1: reached through conv_1 > bn > relu >"
        " conv_2\n"
        "    yes  before: type: Dense        before fc: reached through conv_2 > relu_2 > conv_3"
        " > flatten > fc\n"
        "    yes  not: use: stem\n"
        "    no     first: type: Conv2D      conv_1 comes before conv_2: reached through conv_1"
        " > bn > relu > conv_2\n\n"
        "  rule b   r.yaml:6   does not match (1 of 2 conditions)\n"
        "    no   weight: in a multiple of 64                                         is kernel"
        " [3, 3, in 4, out 4]\n"
        "    yes  any: [name: {glob: 'conv*'}, fed_by: {type: ReLU, only: true}]\n"
        "    yes    name: {glob: 'conv*'}\n"
        "    yes    fed_by: {type: ReLU, only: true}                                  fed by"
        " relu\n\n"
        "  rule c   r.yaml:7   matches\n"
        "    yes  between: {after: use: stem, before: type: Dense}      after conv_1: reached"
        " through conv_1 > bn > relu > conv_2; before fc: reached through conv_2 > relu_2 >"
        " conv_3 > flatten > fc\n\n"
        "  rule d   r.yaml:8   does not match (0 of 3 conditions)\n"
        "    no  params: at least 1,000,000                             is 144\n"
        "    no  inside: name: net                                      is in no nested model\n"
        "    no  after: {type: Conv2D, hops: 1, until: type: ReLU}      conv_1 is 3 calls away:"
        " reached through conv_1 > bn > relu > conv_2\n\n"
        "  result: kept dense by a (same settings: c)\n"
    )


def test_a_way_through_a_shared_layer_tells_its_calls_apart():
    graph = build_graph("in > shared:Dense > relu > shared > drop > pool > out")
    text = (
        "version: 1\n"
        "rules: [{id: a, match: {after: {type: ReLU}}, keep: true}, {id: b, match: {before: {type:"
        " MaxPooling2D}}, keep: true}]"
    )
    rules = parse_rules(text, "r.yaml")
    assert [rule.conditions[0].why for rule in explain_layer(graph, rules, "shared").rules] == [
        "after relu",
        "before pool: reached through shared (call 2) > drop > pool",
    ]
    assert (
        explain_layer(graph, rules, "out").rules[0].conditions[0].why
        == "after relu: reached through relu > shared (call 2) > drop > pool > out"
    )


def test_what_stands_in_the_way_is_said():
    rules = {
        rule.id: [condition.why for condition in rule.conditions]
        for rule in explain_layer(*relations(), "conv_1").rules
    }
    assert rules["a"][1] == "no layer of stem comes before conv_1; the nearest is in (InputLayer)"
    assert rules["c"] == ["is itself a layer of stem"]
    fed_by = explain_layer(*relations(), "conv_1").rules[1].conditions[1].parts[1]
    assert (fed_by.holds, fed_by.why) == (
        False,
        "fed by in (InputLayer), which fails ReLU (is InputLayer)",
    )


NET = build_graph(
    "in > conv_1(padding='same')[3,3,3,8] > bn_1 > relu_1 > conv_2[1,1,8,8] > relu_2 >"
    " conv_3[3,3,8,8] ; conv_1 + conv_3 > add > flatten > fc[64,8] > inner > pred[8,2]",
    models={"inner": "in_a > head_1[8,8] > head_2[8,8]"},
)


@pytest.mark.parametrize(
    ("address", "match", "why"),
    [
        ("conv_1", "{type: Dense}", "is Conv2D"),
        ("conv_1", "{isa: [Dense, Embedding]}", "is Conv2D"),
        ("conv_1", "{config: {padding: valid}}", "is same"),
        ("conv_1", "{config: {units: {gte: 3}}}", "is not there"),
        ("conv_1", "{params: {gte: 1k}}", "is 216"),
        ("conv_1", "{calls: {gte: 2}}", "is 1"),
        ("conv_1", "{trainable: false}", "is true"),
        ("conv_1", "{produces_output: true}", "is false"),
        (
            "conv_1",
            "{name: {regex: 'conv'}}",
            "finds only 'conv', and the whole address must match",
        ),
        ("conv_1", "{name: {regex: 'fc.*'}}", ""),
        (
            "inner::head_1",
            "{name: {glob: 'head_*'}}",
            "'*' stays inside one model; '**head_*' would match",
        ),
        ("conv_1", "{weight: {in: 8}}", "is kernel [3, 3, in 3, out 8]"),
        (
            "conv_1",
            "{weight: {in: 8, out: 8, kernel: [3, 3], dtype: float16}}",
            "kernel [3, 3, in 3, out 8] fails dtype, in",
        ),
        ("inner::head_1", "{inside: {name: inner}}", "inside inner"),
        ("inner::head_1", "{inside: {name: other}}", "is inside inner"),
        ("fc", "{inside: {name: inner}}", "is in no nested model"),
        (
            "conv_1",
            "{first: {isa: Conv2D}}",
            "no Conv2D comes before conv_1, so it is the first one",
        ),
        (
            "conv_3",
            "{first: {isa: Conv2D}}",
            "conv_2 comes before conv_3: reached through conv_2 > relu_2 > conv_3",
        ),
        ("fc", "{first: {isa: Conv2D}}", "is no Conv2D"),
        (
            "conv_1",
            "{last: {type: Conv2D, config: {padding: valid}}}",
            "holds 1 of 2 conditions; fails padding: valid (is same)",
        ),
        ("conv_2", "{fed_by: {type: ReLU}}", "fed by relu_1"),
        (
            "conv_2",
            "{fed_by: {type: Conv2D}}",
            "fed by relu_1 (ReLU), which fails Conv2D (is ReLU)",
        ),
        (
            "conv_1",
            "{feeds: {type: BatchNormalization, config: {axis: [1]}}}",
            (
                "feeds bn_1 (BatchNormalization), which holds 1 of 2 conditions; fails axis: [1]"
                " (is [-1])"
            ),
        ),
        (
            "conv_1",
            "{feeds: {type: Add, every: true}}",
            "feeds bn_1 (BatchNormalization), which fails Add (is BatchNormalization)",
        ),
        ("conv_1", "{feeds: {type: Add, only: true}}", "feeds bn_1, add, not one alone"),
        ("pred", "{feeds: {type: Dense}}", "feeds nothing"),
        (
            "conv_3",
            "{after: {type: Conv2D, hops: 2}}",
            "after conv_2: reached through conv_2 > relu_2 > conv_3",
        ),
        (
            "conv_3",
            "{after: {type: BatchNormalization, hops: 2}}",
            "bn_1 is 4 calls away: reached through bn_1 > relu_1 > conv_2 > relu_2 > conv_3",
        ),
        (
            "conv_3",
            "{after: {type: BatchNormalization, until: {type: ReLU}}}",
            (
                "relu_1 stops the walk from bn_1: reached through bn_1 > relu_1 > conv_2 > relu_2 >"
                " conv_3"
            ),
        ),
        (
            "conv_2",
            "{before: {type: Dense, until: {type: [Add, Flatten]}}}",
            (
                "flatten stops the walk to fc: reached through conv_2 > relu_2 > conv_3 > add >"
                " flatten > fc"
            ),
        ),
        (
            "conv_2",
            "{after: {type: Add}}",
            "no Add comes before conv_2; the nearest is relu_1 (ReLU)",
        ),
        (
            "fc",
            "{before: {type: Dense, config: {units: 99}}}",
            (
                "no layer (Dense, and units: 99) follows fc; nearest: inner::head_1 (Dense) holds 1"
                " of 2 conditions; fails units: 99 (is 8)"
            ),
        ),
        ("pred", "{before: {type: Dense}}", "no Dense follows pred"),
        (
            "conv_2",
            "{between: {after: {name: conv_1}, before: {name: fc}}}",
            (
                "after conv_1: reached through conv_1 > bn_1 > relu_1 > conv_2; before fc: reached"
                " through conv_2 > relu_2 > conv_3 > add > flatten > fc"
            ),
        ),
        (
            "fc",
            "{between: {after: {name: conv_1}, before: {type: Add}}}",
            (
                "after conv_1: reached through conv_1 > add > flatten > fc; no Add follows fc; the"
                " nearest is inner::head_1 (Dense)"
            ),
        ),
        ("fc", "{between: {after: {name: conv_1}, before: {name: fc}}}", "is itself name 'fc'"),
    ],
)
def test_each_key_says_why(address, match, why):
    rules = parse_rules(f"version: 1\nrules: [{{id: a, match: {match}, keep: true}}]", "r.yaml")
    found = explain_layer(NET, rules, address)
    assert [condition.why for condition in found.rules[0].conditions] == [why]
    config = explanation_to_config(found)["rules"][0]["conditions"][0]
    assert (config["why"], config["holds"]) == (why, found.rules[0].conditions[0].holds)


@pytest.mark.parametrize(
    ("match", "misses"),
    [
        # one of two leaves beats one of three; a leaf inside a selector, or under `not any`, counts
        # as one that stands alone
        (
            (
                "{any: [{type: Conv2D, params: {gte: 9k}, trainable: false}, {type: Dense, params:"
                " {gte: 9k}}]}"
            ),
            (
                "fc (1 of 2; fails: params at least 9,000 (is 512)), inner::head_1 (1 of 2; fails:"
                " params at least 9,000 (is 64)), inner::head_2 (1 of 2; fails: params at least"
                " 9,000 (is 64))"
            ),
        ),
        (
            "{use: padded, params: {lt: 100}}",
            (
                "conv_1 (2 of 3; fails: params below 100 (is 216)), conv_2 (2 of 3; fails: padding:"
                " same (is valid)), conv_3 (1 of 3; fails: params below 100 (is 576), padding: same"
                " (is valid))"
            ),
        ),
        (
            (
                "{type: Conv2D, not: {any: [{name: conv_1}, {config: {padding: same}}, {params:"
                " {lt: 100}}, {params: {gte: 500}}]}}"
            ),
            (
                "conv_2 (4 of 5; fails: not params below 100), conv_3 (4 of 5; fails: not params at"
                " least 500), conv_1 (3 of 5; fails: not name 'conv_1', not padding: same)"
            ),
        ),
    ],
)
def test_near_misses_rank_by_the_share_of_leaves(match, misses):
    text = (
        "version: 1\n"
        "selectors: {padded: {isa: Conv2D, config: {padding: same}}}\n"
        f"rules: [{{id: a, match: {match}, keep: true, expect: {{gte: 0}}}}]"
    )
    found = explain_rule(NET, parse_rules(text, "r.yaml"), "a")
    assert found.misses == f"nearest misses: {misses}"
    nearest = explanation_to_config(found)["nearest"]
    assert (
        ", ".join(
            f"{miss['address']} ({miss['met']} of {miss['of']}; fails: {', '.join(miss['fails'])})"
            for miss in nearest
        )
        == misses
    )


def test_layers_that_another_rule_decides_are_told():
    rules = parse_rules(
        EXAMPLE + "  - {id: first, match: {first: {type: Dense}}, keep: true}\n", "prune.yaml"
    )
    found = render_explanation(explain_rule(lenet(), rules, "dense-90"))
    assert found.splitlines()[1] == "  decided by others: fc1 (first)"
    assert render_explanation(explain_layer(lenet(), rules, "fc1")).endswith(
        "  result: kept dense by first (beats dense-90)\n"
    )


def test_rules_that_disagree_are_told():
    rules = parse_rules(
        EXAMPLE + "  - {id: half, match: {name: fc1}, prune: {sparsity: 50%, schedule: ramp}}\n",
        "prune.yaml",
    )
    found = explain_layer(lenet(), rules, "fc1")
    assert found.result == "no rule decides: dense-90 and half claim it with different settings"


def test_the_documents():
    config = explanation_to_config(explain_layer(lenet(), example(), "predictions"))
    assert json.loads(json.dumps(config)) == config
    assert config["rules"][0]["conditions"][1] == {
        "condition": "not: last: type: Dense",
        "holds": False,
        "why": "no Dense follows predictions, so it is the last one",
        "parts": [],
    }
    rule = explanation_to_config(explain_rule(lenet(), example(), "dense-90"))
    assert (rule["selected"], rule["where"]) == (
        ["fc1", "fc2"],
        {"file": "prune.yaml", "line": 6, "column": 5},
    )


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: explain_layer(lenet(), example(), "fc_1"),
            (
                "error[layer/unknown]: no layer has the address 'fc_1'\n"
                "  --> --layer fc_1\n"
                "  help: closest: 'fc1'.  All addresses: graphprune layers MODEL"
            ),
        ),
        (
            lambda: explain_rule(lenet(), example(), "dense"),
            (
                "error[rule/unknown]: no rule has the id 'dense'\n"
                "  --> --rule dense\n"
                "  help: closest: 'dense-90'"
            ),
        ),
        (
            lambda: explain_rule(lenet(), example(), "x"),
            (
                "error[rule/unknown]: no rule has the id 'x'\n"
                "  --> --rule x\n"
                "  help: available: dense-90"
            ),
        ),
    ],
)
def test_unknown_names_get_close_ones(ask, message):
    with pytest.raises(RuleError) as caught:
        ask()
    assert str(caught.value) == message
