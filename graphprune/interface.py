"""The Python functions that take a model in any form: a path, a Keras model or a layer graph.

Everything below this module works on values; here they are made from what the user gave.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path as FilePath
from typing import Any

from graphprune.archive import read_archive
from graphprune.archive.archive import keras_of
from graphprune.archive.files import check_model_suffix
from graphprune.archive.saved_model.exported import find_exported
from graphprune.archive.tflite.file import is_tflite, read_tflite
from graphprune.arguments import check_mapping, check_path, wrong_type
from graphprune.diff.changes import GraphDiff
from graphprune.diff.graph_diff import diff_models as diff_model_files
from graphprune.dispatch import seam, seam_of
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.quantizers import without_quantizers
from graphprune.graph.read import ModelFile, open_model_file
from graphprune.graph.read import read_graph as read_graph_of_data
from graphprune.plan.changes import Plan
from graphprune.plan.exported import verify_exported
from graphprune.plan.from_document import plan_of
from graphprune.plan.make import plan_graph, plan_saved_model
from graphprune.plan.measured import measure_planned
from graphprune.plan.tflite import verify_tflite
from graphprune.plan.verify import Verification, verify_plan
from graphprune.rules.building.read import rule_set_of
from graphprune.rules.values.rule_set import RuleSet
from graphprune.sparsity.positions import Run

_KERAS = ("keras", "tf_keras")
_KINDS = "the path of a saved model, a Keras model, or a LayerGraph"

Path = str | PathLike[str]
Rules = RuleSet | Path | Mapping[str, Any] | Sequence[Path | Mapping[str, Any]]


def read_graph(source: Any, **tensors: Any) -> LayerGraph:
    """Return the layer graph of a model.

    Args:
        source: The path of a saved model (`.keras`, `.h5`, SavedModel folder) or of a graph JSON
            file; a Keras model; what a model's `get_config()` returns; or a layer graph as JSON
            data.
        **tensors: Only with a config: `tensors={address: [(name, shape, dtype), ...]}`, the weights
            of each layer; without them no layer has weights, and none can be pruned.

    Raises:
        ArchiveError: the file cannot be read or is not a whole model.
        GraphError: the model, its config or the graph JSON does not hold together.
        TypeError: `source` is something else.
    """
    if is_live(source):
        return _live(source).graph
    return read_graph_of_data(source, **tensors)


def make_plan(
    model: Any,
    rules: Rules,
    *,
    steps_per_epoch: int | None = None,
    epochs: int | None = None,
    allow_missed: bool = False,
) -> Plan:
    """Return what `rules` would change in a model.

    `print(plan)` shows it; `plan.save("p.html")` writes it as a page.

    Args:
        model: The path of a saved model, or a Keras model: its graph and weights are used. Or a
            layer graph: the sparsity of its weights is unknown, and budgets by magnitude cannot be
            allocated.
        rules: What to do with it: a rule set, a rule file, `builtin:NAME`, what a rule file holds
            as YAML text (with a line break) or as a dict, or a list of these.
        steps_per_epoch: Optimizer steps in an epoch of the training run, if known.
        epochs: Epochs of the training run, if known.
        allow_missed: Only warn of targets that a run of this length cannot reach.

    Raises:
        ArchiveError: the file cannot be read or is not a whole model.
        GraphError: the model cannot be read as a graph of layers.
        RuleError: the rules have faults, or do not fit the model; it holds all of them.
        TypeError: the model, or the rules, are something else.

    Example:
        >>> dense = {"class_name": "Dense", "config": {"name": "fc", "units": 10}}
        >>> config = {"class_name": "Sequential", "config": {"name": "net", "layers": [dense]}}
        >>> graph = read_graph(config, tensors={"fc": [("kernel", (30, 10), "float32")]})
        >>> print(make_plan(graph, "builtin:all-90"))
        No changes. The model already follows builtin:all-90.
    """
    rules, run = rule_set_of(rules), Run(steps_per_epoch, epochs)
    if isinstance(model, LayerGraph):
        return plan_graph(model, rules, run, allow_missed=allow_missed)
    asked = {custom.type: tuple(custom.axes) for custom in rules.custom_layers}
    return plan_saved_model(_opened(model, asked), rules, run, allow_missed=allow_missed)


def apply_plan(model: Any, plan: Plan | Path) -> Any:
    """Return a clone of a model with the layers that `plan` claims wrapped.

    Names, weights, outputs and optimizer state are the same.

    Layers that are wrapped already keep masks and step, unless the plan wraps them again; layers
    that the plan does not change are as they were.

    Args:
        model: The model that the plan was made for: a Keras model, or the path of a saved one.
        plan: The plan, or the path of its JSON file.

    Raises:
        ArchiveError: the file is not a model that can be loaded.
        GraphError: the model, or a layer in it, cannot be copied.
        PlanError: the plan's file cannot be read.
        StalePlanError: the plan was made for another model: its layers, their types, shapes or
            wrappers, or weights that the plan depends on, differ.
        TypeError: `plan` is not a plan.
    """
    loaded = _loaded(model)
    return seam(loaded, "surgery").apply_plan(loaded, plan)


def apply_rules(
    model: Any, rules: Rules, *, steps_per_epoch: int | None = None, epochs: int | None = None
) -> Any:
    """Return a clone of a model, wrapped as `rules` say.

    Args:
        model: A Keras model, or the path of a saved one.
        rules: As for `make_plan`.
        steps_per_epoch, epochs: The length of the training run, if known.

    Raises:
        ArchiveError: the file is not a model that can be loaded.
        GraphError: the model, or a layer in it, cannot be copied.
        RuleError: the rules have faults, or do not fit the model.
        TypeError: `rules` is something else.
    """
    length = {"steps_per_epoch": steps_per_epoch, "epochs": epochs}
    loaded = _loaded(model)
    return seam(loaded, "surgery").apply_rules(loaded, rules, **length)


def load_model(
    path: Path | ModelFile,
    custom_objects: Mapping[str, Any] | None = None,
    *,
    keras: int | None = None,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
) -> Any:
    """Return the model in a `.keras` or `.h5` file or in a SavedModel folder, in its own Keras.

    If compile settings cannot be restored (an unknown loss), the model is returned uncompiled, with
    a warning. Pruned layers are pruned again, with masks and steps. A SavedModel is rebuilt from
    its config and weights without running its graph, with its compile settings and optimizer
    state. Layers that the TensorFlow toolkit (tfmot) pruned get graphprune's wrappers, with masks
    and step, under the names of the layers inside.

    Args:
        path: The file or folder, or what `open_model_file` returned for it.
        custom_objects: The user's own classes and functions, by the names that the file has for
            them; functions are saved again under these names. `<lambda>` is the name of a lambda.
        keras: The major version of the Keras to load it in: 2 for tf_keras, or 3. Unless the file
            is of that Keras, it is converted first, as `convert` does.
        unsafe_lambda: Run the Python bytecode of Lambda layers in the file; only for files whose
            origin you trust.
        unsafe_ops: Let layers run operations of TensorFlow that may do more than compute, such as
            writing files.

    Raises:
        ArchiveError: the file is not a model that can be loaded; the text says what to do.
        GraphError: the calls of its layers do not fit together; it cannot be converted; or the
            Keras that it needs is not installed.
        ValueError: `keras` is neither 2 nor 3.
    """
    if custom_objects is not None:
        check_mapping("custom_objects", custom_objects, "a dict of classes and functions by name")
    if isinstance(path, ModelFile):
        archive = path.need_archive()
    else:
        archive = read_archive(check_path("path", path, "the path of a saved model"))
    version = keras_of(archive) if keras is None else _check_version(keras)
    options = {"unsafe_lambda": unsafe_lambda, "unsafe_ops": unsafe_ops}
    loading, own = seam_of(version, "loading"), custom_objects or {}
    if version == keras_of(archive):
        return loading.load_archive(archive, own, **options)
    converting = importlib.import_module("graphprune.conversion.convert")
    with converting.readable_by(archive, version) as readable:
        return loading.load_archive(readable, own, **options)


def _check_version(keras: int) -> int:
    if keras not in (2, 3):
        raise ValueError(f"keras must be 2 (tf_keras) or 3, got {keras!r}")
    return keras


def prune_one_shot(model: Any, rules: Rules | Plan) -> Any:
    """Return a clone of a model in which the smallest weights that `rules` select are zero.

    Nothing else is changed, and nothing is wrapped.

    The targets, patterns, budgets and thresholds of the rules apply; their schedules do not, since
    nothing is trained. Layers that are wrapped already get the target of their wrapper. Counts are
    exactly those in the plan.

    Args:
        model: A built model, or the path of a saved one; it is not changed.
        rules: What to prune: rules in any form that `apply_rules` takes, or a plan that was made
            for this model.

    Raises:
        ArchiveError: the file is not a model that can be loaded.
        GraphError: the model, or a layer in it, cannot be copied.
        RuleError: the rules do not fit the model.
        StalePlanError: the plan was made for another model.
        TrainingError: a weight is NaN or infinite, so magnitudes are meaningless.
    """
    loaded = _loaded(model)
    return seam(loaded, "surgery").prune_one_shot(loaded, rules)


def convert(model: Path, output: Path, *, keras: int) -> None:
    """Convert a saved model from tf_keras to Keras 3, or the other way round.

    Layers, names and weights stay the same.

    Pruned layers, also those of tfmot, keep masks, steps and schedules: wrappers in tf_keras, and
    masks of the layers in Keras 3. Vocabularies and bins that layers learned are settings of the
    result. Only classes of Keras itself are built; nothing in the file runs. The optimizer keeps
    its settings and loses its state.

    Args:
        model: The path of a saved model (`.keras`, `.h5`, SavedModel folder).
        output: A `.keras` or `.h5` file; an existing file is replaced.
        keras: The major version of the Keras that is to read `output`: 2 for tf_keras, or 3.

    Raises:
        ArchiveError: the file cannot be read or is not a whole model.
        GraphError: the model cannot be converted; the text names the layer, setting or operation
            that has no counterpart.
        OutputError: `output` cannot be written, or its suffix is neither `.keras` nor `.h5`.
        ValueError: `keras` is neither 2 nor 3.
    """
    _check_version(keras)
    target = check_path("output", output, "the path of a .keras or .h5 file")
    check_model_suffix(target)
    source = open_model_file(check_path("model", model, "the path of a saved model"))
    converted = importlib.import_module("graphprune.conversion.convert")
    converted.convert(source, FilePath(target), keras)


def save_model(model: Any, path: Path) -> None:
    """Write a Keras model, with its optimizer and masks, to a `.keras` or `.h5` file.

    An existing file is replaced; missing folders are made. A pruned model of Keras 3 is saved as
    `.keras`.

    Raises:
        GraphError: `model` is not a model.
        OutputError: the suffix names no format, the format cannot hold the model, or the file
            cannot be written.
        TypeError: `path` is not a path.
    """
    seam(model, "saving").save_model(model, path)


def diff_models(
    before: Any, after: Any, *, measure_gzip: bool = False, values: bool = True
) -> GraphDiff:
    """Return the differences between two models, including weights if they are known.

    `print(diff)` shows them; `diff.save("d.html")` writes them as a page.

    Args:
        before, after: Paths of saved models, Keras models, or layer graphs.
        measure_gzip: Also gzip all weights of both sides, about a second for 20 MB.
        values: Compare weights; without it only configs and shapes are compared.

    Raises:
        ArchiveError: a file cannot be read, or the weights of one side are damaged.
        GraphError: a model cannot be read as a graph of layers.
        TypeError: one side is something else.
    """
    left, right = (without_quantizers(_opened(model)) for model in (before, after))
    return diff_model_files(left, right, measure_gzip=measure_gzip, values=values)


def verify(model: Any, plan: Plan | Path) -> Verification:
    """Return what a model has of what `plan` says: every pruned tensor, and the architecture.

    `found.is_as_planned` tells the outcome, and `found.drift` has the tensors that are not as
    planned: too few zeros, zeros that do not lie as the pattern wants, weights that are NaN or
    infinite, or all zero.

    Args:
        model: The path of a saved model, a TensorFlow Lite file or an exported SavedModel, or a
            Keras model; wrapped or stripped.
        plan: The plan, or the path of its JSON file.

    Raises:
        ArchiveError: the file cannot be read, holds no weights, or is damaged.
        PlanError: the plan's file cannot be read.
        StalePlanError: the plan was made for a model with other layers.
        TypeError: the model, or `plan`, is something else.
    """
    plan_path = "" if isinstance(plan, Plan | Mapping) else str(plan)
    if isinstance(model, str | PathLike) and is_tflite(model):
        return verify_tflite(plan_of(plan), read_tflite(model), plan_path=plan_path)
    exported = find_exported(model) if isinstance(model, str | PathLike) else None
    if exported is not None:
        return verify_exported(plan_of(plan), exported, plan_path=plan_path)
    found, plan = without_quantizers(_opened(model)), plan_of(plan)
    with found.opened() as weights:
        if weights is None:
            raise wrong_type(
                "model", "the path of a saved model, or a Keras model", model, "it needs weights"
            )
        return verify_plan(
            plan,
            found.graph,
            measure_planned(plan, weights),
            found.mask_faults or {},
            model_path=found.path,
            plan_path=plan_path,
        )


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan in the format of the file's suffix.

    `read_plan` and `graphprune apply --plan` read `.json`; the other suffixes are reports (see
    `Plan.save`).

    Raises:
        OutputError: no report has this suffix, or the file cannot be written.
        TypeError: `plan` is not a plan.
    """
    if not isinstance(plan, Plan):
        raise wrong_type("plan", "a Plan", plan)
    plan.save(path)


def is_live(value: object) -> bool:
    """Return whether this is an object of Keras, without importing it."""
    return any(kind.__module__.partition(".")[0] in _KERAS for kind in type(value).__mro__)


def _opened(model: Any, asked: Mapping[str, Sequence[str]] | None = None) -> ModelFile:
    if isinstance(model, ModelFile):
        return model
    if isinstance(model, LayerGraph):
        return ModelFile(model.name, model, None)
    if is_live(model):
        return _live(model, asked or {})
    if not isinstance(model, str | PathLike):
        raise wrong_type("model", _KINDS, model)
    return open_model_file(model)


def _live(model: Any, asked: Mapping[str, Sequence[str]] | None = None) -> ModelFile:
    found: ModelFile = seam(model, "live").read_live(model, asked or {})
    return found


def _loaded(model: Any) -> Any:
    if isinstance(model, str | PathLike | ModelFile):
        return load_model(model)
    return model
