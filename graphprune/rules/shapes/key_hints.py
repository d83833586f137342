"""The way out of faults of shape: how each key is written, by the mapping that it stands in, and
what people mean by keys and values that are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.rules.shapes.action_shape import DefaultsShape, PruneShape
from graphprune.rules.shapes.check_shape import CheckShape, CountShape, CoversShape, ResultShape
from graphprune.rules.shapes.file_shape import FileShape, RuleShape
from graphprune.rules.shapes.matcher_shape import ConfigTestShape, MatcherShape, WeightShape
from graphprune.rules.shapes.scalars import QUOTES
from graphprune.rules.shapes.shape import Shape, keys_of
from graphprune.suggestions import closest, find_close

_RAMP = "{curve: polynomial, begin: 0 epochs, end: 4 epochs, every: 100 steps}"
_DENSE = "{type: Dense}"
_NUMBERS = {key: "10k" for key in ("eq", "ne", "gt", "gte", "lt", "lte")} | {
    "in": "[3, 5]",
    "multiple_of": "4",
}
_SHARES = {key: "80%" for key in ("eq", "ne", "gt", "gte", "lt", "lte")}
EXAMPLES: Mapping[str, Mapping[str, str]] = {
    "FileShape": {
        "version": "1",
        "vars": "{final: 90%}",
        "layers": "{MyPkg>LowRank: {prunable: {u: [in, rank], v: [rank, out]}}}",
        "schedules": f"{{ramp: {_RAMP}}}",
        "selectors": "{classifier: {last: {type: Dense}}}",
        "budgets": "{net: {sparsity: 95%, allocate: erk}}",
        "defaults": "{prune: {schedule: ramp}}",
        "require": "[{id: has-dense, count: {of: {type: Dense}, is: {gte: 1}}}]",
        "rules": "[{id: dense-90, match: {type: Dense}, prune: {sparsity: 90%, schedule: ramp}}]",
    },
    "RuleShape": {
        "id": "dense-90",
        "note": "hidden layers only",
        "match": _DENSE,
        "prune": "{sparsity: 90%, schedule: ramp}",
        "keep": "true",
        "overrides": "[dense-90]",
        "expect": "{gte: 1}",
    },
    "PruneFieldsShape": {
        "sparsity": "90%",
        "budget": "net",
        "threshold": "0.05",
        "schedule": _RAMP,
        "pattern": "{block: {in: 4, out: 1}}",
        "weights": "[kernel]",
        "misfit": "skip",
    },
    "PruneShape": {"like": "dense-90"},
    "DefaultsShape": {"prune": "{schedule: ramp}"},
    "BudgetShape": {
        "sparsity": "95%",
        "allocate": "erk",
        "over": "claimed",
        "min": "10%",
        "max": "99%",
    },
    "KeepOfShape": {"keep": "2", "of": "4", "along": "in"},
    "BlockShape": {"block": "{in: 4, out: 1}", "pool": "mean"},
    "ChannelShape": {"channel": "out"},
    "ScheduleShape": {
        "curve": "polynomial",
        "from": "30%",
        "begin": "0 epochs",
        "end": "4 epochs",
        "every": "100 steps",
        "power": "3",
        "points": "{4 epochs: 50%, 8 epochs: 80%}",
    },
    "MatcherShape": {
        "name": '{glob: "block_*"}',
        "type": "Dense",
        "isa": "Conv2D",
        "config": "{padding: same, units: {gte: 64}}",
        "params": "{gte: 10k}",
        "weight": "{in: {multiple_of: 4}}",
        "trainable": "true",
        "wrapped": "false",
        "produces_output": "true",
        "calls": "{gte: 2}",
        "inside": "{name: backbone}",
        "first": "{isa: Conv2D}",
        "last": _DENSE,
        "fed_by": "{type: Add}",
        "feeds": "{type: Add}",
        "after": "{type: Add, hops: 3}",
        "before": _DENSE,
        "between": "{after: {name: stem}, before: {type: GlobalAveragePooling2D}}",
        "all": '[{type: Dense}, {name: {glob: "head_*"}}]',
        "any": "[{type: Dense}, {isa: Conv2D}]",
        "not": "{last: {type: Dense}}",
        "use": "classifier",
    },
    "NeighbourShape": {"every": "true", "only": "true"},
    "ReachShape": {"hops": "3", "until": "{type: Add}"},
    "BetweenShape": {"after": "{name: stem}", "before": "{type: GlobalAveragePooling2D}"},
    "NamePatternShape": {"glob": '"block_*"', "regex": '"block_[0-9]+"'},
    "NumberTestShape": _NUMBERS,
    "ShareTestShape": _SHARES,
    "ConfigTestShape": {
        "in": "[same, valid]",
        "not": "same",
        "regex": '"(relu|elu).*"',
        "gt": "0",
        "gte": "64",
        "lt": "64",
        "lte": "64",
        "exists": "true",
    },
    "WeightShape": {
        "name": "kernel",
        "rank": "2",
        "in": "{multiple_of: 4}",
        "out": "{gte: 64}",
        "kernel": "[3, 3]",
        "dtype": "float32",
        "sparsity": "{lt: 10%}",
    },
    "CheckShape": {
        "id": "has-dense",
        "message": "the classifier is missing",
        "severity": "warn",
        "count": "{of: {type: Dense}, is: {gte: 1}}",
        "every": "{after: {name: stem}}",
        "satisfies": "{type: [Conv2D, ReLU]}",
        "covers": "{from: inputs, by: {type: Conv2D}}",
        "result": "{of: {type: Dense}, sparsity: {gte: 80%}}",
    },
    "CountShape": {"of": _DENSE, "is": "{gte: 1}"},
    "CoversShape": {"from": "inputs", "by": "{type: Conv2D}"},
    "ResultShape": {"of": _DENSE, "sparsity": "{gte: 80%}"},
    "CustomLayerShape": {"prunable": "{u: [in, rank], v: [rank, out]}", "weights": "[u, v, bias]"},
    "CaseFileShape": {
        "version": "1",
        "rules": "prune.yaml",
        "cases": "[{graph: lenet.json, rule: dense-90, selects: [fc1]}]",
    },
    "CaseShape": {
        "graph": "lenet.json",
        "rule": "dense-90",
        "selects": "[fc1, fc2]",
        "spares": "[predictions]",
        "plan": "snapshot",
        "fails": "[rule/no-match]",
    },
}
_REASONS = {
    ("FileShape", "version"): "begin the file with 'version: 1'",
    ("RuleShape", "id"): "add one, such as 'id: dense-90'; wrapped layers remember it",
    ("CheckShape", "id"): "add one, such as 'id: has-dense'; plans tell by it which checks held",
    ("RuleShape", "match"): (
        "add the conditions, such as 'match: {type: Dense}', or 'match: \"*\"' for every layer with"
        " prunable weights"
    ),
    (
        "ScheduleShape",
        "curve",
    ): "add one of constant, linear, polynomial, exponential, step, points",
    ("BudgetShape", "sparsity"): "add the share of zeros over all tensors, such as 'sparsity: 95%'",
    ("KeepOfShape", "keep"): "write how many stay of each group: {keep: 2, of: 4, along: in}",
    ("KeepOfShape", "of"): "write how long a group is: {keep: 2, of: 4, along: in}",
    ("KeepOfShape", "along"): "name the axis that groups run along: {keep: 2, of: 4, along: in}",
    ("BlockShape", "block"): "write its length along each axis: {block: {in: 4, out: 1}}",
}
# What stands inside which key of a mapping: a key found one level too high belongs there.
_INSIDE: tuple[tuple[type[Shape], str, type[Shape]], ...] = (
    (DefaultsShape, "prune", PruneShape),
    (RuleShape, "prune", PruneShape),
    (RuleShape, "match", MatcherShape),
    (CountShape, "of", MatcherShape),
    (ResultShape, "of", MatcherShape),
    (CoversShape, "by", MatcherShape),
    (CheckShape, "every", MatcherShape),
    (FileShape, "rules", RuleShape),
)
_ELSEWHERE = {
    "hops": "it stands inside 'after' or 'before', such as 'after: {type: Add, hops: 3}'",
    "until": (
        "it stands inside 'after' or 'before', such as 'after: {type: Add, until: {type: ReLU}}'"
    ),
    "every": "it stands inside 'fed_by' or 'feeds', such as 'fed_by: {type: Add, every: true}'",
    "only": "it stands inside 'fed_by' or 'feeds', such as 'fed_by: {type: Add, only: true}'",
    "glob": "it stands inside 'name', such as 'name: {glob: \"block_*\"}'",
    "regex": "it stands inside 'name', such as 'name: {regex: \"block_[0-9]+\"}'",
}
_BOUNDS = {
    "min": "gte",
    "max": "lte",
    "ge": "gte",
    "le": "lte",
    "above": "gt",
    "below": "lt",
    "at_least": "gte",
    "at_most": "lte",
}
_MEANT: Mapping[str, Mapping[str, str]] = {
    "MatcherShape": {
        "class": "type",
        "kind": "type",
        "class_name": "type",
        "and": "all",
        "or": "any",
        "layer": "name",
        "address": "name",
        "shared": "calls",
    },
    "RuleShape": {
        "name": "id",
        "where": "match",
        "select": "match",
        "layers": "match",
        "comment": "note",
        "description": "note",
    },
    "PruneFieldsShape": {
        "target": "sparsity",
        "final_sparsity": "sparsity",
        "amount": "sparsity",
        "cutoff": "threshold",
        "block_size": "pattern",
        "on_misfit": "misfit",
    },
    "ScheduleShape": {
        "initial": "from",
        "initial_sparsity": "from",
        "start": "begin",
        "begin_step": "begin",
        "stop": "end",
        "end_step": "end",
        "frequency": "every",
        "exponent": "power",
        "type": "curve",
        "kind": "curve",
    },
    "BetweenShape": {
        "from": "after",
        "start": "after",
        "to": "before",
        "end": "before",
        "until": "before",
    },
    "CheckShape": {"name": "id", "level": "severity", "all": "every"},
    "NumberTestShape": _BOUNDS | {"equals": "eq", "one_of": "in", "divisible_by": "multiple_of"},
    "ShareTestShape": _BOUNDS | {"equals": "eq"},
    "ConfigTestShape": (
        _BOUNDS | {"one_of": "in", "any": "in", "ne": "not", "matches": "regex", "glob": "regex"}
    ),
    "WeightShape": {
        "input": "in",
        "output": "out",
        "shape": "kernel",
        "kernel_size": "kernel",
        "ndim": "rank",
        "zeros": "sparsity",
    },
    "BudgetShape": {
        "allocation": "allocate",
        "target": "sparsity",
        "minimum": "min",
        "maximum": "max",
    },
}


def missing_help(shape: type[Shape], key: str) -> str | None:
    """Return how a key that is missing is written.

    Example:
        >>> missing_help(CountShape, "of")
        "add it, such as 'of: {type: Dense}'"
    """
    reason = next(
        (
            _REASONS[base.__name__, key]
            for base in shape.__mro__
            if (base.__name__, key) in _REASONS
        ),
        None,
    )
    example = _example(shape, key)
    return reason or (None if example is None else f"add it, such as '{key}: {example}'")


def meant_key(shape: type[Shape], key: str) -> str | None:
    """Return the known key that an unknown one most probably stands for, or belongs into."""
    words = [
        word
        for base in shape.__mro__
        if (word := _MEANT.get(base.__name__, {}).get(key.lower())) is not None
    ]
    return next(iter(words or find_close(key, keys_of(shape)) or _outer_keys(shape, key)), None)


def unknown_help(shape: type[Shape], key: str, owner: str, value: Any) -> str:
    """Return what an unknown key may mean: a near one, its usual other name, the place where it
    belongs; and the keys that are known.

    Args:
        shape: The mapping that the key stands in.
        key: The key.
        owner: The key of that mapping; "" where it has none.
        value: The key's value.

    Example:
        >>> unknown_help(CountShape, "type", "count", "Dense")
        "it stands inside 'of', such as 'of: {type: Dense}'; known here: of, is"
    """
    keys = keys_of(shape)
    hint = (
        _meant(shape, key)
        or _config_help(shape, key, owner, value)
        or closest(key, keys)
        or _inside(shape, key)
        or _ELSEWHERE.get(key, "")
    )
    return "; ".join(filter(None, (hint, f"known here: {', '.join(keys)}")))


def value_help(
    shape: type[Shape], key: str, value: Any, expectation: str, label: str
) -> str | None:
    """Return how a value is written that has no help of its own.

    Args:
        shape: The nearest mapping around it whose keys are those of the language.
        key: The key of that mapping that the value stands under.
        value: The value.
        expectation: What it should be.
        label: What stands directly before the value: its key with a colon; "" in a list.

    Example:
        >>> value_help(MatcherShape, "last", "Dense", 'must be a mapping of conditions, such as {name: conv_1}, or "*"', "last: ")
        "write 'last: {type: Dense}'"
        >>> value_help(MatcherShape, "config", 3, "must be a mapping", "config: ")
        "write for example 'config: {padding: same, units: {gte: 64}}'"
    """
    if expectation == "must be text" and isinstance(value, int | float):
        return QUOTES
    if "mapping of conditions" in expectation:
        return _matcher_help(label, value)
    example = _example(shape, key)
    if shape is WeightShape and key == "kernel":
        return f"write for example 'kernel: {example}'"
    return (
        None
        if example is None or "must be one of" in expectation or "such as" in expectation
        else f"write for example '{key}: {example}'"
    )


def _example(shape: type[Shape], key: str) -> str | None:
    return next(
        (
            EXAMPLES[base.__name__][key]
            for base in shape.__mro__
            if key in EXAMPLES.get(base.__name__, {})
        ),
        None,
    )


def _meant(shape: type[Shape], key: str) -> str:
    word = next(
        (
            _MEANT[base.__name__][key.lower()]
            for base in shape.__mro__
            if key.lower() in _MEANT.get(base.__name__, {})
        ),
        None,
    )
    return f"did you mean {word!r}?" if word else ""


def _config_help(shape: type[Shape], key: str, owner: str, value: Any) -> str:
    """Return what a mapping under a config key means that is no test."""
    if not issubclass(shape, ConfigTestShape):
        return ""
    if key == "eq":
        return "write the value itself, such as 'units: 64'"
    if key == "multiple_of":
        return f"list the values, such as '{owner}: {{in: [64, 128]}}'"
    inner = value if isinstance(value, str | int | float) and not isinstance(value, bool) else "..."
    return (
        closest(key, keys_of(shape))
        or f"if {owner!r} is a mapping, write '{owner}.{key}: {inner}' for the value inside it"
    )


def _outer_keys(shape: type[Shape], key: str) -> dict[str, type[Shape]]:
    """Return the keys of a mapping that another key belongs into, each with the mapping that stands
    under it.
    """
    return {
        outer: inner
        for place, outer, inner in _INSIDE
        if issubclass(shape, place) and key in keys_of(inner)
    }


def _inside(shape: type[Shape], key: str) -> str:
    found = _outer_keys(shape, key)
    if not found:
        return ""
    (outer, inner), *_ = found.items()
    example = f"{{{key}: {_example(inner, key)}}}"
    return (
        f"it stands inside {outer!r}, such as '{outer}:"
        f" {f'[{example}]' if outer == 'rules' else example}'"
    )


def _matcher_help(label: str, value: Any) -> str | None:
    """Return the matcher that a value probably means, after what stands before it."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return (
            f"write '{label}{{any: [...]}}' where one of them is enough, or '{label}{{all: [...]}}'"
        )
    if isinstance(value, str) and value.strip() in ("**", "all", "any", "everything"):
        return f"write '{label}\"*\"' for every layer with prunable weights"
    if isinstance(value, str) and value.strip():
        return f"write '{label}{{{'type' if value[0].isupper() else 'name'}: {value}}}'"
    return (
        f"write for example '{label}{{type: Dense}}'"
        if isinstance(value, bool | int | float)
        else None
    )
