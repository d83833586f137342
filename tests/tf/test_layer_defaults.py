"""The defaults that ship are those of the classes, and a config that leaves them out is no other
layer.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from layer_defaults import defaults_text, make_defaults, make_layer, parameter_classes
from layer_matrix import CASES, build_bench, class_of
from layer_zoo import exported_classes
from tf_keras.src.saving.serialization_lib import deserialize_keras_object, serialize_keras_object

from graphprune.diff import diff_graphs
from graphprune.graph import graph_from_config
from graphprune.graph.architecture import hash_architecture
from graphprune.graph.classes.completion import DEFAULTS_FILE, complete_config, complete_setting

pytestmark = pytest.mark.tf

TABLE = json.loads(DEFAULTS_FILE.read_text(encoding="utf-8"))
OTHERS: Mapping[str, Any] = {
    "activation": "relu",
    "dtype": "float64",
    "data_format": "channels_first",
    "padding": "same",
    "kernel_initializer": "ones",
}
"""Values that differ from the defaults, for settings of many classes."""
WITHOUT_DEFAULTS = {"DynamicEmbedding", "DynamicLookup"}
"""Classes that read every setting from their config."""


def test_the_table_is_that_of_the_classes() -> None:
    assert DEFAULTS_FILE.read_text(encoding="utf-8") == defaults_text(make_defaults())
    assert set(TABLE["layers"]) == set(exported_classes())


def without_defaults(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config as an older Keras might have written it: without any setting that has its
    default.
    """
    defaults = TABLE["layers"][name]
    return {
        key: value
        for key, value in config.items()
        if not (key in defaults and complete_setting(key, value) == defaults[key])
    }


@pytest.mark.parametrize("name", sorted(exported_classes()))
def test_a_config_without_its_defaults_is_the_same_layer(name: str) -> None:
    layer = make_layer(name)
    entry = serialize_keras_object(layer)
    bare = without_defaults(name, entry["config"])
    assert len(bare) < len(entry["config"]) or name in WITHOUT_DEFAULTS
    assert complete_config(entry | {"config": bare}) == complete_config(entry)


@pytest.mark.parametrize("name", sorted(exported_classes()))
def test_a_setting_with_another_value_is_another_layer(name: str) -> None:
    entry = serialize_keras_object(make_layer(name))
    whole = complete_config(entry)
    for key, value in with_defaults(name, whole).items():
        other = {
            **whole,
            key: OTHERS.get(key, not value if isinstance(value, bool) else [value, 7]),
        }
        assert complete_config(entry | {"config": other}) != whole, key


def with_defaults(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the table has a default for."""
    return {key: value for key, value in config.items() if key in TABLE["layers"][name]}


def without_defaults_inside(value: Any, classes: Mapping[str, Any]) -> Any:
    """Return a model's config in which no layer has a setting with its default."""
    if isinstance(value, list | tuple):
        return [without_defaults_inside(item, classes) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: without_defaults_inside(item, classes) for key, item in value.items()}
    if found.get("class_name") in classes and isinstance(value["config"], dict):
        found["config"] = without_defaults(found["class_name"], found["config"])
    return found


UNREADABLE = {
    "SpectralNormalization",
    "DenseFeatures",
    "DynamicEmbedding",
    "DynamicLookup",
    "RandomFourierFeatures",
}
"""Classes that Keras cannot read from the config of a model, or not without more than the config.
"""
CASES_BY_PLACE = {
    place: [name for name, case in CASES.items() if case.place == place]
    for place in ("prunable", "others", "alone")
}


@pytest.mark.slow
@pytest.mark.parametrize("place", CASES_BY_PLACE)
def test_a_model_without_defaults_that_keras_reads_and_writes_is_the_same_model(place: str) -> None:
    names = [name for name in CASES_BY_PLACE[place] if class_of(CASES[name]) not in UNREADABLE]
    model = build_bench(names).model
    config = json.loads(json.dumps(serialize_keras_object(model)))
    old = without_defaults_inside(config, exported_classes())
    new = serialize_keras_object(deserialize_keras_object(copy.deepcopy(old), safe_mode=False))
    built = graph_from_config(json.loads(json.dumps(new)))
    found = diff_graphs(graph_from_config(old), built)
    assert [(layer.address, layer.config) for layer in found.layers if layer.status] == []
    assert found.is_graph_equal
    assert hash_architecture(graph_from_config(old)) == hash_architecture(built)


@pytest.mark.parametrize("kind", [*parameter_classes()], ids=lambda kind: kind.__name__)
def test_parameters_without_their_defaults_or_by_name_are_the_same(kind: type) -> None:
    key = f"kernel_{kind.__module__.rsplit('.', 1)[-1].rstrip('s')}"
    whole = complete_setting(key, serialize_keras_object(kind()))
    assert complete_setting(key, {"class_name": kind.__name__, "config": {}}) == whole
    assert complete_setting(key, kind.__name__) == whole
