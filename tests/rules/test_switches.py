"""`--only`, `--off` and `--set`: what the command line changes in rule files."""

import pytest

from graphprune.errors import RuleError
from graphprune.rules import parse_rules, read_rules
from graphprune.rules.values.rule_set import Switches

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
    switches = Switches(
        tuple(only),
        tuple(off),
        (),
        tuple((path.replace("__", "-"), text) for path, text in settings.items()),
    )
    return parse_rules(TEXT, "p.yaml", switches=switches)


def set_fields(*settings):
    return parse_rules(TEXT, "p.yaml", switches=Switches(settings=settings))


def faults(**switches):
    with pytest.raises(RuleError) as caught:
        parse_rules(TEXT, "p.yaml", switches=Switches(**switches))
    return str(caught.value)


def test_rules_are_left_out_by_id():
    assert [rule.id for rule in read(only=["convs", "keep-last"], off=["convs"]).rules] == [
        "keep-last"
    ]
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
    assert (dense.sparsity, str(dense.pattern), str(dense.schedule)) == (
        0.75,
        "block in 4, mean",
        "step 0 steps",
    )
    assert (convs.sparsity, convs.budget.sparsity, str(convs.pattern), convs.misfit) == (
        0.9,
        0.9,
        "block in 2, mean",
        "skip",
    )


def test_what_was_switched_is_said_as_it_was_typed(tmp_path):
    (tmp_path / "p.yaml").write_text(TEXT)
    rules = read_rules(
        tmp_path / "p.yaml",
        only=["dense-90"],
        off=["convs"],
        variables={"final": "0.8"},
        settings={"dense-90.prune.weights": "kernel"},
    )
    assert (
        str(rules.switches)
        == "--only dense-90 --off convs --var final=0.8 --set dense-90.prune.weights=kernel"
    )
    assert (rules.rules[0].action.sparsity, rules.rules[0].action.weights) == (0.8, ("kernel",))


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        (
            {"only": ("dens-90",)},
            (
                "rule/unknown]: no rule has the id 'dens-90'\n  --> --only dens-90\n  help:"
                " closest: 'dense-90'"
            ),
        ),
        (
            {"off": ("x",)},
            (
                "rule/unknown]: no rule has the id 'x'\n  --> --off x\n  help: available: convs,"
                " dense-90, keep-last"
            ),
        ),
        (
            {"only": ("convs",), "off": ("convs",)},
            (
                "rule/unknown]: no rule is left\n  --> --only convs --off convs\n  help: the files"
                " have convs, dense-90, keep-last"
            ),
        ),
        (
            {"settings": (("dens-90.prune.sparsity", "0.5"),)},
            (
                "rule/unknown]: no rule has the id 'dens-90'\n  --> --set"
                " dens-90.prune.sparsity=0.5\n  help: closest: 'dense-90'"
            ),
        ),
        (
            {"settings": (("budgets.nett.sparsity", "0.5"),)},
            (
                "budget/unknown]: no budget is named 'nett'\n  --> --set"
                " budgets.nett.sparsity=0.5\n  help: closest: 'net'"
            ),
        ),
        (
            {"settings": (("dense-90.sparsity", "0.5"),)},
            (
                "key/unknown]: no field of a rule's action, a budget or a schedule has this path\n "
                " --> --set dense-90.sparsity=0.5\n  help: write dense-90.prune.sparsity"
            ),
        ),
        (
            {"settings": (("dense-90.expect", "3"),)},
            (
                "key/unknown]: no field of a rule's action, a budget or a schedule has this path\n "
                " --> --set dense-90.expect=3\n  help: write RULE.prune.FIELD=VALUE,"
                " budgets.NAME.FIELD=VALUE, schedules.NAME.FIELD=VALUE or"
                " defaults.prune.FIELD=VALUE, as in dense-90.prune.sparsity=0.5"
            ),
        ),
        (
            {"settings": (("schedules.onec.begin", "1 epoch"),)},
            (
                "schedule/unknown]: no schedule is named 'onec'\n  --> --set schedules.onec.begin=1"
                " epoch\n  help: closest: 'once'"
            ),
        ),
        (
            {"settings": (("defaults.prune.schedule", "once"),)},
            (
                "key/unknown]: the files have no defaults whose fields could be set\n  --> --set"
                " defaults.prune.schedule=once\n  help: set the field of a rule, as in"
                " dense-90.prune.sparsity=0.5"
            ),
        ),
        (
            {"settings": (("convs.prune.budget.sparsity", "0.5"),)},
            (
                "key/unknown]: rule 'convs' names its budget, which is set by itself\n  --> --set"
                " convs.prune.budget.sparsity=0.5\n  help: write budgets.net.sparsity"
            ),
        ),
        (
            {"settings": (("dense-90.prune.schedule", "oncee"),)},
            (
                "schedule/unknown]: rule 'dense-90': schedule must name a schedule that is defined,"
                " got 'oncee'\n  --> --set dense-90.prune.schedule=oncee\n  help: closest: 'once'"
            ),
        ),
        (
            {"settings": (("dense-90.prune.schedul.end", "1 epoch"),)},
            (
                "key/unknown]: rule 'dense-90': unknown key 'schedul' in prune\n  --> --set"
                " dense-90.prune.schedul.end=1 epoch\n  help: closest: 'schedule'; known keys:"
                " sparsity, budget, threshold, schedule, pattern, weights, misfit, group, method,"
                " like"
            ),
        ),
        (
            {"settings": (("dense-90.prune.schedule.ends", "1 epoch"),)},
            (
                "key/unknown]: rule 'dense-90': unknown key 'ends' in schedule\n  --> --set"
                " dense-90.prune.schedule.ends=1 epoch\n  help: closest: 'end'; known keys: curve,"
                " from, begin, end, every, power, points"
            ),
        ),
        (
            {"settings": (("keep-last.prune.sparsity", "0.5"),)},
            (
                "value/range]: rule 'keep-last' has no prune action whose fields could be set\n "
                " --> --set keep-last.prune.sparsity=0.5\n  help: leave it out instead: --off"
                " keep-last"
            ),
        ),
        (
            {"settings": (("dense-90.prune.sparsity", "1.5"),)},
            (
                "value/range]: rule 'dense-90': sparsity must be at least 0 and below 1, got 1.5\n "
                " --> --set dense-90.prune.sparsity=1.5\n  help: it is the share of zeros: 0.9 or"
                " 90% leaves one weight in ten"
            ),
        ),
        (
            {"settings": (("dense-90.prune.sparsety", "0.5"),)},
            (
                "key/unknown]: rule 'dense-90': unknown key 'sparsety' in prune\n  --> --set"
                " dense-90.prune.sparsety=0.5\n  help: closest: 'sparsity'; known keys: sparsity,"
                " budget, threshold, schedule, pattern, weights, misfit, group, method, like"
            ),
        ),
        (
            {"settings": (("dense-90.prune.pattern", "{block"),)},
            (
                "yaml/syntax]: not readable as YAML: the '{' that opens here is not closed\n  -->"
                " --set dense-90.prune.pattern={block\n  help: write '}' where it ends"
            ),
        ),
    ],
)
def test_a_switch_that_cannot_be_followed(switches, message):
    assert faults(**switches) == f"error[{message}"


RAMPS = """\
version: 1
vars: {way: ramp}
schedules:
  ramp: {curve: linear, begin: 0 epochs, end: 4 epochs, every: 100 steps}
  slow: {curve: step, begin: 1 epoch}
budgets: {net: {sparsity: 95%}}
defaults: {prune: {schedule: slow, budget: net, pattern: {block: {in: 4}, pool: max}}}
rules:
- {id: named, match: {name: a}, prune: {sparsity: 50%, schedule: ramp}}
- {id: alike, match: {name: b}, prune: {like: named, sparsity: 60%}}
- {id: default, match: {name: c}, prune: {misfit: skip}}
- id: "own.one"
  match: {name: d}
  prune: {budget: net, schedule: {curve: linear, begin: 0 steps, end: 9 steps}}
- {id: two-of-four, match: {name: e}, prune: {pattern: {keep: 2, of: 4, along: in}}}
- {id: variable, match: {name: f}, prune: {sparsity: 50%, schedule: "${way}"}}
"""


def actions(*settings):
    return {
        rule.id: rule.action
        for rule in parse_rules(RAMPS, "p.yaml", switches=Switches(settings=settings)).rules
    }


def texts(*settings):
    """What each rule does that the settings change, in words."""
    before, after = actions(), actions(*settings)
    assert before.keys() == after.keys()
    return {
        id: (
            f"{action.budget or format(action.sparsity, '.0%')}, {action.schedule},"
            f" {action.pattern}"
        )
        for id, action in after.items()
        if action != before[id]
    }


BLOCK = "block in 4, max"


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        (
            "named.prune.schedule.end",
            "2 epochs",
            {
                "named": f"50%, linear 0 epochs..2 epochs, {BLOCK}",
                "alike": f"60%, linear 0 epochs..2 epochs, {BLOCK}",
            },
        ),
        (
            "alike.prune.schedule.end",
            "2 epochs",
            {"alike": f"60%, linear 0 epochs..2 epochs, {BLOCK}"},
        ),
        (
            "default.prune.schedule.begin",
            "2 epochs",
            {"default": f"uniform, 95% over claimed, step 2 epochs, {BLOCK}"},
        ),
        (
            "own.one.prune.schedule.end",
            "7 steps",
            {"own.one": f"uniform, 95% over claimed, linear 0 steps..7 steps, {BLOCK}"},
        ),
        ("own.one.prune.sparsity", "70%", {"own.one": f"70%, linear 0 steps..9 steps, {BLOCK}"}),
        ("default.prune.sparsity", "70%", {"default": f"70%, slow 1 epoch, {BLOCK}"}),
        (
            "named.prune.budget",
            "net",
            {"named": f"uniform, 95% over claimed, ramp 0 epochs..4 epochs, {BLOCK}"},
        ),
        (
            "default.prune.pattern.pool",
            "mean",
            {"default": "uniform, 95% over claimed, slow 1 epoch, block in 4, mean"},
        ),
        (
            "alike.prune.pattern",
            "{keep: 1, of: 4, along: in}",
            {"alike": "75%, ramp 0 epochs..4 epochs, keep 1 of 4 along in (3 zeros in each 4)"},
        ),
        (
            "two-of-four.prune.pattern.keep",
            "1",
            {"two-of-four": "75%, slow 1 epoch, keep 1 of 4 along in (3 zeros in each 4)"},
        ),
        (
            "defaults.prune.schedule.begin",
            "2 epochs",
            {
                "default": f"uniform, 95% over claimed, step 2 epochs, {BLOCK}",
                "two-of-four": "50%, step 2 epochs, keep 2 of 4 along in (2 zeros in each 4)",
            },
        ),
        (
            "schedules.slow.begin",
            "2 epochs",
            {
                "default": f"uniform, 95% over claimed, slow 2 epochs, {BLOCK}",
                "two-of-four": "50%, slow 2 epochs, keep 2 of 4 along in (2 zeros in each 4)",
            },
        ),
        (
            "budgets.net.allocate",
            "erk",
            {
                "default": f"erk, 95% over claimed, slow 1 epoch, {BLOCK}",
                "own.one": f"erk, 95% over claimed, linear 0 steps..9 steps, {BLOCK}",
            },
        ),
    ],
)
def test_a_field_is_set_wherever_the_rule_takes_it_from(path, value, changed):
    assert texts((path, value)) == changed


def test_fields_are_set_one_after_the_other():
    settings = (
        ("named.prune.schedule", "slow"),
        ("named.prune.schedule.begin", "3 epochs"),
        ("named.prune.schedule.every", "10 steps"),
    )
    assert str(actions(*settings)["named"].schedule) == "step 3 epochs"
    assert str(actions(*settings)["named"].schedule.every) == "10 steps"


def fault_of(*settings):
    with pytest.raises(RuleError) as caught:
        actions(*settings)
    return str(caught.value)


def test_a_fault_of_a_copied_schedule_is_told_where_it_stands():
    assert (
        fault_of(("alike.prune.schedule.curve", "step"), ("alike.prune.schedule.power", "2"))
        == "error[value/range]: rule 'alike': power has no meaning for the curve step\n  --> --set"
        " alike.prune.schedule.power=2\n  help: only polynomial schedules have one; delete it"
    )
    assert (
        fault_of(("named.prune.schedule.begin", "9 epochs"))
        == "error[value/range]: rule 'named': end (4 epochs) comes before begin (9 epochs)\n  -->"
        " p.yaml:4:47\n  help: make it end after it begins"
    )


def test_a_schedule_that_a_variable_names_is_set_as_a_whole():
    assert (
        fault_of(("variable.prune.schedule.end", "2 epochs"))
        == "error[schedule/unknown]: rule 'variable' takes its schedule from '${way}', which"
        " is not defined\n  --> --set variable.prune.schedule.end=2 epochs\n  help:"
        " set the whole schedule: variable.prune.schedule={curve: ..., begin: ..., end: ...}"
    )
