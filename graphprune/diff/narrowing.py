"""A part of a diff: some layers, and some kinds of change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, get_args

from graphprune.diff.changes import (
    PRUNING_PREFIX,
    Connection,
    GraphDiff,
    LayerDiff,
    Status,
    TensorDiff,
)
from graphprune.errors import GraphError
from graphprune.graph.layer_graph import LayerGraph
from graphprune.suggestions import closest

Kind = Literal["layers", "settings", "connections", "pruning", "sparsity", "values"]
KINDS: tuple[Kind, ...] = get_args(Kind)
READ_FROM_WEIGHTS: frozenset[Kind] = frozenset(("sparsity", "values"))
_STATUSES: Mapping[Status, Kind] = {
    "added": "layers",
    "removed": "layers",
    "renamed": "layers",
    "wrapped": "pruning",
    "unwrapped": "pruning",
}


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a diff to keep.

    Attributes:
        what: The kinds of change; none for all of them.
        only: Patterns of layers' addresses (`block_*`), at least one of which must match; none for
            all layers. An old address counts too.
        exclude: Patterns of addresses to leave out.
    """

    what: Sequence[Kind] = ()
    only: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def __str__(self) -> str:
        parts = [", ".join(self.what) or "all changes"]
        if self.only:
            parts.append(f"of {', '.join(self.only)}")
        if self.exclude:
            parts.append(f"without {', '.join(self.exclude)}")
        return " ".join(parts)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return not (self.what or self.only or self.exclude)

    def has(self, *addresses: str | None) -> bool:
        """Return whether the layer with these addresses is kept; the model itself is none."""
        names = [address for address in addresses if address]
        if any(fnmatchcase(name, pattern) for name in names for pattern in self.exclude):
            return False
        return not self.only or any(
            fnmatchcase(name, pattern) for name in names for pattern in self.only
        )

    def shows(self, kind: Kind) -> bool:
        """Return whether changes of this kind are kept."""
        return not self.what or kind in self.what


def check_patterns(patterns: Sequence[str], *graphs: LayerGraph) -> None:
    """Raise unless each pattern matches the address of a layer.

    Raises:
        GraphError: one matches none; the text has the closest addresses.
    """
    addresses = [address for graph in graphs for address in graph.layers]
    for pattern in patterns:
        if not any(fnmatchcase(address, pattern) for address in addresses):
            near = closest(pattern, addresses, count=3)
            way_out = near or "'graphprune layers MODEL' lists all addresses"
            raise GraphError(
                f"--only {pattern}: neither model has a layer with such an address; {way_out}",
                "layer/unknown",
            )


def narrow_diff(diff: GraphDiff, part: Part) -> GraphDiff:
    """Return a part of `diff`; sizes and zeros of the two models stay those of the whole."""
    if part.is_whole:
        return diff
    layers = (
        _narrow_layer(layer, part)
        for layer in diff.layers
        if part.has(layer.address, layer.previous_address)
    )
    wires = part.shows("connections")
    return replace(
        diff,
        model=diff.model if part.shows("settings") and not part.only else (),
        layers=tuple(layer for layer in layers if layer is not None),
        added=tuple(one for one in diff.added if wires and _touches(one, part)),
        removed=tuple(one for one in diff.removed if wires and _touches(one, part)),
        rewired=tuple(one for one in diff.rewired if wires and part.has(one)),
        part=str(part),
    )


def _touches(connection: Connection, part: Part) -> bool:
    """Return whether a connection leads to or from a layer that is kept."""
    return part.has(connection.source) or part.has(connection.target)


def _narrow_layer(layer: LayerDiff, part: Part) -> LayerDiff | None:
    if layer.paired_by is None:
        return layer if part.shows("layers") else None
    pruning = part.shows("pruning")
    config = tuple(
        change
        for change in layer.config
        if (pruning if change.path.startswith(PRUNING_PREFIX) else part.shows("settings"))
    )
    return replace(
        layer,
        status=tuple(
            status
            for status in layer.status
            if (config if status == "reconfigured" else part.shows(_STATUSES[status]))
        ),
        previous_address=layer.previous_address if part.shows("layers") else None,
        config=config,
        before=layer.before if pruning else None,
        after=layer.after if pruning else None,
        tensors=tuple(
            _narrow_tensor(tensor, part)
            for tensor in layer.tensors
            if part.shows("sparsity") or part.shows("values") or pruning
        ),
    )


def _narrow_tensor(tensor: TensorDiff, part: Part) -> TensorDiff:
    if not part.shows("sparsity"):
        tensor = replace(tensor, zeros_before=None, zeros_after=None, target_met=None)
        if not part.shows("pruning"):
            tensor = replace(tensor, target=None)
    if not part.shows("pruning"):
        tensor = replace(tensor, mask=None)
    return tensor if part.shows("values") else replace(tensor, values=None)
