"""Run rule tests: the plan for each graph, compared with the test file.

A snapshot holds what a plan decides, without paths, versions, hashes and lines, so that it changes
only when the plan does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import GraphpruneError, RuleError
from graphprune.graph import LayerGraph, read_graph
from graphprune.plan.changes import Plan
from graphprune.plan.make import make_plan
from graphprune.plan.to_document import plan_to_config
from graphprune.rules import Prune, Resolution, RuleSet, read_rules, resolve_rules
from graphprune.rules.building.case_file import Case, CaseFile, Named
from graphprune.suggestions import closest

_ELSEWHERE = ("format_version", "kind", "tool", "rules", "diagnostics", "architecture")


def snapshot_of(plan: Plan) -> dict[str, Any]:
    """Return what `plan` decides, as JSON data."""
    config = {key: value for key, value in plan_to_config(plan).items() if key not in _ELSEWHERE}
    config["model"] = {
        key: value
        for key, value in config["model"].items()
        if key != "path" and not key.endswith("sha256")
    }
    config["layer_changes"] = [
        change | {"rule": change["rule"] and {"id": change["rule"]["id"]}}
        for change in config["layer_changes"]
    ]
    return config | {"diagnostics": _diagnostics(plan.diagnostics)}


def snapshot_of_faults(faults: Iterable[Diagnostic]) -> dict[str, Any]:
    """Return the snapshot of a plan that could not be made."""
    return {"diagnostics": _diagnostics(faults)}


def _diagnostics(diagnostics: Iterable[Diagnostic]) -> list[dict[str, str]]:
    return [
        {"slug": found.slug, "severity": found.severity, "message": found.message}
        for found in diagnostics
    ]


SHOWN_LINES = 20
Snapshots = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LayerOutcome:
    """Outcome for one listed layer: as wanted (`selected`, `spared`) or not (`missed`, `extra`).

    `missed` was to be selected, `extra` was to be spared; `reason` says which rule decides.
    """

    address: str
    outcome: Literal["selected", "spared", "missed", "extra"]
    reason: str

    @property
    def is_wanted(self) -> bool:
        """Whether the layer is as the test wants it."""
        return self.outcome in ("selected", "spared")


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case.

    Attributes:
        case: The case.
        layers: One outcome per listed layer, in the file's order.
        faults: What else is wrong: diagnostics that were not expected, and names in the test file
            that do not exist.
        missing: Expected diagnostics that were not reported.
        snapshot: The plan as it is kept; None where the case asks for none.
        snapshot_status: `same`, `new` (none is kept yet), `different`, or None.
        difference: Each value in which this plan differs from the one kept, with its path.
    """

    case: Case
    layers: tuple[LayerOutcome, ...] = ()
    faults: tuple[Diagnostic, ...] = ()
    missing: tuple[str, ...] = ()
    snapshot: Mapping[str, Any] | None = None
    snapshot_status: Literal["same", "new", "different"] | None = None
    difference: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything but the snapshot is as the case wants it."""
        return (
            not self.faults and not self.missing and all(layer.is_wanted for layer in self.layers)
        )

    @property
    def is_passed(self) -> bool:
        """Whether everything is as the case wants it."""
        return self.holds and self.snapshot_status in (None, "same")


def run_cases(
    file: CaseFile, kept: Snapshots, wanted: Callable[[Case], bool] = lambda case: True
) -> tuple[CaseResult, ...]:
    """Return the results of those cases of one file that are `wanted`.

    `kept` holds the snapshots of the file by `Case.graph`.
    """
    try:
        rules: RuleSet | tuple[Diagnostic, ...] = read_rules(*file.rules)
    except RuleError as err:
        rules = err.diagnostics
    return tuple(_run(case, rules, kept) for case in file.cases if wanted(case))


def _run(case: Case, rules: RuleSet | tuple[Diagnostic, ...], kept: Snapshots) -> CaseResult:
    try:
        graph = read_graph(case.graph_path)
    except GraphpruneError as err:
        return CaseResult(
            case,
            faults=(
                Diagnostic(
                    "file/unreadable",
                    str(err),
                    case.where,
                    "graphprune graph MODEL -o FILE.json writes one",
                ),
            ),
        )
    if not isinstance(rules, RuleSet):
        return _judged(case, None, (), rules, snapshot_of_faults(rules), kept)
    resolution = resolve_rules(graph, rules)
    found, snapshot = _plan(graph, rules)
    return _judged(case, resolution, tuple(_wrong_names(case, graph, rules)), found, snapshot, kept)


def _plan(graph: LayerGraph, rules: RuleSet) -> tuple[tuple[Diagnostic, ...], dict[str, Any]]:
    """Return every diagnostic, and the plan or why there is none as it is kept."""
    try:
        plan = make_plan(graph, rules)
    except RuleError as err:
        return err.diagnostics, snapshot_of_faults(err.diagnostics)
    return plan.diagnostics, snapshot_of(plan)


def _wrong_names(case: Case, graph: LayerGraph, rules: RuleSet) -> Iterator[Diagnostic]:
    """Yield a fault for each rule or layer that the case names and that does not exist."""
    ids = [rule.id for rule in rules.rules]
    if case.rule is not None and case.rule.name not in ids:
        help = closest(case.rule.name, ids) or f"available: {', '.join(ids)}"
        yield Diagnostic(
            "rule/unknown", f"no rule is named {case.rule.name!r}", case.rule.where, help
        )
    for layer in (*case.selects, *case.spares):
        if layer.name not in graph.layers:
            help = (
                closest(layer.name, graph.layers)
                or f"all addresses: graphprune layers {case.graph_path}"
            )
            yield Diagnostic(
                "layer/unknown",
                f"no layer of {case.graph} has the address {layer.name!r}",
                layer.where,
                help,
            )


def _judged(
    case: Case,
    resolution: Resolution | None,
    wrong: tuple[Diagnostic, ...],
    found: tuple[Diagnostic, ...],
    snapshot: dict[str, Any],
    kept: Snapshots,
) -> CaseResult:
    expected = [slug.name for slug in case.fails]
    slugs = {diagnostic.slug for diagnostic in found}
    unexpected = tuple(
        diagnostic
        for diagnostic in found
        if diagnostic.severity == "error" and diagnostic.slug not in expected
    )
    unknown = {fault.where for fault in wrong}
    is_judged = resolution is not None and (case.rule is None or case.rule.where not in unknown)
    layers = (
        tuple(_layers(case, resolution, unknown)) if resolution is not None and is_judged else ()
    )
    result = CaseResult(
        case, layers, (*wrong, *unexpected), tuple(slug for slug in expected if slug not in slugs)
    )
    return _with_snapshot(result, snapshot, kept) if case.has_snapshot else result


def _layers(
    case: Case, resolution: Resolution, unknown: Collection[Where | None]
) -> Iterator[LayerOutcome]:
    """Yield the outcome for each listed layer except the `unknown` ones.

    If the case names no rule, selected means pruned by any rule.
    """
    decides = {claim.address: claim.rule for claim in resolution.claims}

    def is_selected(layer: Named) -> bool:
        rule = decides.get(layer.name)
        return rule is not None and (
            isinstance(rule.action, Prune) if case.rule is None else rule.id == case.rule.name
        )

    def reason(layer: Named) -> str:
        if layer.name not in decides:
            return "it has no prunable weights"
        rule = decides[layer.name]
        if rule is None:
            return "no rule decides it"
        return f"{rule.id} {'prunes' if isinstance(rule.action, Prune) else 'keeps'} it"

    for layer in (layer for layer in case.selects if layer.where not in unknown):
        yield LayerOutcome(
            layer.name, "selected" if is_selected(layer) else "missed", reason(layer)
        )
    for layer in (layer for layer in case.spares if layer.where not in unknown):
        yield LayerOutcome(layer.name, "extra" if is_selected(layer) else "spared", reason(layer))


def _with_snapshot(result: CaseResult, snapshot: dict[str, Any], kept: Snapshots) -> CaseResult:
    before = kept.get(result.case.graph)
    status: Literal["same", "new", "different"] = "same" if before == snapshot else "different"
    if before is None:
        status = "new"
    difference = tuple(_difference(before, snapshot)) if status == "different" else ()
    return CaseResult(
        result.case, result.layers, result.faults, result.missing, snapshot, status, difference
    )


def _difference(before: Any, after: Any) -> Iterator[str]:
    """Yield each difference with its path: `layer_changes.fc1.after.sparsity: 0.9 -> 0.8`."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    paths = [path for path in dict.fromkeys([*old, *new]) if old.get(path) != new.get(path)]
    yield from (
        f"{path}: {old.get(path, 'nothing')} -> {new.get(path, 'nothing')}"
        for path in paths[:SHOWN_LINES]
    )
    if len(paths) > SHOWN_LINES:
        yield f"... and {len(paths) - SHOWN_LINES} more"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value in nested JSON data with its path; list items go by address or name."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            named = (
                item.get("address") or item.get("name") or item.get("id")
                if isinstance(item, Mapping)
                else None
            )
            yield from _leaves(item, f"{path}.{named or index}")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def updated_snapshots(
    results: tuple[CaseResult, ...], kept: Snapshots, *, is_whole: bool
) -> dict[str, Any]:
    """Return the snapshots after an update.

    If all cases were run (`is_whole`), snapshots that no case asks for are dropped.
    """
    fresh = {
        result.case.graph: result.snapshot for result in results if result.snapshot is not None
    }
    asked = {result.case.graph for result in results if result.case.has_snapshot}
    merged = {name: plan for name, plan in kept.items() if name in asked or not is_whole} | fresh
    return {name: merged[name] for name in sorted(merged)}


def read_snapshots(file: CaseFile) -> dict[str, Any]:
    """Return the snapshots kept beside a test file; none where there is no file yet.

    Raises:
        RuleError: the file is damaged.
    """
    path = file.snapshot_path
    try:
        kept = json.loads(path.read_bytes().decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as err:
        raise _damaged(str(path), str(err)) from err
    if not isinstance(kept, dict):
        raise _damaged(str(path), "not an object")
    return kept


def _damaged(path: str, reason: str) -> RuleError:
    return RuleError(
        (
            Diagnostic(
                "file/unreadable",
                f"snapshots cannot be read: {reason}",
                Where(path),
                "delete the file, and run graphprune test --update",
            ),
        )
    )
