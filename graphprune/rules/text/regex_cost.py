"""Which regular expressions can take for ever: read from the expression, before any text is matched.

The expression becomes a position automaton (Glushkov 1961) whose edges keep their multiplicity. A loop with two ways to read the same text makes a
backtracking matcher exponential; a chain of n loops that can read the same text makes it a power of n (Weber and Seidl 1991, criteria EDA and IDA).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import networkx as nx

MAX_CHAIN = 4
MAX_SIDE_BY_SIDE = 2
MAX_LOOP = 60
MAX_EDGES = 20_000
_COPIES = 8
_OTHER = 1 << 128  # stands for all that is not ASCII
_ALL = (1 << 129) - 1
_CATEGORIES: Mapping[str, Callable[[str], bool]] = {"DIGIT": str.isdigit, "SPACE": str.isspace, "WORD": lambda sign: sign.isalnum() or sign == "_"}

Graph: TypeAlias = "nx.DiGraph[int]"
Ends = tuple[int, list[int], list[int]]  # ways to be empty (2 for more), first positions, last positions


def find_excess(parsed: Any, *, ignores_case: bool) -> str | None:
    """Return why matching a parsed expression (of `re`) may take for ever, or None.

    Example:
        >>> from re import _parser
        >>> find_excess(_parser.parse("(a+)+b"), ignores_case=False)
        'a repeat inside a repeat can read the same text in many ways'
        >>> find_excess(_parser.parse("(block_[0-9]+_)+x"), ignores_case=False)
    """
    automaton = _Automaton(ignores_case)
    try:
        automaton.sequence(parsed)
        return automaton.excess() or next(filter(None, (find_excess(part, ignores_case=ignores_case) for part in automaton.apart)), None)
    except OverflowError as err:
        return str(err)


class _Automaton:
    """Positions of one expression and the steps between them."""

    def __init__(self, ignores_case: bool) -> None:
        self.ignores_case = ignores_case
        self.signs: list[int] = []
        self.steps: Counter[tuple[int, int]] = Counter()
        self.apart: list[Any] = []

    def sequence(self, items: Any) -> Ends:
        whole: Ends = (1, [], [])
        for item in items:
            whole = self.join(whole, self.item(item))
        return whole

    def join(self, left: Ends, right: Ends) -> Ends:
        self.connect(left[2], right[1])
        return min(2, left[0] * right[0]), left[1] + right[1] * left[0], left[2] * right[0] + right[2]

    def connect(self, left: list[int], right: list[int]) -> None:
        if len(left) * len(right) + len(self.steps) > MAX_EDGES:
            raise OverflowError("it is too long")
        for start in left:
            for end in right:
                self.steps[start, end] += 1

    def item(self, item: Any) -> Ends:
        name, value = str(item[0]), item[1]
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self.repeat(*value)
        if name == "SUBPATTERN":
            return self.group(value[1], value[-1])
        if name == "ATOMIC_GROUP":
            return self.sequence(value)
        if name == "BRANCH":
            return self.either([self.sequence(part) for part in value[1]])
        if name == "GROUPREF_EXISTS":
            return self.either([self.sequence(part or ()) for part in value[1:]])
        if name in ("ASSERT", "ASSERT_NOT"):
            self.apart.append(value[1])
        if name in ("ASSERT", "ASSERT_NOT", "AT", "FAILURE"):
            return 1, [], []
        self.signs.append(self.sign(name, value))
        here = [len(self.signs) - 1]
        return 0, here, here

    def group(self, flags: int, body: Any) -> Ends:
        before, self.ignores_case = self.ignores_case, self.ignores_case or bool(flags & re.IGNORECASE)
        ends = self.sequence(body)
        self.ignores_case = before
        return ends

    def either(self, parts: list[Ends]) -> Ends:
        return min(2, sum(part[0] for part in parts)), [at for part in parts for at in part[1]], [at for part in parts for at in part[2]]

    def repeat(self, low: int, high: int, body: Any) -> Ends:
        if high <= _COPIES or (low == high and high <= 64):
            rest: Ends = (1, [], [])
            for index in reversed(range(high)):
                rest = self.join(self.sequence(body), rest)
                rest = rest if index < low else (min(2, rest[0] + 1), *rest[1:])
            return rest
        part = self.sequence(body)
        self.connect(part[2], part[1])
        return min(2, part[0] + (low == 0)), part[1], part[2]

    def sign(self, name: str, value: Any) -> int:
        if name == "LITERAL":
            return self.literal(value, value)
        if name == "NOT_LITERAL":
            return _ALL & ~self.literal(value, value) | _OTHER
        if name != "IN":
            return _ALL
        found = 0
        for kind, part in value:
            if str(kind) == "RANGE":
                found |= self.literal(*part)
            elif str(kind) == "CATEGORY":
                found |= _category(str(part).removeprefix("CATEGORY_"))
            elif str(kind) != "NEGATE":
                found |= self.literal(part, part)
        return _ALL & ~found | _OTHER if str(value[0][0]) == "NEGATE" else found

    def literal(self, low: int, high: int) -> int:
        found = _OTHER if high > 127 else 0
        for code in range(low, min(high, 127) + 1):
            found |= 1 << code
            if self.ignores_case:
                found |= 1 << ord(chr(code).swapcase())
        return found

    def excess(self) -> str | None:
        graph: Graph = nx.DiGraph(list(self.steps))
        loops = [loop for loop in nx.strongly_connected_components(graph) if len(loop) > 1 or graph.has_edge(*list(loop) * 2)]
        if any(self.is_ambiguous(graph.subgraph(loop)) for loop in loops):
            return "a repeat inside a repeat can read the same text in many ways"
        starts = sorted(min(loop) for loop in loops)
        if len(starts) > MAX_LOOP:
            return "it has too many repeats"
        chains: Graph = nx.DiGraph((left, right) for left in starts for right in starts if left != right and self.is_shared(graph, left, right))
        beside: Graph = nx.DiGraph(edge for edge in chains.edges if graph.has_edge(*edge))
        if nx.dag_longest_path_length(chains) >= MAX_CHAIN:
            return f"more than {MAX_CHAIN} repeats can read the same text"
        if nx.dag_longest_path_length(beside) >= MAX_SIDE_BY_SIDE:
            return f"more than {MAX_SIDE_BY_SIDE} repeats side by side can read the same text"
        return None

    def is_ambiguous(self, loop: Graph) -> bool:
        """Return whether two different ways lead from a position back to it over the same text."""
        if any(self.steps[edge] > 1 for edge in loop.edges):
            return True
        if len(loop) > MAX_LOOP:
            raise OverflowError("the part that repeats is too long")
        pairs: nx.DiGraph[tuple[int, int]] = nx.DiGraph()
        for left, left_end in loop.edges:
            for right, right_end in loop.edges:
                if self.signs[left_end] & self.signs[right_end]:
                    pairs.add_edge((left, right), (left_end, right_end))
        parts = nx.strongly_connected_components(pairs)
        return any(any(a == b for a, b in part) and any(a != b for a, b in part) for part in parts)

    def is_shared(self, graph: Graph, left: int, right: int) -> bool:
        """Return whether some text leads from `left` to itself, from `left` to `right`, and from `right` to itself."""
        waiting, seen = [(left, left, right)], set()
        while waiting:
            for step in self.together(graph, waiting.pop()):
                if step == (left, right, right):
                    return True
                if step not in seen:
                    seen.add(step)
                    waiting.append(step)
            if len(seen) > MAX_EDGES:
                raise OverflowError("it is too long")
        return False

    def together(self, graph: Graph, places: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
        for first in graph[places[0]]:
            for second in graph[places[1]]:
                both = self.signs[first] & self.signs[second]
                yield from ((first, second, third) for third in graph[places[2]] if both & self.signs[third])


def _category(name: str) -> int:
    holds = _CATEGORIES.get(name.removeprefix("UNI_").removeprefix("NOT_"))
    if holds is None:
        return _ALL
    wanted = "NOT_" not in name
    return _OTHER | sum(1 << code for code in range(128) if bool(holds(chr(code))) is wanted)
