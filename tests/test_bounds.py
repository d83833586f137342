"""Messages and lists of faults have a bounded length, whatever the input; what is left out is
counted.
"""

import json

import pytest
from builders import build_graph
from commands import run_command

from graphprune.diagnostics.diagnostic import (
    MAX_OF_A_KIND,
    Diagnostic,
    Where,
    bound_diagnostics,
    count_severity,
    sort_by_place,
)
from graphprune.diagnostics.terminal_text import shorten
from graphprune.errors import GraphError, RuleError
from graphprune.plan import make_plan
from graphprune.rules import parse_rules

HEAD = "version: 1\nrules:\n"
MILLION = "a" * 400_000


def faults_of(text, graph=None):
    with pytest.raises(RuleError) as caught:
        plan_of(text, graph)
    return caught.value


def plan_of(text, graph):
    return make_plan(graph, parse_rules(text, "p.yaml"))


def test_thousands_of_unknown_names_are_told_by_a_hundred_and_a_count():
    names = ", ".join(f"no_{index}" for index in range(9000))
    fault = faults_of(
        f"{HEAD}- {{id: a, match: {{name: [{names}]}}, keep: true}}\n",
        build_graph("in > fc_1 > fc_2"),
    )
    assert [found.slug for found in fault.diagnostics] == ["layer/unknown"] * (MAX_OF_A_KIND + 1)
    assert str(fault).endswith(
        "\n\nerror[layer/unknown]: 8,900 more errors of this kind are not listed"
    )
    assert len(str(fault)) < 20_000


def test_thousands_of_unknown_keys_are_too():
    fault = faults_of(
        f"{HEAD}- id: a\n  match: {{type: Dense}}\n  keep: true\n"
        + "".join(f"  key{index}: 1\n" for index in range(2000))
    )
    assert [found.slug for found in fault.diagnostics] == ["key/unknown"] * (MAX_OF_A_KIND + 1)
    assert [found.where.line for found in fault.diagnostics[:3]] == [6, 7, 8]
    assert count_severity(fault.diagnostics, "error") == 2000


def test_of_each_kind_as_many_are_told():
    rules = "".join(
        f"- {{id: r{index}, match: {{type: 3}}, keep: maybe, ky: 1}}\n" for index in range(150)
    )
    fault = faults_of(HEAD + rules)
    assert [(found.slug, found.count) for found in fault.diagnostics if found.count > 1] == [
        ("key/unknown", 50),
        ("value/type", 200),
    ]


@pytest.mark.parametrize("kind", ["text", "json", "github"])
def test_lint_counts_those_that_it_does_not_list(tmp_path, kind):
    path = tmp_path / "p.yaml"
    path.write_text(
        HEAD
        + "".join(
            f"- {{id: r{index}, match: {{typ: Dense}}, keep: true}}\n" for index in range(300)
        ),
        encoding="utf-8",
    )
    result = run_command("lint", path, "--format", kind)
    assert result.code == 1
    assert "200 more errors of this kind are not listed" in result.out
    assert len(result.out) < 60_000
    if kind == "json":
        document = json.loads(result.out)
        assert document["summary"]["error"] == 300
        assert document["diagnostics"][-1]["count"] == 200
    if kind == "text":
        assert result.out.splitlines()[-1] == f"{path}: 300 errors"


def test_a_name_of_many_letters_is_cut_and_its_length_said():
    fault = faults_of(f"{HEAD}- {{id: {MILLION}, match: {{typ: Dense}}, keep: true}}\n")
    assert str(fault).startswith(f"error[key/unknown]: rule '{'a' * 94}")
    assert "...(399,8" in str(fault)
    assert len(str(fault)) < 1000


def test_so_is_one_in_an_error_without_a_slug():
    assert (
        str(GraphError(f"net: no layer has the address '{MILLION}'; see the list"))
        == f"net: no layer has the address '{'a' * 99}...(399,863 characters)...{'a' * 38}'; see"
        " the list"
    )


def test_a_text_of_many_words_loses_its_end():
    assert shorten("two words " * 1000) == f"{'two words ' * 400}... (6,000 more characters)"
    assert shorten("two words " * 400) == "two words " * 400


def test_so_is_one_from_the_command_line():
    result = run_command("test", "rules/tests", "-k", "x" * 100_000)
    assert result.code == 64
    assert "characters)..." in result.err
    assert len(result.err) < 1000


def test_help_and_labels_are_cut_too():
    fault = Diagnostic(
        "rule/conflict",
        "twice",
        Where("p.yaml", 1),
        MILLION,
        related=((Where("p.yaml", 1), MILLION),),
    )
    assert len(str(fault)) < 1000


def test_kinds_differ_by_severity_and_a_single_one_left_is_counted():
    faults = [
        Diagnostic("a/b", f"{severity} {index}", severity=severity)
        for severity in ("error", "warning")
        for index in range(101)
    ]
    found = bound_diagnostics(faults)
    assert len(found) == 202
    assert [str(rest) for rest in found[-2:]] == [
        "error[a/b]: 1 more error of this kind is not listed",
        "warning[a/b]: 1 more warning of this kind is not listed",
    ]


def test_bounding_twice_changes_nothing():
    once = sort_by_place(
        Diagnostic("a/b", "wrong", Where("p.yaml", line)) for line in range(1, 1000)
    )
    assert sort_by_place(once) == once == bound_diagnostics(once)
    assert [found.where.line for found in once[:-1]] == list(range(1, 101))
    assert once[-1].count == 899
