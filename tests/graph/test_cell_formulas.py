"""Formulas of recurrent cells in one form."""

from functools import reduce

import pytest

from graphprune.graph.classes.cell_formulas import (
    FormulaError,
    added,
    applied,
    cell_text,
    constant,
    multiplied,
    part,
    product,
    symbol,
)

X, H = symbol("x"), symbol("h")


def test_a_gru_has_one_text_however_its_state_is_mixed():
    gates = [
        added(product(X, 4 * n, 4 * n + 4, 12), product(H, 4 * n, 4 * n + 4, 12)) for n in (0, 1)
    ]
    update, reset = (applied("sigmoid", gate) for gate in gates)
    state = multiplied(reset, product(H, 8, 12, 12))
    candidate = applied("tanh", added(product(X, 8, 12, 12), state))
    less = added(H, multiplied(constant(-1), candidate))
    mixed = added(candidate, multiplied(update, less))
    assert cell_text("GRU", {}, 4, 3) == f"h = {mixed.text}"


CELLS = {
    "order of gates": ("LSTM", {}, "GRU", {}),
    "reset": ("GRU", {"reset_after": True}, "GRU", {"reset_after": False}),
    "activation": ("LSTM", {"activation": "relu"}, "LSTM", {}),
    "gates": ("GRU", {"recurrent_activation": "hard_sigmoid"}, "GRU", {}),
    "both swapped": ("LSTM", {"activation": "sigmoid", "recurrent_activation": "tanh"}, "LSTM", {}),
}


@pytest.mark.parametrize("name", CELLS)
def test_other_cells_have_other_texts(name):
    kind, config, other, settings = CELLS[name]
    assert cell_text(kind, config, 4, 2) != cell_text(other, settings, 4, 2)


def test_the_hard_sigmoid_of_each_keras_is_its_own():
    config = {"activation": "hard_sigmoid"}
    assert cell_text("SimpleRNN", config, 4, 2) == "h = clip_0_1(0.2 h[0/1] + 0.2 x[0/1])"
    assert cell_text("SimpleRNN", config, 4, 3) == "h = 0.17 relu6(h[0/1] + x[0/1])"


def test_activations_that_are_not_known_have_no_text():
    assert cell_text("LSTM", {"activation": "softsign"}, 4, 3) is None
    assert cell_text("LSTM", {"activation": {"class_name": "Mine"}}, 4, 3) is None


def test_a_part_of_a_product_is_that_part_whatever_comes_first():
    whole = product(X, 0, 8, 8)
    assert part(applied("tanh", whole), 4, 8) == applied("tanh", part(whole, 4, 8))
    assert part(part(whole, 4, 8), 2, 4).text == "x[3/4]"
    for wrong, text in ((H, "a part of h"), (part(whole, 4, 8), "a part that is outside")):
        with pytest.raises(FormulaError, match=text):
            part(wrong, 2, 6)


def test_a_relu_of_a_minimum_is_a_clip():
    assert applied("relu", applied("minimum 1", X)) == applied("clip 0 1", X)
    twice = multiplied(constant(2), applied("minimum 1", X))
    assert applied("relu", twice).text == "relu(2 minimum_1(x))"


def test_formulas_that_grow_without_end_are_refused():
    with pytest.raises(FormulaError, match="too long"):
        multiplied(*(added(symbol(f"a{n}"), symbol(f"b{n}")) for n in range(9)))
    with pytest.raises(FormulaError, match="too long"):
        reduce(lambda deep, _: applied("tanh", added(deep, H)), range(5000), X)
    with pytest.raises(FormulaError, match="too long"):
        part(reduce(lambda deep, _: applied("relu", deep), range(600), product(X, 0, 8, 8)), 0, 4)
