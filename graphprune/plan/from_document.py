"""Plan files back to plans. They are untrusted: size, kind, version and every key are checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NoReturn, cast, get_args

from graphprune.arguments import check_path, wrong_type
from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.documents import Unexpected, check_document, within
from graphprune.errors import PlanError
from graphprune.plan.architecture_document import architecture_from_document
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
from graphprune.plan.document import (
    FORMAT_VERSION,
    KIND,
    BudgetJson,
    DiagnosticJson,
    LayerChangeJson,
    PlanJson,
    RuleJson,
    SwitchesJson,
    TensorJson,
    WhereJson,
)
from graphprune.plan.pruning_document import PlaceJson, PruningJson
from graphprune.plan.shrink_document import summary_from_document
from graphprune.rules.values.rule_set import NO_SWITCHES, Loss, Switches
from graphprune.sparsity.pruning import Pruning
from graphprune.suggestions import ask_for_file

MAX_BYTES = 512 * 1024 * 1024
KnownSteps = tuple[tuple[str, int], ...]
_FILE = "give the JSON file that graphprune plan -o wrote"


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
        config = json.loads(_read_text(place), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as err:
        reason = str(err) if isinstance(err, ValueError) else "it is nested too deeply"
        raise PlanError(f"not a plan, or a damaged one: {reason}; {_FILE}", place=place) from err
    return plan_from_config(config, place=place)


def _read_text(place: str) -> str:
    try:
        if Path(place).stat().st_size > MAX_BYTES:
            raise PlanError(
                f"larger than {MAX_BYTES // 1024**2} MiB, the limit for a plan; {_FILE}",
                place=place,
            )
        return Path(place).read_bytes().decode()
    except UnicodeDecodeError as err:
        raise PlanError(f"cannot read a plan: it is not UTF-8 text; {_FILE}", place=place) from err
    except (OSError, ValueError) as err:  # a ValueError is a path with a zero byte
        reason, near = getattr(err, "strerror", None) or str(err), ""
        if isinstance(err, FileNotFoundError):
            near = ask_for_file(place, lambda found: found.suffix == ".json")
        raise PlanError(f"cannot read a plan: {reason}; {near or _FILE}", place=place) from err


def is_plan(value: Any) -> bool:
    """Return whether `value` is a plan, its JSON data or the path of its file, rather than rules.

    A path that ends in `.json` is a plan's, unless the file holds rules.

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


def plan_from_config(config: Mapping[str, Any], *, place: str = "plan") -> Plan:
    """Return the plan that `plan_to_config` wrote; unknown keys are ignored.

    Args:
        config: The JSON data.
        place: What error messages begin with.

    Raises:
        PlanError: `config` is not a plan, is damaged, or comes from a later major version.
    """
    try:
        _check_header(config, place)
        return _plan(check_document(PlanJson, config))
    except Unexpected as fault:
        raise PlanError(f"{fault}; make the plan again", place=place) from fault


def _check_header(config: Any, place: str) -> None:
    """Raise unless the document is a plan of a major version that this program reads."""
    if not isinstance(config, Mapping):
        raise Unexpected((), "an object", config)
    kind, version = config.get("kind"), config.get("format_version")
    if kind != KIND:
        raise PlanError(f"not a plan: its kind is {kind!r}, not '{KIND}'; {_FILE}", place=place)
    known = FORMAT_VERSION.partition(".")[0]
    if isinstance(version, str) and version.partition(".")[0] != known:
        raise PlanError(
            f"plan format {version!r}, this graphprune reads {known}.x; update graphprune,"
            " or make the plan again",
            place=place,
        )


def _plan(document: PlanJson) -> Plan:
    changes = _changes(document["layer_changes"])
    model, layers = document["model"], document["model"]["layers"]
    if layers < len(changes):
        raise Unexpected(
            ("model", "layers"), f"at least the {len(changes)} layers that follow", layers
        )
    return Plan(
        model=ModelFacts(
            path=model["path"],
            graph_sha256=model["graph_sha256"],
            architecture_sha256=model.get("architecture_sha256"),
            architecture=architecture_from_document(document.get("architecture")),
            layers=layers,
            prunable_weights=model["prunable_weights"],
            parameters=model["parameters"],
            prunable_tensors=None,
            hidden_layers=layers - len(changes),
            weights_sha256=model["weights_sha256"],
        ),
        rules=tuple((rule["path"], rule["sha256"]) for rule in document["rules"]),
        rule_count=None,
        variables=document["vars"],
        switches=_switches(document.get("switches")),
        changes=changes,
        diagnostics=tuple(_diagnostic(found) for found in document["diagnostics"]),
        drift=tuple(Drift(**drift) for drift in document["drift"]),
        budgets=tuple(_budget(budget) for budget in document["budgets"]),
        weight_hashes=tuple(
            (layer["address"], layer["sha256"]) for layer in document.get("layer_weights") or ()
        ),
        checks=tuple((check["id"], check["status"]) for check in document["checks"]),
        depends_on_weights=document["depends_on_weights"],
        read_outlook=summary_from_document(document.get("shrink")),
    )


def _changes(documents: list[LayerChangeJson]) -> tuple[LayerChange, ...]:
    changes = []
    for index, document in enumerate(documents):
        with within("layer_changes", index):
            changes.append(_change(document))
    seen: set[str] = set()
    for change in changes:
        if change.address in seen:
            raise Unexpected(("layer_changes",), "each address once", f"{change.address} twice")
        seen.add(change.address)
    return tuple(changes)


def _change(document: LayerChangeJson) -> LayerChange:
    rule = document["rule"]
    actions = _actions(document["actions"])
    before, _ = _pruning("before", document["before"])
    after, known_steps = _pruning("after", document["after"])
    if (after is None) == bool({"wrap", "retarget", "noop"} & set(actions)):
        wanted = "how the layer is pruned" if after is None else "null"
        raise Unexpected(("after",), f"{wanted} beside {' and '.join(actions)}", document["after"])
    return LayerChange(
        address=document["address"],
        type=document["type"],
        calls=document["calls"],
        actions=actions,
        action_reason=document["action_reason"],
        rule=None if rule is None else RuleRef(rule["id"], Where(rule["file"], rule["line"])),
        also_matched=tuple(
            Loss(loss["id"], loss["lost_to"], loss.get("by") or _id(rule))
            for loss in document["also_matched"]
        ),
        before=before,
        after=after,
        after_unknown=tuple(document["after_unknown"]),
        tensors=tuple(_tensor(index, tensor) for index, tensor in enumerate(document["tensors"])),
        known_steps=known_steps,
        skipped=tuple((part["tensor"], part["reason"]) for part in document.get("skipped") or ()),
        budget=document.get("budget") or "",
    )


def _id(rule: RuleJson | None) -> str:
    return "" if rule is None else rule["id"]


def _actions(words: list[str]) -> tuple[Action, ...]:
    known = get_args(Action)
    if words != ["unwrap", "wrap"] and (len(words) != 1 or words[0] not in known):
        raise Unexpected(
            ("actions",), f"one of {', '.join(known)}, or unwrap and wrap", list(words)
        )
    return cast(tuple[Action, ...], tuple(words))


def _pruning(key: str, document: PruningJson | None) -> tuple[Pruning | None, KnownSteps]:
    """Return how a layer is pruned, and the steps written beside places in another unit."""
    if document is None:
        return None, ()
    schedule, known_steps = dict(document["schedule"]), []
    for name in ("begin", "end", "every"):
        place = cast(PlaceJson | None, schedule[name])
        if place is not None and len(place) > 1 and "step" in place:
            step = place["step"]
            if not float(step).is_integer():
                raise Unexpected((key, "schedule", name, "step"), "a whole number from 0", step)
            known_steps.append((name, int(step)))
            schedule[name] = {unit: value for unit, value in place.items() if unit != "step"}
    try:
        pruning = Pruning.from_config({**document, "schedule": schedule})
    except KeyError as err:
        raise Unexpected((key,), f"a pruning with the field {err}", document) from err
    except ValueError as err:
        raise Unexpected((key,), f"a pruning ({err})", document) from err
    return pruning, tuple(known_steps)


def _tensor(index: int, document: TensorJson) -> TensorChange:
    shape, size = tuple(document["shape"]), document["size"]
    if size != math.prod(shape):
        raise Unexpected(
            ("tensors", index, "size"), f"the product of the shape {list(shape)}", size
        )
    counts = (("zeros_before", document["zeros_before"]), ("zeros_after", document["zeros_after"]))
    for key, zeros in counts:
        if zeros is not None and zeros > size:
            raise Unexpected(("tensors", index, key), f"at most the size {size}", zeros)
    return TensorChange(
        name=document["name"],
        axes=tuple(document["axes"]),
        shape=shape,
        size=size,
        zeros_before=document["zeros_before"],
        zeros_after=document["zeros_after"],
        stored_as=document.get("stored_as") or "",
        follows=bool(document.get("follows")),
    )


def _budget(document: BudgetJson) -> BudgetChange:
    return BudgetChange(
        name=document["name"],
        allocate=document["allocate"],
        over=document["over"],
        sparsity=document["sparsity"],
        minimum=document["min"],
        maximum=document["max"],
        weights=document["weights"],
        zeros=document["zeros_after"],
        scale=document["scale"],
        dense=tuple(DenseTensor(**dense) for dense in document["dense"]),
        counts=document.get("counts") or "weights",
    )


def _switches(document: SwitchesJson | None) -> Switches:
    """Return what the command line changed; plans of earlier versions do not say."""
    if document is None:
        return NO_SWITCHES
    return Switches(
        tuple(document["only"]),
        tuple(document["off"]),
        tuple(document["var"].items()),
        tuple(document["set"].items()),
    )


def _diagnostic(document: DiagnosticJson) -> Diagnostic:
    where, count = document["where"], document.get("count")
    return Diagnostic(
        document["slug"],
        document["message"],
        None if where is None else _where(where),
        document["help"],
        document["severity"],
        tuple((_where(related["where"]), related["label"]) for related in document["related"]),
        1 if count is None else count,
    )


def _where(document: WhereJson) -> Where:
    return Where(document["file"], document["line"], document["column"])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
