"""Plans applied to live models: those that they were made for, and others, which are refused."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tf_keras
from planned import plan_with
from tf_keras import layers

from graphprune import StalePlanError, apply_plan, apply_rules, load_model, make_plan, read_graph
from graphprune.plan import plan_from_config, plan_to_config
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.live_graph import graph_of_model, weight_reader

pytestmark = pytest.mark.tf

RULES = {
    "version": 1,
    "rules": [
        {
            "id": "dense",
            "match": {"type": "Dense"},
            "prune": {"sparsity": 0.5, "schedule": {"curve": "constant", "begin": "0 steps"}},
        }
    ],
}
BY_MAGNITUDE = RULES | {
    "budgets": {"net": {"sparsity": 0.5, "allocate": "magnitude"}},
    "rules": [
        {
            "id": "dense",
            "match": {"type": "Dense"},
            "prune": {"budget": "net", "schedule": {"curve": "constant", "begin": "0 steps"}},
        }
    ],
}


def chain(*units: int, kind=layers.Dense, rate: float = 0.1) -> tf_keras.Model:
    x = inputs = layers.Input((6,), name="x_in")
    for number, size in enumerate(units, start=1):
        x = kind(size, name=f"d{number}")(x)
    return tf_keras.Model(inputs, layers.Dropout(rate, name="drop")(x), name="net")


def crossed() -> tf_keras.Model:
    """Return the layers of `chain(6, 6)`, connected the other way round."""
    inputs = layers.Input((6,), name="x_in")
    return tf_keras.Model(
        inputs,
        layers.Dropout(0.1, name="drop")(
            layers.Dense(6, name="d1")(layers.Dense(6, name="d2")(inputs))
        ),
        name="net",
    )


def plan_for(model: tf_keras.Model, rules=RULES):
    return plan_with(graph_of_model(model), rules, read_weight=weight_reader(model))


def both_forms(plan):
    """Return the plan as it is in memory, and as it comes out of its file."""
    return plan, plan_from_config(json.loads(json.dumps(plan_to_config(plan))))


OTHERS = {
    "shape": (lambda: chain(6, 5), "'d2' kernel is [6, 5], planned as [6, 6]"),
    "type": (
        lambda: chain(
            6, 6, kind=lambda size, name: layers.EinsumDense("ab,bc->ac", size, name=name)
        ),
        "'d1' is EinsumDense, planned as Dense",
    ),
    "wrapper": (lambda: apply_rules(chain(6, 6), RULES), "'d1' is wrapped, but not as planned for"),
    "missing": (lambda: chain(6), "'d2' is missing in net"),
    "more": (lambda: chain(6, 6, 6), "'d3' is not in the plan"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_plan_for_another_model_with_layers_of_the_same_names_is_refused(name):
    build, difference = OTHERS[name]
    for plan in both_forms(plan_for(chain(6, 6))):
        with pytest.raises(StalePlanError) as caught:
            apply_plan(build(), plan)
        assert str(caught.value).startswith(
            f"error[plan/stale]: the plan was made for another model: {difference}"
        )


@pytest.mark.parametrize(
    "build", [crossed, lambda: chain(6, 6, rate=0.2)], ids=["connections", "settings"]
)
def test_a_plan_made_for_a_live_model_fits_no_other(build):
    with pytest.raises(
        StalePlanError, match="layers without prunable weights, or connections, differ"
    ):
        apply_plan(build(), plan_for(chain(6, 6)))


def test_a_plan_that_depends_on_weights_is_refused_where_they_are_others():
    model = chain(6, 6)
    for plan in both_forms(plan_for(model, BY_MAGNITUDE)):
        assert set(find_wrappers(apply_plan(model, plan))) == {"d1", "d2"}
        other = tf_keras.models.clone_model(model)
        other.set_weights(
            [*model.get_weights()[:2], model.get_weights()[2] + 1, model.get_weights()[3]]
        )
        with pytest.raises(
            StalePlanError,
            match=r"the plan depends on the weights of 'd2', and those of this model differ",
        ):
            apply_plan(other, plan)


def older(path) -> None:
    """Leave keys out of a `.keras` file that the Keras of another year did not write, so that Keras
    adds them when it is loaded.
    """
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    for layer in config["config"]["layers"]:
        for key in ("bias_constraint", "kernel_constraint", "seed", "sparse"):
            layer["config"].pop(key, None)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, json.dumps(config) if name == "config.json" else content)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""], ids=["keras", "h5", "savedmodel"])
@pytest.mark.parametrize("is_sequential", [False, True], ids=["functional", "sequential"])
def test_a_plan_made_from_a_file_fits_the_model_that_is_loaded_from_it(
    tmp_path, suffix, is_sequential
):
    model = chain(6, 6)
    model = (
        tf_keras.Sequential(
            [layers.Dense(6, input_shape=(6,), name="d1"), layers.Dense(6, name="d2")], name="net"
        )
        if is_sequential
        else model
    )
    path = tmp_path / f"m{suffix}"
    model.save(path)
    for plan in both_forms(make_plan(path, BY_MAGNITUDE)):
        assert set(find_wrappers(apply_plan(load_model(path), plan))) == {"d1", "d2"}


def test_a_file_of_an_older_keras_fits_its_plan_though_loading_adds_settings(tmp_path):
    path = tmp_path / "m.keras"
    chain(6, 6).save(path)
    older(path)
    loaded = load_model(path)
    assert graph_of_model(loaded).sha256 != read_graph(path).sha256
    for plan in both_forms(make_plan(path, RULES)):
        assert set(find_wrappers(apply_plan(loaded, plan))) == {"d1", "d2"}
    with pytest.raises(StalePlanError, match="connections, differ"):
        apply_plan(crossed(), make_plan(path, RULES))


def test_a_plan_is_applied_from_its_file_and_calls_are_counted(tmp_path):
    model = chain(6, 6)
    plan = plan_for(model)
    (tmp_path / "plan.json").write_text(json.dumps(plan_to_config(plan)))
    wrapped = apply_plan(model, tmp_path / "plan.json")
    np.testing.assert_array_equal(wrapped(np.ones((1, 6))), model(np.ones((1, 6))))
    again = replace(
        plan,
        graph=None,
        model=replace(plan.model, graph_sha256=""),
        changes=tuple(replace(change, calls=2) for change in plan.changes),
    )
    with pytest.raises(StalePlanError):
        apply_plan(model, again)
