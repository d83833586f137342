"""The model that a command loads, and the plan that it works by: from rules, or from a file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from graphprune.archive.allowed.refusals import check_loadable
from graphprune.archive.archive import keras_of
from graphprune.cli.inputs import loading_arguments, open_model
from graphprune.cli.options import LoadingOptions, RuleOptions
from graphprune.diagnostics.diagnostic import Where
from graphprune.errors import StalePlanError
from graphprune.graph import LayerGraph, ModelFile
from graphprune.graph.read import model_file_of
from graphprune.plan import Plan, check_plan_fits, check_weights_fit, read_plan
from graphprune.plan.make import LoadedModel, plan_saved_model
from graphprune.quiet import import_tensorflow, quiet_output, silence_loggers
from graphprune.rules import RuleSet, read_rules
from graphprune.sparsity.positions import Run

UNKNOWN_RUN = Run()


def open_to_load(path: str, loading: LoadingOptions, *, checks_sums: bool = False) -> ModelFile:
    """Return the saved model at `path`, which TensorFlow may load.

    `checks_sums` holds the file against its own checksums.

    Raises:
        ArchiveError: there is no readable model, or loading it would run what is not allowed.
    """
    saved = open_model(path)
    archive = saved.need_archive()
    if checks_sums:
        archive.check_checksums()
    check_loadable(archive, unsafe_lambda=loading.unsafe_lambda, unsafe_ops=loading.unsafe_ops)
    return saved


@contextmanager
def opened_for(model: ModelFile, keras: int | None) -> Iterator[ModelFile]:
    """Give the saved model as one of a Keras: converted to it, if it is of the other one.

    Raises:
        ArchiveError, GraphError: it cannot be converted.
    """
    archive = model.need_archive()
    if keras in (None, keras_of(archive)):
        yield model
        return
    from graphprune.conversion.convert import check_convertible, readable_by

    check_convertible(model, Path("converted.keras"), keras)  # before the long import
    import_quietly(keras)
    with readable_by(archive, keras) as converted:
        yield replace(model_file_of(converted), path=model.path)


def import_quietly(keras: int) -> None:
    """Import a Keras by its major version, without the start-up notes of its backend.

    Raises:
        GraphError: it, or its backend, is not installed, or it is too old.
    """
    if keras == 2:
        import_tensorflow()
        return
    from graphprune.conversion.libraries import import_keras

    with quiet_output():
        import_keras(keras)
        from graphprune.keras3.backend import start_backend

        start_backend()
    silence_loggers()


def load_with_classes(model: ModelFile, loading: LoadingOptions) -> LoadedModel | None:
    """Return the model loaded with its custom objects; None if the options name none.

    Raises:
        ArchiveError: the model cannot be loaded.
        TrainingError: a custom object cannot be imported.
    """
    if not loading.custom_objects:
        return None
    import_quietly(keras_of(model.need_archive()))
    from graphprune.dispatch import seam
    from graphprune.interface import load_model

    live = load_model(model.need_archive().path, **loading_arguments(loading))
    read: Any = seam(live, "live")
    found: ModelFile = read.read_live(live)
    with found.opened() as weights:
        assert weights is not None
        return LoadedModel(found.graph, read.count_zeros(live), weights.read)


def open_rules(options: RuleOptions) -> RuleSet:
    """Return the rules of all files; a command without rule files is a usage error."""
    if not options.files:
        raise click.UsageError(
            "no rules: give a rule file with -r RULES (graphprune rules lists those that ship)"
        )
    return read_rules(
        *options.files,
        variables=options.variables,
        only=options.only,
        off=options.off,
        settings=options.settings,
    )


def plan_for(
    model: ModelFile,
    rules: RuleOptions,
    plan_file: str | None,
    run: Run = UNKNOWN_RUN,
    *,
    loaded: LoadedModel | None = None,
    allow_missed: bool = False,
) -> Plan:
    """Return the plan of `--plan FILE`, checked against the model, or the plan that the rules make.

    `loaded` has more details of custom layers than the file.

    Raises:
        PlanError: the plan file is damaged or was made for another model.
        RuleError: the rules have faults, alone or with this model.
    """
    if plan_file is not None:
        return _read_fitting_plan(model, rules, plan_file, loaded)
    return plan_from_rules(model, open_rules(rules), run, loaded=loaded, allow_missed=allow_missed)


def plan_from_rules(
    model: ModelFile,
    rules: RuleSet,
    run: Run = UNKNOWN_RUN,
    *,
    loaded: LoadedModel | None = None,
    allow_missed: bool = False,
) -> Plan:
    """Return the plan that the rules make for the model file, and for the loaded model if given.

    Raises:
        RuleError: the rules do not fit the model.
    """
    if loaded is not None:
        loaded = _as_in_file(model, loaded, {custom.type for custom in rules.custom_layers})
    return plan_saved_model(model, rules, run, loaded=loaded, allow_missed=allow_missed)


def _as_in_file(model: ModelFile, loaded: LoadedModel, types: Collection[str]) -> LoadedModel:
    """Return the loaded model with the file's weights for layers of these types.

    Rules name the weights of these types, so `graphprune plan` uses those of the file.
    """
    taught = {
        address: layer.tensors
        for address, layer in model.graph.layers.items()
        if layer.type in types
    }
    layers = {
        address: replace(loaded.graph.layers[address], tensors=tensors)
        for address, tensors in taught.items()
    }
    zeros = {key: count for key, count in loaded.zeros.items() if key[0] not in taught}
    zeros |= {key: count for key, count in (model.zeros or {}).items() if key[0] in taught}
    return replace(
        loaded, graph=loaded.graph.replace(layers) if layers else loaded.graph, zeros=zeros
    )


def _read_fitting_plan(
    model: ModelFile, rules: RuleOptions, plan_file: str, loaded: LoadedModel | None
) -> Plan:
    if rules.files:
        raise click.UsageError("give rules (-r) or a plan (--plan), not both")
    if rules.has_switches:
        raise click.UsageError(
            "--var, --only, --off and --set change rules; with --plan, give them to `graphprune"
            " plan` instead"
        )
    plan = read_plan(plan_file)
    if loaded is not None and _is_of_file(model.graph, loaded.graph, plan):
        loaded = None
    graph = model.graph if loaded is None else loaded.graph
    where = Where(plan_file)
    check_plan_fits(graph, plan, where)
    if plan.depends_on_weights:
        with model.opened():
            read_weight = model.weights.read if loaded is None else loaded.read_weight
            check_weights_fit(graph, plan, read_weight, where)
    return plan


def _is_of_file(graph: LayerGraph, loaded: LayerGraph, plan: Plan) -> bool:
    """Return whether the plan was made from the file alone.

    Such a plan lacks layers that define what to prune themselves, or names their weights as the
    file does.
    """
    if not {layer.address for layer in loaded.candidates()} <= {
        change.address for change in plan.changes
    }:
        return True
    try:
        check_plan_fits(graph, plan)
    except StalePlanError:
        return False
    return True
