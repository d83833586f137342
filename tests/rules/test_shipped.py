import re
from pathlib import Path

import pytest
from builders import build_graph
from commands import run_command
from memory_weights import make_weights
from planned import plan_with
from shipped_graphs import CNN, ENCODER, FOLDER, GRAPHS, RESIDUAL, SEQUENCE, graph_text

from graphprune.cli.demo import MODELS
from graphprune.errors import RuleError
from graphprune.plan import make_plan, plan_to_config, wrap_graph
from graphprune.rules import Prune, read_rules, resolve_rules
from graphprune.rules.text.files import find_rule_file, list_shipped_rules
from graphprune.shipped import shipped_file
from graphprune.sparsity.positions import Run

DIGITS = (
    "in > conv_1 > bn > conv_2 > conv_3 ; conv_3 + conv_1 > add > flatten > hidden:Dense >"
    " digits:Dense"
)


@pytest.mark.parametrize("shipped", list_shipped_rules(), ids=lambda shipped: shipped.name)
def test_each_shipped_file_reads_and_says_what_it_is_for(shipped):
    assert read_rules(shipped.path).rules
    assert shipped.summary
    assert "When to use it" in shipped.path.read_text(encoding="utf-8")


def test_the_demo_rules_prune_convolutions_and_the_hidden_dense_and_leave_the_classifier():
    rules = read_rules(find_rule_file("builtin:conv-80-dense-90"))
    resolution = resolve_rules(build_graph(DIGITS), rules)
    assert [
        (
            claim.address,
            claim.rule and claim.rule.id,
            tuple((loss.rule, loss.to) for loss in claim.lost),
        )
        for claim in resolution.claims
    ] == [
        ("conv_1", "convs-80", ()),
        ("conv_2", "convs-80", ()),
        ("conv_3", "convs-80", ()),
        ("hidden", "dense-90", ()),
        ("digits", "classifier", (("dense-90", "keep"),)),
    ]
    assert resolution.diagnostics == ()
    settings = {
        rule.id: (rule.action.sparsity, str(rule.action.schedule))
        for rule in rules.rules
        if isinstance(rule.action, Prune)
    }
    assert settings == {"convs-80": (0.8, "ramp 0%..75%"), "dense-90": (0.9, "ramp 0%..75%")}


def test_a_path_stays_a_path_and_an_unknown_name_lists_the_closest(tmp_path):
    assert find_rule_file(str(tmp_path / "a.yaml")) == tmp_path / "a.yaml"
    with pytest.raises(RuleError) as caught:
        find_rule_file("builtin:dense-9")
    assert (
        str(caught.value)
        == "error[file/unreadable]: no built-in rule file is named 'dense-9'\n  -->"
        " builtin:dense-9\n  help: closest: 'dense-90', 'conv-80-dense-90'"
    )


def test_what_does_not_ship_is_not_found():
    with pytest.raises(FileNotFoundError, match="not among the files that ship with graphprune"):
        shipped_file("rules/none.yaml")


CHANNELS = [name for name in build_graph(RESIDUAL).layers if name.startswith(("conv", "bn", "dep"))]
"""The layers of the residual network that lose channels."""
SHIPPED = {
    "all-90": (
        CNN,
        dict.fromkeys(["conv_1", "depthwise", "conv_2", "conv_3", "fc_1", "fc_2"], "everything"),
    ),
    "dense-90": (CNN, {"fc_1": "dense-90", "fc_2": "dense-90"}),
    "conv-80-dense-90": (
        CNN,
        {
            "conv_1": "convs-80",
            "conv_2": "convs-80",
            "conv_3": "convs-80",
            "fc_1": "dense-90",
            "fc_2": "dense-90",
        },
    ),
    "keep-first-and-last": (
        CNN,
        dict.fromkeys(["depthwise", "conv_2", "conv_3", "fc_1", "fc_2"], "middle"),
    ),
    "erk-95": (
        CNN,
        dict.fromkeys(["depthwise", "conv_2", "conv_3", "fc_1", "fc_2", "fc_3"], "the-rest"),
    ),
    "global-magnitude-90": (
        CNN,
        dict.fromkeys(
            ["conv_1", "depthwise", "conv_2", "conv_3", "fc_1", "fc_2"], "smallest-anywhere"
        ),
    ),
    "two-of-four": (CNN, {"conv_2": "two-of-four", "fc_2": "two-of-four"}),
    "block-4x1": (CNN, {"fc_2": "block-4in-1out"}),
    "dense-blocks-16x1": (CNN, {"fc_2": "block-16in-1out"}),
    "channels-50": (RESIDUAL, dict.fromkeys(CHANNELS, "half-of-the-channels")),
    "multiply-adds-50": (RESIDUAL, dict.fromkeys(CHANNELS, "half-of-the-multiply-adds")),
    "transformer-90": (
        ENCODER,
        {"attention": "attention", "fc_up": "feed-forward", "fc_down": "feed-forward"},
    ),
    "recurrent-80": (SEQUENCE, {"lstm": "recurrent", "gru": "recurrent"}),
    "xnnpack-latency": (
        GRAPHS["padded-mobile"],
        dict.fromkeys(["conv_a", "conv_b", "conv_c"], "pointwise-in-body"),
    ),
}


def plan_of(shipped, graph):
    return plan_with(graph, read_rules(shipped.path), read_weight=make_weights(graph, seed=1).read)


@pytest.mark.parametrize("shipped", list_shipped_rules(), ids=lambda shipped: shipped.name)
def test_each_shipped_file_matches_what_it_says_and_its_own_result(shipped):
    drawn, wanted = SHIPPED[shipped.name]
    graph = build_graph(drawn)
    plan = plan_of(shipped, graph)
    assert {
        change.address: change.rule.id for change in plan.changes if change.actions == ("wrap",)
    } == wanted
    assert [str(found) for found in plan.diagnostics] == []
    assert plan_of(shipped, wrap_graph(graph, plan)).is_empty
    assert plan_to_config(plan) == plan_to_config(plan_of(shipped, graph))


def test_shipped_files_are_listed_with_one_line_each():
    listed = [line for line in run_command("rules").out.splitlines() if line.startswith("builtin:")]
    assert {line.split()[0] for line in listed} == {f"builtin:{name}" for name in SHIPPED}
    assert all(len(line.split(None, 1)[1]) > 20 for line in listed)


def test_multiply_adds_50_takes_half_of_the_multiply_adds():
    rules = read_rules(find_rule_file("builtin:multiply-adds-50"))
    graph = build_graph(RESIDUAL)
    outlook = plan_with(graph, rules, read_weight=make_weights(graph).read).outlook
    assert 0.4 < outlook.after.multiply_adds / outlook.before.multiply_adds <= 0.5


def test_two_of_four_and_blocks_and_channels_say_so():
    patterns = {
        name: {
            str(rule.action.pattern) for rule in read_rules(find_rule_file(f"builtin:{name}")).rules
        }
        for name in ("two-of-four", "block-4x1", "dense-blocks-16x1")
    }
    assert patterns == {
        "two-of-four": {"keep 2 of 4 along in (2 zeros in each 4)"},
        "block-4x1": {"block in 4 x out 1, mean"},
        "dense-blocks-16x1": {"block in 16 x out 1, mean"},
    }


@pytest.mark.parametrize(
    ("drawn", "pruned"),
    [
        ("in > fc_1[8,8]", []),
        ("in > conv_1[3,3,3,8] > conv_2[3,3,8,8] > gap", ["conv_1"]),
        ("in > fc_1[8,8] > fc_2[8,4]; fc_1 > fc_3[8,2]", ["fc_1"]),
        ("in > embed[100,8] > lstm[8,16] > gru[16,8]", ["embed", "lstm"]),
    ],
)
def test_all_90_fits_any_model(drawn, pruned):
    plan = make_plan(build_graph(drawn), read_rules("builtin:all-90"))
    assert [change.address for change in plan.changes if change.actions == ("wrap",)] == pruned
    assert [found.slug for found in plan.diagnostics] == ([] if pruned else ["rule/shadowed"])


def test_all_90_leaves_frozen_layers_alone():
    plan = make_plan(
        build_graph("in > conv_1(trainable=False)[3,3,3,8] > conv_2[3,3,8,8] > fc[8,4]"),
        read_rules("builtin:all-90"),
    )
    assert [change.address for change in plan.changes if change.actions == ("wrap",)] == ["conv_2"]


def test_a_shipped_file_that_matches_nothing_names_the_one_that_fits_any_model():
    with pytest.raises(RuleError) as caught:
        make_plan(build_graph("in > conv_1[3,3,3,8] > fc_1[8,8]"), read_rules("builtin:dense-90"))
    assert (
        str(caught.value)
        .splitlines()[-1]
        .endswith("; builtin:all-90 prunes everything but the last layer of each branch")
    )


@pytest.mark.parametrize("epochs", [1, 3, 100])
@pytest.mark.parametrize("shipped", list_shipped_rules(), ids=lambda shipped: shipped.name)
def test_each_shipped_file_reaches_its_target_in_a_run_of_any_length(shipped, epochs):
    drawn, _ = SHIPPED[shipped.name]
    graph = build_graph(drawn)
    plan = plan_with(
        graph,
        read_rules(shipped.path),
        steps_per_epoch=7,
        epochs=epochs,
        read_weight=make_weights(graph, seed=1).read,
    )
    run = Run(7, epochs)
    for change in plan.changes:
        if change.after is not None:
            timetable = change.after.schedule.to_timetable(run)
            assert timetable.sparsity_at(7 * epochs, change.after.sparsity) == change.after.sparsity
            assert timetable.last_due(7 * epochs) == (
                timetable.begin if timetable.end is None else timetable.end
            )


def xnnpack_faults(drawn, **options):
    """The slugs and checks that stop builtin:xnnpack-latency for a graph; none where it plans."""
    rules = read_rules(find_rule_file("builtin:xnnpack-latency"), **options)
    try:
        make_plan(build_graph(drawn), rules)
    except RuleError as fault:
        return re.findall(r"check '([a-z0-9-]+)'", str(fault))
    return []


PADDED = GRAPHS["padded-mobile"]
AXIS = "axis=[3]"


def padded_with(layer):
    """The padded network with a layer in the middle of the region."""
    return PADDED.replace("> depthwise_2(", f"> {layer} > depthwise_2(")


def test_a_network_that_pads_its_stem_by_itself_is_refused():
    assert "stem-on-every-input" in xnnpack_faults(GRAPHS["mobile"])


@pytest.mark.parametrize(
    "layer",
    [
        *(f"act:Activation(activation='{name}')" for name in ("swish", "silu", "gelu", "tanh")),
        "act:Activation(activation='sigmoid')",
    ],
)
def test_layers_that_xnnpack_runs_sparse_are_accepted(layer):
    assert xnnpack_faults(padded_with(layer)) == []


@pytest.mark.parametrize(
    "layer",
    [
        f"bn({AXIS})",  # behind a ReLU
        "scaled:TFOpLambda(function='math.multiply')",  # not before a convolution that takes it in
        "plus_1:TFOpLambda(function='__operators__.add')",
        "plus_1:Add",  # x + 1 in Keras 3
        "minus:TFOpLambda(function='math.subtract')",
        "act:Activation(activation='softmax')",
    ],
)
def test_layers_that_xnnpack_computes_wrong_or_not_sparse_are_refused(layer):
    assert xnnpack_faults(padded_with(layer)) == ["body-runs-sparse"]


@pytest.mark.parametrize(("activation", "faults"), [("linear", []), ("relu", ["body-runs-sparse"])])
def test_batch_normalization_is_accepted_behind_a_linear_convolution(activation, faults):
    drawn = PADDED.replace("conv_b(", f"conv_b(activation='{activation}',").replace(
        "> relu_2(", f"> bn({AXIS}) > relu_2("
    )
    assert xnnpack_faults(drawn) == faults


def test_a_factor_is_accepted_before_a_convolution_that_takes_it_in():
    drawn = PADDED.replace("> conv_c(", "> scaled:TFOpLambda(function='math.multiply') > conv_c(")
    assert xnnpack_faults(drawn) == []


def test_a_pool_that_keeps_its_axes_is_accepted_before_flatten_alone():
    for text, faults in (("> ", ["pool-ends-the-region"]), ("> drop:Dropout > flatten > ", [])):
        assert xnnpack_faults(PADDED.replace("> flatten > ", text)) == faults


def test_two_tensors_may_be_added_by_an_operation():
    drawn = PADDED.replace("> add >", "> sum:TFOpLambda(function='math.add') >")
    assert xnnpack_faults(drawn) == []


@pytest.mark.parametrize(("sparsity", "faults"), [("70%", []), ("66%", ["more-than-two-thirds"])])
def test_xnnpack_needs_more_than_two_thirds_of_zeros(sparsity, faults):
    settings = {"pointwise-in-body.prune.sparsity": sparsity}
    assert xnnpack_faults(PADDED, settings=settings) == faults


def test_the_rule_tests_of_the_shipped_files_pass_and_each_file_has_some():
    done = run_command("test", FOLDER.parent)
    assert (done.code, done.err) == (0, "")
    assert {path.name.removesuffix("_test.yaml") for path in FOLDER.parent.glob("*.yaml")} == set(
        SHIPPED
    )


@pytest.mark.parametrize("name", GRAPHS)
def test_the_graphs_of_the_rule_tests_are_those_that_are_drawn_here(name):
    assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == graph_text(name)


def test_what_the_demo_and_the_readme_read_is_in_the_wheel():
    root = Path(__file__).parents[2]
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    table = text.partition("[tool.hatch.build.targets.wheel.force-include]\n")[2].partition("\n\n")[
        0
    ]
    included = {line.partition(" = ")[0].strip('"') for line in table.splitlines()}
    data = {
        f"fixtures/{path.name}"
        for path in (root / "fixtures").iterdir()
        if path.suffix in (".keras", ".npz")
    }
    assert data | {"rules"} == included
    assert set(MODELS.values()) <= data
