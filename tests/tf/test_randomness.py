import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from graphprune.errors import CheckpointError
from graphprune.tf.training.randomness import saved_randomness

pytestmark = pytest.mark.tf

ONES = np.ones((4, 6, 6, 1), "float32")


def build():
    noise = [
        layers.Dropout(0.5, seed=3, name="a"),
        layers.GaussianNoise(1.0, name="b"),
        layers.RandomBrightness(0.5, name="c"),
    ]
    return tf_keras.Sequential([layers.Input((6, 6, 1)), *noise], name="net")


def draw(model, times=3):
    return [model(ONES, training=True).numpy().tobytes() for _ in range(times)]


def test_numbers_come_again_after_their_state_was_put_back():
    model = build()
    with saved_randomness(model, 5) as randomness:
        draw(model)
        state = randomness.to_arrays()
        expected = draw(model)
    again = build()
    with saved_randomness(again, 5) as randomness:
        randomness.restore(state)
        assert draw(again) == expected


def test_numbers_depend_on_the_seed_and_differ_from_layer_to_layer():
    drawn = []
    for seed in (1, 1, 2):
        model = build()
        with saved_randomness(model, seed) as randomness:
            drawn.append(draw(model))
            assert len({array.tobytes() for array in randomness.to_arrays().values()}) == 3
    assert drawn[0] == drawn[1] != drawn[2]


def test_configs_are_as_before_while_a_file_is_written_and_afterwards():
    model = build()
    config = model.get_config()
    with saved_randomness(model, 5) as randomness:
        draw(model)
        with randomness.hidden():
            assert model.get_config() == config
        draw(model)
        assert model.get_config() != config
    assert model.get_config() == config


def test_cells_of_recurrent_layers_are_found():
    model = tf_keras.Sequential(
        [layers.Input((3, 2)), layers.RNN([layers.LSTMCell(2, dropout=0.5), layers.GRUCell(2)])]
    )
    with saved_randomness(model, 5) as randomness:
        assert len(randomness.switched) == 2


def test_the_state_of_another_model_is_refused():
    with saved_randomness(build(), 5) as randomness:
        state = randomness.to_arrays()
    del state["2"]
    with saved_randomness(build(), 5) as randomness, pytest.raises(CheckpointError) as caught:
        randomness.restore(state)
    assert (
        str(caught.value)
        == "the checkpoint holds the state of 2 random generators, the model has 3; start a new run"
    )
