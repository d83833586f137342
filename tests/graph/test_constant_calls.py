"""Calls of layers on constants alone, which Keras never writes and would run while it builds the
model.
"""

from __future__ import annotations

import pytest
from hostile_files import FC, IN, layer, model

from graphprune.errors import GraphError
from graphprune.graph.from_config import check_models

CONSTANT = ["_CONSTANT_VALUE", -1, 1.0, {}]


@pytest.mark.parametrize(
    "nodes", [[[CONSTANT]], [CONSTANT], [[]], [[["in", 0, 0, {}]], [CONSTANT]], [{"a": CONSTANT}]]
)
def test_a_call_on_constants_alone_is_refused(nodes: list[object]) -> None:
    config = model(IN, layer("Activation", "odd") | {"inbound_nodes": nodes}, FC)
    for whole in (config, model(IN, layer("TimeDistributed", "fc", ("in",), layer=config))):
        with pytest.raises(GraphError) as caught:
            check_models(whole, "m.keras")
        assert (
            str(caught.value)
            == "m.keras: layer 'odd' is called on no tensor of the model, only on constants; save"
            " the model again"
        )


@pytest.mark.parametrize(
    "nodes",
    [
        [[["_CONSTANT_VALUE", -1, 1.0, {"y": ["in", 0, 0]}]]],
        [["in", 0, 0, {"y": 2.0}]],
        [[CONSTANT, ["in", 0, 0, {}]]],
        [{"a": ["in", 0, 0]}],
        [],
    ],
)
def test_a_call_on_a_tensor_beside_constants_is_not(nodes: list[object]) -> None:
    check_models(model(IN, layer("Activation", "even") | {"inbound_nodes": nodes}, FC), "m.keras")
