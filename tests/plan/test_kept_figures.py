"""Weights and constants of layers in exported SavedModels, which other files do not tell."""

import numpy as np
import pytest
from builders import build_graph
from lenet import rules
from saved_model_files import write_checkpoint
from saved_model_graphs import Exported

from graphprune.archive.saved_model.exported import find_exported
from graphprune.plan import make_plan, plan_from_config, plan_to_config
from graphprune.plan.exported import verify_exported

RULES = rules(
    """
version: 1
rules: [{id: all, match: "*", prune: {sparsity: 50%, schedule: {curve: step}}}]
"""
)
TEXT = (
    "in > fc[4,6] > bn:BatchNormalization(epsilon=0.01)[6]"
    " > scale:Rescaling(scale=3, offset=0.5) > out(use_bias=False)[6,6]"
)
PLAN = make_plan(build_graph(TEXT), RULES)
SHAPES = {"fc/kernel": (4, 6), "fc/bias": (6,), "out/kernel": (6, 6)} | {
    f"bn/{name}": (6,) for name in ("gamma", "beta", "moving_mean", "moving_variance")
}


def folder_of(
    folder, *, epsilon=0.01, scale=3.0, offset=0.5, without=(), more=(), is_twice=False, values=None
):
    """Write an exported model.

    Args:
        folder: Where.
        epsilon, scale, offset: The constants of two layers.
        without: Variables that it does not have.
        more: Other ones of six values.
        is_twice: Whether it has each a second time, without a name.
        values: What a variable is full of, by name; 1 by default.
    """
    net = Exported()

    def number(name, value):
        return net.constant(name, np.array(value, "float32"))

    def add(name, kind, *inputs):
        return net.add(f"net/{name}", kind, *inputs, shape=(-1, 6))

    x = add("fc/MatMul", "MatMul", "x", net.variable("net/fc/MatMul", 4, 6))
    x = add("fc/BiasAdd", "BiasAdd", x, net.variable("net/fc/BiasAdd", 6))
    variance = net.variable("net/bn/batchnorm", 6)
    sum_ = add("bn/batchnorm/add", "AddV2", variance, number("net/bn/batchnorm/add/y", epsilon))
    x = add("bn/batchnorm/mul", "Mul", x, add("bn/batchnorm/Rsqrt", "Rsqrt", sum_))
    x = add("scale/mul", "Mul", x, number("net/scale/Cast/x", scale))
    x = add("scale/add", "AddV2", x, number("net/scale/Cast_1/x", offset))
    made = add("out/MatMul", "MatMul", x, net.variable("net/out/MatMul", 6, 6))
    net.write(folder, (-1, 4), made)
    shapes = {name: shape for name, shape in SHAPES.items() if name not in without}
    shapes |= dict.fromkeys(more, (6,))
    names = {f"variables/{at}": name for at, name in enumerate(shapes)}
    arrays = {
        str(at): np.full(shape, (values or {}).get(name, 1), "float32")
        for at, (name, shape) in enumerate(shapes.items())
    }
    tree = {"variables": arrays, "again": arrays if is_twice else {}}
    write_checkpoint(folder, tree, names=names)
    return find_exported(folder)


CHANGED = {
    "as planned": ({}, ()),
    "in 16 bits": ({"epsilon": float(np.float16(0.01))}, ()),
    "stored twice": ({"is_twice": True}, ()),
    "variables of no layer": ({"more": ["steps"]}, ()),
    "another epsilon": ({"epsilon": 0.02}, ["bn"]),
    "another factor": ({"scale": 2.0}, ["scale"]),
    "exchanged": ({"epsilon": 3.0, "scale": 0.01}, ["bn", "scale"]),
    "no bias": ({"without": ["fc/bias"]}, ["fc"]),
    "no bias, stored twice": ({"without": ["fc/bias"], "is_twice": True}, ["fc"]),
    "no beta": ({"without": ["bn/beta"]}, ["bn"]),
    "a bias more": ({"more": ["out/bias"]}, ["out"]),
    "a scale more": ({"more": ["scale/gamma"]}, ["scale"]),
}


@pytest.mark.parametrize("name", CHANGED)
def test_weights_and_constants_of_layers_are_compared(name, tmp_path):
    changed, wanted = CHANGED[name]
    found = verify_exported(PLAN, folder_of(tmp_path, **changed)).architecture
    layers = {one.address: one.what for one in found.differences}
    assert (layers, found.unchecked) == (dict.fromkeys(wanted, "settings"), "")


@pytest.mark.parametrize(("offset", "status"), [(0.0, "same"), (0.5, "differs")])
def test_a_number_that_is_not_planned_is_drift(offset, status, tmp_path):
    plan = make_plan(build_graph(TEXT.replace("offset=0.5", "offset=0")), RULES)
    assert verify_exported(plan, folder_of(tmp_path, offset=offset)).architecture.status == status


def test_a_weight_that_is_no_number_and_stored_twice_is_told_once(tmp_path):
    folder = folder_of(tmp_path, is_twice=True, values={"fc/bias": np.nan})
    found = verify_exported(PLAN, folder).not_finite
    assert [(one.address, one.non_finite) for one in found] == [("fc/bias", 6)]


def test_plans_of_earlier_versions_have_nothing_to_compare(tmp_path):
    config = plan_to_config(PLAN)
    del config["architecture"]["figures"]
    plan = plan_from_config(config)
    found = verify_exported(plan, folder_of(tmp_path, without=["fc/bias"])).architecture
    assert found.status == "same"
