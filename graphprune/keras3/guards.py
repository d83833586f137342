"""What pruned layers of Keras 3 refuse: calls that would lose their masks or make them wrong."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any

from keras.src.legacy.saving import legacy_h5_format

from graphprune.archive.files import h5_refused
from graphprune.errors import TrainingError

CLONING = "keras.src.models.cloning"
"""The module of `keras.models.clone_model`."""
_GUARDED = "_graphprune_guarded"


def refuse_lora(name: str) -> TrainingError:
    """Return the error for a pruned layer, or one to prune, with LoRA."""
    return TrainingError(
        f"{name}: LoRA is not supported on a pruned layer: merging it when the model is saved makes"
        " masked weights non-zero again; prune the model without LoRA, or leave the layer out"
    )


def refuse_quantization(name: str) -> TrainingError:
    """Return the error for a pruned layer or model that is to be quantized."""
    return TrainingError(
        f"{name}: a pruned layer or model cannot be quantized, because quantize replaces the"
        " weights that the masks belong to; quantize what strip_pruning returns"
    )


def guard_layer(layer: Any) -> None:
    """Make a layer with a pruned weight refuse what would lose its masks or make them wrong.

    It refuses LoRA, `quantize` and `.h5` files, and warns in `clone_model`.
    """
    _guard_hdf5()
    for method, error in (("enable_lora", refuse_lora), ("quantize", refuse_quantization)):
        if callable(getattr(layer, method, None)):
            setattr(layer, method, _refusing(getattr(layer, method), error, str(layer.name)))
    if "get_config" not in vars(layer):
        layer.get_config = _watched(layer.get_config)
        vars(layer)[_GUARDED] = True


def _guard_hdf5() -> None:
    """Let Keras refuse a pruned model before it empties the `.h5` file that was to hold it."""
    save = legacy_h5_format.save_model_to_hdf5
    if vars(save).get(_GUARDED):
        return

    @functools.wraps(save)
    def save_unpruned(model: Any, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        if any(vars(layer).get(_GUARDED) for layer in model._flatten_layers()):
            raise h5_refused(str(getattr(filepath, "filename", filepath)))
        return save(model, filepath, *args, **kwargs)

    vars(save_unpruned)[_GUARDED] = True
    legacy_h5_format.save_model_to_hdf5 = save_unpruned


def _refusing(
    method: Callable[..., Any], error: Callable[[str], TrainingError], name: str
) -> Callable[..., Any]:
    @functools.wraps(method)
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise error(name)

    return refuse


def _watched(get_config: Callable[[], Any]) -> Callable[[], Any]:
    """Return `get_config`, which warns in `clone_model`."""

    @functools.wraps(get_config)
    def watched() -> Any:
        level = _caller_of(CLONING)
        if level is not None:
            warnings.warn(
                "keras.models.clone_model copies neither masks nor weights, so the copy is not"
                " pruned; prune the copy with prune_low_magnitude, or clone what strip_pruning"
                " returns",
                stacklevel=level,
            )
        return get_config()

    return watched


def _caller_of(module: str) -> int | None:
    """Return the `stacklevel` for a warning at the line that called a function of `module`.

    The caller of this function gives the warning. None if no function of the module is running.
    """
    found, level = None, 1
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == module:
            found = level + 1
        frame, level = frame.f_back, level + 1  # type: ignore[assignment]
    return found
