import json

import pytest
from builders import build_graph
from commands import run_command
from shipped_graphs import CNN, GRAPHS

from graphprune.graph import graph_to_config
from graphprune.plan import make_plan
from graphprune.rules.building.read import rule_set_of
from graphprune.rules.text.files import list_shipped_rules
from graphprune.targets.check import check_target
from graphprune.targets.profiles import TARGETS, find_target

NAMES = [target.name for target in TARGETS]
DENSE = "in > fc_1[64,64] > fc_2[64,64] > fc_3[64,10]"


def warnings(drawn, prune, target, match="*", **options):
    """What `plan --target` says of one rule."""
    rule = {"id": "r", "match": match, "prune": {"schedule": {"curve": "constant"}, **prune}}
    plan = make_plan(build_graph(drawn), rule_set_of({"version": 1, "rules": [rule]}), **options)
    return [found.message for found in check_target(plan, find_target(target))]


BLOCKS = {"pattern": {"block": {"in": 4, "out": 1}}, "sparsity": 0.9}
SIXTEEN = {"pattern": {"block": {"in": 16, "out": 1}}, "sparsity": 0.9}
TWO_OF_FOUR = {"pattern": {"keep": 2, "of": 4, "along": "in"}}
CHANNELS = {"pattern": {"channel": "out"}, "sparsity": 0.5}


@pytest.mark.parametrize(
    ("prune", "target"),
    [
        (BLOCKS, "litert-xnnpack-x86"),
        (BLOCKS, "litert-xnnpack-arm"),
        (SIXTEEN, "litert-xnnpack-x86"),
        (SIXTEEN, "litert-int8"),
        (CHANNELS, "litert-xnnpack-x86"),
        (TWO_OF_FOUR, "tensorrt"),
        (TWO_OF_FOUR, "ethos-u85"),
        ({"pattern": {"keep": 1, "of": 4, "along": "in"}}, "tensorrt"),
        ({"sparsity": 0.9}, "gzip"),
        ({"sparsity": 0.9}, "ethos-u55"),
        ({"sparsity": 0.9}, "hls4ml"),
        ({"sparsity": 0.9}, "coreml"),
    ],
)
def test_a_pattern_that_a_target_uses_gives_no_warning(prune, target):
    assert warnings(DENSE, prune, target) == []


@pytest.mark.parametrize(
    ("prune", "target", "reason"),
    [
        (
            {"sparsity": 0.9},
            "litert-xnnpack-x86",
            "brings no speed on litert-xnnpack-x86: needs blocks of 4 along in, more than 30%"
            " zeros, has unstructured (fc_1, fc_2, fc_3)",
        ),
        (
            {**BLOCKS, "sparsity": 0.25},
            "litert-xnnpack-x86",
            "brings no speed on litert-xnnpack-x86: needs more than 30% zeros in a layer (fc_1,"
            " fc_2, fc_3)",
        ),
        (
            BLOCKS,
            "litert-int8",
            "brings no size on litert-int8: needs blocks of 16 along in, more than 30% zeros, has"
            " block in 4 x out 1, mean (fc_1, fc_2, fc_3)",
        ),
        (
            {"pattern": {"keep": 3, "of": 4, "along": "in"}},
            "tensorrt",
            "brings no speed on tensorrt: needs 2 of each 4 along in, has keep 3 of 4 along in"
            " (fc_1, fc_2, fc_3)",
        ),
        (
            {"sparsity": 0.5},
            "coreml",
            "brings no size on coreml: needs more than 50% zeros in a layer (fc_1, fc_2, fc_3)",
        ),
    ],
)
def test_a_rule_that_brings_nothing_is_told_with_the_reason(prune, target, reason):
    assert warnings(DENSE, prune, target) == [f"rule 'r' {reason}"]


def test_convolutions_run_sparse_on_arm_only_if_they_are_1x1_and_sparse_enough():
    pointwise = {"config": {"kernel_size": [1, 1]}, "type": "Conv2D"}
    padded = GRAPHS["padded-mobile"]
    for match, prune, target, count in (
        (pointwise, 0.75, "litert-xnnpack-arm", 0),
        (pointwise, 0.6, "litert-xnnpack-arm", 1),
        (pointwise, 0.75, "litert-xnnpack-x86", 1),
        ({"name": "conv_stem"}, 0.75, "litert-xnnpack-arm", 1),
    ):
        assert len(warnings(padded, {"sparsity": prune}, target, match)) == count
    (found,) = warnings(padded, {"sparsity": 0.75}, "litert-xnnpack-arm", {"name": "conv_stem"})
    assert found.endswith("no use for zeros of Conv2D larger than 1x1 (conv_stem)")


def test_long_lists_of_layers_are_cut():
    drawn = "in > fc_1[8,8] > fc_2[8,8] > fc_3[8,8] > fc_4[8,8] > fc_5[8,8]"
    (found,) = warnings(drawn, {"sparsity": 0.9}, "tensorrt")
    assert found.endswith("(fc_1, fc_2, fc_3 and 2 more)")


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_whole_and_the_rules_that_it_names_bring_something(name):
    target = find_target(name)
    shipped = {rules.name: rules.path for rules in list_shipped_rules()}
    assert target.uses
    assert target.trials
    assert set(target.rules) <= set(shipped)
    assert any(trial.version for trial in target.trials) or target.sources
    for rules in target.rules:
        drawn = GRAPHS["padded-mobile"] if rules.startswith("xnnpack") else CNN
        plan = make_plan(build_graph(drawn), rule_set_of(shipped[rules]))
        changed = [change for change in plan.changes if change.is_change]
        told = " ".join(found.message for found in check_target(plan, target))
        assert changed
        assert any(change.address not in told for change in changed)


def test_targets_are_listed_and_shown():
    listed = run_command("targets")
    assert (listed.code, listed.err) == (0, "")
    firsts = [line.split()[0] for line in listed.out.splitlines()[1:] if line[:1].strip()]
    assert firsts[:-1] == NAMES
    shown = run_command("targets", "ethos-u85").out
    assert "speed: Conv2D, Dense, 2 of each 4 along in" in shown
    assert "tried with ethos-u-vela 5.2.0" in shown
    assert "not tried: " in run_command("targets", "tensorrt").out
    found = json.loads(run_command("targets", "--format", "json").out)
    assert [target["name"] for target in found["targets"]] == NAMES
    assert (found["kind"], found["format_version"]) == ("graphprune.targets", "1.0")


def test_an_unknown_target_is_an_error_with_the_closest(tmp_path):
    (tmp_path / "net.json").write_text(json.dumps(graph_to_config(build_graph(DENSE))))
    wanted = "graphprune: no target is called 'ethos-u8'; closest: 'ethos-u85', 'ethos-u55'\n"
    for words in (
        ("targets", "ethos-u8"),
        ("plan", tmp_path / "net.json", "-r", "builtin:dense-90", "--target", "ethos-u8"),
    ):
        done = run_command(*words)
        assert (done.code, done.out, done.err) == (1, "", wanted)


def test_the_plan_has_the_warnings_of_its_target(tmp_path):
    (tmp_path / "net.json").write_text(json.dumps(graph_to_config(build_graph(DENSE))))
    words = ("plan", tmp_path / "net.json", "-r", "builtin:dense-90", "--format", "json")
    done = run_command(*words, "--target", "tensorrt")
    assert done.code == 0
    assert [found["slug"] for found in json.loads(done.out)["diagnostics"]] == ["target/no-gain"]
    assert "warning[target/no-gain]: rule 'dense-90' brings no speed on tensorrt" in done.err
    assert run_command(*words, "--target", "gzip").err == ""
