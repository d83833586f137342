"""What rules do: fields of prune actions, `like`, `defaults`, budgets, patterns and schedules, as
files write them.
"""

from textwrap import dedent

import pytest

from graphprune.diagnostics.diagnostic import Where
from graphprune.errors import RuleError
from graphprune.rules import parse_rules, read_rules
from graphprune.rules.building.patterns import PATTERN_SHAPES
from graphprune.rules.values.rule_set import Budget
from graphprune.sparsity.patterns import Block, Channel, KeepOf, Unstructured

*_MOST, _LAST = ("unstructured", *(shape.form for shape in PATTERN_SHAPES))
FORMS = f"{', '.join(_MOST)} or {_LAST}"  # tests/golden/rule_messages.txt pins them
HEAD = """\
version: 1
schedules:
  once: {curve: step, begin: 0 steps}
  ramp: {curve: linear, from: 30%, begin: 0 epochs, end: 4 epochs, every: 100 steps}
budgets:
  net: {sparsity: 95%, allocate: erk, over: claimed, min: 10%, max: 99%}
rules:
"""


def read(*rules, head=HEAD, switches=None):
    return parse_rules(head + "".join(f"- {rule}\n" for rule in rules), "p.yaml", switches=switches)


def actions(*rules, head=HEAD, switches=None):
    return {rule.id: rule.action for rule in read(*rules, head=head, switches=switches).rules}


def faults(*rules, head=HEAD, switches=None):
    with pytest.raises(RuleError) as caught:
        read(*rules, head=head, switches=switches)
    return str(caught.value)


def prune(fields, id="a", more=""):
    return f"{{id: {id}, match: '*', prune: {{{fields}}}{more}}}"


def action(fields, head=HEAD):
    return actions(prune(fields), prune("budget: net, schedule: once", "other"), head=head)["a"]


def fault(fields, head=HEAD):
    return faults(prune(fields), prune("budget: net, schedule: once", "other"), head=head)


@pytest.mark.parametrize(
    ("written", "pattern", "sparsity"),
    [
        ("unstructured", Unstructured(), 0.8),
        ("{keep: 2, of: 4, along: in}", KeepOf(2, 4, "in"), 0.5),
        ("{keep: 1, of: 4, along: out}", KeepOf(1, 4, "out"), 0.75),
        ("{block: {out: 1, in: 4}, pool: max}", Block((("in", 4), ("out", 1)), "max"), 0.8),
        ("{block: {in: 4, out: 1}}", Block((("in", 4), ("out", 1)), "mean"), 0.8),
        ("{channel: out}", Channel("out"), 0.8),
    ],
)
def test_a_pattern_is_read_with_its_axes(written, pattern, sparsity):
    found = action(
        f"pattern: {written}, schedule: once"
        + ("" if isinstance(pattern, KeepOf) else ", sparsity: 0.8")
    )
    assert (found.pattern, found.sparsity) == (pattern, sparsity)
    assert found.pattern_where == Where("p.yaml", 8, 31)


RATIO = "some pruning tools read N as kept, others as pruned; for 1:4 that is 75% or 25%.  Write"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "2:4",
            (
                f"pattern must say what is kept, got '2:4'\n  --> p.yaml:8:40\n  help: {RATIO}"
                " {keep: 2, of: 4, along: in} (2 zeros in each 4)"
            ),
        ),
        (
            "'1 : 4'",
            (
                f"pattern must say what is kept, got '1 : 4'\n  --> p.yaml:8:40\n  help: {RATIO}"
                " {keep: 1, of: 4, along: in} (3 zeros in each 4) or {keep: 3, of: 4, along:"
                " in} (1 zero in each 4)"
            ),
        ),
        (
            "4x1",
            (
                "pattern must name its axes, got '4x1'\n  --> p.yaml:8:40\n  help: tools disagree"
                " on which axis comes first.  Write {block: {in: 4, out: 1}} or {block: {in: 1,"
                " out: 4}}"
            ),
        ),
        (
            "dense",
            (
                f"pattern must be one of {FORMS}, got 'dense'\n  --> p.yaml:8:40\n  help: write"
                " 'pattern: unstructured'"
            ),
        ),
        (
            "{keep: 4, of: 4, along: in}",
            (
                "keep must be at least 1 and below of, got 4 of 4\n  --> p.yaml:8:40\n  help: a"
                " group keeps fewer weights than it has, such as {keep: 2, of: 4, along: in}"
            ),
        ),
        (
            "{block: {in: 4}, pool: sum}",
            (
                "pool must be one of mean, max, got 'sum'\n  --> p.yaml:8:63\n  help: a block is"
                " scored by the mean of its magnitudes, or by the largest"
            ),
        ),
        (
            "{block: {}}",
            (
                "block must not be empty, got {}\n  --> p.yaml:8:48\n  help: write for example"
                " 'block: {in: 4, out: 1}'"
            ),
        ),
        (
            "{block: {in: 0}}",
            (
                "in must be a whole number of 1 or more, got 0\n  --> p.yaml:8:53\n  help: write"
                " for example 'block: {in: 4, out: 1}'"
            ),
        ),
    ],
)
def test_a_pattern_that_cannot_be_read(written, message):
    assert (
        fault(f"pattern: {written}, schedule: once, sparsity: 0.5")
        == f"error[value/range]: rule 'a': {message}"
    )


def test_a_pattern_with_a_part_missing_or_unknown():
    assert (
        fault("pattern: {keep: 2, of: 4}, schedule: once")
        == "error[key/missing]: rule 'a': the key 'along' is missing in pattern\n  -->"
        " p.yaml:8:40\n"
        "  help: name the axis that groups run along: {keep: 2, of: 4, along: in}"
    )
    assert (
        fault("pattern: {channel: out, pool: max}, schedule: once")
        == "error[key/missing]: rule 'a': the key 'block' is missing in pattern\n  -->"
        " p.yaml:8:40\n  help: write its length along each axis: {block: {in: 4, out:"
        " 1}}\n\nerror[key/unknown]: rule 'a': unknown key 'channel' in pattern\n  -->"
        " p.yaml:8:41\n  help: known keys: block, pool"
    )
    assert (
        fault("pattern: {keep: 2, of: 4, along: in, alon: out}, schedule: once")
        == "error[key/unknown]: rule 'a': unknown key 'alon' in pattern\n  --> p.yaml:8:68\n  help:"
        " closest: 'along'; known keys: keep, of, along"
    )


def test_keep_of_fixes_the_sparsity():
    pattern = "pattern: {keep: 2, of: 4, along: in}, schedule: once"
    assert action(f"{pattern}, sparsity: 50%").sparsity == 0.5
    assert (
        fault(f"{pattern}, sparsity: 60%")
        == "error[value/range]: rule 'a': sparsity must be 0.5, which 'keep 2 of 4 along in'"
        " fixes, got 0.6\n  --> p.yaml:8:95\n  help: delete it"
    )
    assert (
        fault(f"{pattern}, budget: net")
        == "error[value/range]: rule 'a': budget cannot be combined with 'keep 2 of 4 along in',"
        " which"
        " fixes the sparsity at 0.5, got 'net'\n  --> p.yaml:8:93\n  help: delete one of them"
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            "sparsity: 0.5, budget: net, schedule: once",
            (
                "error[value/range]: rule 'a': must have exactly one of 'sparsity' and 'budget',"
                " got 'net' beside a sparsity\n  --> p.yaml:8:54\n  help: delete one of them"
            ),
        ),
        (
            "schedule: once",
            (
                "error[key/missing]: rule 'a': the key 'sparsity' is missing in prune\n  -->"
                " p.yaml:8:30\n  help: add the share of zeros, such as 'sparsity: 90%', a 'budget'"
                " or a 'threshold'"
            ),
        ),
        (
            "sparsity: 0.5",
            (
                "error[key/missing]: rule 'a': the key 'schedule' is missing in prune\n  -->"
                " p.yaml:8:30\n  help: name one of 'schedules', or write it inline: {curve:"
                " polynomial, from: 0, begin: 0 epochs, end: 4 epochs, every: 100 steps}"
            ),
        ),
        (
            "budget: nett, schedule: once",
            (
                "error[budget/unknown]: rule 'a': budget must name a budget that is defined, got"
                " 'nett'\n  --> p.yaml:8:39\n  help: closest: 'net'"
            ),
        ),
        (
            "sparsity: 0.5, schedule: once, misfit: skpi",
            (
                "error[value/range]: rule 'a': misfit must be one of error, skip, pad, got 'skpi'\n"
                "  --> p.yaml:8:70\n  help: closest: 'skip'"
            ),
        ),
        (
            "sparsity: 0.5, schedule: once, like: c",
            (
                "error[rule/unknown]: rule 'a': like must name a rule, got 'c'\n  --> p.yaml:8:68\n"
                "  help: available: other"
            ),
        ),
        (
            (
                "pattern: {keep: 1, of: 4, along: in}, schedule: {curve: linear, from: 80%, end: 4"
                " epochs}"
            ),
            (
                "error[value/range]: rule 'a': sparsity 0.75 is below the 0.8 that its schedule"
                " begins from\n  --> p.yaml:8:40\n  help: sparsity never falls; lower 'from' of the"
                " schedule, or raise the sparsity"
            ),
        ),
    ],
)
def test_a_fault_of_an_action(fields, message):
    assert fault(fields) == message


def test_like_copies_the_fields_of_another_rule_and_changes_what_is_given():
    found = actions(
        prune("sparsity: 90%, schedule: once, weights: kernel, misfit: skip", "a"),
        prune("like: a, sparsity: 50%", "b"),
        prune("like: b, budget: net", "c"),
        prune("like: c, pattern: {keep: 2, of: 4, along: in}", "d"),
        prune("like: d, weights: bias", "e"),
    )
    assert [
        (id, act.sparsity, act.budget and act.budget.name, act.weights, act.misfit)
        for id, act in found.items()
    ] == [
        ("a", 0.9, None, ("kernel",), "skip"),
        ("b", 0.5, None, ("kernel",), "skip"),
        ("c", 0.95, "net", ("kernel",), "skip"),
        ("d", 0.5, None, ("kernel",), "skip"),
        ("e", 0.5, None, ("bias",), "skip"),
    ]
    assert found["c"].budget == Budget("net", 0.95, "erk", "claimed", 0.1, 0.99)
    assert found["e"].pattern == KeepOf(2, 4, "in")


def test_like_cannot_lead_back_or_to_a_rule_that_keeps():
    first = prune("budget: net, schedule: once", "z")
    assert (
        faults(
            first,
            prune("like: b", "a"),
            prune("like: c", "b"),
            prune("like: a", "c"),
            prune("like: a", "d"),
        )
        == "error[like/cycle]: rule 'a': like refers back to itself: a > b > c > a\n  -->"
        " p.yaml:9:37\n  help: write the fields out in one of them"
    )
    assert (
        faults(first, "{id: k, match: '*', keep: true}", prune("like: k", "a"))
        == "error[value/range]: rule 'a': like must name a rule that prunes, and 'k' keeps its"
        " layers\n  --> p.yaml:10:37\n  help: name another rule, or write the fields out"
    )


def test_a_rule_like_one_with_faults_is_not_blamed_for_them():
    assert (
        faults(
            prune("budget: net, schedule: once", "z"),
            prune("sparsity: 2, schedule: once", "a"),
            prune("like: a", "b"),
        )
        == "error[value/range]: rule 'a': sparsity must be at least 0 and below 1, got 2\n  -->"
        " p.yaml:9:41\n  help: did you mean 2%?"
    )


DEFAULTS = dedent("""\
    version: 1
    schedules: {once: {curve: step, begin: 0 steps}}
    defaults: {prune: {schedule: once, sparsity: 80%, misfit: pad, pattern: {block: {in: 4}}}}
    rules:
    """)


def test_defaults_fill_missing_fields():
    found = actions(
        prune("sparsity: 50%", "a"),
        prune("misfit: error", "b"),
        prune("pattern: {keep: 1, of: 4, along: in}", "c"),
        head=DEFAULTS,
    )
    assert [(act.sparsity, act.misfit, str(act.pattern)) for act in found.values()] == [
        (0.5, "pad", "block in 4, mean"),
        (0.8, "error", "block in 4, mean"),
        (0.75, "pad", "keep 1 of 4 along in (3 zeros in each 4)"),
    ]


def test_defaults_of_one_file_hold_in_all_and_two_files_must_agree(tmp_path):
    (tmp_path / "a.yaml").write_text(DEFAULTS + f"- {prune('', 'a')}\n")
    (tmp_path / "b.yaml").write_text(f"version: 1\nrules:\n- {prune('sparsity: 10%', 'b')}\n")
    assert [
        rule.action.sparsity for rule in read_rules(tmp_path / "b.yaml", tmp_path / "a.yaml").rules
    ] == [0.1, 0.8]
    (tmp_path / "b.yaml").write_text(
        "version: 1\ndefaults: {prune: {misfit: skip}}\nrules:\n-"
        f" {prune('sparsity: 10%', 'b')}\n"
    )
    with pytest.raises(RuleError) as caught:
        read_rules(tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert (
        str(caught.value) == "error[id/duplicate]: the section 'defaults' is defined twice\n  -->"
        f" {tmp_path}/b.yaml:2:1\n  help: first at {tmp_path}/a.yaml:3:1; the files give"
        " different defaults: move them into the rules"
    )


def test_faults_of_defaults_are_told_once_and_nothing_of_what_they_would_have_filled_in():
    assert (
        faults(
            prune("sparsity: 50%"),
            prune("", "b"),
            head=DEFAULTS.replace("once, sparsity: 80%", "twice, sparsity: 8"),
        )
        == "error[schedule/unknown]: defaults: schedule must name a schedule that is defined, got"
        " 'twice'\n  --> p.yaml:3:30\n  help: defined: once\n\nerror[value/range]: defaults:"
        " sparsity must be at least 0 and below 1, got 8\n  --> p.yaml:3:47\n  help: did you"
        " mean 8%?"
    )
    assert (
        faults(
            prune("", "b"),
            prune("", "c"),
            head=DEFAULTS.replace("{block: {in: 4}}", "{keep: 2, of: 4, along: in}"),
        )
        == "error[value/range]: defaults: sparsity must be 0.5, which 'keep 2 of 4 along in'"
        " fixes, got 0.8\n  --> p.yaml:3:46\n  help: delete it"
    )


def test_the_last_point_of_a_schedule_reaches_the_sparsity_of_the_budget():
    assert fault("budget: net, schedule: {curve: points, points: {4 epochs: 60%}}").startswith(
        "error[value/range]: rule 'a': sparsity must be 0.6, which the last point of its schedule"
        " reaches, got 0.95\n  --> p.yaml:8:39"
    )


def test_a_budget_that_no_rule_names_is_a_warning():
    assert [str(warning) for warning in read(prune("sparsity: 50%, schedule: once")).warnings] == [
        "warning[budget/unused]: no rule names the budget 'net'\n  --> p.yaml:6:3\n  help: write"
        " 'budget: net', or delete it"
    ]
    assert read(prune("budget: net, schedule: once")).warnings == ()


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (
            "{sparsity: 95%, allocate: erg}",
            (
                "value/range]: budget 'net': allocate must be one of uniform, erk, magnitude, got"
                " 'erg'\n  --> p.yaml:6:34\n  help: closest: 'erk'"
            ),
        ),
        (
            "{sparsity: 95%, over: all}",
            (
                "value/range]: budget 'net': over must be one of claimed, prunable, got 'all'\n "
                " --> p.yaml:6:30\n  help: write 'over: prunable'"
            ),
        ),
        (
            "{sparsity: 95%, min: 90%, max: 50%}",
            (
                "value/range]: budget 'net': min must be at most max, got 0.9 and 0.5\n  -->"
                " p.yaml:6:29\n  help: lower 'min', or raise 'max'"
            ),
        ),
        (
            "{allocate: erk}",
            (
                "key/missing]: budget 'net': the key 'sparsity' is missing\n  --> p.yaml:6:8\n"
                "  help: add the share of zeros over all tensors, such as 'sparsity: 95%'"
            ),
        ),
    ],
)
def test_a_fault_of_a_budget_is_told_once(budget, message):
    head = HEAD.replace("{sparsity: 95%, allocate: erk, over: claimed, min: 10%, max: 99%}", budget)
    assert faults(prune("budget: net, schedule: once"), head=head) == f"error[{message}"


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            "{curve: linear, begin: 5, end: 4 epochs}",
            (
                "schedule/unit]: rule 'a': begin needs one of the units epochs, steps or %, got 5\n"
                "  --> p.yaml:8:79\n  help: write '4 epochs', '2000 steps' or '60%' (of the run)"
            ),
        ),
        (
            "{curve: linear, end: 4 epochs, points: {4 epochs: 50%}}",
            (
                "value/range]: rule 'a': points has no meaning for the curve linear\n  -->"
                " p.yaml:8:95\n  help: write 'curve: points', or delete them"
            ),
        ),
        (
            "{curve: points, points: {4: 50%}}",
            (
                "schedule/unit]: rule 'a': a point needs one of the units epochs, steps or %, got"
                " '4'\n  --> p.yaml:8:81\n  help: write '4 epochs', '2000 steps' or '60%' (of the"
                " run)"
            ),
        ),
        (
            "{curve: points, points: {4 epochs: 2}}",
            (
                "value/range]: rule 'a': 4 epochs must be at least 0 and below 1, got 2\n  -->"
                " p.yaml:8:91\n  help: did you mean 2%?"
            ),
        ),
        (
            "{curve: points, begin: 1 epoch, points: {4 epochs: 50%}}",
            (
                "value/range]: rule 'a': begin has no meaning for the curve points\n  -->"
                " p.yaml:8:79\n  help: its points say when it begins; delete it"
            ),
        ),
        (
            "{curve: points, points: {4 epochs: 30%, 8 epochs: 60%}}",
            (
                "value/range]: rule 'a': sparsity must be 0.6, which the last point of its schedule"
                " reaches, got 0.5\n  --> p.yaml:8:41\n  help: change one of the two, so that the"
                " schedule ends at the target"
            ),
        ),
        (
            "{curve: points, points: {4 epochs: 60%, 8 epochs: 50%}}",
            (
                "value/range]: rule 'a': sparsity must not fall from point to point, got 0.5 at 8"
                " epochs after 0.6 at 4 epochs\n  --> p.yaml:8:80\n  help: masks only grow; raise"
                " the later share, or lower the earlier one"
            ),
        ),
        (
            "{curve: points}",
            (
                "value/range]: rule 'a': a points schedule needs points\n  --> p.yaml:8:56\n  help:"
                " add them, such as 'points: {4 epochs: 50%, 8 epochs: 80%}'"
            ),
        ),
    ],
)
def test_a_fault_of_a_schedule(schedule, message):
    assert fault(f"sparsity: 50%, schedule: {schedule}") == f"error[{message}"


def test_the_last_point_is_the_target_of_budgets_and_patterns_too():
    points = "schedule: {curve: points, points: {4 epochs: 30%, 8 epochs: SHARE}}"
    assert action(f"budget: net, {points.replace('SHARE', '95%')}").budget.name == "net"
    assert (
        action(
            f"pattern: {{keep: 1, of: 3, along: in}}, {points.replace('SHARE', '66.7%')}"
        ).sparsity
        == 2 / 3
    )
    assert (
        fault(f"budget: net, {points.replace('SHARE', '90%')}")
        == "error[value/range]: rule 'a': sparsity must be 0.9, which the last point of its"
        " schedule reaches, got 0.95\n  --> p.yaml:8:39\n  help: change one of the two, so that"
        " the schedule ends at the target"
    )


def test_every_curve_is_read():
    curves = {
        "{curve: constant, begin: 10%}": "constant 10%",
        "{curve: linear, end: 4 epochs}": "linear 0 steps..4 epochs",
        "{curve: polynomial, end: 1 epoch, power: 2}": "polynomial 0 steps..1 epoch",
        "{curve: exponential, from: 10%, begin: 5 steps, end: 60%}": "exponential 5 steps..60%",
        "{curve: step}": "step 0 steps",
        "{curve: points, points: {1 epoch: 20%, 500 steps: 30%, 90%: 0.5}, every: 10 steps}": (
            "points 1 epoch..90%"
        ),
    }
    assert [
        str(action(f"sparsity: 50%, schedule: {written}").schedule) for written in curves
    ] == list(curves.values())


def test_overrides_are_followed_to_their_end():
    rules = read(
        prune("budget: net, schedule: once", "a", ", overrides: [b]"),
        "{id: b, match: '*', keep: true, overrides: c}",
        prune("like: a", "c"),
    ).rules
    assert {rule.id: sorted(rule.overrides) for rule in rules} == {
        "a": ["b", "c"],
        "b": ["c"],
        "c": [],
    }


def test_overrides_name_rules_and_do_not_lead_back():
    one = prune("budget: net, schedule: once", "a", ", overrides: [b, cc]")
    assert (
        faults(one, prune("like: a", "b"), prune("like: a", "c"))
        == "error[override/unknown]: rule 'a': overrides must name a rule, got 'cc'\n  -->"
        " p.yaml:8:76\n  help: closest: 'c'"
    )
    assert (
        faults(
            one.replace(", cc", ""),
            prune("like: a", "b", ", overrides: [c]"),
            prune("like: a", "c", ", overrides: [a]"),
        )
        == "error[override/cycle]: rule 'a' overrides itself: a > b > c > a\n  --> p.yaml:8:72\n "
        " help: delete one of these overrides"
    )
    assert (
        faults(one.replace("[b, cc]", "a"))
        == "error[override/cycle]: rule 'a' overrides itself: a > a\n  --> p.yaml:8:72\n  help:"
        " delete one of these overrides"
    )
