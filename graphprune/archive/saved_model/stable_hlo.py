"""The operations of a StableHLO module, which Keras 3 exports on JAX, in the order of their call.

See https://openxla.org/stablehlo/spec.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from graphprune.archive.saved_model.graph_def import Lengths
from graphprune.archive.saved_model.operation import MAX_CALLS, MAX_OPERATIONS
from graphprune.archive.saved_model.protobuf import WireError
from graphprune.child_process import child_command, child_environment

_SECONDS = 60
_PREFIX = "stablehlo."
_SAME = frozenset(("optimization_barrier",))
"""Operations that give what they take."""
_SCOPE = re.compile(r"\w+\(.*\)")
"""A part of a name that JAX puts around what a function of its own computes."""
_PROCESS = "graphprune.stable_hlo_process"
NOT_INSTALLED = "to read it, install JAX: pip install 'graphprune[jax]'"


class UnreadModuleError(Exception):
    """A module cannot be read here; its text says why."""


@dataclass(frozen=True, slots=True)
class HloOperation:
    """An operation with one result, or with several that count as one.

    Attributes:
        kind: Its name without that of the dialect.
        name: The names of the layers that it is in, and its own.
        inputs, outputs: Values, by their numbers.
        settings: Its attributes.
        blocks: What it calls, such as the body of a loop.
    """

    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    settings: Mapping[str, Any]
    blocks: tuple[HloBlock, ...] = ()

    @property
    def layer(self) -> str:
        """The names of the layers that it is in."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class HloBlock:
    """Operations, each behind those that it needs.

    Attributes:
        inputs, outputs: What it takes and gives, by their numbers.
        operations: The operations.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operations: Sequence[HloOperation]


@dataclass(frozen=True, slots=True)
class HloValue:
    """A tensor: the text of its type, as in `f32`, and its shape; None for what is no tensor."""

    dtype: str
    shape: Lengths | None


@dataclass(frozen=True, slots=True)
class HloModule:
    """The main function of a module, with the functions that it calls in it.

    Attributes:
        main: The function.
        values: The tensors of all blocks, by their numbers.
    """

    main: HloBlock
    values: Mapping[int, HloValue]


def read_module(module: memoryview) -> HloModule:
    """Return the main function of a module; a process of its own parses it.

    Raises:
        UnreadModuleError: JAX is not installed, or its version does not read the module.
        WireError: functions are missing or call each other too often.
    """
    functions = parse(bytes(module))
    try:
        return _Inlining(functions).module("main")
    except WireError:  # a ValueError as well
        raise
    except KeyError as fault:
        raise WireError(f"its StableHLO has no {fault}") from fault
    except (TypeError, ValueError) as fault:
        raise WireError("a call in its StableHLO has wrong tensors") from fault


@contextmanager
def wrong_tensors_named(operation: HloOperation) -> Iterator[None]:
    """Raise a WireError that names an operation whose tensors or settings cannot be right."""
    try:
        yield
    except WireError:  # of an operation in a body
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as fault:
        raise WireError(f"{operation.kind} of its StableHLO has wrong tensors") from fault


def parse(module: bytes) -> Mapping[str, Any]:
    """Return the functions of a module by name, as `graphprune.stable_hlo_process` tells them.

    Raises:
        UnreadModuleError: JAX is not installed, or its version does not read the module.
    """
    if find_spec("jax") is None:
        raise UnreadModuleError(NOT_INSTALLED)
    try:
        done = subprocess.run(
            child_command(_PROCESS),
            input=module,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
            env=child_environment(),
        )
        functions: Mapping[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise UnreadModuleError(f"JAX did not read it in {_SECONDS} s") from None
    except (subprocess.CalledProcessError, ValueError):
        raise UnreadModuleError("the installed version of JAX does not read it") from None
    return functions


@dataclass
class _Inlining:
    functions: Mapping[str, Any]
    values: dict[int, HloValue] = field(default_factory=dict)
    count: int = 0

    def module(self, name: str) -> HloModule:
        main = self.functions[name]
        known: dict[int, int] = {}
        inputs = tuple(self._value(known, told) for told in main["inputs"])
        operations: list[HloOperation] = []
        outputs = self._add(main, known, operations, "", 0)
        return HloModule(HloBlock(inputs, outputs, operations), self.values)

    def _value(self, known: MutableMapping[int, int], told: Sequence[Any]) -> int:
        number, dtype, shape = told
        made = len(self.values)
        self.values[made] = HloValue(dtype, None if shape is None else tuple(shape))
        known[number] = made
        return made

    def _add(
        self,
        block: Mapping[str, Any],
        known: MutableMapping[int, int],
        operations: list[HloOperation],
        prefix: str,
        depth: int,
    ) -> tuple[int, ...]:
        """Add the operations of a block, whose inputs are known, and return its outputs."""
        if depth > MAX_CALLS:
            raise WireError("functions call each other too often")
        for one in block["operations"]:
            self.count += 1
            if self.count > MAX_OPERATIONS:
                raise WireError(f"it has more than {MAX_OPERATIONS:,} operations")
            taken = tuple(known[index] for index in one["inputs"])
            numbers = [told[0] for told in one["outputs"]]
            name = _named(one["place"], prefix)
            called = one["settings"].get("callee", one["settings"].get("decomposition"))
            if called is not None:
                function = self.functions[called]
                given = dict(zip((told[0] for told in function["inputs"]), taken, strict=True))
                made = self._add(function, given, operations, name, depth + 1)
                known.update(zip(numbers, made, strict=True))
            elif one["kind"].removeprefix(_PREFIX) in _SAME:
                known.update(zip(numbers, taken, strict=True))
            else:
                outputs = tuple(self._value(known, told) for told in one["outputs"])
                blocks = tuple(self._block(each, known, name, depth) for each in one["blocks"])
                kind = one["kind"].removeprefix(_PREFIX)
                operations.append(HloOperation(kind, name, taken, outputs, one["settings"], blocks))
        return tuple(known[index] for index in block["outputs"])

    def _block(
        self, block: Mapping[str, Any], known: MutableMapping[int, int], prefix: str, depth: int
    ) -> HloBlock:
        inside = ChainMap({}, known)
        inputs = tuple(self._value(inside, told) for told in block["inputs"])
        operations: list[HloOperation] = []
        outputs = self._add(block, inside, operations, prefix.rpartition("/")[0], depth + 1)
        return HloBlock(inputs, outputs, operations)


def _named(place: str, prefix: str) -> str:
    """Return the name of an operation, without JAX's own functions.

    Example:
        >>> _named("jit(stateless_fn)/net/dense/jit(relu)/max", "")
        'net/dense/max'
        >>> _named("max", "net/block/fc")
        'net/block/fc/max'
    """
    parts = [part for part in place.split("/") if part and not _SCOPE.fullmatch(part)]
    return "/".join([prefix, *parts[-1:]]) if prefix else "/".join(parts)
