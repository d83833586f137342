"""Names of loss and metrics that the epochs of a run will have, as far as they need no Keras.

Keras names them when a model is compiled and built (`CompileMetrics` and `CompileLoss` of Keras 3,
`MetricsContainer` and `LossesContainer` of tf_keras).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphprune.archive.entries import is_builtin, type_of
from graphprune.engine.data_fit import losses_by_output
from graphprune.engine.early_stopping import check_metric
from graphprune.graph import ModelFile
from graphprune.graph.classes.builtin_layers import is_custom
from graphprune.runs.best import parse_ranking
from graphprune.runs.setting_values import is_object, read_stopping

_MODELS = {"Functional", "Sequential", "Model"}
"""Classes of models without metrics of their own."""
_ADDS = {"AddMetric"}
"""Layers that add a metric to a model of tf_keras."""
_PLAIN = re.compile(r"[a-z0-9_]+")
"""Names of metrics that are kept; of a class tf_keras makes another name, such as `auc_1`."""
_NUMBERED = re.compile(r"_\d+$")
_LONG = {
    "bce": "binary_crossentropy",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
}
"""How the first versions of Keras 3 name metrics that were asked for by short names."""


def find_metric_names(
    saved: ModelFile, outputs: Sequence[str], loss: Any, metrics: Any
) -> tuple[str, ...] | None:
    """Return the names of loss and metrics of an epoch; None if they are not known for sure.

    Args:
        saved: The model.
        outputs: The names of its outputs; empty if they are unknown.
        loss: The loss that it will be compiled with.
        metrics: The metrics that are asked for in place of the saved ones; None for these.
    """
    if not outputs or _has_own_metrics(saved):
        return None
    compiled = saved.need_archive().compile_settings
    if compiled.get("weighted_metrics"):
        return None
    given = compiled.get("metrics") if metrics is None else metrics
    several = len(outputs) > 1
    found = _by_output(given, outputs) if several else {"": _flat(given)}
    if found is None or (isinstance(loss, Mapping) and not several and "class_name" not in loss):
        return None
    named = {output: [_name_of(metric) for metric in part] for output, part in found.items()}
    if any(name is None for part in named.values() for name in part):
        return None
    losses = losses_by_output(loss, outputs) if several else ()
    return (
        "loss",
        *(f"{name}_loss" for name, one in zip(outputs, losses, strict=False) if one is not None),
        *(f"{name}_{one}" if name else str(one) for name, part in named.items() for one in part),
    )


def check_watched(
    names: Sequence[str] | None, arguments: Mapping[str, Any], *, is_validated: bool | None
) -> None:
    """Refuse early stopping, or keeping the best, by a metric that the epochs will not have.

    Args:
        names: What `find_metric_names` returned.
        arguments: The arguments of `train`.
        is_validated: Whether there is validation data; None if that is unknown.

    Raises:
        TrainingError: there is no such metric.
    """
    if names is None or arguments.get("evaluate"):
        return
    held_out = [f"val_{name}" for name in names]
    known = [*names, *(held_out if is_validated is not False else ())]
    stopping, best = arguments.get("early_stopping"), arguments.get("keep_best")
    if stopping is not None:
        watched = read_stopping(stopping).metric
        if not _may_be(watched, known):
            check_metric(watched, dict.fromkeys(known))
    if isinstance(best, str):
        ranking = parse_ranking(best)
        if not _may_be(ranking.metric, known):
            ranking.check_known(known)


def _may_be(metric: str, known: Sequence[str]) -> bool:
    """Return whether a metric is known, or some version of Keras may name a known one so.

    Examples are `mean_squared_error` for `mse`, and a number for the second metric of a kind.
    """
    wanted = _NUMBERED.sub("", metric)
    return any(wanted in (name, _long(name)) or metric == name for name in known)


def _long(name: str) -> str:
    short = next((short for short in _LONG if name == short or name.endswith(f"_{short}")), "")
    return name.removesuffix(short) + _LONG.get(short, "")


def _has_own_metrics(saved: ModelFile) -> bool:
    """Return whether the model may have metrics that its compile settings do not name."""
    entry = saved.graph.frames[""].entry
    if type_of(entry) not in _MODELS or ("module" in entry and not is_builtin(entry)):
        return True
    layers = saved.graph.layers.values()
    return any(layer.type in _ADDS or is_custom(layer.entry) for layer in layers)


def _by_output(given: Any, outputs: Sequence[str]) -> dict[str, list[Any]] | None:
    """Return the metrics of each output; None unless they are given by output or not at all."""
    if not given:
        return {}
    if not isinstance(given, Mapping) or not set(given) <= set(outputs):
        return None
    return {output: _flat(given[output]) for output in outputs if output in given}


def _flat(given: Any) -> list[Any]:
    return list(_leaves(given))


def _leaves(given: Any) -> Iterator[Any]:
    if given is None:
        return
    if isinstance(given, list | tuple):
        for one in given:
            yield from _leaves(one)
    else:
        yield given


def _name_of(metric: Any) -> str | None:
    """Return the name of a metric; None for one of the user's own, or of unknown name."""
    if isinstance(metric, Mapping):
        config = metric.get("config")
        name = config.get("name") if isinstance(config, Mapping) else None
        return name if isinstance(name, str) else None
    is_sure = isinstance(metric, str) and not is_object(metric) and _PLAIN.fullmatch(metric)
    return str(metric) if is_sure else None
