"""Every class whose tensors the table calls prunable can be wrapped, trained to the exact count, saved, loaded and stripped."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from layer_zoo import PRUNABLE, Sample
from tf_keras import layers
from tf_zoo import sample, wrap_all

from graphprune.archive import read_archive
from graphprune.errors import PlanError, TrainingError
from graphprune.graph import measure_mask_faults, read_graph
from graphprune.graph.entries import canonical
from graphprune.sparsity.counts import zero_count
from graphprune.sparsity.positions import Run
from graphprune.tf.callbacks import UpdatePruningStep
from graphprune.tf.live_tensors import find_weight
from graphprune.tf.loading import load_model
from graphprune.tf.pruner import Pruner
from graphprune.tf.saving import save_model
from graphprune.tf.surgery import strip_model
from graphprune.tf.wrapper import PruneLowMagnitude

pytestmark = pytest.mark.tf

SPARSITY = 0.75


@pytest.fixture(autouse=True)
def own_input_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SpectralNormalization be built: it takes InputSpec from `tf.keras`, which is Keras 3 where TF_USE_LEGACY_KERAS is not set."""
    monkeypatch.setattr(tf.keras.layers, "InputSpec", tf_keras.layers.InputSpec)


SPECTRAL = Sample(lambda: layers.SpectralNormalization(layers.Conv2D(7, (2, 3))), ((6, 8, 5),), {"layer.kernel": {}})
OBJECTS = {"SpectralNormalization": layers.SpectralNormalization}
SAMPLES = {**PRUNABLE, "spectral": SPECTRAL}


def trained(model: tf_keras.Model) -> tf_keras.Model:
    """Return the model with its layers wrapped and trained past the end of their schedule."""
    wrapped = wrap_all(model)
    wrapped.compile(tf_keras.optimizers.Adam(0.01), "mse")
    wrapped.fit(sample(model, 16, words=9), np.ones((16, *model.output_shape[1:])), batch_size=2, epochs=1, verbose=0, callbacks=[UpdatePruningStep()])
    return wrapped


def assert_exact_zeros(layer: layers.Layer, names: tuple[str, ...]) -> None:
    for name in names:
        weight = find_weight(layer, name).numpy()
        assert weight.size - np.count_nonzero(weight) == zero_count(weight.size, SPARSITY)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_prunable_layer_goes_the_whole_way(name: str, tmp_path) -> None:
    tf_keras.utils.set_random_seed(1)
    model = SAMPLES[name].model()
    wrapped = trained(model)
    wrapper = wrapped.layers[-1]
    assert isinstance(wrapper, PruneLowMagnitude)
    names = wrapper.pruning.weights
    assert set(names) == set(SAMPLES[name].lengths)
    assert_exact_zeros(wrapper.layer, names)
    assert wrapper.pruning_step.numpy() == 8
    inputs = sample(model, words=9)
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"wrapped{suffix}"
        save_model(wrapped, path)
        archive = read_archive(path)
        assert set(measure_mask_faults(archive, read_graph(archive)).values()) == {0}
        assert [tensor.name for tensor in read_graph(archive).layer(wrapper.name).prunable] == list(names)
        loaded = load_model(path, OBJECTS)
        for old, new in zip(wrapped.weights, loaded.weights, strict=True):
            np.testing.assert_array_equal(old.numpy(), new.numpy())
        stripped = strip_model(loaded)
        assert canonical(stripped.get_config()) == canonical(model.get_config())
        assert_exact_zeros(stripped.layers[-1], names)
        np.testing.assert_array_equal(stripped(inputs).numpy(), wrapped(inputs).numpy())


def test_a_name_that_leads_nowhere_is_refused() -> None:
    layer = layers.Bidirectional(layers.RNN([layers.GRUCell(2, use_bias=False)]))
    layer.build((None, 3, 2))
    has = "Bidirectional has no weight named {!r}; it has " + ", ".join(["kernel", "recurrent_kernel"] * 2)
    for name in ("kernel", "forward_layer", "forward_layer.cells.1.kernel", "forward_layer.cells", "backward_layer.cells.0.bias", "query.kernel", "0"):
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
