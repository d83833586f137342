"""The rule file for stock MobileNets takes the 1x1 convolutions of their bodies and no others."""

import pytest
import tf_keras

from graphprune.plan import make_plan
from graphprune.rules import read_rules
from graphprune.tf.pruning.live_graph import graph_of_model

pytestmark = pytest.mark.tf


@pytest.mark.parametrize(
    "name", ["MobileNet", pytest.param("MobileNetV2", marks=pytest.mark.slow), "MobileNetV3Small"]
)
def test_stock_mobilenets_are_pruned_between_stem_and_pooling(name):
    model = getattr(tf_keras.applications, name)(weights=None)
    names = [layer.name for layer in model.layers]
    pool = max(
        index
        for index, layer in enumerate(model.layers)
        if isinstance(layer, tf_keras.layers.GlobalAveragePooling2D)
    )
    wanted = [
        layer.name
        for layer in model.layers[:pool]
        if type(layer) is tf_keras.layers.Conv2D and layer.kernel_size == (1, 1)
    ]
    plan = make_plan(graph_of_model(model), read_rules("builtin:xnnpack-latency-mobilenet"))
    assert [change.address for change in plan.changes if change.is_change] == wanted
    assert len(wanted) > 12
    assert names.index(wanted[-1]) < pool
