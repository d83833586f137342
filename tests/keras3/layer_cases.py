"""Every layer class of Keras 3 with weights, pruned: all of them in one model, and each alone."""

import inspect
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers
from keras3 import application_cases
from keras3.child import Cases, refusal
from keras3.models import SAMPLES, array, assert_same
from keras3.training_cases import assert_exact, trained
from keras3_prunable import PRUNABLE
from keras3_zoo import WITH_WEIGHTS

import graphprune
from graphprune import ConstantSparsity
from graphprune.errors import TrainingError

CASES = Cases()
SHARE = 0.75
FOLDER = Path(tempfile.mkdtemp())
GROUPED = inspect.signature(layers.GroupQueryAttention).parameters
SAMPLE_OF = {
    name: sample
    for name, sample in WITH_WEIGHTS.items()
    if not sample.mode
    and not name.startswith("Pipeline")
    and hasattr(layers, name.partition("_")[0])  # an older Keras has fewer
    and not (name.endswith("_gated") and "use_gate" not in GROUPED)
}
"""The samples that are not quantized, and that Keras can compile in a model."""
PRUNED = [name for name in SAMPLE_OF if name.partition("_")[0] in PRUNABLE]
DENSE = [name for name in SAMPLE_OF if name not in PRUNED]


def branch(name):
    """Return the layer of a sample, and its inputs and outputs."""
    sample = SAMPLE_OF[name]
    inputs = [keras.Input(shape, dtype=sample.dtype) for shape in sample.shapes]
    layer = sample.make()
    together = inputs if len(inputs) > 1 else inputs[0]
    return layer, inputs, layer(*inputs) if sample.spread else layer(together)


def nested_sequential():
    inputs = keras.Input((5,))
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(4, name="inside")], name="sequence")
    return inner, [inputs], inner(inputs)


def shared():
    inputs, both = keras.Input((5,)), layers.Dense(5, name="shared")
    return both, [inputs], both(both(inputs))


def model_of(*branches):
    """Return a compiled model that averages the output of each branch, with inputs and targets."""
    inputs = [one for _, given, _ in branches for one in given]
    means = [keras.ops.mean(one, axis=list(range(1, len(one.shape)))) for *_, one in branches]
    random = np.random.default_rng(6)
    values = [
        random.integers(0, 7, (SAMPLES, *one.shape[1:]))
        if one.dtype.startswith("int")
        else random.normal(size=(SAMPLES, *one.shape[1:])).astype("float32")
        for one in inputs
    ]
    model = keras.Model(inputs, keras.ops.stack(means, axis=-1))
    is_large = keras.config.backend() == "tensorflow" and len(branches) > 1  # long in tracing
    model.compile("sgd", "mse", run_eagerly=is_large)
    return model, values, np.ones((SAMPLES, len(means)), "float32")


def held_names(model):
    """Return the class of each pruned layer, with the names that Keras gives its weights."""
    return sorted(
        (type(held.layer).__name__, tuple(sorted({one.weight.name for one in held.tensors})))
        for held in graphprune.collect_prunable_layers(model)
    )


def whole_way(branches):
    """Prune, train, save, load and strip a model of these branches."""
    keras.utils.set_random_seed(3)
    original, x, y = model_of(*branches)
    config, before = str(original.get_config()), [array(one) for one in original.variables]
    pruned = graphprune.prune_low_magnitude(original, ConstantSparsity(SHARE, 0, frequency=2))
    trained(pruned, x, y=y, epochs=1)
    assert_same(before, [array(one) for one in original.variables])
    assert str(pruned.get_config()) == config
    path = FOLDER / "pruned.keras"
    pruned.save(path)
    plain = keras.models.load_model(path)
    with graphprune.prune_scope():
        loaded = keras.models.load_model(path)
    assert_exact(loaded)
    stripped = graphprune.strip_pruning(pruned)
    assert str(stripped.get_config()) == config
    for other in (plain, loaded, stripped):
        assert_same(*([array(one) for one in model.weights] for model in (pruned, other)))
    for other in (plain, stripped):
        assert not graphprune.collect_prunable_layers(other)
    return pruned


@CASES
def every_layer_that_can_be_pruned_in_one_model():
    branches = [*map(branch, PRUNED), nested_sequential(), shared()]
    pruned = whole_way(branches)
    expected = [
        (type(layer).__name__, tuple(sorted(PRUNABLE[name.partition("_")[0]])))
        for name, (layer, _, _) in zip(PRUNED, branches, strict=False)
    ]
    expected += [("Dense", ("kernel",))] * 2
    if "ReversibleEmbedding" in PRUNED:  # the one that is tied has one table
        expected.remove(("ReversibleEmbedding", ("embeddings", "reverse_embeddings")))
        expected.append(("ReversibleEmbedding", ("embeddings",)))
    found = held_names(pruned)
    assert found == sorted(expected), set(found) ^ set(expected)


@CASES.each(PRUNED, fast=())
def layer(name):
    whole_way([branch(name)])


@CASES
def layers_without_such_weights_are_left_alone():
    for name in DENSE:
        if name.startswith("STFT"):
            continue
        model, _, _ = model_of(branch(name))
        text = refusal(lambda model=model: graphprune.prune_low_magnitude(model), TrainingError)
        assert "nothing in the model is pruned" in text, name


@CASES
def a_small_application():
    small = keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, classes=10)
    assert application_cases.whole_way(small) > 20


if __name__ == "__main__":
    CASES.run()
