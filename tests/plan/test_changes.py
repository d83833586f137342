from lenet import lenet, rules

from graphprune.plan import make_plan
from graphprune.plan.changes import summarize


def test_figures_of_the_example():
    assert summarize(make_plan(lenet(), rules())).to_config() == {
        "wrap": 2,
        "retarget": 0,
        "rewrap": 0,
        "unwrap": 0,
        "keep": 1,
        "unclaimed": 0,
        "noop": 0,
        "zeros_after": 238_680,
        "sparsity_after": {"claimed": 0.9, "prunable": 0.896619, "parameters": 0.89524},
    }


def test_a_plan_that_prunes_nothing_has_no_share_of_its_claims():
    text = "version: 1\nrules:\n  - {id: keep, match: '*', keep: true}\n"
    figures = summarize(make_plan(lenet(), rules(text))).to_config()
    assert figures["keep"] == 3
    assert figures["sparsity_after"] == {"claimed": 0.0, "prunable": 0.0, "parameters": 0.0}
