"""The formulas of all cells of Keras, to tell those with gates in another order."""

from __future__ import annotations

from functools import cache
from itertools import product as combinations

from graphprune.graph.classes.cell_formulas import FUNCTIONS, activated, cell_text, symbol


def is_cell(text: str) -> bool:
    """Return whether formulas are those of a cell of Keras, with gates in their order.

    Example:
        >>> is_cell("h = tanh(h[0/1] + x[0/1])"), is_cell("h = tanh(h[1/2] + x[0/2])")
        (True, False)
    """
    return any(text in _cells(keras, _names_in(text, keras)) for keras in (2, 3))


def _names_in(text: str, keras: int) -> tuple[str, ...]:
    """Return the activations whose functions formulas have."""
    found = []
    for name in (*FUNCTIONS, "hard_sigmoid"):
        function = activated(name, symbol("x"), keras)
        assert function is not None, "the name is known"
        if f"{function.text.split('(')[0].split()[-1]}(" in text:
            found.append(name)
    return (*found, "linear")


@cache
def _cells(keras: int, names: tuple[str, ...]) -> frozenset[str | None]:
    """Return the formulas of all cells with these activations."""
    switches = [*combinations((True, False), repeat=3)]
    return frozenset(
        cell_text(
            kind,
            {
                "activation": inner,
                "recurrent_activation": gate,
                "reset_after": resets_after,
                "zero_output_for_mask": gives_zero,
            },
            1,
            keras,
            is_masked=is_masked,
        )
        for kind in ("SimpleRNN", "LSTM", "GRU")
        for inner, gate in combinations(names, names)
        for resets_after, gives_zero, is_masked in switches
    )
