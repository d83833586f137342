"""Training with masks on one backend of Keras 3: exact counts, zeros after every update."""

import pickle
import sys
import tempfile
import warnings
from copy import deepcopy as copied
from pathlib import Path

import keras
import numpy as np
from keras import layers
from keras3.child import Cases, refusal
from keras3.models import MODELS, SAMPLES, array, assert_same, numbers, operations, values
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray

import graphprune
from graphprune import ConstantSparsity, PolynomialDecay, PruningSummaries, Run, UpdatePruningStep
from graphprune.errors import GraphError, TrainingError
from graphprune.keras3.backend import masked_in_place, write
from graphprune.sparsity.counts import kept_count
from graphprune.sparsity.patterns import UNSTRUCTURED, select_pattern_mask

CASES = Cases()
HAD_TF_KERAS = "tf_keras" in sys.modules  # by scripts that ran before in this process
BATCH, STEPS, SHARE = 8, SAMPLES // 8, 0.75
TARGETS = np.random.default_rng(4).normal(size=(SAMPLES, 4)).astype("float32")


class ZeroAfterEveryUpdate(keras.callbacks.Callback):
    """Holds that masked weights, and their moving averages, are zero after every step."""

    seen = 0

    def on_train_batch_end(self, batch, logs=None):
        for held in graphprune.collect_prunable_layers(self.model):
            for tensor in held.tensors:
                masked = ~tensor.read_mask()
                assert not tensor.read()[masked].any(), (held.name, batch)
                if tensor.average is not None:
                    assert not array(tensor.average)[masked].any(), (held.name, batch)
        self.seen += 1


def schedule(steps=2 * STEPS):
    return PolynomialDecay(0.2, SHARE, 0, steps, frequency=2)


def trained(model, x, *, epochs=3, y=TARGETS, **options):
    """Train a pruned model, and hold what holds for every one."""
    zeros = ZeroAfterEveryUpdate()
    keras.utils.set_random_seed(5)
    model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[UpdatePruningStep(), zeros],
        **options,
    )
    assert zeros.seen
    assert_exact(model)
    return model


def assert_exact(model, share=SHARE):
    pruned = graphprune.collect_prunable_layers(model)
    assert pruned
    for held in pruned:
        assert held.tensors, held.name
        for tensor in held.tensors:
            kept = kept_count(int(np.prod(tensor.shape)), share)
            assert tensor.read_mask().sum() == kept, (held.name, tensor.name)
            assert np.count_nonzero(tensor.read()) <= kept


def momentum():
    """An optimizer with slots that takes less time to trace than Adam."""
    return keras.optimizers.SGD(0.05, momentum=0.9)


def pruned_operations(optimizer=None, **settings):
    model, x = operations()
    model.compile(optimizer or momentum(), "mse", **settings)
    return graphprune.prune_low_magnitude(model, schedule()), x


OFTEN = ("operations", "subclassed")
"""Models that each backend trains in the suite; what the others are made of is Keras's own."""
ELSE = {
    "tensorflow": ("GRU", "unbuilt", "custom layers"),
    "jax": ("nested called twice", "shared", "einsum and embedding", "sequential"),
    "torch": ("GRU", "nested called twice", "unbuilt", "custom layers"),
}


@CASES.each(MODELS, fast=(*OFTEN, *ELSE[keras.config.backend()]))
def model(name):
    keras.utils.set_random_seed(2)
    original, x = MODELS[name]()
    if name != "unbuilt":
        before = [array(one) for one in original.variables]
        config, outputs = original.get_config(), array(original(x[:4]))
    original.compile(momentum(), "mse", metrics=["mae"])
    pruned = graphprune.prune_low_magnitude(original, schedule())
    if name != "unbuilt":
        assert_same([array(one) for one in original.variables], before)
        np.testing.assert_array_equal(array(pruned(x[:4])), outputs)
        assert_same(before, [array(one) for one in pruned.variables])
        assert str(pruned.get_config()) == str(config)
        assert names_in(pruned) == names_in(original)
    if name == "unbuilt" and keras.config.backend() == "tensorflow":
        refused_until_built(pruned, x)
    trained(pruned, x)
    stripped = graphprune.strip_pruning(pruned)
    assert not graphprune.collect_prunable_layers(stripped)
    np.testing.assert_array_equal(array(stripped(x[:4])), array(pruned(x[:4])))
    if name != "unbuilt":
        assert str(stripped.get_config()) == str(config)
        assert_same([array(one) for one in original.variables], before)


def names_in(model):
    """Return the names of all layers of a model, those inside of others included, and the paths of
    its variables, by which a `MultiOptimizer` chooses.
    """
    return [layer.name for layer in model._flatten_layers()], [one.path for one in model.variables]


def refused_until_built(model, x):
    """Hold that `fit` refuses a model that TensorFlow would build inside of its first step."""
    callbacks = [UpdatePruningStep()]
    assert refusal(
        lambda: model.fit(x, TARGETS, verbose=0, callbacks=callbacks), TrainingError
    ) == (
        "a: the pruned layer is not built; call the model on a batch of data, or call"
        " model.build(input_shape), first"
    )
    model.build((None, 8))


@CASES
def compiled_again():
    pruned, x = pruned_operations()
    callback = UpdatePruningStep(run=Run(STEPS, 3))
    pruned.fit(x, TARGETS, batch_size=BATCH, verbose=0, callbacks=[callback])
    steps = {held.read_step() for held in graphprune.collect_prunable_layers(pruned)}
    assert steps == {STEPS}
    pruned.compile(keras.optimizers.SGD(0.1), "mae")
    trained(pruned, x, epochs=2)
    steps = {held.read_step() for held in graphprune.collect_prunable_layers(pruned)}
    assert steps == {3 * STEPS}


@CASES
def masks_that_no_longer_change_go_to_a_new_optimizer():
    model, x = operations()
    model.compile("sgd", "mse")
    pruned = graphprune.prune_low_magnitude(model, ConstantSparsity(SHARE, 0, 1, frequency=1))
    trained(pruned, x, epochs=1)
    (first, *_), *_ = (held.tensors for held in graphprune.collect_prunable_layers(pruned))
    mask = np.array(first.read_mask())
    pruned.compile("sgd", "mae")
    trained(pruned, x, epochs=1)
    np.testing.assert_array_equal(first.read_mask(), mask)


@CASES.fast_on("jax")
def compiled_after_pruning():
    model, x = operations()
    pruned = graphprune.prune_low_magnitude(model, schedule())
    pruned.compile("sgd", "mse")
    trained(pruned, x)


@CASES.fast_on("tensorflow")
def optimizer_state_is_kept():
    model, x = operations()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, TARGETS, batch_size=BATCH, verbose=0)
    pruned = graphprune.prune_low_magnitude(model, ConstantSparsity(0.0, 100))
    assert_same(values(model), values(pruned))
    for one in (model, pruned):
        keras.utils.set_random_seed(1)
        callbacks = [UpdatePruningStep()] if one is pruned else []
        with warnings.catch_warnings(action="ignore"):
            one.fit(x, TARGETS, batch_size=BATCH, verbose=0, shuffle=False, callbacks=callbacks)
    assert_same(values(model), values(pruned))


@CASES
def masks_are_those_of_the_engine():
    model, x = operations()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    kernels = {name: array(model.get_layer(name).kernel) for name in "abc"}
    pruned = graphprune.prune_low_magnitude(model, ConstantSparsity(0.6, 0))
    pruned.fit(x, TARGETS, batch_size=BATCH, verbose=0, callbacks=[UpdatePruningStep()])
    for held in graphprune.collect_prunable_layers(pruned):
        mask, _ = select_pattern_mask(kernels[held.name], UNSTRUCTURED, 0.6)
        np.testing.assert_array_equal(held.tensors[0].read_mask(), mask)


@CASES.fast_on("jax")
def blocks_and_groups():
    model, x = operations()
    model.compile("sgd", "mse")
    groups = graphprune.prune_low_magnitude(
        model, ConstantSparsity(0.5, 0, frequency=2), sparsity_m_by_n=(2, 4)
    )
    blocks = graphprune.prune_low_magnitude(
        model, ConstantSparsity(0.5, 0, frequency=2), block_size=(4, 2)
    )
    for one in (groups, blocks):
        one.fit(x, TARGETS, batch_size=BATCH, verbose=0, callbacks=[UpdatePruningStep()])
    kernel = array(groups.get_layer("a").kernel)
    assert (np.count_nonzero(kernel.reshape(2, 4, 16), axis=1) == 2).all()
    kernel = array(blocks.get_layer("a").kernel).reshape(2, 4, 8, 2)
    zero = (kernel == 0).all(axis=(1, 3))
    assert zero.sum() == 8
    assert np.count_nonzero(kernel) == 8 * 8


@CASES.fast_on("tensorflow")
def layers_alone_and_in_lists():
    both = graphprune.prune_low_magnitude([layers.Dense(8), layers.Dense(4)], schedule())
    first = graphprune.prune_low_magnitude(layers.Dense(8, name="first"), schedule())
    model = keras.Sequential([keras.Input((8,)), first, layers.ReLU(), *both])
    model.compile("adam", "mse")
    trained(model, numbers(8))
    assert len(graphprune.collect_prunable_layers(model)) == 3


@CASES.fast_on("jax")
def pruned_model_inside_another():
    inner, x = operations()
    inner = graphprune.prune_low_magnitude(inner, schedule())
    inputs = keras.Input((8,))
    outer = keras.Model(inputs, inner(inputs))
    outer.compile("adam", "mse")
    trained(outer, x)


@CASES.fast_on("jax")
def frozen_layers_follow_the_model():
    model, x = operations()
    model.get_layer("a").trainable = False
    model.compile("adam", "mse")
    trained(graphprune.prune_low_magnitude(model, schedule()), x)


@CASES
def masked_values_are_positive_zeros_in_every_precision():
    numbers = np.array([1.5, -1.5, -0.0, np.nan, np.inf, -np.inf, 3.0, -2.0])
    mask = np.array([True, False, False, False, False, False, True, False])
    for dtype in (
        "float32",
        "float16",
        "bfloat16",
        *(["float64"] * (keras.config.backend() != "jax")),
    ):
        variable = keras.Variable(numbers, dtype=dtype)
        variable.assign(masked_in_place(variable, keras.ops.convert_to_tensor(mask)))
        found = array(variable).astype("float64")
        np.testing.assert_array_equal(found, [1.5, 0, 0, 0, 0, 0, 3, 0], dtype)
        assert not np.signbit(found).any(), dtype


@CASES
def large_tensors_are_masked_like_small_ones():
    random = np.random.default_rng(5)
    for dtype, shape in (("float32", (700, 801)), ("bfloat16", (3, 100_000))):
        variable = keras.Variable(random.normal(size=shape), dtype=dtype)
        before, mask = array(variable), random.random(shape) > 0.9
        variable.assign(masked_in_place(variable, keras.ops.convert_to_tensor(mask)))
        np.testing.assert_array_equal(array(variable), np.where(mask, before, 0), dtype)


@CASES
def a_mask_is_followed_when_it_changes_after_several_uses():
    numbers = np.array([1.5, -1.5, np.nan, -np.inf, 3.0, -2.0])
    first, second = (np.array([1, 0, 0, 0, 1, 1], bool), np.array([0, 1, 0, 0, 0, 1], bool))
    mask = keras.Variable(first, dtype="bool", trainable=False)
    dtypes = ("float32", "bfloat16", "float16")  # one mask for all: its bits are of two widths
    for dtype in dtypes * 2:
        for change in (lambda value: write(mask, value), mask.assign):
            for kept in (first, second):
                change(kept)
                for _ in range(3):
                    variable = keras.Variable(numbers, dtype=dtype)
                    variable.assign(masked_in_place(variable, keras.ops.convert_to_tensor(mask)))
                    found = array(variable).astype("float64")
                    np.testing.assert_array_equal(found, np.where(kept, numbers, 0), dtype)
                    assert not np.signbit(found[~kept]).any(), dtype


@CASES
def the_copy_of_a_mask_is_followed_when_it_changes():
    kept = np.array([True, False, True])
    for copy in (copied, lambda mask: pickle.loads(pickle.dumps(mask))):
        mask = keras.Variable(kept, dtype="bool", trainable=False)
        for changes in range(4):
            write(mask, kept)
            for _ in range(2):
                weight = keras.Variable(np.ones(3), dtype="float32")
                weight.assign(masked_in_place(weight, keras.ops.convert_to_tensor(mask)))
            for more in range(1, 6):
                other = copy(mask)
                for _ in range(more):
                    write(other, ~kept)
                weight = keras.Variable(np.ones(3), dtype="float32")
                weight.assign(masked_in_place(weight, keras.ops.convert_to_tensor(other)))
                np.testing.assert_array_equal(array(weight), ~kept, f"{changes} {more}")


@CASES
def written_values_are_read_again_in_every_precision():
    numbers = np.array([[1.5, -2.0, -np.inf], [np.inf, -3.0, 0.25]])
    for dtype in ("float32", "float16", "bfloat16", "bool"):
        is_mask = dtype == "bool"
        turned = numbers.T > 0 if is_mask else numbers.T
        wanted = array(keras.Variable(turned, dtype=dtype, trainable=not is_mask)).T
        for given in (wanted, wanted.astype("float64")):  # not contiguous, of two dtypes
            zeros = np.zeros(numbers.shape, wanted.dtype)
            variable = keras.Variable(zeros, dtype=dtype, trainable=not is_mask)
            write(variable, given)
            np.testing.assert_array_equal(array(variable), wanted, dtype)


@CASES
def own_constraints_come_first():
    inputs = keras.Input((8,))
    dense = layers.Dense(4, kernel_constraint=keras.constraints.NonNeg(), name="d")
    model = keras.Model(inputs, dense(inputs))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    pruned = trained(graphprune.prune_low_magnitude(model, schedule()), numbers(8))
    assert (array(pruned.get_layer("d").kernel) >= 0).all()


@CASES
def training_without_a_pruner_is_refused():
    pruned, x = pruned_operations()
    expected = (
        "a: a pruned layer is being trained and no pruner is attached, so it would stay dense; add"
        " graphprune.UpdatePruningStep() to the callbacks of fit, or start a graphprune Pruner and"
        " call its on_step() in a custom loop"
    )
    assert refusal(lambda: pruned.fit(x, TARGETS, verbose=0), TrainingError) == expected
    trained(pruned, x)
    assert refusal(lambda: pruned.fit(x, TARGETS, verbose=0), TrainingError) == expected
    assert refusal(lambda: pruned.train_on_batch(x, TARGETS), TrainingError) == expected
    pruned.evaluate(x, TARGETS, verbose=0)
    trained(pruned, x)


@CASES
def a_callback_without_pruned_layers_is_refused():
    model, x = operations()
    model.compile("adam", "mse")
    callbacks = [UpdatePruningStep()]
    assert refusal(
        lambda: model.fit(x, TARGETS, verbose=0, callbacks=callbacks), TrainingError
    ) == (
        "net: UpdatePruningStep was given to a model without pruned layers, so nothing would be"
        " pruned; train the model that prune_low_magnitude or apply_rules returned (the original"
        " stays as it is), and load its file under graphprune.prune_scope()"
    )


@CASES
def low_rank_adaptation_is_refused():
    model, _ = operations()
    model.get_layer("a").enable_lora(2)
    assert refusal(lambda: graphprune.prune_low_magnitude(model, schedule()), TrainingError) == (
        "a: LoRA is not supported on a pruned layer: merging it when the model is saved makes"
        " masked weights non-zero again; prune the model without LoRA, or leave the layer out"
    )


@CASES.fast_on("tensorflow")
def a_model_without_weights_is_refused():
    class Late(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    assert refusal(lambda: graphprune.prune_low_magnitude(Late(name="late")), GraphError) == (
        "late: the model is not built, so it has no weights yet; call it on a batch of data, or"
        " call model.build(input_shape), first"
    )


@CASES
def tf_keras_is_not_imported():
    assert ("tf_keras" in sys.modules) == HAD_TF_KERAS


@CASES.fast_on("jax")
def a_run_that_is_too_short_warns():
    pruned, x = pruned_operations()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pruned.fit(x, TARGETS, batch_size=BATCH, verbose=0, callbacks=[UpdatePruningStep()])
    texts = [str(warning.message) for warning in caught]
    assert any(text.startswith("schedule/never-reached: a, b, c:") for text in texts), texts


@CASES.fast_on("tensorflow")
def data_of_unknown_length_that_end_too_early_warn():
    pruned, x = pruned_operations()
    batches = ((x[:BATCH], TARGETS[:BATCH]) for _ in range(3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pruned.fit(batches, verbose=0, callbacks=[UpdatePruningStep()])
    texts = [str(warning.message) for warning in caught]
    assert any(
        text.startswith("schedule/never-reached: a, b, c: training ends with the weights of step")
        and text.endswith("train for longer, or end the schedule earlier")
        for text in texts
    ), texts


@CASES.fast_on("jax")
def the_length_of_the_run_can_be_given():
    pruned, x = pruned_operations()
    callback = UpdatePruningStep(run=Run(STEPS, 3))
    pruned.fit(x, TARGETS, batch_size=BATCH, epochs=3, verbose=0, callbacks=[callback])
    assert callback.pruner.is_finished
    assert callback.pruner.total_sparsity() > 0.74


@CASES.fast_on("tensorflow")
def summaries_show_the_sparsity_in_tensorboard():
    pruned, x = pruned_operations()
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [UpdatePruningStep(), PruningSummaries(folder, write_graph=False)]
        pruned.fit(x, TARGETS, batch_size=BATCH, epochs=3, verbose=0, callbacks=callbacks)
        points = {}
        for path in sorted(Path(folder, "train").glob("events.*")):
            for event in EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    found = make_ndarray(value.tensor)
                    points.setdefault(value.tag, []).append((event.step, found))
    assert [step for step, _ in points["sparsity/a/kernel"]] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert points["target_sparsity/a/kernel"][-1][1] == SHARE
    held = graphprune.collect_prunable_layers(pruned)[0].tensors[0]
    assert points["sparsity/a/kernel"][-1][1] == np.float32(1 - held.read_mask().mean())
    assert len(points["epoch_loss"]) == 3


@CASES.fast_on("tensorflow")
def summaries_of_a_dense_model_are_refused():
    model, x = operations()
    model.compile("adam", "mse")
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [PruningSummaries(folder)]
        text = refusal(lambda: model.fit(x, TARGETS, verbose=0, callbacks=callbacks), TrainingError)
    assert text.startswith("net: PruningSummaries was given to a model without pruned layers")


if __name__ == "__main__":
    CASES.run()
