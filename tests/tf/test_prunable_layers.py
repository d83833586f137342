"""What is refused of layers whose tensors the table calls prunable."""

from __future__ import annotations

import pytest
import tf_keras
from tf_keras import layers
from tf_zoo import wrap_all

from graphprune.errors import PlanError, TrainingError
from graphprune.sparsity.positions import Run
from graphprune.tf.layers.live_tensors import find_weight
from graphprune.tf.pruning.pruner import Pruner

pytestmark = pytest.mark.tf


def test_a_name_that_leads_nowhere_is_refused() -> None:
    layer = layers.Bidirectional(layers.RNN([layers.GRUCell(2, use_bias=False)]))
    layer.build((None, 3, 2))
    has = "Bidirectional has no weight named {!r}; it has " + ", ".join(
        f"{side}_layer.cells.0.{name}"
        for side in ("forward", "backward")
        for name in ("kernel", "recurrent_kernel")
    )
    for name in (
        "kernel",
        "forward_layer",
        "forward_layer.cells.1.kernel",
        "forward_layer.cells",
        "backward_layer.cells.0.bias",
        "query.kernel",
        "0",
    ):
        with pytest.raises(PlanError) as caught:
            find_weight(layer, name)
        assert str(caught.value) == f"{layer.name}: {has.format(name)}"


def test_a_legacy_optimizer_is_refused_for_an_embedding_inside_another_layer() -> None:
    x = layers.Input((3, 4))
    model = tf_keras.Model(x, layers.TimeDistributed(layers.Embedding(9, 2), name="words")(x))
    wrapped = wrap_all(model)
    wrapped.compile(tf_keras.optimizers.legacy.SGD(), "mse")
    with pytest.raises(TrainingError, match="words: a legacy optimizer"):
        Pruner(wrapped).start(Run(steps_per_epoch=4, epochs=1))
