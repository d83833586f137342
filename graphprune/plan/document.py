"""The JSON document of a plan, key by key.

It is what `plan --format json` writes, `apply --plan` reads and `schema plan` describes.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired

from typing_extensions import TypedDict

from graphprune.documents import Count, Flag, Items, Number, Share, Table, Text
from graphprune.plan.architecture_document import ArchitectureJson
from graphprune.plan.pruning_document import PruningJson
from graphprune.plan.shrink_document import ShrinkJson
from graphprune.rules.values.checks import CheckStatus

FORMAT_VERSION = "1.0"
KIND: Final = "graphprune.plan"


class ToolJson(TypedDict):
    """The program that wrote a document."""

    name: Text
    """Always `graphprune`."""
    version: Text
    """Its version."""


class ModelJson(TypedDict):
    """The model that a plan was made for."""

    path: Text
    """The saved model, as the command named it."""
    graph_sha256: Text
    """The hash of its config as the file has it."""
    architecture_sha256: NotRequired[Text | None]
    """The hash of its layers, their settings filled in by defaults, and their connections; `apply`
    refuses a model where both hashes differ. Missing in plans of earlier versions.
    """
    weights_sha256: Text | None
    """The hash of the weights that the plan depends on; null where it depends on none."""
    layers: Count
    """The number of layers."""
    prunable_weights: Count
    """The number of weights that rules may prune."""
    parameters: Count
    """The number of all weights."""


class RuleFileJson(TypedDict):
    """A rule file."""

    path: Text
    """As the command named it."""
    sha256: Text
    """The hash of its bytes."""


class SwitchesJson(TypedDict):
    """What the command line changed in the rule files."""

    only: Items[Text]
    """Rules of `--only`; all others are off."""
    off: Items[Text]
    """Rules of `--disable`."""
    var: Table[Text]
    """Values of `--var`, by variable."""
    set: Table[Text]
    """Values of `--set`, by key."""


class DriftJson(TypedDict):
    """A pruned tensor that is not as sparse as its wrapper should have made it."""

    address: Text
    """The layer."""
    tensor: Text
    """The weight tensor."""
    rule: Text
    """The id of the rule that had it wrapped."""
    step: Count
    """The optimizer step that the wrapper has reached."""
    target: Share | None
    """The share of zeros asked for at that step; null if only the mask was checked."""
    measured: Share | None
    """The share of zeros in the file; null if only the mask was checked."""
    under_mask: Count
    """Non-zero weights where the mask says zero."""


class RuleJson(TypedDict):
    """The rule that decides for a layer."""

    id: Text
    """Its id."""
    file: Text
    """Its rule file."""
    line: Count | None
    """Its line in the file, from 1."""


class LossJson(TypedDict):
    """A rule that matches a layer and does not decide it."""

    id: Text
    """Its id."""
    lost_to: Text
    """`override`, `keep` or `same settings`."""
    by: NotRequired[Text | None]
    """The id of the rule that it lost to, where that is not the rule that decides."""


class TensorJson(TypedDict):
    """A tensor that is pruned, before and after."""

    name: Text
    """As rules name it."""
    stored_as: NotRequired[Text | None]
    """Its name in the file, where a rule file gave it another."""
    axes: Table[Count]
    """Axis lengths by name; empty where the names are not known."""
    shape: Items[Count]
    """Axis lengths in storage order."""
    size: Count
    """The number of weights."""
    zeros_before: Count | None
    """Zeros in the file; null where weights were not read."""
    zeros_after: Count | None
    """Zeros when the plan is finished; null where it does not prune the tensor."""
    sparsity_before: Share | None
    """The same as a share."""
    sparsity_after: Share | None
    """The same as a share."""
    follows: NotRequired[Flag]
    """True for a tensor that is not prunable and only loses the channels that others lose."""


class SkippedJson(TypedDict):
    """A tensor that stays dense because the pattern does not fit it."""

    tensor: Text
    """The weight tensor."""
    reason: Text
    """Why the pattern does not fit."""


class LayerChangeJson(TypedDict):
    """What happens to a layer with prunable weights, or to one that follows channels of others."""

    address: Text
    """The layer."""
    type: Text
    """Its registered class."""
    calls: Count
    """How often it is used."""
    actions: Items[Text]
    """What is done: one of wrap, unwrap, retarget, keep, unclaimed and noop, or unwrap and wrap."""
    action_reason: Text
    """Why, as a word for scripts."""
    rule: RuleJson | None
    """The rule that decides; null where no rule matches."""
    also_matched: Items[LossJson]
    """The other rules that match."""
    before: PruningJson | None
    """How the layer is pruned in the model; null where it is not."""
    after: PruningJson | None
    """How it is pruned when the plan is carried out; null where it is not."""
    after_unknown: Items[Text]
    """Dotted keys of `after` that are unknown before training, or without the run's length."""
    tensors: Items[TensorJson]
    """Its prunable tensors, and those that follow channels; empty where `after` is null."""
    skipped: NotRequired[Items[SkippedJson] | None]
    """The tensors that stay dense."""
    budget: NotRequired[Text | None]
    """The budget that the rule names, in words."""


class DenseJson(TypedDict):
    """A tensor that a budget leaves dense."""

    address: Text
    """The layer."""
    tensor: Text
    """The weight tensor."""
    size: Count
    """The number of weights."""
    wanted: Number | None
    """The share that ERK would keep if it could, above 1."""


Counts = Literal["weights", "channels", "bytes", "params", "macs"]


class BudgetJson(TypedDict):
    """The result of a budget."""

    name: Text
    """As the rule file names it."""
    sparsity: Share
    """The share of zeros over all its weights."""
    allocate: Text
    """How it is allocated."""
    over: Text
    """Which weights it is a share of."""
    min: Share | None
    """The smallest share of one tensor."""
    max: Share | None
    """The largest share of one tensor."""
    weights: Count
    """How many weights the share refers to."""
    zeros_after: Count
    """How many of them are zero when the plan is finished."""
    sparsity_after: Share | None
    """The same as a share."""
    scale: Number | None
    """`eps` of ERK, the share kept of `uniform`, the threshold of `magnitude`."""
    counts: NotRequired[Counts]
    """What `weights` and `zeros_after` count; `weights` by default."""
    dense: Items[DenseJson]
    """The tensors that stay dense."""


class CheckJson(TypedDict):
    """The result of a check of `require`."""

    id: Text
    """Its id."""
    status: CheckStatus
    """A check that fails stops the plan."""


class WhereJson(TypedDict):
    """A place in a file."""

    file: Text
    """The file."""
    line: Count | None
    """From 1."""
    column: Count | None
    """From 1."""


class RelatedJson(TypedDict):
    """A further place of a diagnostic."""

    where: WhereJson
    """The place."""
    label: Text
    """What is at that place."""


class DiagnosticJson(TypedDict):
    """A warning or a note."""

    slug: Text
    """Its stable name."""
    severity: Literal["error", "warning", "note"]
    """Its severity."""
    message: Text
    """What is wrong."""
    where: WhereJson | None
    """The place that it is about."""
    help: Text | None
    """What to do."""
    related: Items[RelatedJson]
    """Further places."""
    count: NotRequired[Count | None]
    """How many occurrences it counts, if more than 1."""


class SharesJson(TypedDict):
    """The zeros of a finished plan as shares."""

    claimed: Share
    """Of the weights that rules claim."""
    prunable: Share
    """Of the weights that rules may prune."""
    parameters: Share
    """Of all weights."""


class SummaryJson(TypedDict):
    """Layers by what is done with them, and zeros."""

    wrap: Count
    """Layers that become pruned."""
    retarget: Count
    """Pruned layers that keep their mask and step."""
    rewrap: Count
    """Pruned layers whose mask is rebuilt."""
    unwrap: Count
    """Layers that are no longer pruned."""
    keep: Count
    """Layers that a rule keeps dense."""
    unclaimed: Count
    """Layers that no rule matches."""
    noop: Count
    """Layers that are already as planned."""
    zeros_after: Count
    """Zeros when the plan is finished."""
    sparsity_after: SharesJson
    """The same as shares."""


class OutOfReachJson(TypedDict):
    """A layer with weights that no rule can reach."""

    address: Text
    """The layer."""
    reason: Text
    """Why."""


class LayerWeightsJson(TypedDict):
    """The hash of a layer's weights."""

    address: Text
    """The layer."""
    sha256: Text
    """The hash."""


class PlanJson(TypedDict):
    """What rules would change in a model. Readers ignore keys that they do not know."""

    format_version: Text
    """Readers refuse another major version."""
    kind: Literal["graphprune.plan"]
    """What this document is."""
    tool: ToolJson
    """What wrote it."""
    model: ModelJson
    """What the plan was made for."""
    rules: Items[RuleFileJson]
    """The rule files."""
    vars: Table[Any]
    """Values of the rule files' variables."""
    switches: NotRequired[SwitchesJson | None]
    """What the command line changed; plans of early versions do not have it."""
    depends_on_weights: Flag
    """Whether values of weights decided something; `apply` then compares them."""
    drift: Items[DriftJson]
    """Pruned tensors that are not as sparse as they should be."""
    layer_changes: Items[LayerChangeJson]
    """Every layer with prunable weights, in the model's order."""
    budgets: Items[BudgetJson]
    """The result of each budget."""
    checks: Items[CheckJson]
    """The results of the checks."""
    diagnostics: Items[DiagnosticJson]
    """Warnings and notes."""
    summary: SummaryJson
    """Layers by action, and zeros."""
    shrink: NotRequired[ShrinkJson | None]
    """What `shrink` will bring after training; absent where no layer loses whole channels."""
    out_of_reach: NotRequired[Items[OutOfReachJson]]
    """Layers with weights that no rule can reach; absent where there are none."""
    architecture: NotRequired[ArchitectureJson | None]
    """The model layer by layer; plans of earlier versions do not have it."""
    layer_weights: NotRequired[Items[LayerWeightsJson] | None]
    """Hashes of the layers whose weights the plan depends on; absent where it depends on none."""
