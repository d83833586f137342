"""Rewriting of a whole model's config for the other Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.archive.calls import (
    Call,
    is_reference,
    node_for_keras_2,
    node_for_keras_3,
    read_call,
    references,
)
from graphprune.archive.entries import is_builtin, is_model, name_of, type_of
from graphprune.archive.op_layers import (
    find_operation,
    is_op_layer,
    operands_for_keras_3,
    why_no_op_layer,
)
from graphprune.archive.operations import SLICING, Operation
from graphprune.conversion.arguments import RECURRENT, has_all_layers, named_arguments
from graphprune.conversion.masks import find_lost_mask, mask_sources, merges_masks
from graphprune.conversion.settings import LayerConverter, Parameters
from graphprune.graph.layers import SEPARATOR

_MODELS = {
    3: {"Functional": "keras.src.models.functional", "Sequential": "keras.src.models.sequential"},
    2: {"Functional": "keras.src.engine.functional", "Sequential": "keras"},
}
_NUMBERS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True, slots=True)
class Converted:
    """A config of the other Keras.

    Attributes:
        config: The model's entry, for that Keras to build.
        renamed: The new address of each layer whose name the other Keras does not allow.
    """

    config: dict[str, Any]
    renamed: Mapping[str, str]


def convert_config(
    config: Mapping[str, Any], parameters: Parameters, *, keras: int, place: str
) -> Converted:
    """Return a model's config for Keras `keras`.

    Args:
        config: The model's entry as archives give it, in the form of tf_keras for both Kerases.
        parameters: See `Parameters`.
        keras: The major version of the Keras that will build the model: 2 or 3.
        place: The start of error texts.

    Raises:
        GraphError: the other Keras has no counterpart of a layer, a setting or an operation.
    """
    writer = _ModelConverter(parameters, keras, place, {})
    return Converted(writer.model(config, "", ""), writer.renamed)


@dataclass(frozen=True, slots=True)
class _ModelConverter:
    parameters: Parameters
    keras: int
    place: str
    renamed: dict[str, str]

    @property
    def _layers(self) -> LayerConverter:
        return LayerConverter(self.parameters, self.keras, self.place, self._held_model)

    def _held_model(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return a model that a layer holds; its layers have no addresses of their own."""
        converter = _ModelConverter(self.parameters, self.keras, self.place, {})
        made = converter.model(entry, "", "")
        if converter.renamed:
            raise self._layers.no_counterpart(entry, "does not allow '/' in names of inner layers")
        return made

    def model(self, entry: Mapping[str, Any], before: str, after: str) -> dict[str, Any]:
        """Return the entry of a model; `before` and `after` are its address in the file and now."""
        if not is_builtin(entry):
            raise self._layers.no_counterpart(entry, "cannot take a custom model class")
        config = entry["config"]
        layers = config["layers"]
        names = self._names(layers, before, after)
        kind = "Functional" if "input_layers" in config else "Sequential"
        kept = {key: config[key] for key in ("name", "trainable") if key in config}
        if kind == "Functional":
            made = kept | self._functional(config, layers, names, before, after)
        else:
            first = _own_input(layers, names) if self.keras == 3 else []
            made = kept | {"layers": [*first, *self._members(layers, names, before, after)]}
            if config.get("build_input_shape"):
                made["build_input_shape"] = config["build_input_shape"]
        return {
            "module": _MODELS[self.keras][kind],
            "class_name": kind,
            "config": made,
            "registered_name": kind if kind == "Functional" else None,
        }

    def _names(self, layers: list[Any], before: str, after: str) -> dict[str, str]:
        """Return the name of each layer in the other Keras; Keras 3 allows no slash."""
        names: dict[str, str] = {}
        taken = {name_of(entry) for entry in layers}
        for entry in layers:
            name = new = name_of(entry)
            if self.keras == 3 and "/" in name:
                new = _free(name.replace("/", "_"), taken)
                taken.add(new)
            names[name] = new
            if _join(before, name) != _join(after, new):
                self.renamed[_join(before, name)] = _join(after, new)
        return names

    def _functional(
        self,
        config: Mapping[str, Any],
        layers: list[Any],
        names: Mapping[str, str],
        before: str,
        after: str,
    ) -> dict[str, Any]:
        self._check_calls(layers)
        members = self._members(layers, names, before, after)
        shift = {name_of(entry): 1 for entry in layers if _has_input(entry)}
        for entry, member in zip(layers, members, strict=True):
            member["name"] = names[name_of(entry)]
            calls = [read_call(node) for node in entry.get("inbound_nodes") or ()]
            member["inbound_nodes"] = [self._node(entry, call, names, shift) for call in calls]
        in_outputs = {
            name_of(entry): 1
            for entry in layers
            if _has_input(entry) and type_of(entry) == "Sequential" and self.keras == 3
        }
        return {
            "layers": members,
            "input_layers": _renamed(config["input_layers"], names, {}),
            "output_layers": _renamed(config["output_layers"], names, in_outputs),
        }

    def _check_calls(self, layers: list[Any]) -> None:
        """Refuse calls fixed to training mode, and implicit masks that the other Keras changes.

        tf_keras passes the mask of a sequence on beside an initial state; Keras 3 does not if a
        call has another tensor (`Layer.__call__`, keras/src/layers/layer.py).
        """
        sources = mask_sources(layers)
        lost = find_lost_mask(layers, sources)
        if lost is not None:
            raise self._layers.no_counterpart(
                lost,
                "treats the mask of a tensor differently that two attention layers take (Keras 3"
                " deletes it in the first)",
            )
        for entry in layers:
            if merges_masks(entry, sources):
                raise self._layers.no_counterpart(
                    entry,
                    "merges the masks of its inputs differently (Embedding with mask_zero, Masking)"
                    " where they are not the same",
                )
            calls = [read_call(node) for node in entry.get("inbound_nodes") or ()]
            if self.keras == 3 and any(keywords.get("training") is True for _, keywords in calls):
                raise self._layers.no_counterpart(
                    entry, "lets the model's training argument override training=True of a call"
                )
            if type_of(entry) not in RECURRENT:
                continue
            for node in entry.get("inbound_nodes") or ():
                (first, *_), keywords = named_arguments(type_of(entry), read_call(node))
                is_masked = any(sources.get(reference[0]) for reference in references(first))
                if "initial_state" in keywords and "mask" not in keywords and is_masked:
                    raise self._layers.no_counterpart(
                        entry,
                        "handles the mask of a sequence differently if a call also has an"
                        " initial state; pass the mask by the argument 'mask'",
                    )

    def _members(
        self, layers: list[Any], names: Mapping[str, str], before: str, after: str
    ) -> list[dict[str, Any]]:
        members = []
        for entry in layers:
            name = name_of(entry)
            if is_model(entry):
                made = self.model(entry, _join(before, name), _join(after, names[name]))
            elif find_operation(entry) is not None:
                made = self._operation(entry)
            elif type_of(entry) == "InputLayer":
                made = self._input(entry)
            else:
                made = self._layers.layer(entry)
            made["config"] |= {"name": names[name]}
            members.append(made)
        return members

    def _input(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        config = dict(entry["config"])
        shape = config.pop("batch_input_shape", config.pop("batch_shape", None))
        for key in ("sparse", "ragged", "optional"):
            if config.get(key):
                raise self._layers.no_counterpart(entry, f"takes no {key} inputs")
        key = "batch_shape" if self.keras == 3 else "batch_input_shape"
        kept = {name: config[name] for name in ("name", "dtype") if config.get(name) is not None}
        return {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": {key: shape, **kept},
            "registered_name": None,
        }

    def _operation(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry of an operation.

        Settings that Keras 3 keeps in the config are taken from the first call.
        """
        operation = self._known_operation(entry)
        if self.keras == 2:
            return {
                "module": "keras.layers",
                "class_name": entry["class_name"],
                "config": dict(entry["config"]),
                "registered_name": entry["class_name"],
            }
        calls = [read_call(node) for node in entry.get("inbound_nodes") or ()]
        settings = [self._settings(entry, operation, keywords) for _, keywords in calls]
        if any(each != settings[0] for each in settings[1:]):
            raise self._layers.no_counterpart(
                entry, "has no operation whose settings differ between calls"
            )
        return {
            "module": f"keras.src.ops.{operation.module}",
            "class_name": operation.name,
            "config": {"name": name_of(entry), **(settings[0] if settings else {})},
            "registered_name": operation.name,
        }

    def _settings(
        self, entry: Mapping[str, Any], operation: Operation, keywords: Mapping[str, Any]
    ) -> dict[str, Any]:
        found = {
            other: keywords.get(key, operation.defaults.get(key))
            for key, other in operation.settings.items()
            if key in keywords or key in operation.defaults
        }
        for key, value in keywords.items():
            is_known = key in operation.settings or key in operation.operands or key == "name"
            sliced = key == "slice_spec" and operation.functions[0] == SLICING
            neutral = key in operation.neutral and operation.neutral[key] == value
            if not (is_known or sliced or neutral):
                raise self._layers.no_counterpart(
                    entry, f"has no counterpart of the argument {key!r} of {operation.functions[0]}"
                )
        for value in found.values():
            if any(True for _ in references(value)):
                raise self._layers.no_counterpart(
                    entry, f"takes no tensors as settings of {operation.name}"
                )
        return found

    def _known_operation(self, entry: Mapping[str, Any]) -> Operation:
        operation = find_operation(entry)
        if operation is None:
            raise AssertionError(f"{type_of(entry)} is no operation")
        if isinstance(operation, str):
            raise self._layers.no_counterpart(entry, f"has no counterpart of {operation}")
        if self.keras == 2 and not is_op_layer(entry):
            raise self._layers.no_counterpart(entry, why_no_op_layer(entry, operation))
        return operation

    def _node(
        self,
        entry: Mapping[str, Any],
        call: Call,
        names: Mapping[str, str],
        shift: Mapping[str, int],
    ) -> Any:
        operation = find_operation(entry)
        if isinstance(operation, Operation):
            call = operands_for_keras_3(operation, call) if self.keras == 3 else call
        else:
            call = named_arguments(type_of(entry), call)
        args, keywords = call
        renamed: Call = (
            [_renamed(arg, names, {}) for arg in args],
            {
                key: _renamed(value, names, {})
                for key, value in keywords.items()
                if has_all_layers(value, names)
            },
        )
        if self.keras == 2:
            return node_for_keras_2(renamed, is_operation=isinstance(operation, Operation))
        new_shift = {names[name]: number for name, number in shift.items()}
        return node_for_keras_3(renamed, frozenset(names.values()), new_shift)


def _has_input(entry: Mapping[str, Any]) -> bool:
    layers = list(entry["config"]["layers"]) if is_model(entry) else []
    return bool(layers) and layers[0].get("class_name") == "InputLayer"


def _own_input(layers: list[Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the InputLayer that a Sequential model needs, from its first layer's input shape."""
    if not layers or type_of(layers[0]) == "InputLayer":
        return []
    config = layers[0]["config"]
    shape = config.get("batch_input_shape") or config.get("batch_shape")
    if shape is None:
        return []
    own = {"batch_shape": shape, "name": f"{names[name_of(layers[0])]}_input"}
    if config.get("dtype") in _NUMBERS and type_of(layers[0]) != "Embedding":
        own["dtype"] = config["dtype"]
    return [
        {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": own,
            "registered_name": None,
        }
    ]


def _renamed(value: Any, names: Mapping[str, str], shift: Mapping[str, int]) -> Any:
    if is_reference(value) and value[0] in names:
        return [names[value[0]], value[1] - shift.get(value[0], 0), *value[2:]]
    if isinstance(value, list | tuple):
        return [_renamed(item, names, shift) for item in value]
    if isinstance(value, Mapping):
        return {key: _renamed(item, names, shift) for key, item in value.items()}
    return value


def _free(name: str, taken: set[str]) -> str:
    return next(
        each
        for each in (name, *(f"{name}_{number}" for number in range(1, len(taken) + 2)))
        if each not in taken
    )


def _join(address: str, name: str) -> str:
    return f"{address}{SEPARATOR}{name}" if address else name
