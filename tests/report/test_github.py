from dataclasses import replace

from drawings import changed_pair, mixed_plan

from graphprune.diff import diff_graphs
from graphprune.report import render_diff_github, render_plan_github


def test_a_plan(check_golden):
    check_golden(render_plan_github(mixed_plan()[1]), "plan.md")


def test_a_diff(check_golden):
    check_golden(
        render_diff_github(diff_graphs(*changed_pair(), left_path="a.keras", right_path="b.keras")),
        "diff.md",
    )


def test_brief_is_the_summary_alone():
    assert (
        render_plan_github(mixed_plan()[1], brief=True) == "### Pruning plan\n\n"
        "Plan: 1 to wrap, 1 to retarget, 0 to rewrap, 1 to unwrap; 1 kept dense, 1 unclaimed.  \n"
        "Zeros when finished: 26 = 81.2% of claimed, 32.5% of prunable, 26.0% of all parameters.\n"
    )


def test_a_plan_that_changes_nothing_says_so():
    plan = mixed_plan()[1]
    kept = tuple(change for change in plan.changes if change.actions == ("keep",))
    assert (
        render_plan_github(replace(plan, changes=kept)) == "### Pruning plan\n\n"
        "No changes. The model already follows after.yaml.\n\n"
        "```diff\n"
        "model  mixed.keras   6 layers, 5 prunable tensors, 80 prunable of 100 parameters\n"
        "rules  after.yaml    3 rules\n"
        "```\n"
    )


def test_backticks_in_a_name_cannot_end_the_block():
    left, right = changed_pair()
    lines = render_diff_github(
        diff_graphs(left, right, left_path="```\n# a", right_path="`````")
    ).splitlines()
    assert (lines[5], lines[6], lines[-1]) == ("``````diff", "diff  ```\\n# a  ->  `````", "``````")
