"""Steps that several operators of a `.tflite` file are, and figures that it stores in few bits."""

import numpy as np
import pytest
from tflite_files import Part, options, tflite_bytes

from graphprune.archive.tflite.file import TfliteFile
from graphprune.plan.operator_steps import OperatorSteps


def needed(parts, operators):
    """The texts of the steps that the last output comes from, first ones first."""
    read = OperatorSteps(TfliteFile(tflite_bytes(parts, operators)))
    places, waiting = set(read.outputs[-1:]), [*read.outputs[-1:]]
    while waiting:
        fresh = set(read.steps[waiting.pop()].step.inputs) - places
        places |= fresh
        waiting += fresh
    return [read.steps[place].step.computes for place in sorted(places)]


def stored(name, values, scale):
    return Part(name, values=values, scales=[scale], zero_points=[0])


def number(value, kind="float32", scale=0.0):
    values = np.array(value, kind)
    return stored("n", values, scale) if scale else Part("n", (), values)


LIMITS = {
    "float32": (number(1.0), "clip 0 1"),
    "a bit more in 8 bits": (number(100, "int8", 0.01002), "clip 0 1"),
    "the largest value in 8 bits": (number(127, "int8", 0.005), "clip 0 0.635+"),
    "another limit": (number(2.0), "clip 0 2"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_relu_of_a_minimum_is_a_clip(name):
    limit, wanted = LIMITS[name]
    parts = [Part("x", (1, 4)), limit, Part("y", (1, 4)), Part("z", (1, 4))]
    operators = [("MINIMUM", ["x", "n"], ["y"]), ("RELU", ["y"], ["z"])]
    assert needed(parts, operators) == ["input", wanted]


RECTIFIED = {
    "threshold": ("GREATER", 0.5, "zero up to threshold, threshold 0.5"),
    "other comparison": ("LESS", 0.5, "multiply"),
}


@pytest.mark.parametrize("name", RECTIFIED)
def test_x_times_whether_it_is_above_a_number_is_zero_up_to_it(name):
    kind, value, wanted = RECTIFIED[name]
    parts = [
        Part("x", (1, 4)),
        number(value),
        Part("above", (1, 4), type="BOOL"),
        Part("y", (1, 4)),
    ]
    operators = [(kind, ["x", "n"], ["above"]), ("MUL", ["x", "above"], ["y"])]
    assert needed(parts, operators)[-1] == wanted


def less_below(taken):
    """Operators that take 0.5 * relu(2 - x), or of x - 2, from x."""
    constants = [number(2.0), Part("slope", (), np.array(0.5, "float32"))]
    parts = [*constants, *(Part(name, (1, 4)) for name in ("x", "far", "less", "part", "y"))]
    operators = [
        ("SUB", taken, ["far"]),
        ("RELU", ["far"], ["less"]),
        ("MUL", ["less", "slope"], ["part"]),
        ("SUB", ["x", "part"], ["y"]),
    ]
    return needed(parts, operators)[-1]


def test_what_is_less_than_a_threshold_is_told_from_what_is_more():
    below = "less what is below threshold, threshold 2, slope 0.5"
    assert less_below(["n", "x"]) == below
    assert less_below(["x", "n"]) == "subtract"


def unit_length(kinds):
    axes = Part("axes", values=np.array([1], "int32"))
    names = ("x", "squares", "total", "limited", "root", "y")
    parts = [axes, number(1e-12), *(Part(name, (2, 4)) for name in names)]
    operators = [
        ("SQUARE", ["x"], ["squares"]),
        ("SUM", ["squares", "axes"], ["total"]),
        (kinds[0], ["total", "n"], ["limited"]),
        (kinds[1], ["limited"], ["root"]),
        ("MUL", ["x", "root"], ["y"]),
    ]
    return needed(parts, operators)[-1]


def test_a_division_by_the_root_of_a_sum_of_squares_is_one_to_unit_length():
    assert unit_length(["MAXIMUM", "RSQRT"]) == "unit length over 4"
    assert unit_length(["ADD", "RSQRT"]) == "multiply"
    assert unit_length(["MAXIMUM", "SQRT"]) == "multiply"


def normalization(epsilon):
    """Operators that normalize over 4 values, without scale and shift."""
    axes = Part("axes", values=np.array([1], "int32"))
    names = ("x", "mean", "far", "spread", "sum", "root", "scaled", "centre", "less", "out")
    parts = [axes, epsilon, *(Part(name, (2, 4)) for name in names)]
    operators = [
        ("MEAN", ["x", "axes"], ["mean"]),
        ("SQUARED_DIFFERENCE", ["x", "mean"], ["far"]),
        ("MEAN", ["far", "axes"], ["spread"]),
        ("ADD", ["spread", "n"], ["sum"]),
        ("RSQRT", ["sum"], ["root"]),
        ("MUL", ["x", "root"], ["scaled"]),
        ("MUL", ["mean", "root"], ["centre"]),
        ("NEG", ["centre"], ["less"]),
        ("ADD", ["scaled", "less"], ["out"]),
    ]
    return parts, operators


EPSILONS = {
    "float32": (number(1e-3), ", epsilon 0.001"),
    "16 bits": (number(1e-3, "float16"), ", epsilon 0.001"),
    "8 bits": (number(127, "int8", 1e-3 / 127), ", epsilon 0.001"),
    "too small for 16 bits": (number(1e-7, "float16"), ""),
    "few steps of 8 bits": (number(2, "int8", 5e-4), ""),
    "zero in 8 bits": (number(0, "int8", 0.1), ""),
}


@pytest.mark.parametrize("name", EPSILONS)
def test_an_epsilon_is_told_where_it_is_stored_exactly_enough(name):
    epsilon, wanted = EPSILONS[name]
    assert needed(*normalization(epsilon)) == ["input", f"normalize over 4{wanted}"]


def sequence(kernels, biases, numbers=(0, 1), sources=("x", "x")):
    """Operators that take two parts of a sequence, multiply each, and stack the results."""
    parts = [Part(name, (2, 1, 3)) for name in dict.fromkeys(sources)]
    parts.append(Part("ones", values=np.ones(3, "int32")))
    operators = []
    for at, (kernel, bias, place) in enumerate(zip(kernels, biases, numbers, strict=True)):
        begin = np.array([place, 0, 0], "int32")
        parts += [
            Part(f"from_{at}", values=begin),
            Part(f"to_{at}", values=begin + np.array([1, 0, 0], "int32")),
            stored(f"kernel_{at}", np.full((4, 3), kernel, "int8"), 0.1),
            stored(f"bias_{at}", np.full(4, bias, "int32"), 0.01),
            *(Part(f"{name}_{at}", (1, length)) for name, length in (("item", 3), ("made", 4))),
        ]
        masks = options("StridedSliceOptions", beginMask=6, endMask=6, shrinkAxisMask=1)
        taken = [sources[at], f"from_{at}", f"to_{at}", "ones"]
        operators += [
            ("STRIDED_SLICE", taken, [f"item_{at}"], masks),
            ("FULLY_CONNECTED", [f"item_{at}", f"kernel_{at}", f"bias_{at}"], [f"made_{at}"]),
        ]
    operators.append(("PACK", ["made_0", "made_1"], ["y"]))
    return [*parts, Part("y", (2, 1, 4))], operators


def test_what_is_computed_alike_for_each_part_of_a_sequence_is_one_step():
    assert needed(*sequence((3, 3), (100, 101))) == ["input", "matrix 3x4"]


OTHERS = {
    "kernels": sequence((3, 4), (100, 100)),
    "biases": sequence((3, 3), (100, 120)),
    "order": sequence((3, 3), (100, 100), (1, 0)),
    "two sequences": sequence((3, 3), (100, 100), sources=("x", "z")),
    "one part twice": sequence((3, 3), (100, 100), (0, 0)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_parts_that_are_not_computed_alike_stay_apart(name):
    assert needed(*OTHERS[name])[-1] == "operator PACK"


def scores(kind, values, *given):
    parts = [Part("x", (1, 3, 3)), Part("m", values=values), *given, Part("y", (1, 3, 3))]
    operators = [(kind, [*(("m", "x", "n") if given else ("x", "m"))], ["y"])]
    return needed(parts, operators)[-1]


def test_constants_that_mask_what_follows_are_causal_masks():
    behind = np.triu(np.ones((1, 3, 3), bool), 1)
    for table in (behind, behind.transpose(0, 2, 1)):
        assert scores("ADD", (table * -1e9).astype("float32")) == "causal mask"
        assert scores("SUB", (table * 1e9).astype("float32")) == "causal mask"
        assert scores("SELECT_V2", ~table, number(-1e30)) == "causal mask"
    assert scores("ADD", (behind * -1e9 + ~behind * 5).astype("float32")) == "affine"
    assert scores("ADD", (behind * -2).astype("float32")) == "affine"
    assert scores("ADD", ((behind - 1) * 1e9).astype("float32")) == "affine"
    assert scores("SELECT_V2", behind, number(-1e30)) == "operator SELECT_V2"


def test_a_masked_softmax_that_is_made_zero_where_the_mask_is_is_the_softmax():
    kept = np.tril(np.ones((1, 3, 3), bool))
    parts = [Part("m", values=kept), number(-1e9), Part("zero", (), np.zeros((), "float32"))]
    parts += [Part(name, (1, 3, 3)) for name in ("x", "y", "soft", "z")]
    operators = [
        ("SELECT_V2", ["m", "x", "n"], ["y"]),
        ("SOFTMAX", ["y"], ["soft"]),
        ("SELECT_V2", ["m", "soft", "zero"], ["z"]),
    ]
    wanted = ["input", "causal mask", "softmax, length 3"]
    assert needed(parts, operators) == wanted
    assert needed(parts, [*operators[:2], ("SELECT_V2", ["m", "soft", "n"], ["z"])])[:3] == wanted
    unmasked = [("SOFTMAX", ["x"], ["soft"]), operators[2]]
    assert len(needed(parts, unmasked)) == 3


def test_a_sum_of_tanh_of_a_sum_is_the_scores_of_additive_attention():
    axes = Part("axes", values=np.array([3], "int32"))
    names = ("q", "v", "sum", "curve", "scaled", "scores")
    parts = [axes, number(2.0), *(Part(name, (1, 5, 4, 6)) for name in names)]
    operators = [
        ("ADD", ["q", "v"], ["sum"]),
        ("TANH", ["sum"], ["curve"]),
        ("MUL", ["curve", "n"], ["scaled"]),
        ("SUM", ["scaled", "axes"], ["scores"]),
    ]
    assert needed(parts, operators)[-1] == "additive scores, scaled"
    plain = [*operators[:2], ("SUM", ["curve", "axes"], ["scores"])]
    assert needed(parts, plain)[-1] == "additive scores"
    other = [("SUB", ["q", "v"], ["sum"]), *plain[1:]]
    assert needed(parts, other)[-1] == "sum over 3"


@pytest.mark.parametrize(("count", "wanted"), [(1, "not equal 0"), (2, "operator REDUCE_ALL")])
def test_one_mask_that_is_joined_with_none_is_that_mask(count, wanted):
    axis = Part("axis", values=np.array([0], "int32"))
    parts = [Part("x", (count, 1, 3)), Part("n", (), np.array(0, "float32")), axis]
    parts += [Part("mask", (count, 1, 3), type="BOOL"), Part("all", (1, 3), type="BOOL")]
    operators = [("NOT_EQUAL", ["x", "n"], ["mask"]), ("REDUCE_ALL", ["mask", "axis"], ["all"])]
    assert needed(parts, operators)[-1] == wanted


def test_an_operator_without_results_is_no_mask():
    parts = [Part("x", (1, 3)), Part("y", (1, 3)), Part("r", values=np.zeros(1, "int32"))]
    operators = [("ASSIGN_VARIABLE", ["r", "x"], []), ("TANH", ["x"], ["y"])]
    assert needed(parts, operators) == ["input", "tanh"]


def test_a_loop_without_a_state_is_no_recurrent_layer():
    parts = [Part("x", (1, 2, 4)), Part("y", (1, 2, 4))]
    loop = options("WhileOptions", condSubgraphIndex=0, bodySubgraphIndex=0)
    assert needed(parts, [("WHILE", ["x"], ["y"], loop)]) == ["input", "operator WHILE"]


SLICES = {
    "negative ends": ([0, 1, 2, 0], [0, -1, -3, 0], 9, [1, 1, 1, 1], "crop 1+1 2+3 0+0"),
    "ends": ([0, 1, 0, 0], [1, 8, 6, 4], 9, [1, 1, 1, 1], "crop 1+0 0+2 0+0"),
    "a stride": ([0, 0, 0, 0], [0, -1, 0, 0], 15, [1, 2, 1, 1], "operator STRIDED_SLICE"),
    "of the batch": ([1, 0, 0, 0], [2, 0, 0, 0], 14, [1, 1, 1, 1], "operator STRIDED_SLICE"),
}


@pytest.mark.parametrize("name", SLICES)
def test_a_slice_that_cuts_off_ends_is_a_crop(name):
    begin, end, mask, strides, wanted = SLICES[name]
    facts = {"begin": begin, "end": end, "strides": strides}
    constants = [Part(key, values=np.array(value, "int32")) for key, value in facts.items()]
    parts = [Part("x", (2, 8, 8, 4)), *constants, Part("y", (2, 4, 4, 4))]
    settings = options("StridedSliceOptions", beginMask=mask, endMask=mask)
    operators = [("STRIDED_SLICE", ["x", *facts], ["y"], settings)]
    assert needed(parts, operators) == ["input", wanted]
