"""What every public function says of arguments of the wrong type: it works, or one clear error
tells what was wanted, what came, and what to do.
"""

from __future__ import annotations

import pathlib
import re
import shutil
import traceback
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

import graphprune
from graphprune import (
    ConstantSparsity,
    GraphpruneError,
    PolynomialDecay,
    UpdatePruningStep,
    prune_low_magnitude,
)

pytestmark = pytest.mark.tf

SOURCE = str(pathlib.Path(graphprune.__file__).parent)
RULES = {
    "version": 1,
    "rules": [
        {
            "id": "all",
            "match": {"type": "Dense"},
            "prune": {"sparsity": "50%", "schedule": {"curve": "constant", "begin": "0 steps"}},
        }
    ],
}
RAW = re.compile(
    r"has no attribute|not subscriptable|not supported between|not iterable|unhashable|expected"
    r" str, bytes|required positional|indices must be"
)


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """Return what users hand over by mistake, by name, and what the calls below need; in a folder
    of its own.
    """
    folder = tmp_path_factory.mktemp("values")
    model = tf_keras.Sequential([layers.Input((8,)), layers.Dense(4), layers.Dense(2)])
    model.compile("adam", "mse")
    model.save(folder / "m.keras")
    x = np.random.default_rng(1).normal(size=(16, 8)).astype("float32")
    np.savez(folder / "d.npz", x_train=x, y_train=x[:, :2])
    found = {
        "None": None,
        "number": 3,
        "text": "no/such",
        "path": pathlib.Path("m.keras"),
        "builtin": "builtin:dense-90",
        "dict": RULES,
        "empty dict": {},
        "list": [1],
        "empty list": [],
        "bytes": b"m.keras",
        "class": layers.Dense,
        "layer": layers.Dense(3),
        "model": model,
        "symbolic tensor": layers.Dense(3)(tf_keras.Input((8,))),
        "tensor": tf.ones((2, 2)),
        "dataset": tf.data.Dataset.from_tensors((x, x[:, :2])),
        "schedule": ConstantSparsity(0.5, 0),
        "rule set": graphprune.read_rules(RULES),
        "graph": graphprune.read_graph(folder / "m.keras"),
        "plan": graphprune.make_plan(folder / "m.keras", RULES),
    }
    try:
        import keras
        from tensorflow_model_optimization.python.core.sparsity.keras.pruning_schedule import (
            ConstantSparsity as Theirs,
        )
    except ImportError:
        pass
    else:
        found |= {
            "layer of Keras 3": keras.layers.Dense(3),
            "model of Keras 3": keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(4)]),
        }
        found |= {"schedule of the toolkit": Theirs(0.5, 0)}
    return folder, found


def train(values, **arguments):
    given = {
        "model": "m.keras",
        "rules": values["plan"],
        "data": "d.npz",
        "run_dir": "run",
        "epochs": 1,
        "stop_after_step": 1,
    } | arguments
    return graphprune.train(**given)


def _stopped(values):
    """Return the folder of a run that was stopped."""
    if not pathlib.Path("stopped").exists():
        train(values, batch_size=8, run_dir="stopped")
    return "stopped"


CALLS = {
    "make_plan graph": lambda value, values: graphprune.make_plan(value, values["rule set"]),
    "make_plan rules": lambda value, values: graphprune.make_plan(values["graph"], value),
    "read_rules": lambda value, values: graphprune.read_rules(value),
    "read_graph": lambda value, values: graphprune.read_graph(value),
    "read_plan": lambda value, values: graphprune.read_plan(value),
    "diff_graphs left": lambda value, values: graphprune.diff_graphs(value, values["graph"]),
    "diff_graphs right": lambda value, values: graphprune.diff_graphs(values["graph"], value),
    "load_model": lambda value, values: graphprune.load_model(value),
    "load_model custom_objects": lambda value, values: graphprune.load_model("m.keras", value),
    "save_model model": lambda value, values: graphprune.save_model(value, "out.keras"),
    "save_model path": lambda value, values: graphprune.save_model(values["model"], value),
    "apply_plan model": lambda value, values: graphprune.apply_plan(value, values["plan"]),
    "apply_plan plan": lambda value, values: graphprune.apply_plan(values["model"], value),
    "apply_rules model": lambda value, values: graphprune.apply_rules(value, values["rule set"]),
    "apply_rules rules": lambda value, values: graphprune.apply_rules(values["model"], value),
    "apply_rules epochs": lambda value, values: graphprune.apply_rules(
        values["model"], values["rule set"], epochs=value
    ),
    "strip_pruning": lambda value, values: graphprune.strip_pruning(value),
    "collect_prunable_layers": lambda value, values: graphprune.collect_prunable_layers(value),
    "prune_low_magnitude": lambda value, values: prune_low_magnitude(value),
    "prune_low_magnitude list": lambda value, values: prune_low_magnitude([value]),
    "prune_low_magnitude schedule": lambda value, values: prune_low_magnitude(
        values["model"], value
    ),
    "prune_low_magnitude block_size": lambda value, values: prune_low_magnitude(
        values["model"], block_size=value
    ),
    "prune_low_magnitude pooling": lambda value, values: prune_low_magnitude(
        values["model"], block_pooling_type=value
    ),
    "prune_low_magnitude m_by_n": lambda value, values: prune_low_magnitude(
        values["model"], sparsity_m_by_n=value
    ),
    "prune_low_magnitude policy": lambda value, values: prune_low_magnitude(
        values["model"], pruning_policy=value
    ),
    "ConstantSparsity sparsity": lambda value, values: ConstantSparsity(value, 0),
    "ConstantSparsity begin": lambda value, values: ConstantSparsity(0.5, value),
    "ConstantSparsity end": lambda value, values: ConstantSparsity(0.5, 0, value),
    "ConstantSparsity frequency": lambda value, values: ConstantSparsity(0.5, 0, -1, value),
    "PolynomialDecay power": lambda value, values: PolynomialDecay(0.0, 0.5, 0, 10, value),
    "Run": lambda value, values: graphprune.Run(value),
    "Pruner": lambda value, values: graphprune.Pruner(value),
    "Pruner start": (
        lambda value, values: graphprune.Pruner(prune_low_magnitude(values["model"])).start(value)
    ),
    "UpdatePruningStep": lambda value, values: UpdatePruningStep(value),
    "UpdatePruningStep model": lambda value, values: UpdatePruningStep().set_model(value),
    "PruningSummaries": lambda value, values: graphprune.PruningSummaries(value),
    "PruningSummaries run": lambda value, values: graphprune.PruningSummaries("logs", run=value),
    "PruningSummaries model": (
        lambda value, values: graphprune.PruningSummaries("logs").set_model(value)
    ),
    "PruneLowMagnitude layer": lambda value, values: graphprune.PruneLowMagnitude(
        value, values["plan"].changes[0].after
    ),
    "PruneLowMagnitude pruning": lambda value, values: graphprune.PruneLowMagnitude(
        layers.Dense(2), value
    ),
    "train model": lambda value, values: train(values, model=value),
    "train rules": lambda value, values: train(values, rules=value),
    "train data": lambda value, values: train(values, data=value),
    "train folder": lambda value, values: train(values, run_dir=value),
    "train epochs": lambda value, values: train(values, epochs=value),
    "train metrics": lambda value, values: train(values, metrics=value),
    "train optimizer": lambda value, values: train(values, optimizer=value),
    "train learning_rate": lambda value, values: train(values, learning_rate=value),
    "train checkpoint_every": lambda value, values: train(values, checkpoint_every=value),
    "train strategy": lambda value, values: train(values, strategy=value),
    "train stop": lambda value, values: train(values, stop=value),
    "train custom_objects": lambda value, values: train(values, custom_objects=value),
    "resume": lambda value, values: graphprune.resume(value),
    "resume plan": lambda value, values: graphprune.resume(_stopped(values), plan=value),
    "resume data": lambda value, values: graphprune.resume(_stopped(values), data=value),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_works_or_says_what_it_takes(values, name, monkeypatch):
    folder, given = values
    monkeypatch.chdir(folder)
    faults, told = [], 0
    for kind, value in given.items():
        shutil.rmtree("run", ignore_errors=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                CALLS[name](value, given)
        except GraphpruneError as err:
            told += 1
            faults += [f"{kind}: {err}"] if RAW.search(str(err)) else []
        except (TypeError, ValueError) as err:
            told += 1
            is_ours = traceback.extract_tb(err.__traceback__)[-1].filename.startswith(SOURCE)
            faults += (
                []
                if is_ours and not RAW.search(str(err))
                else [f"{kind}: {type(err).__name__}: {err}"]
            )
    assert faults == []
    assert told >= 10  # the call looks at what it is given


TEXTS = {
    "a model that is none": (
        lambda values: graphprune.make_plan(3, RULES),
        "model must be the path of a saved model, a Keras model, or a LayerGraph, got 3",
    ),
    "class to train": (
        lambda values: train(values, model=values["class"]),
        (
            "model must be the path of a saved model, or a Keras model, got the class Dense of"
            " tf_keras itself"
        ),
    ),
    "model as rules": (
        lambda values: train(values, rules=values["model"]),
        (
            "rules must be a RuleSet, the path of a rule file, 'builtin:NAME', YAML text, a dict, a"
            " list of these, a Plan or the path of its JSON file, or None for a model that is"
            " wrapped already, got Sequential of tf_keras"
        ),
    ),
    "dict as schedule": (
        lambda values: prune_low_magnitude(
            values["model"], {"pruning_schedule": ConstantSparsity(0.5, 0)}
        ),
        (
            "pruning_schedule must be a graphprune.PruningSchedule, got dict; give the dict as"
            " keywords: prune_low_magnitude(model, **pruning_params)"
        ),
    ),
    "tensor for a layer": (
        lambda values: prune_low_magnitude(
            layers.Conv2D(4, 3, name="conv")(tf_keras.Input((8, 8, 3)))
        ),
        (
            "a tensor, the output of 'conv', is not a model; wrap the layer before it is called:"
            " prune_low_magnitude(Conv2D(...))(x)"
        ),
    ),
    "path for a model": (
        lambda values: prune_low_magnitude("m.keras"),
        "'m.keras' is a path, not a model; load the model first: graphprune.load_model('m.keras')",
    ),
    "misspelt keyword": (
        lambda values: prune_low_magnitude(values["model"], pruning_schedul=3),
        "prune_low_magnitude has no keyword 'pruning_schedul'; closest: 'pruning_schedule'",
    ),
    "misspelt keyword of a layer": (
        lambda values: prune_low_magnitude(layers.Dense(3), input_shap=(3,)),
        "prune_low_magnitude has no keyword 'input_shap'; closest: 'input_shape'",
    ),
    "keyword of a layer with a model": (
        lambda values: prune_low_magnitude(values["model"], input_shape=(8,)),
        (
            "prune_low_magnitude takes the keyword 'input_shape' only with a single layer, whose"
            " wrapper gets it; leave it out"
        ),
    ),
    "rules as text": (
        lambda values: graphprune.read_rules("version: 1\nrules: []"),
        (
            "error[key/missing]: there are no rules\n"
            "  --> <text>:2:8\n"
            "  help: add a list 'rules' with entries such as {id: dense-90, match: {type: Dense},"
            " prune: ...}"
        ),
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_says_what_to_do(values, name, monkeypatch):
    monkeypatch.chdir(values[0])
    call, text = TEXTS[name]
    with pytest.raises((GraphpruneError, TypeError)) as caught:
        call(values[1])
    assert str(caught.value) == text


def test_schedules_of_the_toolkit_are_told_with_their_arguments(values):
    theirs = values[1].get("schedule of the toolkit")
    if theirs is None:
        pytest.skip("tensorflow_model_optimization is not installed")
    with pytest.raises(TypeError) as caught:
        prune_low_magnitude(values[1]["model"], theirs)
    own = (
        "graphprune.ConstantSparsity(target_sparsity=0.5, begin_step=0, end_step=-1, frequency=100)"
    )
    assert str(caught.value).endswith(f"graphprune's own has the same arguments: {own}")


def test_a_schedule_without_begin_step_is_refused():
    class Own(graphprune.PruningSchedule):
        def __call__(self, step):
            return True, 0.5

        def get_config(self):
            return {}

    text = (
        "pruning_schedule: Own has no whole number begin_step; set it in its __init__, and end_step"
        " (-1: never ends)"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        prune_low_magnitude(layers.Dense(3), Own())


@pytest.mark.parametrize("name", ["UpdatePruningStep", "PruningSummaries"])
def test_a_callback_in_the_fit_of_a_dense_model_of_keras_3_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where PruningSummaries writes its logs
    text = f"net: {name} was given to a model without pruned layers, so nothing would be pruned;"
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(4)], name="net")
    model.compile("adam", "mse")
    with pytest.raises(graphprune.GraphpruneError, match=f"^{re.escape(text)}"):
        model.fit(
            np.ones((4, 8)), np.ones((4, 4)), verbose=0, callbacks=[getattr(graphprune, name)()]
        )


def test_steps_may_be_whole_floats_and_numbers_of_numpy():
    schedule = PolynomialDecay(
        np.float32(0.0), 0.5, 0, np.ceil(12.5).astype("int32") * 4.0, frequency=np.int64(10)
    )
    assert (schedule.end_step, type(schedule.end_step), type(schedule.frequency)) == (52, int, int)
    with pytest.raises(TypeError, match=r"^end_step must be a whole number, got 10\.5$"):
        PolynomialDecay(0.0, 0.5, 0, 10.5)
