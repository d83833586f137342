"""Checks of a new run that need no Keras, so that mistakes are told within seconds.

They repeat what is checked again on the live model, by the same functions and in the same words, as
far as the file, the data and the source text of the installed Keras tell. What they cannot tell
passes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.machinery import PathFinder
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.engine.compile_names import SHORT, Kind, check_outputs, choose_loss, unknown_name
from graphprune.engine.data_fit import (
    TEXT,
    BatchPart,
    Output,
    check_array_labels,
    check_class_weights,
    check_inputs,
    check_names,
    check_one_weighting,
    label_rule,
    losses_by_output,
)
from graphprune.engine.data_function import check_module
from graphprune.engine.file_data import FileData, file_data, find_ends
from graphprune.engine.metric_names import check_watched, find_metric_names
from graphprune.errors import DataError, TrainingError
from graphprune.graph import LayerGraph, ModelFile, open_model_file
from graphprune.graph.precision import check_takes_policy
from graphprune.runs.labels import LabelRule
from graphprune.runs.npz import read_npz
from graphprune.runs.run_options import Compiling
from graphprune.runs.sample_names import PARTS, group_arrays
from graphprune.runs.samples import Shapes, check_samples, check_values, is_data_function
from graphprune.runs.setting_values import is_object

_PACKAGES = {2: "tf_keras", 3: "keras"}
_HOMES: Mapping[Kind, str] = {"optimizer": "optimizers", "loss": "losses", "metric": "metrics"}
_WORD = re.compile(r"[A-Za-z_]\w*")
_EXPORTED = re.compile(r'"keras\.(?:_legacy\.)?(losses|metrics|optimizers)\.([A-Za-z]\w*)"')
_NO_NAMES = {"get", "serialize", "deserialize", "loss", "metric", "optimizer", "reduction"}
"""Exported names that mean no loss, metric or optimizer, as they are shown."""
_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def check_early(saved: ModelFile, data: str, compiling: Mapping[str, Any], keras: int) -> None:
    """Refuse settings and data of a new run that the model cannot be trained with.

    Args:
        saved: The model.
        data: The path of data, or `package.module:function`.
        compiling: The arguments of `train`, as it was given them.
        keras: The Keras that will train it: 2 for tf_keras, or 3.

    Raises:
        TrainingError: Keras knows no such name, or the model has no loss.
        DataError: the data is missing, damaged, or does not fit the model.
    """
    for kind, name in _names(compiling):
        check_name(kind, name, keras)
    _check_modules(compiling)
    if compiling.get("mixed_precision") is not None:
        check_takes_policy(saved.graph, compiling["mixed_precision"], saved.path)
    outputs = _ends(saved)[1]
    for what in ("loss", "metrics") if outputs else ():
        check_outputs(what, compiling.get(what), tuple(outputs))
    settings = saved.need_archive().compile_settings
    loss = choose_loss(
        settings, Compiling(loss=compiling.get("loss")), saved.path, adds_losses=bool(settings)
    )
    rules = list(_label_rules(loss, outputs).values())
    check_class_weights(compiling.get("class_weight"), rules, saved.path)
    names = find_metric_names(saved, tuple(outputs), loss, compiling.get("metrics"))
    is_split = compiling.get("validation_split") is not None
    if is_data_function(data):
        check_module(data)
        check_watched(names, compiling, is_validated=None)
        return
    files = file_data(
        data, *(compiling.get(name) for name in ("label", "parse", "validation_data"))
    )
    if files is None:
        shapes, dtypes = check_samples(data)
        held_out = any(group_arrays(shapes, "x", part) for part in PARTS[1:])
        check_watched(names, compiling, is_validated=held_out or is_split)
        has_weights = bool(group_arrays(shapes, "w", "train"))
        check_one_weighting(compiling.get("class_weight"), data, has_weights)
        _check_npz(saved, data, loss, shapes, dtypes)
    else:
        held_out = files.files.validation is not None
        check_watched(names, compiling, is_validated=held_out or is_split)
        _check_files(saved, files.of_model(saved.graph), loss)


def check_before_import(model: Any, data: Any, keras: int, arguments: Mapping[str, Any]) -> None:
    """Check a new run as `check_early` does, unless its Keras is imported already.

    Models and data that are given as objects are checked later.

    Raises:
        ArchiveError: the model cannot be read.
        DataError, TrainingError: as for `check_early`.
    """
    is_named = all(isinstance(one, str | PathLike) for one in (model, data))
    if is_named and _PACKAGES[keras] not in sys.modules:
        check_early(open_model_file(model), fspath(data), arguments, keras)


def check_is_pruned(graph: LayerGraph, place: str) -> None:
    """Refuse a model without pruned layers, for a run without rules and plan.

    Raises:
        TrainingError: no layer is pruned.
    """
    if all(layer.wrap is None for layer in graph.layers.values()):
        raise no_layer_is_pruned(place)


def no_layer_is_pruned(place: str) -> TrainingError:
    """Return the error for a run that would prune nothing."""
    return TrainingError(
        "no layer is pruned; give rules with -r RULES (rules in Python), or wrap the model first"
        " with graphprune apply",
        place=place,
    )


def _check_files(saved: ModelFile, data: FileData, loss: Any) -> None:
    data.check()
    inputs, outputs = _ends(saved)
    if data.kind != "csv" or not inputs or not outputs:
        return
    samples = data.read()
    labels = {f"y_{rows.part}": rows.labels for rows in (samples.train, samples.test) if rows}
    if isinstance(samples.train.labels, dict):
        check_names(data.spec, "y", tuple(samples.train.labels), tuple(outputs))
    known = {part: found for part, found in labels.items() if found is not None}
    check_array_labels(data.spec, _label_rules(loss, outputs), known)


def _ends(saved: ModelFile) -> tuple[dict[str, BatchPart], dict[str, BatchPart]]:
    """Return the inputs and the outputs of the model.

    None where several have one name, or where a dict gives them other names than their layers have.
    """
    frame = saved.graph.frames[""]
    inputs, outputs = (find_ends(saved.graph, uses) for uses in (frame.inputs, frame.outputs))
    config = frame.entry["config"]
    is_renamed = any(
        isinstance(config.get(key), Mapping) and set(config[key]) != set(found)
        for key, found in (("input_layers", inputs), ("output_layers", outputs))
    )
    if is_renamed or len(outputs) != len(frame.outputs):
        return {}, {}
    return inputs, outputs


def _names(compiling: Mapping[str, Any]) -> list[tuple[Kind, str]]:
    """Return the names among the settings, without objects of the user's (`MODULE:NAME`)."""
    optimizer = compiling.get("optimizer")
    if isinstance(optimizer, Mapping):
        optimizer = optimizer.get("name")
    given: list[tuple[Kind, Any]] = [("optimizer", optimizer)]
    given += [("loss", name) for name in _flat(compiling.get("loss"))]
    given += [("metric", name) for name in _flat(compiling.get("metrics"))]
    return [(kind, name) for kind, name in given if isinstance(name, str) and ":" not in name]


def _check_modules(compiling: Mapping[str, Any]) -> None:
    """Refuse losses, metrics and callbacks (`MODULE:NAME`) whose modules do not exist."""
    given = [compiling.get(name) for name in ("loss", "metrics", "callbacks")]
    for name in (one for value in given for one in _flat(value)):
        if not isinstance(name, str) or not is_object(name):
            continue
        try:
            check_module(name)
        except DataError as fault:
            raise TrainingError(fault.text, place=fault.place) from fault


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [name for part in value for name in _flat(part)]
    return [value]


def check_name(kind: Kind, name: str, keras: int) -> None:
    """Refuse a name that appears nowhere in the source text of the installed Keras.

    Raises:
        TrainingError: it does not appear; the text has the closest names.
    """
    defined, words = _source_names(_PACKAGES[keras], _HOMES[kind])
    is_short = kind == "metric" and name in SHORT
    if not words or is_short or name.lower() in words:
        return
    raise unknown_name(kind, name, defined)


@cache
def _source_names(package: str, home: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that Keras exports for a part of it, and all words of its modules.

    Words are in small letters, with the snake case of classes; none if Keras is not installed.
    """
    spec = PathFinder.find_spec(package)
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    defined, words = set[str](), set[str]()
    for place in places:
        source = Path(place, "src")
        parts = ("losses", home) if home == "metrics" else (home,)  # most losses are metrics too
        for path in sorted(one for part in parts for one in _modules(source, part)):
            if path.stem.endswith("_test"):
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            found = _WORD.findall(text)
            words |= {word.lower() for word in found} | {to_snake_case(word) for word in found}
            defined |= _exported(text, home)
    return frozenset(defined), frozenset(words)


def _modules(source: Path, part: str) -> list[Path]:
    return [*source.glob(f"{part}.py"), *Path(source, part).glob("*.py")]


def _exported(text: str, home: str) -> set[str]:
    """Return the names that a module exports for a part of Keras, as users write them."""
    found = {_shown(name, home) for part, name in _EXPORTED.findall(text) if part == home}
    return found - _NO_NAMES


def _shown(name: str, home: str) -> str:
    return name.lower() if home == "optimizers" else to_snake_case(name)


def to_snake_case(name: str) -> str:
    """Return the name of a class as Keras's functions are named.

    Example:
        >>> to_snake_case("SparseCategoricalCrossentropy"), to_snake_case("KLDivergence")
        ('sparse_categorical_crossentropy', 'kl_divergence')
    """
    return _CASE.sub("_", name).lower()


def _check_npz(
    saved: ModelFile, spec: str, loss: Any, shapes: Shapes, dtypes: Mapping[str, np.dtype[Any]]
) -> None:
    inputs, outputs = _ends(saved)
    is_known = bool(inputs and outputs)
    if is_known:
        parts = {
            name: BatchPart(
                (None, *shape[1:]), TEXT if dtypes[name].kind in "SU" else dtypes[name].name
            )
            for name, shape in shapes.items()
        }
        given = group_arrays(parts, "x", "train")
        check_inputs(spec, list(given.values()) if "" in given else given, inputs)
        labels = group_arrays(parts, "y", "train")
        if "" not in labels:
            check_names(spec, "y", tuple(labels), tuple(outputs))
    check_values(spec)
    rules = _label_rules(loss, outputs) if is_known else {}
    if any(rule is not None for rule in rules.values()):
        _check_labels(spec, rules, is_weighted=bool(group_arrays(shapes, "w", "train")))


def _check_labels(spec: str, rules: Mapping[str, LabelRule | None], *, is_weighted: bool) -> None:
    arrays = read_npz(spec, lambda name: name.startswith("y_")).arrays
    parts = {part: group_arrays(arrays, "y", part) for part in ("train", "val", "test")}
    labels = {f"y_{part}": found.get("", found) for part, found in parts.items() if found}
    check_array_labels(spec, rules, labels, is_weighted=is_weighted)


def _label_rules(loss: Any, outputs: Mapping[str, BatchPart]) -> dict[str, LabelRule | None]:
    losses = losses_by_output(loss, list(outputs))
    return {
        name: _rule(one, name, part)
        for one, (name, part) in zip(losses, outputs.items(), strict=True)
    }


def _rule(loss: Any, name: str, part: BatchPart) -> LabelRule | None:
    """Return the label rule of a loss as files have it; outputs with masks are left to Keras."""
    settings: Mapping[str, Any] = {}
    if isinstance(loss, Mapping):
        if not isinstance(loss.get("class_name"), str) or loss.get("registered_name"):
            return None
        settings, loss = loss.get("config") or {}, loss["class_name"]
    if not isinstance(loss, str) or not isinstance(settings, Mapping):
        return None
    shape = part.shape or ()
    output = Output(name, shape[-1] if shape else None, rank=len(shape) or None, has_mask=True)
    return label_rule(to_snake_case(loss), output, settings.get("ignore_class"))
