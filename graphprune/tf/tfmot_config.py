"""Wrappers that the TensorFlow Model Optimization toolkit wrote, read as wrappers of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tf_keras.src.engine.base_layer import Layer

from graphprune.errors import GraphError
from graphprune.sparsity.pruning import Pruning
from graphprune.tf.keras_schedules import ConstantSparsity, PolynomialDecay
from graphprune.tf.live_tensors import prunable_names

_SCHEDULES: Mapping[str, type[Any]] = {"ConstantSparsity": ConstantSparsity, "PolynomialDecay": PolynomialDecay}
_OWN_KEYS = ("pruning_schedule", "block_size", "block_pooling_type", "sparsity_m_by_n")


def is_tfmot_config(config: Mapping[str, Any]) -> bool:
    """Return whether the toolkit wrote this config of a wrapper."""
    return "pruning_schedule" in config and "pruning" not in config


def convert_tfmot_config(config: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    """Return the arguments of the wrapper that prunes `layer` as the toolkit's did; the wrapper keeps its name, which the model's connections use.

    Raises:
        GraphError: it has a pattern or a schedule that cannot be read.
    """
    kind = config["pruning_schedule"].get("class_name")
    if kind not in _SCHEDULES:
        raise GraphError(f"{config['name']}: schedule {kind!r} of the TensorFlow toolkit is not known; known are {', '.join(_SCHEDULES)}")
    if tuple(config.get("block_size") or (1, 1)) != (1, 1) or config.get("sparsity_m_by_n"):
        raise GraphError(f"{config['name']}: the TensorFlow toolkit pruned it in blocks or m by n, and only single weights are read; strip it there first")
    schedule = _SCHEDULES[kind].from_config(config["pruning_schedule"]["config"])
    rest = {key: value for key, value in config.items() if key not in _OWN_KEYS}
    return {**rest, "pruning": Pruning(schedule.target, schedule.to_schedule(), prunable_names(layer)), "is_tfmot": True}
