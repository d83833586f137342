"""Configs of Keras 2.0 to 2.4 and TensorFlow 1.x to 2.12, converted to the form of tf_keras today.

- Until Keras 2.2.3 and TensorFlow 1.12, a Sequential model's config was the bare list of its layers
  (keras/models.py and keras/engine/sequential.py, `get_config`).
- Until TensorFlow 2.2, a Functional model was of class `Model`
  (tensorflow/python/keras/engine/training.py).
- GRU and CuDNN-compatible GRU got `reset_after` in Keras 2.1.3, with the default False; today's
  default is True (tf_keras/src/layers/rnn/gru.py).
- MultiHeadAttention of TensorFlow 2.4 did not write the shapes that it is built with; without these
  keys no later version can load it, with null it waits for its first call
  (tf_keras/src/layers/attention/multi_head_attention.py, `from_config`).
- In Keras 2.0, the dtype of an Embedding was that of its input, always int32; its weights were
  floats (keras/layers/embeddings.py). Today it is that of the weights.
- Until TensorFlow 2.1, a Sequential model had no InputLayer in its config: its first layer had
  `batch_input_shape` (keras/engine/sequential.py, `layers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphprune.errors import ArchiveError
from graphprune.nested import rebuild

ATTENTION_SHAPES = ("query_shape", "key_shape", "value_shape")
RECURRENT_WITH_RESET = ("GRU", "GRUCell")
KERAS_1_KEYS = frozenset(
    {"nb_filter", "nb_row", "border_mode", "subsample", "nb_epoch", "inner_init"}
)
KERAS_1_CLASSES = frozenset(
    {
        "Convolution1D",
        "Convolution2D",
        "Convolution3D",
        "AtrousConvolution2D",
        "Deconvolution2D",
        "MaxoutDense",
        "Highway",
        "Merge",
        "TimeDistributedDense",
    }
)


def upgrade_config(
    config: Mapping[str, Any], place: str, version: str = "", layer_names: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the config of a model in today's form; one that has it already comes back equal.

    Args:
        config: Class name and config, as the file holds them.
        place: Begins error texts.
        version: The Keras that wrote it, where the file says.
        layer_names: The model's layers by the weights' group; they name nested models without a
            name.

    Raises:
        ArchiveError: Keras 1 wrote it.
    """
    upgraded: dict[str, Any] = _upgrade(config, version)
    if version.split(".")[0] in ("0", "1") or any(
        _is_keras_1(entry) for entry in _entries(upgraded)
    ):
        written = f" {version}" if version else " 1"
        raise ArchiveError(
            f"written by Keras{written}, whose layers differ; load it in Keras 2.0 to 2.2"
            " and save it again there",
            place=place,
        )
    _name_models(upgraded, layer_names)
    for entry in _entries(upgraded):
        _add_input(entry)
    return upgraded


def _upgrade(value: Mapping[str, Any], version: str) -> Any:
    """Return a copy in which every serialized object has today's form."""

    def upgrade(entry: dict[str, Any]) -> dict[str, Any]:
        kind, config = entry.get("class_name"), entry.get("config")
        if kind == "Sequential" and isinstance(config, list):
            entry["config"] = {"layers": config}
            entry["config"] |= {"name": entry["name"]} if "name" in entry else {}
        elif not isinstance(config, dict):
            return entry
        elif kind == "Model" and "input_layers" in config:
            entry["class_name"] = "Functional"
        elif kind in RECURRENT_WITH_RESET:
            config.setdefault("reset_after", False)
        elif kind == "MultiHeadAttention":
            config |= {key: config.get(key) for key in ATTENTION_SHAPES}
        elif kind == "Embedding" and config.get("dtype") == "int32" and version.startswith("2.0."):
            config["dtype"] = "float32"
        return entry

    return rebuild(value, upgrade)


def upgrade_zip_config(config: dict[str, Any], version: str) -> dict[str, Any]:
    """Return the config in a `.keras` file in today's form.

    TensorFlow 2.12 wrote NumPy numbers as objects, in places where no layer reads them back.

    Example:
        >>> upgrade_zip_config(
        ...     {
        ...         "class_name": "ReLU",
        ...         "config": {"threshold": {"class_name": "__numpy__", "config": {"value": 0.0}}},
        ...     },
        ...     "2.12.0",
        ... )
        {'class_name': 'ReLU', 'config': {'threshold': 0.0}}
    """
    upgraded: dict[str, Any] = (
        rebuild(config, _without_numpy) if version.startswith("2.12.") else config
    )
    return upgraded


def _without_numpy(value: dict[str, Any]) -> Any:
    inside = value.get("config")
    if value.get("class_name") == "__numpy__" and isinstance(inside, dict) and "value" in inside:
        return inside["value"]
    return value


def _entries(model: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the entries of a model and of all layers in it, wrapped ones left in their wrappers."""
    waiting: list[Any] = [model]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            yield entry
            config = entry.get("config")
            layers = config.get("layers") if isinstance(config, dict) else None
            waiting += layers if isinstance(layers, list) else []


def _is_keras_1(entry: Mapping[str, Any]) -> bool:
    config = entry.get("config")
    if not isinstance(config, dict) or "module" in entry:
        return False
    is_old_dense = (
        entry.get("class_name") == "Dense" and "output_dim" in config and "units" not in config
    )
    return (
        is_old_dense
        or str(entry.get("class_name")) in KERAS_1_CLASSES
        or not KERAS_1_KEYS.isdisjoint(config)
    )


def _name_models(model: dict[str, Any], layer_names: Sequence[str]) -> None:
    """Name each Sequential model without a name as its weights do, or `sequential_1` and so on."""
    layers = model["config"].get("layers") if isinstance(model.get("config"), dict) else None
    if isinstance(layers, list) and len(layers) == len(layer_names):
        for entry, name in zip(layers, layer_names, strict=True):
            if _is_nameless(entry):
                entry["config"] = {"name": name, **entry["config"]}
    taken = {
        str(entry["config"].get("name"))
        for entry in _entries(model)
        if isinstance(entry.get("config"), dict)
    }
    number = 0
    for entry in _entries(model):
        if _is_nameless(entry):
            number += 1
            while f"sequential_{number}" in taken:
                number += 1
            entry["config"] = {"name": f"sequential_{number}", **entry["config"]}


def _is_nameless(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("class_name") == "Sequential"
        and isinstance(entry.get("config"), dict)
        and "name" not in entry["config"]
    )


def _add_input(model: dict[str, Any]) -> None:
    """Add the InputLayer of a built Sequential model whose first layer knows the input's shape."""
    config = model.get("config")
    layers = (
        config.get("layers")
        if isinstance(config, dict) and model.get("class_name") == "Sequential"
        else None
    )
    first = layers[0] if isinstance(layers, list) and layers else None
    if (
        not isinstance(config, dict)
        or not isinstance(first, dict)
        or first.get("class_name") == "InputLayer"
        or not isinstance(first.get("config"), dict)
    ):
        return
    own = first["config"]
    if "batch_input_shape" in own and isinstance(own.get("name"), str):
        dtype = own.get("dtype") if isinstance(own.get("dtype"), str) else "float32"
        made = {
            "batch_input_shape": own["batch_input_shape"],
            "dtype": dtype,
            "sparse": False,
            "ragged": False,
            "name": f"{own['name']}_input",
        }
        config["layers"] = [{"class_name": "InputLayer", "config": made}, *config["layers"]]
