"""Conversion of the settings of single layers from one Keras to the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphprune.archive.entries import is_builtin, is_model, type_of
from graphprune.errors import GraphError

Parameters = Callable[[str, str], frozenset[str] | None]
"""From a module (`layers`, `initializers`, `optimizers`, ...) and a class to the
arguments that its constructor takes in the Keras that reads the result; None if that Keras has no
such class.
"""
NAMES = {2: "tf_keras", 3: "Keras 3"}

OWN_INPUT = frozenset({"batch_input_shape", "batch_shape", "input_shape", "input_dim"})
"""Settings of the first layer of a Sequential model that give the shape of the model's input."""
_SIZES = {"Embedding": frozenset({"input_dim"}), "ReversibleEmbedding": frozenset({"input_dim"})}
_PARTS = ("layer", "backward_layer", "cell", "cells")
"""Settings that hold layers."""


@dataclass(frozen=True, slots=True)
class Differences:
    """How the settings of one Keras are named in the other.

    Attributes:
        classes: Class names that differ, with the settings that the other class needs.
        renamed: By class (empty for all), the other name of a setting.
        dropped: By class (empty for all), settings that do not affect what the layer computes.
        neutral: Settings that only the source has, with the value at which they have no effect.
        accepted: By class, arguments that its constructor takes without naming them.
    """

    classes: Mapping[str, tuple[str, Mapping[str, Any]]]
    renamed: Mapping[str, Mapping[str, str]]
    dropped: Mapping[str, frozenset[str]]
    neutral: Mapping[str, Any] = field(default_factory=dict)
    accepted: Mapping[str, frozenset[str]] = field(default_factory=dict)


_VOCABULARY = frozenset({"vocabulary_size", "has_input_vocabulary", "has_static_table"})
"""Facts that a lookup layer stores about its vocabulary, which is a separate setting."""
_ONE_AXIS = frozenset({"BatchNormalization", "SyncBatchNormalization"})
_UNUSED_KERNEL = frozenset({"kernel_initializer", "kernel_regularizer", "kernel_constraint"})
DIFFERENCES: Mapping[int, Differences] = {
    3: Differences(
        classes={"SyncBatchNormalization": ("BatchNormalization", {"synchronized": True})},
        renamed={"LeakyReLU": {"alpha": "negative_slope"}},
        dropped={
            "": OWN_INPUT | {"implementation", "input_length", "input_dtype"} | _VOCABULARY,
            "MultiHeadAttention": frozenset({"query_shape", "key_shape", "value_shape"}),
            "SeparableConv1D": _UNUSED_KERNEL,
            "SeparableConv2D": _UNUSED_KERNEL,
            "DepthwiseConv1D": _UNUSED_KERNEL | {"filters"},
            "DepthwiseConv2D": _UNUSED_KERNEL | {"filters"},
        },
        neutral={
            "time_major": False,
            "dynamic": False,
            "groups": 1,
            "renorm": False,
            "softmax_robust_masking": False,
            "rng_type": "stateful",
            "trainable": True,
            "sparse": False,
            "ragged": False,
            "optional": False,
            "experimental_autocast": True,
        },
    ),
    2: Differences(
        classes={
            "MultiHeadAttention": (
                "MultiHeadAttention",
                # read without a default (tf_keras/src/layers/attention/multi_head_attention.py)
                dict.fromkeys(("query_shape", "key_shape", "value_shape")),
            )
        },
        renamed={"LeakyReLU": {"negative_slope": "alpha"}},
        dropped={
            "": OWN_INPUT | {"autocast"} | _VOCABULARY,
            "BatchNormalization": frozenset({"renorm_clipping", "renorm_momentum"}),
            "MultiHeadAttention": frozenset({"seed"}),
            "Attention": frozenset({"seed"}),
            "AdditiveAttention": frozenset({"seed"}),
        },
        neutral={
            "synchronized": False,
            "renorm": False,
            "zero_output_for_mask": False,
            "use_gate": False,
            "rms_scaling": False,
            "sparse": False,
            "ragged": False,
            "optional": False,
            "data_format": "channels_last",
            "pad_to_aspect_ratio": False,
            "antialias": False,
            "fill_mode": "constant",
            "oov_method": "floormod",
            "value_range": [0, 255],
            "fill_value": 0.0,
        },
        accepted=dict.fromkeys(
            ("RNN", "SimpleRNN", "LSTM", "GRU"), frozenset({"zero_output_for_mask"})
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class LayerConverter:
    """Converts single layers, without their calls.

    Attributes:
        parameters: The classes of the Keras that reads the result.
        keras: Its major version, 2 or 3.
        place: The start of error texts.
        model: Converts a model inside a layer such as TimeDistributed.
    """

    parameters: Parameters
    keras: int
    place: str
    model: Callable[[Mapping[str, Any]], dict[str, Any]]

    def layer(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry of a layer (class and config).

        Raises:
            GraphError: the other Keras has no such class, or the class does not take a setting that
                is not at its neutral value.
        """
        kind = type_of(entry)
        name, added = DIFFERENCES[self.keras].classes.get(kind, (kind, {}))
        if not is_builtin(entry):
            raise self.no_counterpart(entry, "cannot take a custom layer class")
        self._check_computes_the_same(entry)
        accepted = self.parameters("layers", name)
        if accepted is None or kind == "Lambda":
            raise self.no_counterpart(entry, f"cannot take a {kind} layer")
        return {
            "module": "keras.layers",
            "class_name": name,
            "config": self._settings(entry, kind, accepted) | dict(added),
            "registered_name": None,
        }

    def _check_computes_the_same(self, entry: Mapping[str, Any]) -> None:
        config = entry["config"]
        for key in ("activation", "recurrent_activation"):
            value = config.get(key)
            name = value.get("config") if isinstance(value, Mapping) else value
            if name == "hard_sigmoid":
                raise self.no_counterpart(
                    entry,
                    f"computes hard_sigmoid, its {key}, differently (tf_keras: 0.2 x + 0.5,"
                    " Keras 3: x / 6 + 0.5, both clipped to 0 and 1)",
                )
        if type_of(entry) == "RandomCrop":
            raise self.no_counterpart(entry, "crops differently with RandomCrop at inference")
        learned = _LEARNED.get(type_of(entry))
        if learned is not None and config.get(learned) is None:
            raise self.no_counterpart(
                entry, f"would get no {learned}: it was learned from data and is not in the config"
            )

    def no_counterpart(self, entry: Mapping[str, Any], what: str) -> GraphError:
        """Return the error for a layer that the other Keras has no counterpart of."""
        name = entry["config"].get("name") or entry.get("name")
        return GraphError(
            f"layer {name!r} ({type_of(entry)}): {NAMES[self.keras]} {what}; replace"
            " the layer before the model is converted",
            "convert/refused",
            place=self.place,
        )

    def _settings(
        self, entry: Mapping[str, Any], kind: str, accepted: frozenset[str]
    ) -> dict[str, Any]:
        differences = DIFFERENCES[self.keras]
        dropped = differences.dropped[""] | differences.dropped.get(kind, frozenset())
        renamed = differences.renamed.get(kind, {})
        shape_only = OWN_INPUT - _SIZES.get(kind, frozenset())
        taken = (accepted | differences.accepted.get(kind, frozenset())) - shape_only
        found: dict[str, Any] = {}
        for key, value in entry["config"].items():
            other = renamed.get(key, key)
            if other in taken:
                found[other] = self._setting(entry, key, value)
            elif key not in dropped and not _is_neutral(key, value, differences):
                raise self.no_counterpart(
                    entry, f"has no setting {key!r}, here {str(value)[:60]!r}"
                )
        if kind in _ONE_AXIS and self.keras == 3:
            found["axis"] = self._one_axis(entry)
        if kind in _LEARNED and self.keras == 2:
            found.pop("dtype", None)  # Keras 3 stores float32 beside integer outputs
        if kind == "Bidirectional" and self.keras == 2:
            return _without_derived_direction(found)
        return found

    def _one_axis(self, entry: Mapping[str, Any]) -> Any:
        """Return the axis of a batch normalization, which tf_keras stores as a list."""
        axis = entry["config"]["axis"]
        if not isinstance(axis, list | tuple):
            return axis
        if len(axis) != 1:
            raise self.no_counterpart(entry, f"normalizes over one axis, not over {list(axis)}")
        return axis[0]

    def _setting(self, entry: Mapping[str, Any], key: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._setting(entry, key, item) for item in value]
        if not isinstance(value, Mapping) or "class_name" not in value or "config" not in value:
            return value
        if key in _PARTS:
            return self.model(value) if is_model(value) else self.layer(value)
        kind, config = value["class_name"], value["config"]
        if kind in _POLICIES:
            return config["name"]
        if kind in _VALUES:
            return dict(value)
        if kind == "function" and isinstance(config, str):
            return config
        if is_builtin(value) and self.parameters("layers", kind) is not None:
            return self.layer(value)
        module = _MODULES.get(key.rpartition("_")[2], "")
        accepted = self.parameters(module, kind) if module and is_builtin(value) else None
        if accepted is None:
            raise self.no_counterpart(entry, f"has no {kind} for the setting {key!r}")
        return {
            "module": f"keras.{module}",
            "class_name": kind,
            # dropped arguments only affect the initial weights, which are copied from the file
            "config": {name: item for name, item in config.items() if name in accepted},
            "registered_name": None,
        }


_LEARNED = {
    **dict.fromkeys(("StringLookup", "IntegerLookup", "TextVectorization"), "vocabulary"),
    "Discretization": "bin_boundaries",
}
"""The setting that these layers learn from data if the program does not set it."""
_MODULES = {
    "initializer": "initializers",
    "regularizer": "regularizers",
    "constraint": "constraints",
}
_POLICIES = frozenset({"Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy"})
_VALUES = frozenset({"__tensor__", "__numpy__", "__bytes__", "__slice__", "__ellipsis__"})
"""Classes that stand for plain values, in both Kerases."""


def _is_neutral(key: str, value: Any, differences: Differences) -> bool:
    return value is None or (key in differences.neutral and value == differences.neutral[key])


def _without_derived_direction(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a Bidirectional without the backward layer that Keras derived.

    Keras 3 stores both layers; it derives the backward one from the forward one and names both
    after the layer that it was given.
    """
    forward, backward = config.get("layer"), config.get("backward_layer")
    if not isinstance(forward, dict) or not isinstance(backward, dict):
        return config
    name = str(forward["config"].get("name", ""))
    base = name.removeprefix("forward_")
    derived = forward["config"] | {
        "name": f"backward_{base}",
        "go_backwards": not forward["config"].get("go_backwards", False),
    }
    if name == base or backward["config"] != derived:
        return config
    plain = forward | {"config": forward["config"] | {"name": base}}
    return {key: item for key, item in config.items() if key != "backward_layer"} | {"layer": plain}
