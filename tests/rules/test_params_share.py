"""`params_share`: a layer's share of all prunable weights of the model."""

import pytest
from builders import build_graph

from graphprune.errors import RuleError
from graphprune.rules import Matches, parse_matcher, parse_rules, resolve_rules
from graphprune.rules.resolving.explain import explain_layer

# 1,000 prunable weights: 2.5%, 22.5% and 75%.
GRAPH = build_graph("in > fc_1[5,5] > fc_2[15,15] > relu_1 > fc_3[30,25]")


def select(match):
    found = Matches(GRAPH).of(parse_matcher(match, "match"))
    return [address for address in GRAPH.layers if address in found]


@pytest.mark.parametrize(
    ("test", "layers"),
    [
        ("{gte: 5%}", ["fc_2", "fc_3"]),
        ("{gte: 22.5%}", ["fc_2", "fc_3"]),
        ("{gt: 22.5%}", ["fc_3"]),
        ("{gt: 0, lt: 0.05}", ["fc_1"]),
        ("75%", ["fc_3"]),
        ("{ne: 75%}", ["in", "fc_1", "fc_2", "relu_1"]),
        ("{lte: 100%}", ["in", "fc_1", "fc_2", "relu_1", "fc_3"]),
        ("{gte: 1}", []),
    ],
)
def test_the_layers_with_such_a_share(test, layers):
    assert select(f"{{params_share: {test}}}") == layers


def test_a_layer_alone_has_all_of_the_weights():
    alone = build_graph("in > fc[4,4]")
    assert list(Matches(alone).of(parse_matcher("{params_share: 1}", "match"))) == ["fc"]


def test_a_model_without_prunable_weights_has_shares_of_zero():
    empty = build_graph("in > relu_1")
    assert list(Matches(empty).of(parse_matcher("{params_share: {gt: 0}}", "match"))) == []


def rules(match):
    return parse_rules(f"version: 1\nrules: [{{id: a, match: {match}, keep: true}}]\n", "p.yaml")


def test_explain_says_what_the_share_is():
    explained = explain_layer(GRAPH, rules("{params_share: {gte: 5%}}"), "fc_1")
    (condition,) = explained.rules[0].conditions
    assert (condition.text, condition.holds, condition.why) == (
        "params_share: at least 5%",
        False,
        "is 2.5%",
    )


def test_a_rule_without_a_layer_is_told_the_shares_that_there_are():
    (fault,) = resolve_rules(GRAPH, rules("{params_share: {gt: 75%}}")).diagnostics
    assert (fault.slug, fault.help) == (
        "rule/no-match",
        "the layers have from 2.5% to 75% of the prunable weights; write 'expect: {gte: 0}' if"
        " none is fine",
    )


@pytest.mark.parametrize(
    ("test", "message", "help"),
    [
        ("5", "must be from 0 to 1, or from 0% to 100%, got 5", "did you mean 5%?"),
        (
            "{lte: 120%}",
            "must be from 0 to 1, or from 0% to 100%, got '120%'",
            "all prunable weights are 100%",
        ),
        ("most", "must be a share such as 0.05 or 5%, got 'most'", "write for example 5%"),
        ("{gte: true}", "must be a share such as 0.05 or 5%, got true", "write for example 5%"),
        ("{gt: 50%, lt: 10%}", "cannot hold for any number: above 50% and below 10%", None),
    ],
)
def test_what_is_no_share_is_refused(test, message, help):
    with pytest.raises(RuleError) as caught:
        rules(f"{{params_share: {test}}}")
    (fault,) = caught.value.diagnostics
    assert message in fault.message
    assert help in (None, fault.help)
