"""A layer graph and rules to a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from graphprune.archive.files import collector_paused
from graphprune.arguments import wrong_type
from graphprune.diagnostics.diagnostic import Diagnostic, sort_by_place
from graphprune.errors import RuleError
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.out_of_reach import find_out_of_reach
from graphprune.graph.read import ModelFile, open_model_file
from graphprune.plan.budgets import Allocated, allocate_budgets
from graphprune.plan.changes import HiddenLayer, LayerChange, ModelFacts, Plan
from graphprune.plan.channels import Channels, couple_channels
from graphprune.plan.decision import change_layer, check_finished
from graphprune.plan.drift import find_drift
from graphprune.plan.fitting import Fitted, fit_claims
from graphprune.plan.group_budgets import allocate_groups, merge_allocated
from graphprune.plan.timing import find_timing_fault
from graphprune.plan.weight_hashes import ReadWeight, hash_layers
from graphprune.rules.building.read import rule_set_of
from graphprune.rules.resolving.resolve import resolve_rules
from graphprune.rules.values.checks import Check, CheckOutcome, CheckStatus
from graphprune.rules.values.custom_layers import stored_names, taught_zeros, teach_layers
from graphprune.rules.values.rule_set import Claim, Resolution, RuleSet
from graphprune.sparsity.positions import Run

_UNKNOWN_RUN = Run()
_LIVE = "apply_rules(model, rules) plans for a live model and wraps it"


@collector_paused()
def make_plan(
    graph: LayerGraph | ModelFile | str | PathLike[str],
    rules: (
        RuleSet
        | str
        | PathLike[str]
        | Mapping[str, Any]
        | Sequence[str | PathLike[str] | Mapping[str, Any]]
    ),
    *,
    steps_per_epoch: int | None = None,
    epochs: int | None = None,
    allow_missed: bool = False,
) -> Plan:
    """Return what `rules` would change in a model.

    Args:
        graph: The path of a saved model, or what `open_model_file` returned for it: everything in
            the file is used. Or a layer graph: the sparsity of its weights is unknown, and budgets
            by magnitude cannot be allocated.
        rules: What to do with it: a rule set, a rule file, `builtin:NAME`, what a rule file holds
            as a dict, or a list of these.
        steps_per_epoch: Optimizer steps in an epoch of the training run, if known.
        epochs: Epochs of the training run, if known.
        allow_missed: Only warn of targets that a run of this length cannot reach.

    Raises:
        RuleError: the rules do not fit the model; it holds every fault, and the warnings beside
            them.
        TypeError: the model, or the rules, are something else, such as a live model.
    """
    rules, run = rule_set_of(rules), Run(steps_per_epoch, epochs)
    if isinstance(graph, str | PathLike):
        graph = open_model_file(graph)
    if isinstance(graph, ModelFile):
        return plan_saved_model(graph, rules, run, allow_missed=allow_missed)
    if not isinstance(graph, LayerGraph):
        raise wrong_type("graph", "a LayerGraph, or the path of a saved model", graph, _LIVE)
    return plan_graph(graph, rules, run, allow_missed=allow_missed)


def plan_graph(
    graph: LayerGraph,
    rules: RuleSet,
    run: Run = _UNKNOWN_RUN,
    *,
    zeros: Mapping[tuple[str, str], int] | None = None,
    path: str = "",
    steps: Mapping[str, int] | None = None,
    mask_faults: Mapping[tuple[str, str], int] | None = None,
    read_weight: ReadWeight | None = None,
    allow_missed: bool = False,
) -> Plan:
    """Return what `rules` would change in the model of `graph`, with what is known of its weights.

    Args:
        graph: The model.
        rules: What to do with it.
        run: The length of the training run, if known.
        zeros: Measured zeros by (address, tensor name); without them the plan does not say how
            sparse tensors are now.
        path: The path of the model, as the user wrote it.
        steps: The step of each wrapper by address, to find drift of a wrapped model.
        mask_faults: Non-zero weights under the mask by (address, tensor name), to find drift of a
            wrapped model.
        read_weight: Returns a tensor by address and name; budgets that are allocated by magnitude
            need it.
        allow_missed: Only warn of targets that a run of this length cannot reach.

    Raises:
        RuleError: the rules do not fit the model; it holds every fault, and the warnings beside
            them.
    """
    taught = teach_layers(graph, rules.custom_layers)
    measured = taught_zeros(graph, taught, zeros or {})
    if read_weight is not None:
        read_weight = _reader_of_stored(read_weight, stored_names(taught))
    known = None if zeros is None else measured
    judged = _judge(taught, rules, known, read_weight, run, allow_missed)
    if any(diagnostic.severity == "error" for diagnostic in judged.diagnostics):
        raise RuleError(judged.diagnostics)
    hashes = judged.allocated.weight_hashes
    if rules.reads_weights and read_weight is not None:
        hashes = hash_layers(taught, read_weight)
    return Plan(
        model=_model_facts(taught, path, hashes, len(judged.changes)),
        rules=rules.files,
        rule_count=len(rules.rules),
        variables=rules.variables,
        changes=judged.changes,
        diagnostics=judged.diagnostics,
        drift=find_drift(taught, measured, steps or {}, mask_faults or {}, run),
        checks=_in_file_order(rules.checks, judged.checks),
        depends_on_weights=rules.reads_weights or bool(hashes),
        hidden=_hidden_layers(taught, judged.changes),
        switches=rules.switches,
        budgets=judged.allocated.budgets,
        weight_hashes=hashes,
        graph=graph,
    )


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model loaded with the classes of its custom layers, which declare their prunable weights.

    Attributes:
        graph: Its layers.
        zeros: The zeros in each weight, by address and name in `graph`.
        read_weight: Returns a weight by address and name in `graph`.
    """

    graph: LayerGraph
    zeros: Mapping[tuple[str, str], int]
    read_weight: ReadWeight


def plan_saved_model(
    model: ModelFile,
    rules: RuleSet,
    run: Run,
    *,
    loaded: LoadedModel | None = None,
    allow_missed: bool = False,
) -> Plan:
    """Return the plan for a saved model, using everything in its file.

    If the model was loaded with its custom classes, `loaded` replaces the layers and weights of
    the file.

    Raises:
        RuleError: the rules do not fit the model.
    """
    with model.opened() as weights:
        from_file = None if weights is None else weights.read
        return plan_graph(
            model.graph if loaded is None else loaded.graph,
            rules,
            run,
            zeros=model.zeros if loaded is None else loaded.zeros,
            path=model.path,
            steps=model.steps,
            mask_faults=model.mask_faults,
            read_weight=from_file if loaded is None else loaded.read_weight,
            allow_missed=allow_missed,
        )


def _reader_of_stored(read_weight: ReadWeight, stored: Mapping[tuple[str, str], str]) -> ReadWeight:
    """Return a reader of weights by the names that a rule file gave them."""
    return lambda address, name: read_weight(address, stored.get((address, name), name))


@dataclass(frozen=True, slots=True)
class _Judged:
    """Outcome of applying the rules: changes, check results, budgets, diagnostics.

    There are no changes if any diagnostic is an error.
    """

    changes: tuple[LayerChange, ...]
    checks: tuple[CheckOutcome, ...]
    allocated: Allocated
    diagnostics: tuple[Diagnostic, ...]


def _judge(
    graph: LayerGraph,
    rules: RuleSet,
    zeros: Mapping[tuple[str, str], int] | None,
    read_weight: ReadWeight | None,
    run: Run,
    allow_missed: bool,
) -> _Judged:
    resolution = resolve_rules(graph, rules, zeros)
    fitted, misfits = fit_claims(graph, resolution.claims)
    channels = Channels()
    if resolution.is_decided and not misfits:
        channels = couple_channels(graph, resolution.claims, fitted)
        misfits = [*misfits, *channels.faults]
    is_decided = resolution.is_decided and not misfits
    allocated = Allocated()
    if is_decided:
        allocated = allocate_groups(graph, fitted, channels, read_weight)
        allocated = merge_allocated(allocated, allocate_budgets(graph, fitted, read_weight))
    changes: tuple[LayerChange, ...] = ()
    finished: tuple[CheckOutcome, ...] = ()
    # otherwise diagnostics of the finished plan would only be consequences of these
    if is_decided and not allocated.faults:
        changes = _change_layers(graph, resolution, fitted, channels, allocated, zeros or {}, run)
        finished = check_finished(graph, resolution.sound_checks, changes, zeros)
    diagnostics = sort_by_place(
        [
            *_other_warnings(rules, misfits),
            *resolution.diagnostics,
            *_timing_faults(rules, run, allow_missed),
            *misfits,
            *channels.warnings,
            *allocated.faults,
            *(outcome.diagnostic for outcome in finished if outcome.diagnostic is not None),
        ]
    )
    return _Judged(changes, (*resolution.checks, *finished), allocated, diagnostics)


def _change_layers(
    graph: LayerGraph,
    resolution: Resolution,
    fitted: Mapping[str, Fitted],
    channels: Channels,
    allocated: Allocated,
    zeros: Mapping[tuple[str, str], int],
    run: Run,
) -> tuple[LayerChange, ...]:
    """Return the changes of all candidates, and of other layers that follow channels or did so."""
    claims = {claim.address: claim for claim in resolution.claims}
    return tuple(
        change_layer(
            layer,
            claims.get(address, Claim(address, None)),
            fitted.get(address),
            channels.layers.get(address),
            allocated,
            zeros,
            run,
        )
        for address, layer in graph.layers.items()
        if address in claims or address in channels.layers or _follows_now(layer)
    )


def _follows_now(layer: Layer) -> bool:
    """Return whether the layer was wrapped because it follows the channels of others."""
    return (
        layer.wrap is not None
        and layer.wrap.pruning is not None
        and (bool(layer.wrap.pruning.couplings))
    )


def _timing_faults(rules: RuleSet, run: Run, allow_missed: bool) -> list[Diagnostic]:
    faults = (find_timing_fault(rule, run, allow_missed=allow_missed) for rule in rules.rules)
    return [fault for fault in faults if fault is not None]


def _other_warnings(rules: RuleSet, misfits: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the warnings of the rule files, without those that a misfit repeats for this model."""
    placed = {(misfit.slug, misfit.where) for misfit in misfits}
    return [warning for warning in rules.warnings if (warning.slug, warning.where) not in placed]


def _hidden_layers(graph: LayerGraph, changes: Iterable[LayerChange]) -> tuple[HiddenLayer, ...]:
    """Return the layers that the plan has no change for, unreachable ones with the reason."""
    shown = {change.address for change in changes}
    reasons = {layer.address: layer.reason for layer in find_out_of_reach(graph)}
    layers = enumerate(graph.layers.values())
    return tuple(
        HiddenLayer(layer.address, layer.type, position, reasons.get(layer.address, ""))
        for position, layer in layers
        if layer.address not in shown
    )


def _in_file_order(
    checks: Sequence[Check], outcomes: Iterable[CheckOutcome]
) -> tuple[tuple[str, CheckStatus], ...]:
    status = {outcome.id: outcome.status for outcome in outcomes}
    return tuple((check.id, status[check.id]) for check in checks)


def _model_facts(
    graph: LayerGraph, path: str, hashes: tuple[tuple[str, str], ...], shown: int
) -> ModelFacts:
    """Return the facts of the model, with one hash of the weights that the plan depends on."""
    candidates = graph.candidates()
    joined = "".join(sha256 for _, sha256 in hashes)
    return ModelFacts(
        path=path,
        graph_sha256=graph.sha256,
        layers=len(graph.layers),
        prunable_weights=graph.prunable_weights,
        parameters=graph.parameters,
        prunable_tensors=sum(len(layer.prunable) for layer in candidates),
        hidden_layers=len(graph.layers) - shown,
        weights_sha256=hashlib.sha256(joined.encode()).hexdigest() if hashes else None,
    )
