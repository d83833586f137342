"""Conversion of the settings of single layers from one Keras to the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.archive.entries import is_builtin, is_model, type_of
from graphprune.errors import GraphError
from graphprune.graph.classes.applications import find_application, registered_name
from graphprune.graph.classes.builtin_layers import known_class, layer_class
from graphprune.graph.classes.completion import complete_setting, default_of
from graphprune.graph.classes.differences import find_differences
from graphprune.graph.classes.wrappers import without_derived_direction

Parameters = Callable[[str, str], frozenset[str] | None]
"""From a module (`layers`, `initializers`, `optimizers`, ...) and a class to the
arguments that its constructor takes in the Keras that reads the result; None if that Keras has no
such class.
"""
NAMES = {2: "tf_keras", 3: "Keras 3"}

OWN_INPUT = frozenset({"batch_input_shape", "batch_shape", "input_shape", "input_dim"})
"""Settings of the first layer of a Sequential model that give the shape of the model's input."""
_VOCABULARY = frozenset({"vocabulary_size", "has_input_vocabulary", "has_static_table"})
"""Facts that a lookup layer stores about its vocabulary, which is a separate setting."""
_DROPPED = {
    3: OWN_INPUT | {"input_dtype"} | _VOCABULARY,
    2: OWN_INPUT | {"autocast", "seed"} | _VOCABULARY,
}
"""Settings that do not affect what a layer computes, by the Keras that lacks them."""
_FLAGS = {
    "dynamic": False,
    "softmax_robust_masking": False,
    "sparse": False,
    "ragged": False,
    "optional": False,
    "experimental_autocast": True,
}
"""Settings of all layers that one Keras lacks, with the value at which they have no effect."""
_SHAPES = frozenset({"query_shape", "key_shape", "value_shape"})
_RENORM = frozenset({"renorm_clipping", "renorm_momentum"})
_DERIVED = {"MultiHeadAttention": _SHAPES, "BatchNormalization": _RENORM}
"""Settings that follow from others, by class."""
_NEEDED = {"MultiHeadAttention": dict.fromkeys(_SHAPES)}
"""Settings that tf_keras reads without a default
(tf_keras/src/layers/attention/multi_head_attention.py).
"""
_UNNAMED = dict.fromkeys(("RNN", "SimpleRNN", "LSTM", "GRU"), frozenset({"zero_output_for_mask"}))
"""Arguments that constructors of tf_keras take without naming them."""
_SIZES = {"Embedding": frozenset({"input_dim"}), "ReversibleEmbedding": frozenset({"input_dim"})}
_PARTS = ("layer", "backward_layer", "cell", "cells")
"""Settings that hold layers."""


_ACTIVATIONS = frozenset(
    {
        *("celu", "glu", "hard_shrink", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid"),
        *("log_softmax", "soft_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax"),
        *("squareplus", "tanh_shrink", "threshold"),
    }
)
_LACKING: Mapping[int, Mapping[tuple[str, str], frozenset[str]]] = {
    2: {("", key): _ACTIVATIONS for key in ("activation", "recurrent_activation")},
    3: {
        ("", "interpolation"): frozenset({"gaussian", "mitchellcubic"}),
        ("SeparableConv1D", "padding"): frozenset({"causal"}),
    },
}
"""Names that a Keras does not know, by class (empty for all classes) and setting.

Keras 3 builds a layer with such an interpolation, and fails when it is called.
"""
_ONE_AXIS = frozenset({"BatchNormalization", "SyncBatchNormalization"})


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
        name, added = self._class(kind)
        if not is_builtin(entry):
            raise self.no_counterpart(entry, "cannot take a custom layer class")
        self._check_computes_the_same(entry)
        application = find_application(entry)
        name = entry["class_name"] if application else name
        accepted = self.parameters(f"src.{application}" if application else "layers", name)
        known = known_class(entry)
        is_loaded = not application or known is None or self.keras in known.versions
        if accepted is None or not is_loaded or kind == "Lambda":
            raise self.no_counterpart(entry, f"cannot take a {kind} layer")
        made = {
            "module": "keras.layers",
            "class_name": name,
            "config": self._settings(entry, kind, accepted) | dict(added),
            "registered_name": None,
        }
        return made | self._of_application(application, name) if application else made

    def _of_application(self, module: str, name: str) -> dict[str, Any]:
        """Return what names a class of an application, which only its module has."""
        package = {2: "tf_keras", 3: "keras"}[self.keras]
        return {
            "module": f"{package}.src.{module}",
            "registered_name": registered_name(name, self.keras),
        }

    def _class(self, kind: str) -> tuple[str, Mapping[str, Any]]:
        """Return the name of a class in the other Keras, and the settings that it needs."""
        known = layer_class(kind)
        if self.keras == 3 and known.keras3_class:
            return known.keras3_class, known.keras3_settings
        return kind, _NEEDED.get(kind, {}) if self.keras == 2 else {}

    def _check_computes_the_same(self, entry: Mapping[str, Any]) -> None:
        for setting, found in find_differences(entry):
            named = f"its {setting}, " if setting else ""
            raise self.no_counterpart(
                entry,
                f"computes {named}differently (tf_keras: {found.keras2}; Keras 3: {found.keras3})",
            )
        learned = layer_class(type_of(entry)).learned
        if learned and entry["config"].get(learned) is None:
            raise self._refused(
                entry,
                f"would get no {learned}: it was learned from data, and only .keras files hold it;"
                " save the model as .keras, and convert that file",
            )

    def no_counterpart(self, entry: Mapping[str, Any], what: str) -> GraphError:
        """Return the error for a layer that the other Keras has no counterpart of."""
        return self._refused(entry, f"{what}; replace the layer before the model is converted")

    def _refused(self, entry: Mapping[str, Any], why: str) -> GraphError:
        name = entry["config"].get("name") or entry.get("name")
        return GraphError(
            f"layer {name!r} ({type_of(entry)}): {NAMES[self.keras]} {why}",
            "convert/refused",
            place=self.place,
        )

    def _settings(
        self, entry: Mapping[str, Any], kind: str, accepted: frozenset[str]
    ) -> dict[str, Any]:
        dropped = _DROPPED[self.keras] | _DERIVED.get(kind, frozenset()) | layer_class(kind).unused
        renamed = self._names(kind)
        shape_only = OWN_INPUT - _SIZES.get(kind, frozenset())
        taken = accepted - shape_only
        if self.keras == 2:
            taken |= _UNNAMED.get(kind, frozenset())
        found: dict[str, Any] = {}
        for key, value in entry["config"].items():
            other = renamed.get(key, key)
            self._check_known(entry, kind, key, value)
            if other in taken:
                found[other] = self._setting(entry, key, value)
            elif key not in dropped and not _is_neutral(kind, key, value):
                raise self.no_counterpart(
                    entry, f"has no setting {key!r}, here {str(value)[:60]!r}"
                )
        if kind in _ONE_AXIS and self.keras == 3:
            found["axis"] = self._one_axis(entry)
        if layer_class(kind).learned and self.keras == 2:
            found.pop("dtype", None)  # Keras 3 stores float32 beside integer outputs
        if found.get("bin_boundaries") is not None:
            found.pop("num_bins", None)  # a constructor takes only one of them
        if kind == "Bidirectional" and self.keras == 2:
            return without_derived_direction(found)
        return self._as_keras_3_reads(kind, found) if self.keras == 3 else found

    def _as_keras_3_reads(self, kind: str, found: dict[str, Any]) -> dict[str, Any]:
        """Return settings of tf_keras whose values Keras 3 takes differently as it takes them."""
        if kind == "Discretization" and "int" in str(found.get("dtype")):
            # that of the outputs; Keras 3 would cast the inputs, and lose their fractions
            return found | {"dtype": "float32"}
        factor = found.get("factor")
        if kind == "RandomContrast" and isinstance(factor, int | float):
            return found | {"factor": [factor, factor]}  # Keras 3 would only raise the contrast
        return found

    def _check_known(self, entry: Mapping[str, Any], kind: str, key: str, value: Any) -> None:
        """Refuse the name of an activation, padding or the like that the other Keras lacks."""
        name = value.get("config") if isinstance(value, Mapping) else value
        for place in (("", key), (kind, key)):
            if isinstance(name, str) and name in _LACKING[self.keras].get(place, ()):
                raise self.no_counterpart(entry, f"has no {key} {name!r}")

    def _names(self, kind: str) -> Mapping[str, str]:
        """Return the names of settings in the other Keras."""
        names = layer_class(kind).keras3_names
        return names if self.keras == 3 else {other: name for name, other in names.items()}

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
        if isinstance(value, Mapping) and value.keys() == _BYTECODE:
            raise self.no_counterpart(entry, f"cannot take a lambda for the setting {key!r}")
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
        module = _MODULES.get(key.rpartition("_")[2], "")
        if not module and is_builtin(value) and self.parameters("layers", kind) is not None:
            return self.layer(value)
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


_MODULES = {
    "initializer": "initializers",
    "regularizer": "regularizers",
    "constraint": "constraints",
}
_POLICIES = frozenset({"Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy"})
_BYTECODE = {"value"}
"""The key of a lambda in a config, beside which Keras writes no class."""
_VALUES = frozenset({"__tensor__", "__numpy__", "__bytes__", "__slice__", "__ellipsis__"})
"""Classes that stand for plain values, in both Kerases."""


def _is_neutral(kind: str, key: str, value: Any) -> bool:
    """Return whether a setting that the other Keras lacks has no effect."""
    if value is None or (key in _FLAGS and value == _FLAGS[key]):
        return True
    return bool(complete_setting(key, value) == default_of(kind, key))
