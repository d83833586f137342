"""The settings of a layer of one Keras as the other takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphprune.archive.entries import is_builtin, type_of
from graphprune.errors import GraphError

Parameters = Callable[[str, str], frozenset[str] | None]
"""From a module (`layers`, `initializers`, `regularizers`, `constraints`) and a class to the
arguments that its constructor takes in the Keras that reads the result; None where that Keras has
no such class.
"""
Names = {2: "tf_keras", 3: "Keras 3"}

OWN_INPUT = frozenset({"batch_input_shape", "batch_shape", "input_shape", "input_dim"})
"""Settings of the first layer of a Sequential model that say the shape of the model's input."""
_PARTS = ("layer", "backward_layer", "cell", "cells")
"""Settings that hold layers."""


@dataclass(frozen=True, slots=True)
class Differences:
    """How the settings of one Keras are named in the other.

    Attributes:
        classes: Class names that differ, with the settings that the other class needs.
        renamed: By class (empty for all), the other name of a setting.
        dropped: By class (empty for all), settings that say nothing of what the layer computes.
        neutral: Settings that only the source has, with the value at which they change nothing.
        accepted: By class, arguments that its constructor takes without naming them.
        accepted: By class, arguments that its constructor takes without naming them.
    """

    classes: Mapping[str, tuple[str, Mapping[str, Any]]]
    renamed: Mapping[str, Mapping[str, str]]
    dropped: Mapping[str, frozenset[str]]
    neutral: Mapping[str, Any] = field(default_factory=dict)
    accepted: Mapping[str, frozenset[str]] = field(default_factory=dict)


_ONE_AXIS = frozenset({"BatchNormalization", "SyncBatchNormalization"})
_UNUSED_KERNEL = frozenset(
    {"kernel_initializer", "kernel_regularizer", "kernel_constraint", "groups"}
)
DIFFERENCES: Mapping[int, Differences] = {
    3: Differences(
        classes={"SyncBatchNormalization": ("BatchNormalization", {"synchronized": True})},
        renamed={"LeakyReLU": {"alpha": "negative_slope"}},
        dropped={
            "": OWN_INPUT | {"implementation", "input_length", "input_dtype"},
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
            "fused": None,
            "softmax_robust_masking": False,
            "virtual_batch_size": None,
            "adjustment": None,
            "sparse": False,
            "ragged": False,
            "optional": False,
            "experimental_autocast": True,
        },
    ),
    2: Differences(
        classes={},
        renamed={"LeakyReLU": {"negative_slope": "alpha"}},
        dropped={
            "": OWN_INPUT | {"autocast"},
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
            "flash_attention": None,
            "lora_rank": None,
            "lora_alpha": None,
            "quantization_config": None,
            "quantization_mode": None,
            "gptq_unpacked_column_size": None,
            "sparse": False,
            "ragged": False,
            "optional": False,
            "data_format": "channels_last",
            "pad_to_aspect_ratio": False,
            "antialias": False,
        },
        accepted=dict.fromkeys(
            ("RNN", "SimpleRNN", "LSTM", "GRU"), frozenset({"zero_output_for_mask"})
        ),
    ),
}


def converted_layer(
    entry: Mapping[str, Any], parameters: Parameters, *, keras: int, place: str
) -> dict[str, Any]:
    """Return the entry of a layer (class and config, no calls) for Keras `keras`.

    Raises:
        GraphError: that Keras has no such class, or the layer has a setting that is not at its
            neutral value and that the class does not take.
    """
    kind = type_of(entry)
    differences = DIFFERENCES[keras]
    name, added = differences.classes.get(kind, (kind, {}))
    accepted = parameters("layers", name) if is_builtin(entry) else None
    if accepted is None:
        what = "a layer class of its own" if not is_builtin(entry) else f"no {kind} layer"
        has = "has" if is_builtin(entry) else "cannot get"
        raise GraphError(
            f"{place}: layer {entry['config'].get('name')!r} ({kind}): {Names[keras]} {has} {what};"
            " replace the layer before the model is converted",
            "convert/no-counterpart",
        )
    config = _settings(entry["config"], kind, accepted, parameters, keras=keras, place=place)
    return {
        "module": "keras.layers",
        "class_name": name,
        "config": config | dict(added),
        "registered_name": None,
    }


def _settings(
    config: Mapping[str, Any],
    kind: str,
    accepted: frozenset[str],
    parameters: Parameters,
    *,
    keras: int,
    place: str,
) -> dict[str, Any]:
    differences = DIFFERENCES[keras]
    dropped = differences.dropped.get("", frozenset()) | differences.dropped.get(kind, frozenset())
    renamed = differences.renamed.get(kind, {})
    accepted |= differences.accepted.get(kind, frozenset())
    found: dict[str, Any] = {}
    for key, value in config.items():
        other = renamed.get(key, key)
        if other in accepted:
            found[other] = _setting(key, value, parameters, keras=keras, place=place)
        elif key not in dropped and not _is_neutral(key, value, differences):
            raise GraphError(
                f"{place}: layer {config.get('name')!r} ({kind}): {Names[keras]} has no setting"
                f" {key!r}, and here it is {value!r}; set it to its default before the model is"
                " converted",
                "convert/no-counterpart",
            )
    if kind in _ONE_AXIS and keras == 3:
        found["axis"] = _one_axis(found["axis"], config.get("name"), place)
    if kind == "Bidirectional" and keras == 2:
        return _without_derived_direction(found)
    return found


def _one_axis(axis: Any, name: Any, place: str) -> Any:
    """Return the axis of a batch normalization, which tf_keras stores as a list."""
    if not isinstance(axis, list | tuple):
        return axis
    if len(axis) != 1:
        raise GraphError(
            f"{place}: layer {name!r} normalizes over the axes {list(axis)}, and Keras 3 takes one;"
            " replace the layer before the model is converted",
            "convert/no-counterpart",
        )
    return axis[0]


def _is_neutral(key: str, value: Any, differences: Differences) -> bool:
    return key in differences.neutral and value == differences.neutral[key]


def _setting(key: str, value: Any, parameters: Parameters, *, keras: int, place: str) -> Any:
    if key in _PARTS and isinstance(value, list):
        return [_setting("cell", item, parameters, keras=keras, place=place) for item in value]
    if key in _PARTS and isinstance(value, Mapping):
        return converted_layer(value, parameters, keras=keras, place=place)
    return _object(key, value, parameters)


_MODULES = {
    "initializer": "initializers",
    "regularizer": "regularizers",
    "constraint": "constraints",
}


def _object(key: str, value: Any, parameters: Parameters) -> Any:
    """Return the value of a setting: initializers, regularizers, constraints and dtype policies
    under the module that both Kerases know, everything else as it is.

    Of an initializer only what the other Keras takes is kept: the weights are there already.
    """
    if isinstance(value, list):
        return [_object(key, item, parameters) for item in value]
    if not isinstance(value, Mapping) or not isinstance(value.get("config"), Mapping):
        return value
    if value.get("class_name") in ("Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy"):
        return value["config"]["name"]
    module = _MODULES.get(key.rpartition("_")[2])
    if module is None or not is_builtin(value):
        return value
    accepted = parameters(module, value["class_name"])
    config = value["config"]
    if accepted is not None:
        config = {name: item for name, item in config.items() if name in accepted}
    return {
        "module": f"keras.{module}",
        "class_name": value["class_name"],
        "config": dict(config),
        "registered_name": None,
    }


def _without_derived_direction(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a Bidirectional without the backward layer that Keras made of the
    forward one: Keras 3 stores both, and names them after the layer that it was given.
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


def parameters_of(keras: Any, module: str, name: str) -> frozenset[str] | None:
    """Return the arguments that a class of a Keras takes, those of its base classes included; None
    where the module has no such class.

    Args:
        keras: The Keras that was imported.
        module: `layers`, `initializers`, `regularizers` or `constraints`.
        name: The class.
    """
    found = getattr(getattr(keras, module), name, None)
    if not isinstance(found, type):
        return None
    return frozenset(
        argument
        for each in found.__mro__
        if each.__module__.partition(".")[0] in ("keras", "tf_keras") and "__init__" in vars(each)
        for argument, parameter in inspect.signature(vars(each)["__init__"]).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ) - {"self"}
