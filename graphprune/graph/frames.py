"""A model's skeleton: its layers by name, how they are called, and the rest of its config."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.archive.calls import CONSTANT
from graphprune.archive.entries import PLACEMENT, Entry, is_input, is_model, name_of
from graphprune.errors import GraphError
from graphprune.graph.layers import SEPARATOR, name_call

MAX_NAME = 1000
MAX_TENSORS = 100_000
"""Outputs of one call of a layer."""


@dataclass(frozen=True, slots=True)
class Use:
    """One tensor that a call takes: the call that made it, and the argument it is for."""

    source: str
    source_call: int
    source_tensor: int
    argument: str = "0"


@dataclass(frozen=True, slots=True)
class Member:
    """One layer's place in a model.

    Attributes:
        name: The layer's own name.
        placement: Its raw `name` and `inbound_nodes`, where the config has them.
        calls: What each of its calls takes; one call without uses for an input.
    """

    name: str
    placement: Mapping[str, Any]
    calls: tuple[tuple[Use, ...], ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """A model without its layers.

    Attributes:
        address: Address as a nested model; empty at top level.
        entry: The model's raw entry; its config has no `layers`.
        members: Its layers in the order of `model.layers`.
        inputs, outputs: The tensors that it takes and gives, in the order of `tf.nest.flatten`.
    """

    address: str
    entry: Entry
    members: tuple[Member, ...]
    inputs: tuple[Use, ...]
    outputs: tuple[Use, ...]

    def address_of(self, name: str) -> str:
        """Return the address of the member `name`."""
        return f"{self.address}{SEPARATOR}{name}" if self.address else name


def frame_from_entry(address: str, entry: Entry, place: str) -> Frame:
    """Return the skeleton of the model that `entry` describes; `place` begins error texts.

    Raises:
        GraphError: the config is damaged: no or double names, tensors of layers or calls that do
            not exist.
    """
    config = entry["config"]
    raw = config["layers"]
    names = _names(raw, place)
    known = dict(zip(names, raw, strict=True))
    if "input_layers" in config:
        first = {name: _first_node(own) for name, own in known.items()}
        members = tuple(_functional_member(name, known[name], first, place) for name in names)
        inputs = tuple(_uses(config["input_layers"], first, place, "the model's inputs take"))
        outputs = tuple(
            _uses(config.get("output_layers"), first, place, "the model's outputs take")
        )
    else:
        members, inputs, outputs = _sequential_members(names, known)
    rest = {key: value for key, value in entry.items() if key not in PLACEMENT}
    rest["config"] = {key: value for key, value in config.items() if key != "layers"}
    frame = Frame(address, rest, members, inputs, outputs)
    _check_calls(frame, known, place)
    return frame


def _names(raw: list[Any], place: str) -> list[str]:
    names: list[str] = []
    for position, entry in enumerate(raw):
        try:
            names.append(name_of(entry))
            type_known = isinstance(entry["class_name"], str) and isinstance(
                entry["config"], Mapping
            )
        except (KeyError, TypeError, AttributeError):
            type_known = False
        if not type_known:
            raise GraphError(
                f"entry {position} of the model's layers is not a layer (class_name,"
                f" config and a name), got {str(entry)[:60]!r}; save the model again",
                place=place,
            )
        fault = _name_fault(names[-1])
        if fault is not None:
            raise GraphError(
                f"the name of entry {position} of the model's layers {fault}, got"
                f" {names[-1][:60]!r}; rename it and save the model again",
                place=place,
            )
    if len(set(names)) < len(names):
        double = Counter(names).most_common(1)[0][0]
        raise GraphError(
            f"two layers have the name {double!r}; give each layer its own name and save"
            " the model again",
            place=place,
        )
    return names


def _name_fault(name: str) -> str | None:
    """Return what is wrong with a layer's name; None where it is usable.

    Keras gives no empty name; very long names and half characters fit no file and no page.
    """
    if not name:
        return "is empty"
    if len(name) > MAX_NAME:
        return f"has {len(name):,} characters, more than {MAX_NAME:,}"
    return "is not valid text" if any("\ud800" <= char <= "\udfff" for char in name) else None


def _functional_member(name: str, entry: Entry, first: Mapping[str, int], place: str) -> Member:
    placement = {key: entry[key] for key in PLACEMENT if key in entry}
    nodes = placement.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        raise GraphError(
            f"the inbound nodes of layer {name!r} are not a list, got {str(nodes)[:60]!r};"
            " save the model again",
            place=place,
        )
    taker = f"layer {name!r} takes"
    calls = tuple(tuple(_uses(node, first, place, taker)) for node in nodes)
    return Member(name, placement, calls or ((),))


def _sequential_members(
    names: list[str], known: Mapping[str, Entry]
) -> tuple[tuple[Member, ...], tuple[Use, ...], tuple[Use, ...]]:
    members = []
    before: tuple[Use, ...] = ()
    for name in names:
        placement = {key: known[name][key] for key in PLACEMENT if key in known[name]}
        members.append(Member(name, placement, (before,)))
        before = (Use(name, 0, 0),)
    starts = bool(names) and is_input(known[names[0]])
    return tuple(members), (Use(names[0], 0, 0),) if starts else (), before


def _uses(
    node: Any, first: Mapping[str, int], place: str, taker: str, argument: str = "0"
) -> Iterator[Use]:
    """Yield the tensors in one inbound node, in the order of `tf.nest.flatten`, keywords last.

    `first` is each layer's first node.

    A node is a tensor reference `[layer, node index, tensor index]`, perhaps with keywords as
    fourth item, or a list or dict of nodes. Keyword arguments are repeated on each reference of a
    call; they are yielded once.
    """
    keywords: Mapping[str, Any] = {}
    for path, reference in _references(node, ""):
        if len(reference) == 4 and not keywords and isinstance(reference[3], Mapping):
            keywords = reference[3]
        if reference[0] != CONSTANT:
            yield _use(reference, path or argument, first, place, taker)
    for keyword, value in keywords.items():
        for path, reference in _references(value, ""):
            if reference[0] in first:
                yield _use(reference, f"{keyword}.{path}" if path else keyword, first, place, taker)


def constants_of(node: Any) -> Iterator[Any]:
    """Yield the positional arguments in one inbound node that are not tensors, in order."""
    return (reference[2] for _, reference in _references(node, "") if reference[0] == CONSTANT)


def _references(node: Any, path: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield each tensor reference in `node` with its place (`0`, `query`, `pair.1`).

    Dicts are walked by sorted key, as `tf.nest.flatten` does.
    """
    if _is_reference(node):
        yield path, node
    elif isinstance(node, list | tuple):
        for index, item in enumerate(node):
            yield from _references(item, f"{path}.{index}" if path else str(index))
    elif isinstance(node, Mapping):
        for key in sorted(node, key=str):
            yield from _references(node[key], f"{path}.{key}" if path else str(key))


def _is_reference(node: Any) -> bool:
    """Return whether Keras takes this for a reference to a tensor.

    See `convert_inner_node_data`, tf_keras/src/utils/tf_utils.py.
    """
    return isinstance(node, list | tuple) and len(node) in (3, 4) and isinstance(node[0], str)


def _use(
    reference: list[Any], argument: str, first: Mapping[str, int], place: str, taker: str
) -> Use:
    source, index, tensor = reference[:3]
    if source not in first:
        raise GraphError(
            f"{taker} a tensor of {source[:60]!r}, which is no layer of the model; save"
            " the model again",
            place=place,
        )
    if type(index) is not int or type(tensor) is not int:
        raise GraphError(
            f"{taker} a tensor of {source!r} by an index that is not an integer, got"
            f" {str(reference[1:3])[:60]}; save the model again",
            place=place,
        )
    return Use(source, index - first[source], tensor, argument)


def _first_node(entry: Entry) -> int:
    """Return the node index of a layer's first call: 1 for a model that has its own inputs.

    See `_should_skip_first_node`, tf_keras/src/engine/functional.py.
    """
    layers = entry["config"]["layers"] if is_model(entry) else ()
    return (
        1
        if layers and isinstance(layers[0], Mapping) and layers[0].get("class_name") == "InputLayer"
        else 0
    )


def _check_calls(frame: Frame, known: Mapping[str, Entry], place: str) -> None:
    calls = {member.name: len(member.calls) for member in frame.members}
    gives = {name: _most_tensors(entry) for name, entry in known.items()}
    takers = [
        (f"layer {member.name!r} takes", use)
        for member in frame.members
        for call in member.calls
        for use in call
    ]
    takers += [("the model's inputs take", use) for use in frame.inputs] + [
        ("the model's outputs take", use) for use in frame.outputs
    ]
    for taker, use in takers:
        if not 0 <= use.source_call < calls[use.source]:
            has = f"which has {_count(calls[use.source], 'call')}"
            raise GraphError(
                f"{taker} a tensor of {name_call(use.source_call)} of {use.source!r},"
                f" {has}; save the model again",
                place=place,
            )
        if not 0 <= use.source_tensor < gives[use.source]:
            has = f"which gives at most {_count(gives[use.source], 'tensor')} (counted from 0)"
            raise GraphError(
                f"{taker} tensor {use.source_tensor} of {use.source!r}, {has}; save the"
                " model again",
                place=place,
            )


def _most_tensors(entry: Entry) -> int:
    """Return how many tensors one call of a layer may give, as far as its entry tells."""
    if is_input(entry):
        return 1
    config = entry["config"]
    return (
        sum(1 for _ in _references(config["output_layers"], ""))
        if is_model(entry) and "output_layers" in config
        else MAX_TENSORS
    )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
