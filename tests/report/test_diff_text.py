import base64
import marshal
from dataclasses import replace

import numpy as np
import pytest
from builders import build_config, build_graph
from memory_weights import MemoryWeights, make_weights, with_zeros, wrap_layers

from graphprune.diff.document import graph_diff_to_config
from graphprune.diff.graph_diff import diff_graphs
from graphprune.graph import graph_from_config
from graphprune.report.diff_text import render_diff_text
from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule

PRUNING = Pruning(0.9, Schedule(end=Position(4, "epoch"), name="ramp"), ("kernel",))


@pytest.fixture
def lenet():
    """LeNet-300-100 before and after: (original graph, wrapped graph, weights, pruned weights)."""
    graph = build_graph("in > flatten > fc1[784,300] > fc2[300,100] > predictions:Dense[100,10]")
    pruned = with_zeros(
        make_weights(graph, seed=1), {("fc1", "kernel"): 211_680, ("fc2", "kernel"): 27_000}
    )
    pruned.states |= {(address, "pruning_step"): np.array(2000) for address in ("fc1", "fc2")}
    return graph, wrap_layers(graph, PRUNING, ("fc1", "fc2")), make_weights(graph), pruned


def show(
    left, right, left_weights=None, right_weights=None, *, gzip=None, show_all=False, brief=False
):
    diff = diff_graphs(
        left,
        right,
        left_weights=left_weights,
        right_weights=right_weights,
        left_path="lenet.keras",
        right_path="lenet-p90.keras",
        weights_gzip=gzip,
    )
    return render_diff_text(diff, show_all=show_all, brief=brief)


def test_a_wrapped_and_trained_model_reads_as_the_specification_says(lenet):
    graph, wrapped, weights, pruned = lenet
    assert (
        show(graph, wrapped, weights, pruned, gzip=(988_000, 152_000))
        == """\
diff  lenet.keras  ->  lenet-p90.keras

graph     same: 5 layers, 4 connections, inputs and outputs
pruning   2 wrapped
weights   6 tensors, 6 with new values

  w fc1  Dense   wrapped by dense-90: unstructured, ramp finished at step 2000
      kernel  [784, 300]   zeros 0 -> 211,680    0.0% -> 90.0%   target 90.0% met
  w fc2  Dense   wrapped by dense-90: unstructured, ramp finished at step 2000
      kernel  [300, 100]   zeros 0 -> 27,000     0.0% -> 90.0%   target 90.0% met

3 layers without structural or sparsity changes hidden (--all).

Diff: 0 added, 0 removed, 0 renamed, 0 reconfigured, 2 wrapped, 0 unwrapped, 0 rewired; \
2 tensors changed sparsity.
Zeros: 0 -> 238,680 of 266,610 parameters (0.0% -> 89.5%).   Weights gzip: 988.0 kB -> 152.0 kB
"""
    )


def test_an_original_and_its_stripped_model_show_each_tensor_whose_sparsity_changed(lenet):
    graph, _, weights, pruned = lenet
    assert (
        show(graph, graph, weights, pruned)
        == """\
diff  lenet.keras  ->  lenet-p90.keras

graph     same: 5 layers, 4 connections, inputs and outputs
pruning   no wrappers on either side
weights   6 tensors, 6 with new values

    fc1  Dense   sparsity changed
      kernel  [784, 300]   zeros 0 -> 211,680    0.0% -> 90.0%
    fc2  Dense   sparsity changed
      kernel  [300, 100]   zeros 0 -> 27,000     0.0% -> 90.0%

3 layers without structural or sparsity changes hidden (--all).

Diff: 0 added, 0 removed, 0 renamed, 0 reconfigured, 0 wrapped, 0 unwrapped, 0 rewired; \
2 tensors changed sparsity.
Zeros: 0 -> 238,680 of 266,610 parameters (0.0% -> 89.5%).
"""
    )


def test_all_layers_are_shown_on_demand():
    graph = build_graph("in > fc1[4,4] > relu")
    weights = make_weights(graph)
    assert (
        show(graph, graph, weights, weights, show_all=True)
        == """\
diff  lenet.keras  ->  lenet-p90.keras

graph     same: 3 layers, 2 connections, inputs and outputs
pruning   no wrappers on either side
weights   same: 2 tensors

    in    InputLayer   same
    fc1   Dense        same
      kernel  [4, 4]   zeros 0    0.0%
      bias    [4]      zeros 0    0.0%
    relu  ReLU         same

Diff: 0 added, 0 removed, 0 renamed, 0 reconfigured, 0 wrapped, 0 unwrapped, 0 rewired; \
0 tensors changed sparsity.
Zeros: 0 -> 0 of 20 parameters (0.0% -> 0.0%).
"""
    )


def test_brief_is_the_two_summary_lines(lenet):
    graph, wrapped, weights, pruned = lenet
    text = show(graph, wrapped, weights, pruned)
    assert show(graph, wrapped, weights, pruned, brief=True) == "".join(
        text.splitlines(keepends=True)[-2:]
    )


def test_equal_models_are_one_line(lenet):
    graph, _, weights, _ = lenet
    assert show(graph, graph, weights, weights) == "No differences.\n"
    assert show(graph, graph) == "No differences in graph and pruning; weights were not compared.\n"


def test_what_came_went_and_changed_has_a_line_each():
    left = build_graph("in > conv2(strides=[1, 1]) > dense_1[4,4] > relu > out")
    right = build_graph(
        "in > conv2(strides=[2, 2]) > dense_7[4,4] > out; conv2 + dense_7 > add_1", name="net_1"
    )
    assert (
        show(left, right, make_weights(left), make_weights(right))
        == """\
diff  lenet.keras  ->  lenet-p90.keras

graph     differs: 5 layers, 4 -> 5 connections
pruning   no wrappers on either side
weights   same: 6 tensors

  ~ conv2    config.strides  [1, 1] -> [2, 2]
  > dense_7  Dense   renamed from dense_1 (equal weights)
  + add_1    Add     added
  - relu     ReLU    removed

  ~ model  name  net -> net_1
  + dense_7 -> out
  + conv2 -> add_1
  + dense_7 -> add_1 (input 1)
  + add_1 -> output 1
  - dense_7 -> relu
  - relu -> out

2 layers without structural or sparsity changes hidden (--all).

Diff: 1 added, 1 removed, 1 renamed, 1 reconfigured, 0 wrapped, 0 unwrapped, 2 rewired; \
0 tensors changed sparsity.
Zeros: 0 -> 0 of 188 parameters (0.0% -> 0.0%).
"""
    )


def test_two_builds_of_one_architecture_are_the_same_but_for_names():
    text = show(build_graph("in > dense_1 > dense_2"), build_graph("in > dense_7 > dense_8"))
    assert "\ngraph     same but for names: 3 layers, 2 connections, inputs and outputs\n" in text
    assert "\n  > dense_7  Dense   renamed from dense_1 (equal structure)\n" in text


def test_stripping_shows_what_the_wrapper_was(lenet):
    graph, wrapped, _, pruned = lenet
    lines = show(wrapped, graph, pruned, pruned).splitlines()
    assert lines[3:5] == ["pruning   2 unwrapped", "weights   same: 6 tensors"]
    assert lines[6:8] == [
        (
            "  u fc1  Dense   unwrapped; was wrapped by dense-90: unstructured, ramp finished at"
            " step 2000"
        ),
        "      kernel  [784, 300]   zeros 211,680   90.0%   target 90.0% met",
    ]


def test_two_checkpoints_show_steps_and_masks():
    graph = wrap_layers(build_graph("in > fc1[2,5]"), PRUNING, ("fc1",))
    weights = make_weights(graph)

    def checkpoint(step, kept):
        states = {
            ("fc1", "pruning_step"): np.array(step),
            ("fc1", "mask_kernel"): np.isin(np.arange(10), kept).reshape(2, 5),
        }
        return MemoryWeights(weights.tensors, states)

    lines = show(
        graph, graph, checkpoint(100, [0, 1, 2]), checkpoint(200, [1, 2, 3, 4])
    ).splitlines()
    assert lines[3] == "pruning   1 wrapped on both sides with changes"
    assert lines[6:8] == [
        "    fc1  Dense   wrapped by dense-90: unstructured, ramp at step 100 -> ramp at step 200",
        (
            "      kernel  [2, 5]   zeros 0    0.0%   target 90.0% not yet met   mask: 66.7% of"
            " kept weights shared, 1 dropped, 2 regrown"
        ),
    ]


def test_a_wrapper_of_tfmot_that_was_not_trained_has_not_begun():
    plain = build_graph("in > fc1[2,5]")
    weights = make_weights(plain)
    untrained = MemoryWeights(weights.tensors, {("fc1", "pruning_step"): np.array(-1)})
    lines = show(plain, wrap_layers(plain, PRUNING, ("fc1",)), weights, untrained).splitlines()
    assert "  w fc1  Dense   wrapped by dense-90: unstructured, ramp, not begun" in lines


def test_a_missed_target_is_said():
    graph = build_graph("in > fc1[2,5]")
    pruning = Pruning(0.9, Schedule(end=Position(100, "step")), ("kernel",))
    pruned = with_zeros(make_weights(graph), {("fc1", "kernel"): 8})
    pruned.states["fc1", "pruning_step"] = np.array(100)
    text = show(graph, wrap_layers(graph, pruning, ("fc1",)), make_weights(graph), pruned)
    assert "      kernel  [2, 5]   zeros 0 -> 8    0.0% -> 80.0%   target 90.0% missed\n" in text


def test_control_characters_in_names_and_settings_are_escaped():
    left = build_graph("in > fc(activation='relu\\x1b[2J')", name="net")
    right = build_graph("in > fc(activation='relu')", name="net\x1b[2J")
    text = render_diff_text(diff_graphs(left, right, right_path="b\nNo differences.keras"))
    assert "\x1b" not in text
    assert "diff  net  ->  b\\nNo differences.keras\n" in text
    assert "  ~ fc  config.activation  relu\\x1b[2J -> relu\n" in text
    assert "  ~ model  name  net -> net\\x1b[2J\n" in text


def test_control_characters_in_the_names_of_settings_are_escaped():
    left, right = (
        build_graph("in > fc(note={'a\\x1b': 1})"),
        build_graph("in > fc(note={'a\\x1b': 2})"),
    )
    assert "  ~ fc  config.note.a\\x1b  1 -> 2\n" in show(left, right)


def test_a_long_setting_is_cut():
    text = show(build_graph("in > fc(note='a')"), build_graph(f"in > fc(note='{'b' * 500}')"))
    assert f"  ~ fc  config.note  a -> {'b' * 59}…\n" in text


def test_calls_count_from_one_in_text_and_from_zero_in_json():
    left = build_graph("in > shared:Dense > relu > shared > out")
    right = build_graph("in > shared:Dense > relu > shared > drop > out")
    lines = show(left, right).splitlines()
    assert [line for line in lines if "shared" in line] == [
        "  + shared (call 2) -> drop",
        "  - shared (call 2) -> out",
    ]
    assert [
        edge["source_call"]
        for edge in graph_diff_to_config(diff_graphs(left, right))["edges"]["added"]
    ] == [1, 0]


def test_every_call_of_a_shared_layer_has_its_number_once_one_has():
    lines = show(
        build_graph("in > shared:Dense > relu > shared > out"),
        build_graph("in > shared:Dense > drop > shared > relu > out"),
    ).splitlines()
    assert [line for line in lines if line.startswith("  + ") and "->" in line] == [
        "  + drop -> shared (call 2)",
        "  + shared (call 1) -> drop",
        "  + shared (call 2) -> relu",
        "  + relu -> out",
    ]


def test_a_constant_argument_has_the_number_of_its_call():
    def build(factor):
        config = build_graph("in > times:TFOpLambda").to_config()
        config["config"]["layers"][1]["inbound_nodes"][0][0][3] = {"y": factor}
        return graph_from_config(config)

    assert "  ~ times  call 1 [0].y  2.0 -> 3.0\n" in show(build(2.0), build(3.0))


def lambda_model(code, scale):
    config = build_graph("in > double:Lambda").to_config()
    config["config"]["layers"][1]["config"] |= {
        "function": [base64.b64encode(marshal.dumps(code)).decode(), None, [scale]],
        "function_type": "lambda",
    }
    return graph_from_config(config)


def test_python_code_that_differs_is_one_line_without_the_code():
    before, after = (lambda x: x * 2).__code__, (lambda x: x * 3).__code__
    assert [
        line
        for line in show(lambda_model(before, 2.0), lambda_model(after, 3.0)).splitlines()
        if line.startswith("  ~")
    ] == [
        "  ~ double  config.function  Python code differs",
        "  ~ double  config.function.closure  [2.0] -> [3.0]",
    ]


def test_python_code_that_was_only_written_again_is_no_difference():
    code = (lambda x: (x, "name", "name")).__code__
    again = marshal.loads(marshal.dumps(code))
    assert marshal.dumps(code) != marshal.dumps(again)
    assert show(lambda_model(code, 2.0), lambda_model(again, 2.0)).startswith("No differences")


def shifted(kinds):
    """A chain of Dense layers with default names and these kernels."""
    names = ["dense", *(f"dense_{index}" for index in range(1, len(kinds)))]
    layers = (f"{name}[{one},{other}]" for name, (one, other) in zip(names, kinds, strict=True))
    return build_graph(" > ".join(["in", *layers]), name="chain")


def test_default_names_that_have_shifted_are_one_line():
    kinds = [(4, 8), (8, 4)] * 10
    diff = diff_graphs(shifted(kinds), shifted([*kinds[:11], (8, 8), *kinds[11:]]))
    text = render_diff_text(diff)
    assert [line for line in text.splitlines() if line.startswith(("  +", "  >", "  -"))] == [
        "  + dense_11  Dense   added: kernel [8, 8], bias [8]",
        "  > dense_12  Dense   renamed from dense_11 (equal structure); 8 more layers have a"
        " shifted default name",
        "  + dense_10 -> dense_11",
        "  + dense_11 -> dense_12",
        "  - dense_10 -> dense_12",
    ]
    assert "Diff: 1 added, 0 removed, 9 renamed," in text
    assert "0 unwrapped, 1 rewired;" in text
    assert render_diff_text(diff, show_all=True).count("renamed from") == 9


def test_a_removed_layer_is_told_from_another_of_its_name():
    chains = ("in > dense_1[4,4] > dense_2[4,5] > dense_3[5,5]", "in > dense_1[4,4] > dense_2[5,5]")
    text = show(*map(build_graph, chains))
    assert [line for line in text.splitlines() if line.startswith(("  + ", "  - "))] == [
        "  - dense_2  Dense   removed: kernel [4, 5], bias [5]",
        "  + dense_1 -> dense_2",
        "  - dense_1 -> dense_2 (removed)",
        "  - dense_2 (removed) -> dense_2",
    ]


def test_a_change_of_many_layers_between_two_kerases_is_one_line():
    def build(keras, momentum):
        layers = (f"bn_x{index}:BatchNormalization(momentum={momentum})" for index in range(3))
        config = build_config(" > ".join(["in", *layers, "fc"]))
        module = "keras.src.models.functional" if keras == 3 else "tf_keras.src.engine.functional"
        return graph_from_config(config | {"module": module})

    old, new = build(2, 0.99), build(3, 0.9)
    lines = render_diff_text(diff_graphs(old, new)).splitlines()
    assert [line for line in lines if line.startswith("  ~")] == [
        "  ~ bn_x0  config.momentum  0.99 -> 0.9  (and 2 more BatchNormalization)"
    ]
    same_keras = render_diff_text(diff_graphs(old, build(2, 0.9)))
    assert same_keras.count("config.momentum") == 3


@pytest.mark.parametrize(("zeros", "text"), [(211_679, "met, 1 zero short"), (200_000, "met")])
def test_a_missed_target_that_looks_met_says_by_how_much(lenet, zeros, text):
    graph, wrapped, before, after = lenet
    missed = with_zeros(make_weights(graph, seed=1), {("fc1", "kernel"): zeros})
    missed.states |= after.states
    (line,) = [
        line for line in show(graph, wrapped, before, missed).splitlines() if " [784" in line
    ]
    assert line.endswith(f"target 90.0% not yet {text}")


def test_a_wrapper_without_anything_to_prune_says_so(lenet):
    graph, _, before, _ = lenet
    nothing = replace(PRUNING, weights=())
    shown = show(graph, wrap_layers(graph, nothing, ("flatten",)), before, make_weights(graph))
    assert "without anything to prune\n" in shown
    assert "unstructured" not in shown
