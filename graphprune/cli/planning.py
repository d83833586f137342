"""The plan that a command works by: from rules, or from a file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import click

from graphprune.cli.inputs import loading_arguments, open_model
from graphprune.cli.options import LoadingOptions, RuleOptions
from graphprune.diagnostics.diagnostic import Where
from graphprune.errors import StalePlanError
from graphprune.graph import LayerGraph, ModelFile
from graphprune.plan import Plan, check_plan_fits, check_weights_fit, read_plan
from graphprune.plan.make import LoadedModel, plan_saved_model
from graphprune.quiet import import_tensorflow
from graphprune.rules import RuleSet, read_rules
from graphprune.sparsity.positions import Run
from graphprune.tf.models.refusals import check_loadable

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


def load_with_classes(model: ModelFile, loading: LoadingOptions) -> LoadedModel | None:
    """Return the model loaded with its custom objects; None if the options name none.

    Raises:
        ArchiveError: the model cannot be loaded.
        TrainingError: a custom object cannot be imported.
    """
    if not loading.custom_objects:
        return None
    import_tensorflow()
    from graphprune.tf.models.loading import load_model
    from graphprune.tf.pruning.live_graph import count_zeros, graph_of_model, weight_reader

    live = load_model(model.need_archive().path, **loading_arguments(loading))
    return LoadedModel(graph_of_model(live), count_zeros(live), weight_reader(live))


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
