"""What would lose the masks of a pruned Keras 3 model, on one backend: kept, warned of, or refused
in words.
"""

import copy
import functools
import pickle
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import layers
from keras3.child import Cases, refusal
from keras3.models import array, assert_same, attention, nested_called_twice, numbers, subclassed
from keras3.saving_cases import fit, pruned_net, state
from keras3.training_cases import TARGETS, pruned_operations, schedule, trained

import graphprune
from graphprune import UpdatePruningStep
from graphprune.errors import GraphError, OutputError, TrainingError

CASES = Cases()
FOLDER = Path(tempfile.mkdtemp())
CLONED = (
    "keras.models.clone_model copies neither masks nor weights, so the copy is not pruned; prune"
    " the copy with prune_low_magnitude, or clone what strip_pruning returns"
)
H5 = (
    "an .h5 file cannot hold the masks of a pruned Keras 3 model; save it as .keras, or save what"
    " strip_pruning returns"
)


def warned(call):
    """Return the warnings of a call that are about clones, and the file of each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return {(str(one.message), one.filename) for one in caught if "clone" in str(one.message)}


@CASES
def a_clone_of_keras_warns_that_it_is_not_pruned():
    pruned, _ = pruned_operations()
    assert warned(lambda: keras.models.clone_model(pruned)) == {(CLONED, __file__)}
    own = {"clone_function": lambda layer: type(layer).from_config(layer.get_config())}
    assert warned(lambda: keras.models.clone_model(pruned, **own)) == {(CLONED, __file__)}
    for build in (nested_called_twice, subclassed):
        model, _ = build()
        model.compile("adam", "mse")
        pruned = graphprune.prune_low_magnitude(model, schedule())
        if build is nested_called_twice:
            assert warned(lambda pruned=pruned: keras.models.clone_model(pruned))
        assert not warned(lambda model=model: model.get_config())
        assert not warned(lambda pruned=pruned: pruned.save(FOLDER / "pruned.keras"))
        assert not warned(lambda pruned=pruned: graphprune.strip_pruning(pruned))
    assert not warned(lambda: keras.models.clone_model(graphprune.strip_pruning(pruned_net())))


@CASES
def every_way_to_the_old_format_is_refused():
    pruned, _ = pruned_operations()
    path = FOLDER / "old.h5"
    assert refusal(lambda: pruned.save(path), OutputError) == f"{path}: {H5}"
    assert not path.exists()
    path.write_text("what stood there before")
    inputs = keras.Input((8,))
    outer = keras.Model(inputs, pruned(inputs))
    for model in (pruned, outer):
        for save in (keras.saving.save_model, keras.models.save_model):
            wanted = f"{path}: {H5}"
            assert refusal(functools.partial(save, model, path), OutputError) == wanted
    assert refusal(lambda: outer.save(path), OutputError) == f"{path}: {H5}"
    assert path.read_text() == "what stood there before"
    graphprune.strip_pruning(pruned).save(path)
    assert path.stat().st_size > 1000


@CASES
def pickled_and_copied_models_keep_their_masks():
    whole = fit(pruned_net())
    for duplicate in (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
        half = fit(pruned_net(), end=3)
        other = duplicate(half)
        assert_same(state(half), state(other))
        assert_same(state(whole), state(fit(other, begin=3)))


@CASES
def low_rank_adaptation_of_a_pruned_layer_is_refused():
    text = (
        "{}: LoRA is not supported on a pruned layer: merging it when the model is saved makes"
        " masked weights non-zero again; prune the model without LoRA, or leave the layer out"
    )
    pruned, x = pruned_operations()
    trained(pruned, x)
    layer = pruned.get_layer("a")
    assert refusal(lambda: layer.enable_lora(2), TrainingError) == text.format("a")
    assert not layer.lora_enabled
    late = graphprune.prune_low_magnitude(layers.Dense(4, lora_rank=2, name="late"), schedule())
    assert refusal(lambda: late.build((None, 8)), TrainingError) == text.format("late")
    model, _ = attention()
    pruned = graphprune.prune_low_magnitude(model, schedule())
    query = pruned.get_layer("attention")._query_dense
    assert refusal(lambda: query.enable_lora(2), TrainingError) == text.format("query")
    graphprune.strip_pruning(pruned).get_layer("attention")._query_dense.enable_lora(2)


@CASES
def quantization_of_a_pruned_model_is_refused():
    text = (
        "{}: a pruned layer or model cannot be quantized, because quantize replaces the weights"
        " that the masks belong to; quantize what strip_pruning returns"
    )
    pruned, x = pruned_operations()
    trained(pruned, x)
    assert refusal(lambda: pruned.quantize("int8"), TrainingError) == text.format("net")
    layer = pruned.get_layer("a")
    assert refusal(lambda: layer.quantize("int8"), TrainingError) == text.format("a")
    before = array(layer.kernel)
    stripped = graphprune.strip_pruning(pruned)
    stripped.quantize("int8")
    zeros = array(stripped.get_layer("a").kernel) == 0
    assert zeros[before == 0].all()


@CASES.fast_on("jax")
def a_layer_that_was_quantized_to_float8_is_refused():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="a")], name="net")
    model.quantize("float8")
    assert refusal(lambda: graphprune.prune_low_magnitude(model, schedule()), GraphError) == (
        "a: a layer that was quantized to float8 cannot be copied, because its copy creates its"
        " weights in another order; prune the model before it is quantized"
    )


@CASES
def settings_of_a_layer_are_as_before():
    pruned, _ = pruned_operations()
    for layer in pruned.layers:
        config = layer.get_config()
        assert "graphprune" not in str(config)
        assert config.get("kernel_constraint") is None
    assert keras.saving.serialize_keras_object(pruned)["class_name"] == "Functional"


@CASES
def a_layer_that_is_shared_with_a_new_model_is_refused_without_a_pruner():
    pruned, x = pruned_operations()
    inputs = keras.Input((8,))
    other = keras.Model(inputs, layers.Dense(4)(pruned.get_layer("a")(inputs)), name="other")
    other.compile("sgd", "mse")
    text = refusal(lambda: other.fit(x, TARGETS, verbose=0), TrainingError)
    assert "a: a pruned layer is being trained and no pruner is attached" in text


@CASES
def an_unpruned_model_is_not_guarded():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="a")])
    model.compile("sgd", "mse")
    pruned = graphprune.prune_low_magnitude(model, schedule())
    callback = UpdatePruningStep()
    pruned.fit(numbers(8), TARGETS, epochs=9, verbose=0, callbacks=[callback])
    for one in (model, graphprune.strip_pruning(pruned)):
        one.save(FOLDER / "dense.h5")
        one.get_layer("a").enable_lora(2)
        one.compile("sgd", "mse")
        one.fit(numbers(8), TARGETS, verbose=0)
    assert np.isfinite(array(model(numbers(8)))).all()


@CASES
def an_optimizer_of_neither_is_refused():
    pruned, _ = pruned_operations()
    assert refusal(lambda: graphprune.Pruner(pruned, "sgd"), TypeError) == (
        "optimizer must be an optimizer of Keras 3 or of torch.optim, got 'sgd'"
    )


if __name__ == "__main__":
    CASES.run()
