"""Which channels a plan zeroes together, in which tensors of which layers.

A rule with the pattern `{channel: out}` makes channels dead: besides the kernel, the bias and the
batch normalization behind it lose them. With `group: auto` all layers lose a channel that can be
removed only together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.plan.fitting import SHOWN, Fitted
from graphprune.rules.resolving.conflicts import list_layers
from graphprune.rules.values.rule_set import Claim, Prune, Rule
from graphprune.shrink.axes import Axis, ChannelAxes, find_channel_axes
from graphprune.shrink.channels import ChannelGroup, GroupMember
from graphprune.shrink.findings import Place
from graphprune.sparsity.channel_groups import Coupling, Score, couplings_at
from graphprune.sparsity.patterns import Channel
from graphprune.sparsity.pruning import Pruning


@dataclass(frozen=True, slots=True)
class LayerChannels:
    """What one layer loses with the channels of groups.

    Attributes:
        layer: The layer.
        rule: The rule that prunes the layers that lead the groups.
        couplings: How its tensors take part.
        leads: The layer and the tensor whose target each group has, by group.
    """

    layer: Layer
    rule: Rule
    couplings: tuple[Coupling, ...]
    leads: Mapping[str, tuple[str, str]]

    def complete(
        self,
        alone: Pruning | None,
        shares: Mapping[tuple[str, str], float],
        groups: Mapping[str, float],
    ) -> Pruning | None:
        """Return how the layer is pruned, given how its rule alone prunes it.

        Args:
            alone: How its rule prunes it; None where no rule does, or its budget leaves it dense.
            shares: The share of zeros of each tensor of a budget, by (address, tensor name); groups
                whose leading tensor stays dense are left out.
            groups: The share of each group of channels of a budget, by its name.
        """
        action = self.rule.action
        assert isinstance(action, Prune), f"{self.rule.id} keeps"
        target = {
            group: groups.get(group, shares.get(lead, action.sparsity))
            for group, lead in self.leads.items()
        }
        couplings = tuple(
            replace(one, share=groups.get(one.group))
            for one in self.couplings
            if target[one.group] > 0
        )
        if not couplings:
            return alone
        share_of = {} if alone is None else {name: alone.share_of(name) for name in alone.weights}
        share_of |= {
            name: min(target[one.group] for one in couplings if one.weight == name)
            for name in {one.weight for one in couplings}
        }
        tensors = [tensor for tensor in self.layer.tensors if tensor.name in share_of]
        return Pruning(
            sparsity=action.sparsity if alone is None else alone.sparsity,
            schedule=action.schedule,
            weights=tuple(tensor.name for tensor in tensors),
            pattern=action.pattern,
            pads=False if alone is None else alone.pads,
            shares=(
                None
                if action.budget is None
                else tuple(share_of[tensor.name] for tensor in tensors)
            ),
            axes=tuple(tensor.axes for tensor in tensors),
            group=action.group,
            couplings=couplings,
        )


@dataclass(frozen=True, slots=True)
class Channels:
    """The outcome for all layers.

    Attributes:
        layers: What each layer loses, by address, in graph order.
        faults: Errors: groups whose layers have different settings.
        warnings: Channels that are zeroed and cannot be removed from the model.
        staying: The names of groups whose channels cannot be removed.
        made: How many channels the prunable tensors of the model make.
    """

    layers: Mapping[str, LayerChannels] = field(default_factory=dict)
    faults: tuple[Diagnostic, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    staying: frozenset[str] = frozenset()
    made: int = 0


def couple_channels(
    graph: LayerGraph, claims: Iterable[Claim], fitted: Mapping[str, Fitted]
) -> Channels:
    """Return which tensors lose channels together.

    Args:
        graph: The model.
        claims: The rule of each candidate.
        fitted: What rules prune, by address, in graph order.
    """
    rules = {claim.address: claim.rule for claim in claims if claim.rule is not None}
    if not any(isinstance(found.action.pattern, Channel) for found in fitted.values()):
        return Channels()
    coupling = _Coupling(graph, rules, fitted, find_channel_axes(graph))
    for address, found in fitted.items():
        if isinstance(found.action.pattern, Channel):
            coupling.add(address, found.action.pattern.axis)
    return coupling.result()


@dataclass(frozen=True, slots=True)
class _Coupling:
    """The groups of a plan in the making.

    Attributes:
        graph, rules, fitted: As `couple_channels` takes them; `rules` by address.
        axes: Where channels are in the model.
        made: The couplings of each layer by group, by address.
        alone: Layers that rules prune by themselves and that can only lose channels together.
        unknown: The numbers of channels of weights of which no more is known.
    """

    graph: LayerGraph
    rules: Mapping[str, Rule]
    fitted: Mapping[str, Fitted]
    axes: ChannelAxes
    made: dict[str, dict[str, list[Coupling]]] = field(default_factory=dict)
    alone: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    faults: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    staying: set[str] = field(default_factory=set)
    unknown: list[int] = field(default_factory=list)

    def add(self, address: str, name: str) -> None:
        """Add the groups that the layer at `address` leads along its axes called `name`."""
        places = [
            (address, tensor.name, tensor.axes.index(name))
            for tensor in self.fitted[address].tensors
        ]
        own = [self.axes.axes[place] for place in places if place in self.axes.axes]
        if not own:
            self._by_table(address, name)
        elif self.fitted[address].action.group == "auto":
            self._together(address, name, own)
        else:
            self._by_itself(address, name, own)

    def _by_table(self, address: str, name: str) -> None:
        """Add the channels of one weight, and the bias along its axis, where no more is known."""
        tensors = self.fitted[address].tensors
        if len(tensors) != 1:
            return
        lead = tensors[0]
        count = lead.shape[lead.axes.index(name)]
        places = {index: [index] for index in range(count)}
        self.unknown.append(count)
        for tensor in self.graph.layers[address].tensors:
            is_along = tensor is lead or not tensor.prunable
            axis = tensor.axes.index(name) if is_along and name in tensor.axes else -1
            if axis >= 0 and tensor.shape[axis] == count:
                score: Score = "mean" if tensor is lead else "none"
                place = (address, tensor.name, axis)
                self._put(_group(address, name, 1), place, count, score, places)

    def _by_itself(self, address: str, name: str, own: Sequence[Axis]) -> None:
        """Add the channels of one layer: its tensors, and batch normalization behind it alone."""
        sharing = [axis for axis in self.axes.sharing(own) if axis not in own]
        followers = [
            axis for axis in sharing if axis.address == address or self._follows(axis, address, own)
        ]
        for led, axes in enumerate(_split_by_labels(own), 1):
            score: Score = "mean" if len(axes) == 1 else "norm"
            number: dict[int, int] = {}
            for axis in axes:
                for label in axis.labels.tolist():
                    number.setdefault(label, len(number))
            for axis in (*axes, *followers):
                places: dict[int, list[int]] = {}
                for place, label in enumerate(axis.labels.tolist()):
                    if label in number:
                        places.setdefault(number[label], []).append(place)
                told = score if axis in axes else "none"
                self._put(_group(address, name, led), axis.place, len(number), told, places)
        others = {axis.address for axis in sharing if self._makes(axis.address)} - {address}
        if others:
            members = tuple(at for at in self.graph.layers if at in others | {address})
            groups = self.alone.setdefault(self.rules[address].id, [])
            if members not in groups:
                groups.append(members)

    def _follows(self, axis: Axis, address: str, own: Sequence[Axis]) -> bool:
        """Return whether the channels of a batch normalization come from one layer alone."""
        if self._makes(axis.address):
            return False
        sharing = {other.address for other in self.axes.sharing(own)}
        return self._makers_before(axis.address) & (sharing | {""}) == {address}

    def _makers_before(self, address: str) -> set[str]:
        """Return the nearest layers upstream that make channels."""
        flow = self.graph.flow
        waiting = [(address, index) for index in range(self.graph.layers[address].calls)]
        seen, found = set(waiting), set()
        while waiting:
            call = waiting.pop()
            for before in flow.predecessors(call) if call in flow else ():
                if self._makes(before[0]):
                    found.add(before[0])
                elif before not in seen:
                    seen.add(before)
                    waiting.append(before)
        return found

    def _makes(self, address: str) -> bool:
        """Return whether a layer has prunable weights that must be zero for dead channels."""
        return any(
            axis.is_zeroed
            for tensor in self.graph.layers[address].prunable
            for index in range(len(tensor.shape))
            if (axis := self.axes.axes.get((address, tensor.name, index))) is not None
        )

    def _together(self, address: str, name: str, own: Sequence[Axis]) -> None:
        """Add the groups of channels that all layers can lose only together."""
        mine = {axis.place for axis in own}
        led = 0
        for group in self.axes.groups:
            members = [
                member
                for member in group.members
                if member.is_zeroed or (member.address, member.tensor, member.axis) in mine
            ]
            found = {(member.address, member.tensor, member.axis) for member in members}
            if mine.isdisjoint(found) or self._is_done(found & mine, members):
                continue
            if self._refuse(address, members):
                return
            led += 1
            for member in members:
                place = (member.address, member.tensor, member.axis)
                places = dict(enumerate(member.positions.tolist()))
                called = _group(address, name, led)
                self._put(called, place, group.size, _score(member.tensor), places)
            if group.kept or group.filled:
                self.staying.add(_group(address, name, led))
            self._warn_of_staying(address, group)

    def _is_done(self, mine: set[Place], members: Sequence[GroupMember]) -> bool:
        """Return whether another layer leads the group already."""
        member = next(one for one in members if (one.address, one.tensor, one.axis) in mine)
        place = int(member.positions[0][0])
        return any(
            coupling.weight == member.tensor
            and coupling.axis == member.axis
            and place in coupling.places
            for couplings in self.made.get(member.address, {}).values()
            for coupling in couplings
        )

    def _refuse(self, address: str, members: Sequence[GroupMember]) -> bool:
        """Note a fault if a member of a group is to stay dense or is pruned in another way."""
        action = self.fitted[address].action
        others = {
            member.address: rule
            for member in members
            if (rule := self.rules.get(member.address)) is not None
            and not (isinstance(rule.action, Prune) and _settings(rule.action) == _settings(action))
        }
        if others:
            decided = ", ".join(dict.fromkeys(rule.id for rule in others.values()))
            message = (
                f"layer {address!r} and {list_layers(list(others))} can only lose channels"
                f" together, and rule {decided} decides otherwise"
            )
            help = (
                f"let rule {self.rules[address].id} match all of them or none, or write 'group:"
                " none' to prune each layer by itself"
            )
            place = action.pattern_where or self.rules[address].where
            self.faults.append(Diagnostic("channel/coupled", message, place, help))
        return bool(others)

    def _put(
        self,
        group: str,
        place: Place,
        channels: int,
        score: Score,
        places: Mapping[int, Sequence[int]],
    ) -> None:
        """Let a tensor take part in a group along one axis, with these places of channels."""
        address, weight, axis = place
        if places:
            lead = Coupling(group, weight, axis, channels, score)
            groups = self.made.setdefault(address, {})
            groups.setdefault(group, []).extend(couplings_at(lead, places))

    def _warn_of_staying(self, address: str, group: ChannelGroup) -> None:
        """Warn if the channels of a group cannot be removed from the model."""
        for reason in (*group.kept, *group.filled)[:1]:
            message = f"channels of layer {address!r} become zero and cannot be removed: {reason}"
            help = "keep the layer dense; its zeros would not make the model smaller"
            place = self.fitted[address].action.pattern_where or self.rules[address].where
            found = Diagnostic("channel/stays", message, place, help, severity="warning")
            if found not in self.warnings:
                self.warnings.append(found)

    def result(self) -> Channels:
        """Return what was found, layers in graph order."""
        layers = {}
        for address, layer in self.graph.layers.items():
            couplings = tuple(one for found in self.made.get(address, {}).values() for one in found)
            if couplings:
                rule = self.rules[couplings[0].leader]
                leads = {one.group: self._lead(one.group) for one in couplings}
                layers[address] = LayerChannels(layer, rule, couplings, leads)
        warnings = *self.warnings, *self._told_alone()
        made = self.axes.count_made(
            {(at, one.name) for at, layer in self.graph.layers.items() for one in layer.prunable}
        ) + sum(self.unknown)
        return Channels(layers, tuple(self.faults), warnings, frozenset(self.staying), made)

    def _lead(self, group: str) -> tuple[str, str]:
        """Return the layer and the tensor that lead a group."""
        address = group.rpartition("/")[0]
        return address, self.made[address][group][0].weight

    def _told_alone(self) -> Iterator[Diagnostic]:
        """Yield one warning a rule that prunes coupled layers by themselves."""
        by_id = {rule.id: rule for rule in self.rules.values()}
        for id, groups in self.alone.items():
            rule = by_id[id]
            assert isinstance(rule.action, Prune)
            named = [list_layers(members).removeprefix("layers ") for members in groups[:SHOWN]]
            more = len(groups) - SHOWN
            listed = "; ".join(named) + (f"; and {more} more groups" if more > 0 else "")
            message = (
                f"rule {id!r} zeroes channels of each layer by itself, and these layers can only"
                f" lose channels together: {listed}"
            )
            help = "write 'group: auto' beside the pattern, so that they lose the same channels"
            place = rule.action.pattern_where or rule.where
            yield Diagnostic("channel/coupled", message, place, help, severity="warning")


def _group(address: str, name: str, led: int) -> str:
    """Return the name of the group that a layer leads along its axes `name`, numbered from 1."""
    return f"{address}/{name}" + (f".{led}" if led > 1 else "")


def _split_by_labels(axes: Sequence[Axis]) -> list[list[Axis]]:
    """Return the axes in parts that have no channel in common, as both sides of a Bidirectional."""
    parts: list[tuple[set[int], list[Axis]]] = []
    for axis in axes:
        labels, together = set(axis.labels.tolist()), [axis]
        apart = []
        for known, others in parts:
            if known & labels:
                labels, together = known | labels, [*others, *together]
            else:
                apart.append((known, others))
        parts = [*apart, (labels, together)]
    return [together for _, together in parts]


def _score(weight: str) -> Score:
    """Return what a tensor adds to the score of a group; moving statistics add nothing."""
    return "none" if weight.rpartition(".")[2] == "moving_mean" else "norm"


def _settings(action: Prune) -> tuple[object, ...]:
    """Return what must be equal in actions of layers that lose channels together."""
    schedule = replace(action.schedule, name=None)
    return action.sparsity, action.budget, schedule, action.pattern, action.group
