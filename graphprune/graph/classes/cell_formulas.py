"""What the cells of recurrent layers compute, as formulas in one form.

A formula is a sum of products, multiplied out: however a converter arranges the operators of a
cell, the same cell has the same text. Biases and other constants that are added to what an
activation takes are left out, since converters join them.

    h = (1 - z) * candidate + z * h     is     candidate - candidate * z + h * z
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate
from typing import Any

from graphprune.graph.classes.activation_steps import CLIP, clipped
from graphprune.graph.classes.lengths import Config

_MOST_TERMS, _LONGEST, _DEEPEST = 50, 4000, 30
"""Terms, characters and nested brackets of a formula; those of cells of Keras have 5, 500 and 4."""


class FormulaError(ValueError):
    """Operators that are not a cell whose formula can be written."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A factor of a term.

    Attributes:
        text: What it is: `x`, what is read; `h` and `c`, the state; a product or an activation.
        of: What a product or an activation takes; None for others.
        function: The activation.
        span: Of a product with a matrix: first column, column behind the last, and columns.
    """

    text: str
    of: Formula | None = field(default=None, compare=False)
    function: str = field(default="", compare=False)
    span: tuple[int, int, int] = field(default=(0, 0, 0), compare=False)


Term = tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class Formula:
    """A sum of products of symbols.

    Attributes:
        terms: The factor of each product; that of no symbol is a constant.
        text: The formula in one form.
    """

    terms: Mapping[Term, float] = field(compare=False)
    text: str


def formula(terms: Mapping[Term, float]) -> Formula:
    """Return the sum of these terms.

    Raises:
        FormulaError: it is too long.
    """
    kept = {term: factor for term, factor in terms.items() if abs(factor) > 1e-6}
    text = " + ".join(sorted(_written(term, factor) for term, factor in kept.items())) or "0"
    if len(kept) > _MOST_TERMS or len(text) > _LONGEST or _depth(text) > _DEEPEST:
        raise FormulaError("a formula is too long")
    return Formula(kept, text)


def _depth(text: str) -> int:
    """Return how many brackets are open at most."""
    return max(accumulate((each == "(") - (each == ")") for each in text), default=0)


def _written(term: Term, factor: float) -> str:
    """Return a term; its factor, which files store in few bits, has two digits."""
    parts = [symbol.text for symbol in term]
    number = f"{factor:.2g}"
    return " ".join(parts if parts and number == "1" else [number, *parts])


def constant(value: float) -> Formula:
    """Return a number as a formula."""
    return formula({(): value})


def symbol(name: str) -> Formula:
    """Return a formula that is one symbol."""
    return formula({(Symbol(name),): 1.0})


def added(*formulas: Formula) -> Formula:
    """Return the sum of formulas.

    Example:
        >>> added(symbol("h"), symbol("x"), symbol("h")).text
        '2 h + x'
    """
    total: Counter[Term] = Counter()
    for each in formulas:
        for term, factor in each.terms.items():
            total[term] += factor  # type: ignore[assignment]
    return formula(total)


def multiplied(*formulas: Formula) -> Formula:
    """Return the product of formulas, multiplied out.

    Example:
        >>> less = added(constant(1), multiplied(constant(-1), symbol("z")))
        >>> multiplied(less, symbol("h")).text
        '-1 h z + h'
    """
    return reduce(_product, formulas)


def _product(left: Formula, right: Formula) -> Formula:
    if len(left.terms) * len(right.terms) > _MOST_TERMS:
        raise FormulaError("a formula is too long")
    total: Counter[Term] = Counter()
    for first, factor in left.terms.items():
        for second, other in right.terms.items():
            term = tuple(sorted((*first, *second), key=lambda each: each.text))
            total[term] += factor * other  # type: ignore[assignment]
    return formula(total)


def applied(function: str, of: Formula) -> Formula:
    """Return an activation of a formula, whose constant does not count.

    A ReLU of a minimum is a clip.

    Example:
        >>> applied("tanh", added(symbol("x"), constant(0.5))).text
        'tanh(x)'
    """
    inner = formula({term: factor for term, factor in of.terms.items() if term})
    below = _minimum_in(inner) if function == "relu" else None
    if below is not None and below.of is not None:
        return applied(f"{CLIP} 0 {below.function.removeprefix(_MINIMUM)}", below.of)
    text = f"{function.replace(' ', '_')}({inner.text})"
    return formula({(Symbol(text, inner, function),): 1.0})


_MINIMUM = "minimum "


def _minimum_in(of: Formula) -> Symbol | None:
    """Return the symbol of a formula that is a minimum and nothing else."""
    symbols = [each for term in of.terms for each in term]
    is_plain = len(symbols) == 1 and symbols[0].text == of.text
    return symbols[0] if is_plain and symbols[0].function.startswith(_MINIMUM) else None


def product(of: Formula, start: int, stop: int, size: int) -> Formula:
    """Return the product of a formula with a matrix, or some columns of it.

    Example:
        >>> product(symbol("x"), 7, 14, 28).text
        'x[1/4]'
    """
    width = stop - start
    is_even = width > 0 and start % width == 0 and size % width == 0
    place = f"{start // width}/{size // width}" if is_even else f"{start}:{stop}/{size}"
    source = of.text if len(of.terms) == 1 and len(next(iter(of.terms))) == 1 else f"({of.text})"
    text = f"{source}[{place}]"
    return formula({(Symbol(text, of, span=(start, stop, size)),): 1.0})


def part(of: Formula, start: int, stop: int) -> Formula:
    """Return some of the values of a formula, along the last axis.

    Raises:
        FormulaError: it has the state, or a part of it.

    Example:
        >>> part(applied("tanh", product(symbol("x"), 0, 28, 28)), 0, 7).text
        'tanh(x[0/4])'
    """
    terms = (
        multiplied(constant(factor), *(_part_of(each, start, stop) for each in term))
        for term, factor in of.terms.items()
    )
    return added(*terms)


def _part_of(one: Symbol, start: int, stop: int) -> Formula:
    if one.of is None:
        raise FormulaError(f"a part of {one.text}")
    if one.function:
        return applied(one.function, part(one.of, start, stop))
    first, last, size = one.span
    if first + stop > last:
        raise FormulaError("a part that is outside")
    return product(one.of, first + start, first + stop, size)


def replaced(of: Formula, by: Mapping[str, Formula]) -> Formula:
    """Return a formula with others in the place of symbols.

    A product with a matrix of zero is zero.

    Example:
        >>> replaced(
        ...     added(symbol("x"), multiplied(symbol("h"), symbol("m"))), {"h": constant(0)}
        ... ).text
        'x'
    """
    terms = (
        multiplied(constant(factor), *(_replaced(each, by) for each in term))
        for term, factor in of.terms.items()
    )
    return added(constant(0), *terms)


def _replaced(one: Symbol, by: Mapping[str, Formula]) -> Formula:
    if one.of is None:
        return by.get(one.text, symbol(one.text))
    inner = replaced(one.of, by)
    if one.function:
        return applied(one.function, inner)
    return product(inner, *one.span) if inner.terms else constant(0)


def renumbered(of: Formula, by: Mapping[str, Sequence[int]]) -> Formula:
    """Return a formula with the parts of matrices in another order.

    Args:
        of: The formula.
        by: The new number of each part, by what the matrix is multiplied with.

    Example:
        >>> renumbered(added(product(symbol("x"), 0, 2, 4), symbol("h")), {"x": (1, 0)}).text
        'h + x[1/2]'
    """
    terms = (
        multiplied(constant(factor), *(_renumbered(each, by) for each in term))
        for term, factor in of.terms.items()
    )
    return added(constant(0), *terms)


def _renumbered(one: Symbol, by: Mapping[str, Sequence[int]]) -> Formula:
    if one.of is None:
        return symbol(one.text)
    inner = renumbered(one.of, by)
    if one.function:
        return applied(one.function, inner)
    start, stop, size = one.span
    width = stop - start
    if one.of.text in by and start % width == 0:
        start = by[one.of.text][start // width] * width
    return product(inner, start, start + width, size)


def activated(name: str, of: Formula, keras: int) -> Formula | None:
    """Return the activation of a Keras of this major version; None for one that is not known."""
    if name == "linear":
        return of
    if name == "hard_sigmoid" and keras == 2:
        return applied(clipped(0, 1), multiplied(constant(0.2), of))
    if name == "hard_sigmoid":
        return multiplied(constant(1 / 6), applied("relu6", of))
    return applied(FUNCTIONS[name], of) if name in FUNCTIONS else None


FUNCTIONS = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "relu6": "relu6",
    "elu": "elu",
    "exponential": "exp",
}
"""Activations that a file has as one operator, by their names in Keras."""
_X, _H, _C = (symbol(name) for name in "xhc")
_Function = Callable[[Formula], Formula]


def cell_text(
    kind: str, config: Config, units: int, keras: int, *, is_masked: bool = False
) -> str | None:
    """Return the formulas of a cell; None for activations that are not known.

    Args:
        kind: The class of its recurrent layer.
        config: Its config.
        units: How many units it has.
        keras: The major version of its Keras.
        is_masked: Whether a mask (`m`) tells which steps count; at others, the states stay as they
            are, and so does the result (`o`), or it is zero.

    Example:
        >>> cell_text("SimpleRNN", {"activation": "tanh"}, 4, 3)
        'h = tanh(h[0/1] + x[0/1])'
    """
    functions = []
    for key, default in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        name: Any = config.get(key, default)
        name = "linear" if name is None else name
        if not isinstance(name, str) or activated(name, _X, keras) is None:
            return None
        functions.append(_function(name, keras))
    inner, gate = functions
    if kind == "LSTM":
        states = _lstm(units, inner, gate)
    elif kind == "GRU":
        states = {"h": _gru(units, inner, gate, resets_after=config.get("reset_after", True))}
    else:
        states = {"h": inner(_read(units, 0, 1))}
    if is_masked:
        before = constant(0) if config.get("zero_output_for_mask") else symbol("o")
        result = chosen(symbol("m"), states["h"], before)
        kept = {name: chosen(symbol("m"), made, symbol(name)) for name, made in states.items()}
        states = {"o": result, **kept}
    return render(states)


def chosen(mask: Formula, made: Formula, before: Formula) -> Formula:
    """Return one formula where a mask is 1, and another one where it is 0.

    Example:
        >>> chosen(symbol("m"), symbol("x"), symbol("h")).text
        '-1 h m + h + m x'
    """
    less = added(constant(1), multiplied(constant(-1), mask))
    return added(multiplied(mask, made), multiplied(less, before))


def _function(name: str, keras: int) -> _Function:
    def function(of: Formula) -> Formula:
        found = activated(name, of, keras)
        assert found is not None, "its name was checked"
        return found

    return function


def render(states: Mapping[str, Formula]) -> str:
    """Return the next states of a cell in one text."""
    return "; ".join(f"{name} = {each.text}" for name, each in states.items())


def _times(of: Formula, units: int, number: int, count: int) -> Formula:
    return product(of, number * units, (number + 1) * units, count * units)


def _read(units: int, number: int, count: int) -> Formula:
    """Return what a gate takes: a part of the products of both kernels."""
    return added(_times(_X, units, number, count), _times(_H, units, number, count))


def _lstm(units: int, inner: _Function, gate: _Function) -> dict[str, Formula]:
    """Return the formulas of an LSTM, whose gates are input, forget, cell and output."""
    taken, forgotten, candidate, given = (_read(units, number, 4) for number in range(4))
    c = added(multiplied(gate(forgotten), _C), multiplied(gate(taken), inner(candidate)))
    return {"h": multiplied(gate(given), inner(c)), "c": c}


def _gru(units: int, inner: _Function, gate: _Function, *, resets_after: bool) -> Formula:
    """Return the formula of a GRU, whose gates are update, reset and candidate.

    Before `reset_after`, the recurrent kernel is two matrices: the second takes the state that is
    reset already.
    """
    gates = 3 if resets_after else 2
    update, reset = (
        gate(added(_times(_X, units, number, 3), _times(_H, units, number, gates)))
        for number in (0, 1)
    )
    if resets_after:
        state = multiplied(reset, _times(_H, units, 2, 3))
    else:
        state = _times(multiplied(reset, _H), units, 0, 1)
    candidate = inner(added(_times(_X, units, 2, 3), state))
    kept = added(constant(1), multiplied(constant(-1), update))
    return added(multiplied(update, _H), multiplied(kept, candidate))
