"""What an editor shows beside each key of a rule file and of a rule test, by the mapping that it
stands in (a class of shapes, or one that it extends).
"""

from __future__ import annotations

from collections.abc import Mapping

_BOUNDS = {
    "gt": "Greater than this.",
    "gte": "This or more.",
    "lt": "Less than this.",
    "lte": "This or less.",
}
_COMPARISONS = {"eq": "Equal to this.", "ne": "Not equal to this.", **_BOUNDS}
_NUMBER_TESTS = {**_COMPARISONS, "in": "One of these.", "multiple_of": "Divisible by this."}

KEY_HELP: Mapping[str, Mapping[str, str]] = {
    "FileShape": {
        "version": "The version of the rule language: 1.",
        "vars": (
            'Variables and their defaults. Use one as a whole value: "${final}"; change it with'
            " --var final=0.8."
        ),
        "layers": "Custom layers: which of their weights can be pruned, and what their axes mean.",
        "schedules": "Schedules by name, for the rules to share.",
        "selectors": "Matchers by name, for rules and checks to use: {use: NAME}.",
        "budgets": "Targets that several layers share, by name.",
        "defaults": "Fills the missing fields of every prune action.",
        "require": "Checks on the model and on the result; one that fails stops the plan.",
        "rules": "Which layers are pruned, and how. The order never changes the meaning.",
    },
    "RuleShape": {
        "id": "The rule's name, unique over all files and one word. Wrapped layers remember it.",
        "note": "A remark for people.",
        "match": (
            'Which layers: a mapping of conditions that must all hold, or "*" for every layer with'
            " prunable weights."
        ),
        "prune": "Prune the layers that match.",
        "keep": "true: leave the layers that match dense. keep beats prune.",
        "overrides": "Ids of rules that this one beats on every layer that both match.",
        "expect": "How many layers must match: a number, or a test. Without it at least one.",
    },
    "PruneFieldsShape": {
        "sparsity": "The share of weights that become zero: 0.9 or 90%.",
        "budget": "The name of a budget that gives each tensor its share, instead of sparsity.",
        "threshold": (
            "Instead of sparsity: weights whose magnitude is below this become zero, as the model's"
            " weights are when the plan is made."
        ),
        "schedule": "When masks change: the name of a schedule, or one written here.",
        "pattern": "Which weights are zeroed together; 'unstructured' takes each by itself.",
        "weights": (
            "Names of the tensors to prune inside the layer: kernel, or forward_layer.kernel for"
            " one of several. Without it all that can be pruned."
        ),
        "misfit": (
            "What becomes of a tensor that the pattern does not fit: error, skip (stays dense) or"
            " pad (short last group)."
        ),
    },
    "PruneShape": {
        "sparsity": "The share of weights that become zero: 0.9 or 90%.",
        "schedule": "When masks change: the name of a schedule, or one written here.",
        "pattern": "Which weights are zeroed together; 'unstructured' takes each by itself.",
        "weights": (
            "Names of the tensors to prune inside the layer: kernel, or forward_layer.kernel for"
            " one of several. Without it all that can be pruned."
        ),
        "like": (
            "The id of a rule whose fields are copied; what stands here beside it replaces single"
            " ones."
        ),
    },
    "DefaultsShape": {"prune": "Fields for every prune action that leaves them out."},
    "BudgetShape": {
        "sparsity": "The share of zeros over all tensors of the budget.",
        "allocate": (
            "How the zeros are shared out: uniform, erk (by the sum of the axes) or magnitude (one"
            " threshold)."
        ),
        "over": (
            "Which tensors count: claimed (of the rules that name the budget) or prunable (all of"
            " the model)."
        ),
        "min": "The least share of zeros of one tensor.",
        "max": "The greatest share of zeros of one tensor.",
    },
    "KeepOfShape": {
        "keep": "How many weights of each group stay.",
        "of": "How many weights a group has.",
        "along": "The axis that groups run along: in or out.",
    },
    "BlockShape": {
        "block": "Lengths of a block by axis: {in: 4, out: 1}.",
        "pool": "How a block is scored: mean or max of its magnitudes.",
    },
    "ChannelShape": {"channel": "The axis whose slices are zeroed whole: out."},
    "ScheduleShape": {
        "curve": "How the sparsity gets to its target: constant, linear, polynomial, step, ...",
        "from": "The share of zeros at the beginning of a ramp.",
        "begin": "The first mask: 0 epochs, 2000 steps or 10% (of the run).",
        "end": "The last change of masks, at the target. Needs its unit, as begin does.",
        "every": (
            "The distance between two changes of masks, such as 100 steps. begin and end always"
            " count."
        ),
        "power": "The exponent of a polynomial ramp; 3 rises fast first and slowly at the end.",
        "points": "Sparsity by position: {4 epochs: 50%, 8 epochs: 80%}.",
    },
    "MatcherShape": {
        "name": (
            "The layer's address (graphprune layers MODEL lists them): text, a list, {glob: ...} or"
            " {regex: ...}."
        ),
        "type": "The class is exactly this, or one of these. Wrappers are looked through.",
        "isa": "The class, or one of its bases, has this name.",
        "config": (
            "Values of the layer's config by dotted key; each is a value to equal, or a test."
        ),
        "params": (
            "How many prunable weights the layer has, biases not counted: a number or a test. 10k,"
            " 1.5M and 2G are numbers."
        ),
        "weight": "Some prunable tensor passes all these tests.",
        "trainable": "Whether the layer is trainable.",
        "wrapped": "Whether the layer is in a pruning wrapper.",
        "produces_output": "Whether an output of the model comes from the layer.",
        "calls": "How often the layer is called; 2 and more means shared.",
        "inside": "Some nested model around the layer matches.",
        "first": "The layer matches, and nothing before it does.",
        "last": "The layer matches, and nothing after it does. Each branch has its own last.",
        "fed_by": "Some direct producer matches.",
        "feeds": "Some direct consumer matches.",
        "after": "Some layer before this one, near or far, matches.",
        "before": "Some layer after this one, near or far, matches.",
        "between": "Strictly after one layer and before another.",
        "all": "All of these matchers hold.",
        "any": "At least one of these matchers holds.",
        "not": "This matcher does not hold.",
        "use": "The selector of this name matches.",
    },
    "NeighbourShape": {
        "every": "true: all of the neighbours match, not only one.",
        "only": "true: there is exactly one neighbour, and it matches.",
    },
    "ReachShape": {
        "hops": "At most this many calls away.",
        "until": "Do not look past a layer that matches this.",
    },
    "BetweenShape": {
        "after": "Where the region begins; the layer itself is outside.",
        "before": "Where the region ends; the layer itself is outside.",
    },
    "NamePatternShape": {
        "glob": (
            "* stands for anything inside one model, ** for anything at all, ? for one character."
        ),
        "regex": "A regular expression (RE2) that matches the whole address.",
    },
    "NumberTestShape": _NUMBER_TESTS,
    "ShareTestShape": _COMPARISONS,
    "ConfigTestShape": {
        **_BOUNDS,
        "in": "One of these.",
        "not": "The value does not pass this.",
        "regex": "The value is text that this regular expression (RE2) matches whole.",
        "exists": "Whether the config has the key at all.",
    },
    "WeightShape": {
        "name": (
            "The tensor's name: kernel, recurrent_kernel, or forward_layer.kernel for one of"
            " several."
        ),
        "rank": "How many axes it has.",
        "in": "Its length along the input axis, whatever the storage order.",
        "out": "Its length along the output axis, whatever the storage order.",
        "kernel": "Its spatial lengths: [3, 3], or one number or test for each of them.",
        "dtype": "Its dtype: float32, float16, ...",
        "sparsity": "Its share of zeros, measured in the file.",
    },
    "CheckShape": {
        "id": "The check's name, unique over all files.",
        "message": "What to say when it fails.",
        "severity": "error (stops the plan) or warn.",
        "count": "How many layers match.",
        "every": "Each layer that matches this must match 'satisfies' too.",
        "satisfies": "What each layer of 'every' must match.",
        "covers": (
            "Every path from the inputs forward, or from the outputs backward, meets a layer that"
            " matches."
        ),
        "result": "How sparse the finished plan makes the layers that match.",
    },
    "CountShape": {"of": "Which layers are counted.", "is": "The number, or a test of it."},
    "CoversShape": {
        "from": "Where the paths begin: inputs or outputs.",
        "by": "What each path must meet.",
    },
    "ResultShape": {
        "of": "Which layers, taken together.",
        "sparsity": "Their share of zeros when the plan is finished.",
    },
    "CustomLayerShape": {
        "prunable": "By weight name, the meaning of each axis: {u: [in, rank], v: [rank, out]}.",
        "weights": (
            "All weights, in the order in which the layer makes them, where files only number them."
        ),
    },
    "CaseFileShape": {
        "version": "The version of the rule language: 1.",
        "rules": (
            "The rule file, or a list of them, as seen from this file's folder; builtin:NAME for"
            " one that ships."
        ),
        "cases": "What the rules should make of which graphs.",
    },
    "CaseShape": {
        "graph": (
            "A graph that `graphprune graph MODEL -o FILE.json` wrote, or a model, as seen from"
            " this file's folder."
        ),
        "rule": "The rule that 'selects' and 'spares' are about. Without it all rules that prune.",
        "selects": "Layers that the rule must decide.",
        "spares": "Layers that the rule must leave to others, or dense.",
        "plan": "snapshot: the whole plan must be the one kept by graphprune test --update.",
        "fails": (
            "Slugs of the diagnostics that are expected, such as rule/no-match. Other errors fail"
            " the case."
        ),
    },
}
