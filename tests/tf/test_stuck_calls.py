"""Configs for which Keras would build a model without end are refused before it begins, or as soon
as it stops getting on.
"""

from __future__ import annotations

import copy

import pytest
import tf_keras
from hostile_files import FC, IN, layer, model, write_h5, write_keras
from tf_keras.src.engine import functional

from graphprune.errors import ArchiveError, GraphError
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.stuck_calls import stuck_calls_refused

pytestmark = [pytest.mark.tf, pytest.mark.timeout(60)]
GONE = "layer 'fc' takes a tensor of call 8 of 'in', which has 1 call; save the model again"


def changed(reference):
    entry = copy.deepcopy(FC)
    entry["inbound_nodes"] = [[reference]]
    return model(IN, entry)


def refusal(path):
    with pytest.raises((ArchiveError, GraphError)) as caught:
        load_model(path)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(("suffix", "write"), [(".keras", write_keras), (".h5", write_h5)])
def test_a_call_that_does_not_exist(tmp_path, suffix, write):
    assert refusal(write(tmp_path / f"m{suffix}", changed(["in", 7, 0, {}]))) == GONE


@pytest.mark.parametrize("index", [True, 0.5, None, "0"])
def test_a_call_by_a_number_that_is_none(tmp_path, index):
    fault = (
        f"layer 'fc' takes a tensor of 'in' by an index that is not an integer, got {[index, 0]};"
        " save the model again"
    )
    assert refusal(write_keras(tmp_path / "m.keras", changed(["in", index, 0, {}]))) == fault


def test_a_model_inside_a_wrapper(tmp_path):
    config = model(IN, layer("TimeDistributed", "fc", ("in",), layer=changed(["in", 7, 0, {}])))
    assert refusal(write_keras(tmp_path / "m.keras", config)) == GONE


def test_a_tensor_of_a_keyword_that_its_layer_does_not_make(tmp_path):
    dropout = layer("Dropout", "out", ("fc",), rate=0.5)
    dropout["inbound_nodes"] = [[["fc", 0, 0, {"training": ["fc", 0, 3]}]]]
    config = model(IN, FC, dropout, outputs="out") | {"module": "tf_keras.src.engine.functional"}
    assert (
        refusal(write_keras(tmp_path / "m.keras", config))
        == "a keyword argument of a layer takes a tensor that no layer produces; save the model"
        " again"
    )


def test_keras_builds_a_model_as_before_and_is_left_as_it_was():
    before = functional.reconstruct_from_config
    one, two = tf_keras.Input((4,), name="one"), tf_keras.Input((4,), name="two")
    inner = tf_keras.Model(one, tf_keras.layers.Dense(4)(one))
    shared = tf_keras.layers.Dense(4, name="shared")
    net = tf_keras.Model([one, two], shared(inner(shared(two))) + inner(one))
    with stuck_calls_refused("m"):
        again = tf_keras.Model.from_config(net.get_config())
    assert again.get_config() == net.get_config()
    assert functional.reconstruct_from_config is before
