"""Plan files back to plans. They are untrusted: size, kind, version and every field are checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NoReturn, cast, get_args

from graphprune.arguments import check_path, wrong_type
from graphprune.errors import PlanError, Where
from graphprune.plan.changes import (
    Action,
    BudgetChange,
    DenseTensor,
    Drift,
    LayerChange,
    ModelFacts,
    Plan,
    RuleRef,
    TensorChange,
)
from graphprune.plan.diagnostic_json import diagnostic_from_fields
from graphprune.plan.fields import Fields
from graphprune.plan.plan_json import FORMAT_VERSION, KIND
from graphprune.rules.values.checks import CheckStatus
from graphprune.rules.values.losses import Loss
from graphprune.rules.values.rule_set import NO_SWITCHES, Switches
from graphprune.sparsity.pruning import Pruning
from graphprune.suggestions import ask_for_file

MAX_BYTES = 512 * 1024 * 1024
_PLACES = ("begin", "end", "every")


def read_plan(path: str | PathLike[str] | Mapping[str, Any]) -> Plan:
    """Return the plan in the JSON file at `path`, or in JSON data.

    Raises:
        PlanError: the file cannot be read, is damaged, is not a plan, or was written by a later
            major version; one line that names the file.
        TypeError: `path` is neither a path nor JSON data.
    """
    if isinstance(path, Mapping):
        return plan_from_config(path)
    place = check_path("path", path, "the path of a plan's JSON file, or JSON data")
    try:
        if Path(place).stat().st_size > MAX_BYTES:
            raise PlanError(
                f"{place}: larger than {MAX_BYTES // 1024**2} MiB, which no plan is; give the JSON"
                " file that graphprune plan -o wrote"
            )
        text = Path(place).read_bytes().decode()
    except (OSError, ValueError) as err:
        reason, near = str(err), ""
        if isinstance(err, OSError):
            reason = err.strerror or reason
        elif isinstance(err, UnicodeDecodeError):
            reason = "it is not UTF-8 text"
        if isinstance(err, FileNotFoundError):
            near = ask_for_file(place, lambda found: found.suffix == ".json")
        raise PlanError(
            f"{place}: cannot read a plan: {reason};"
            f" {near or 'give the JSON file that graphprune plan -o wrote'}"
        ) from err
    try:
        config = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as err:
        reason = str(err) if isinstance(err, ValueError) else "it is nested too deeply"
        raise PlanError(
            f"{place}: not a plan, or a damaged one: {reason}; give the JSON file that graphprune"
            " plan -o wrote"
        ) from err
    return plan_from_config(config, place=place)


def plan_of(plan: Any) -> Plan:
    """Return `plan`, or the plan in the file or JSON data that it names.

    Raises:
        PlanError: the file cannot be read, or does not hold a plan.
        TypeError: `plan` is something else, such as rules.
    """
    if isinstance(plan, Plan):
        return plan
    if not isinstance(plan, str | PathLike | Mapping):
        raise wrong_type(
            "plan",
            "a Plan, or the path of its JSON file",
            plan,
            "make_plan(model_path, rules) makes a plan from rules",
        )
    return read_plan(plan)


def is_plan(value: Any) -> bool:
    """Return whether `value` is a plan, a plan's JSON data, or the path of its file, rather than
    rules. A path that ends in `.json` is a plan's, unless the file holds rules.

    Example:
        >>> is_plan("p.json"), is_plan("rules.yaml"), is_plan({"version": 1, "rules": []})
        (True, False, False)
    """
    if isinstance(value, Plan):
        return True
    if isinstance(value, Mapping):
        return value.get("kind") == KIND
    if not isinstance(value, str | PathLike) or Path(fspath(value)).suffix != ".json":
        return False
    try:
        document = json.loads(Path(value).read_bytes())
    except (OSError, ValueError, RecursionError):
        return True
    return not (isinstance(document, Mapping) and "version" in document)


def plan_from_config(config: Mapping[str, Any], *, place: str = "plan") -> Plan:
    """Return the plan that `plan_to_config` wrote; keys that this version does not know are
    ignored.

    Args:
        config: The JSON data.
        place: What error messages begin with.

    Raises:
        PlanError: `config` is not a plan, is damaged, or comes from a later major version.
    """
    fields = Fields(config, place)
    _check_header(fields, place)
    model = fields.mapping("model")
    changes = tuple(_change_from_fields(entry) for entry in fields.entries("layer_changes"))
    _check_addresses(fields, changes)
    layers = model.count("layers")
    if layers < len(changes):
        raise model.fault("layers", f"at least the {len(changes)} layers that follow", layers)
    return Plan(
        model=ModelFacts(
            path=model.text("path"),
            graph_sha256=model.text("graph_sha256"),
            layers=layers,
            prunable_weights=model.count("prunable_weights"),
            parameters=model.count("parameters"),
            prunable_tensors=None,
            hidden_layers=layers - len(changes),
            weights_sha256=model.text_or_none("weights_sha256"),
            architecture_sha256=model.text_or_none("architecture_sha256"),
        ),
        rules=tuple((rule.text("path"), rule.text("sha256")) for rule in fields.entries("rules")),
        rule_count=None,
        variables=fields.raw("vars"),
        switches=_switches_from_fields(fields.mapping_or_none("switches")),
        changes=changes,
        diagnostics=tuple(diagnostic_from_fields(entry) for entry in fields.entries("diagnostics")),
        drift=tuple(_drift_from_fields(entry) for entry in fields.entries("drift")),
        budgets=tuple(_budget_from_fields(entry) for entry in fields.entries("budgets")),
        weight_hashes=tuple(
            (entry.text("address"), entry.text("sha256"))
            for entry in fields.entries_or_none("layer_weights")
        ),
        checks=tuple(
            (check.text("id"), cast(CheckStatus, check.choice("status", get_args(CheckStatus))))
            for check in fields.entries("checks")
        ),
        depends_on_weights=fields.flag("depends_on_weights"),
    )


def _check_header(fields: Fields, place: str) -> None:
    """Raise unless the document is a plan of a major version that this program reads."""
    kind = fields.text_or_none("kind")
    if kind != KIND:
        raise PlanError(
            f"{place}: not a plan: its kind is {kind!r}, not '{KIND}'; give the JSON file that"
            " graphprune plan -o wrote"
        )
    version = fields.text("format_version")
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise PlanError(
            f"{place}: plan format {version!r}, this graphprune reads"
            f" {FORMAT_VERSION.partition('.')[0]}.x; update graphprune, or make the plan again"
        )


def _check_addresses(fields: Fields, changes: tuple[LayerChange, ...]) -> None:
    seen: set[str] = set()
    for change in changes:
        if change.address in seen:
            raise fields.fault("layer_changes", "each address once", f"{change.address} twice")
        seen.add(change.address)


def _change_from_fields(fields: Fields) -> LayerChange:
    rule = fields.mapping_or_none("rule")
    actions = fields.texts("actions")
    if actions != ("unwrap", "wrap") and (len(actions) != 1 or actions[0] not in get_args(Action)):
        raise fields.fault(
            "actions", f"one of {', '.join(get_args(Action))}, or unwrap and wrap", list(actions)
        )
    after, known_steps = _pruning_from_fields(fields, "after")
    if (after is None) == bool({"wrap", "retarget", "noop"} & set(actions)):
        raise fields.fault(
            "after",
            f"{'how the layer is pruned' if after is None else 'null'} beside"
            f" {' and '.join(actions)}",
            "null" if after is None else "a pruning",
        )
    return LayerChange(
        address=fields.text("address"),
        type=fields.text("type"),
        calls=fields.count("calls"),
        actions=cast(tuple[Action, ...], actions),
        action_reason=fields.text("action_reason"),
        rule=(
            None
            if rule is None
            else RuleRef(rule.text("id"), Where(rule.text("file"), rule.count_or_none("line")))
        ),
        also_matched=tuple(
            _loss_from_fields(entry, rule) for entry in fields.entries("also_matched")
        ),
        before=_pruning_from_fields(fields, "before")[0],
        after=after,
        after_unknown=fields.texts("after_unknown"),
        tensors=tuple(_tensor_from_fields(entry) for entry in fields.entries("tensors")),
        known_steps=known_steps,
        skipped=tuple(
            (entry.text("tensor"), entry.text("reason"))
            for entry in fields.entries_or_none("skipped")
        ),
        budget=fields.text_or_none("budget") or "",
    )


def _loss_from_fields(fields: Fields, decides: Fields | None) -> Loss:
    return Loss(
        fields.text("id"),
        fields.text("lost_to"),
        fields.text_or_none("by") or (decides.text("id") if decides is not None else ""),
    )


def _pruning_from_fields(
    fields: Fields, name: str
) -> tuple[Pruning | None, tuple[tuple[str, int], ...]]:
    """Return how a layer is pruned, and the steps written beside places in another unit."""
    found = fields.mapping_or_none(name)
    if found is None:
        return None, ()
    found.texts("weights")
    schedule = found.raw("schedule")
    known_steps = []
    for key in _PLACES:
        place = schedule.get(key)
        if isinstance(place, Mapping) and len(place) > 1 and "step" in place:
            known_steps.append((key, found.mapping("schedule").mapping(key).count("step")))
            schedule[key] = {unit: value for unit, value in place.items() if unit != "step"}
    try:
        pruning = Pruning.from_config({**fields.raw(name), "schedule": schedule})
        pruning.to_config()
    except KeyError as err:
        raise fields.fault(name, f"a pruning with the field {err}", fields.raw(name)) from err
    except (ValueError, TypeError, AttributeError, OverflowError) as err:
        raise fields.fault(name, f"a pruning ({err})", fields.raw(name)) from err
    return pruning, tuple(known_steps)


def _tensor_from_fields(fields: Fields) -> TensorChange:
    tensor = TensorChange(
        name=fields.text("name"),
        axes=tuple(fields.raw("axes")),
        shape=fields.counts("shape"),
        size=fields.count("size"),
        zeros_before=fields.count_or_none("zeros_before"),
        zeros_after=fields.count_or_none("zeros_after"),
        stored_as=fields.text_or_none("stored_as") or "",
    )
    if tensor.size != math.prod(tensor.shape):
        raise fields.fault("size", f"the product of the shape {list(tensor.shape)}", tensor.size)
    for name, zeros in (("zeros_before", tensor.zeros_before), ("zeros_after", tensor.zeros_after)):
        if zeros is not None and zeros > tensor.size:
            raise fields.fault(name, f"at most the size {tensor.size}", zeros)
    return tensor


def _budget_from_fields(fields: Fields) -> BudgetChange:
    return BudgetChange(
        name=fields.text("name"),
        allocate=fields.text("allocate"),
        over=fields.text("over"),
        sparsity=fields.share("sparsity"),
        minimum=fields.share_or_none("min"),
        maximum=fields.share_or_none("max"),
        weights=fields.count("weights"),
        zeros=fields.count("zeros_after"),
        scale=fields.number_or_none("scale"),
        dense=tuple(
            DenseTensor(
                entry.text("address"),
                entry.text("tensor"),
                entry.count("size"),
                entry.number_or_none("wanted"),
            )
            for entry in fields.entries("dense")
        ),
    )


def _switches_from_fields(fields: Fields | None) -> Switches:
    """Return what the command line changed; plans of earlier versions do not say."""
    if fields is None:
        return NO_SWITCHES
    return Switches(
        fields.texts("only"),
        fields.texts("off"),
        fields.text_pairs("var"),
        fields.text_pairs("set"),
    )


def _drift_from_fields(fields: Fields) -> Drift:
    return Drift(
        address=fields.text("address"),
        tensor=fields.text("tensor"),
        rule=fields.text("rule"),
        step=fields.count("step"),
        target=fields.share_or_none("target"),
        measured=fields.share_or_none("measured"),
        under_mask=fields.count("under_mask"),
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
