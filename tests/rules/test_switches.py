"""`--only`, `--off` and `--set`: what the command line changes in rule files."""

import pytest

from graphprune.errors import RuleError
from graphprune.rules import parse_rules, read_rules
from graphprune.rules.rule_set import Switches

TEXT = """\
version: 1
vars: {final: 0.9}
schedules: {once: {curve: step, begin: 0 steps}}
budgets: {net: {sparsity: 95%}}
rules:
- {id: dense-90, match: {type: Dense}, prune: {sparsity: "${final}", schedule: once}}
- {id: convs, match: {type: Conv2D}, prune: {budget: net, schedule: once}}
- {id: keep-last, match: {last: "*"}, keep: true, overrides: [convs]}
"""


def read(only=(), off=(), **settings):
    switches = Switches(tuple(only), tuple(off), (), tuple((path.replace("__", "-"), text) for path, text in settings.items()))
    return parse_rules(TEXT, "p.yaml", switches=switches)


def set_fields(*settings):
    return parse_rules(TEXT, "p.yaml", switches=Switches(settings=settings))


def faults(**switches):
    with pytest.raises(RuleError) as caught:
        parse_rules(TEXT, "p.yaml", switches=Switches(**switches))
    return str(caught.value)


def test_rules_are_left_out_by_id():
    assert [rule.id for rule in read(only=["convs", "keep-last"], off=["convs"]).rules] == ["keep-last"]
    assert [rule.id for rule in read(off=["convs"]).rules] == ["dense-90", "keep-last"]
    assert read(off=["convs"]).switches == Switches(off=("convs",))


def test_a_field_is_set_from_yaml():
    rules = set_fields(
        ("dense-90.prune.sparsity", "75%"),
        ("dense-90.prune.pattern", "{block: {in: 4}}"),
        ("dense-90.prune.schedule.curve", "step"),
        ("budgets.net.sparsity", "0.9"),
        ("convs.prune.pattern.block.in", "2"),
        ("convs.prune.misfit", "skip"),
    )
    dense, convs, _ = (rule.action for rule in rules.rules)
    assert (dense.sparsity, str(dense.pattern), str(dense.schedule)) == (0.75, "block in 4, mean", "step 0 steps")
    assert (convs.sparsity, convs.budget.sparsity, str(convs.pattern), convs.misfit) == (0.9, 0.9, "block in 2, mean", "skip")


def test_what_was_switched_is_said_as_it_was_typed(tmp_path):
    (tmp_path / "p.yaml").write_text(TEXT)
    rules = read_rules(tmp_path / "p.yaml", only=["dense-90"], off=["convs"], variables={"final": "0.8"}, settings={"dense-90.prune.weights": "kernel"})
    assert str(rules.switches) == "--only dense-90 --off convs --var final=0.8 --set dense-90.prune.weights=kernel"
    assert (rules.rules[0].action.sparsity, rules.rules[0].action.weights) == (0.8, ("kernel",))


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"only": ("dens-90",)}, "rule/unknown]: no rule has the id 'dens-90'\n  --> --only dens-90\n  help: closest: 'dense-90'"),
        ({"off": ("x",)}, "rule/unknown]: no rule has the id 'x'\n  --> --off x\n  help: there are convs, dense-90, keep-last"),
        (
            {"only": ("convs",), "off": ("convs",)},
            "rule/unknown]: no rule is left\n  --> --only convs --off convs\n  help: the files have convs, dense-90, keep-last",
        ),
        (
            {"settings": (("dens-90.prune.sparsity", "0.5"),)},
            "rule/unknown]: no rule has the id 'dens-90'\n  --> --set dens-90.prune.sparsity=0.5\n  help: closest: 'dense-90'",
        ),
        (
            {"settings": (("budgets.nett.sparsity", "0.5"),)},
            "budget/unknown]: no budget is named 'nett'\n  --> --set budgets.nett.sparsity=0.5\n  help: closest: 'net'",
        ),
        (
            {"settings": (("dense-90.sparsity", "0.5"),)},
            "key/unknown]: no field of a rule's action or of a budget has this path\n  --> --set dense-90.sparsity=0.5\n"
            "  help: write RULE.prune.FIELD=VALUE or budgets.NAME.FIELD=VALUE, as in dense-90.prune.sparsity=0.5",
        ),
        (
            {"settings": (("keep-last.prune.sparsity", "0.5"),)},
            "value/range]: rule 'keep-last' has no prune action whose fields could be set\n  --> --set keep-last.prune.sparsity=0.5\n"
            "  help: leave it out instead: --off keep-last",
        ),
        (
            {"settings": (("dense-90.prune.sparsity", "1.5"),)},
            "value/range]: rule 'dense-90': sparsity must be at least 0 and below 1, got 1.5\n  --> --set dense-90.prune.sparsity=1.5",
        ),
        (
            {"settings": (("dense-90.prune.sparsety", "0.5"),)},
            "key/unknown]: rule 'dense-90': unknown key 'sparsety' in prune\n  --> --set dense-90.prune.sparsety=0.5\n"
            "  help: closest: 'sparsity'; known here: sparsity, budget, schedule, pattern, weights, misfit, like",
        ),
        (
            {"settings": (("dense-90.prune.pattern", "{block"),)},
            "yaml/syntax]: not readable as YAML: expected ',' or '}', but got '<stream end>'\n  --> --set dense-90.prune.pattern={block",
        ),
    ],
)
def test_a_switch_that_cannot_be_followed(switches, message):
    assert faults(**switches) == f"error[{message}"
