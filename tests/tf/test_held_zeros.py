"""`method: keep`: the zeros of a file stay zero to the bit while the rest is trained."""

import numpy as np
import pytest
import tf_keras

from graphprune.tf.models.loading import load_model
from graphprune.training import resume, train

pytestmark = pytest.mark.tf

RULES = "version: 1\nrules: [{id: held, match: {type: Dense}, prune: {method: keep}}]\n"
RANDOM = np.random.default_rng(7)
X, Y = RANDOM.normal(size=(24, 6)).astype("float32"), RANDOM.integers(0, 3, 24)


def test_zeros_of_a_file_stay_zero_to_the_bit_and_the_rest_is_trained(tmp_path):
    tf_keras.utils.set_random_seed(2)
    layers = [tf_keras.layers.Dense(9, name="a"), tf_keras.layers.Dense(3, name="b")]
    model = tf_keras.Sequential([tf_keras.Input((6,)), *layers])
    for layer in layers:
        kernel = layer.kernel.numpy()
        kernel[RANDOM.random(kernel.shape) < 0.6] = 0
        layer.kernel.assign(kernel)
    before = [layer.kernel.numpy() for layer in layers]
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.AdamW(0.05, weight_decay=0.1), loss)
    model.save(tmp_path / "sparse.keras")
    np.savez(tmp_path / "d.npz", x_train=X, y_train=Y)
    options = {"epochs": 4, "batch_size": 8, "checkpoint_every": "1 step"}
    source, data = tmp_path / "sparse.keras", tmp_path / "d.npz"
    stopped = train(source, RULES, data, tmp_path / "run", **options, stop_after_step=5)
    result = resume(stopped.run_dir)
    assert not result.missed
    trained = load_model(result.model)
    for name, old in zip("ab", before, strict=True):
        wrapper = trained.get_layer(name)
        new = wrapper.layer.kernel.numpy()
        assert ((new == 0) == (old == 0)).all()
        assert not np.signbit(new[old == 0]).any()
        assert (new[old != 0] != old[old != 0]).all()
        assert wrapper.pruning.method == "keep"
