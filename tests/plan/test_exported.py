"""Exported SavedModels against plans: variables are told by their names and shapes."""

import numpy as np
import pytest
from builders import build_graph
from commands import run_command
from lenet import rules
from saved_model_files import field, write_checkpoint
from saved_model_graphs import Exported

from graphprune.archive.saved_model.exported import find_exported
from graphprune.archive.saved_model.operations import read_operations
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.interface import write_plan
from graphprune.plan import make_plan
from graphprune.plan.exported import verify_exported
from graphprune.plan.operator_architecture import check_operator_architecture
from graphprune.plan.verify import LayerDifference

RULES = """
version: 1
rules: [{id: all, match: "*", prune: {sparsity: 50%, schedule: {curve: step}}}]
"""
GRAPH = build_graph(
    "in > fc1(use_bias=False)[4,6] > fc2(use_bias=False)[6,4] > out(use_bias=False)[4,2]",
    name="net",
)
SHAPES = {"fc": (4, 6), "out": (6, 2)}
HALF = {
    "fc1/kernel": np.repeat(np.float32([0, 1]), 12).reshape(4, 6),
    "fc2/kernel": np.repeat(np.float32([1, 0]), 12).reshape(6, 4),
    "out/kernel": np.repeat(np.float32([0, 1]), 4).reshape(4, 2),
}


def exported(folder, variables, again=()):
    """Write the folder of an exported model with these variables, some of them a second time."""
    root = field(1, field(2, b"_endpoint_names"))
    (folder / "saved_model.pb").write_bytes(field(2, field(7, field(1, root))))
    lists = {"variables": variables, "_all_variables": again}
    tree = {
        key: {str(number): array for number, (_, array) in enumerate(each)}
        for key, each in lists.items()
    }
    paths = {
        f"{key}/{number}": name
        for key, each in lists.items()
        for number, (name, _) in enumerate(each)
    }
    write_checkpoint(folder, tree, names=paths)
    return find_exported(folder)


def operations_checked(plan, folder):
    return check_operator_architecture(plan, ExportedFile(read_operations(folder)))


def with_weights(folder):
    """Write the weights of the graph beside its operations."""
    names = dict(enumerate(HALF))
    tree = {"variables": {str(number): HALF[name] for number, name in names.items()}}
    write_checkpoint(folder, tree, names={f"variables/{at}": name for at, name in names.items()})
    return find_exported(folder)


def found(folder, variables):
    return verify_exported(make_plan(GRAPH, rules(RULES)), exported(folder, variables))


def test_weights_are_counted_and_the_architecture_is_not_called_as_planned(tmp_path):
    verified = found(tmp_path, [*HALF.items(), ("steps", np.int64(3))])
    assert [(one.address, one.measured, one.faults) for one in verified.checks] == [
        ("fc1", 12, ()),
        ("fc2", 12, ()),
        ("out", 4, ()),
    ]
    assert verified.is_as_planned is None
    assert verified.architecture.unchecked == (
        "the folder has no signature that says what it computes"
    )


@pytest.mark.parametrize(
    ("installed", "reason"),
    [
        (True, "the installed version of JAX does not read it"),
        (False, "to read it, install JAX: pip install 'graphprune[jax]'"),
    ],
)
def test_stable_hlo_that_cannot_be_read_is_not_compared(installed, reason, tmp_path, monkeypatch):
    if not installed:
        monkeypatch.setattr("graphprune.archive.saved_model.stable_hlo.find_spec", lambda _: None)
    net = Exported()
    module = net.add("call", "XlaCallModule", "x", shape=(-1, 2), module=b"ML\xefR and no more")
    net.write(tmp_path, (-1, 4), module)
    found = verify_exported(make_plan(GRAPH, rules(RULES)), with_weights(tmp_path)).architecture
    assert (found.status, found.unchecked) == (
        "unchecked",
        "the folder has StableHLO (XlaCallModule), which Keras 3 exports on JAX and PyTorch,"
        f" instead of operations of TensorFlow; {reason}",
    )


def test_weights_and_operations_as_planned_are_as_planned(tmp_path):
    net = Exported()
    net.write(tmp_path, (-1, 4), chain(net, "x"))
    plan = make_plan(GRAPH, rules(RULES))
    verified = verify_exported(plan, with_weights(tmp_path))
    assert (verified.is_as_planned, verified.drift, verified.unchecked) == (True, (), ())


def test_an_activation_that_the_plan_does_not_have_is_drift_with_exit_code_2(tmp_path):
    net = Exported()
    relu = net.add("net/fc1/Relu", "Relu", chain(net, "x"), shape=(-1, 2))
    net.write(tmp_path / "net", (-1, 4), relu)
    with_weights(tmp_path / "net")
    write_plan(make_plan(GRAPH, rules(RULES)), tmp_path / "plan.json")
    ran = run_command("verify", str(tmp_path / "net"), "--plan", str(tmp_path / "plan.json"))
    assert ran.code == 2
    assert "fc1" in ran.out


def test_operations_of_no_layer_that_are_not_read_are_not_called_drift(tmp_path):
    same, net = Exported(), Exported()
    plan = make_plan(GRAPH, rules(RULES))
    folder = same.write(tmp_path / "same", (-1, 4), chain(same, "x"))
    assert operations_checked(plan, folder).status == "same"
    cosine = net.add("net/a/Cos", "Cos", "x", shape=(-1, 4))
    found = operations_checked(plan, net.write(tmp_path, (-1, 4), chain(net, cosine)))
    assert (found.status, found.unchecked) == ("unchecked", "the operations Cos (a) are not read")


@pytest.mark.parametrize(("order", "status"), [([0, 2, 1, 3], "same"), ([0, 3, 2, 1], "differs")])
def test_the_order_of_axes_of_a_permute_is_compared(order, status, tmp_path):
    graph = build_graph("in > turn:Permute(dims=[2, 1, 3]) > out[4,4]", name="net")
    net = Exported()
    axes = net.constant("net/turn/perm", order)
    turned = net.add("net/turn/transpose", "Transpose", "x", axes, shape=(-1, 4, 4, 4), T=1)
    kernel = net.variable("net/out/Einsum", 4, 4)
    equation = "abcd,de->abce"
    made = net.add(
        "net/out/Einsum", "Einsum", turned, kernel, shape=(-1, 4, 4, 4), equation=equation
    )
    folder = net.write(tmp_path, (-1, 4, 4, 4), made)
    found = operations_checked(make_plan(graph, rules(RULES)), folder)
    assert found.status == status


TURNED = (
    "in > fc1(use_bias=False)[4,4]; in > fc2(use_bias=False)[4,4]; "
    "fc1 > turn:Permute(dims=[2, 1]); turn + fc2 > add"
)


@pytest.mark.parametrize(
    ("way", "wanted"),
    [
        ("fc1", ()),
        ("fc2", (LayerDifference("turn", "inputs"),)),
        ("sum", ()),
        ("fc2, where nothing names fc1", ()),
    ],
)
def test_the_tensor_that_a_permute_takes_is_compared(way, wanted, tmp_path):
    """By the kernel that it comes from; a converter moves transpositions through a sum."""
    net, of = Exported(), {"shape": (-1, 4, 4)}
    way, _, is_nameless = way.partition(",")
    parts = {}
    for name in ("fc1", "fc2"):
        told = "any" if is_nameless and name == "fc1" else f"net/{name}"
        kernel = net.variable(f"{told}/Einsum", 4, 4)
        parts[name] = net.add(f"{told}/Einsum", "Einsum", "x", kernel, equation="abc,cd->abd", **of)
    axes = net.constant("net/turn/perm", [0, 2, 1])
    if way == "sum":
        made = net.add("net/add/add", "AddV2", *parts.values(), T=1, **of)
        made = net.add("net/turn/transpose", "Transpose", made, axes, T=1, **of)
    else:
        parts[way] = net.add("net/turn/transpose", "Transpose", parts[way], axes, T=1, **of)
        made = net.add("net/add/add", "AddV2", *parts.values(), T=1, **of)
    plan = make_plan(build_graph(TURNED, name="net"), rules(RULES))
    assert operations_checked(plan, net.write(tmp_path, (-1, 4, 4), made)).differences == wanted


def test_a_function_without_operations_of_its_name_is_not_called_drift(tmp_path):
    graph = build_graph("in > fc[4,6] > mean:Mean > out[6,2]", name="net")
    net = Exported()
    kernels = [net.variable(f"net/{name}/MatMul", *shape) for name, shape in SHAPES.items()]
    made = net.add("net/fc/MatMul", "MatMul", "x", kernels[0], shape=(-1, 6))
    made = net.add("net/div", "Mean", made, net.constant("net/axes", [1]), shape=(-1, 6))
    made = net.add("net/out/MatMul", "MatMul", made, kernels[1], shape=(-1, 2))
    plan = make_plan(graph, rules(RULES))
    found = operations_checked(plan, net.write(tmp_path, (-1, 4), made))
    wanted = ("unchecked", "operators of mean (Mean) are not compared")
    assert (found.status, found.unchecked) == wanted


def chain(net, x):
    """Add the operations of the graph to an exported model, and return its output."""
    for name, *shape in (("fc1", 4, 6), ("fc2", 6, 4), ("out", 4, 2)):
        kernel = net.variable(f"net/{name}/MatMul", *shape)
        x = net.add(f"net/{name}/MatMul", "MatMul", x, kernel, shape=(-1, shape[1]))
    return x


@pytest.mark.parametrize(
    ("name", "more", "why"),
    [
        (
            "fc1/kernel",
            [("other/fc1/kernel", 1 - HALF["fc1/kernel"])],
            "2 variables fit, and their names do not tell which it is",
        ),
        (
            "fc1/kernel",
            [("fc1/kernel", 1 - HALF["fc1/kernel"])],
            "no variable of the folder has the name of the layer and this shape",
        ),
    ],
)
def test_a_variable_that_names_do_not_tell_is_not_checked(tmp_path, name, more, why):
    rest = list(HALF.items())[1:]
    verified = found(tmp_path, [(name, HALF["fc1/kernel"]), *more, *rest])
    assert [(one.address, one.unchecked) for one in verified.unchecked] == [("fc1", why)]
    assert verified.drift == ()


ONE_SHAPE = build_graph("in > fc1[4,4] > fc2[4,4] > out[4,2]", name="net")
ALIKE = np.float32([[0, 1]] * 8).reshape(4, 4)
LESS = RULES.replace(
    "rules: [",
    "rules: [{id: one, overrides: [all], match: {name: fc1},"
    " prune: {sparsity: 25%, schedule: {curve: step}}}, ",
)
KEPT = RULES.replace("rules: [", "rules: [{id: one, match: {name: fc1}, keep: true}, ")
UNLIKE = {
    "one more": (RULES, [ALIKE, ALIKE + 1, ALIKE[::-1] * 2]),
    "another plan": (LESS, [ALIKE, ALIKE * 2]),
    "one that is not pruned": (KEPT, [ALIKE, ALIKE * 2]),
    "one that is missing": (KEPT, [ALIKE]),
}


def of_one_shape(folder, values, text=RULES):
    """Return what is found of kernels whose names tell no layer."""
    variables = [(f"v{number}/kernel", array) for number, array in enumerate(values)]
    variables.append(("out/kernel", np.float32([[0, 1]] * 4)))
    return verify_exported(make_plan(ONE_SHAPE, rules(text)), exported(folder, variables))


def test_variables_that_names_do_not_tell_are_checked_where_the_same_is_planned_for_all(tmp_path):
    verified = of_one_shape(tmp_path, [ALIKE, ALIKE * 2])
    assert [(one.address, one.measured) for one in verified.checks] == [
        ("fc1", 8), ("fc2", 8), ("out", 4),
    ]  # fmt: skip
    assert (verified.unchecked, verified.drift) == ((), ())
    assert len(of_one_shape(tmp_path, [ALIKE, ALIKE + 1]).drift) == 1


@pytest.mark.parametrize("case", UNLIKE)
def test_variables_that_may_be_of_another_plan_are_not_checked(case, tmp_path):
    text, values = UNLIKE[case]
    verified = of_one_shape(tmp_path, values, text)
    assert {one.address for one in verified.unchecked} == {
        check.address for check in verified.checks
    } - {"out"}


def test_variables_that_are_stored_twice_are_checked(tmp_path):
    """As tf_keras stores those of a layer in 16 bits; one of two layers is not such a copy."""
    kernels = [("fc1/kernel", ALIKE), ("fc2/kernel", ALIKE * 2)]
    variables = [*kernels, ("out/kernel", np.float32([[0, 1]] * 4))]
    plan = make_plan(ONE_SHAPE, rules(LESS))
    verified = verify_exported(plan, exported(tmp_path, variables, kernels[::-1]))
    assert (verified.unchecked, verified.drift) == ((), ())
    two = exported(tmp_path, [*kernels, ("fc1/kernel", ALIKE)])
    assert [*two.keys] == ["fc2/kernel"]
    other = exported(tmp_path, kernels, [("fc1/kernel", ALIKE + 1)])
    assert [*other.keys] == ["fc2/kernel"]


def test_a_variable_of_another_shape_is_not_the_weight(tmp_path):
    verified = found(tmp_path, list((HALF | {"fc1/kernel": HALF["fc1/kernel"].T}).items()))
    assert [one.address for one in verified.unchecked] == ["fc1"]


def test_only_folders_that_keras_exported_are_taken(tmp_path):
    assert find_exported(tmp_path) is None
    assert find_exported(tmp_path / "missing") is None
    exported(tmp_path, list(HALF.items()))
    (tmp_path / "keras_metadata.pb").write_bytes(b"")
    assert find_exported(tmp_path) is None
