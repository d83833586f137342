"""Every way in which people train, held against the algorithm in plain NumPy: weights, masks, step
counts.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from reference_masks import magnitude_mask
from reference_training import BATCH, BATCHES, RATE, STEPS, Reference, X, Y, small_model
from tf_keras import layers
from tf_zoo import pruning, wrap_all

from graphprune.engine.pruner import no_pruner
from graphprune.errors import TrainingError
from graphprune.sparsity.counts import kept_count
from graphprune.sparsity.positions import Run
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.pruner import Pruner

pytestmark = pytest.mark.tf

PRUNING = pruning("kernel", end=11, every=3)
EDGES = {0, 3, 6, 9, 11}


def wrapped(**first) -> tuple[tf_keras.Model, Reference]:
    """Return the small model, wrapped, and the reference that begins where it begins."""
    model = small_model(**first)
    return wrap_all(model, end=11, every=3), Reference(model.get_weights(), PRUNING)


def check_equal(model: tf_keras.Model, reference: Reference, steps: int = STEPS) -> None:
    found = [model.get_layer(name) for name in "ab"]
    for layer, mask in zip(found, reference.masks, strict=True):
        np.testing.assert_array_equal(layer.pruning_vars[0][1].numpy(), mask)
        assert (int(layer.pruning_step), int(layer.last_update)) == (steps, reference.last_update)
    weights = [
        weight
        for layer in found
        for weight in (layer.layer.kernel.numpy(), layer.layer.bias.numpy())
    ]
    for weight, expected in zip(weights, reference.weights, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(weight == 0, expected == 0)


def fit(model: tf_keras.Model, optimizer=None, callbacks=(), **settings) -> None:
    model.compile(optimizer or tf_keras.optimizers.SGD(RATE), "mse", **settings)
    model.fit(
        X,
        Y,
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        callbacks=[*callbacks, UpdatePruningStep()],
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"steps_per_execution": 8}, {"run_eagerly": True}, {"jit_compile": True}],
    ids=str,
)
def test_fit(settings):
    model, reference = wrapped()
    reference.look_every = settings.get("steps_per_execution", 1)
    fit(model, **settings)
    reference.train(BATCHES)
    check_equal(model, reference)


def test_train_on_batch_with_a_callback_that_is_called_before_each_step():
    model, reference = wrapped()
    model.compile(tf_keras.optimizers.SGD(RATE), "mse")
    callback = UpdatePruningStep()
    callback.set_model(model)
    callback.on_train_begin()
    for index, batch in enumerate(BATCHES):
        callback.on_train_batch_begin(batch=index)
        model.train_on_batch(*batch)
    callback.on_epoch_end(0)
    reference.train(BATCHES)
    check_equal(model, reference)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("form", ["callback", "callback of another library", "pruner"])
def test_custom_loops(form, compiled):
    model, reference = wrapped()
    optimizer = tf_keras.optimizers.SGD(RATE)

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        optimizer.apply_gradients(
            zip(
                tape.gradient(loss, model.trainable_variables),
                model.trainable_variables,
                strict=True,
            )
        )

    if compiled:
        step = tf.function(step)
    callback, pruner = UpdatePruningStep(), Pruner(model)
    if form == "pruner":
        pruner.start(Run())
    else:
        callback.set_model(model)
        callback.on_train_begin()
    for x, y in BATCHES:
        if form != "pruner":
            callback.on_train_batch_begin(batch=-1)
        step(tf.constant(x, tf.float32), tf.constant(y, tf.float32))
        if form == "pruner":
            pruner.on_step()
    if form == "callback":
        callback.on_epoch_end(epoch=0)
    elif form != "pruner":
        callback.on_epoch_end(batch=-1)
    reference.train(BATCHES)
    check_equal(model, reference)


def test_gradient_accumulation_counts_updates_and_not_batches():
    model, reference = wrapped()
    optimizer, callback = tf_keras.optimizers.SGD(RATE), UpdatePruningStep()
    callback.set_model(model)
    callback.on_train_begin()
    sums = [tf.Variable(tf.zeros_like(variable)) for variable in model.trainable_variables]
    for index, (x, y) in enumerate(BATCHES):
        callback.on_train_batch_begin(index)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(tf.constant(x, tf.float32), training=True) - y) ** 2) / 3
        for total, gradient in zip(
            sums, tape.gradient(loss, model.trainable_variables), strict=True
        ):
            total.assign_add(gradient)
        if index % 3 == 2:
            optimizer.apply_gradients(zip(sums, model.trainable_variables, strict=True))
            for total in sums:
                total.assign(tf.zeros_like(total))
    callback.on_epoch_end(0)
    reference.train([(X[at : at + 12], Y[at : at + 12]) for at in range(0, 48, 12)])
    check_equal(model, reference, steps=4)


def test_float64():
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.backend.set_floatx("float64")
    tf_keras.mixed_precision.set_global_policy("float64")
    try:
        model, reference = wrapped()
        fit(model)
    finally:
        tf_keras.backend.set_floatx("float32")
        tf_keras.mixed_precision.set_global_policy(before)
    reference.train(BATCHES)
    assert model.get_layer("a").layer.kernel.dtype == "float64"
    check_equal(model, reference)
    np.testing.assert_allclose(
        model.get_layer("a").layer.kernel.numpy(), reference.weights[0], rtol=1e-10
    )


def test_a_frozen_layer_is_pruned_and_not_trained():
    model, reference = wrapped(trainable=False)
    reference.frozen = True
    fit(model)
    reference.train(BATCHES)
    check_equal(model, reference)


def test_a_layers_own_constraint_comes_first():
    model, reference = wrapped(kernel_constraint=tf_keras.constraints.MaxNorm(0.7))
    reference.max_norm = 0.7
    fit(model)
    reference.train(BATCHES)
    check_equal(model, reference)


class Watch(tf_keras.callbacks.Callback):
    """Stands before the pruner: sees weights as the optimizer left them, and the masks that were
    chosen from what it saw before.
    """

    def __init__(self):
        super().__init__()
        self.seen = {}
        self.steps = []

    def on_train_batch_begin(self, batch, logs=None):
        timetable = PRUNING.schedule.to_timetable(Run())
        for address, wrapper in find_wrappers(self.model).items():
            (weight, mask, _), step = wrapper.pruning_vars[0], int(wrapper.pruning_step)
            if step in EDGES and address in self.seen:
                share = timetable.sparsity_at(step, 0.75)
                np.testing.assert_array_equal(
                    mask.numpy(), magnitude_mask(self.seen[address], share)
                )
                assert mask.numpy().sum() == kept_count(mask.shape.num_elements(), share)
            assert not weight.numpy()[~mask.numpy()].any()
        self.steps.append(
            {int(wrapper.pruning_step) for wrapper in find_wrappers(self.model).values()}
        )

    def on_train_batch_end(self, batch, logs=None):
        for address, wrapper in find_wrappers(self.model).items():
            weight, mask, _ = wrapper.pruning_vars[0]
            assert not weight.numpy()[~mask.numpy()].any(), (
                "the optimizer itself leaves masked weights at zero"
            )
            self.seen[address] = weight.numpy()


def check_watched(model: tf_keras.Model, optimizer, **settings) -> None:
    watch = Watch()
    fit(model, optimizer, callbacks=[watch], **settings)
    assert watch.steps == [{step} for step in range(STEPS)]
    for wrapper in find_wrappers(model).values():
        assert int(wrapper.pruning_step) == STEPS
        size = wrapper.layer.kernel.shape.num_elements()
        assert (int(wrapper.last_update), np.count_nonzero(wrapper.layer.kernel.numpy())) == (
            11,
            kept_count(size, 0.75),
        )


NEW = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lion",
    "Nadam",
    "RMSprop",
    "SGD",
]
LEGACY = ["Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "Nadam", "RMSprop", "SGD"]


def test_the_tables_hold_every_optimizer():
    def classes(module):
        return sorted(
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and name not in ("Optimizer", "LossScaleOptimizer")
        )

    assert (classes(tf_keras.optimizers), classes(tf_keras.optimizers.legacy)) == (NEW, LEGACY)


QUICK = {"Adafactor", "Adam", "Ftrl", "Lion", "SGD", "legacy.Adam", "legacy.Ftrl", "legacy.SGD"}
"""Optimizers whose updates differ most; the others take the same way through the constraint."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in (*NEW, *(f"legacy.{name}" for name in LEGACY))
    ],
)
def test_every_optimizer(name):
    owner = tf_keras.optimizers.legacy if name.startswith("legacy.") else tf_keras.optimizers
    model, _ = wrapped()
    check_watched(
        model, getattr(owner, name.removeprefix("legacy."))(learning_rate=0.05), jit_compile=False
    )


@pytest.mark.parametrize("every", [None, 3])
def test_weight_averaging_leaves_masked_weights_at_zero(every):
    model, _ = wrapped()
    check_watched(
        model,
        tf_keras.optimizers.Adam(
            0.05, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=every
        ),
    )
    for wrapper in find_wrappers(model).values():
        weight, mask, _ = wrapper.pruning_vars[0]
        np.testing.assert_array_equal(weight.numpy() != 0, mask.numpy())


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("legacy", [False, True])
def test_mixed_precision_prunes_float32_weights_to_the_target_though_loss_scaling_skips_steps(
    policy, legacy
):
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        model, _ = wrapped()
        inner = tf_keras.optimizers.legacy.SGD(0.05) if legacy else tf_keras.optimizers.SGD(0.05)
        optimizer = (
            tf_keras.mixed_precision.LossScaleOptimizer(inner, initial_scale=2.0**20)
            if policy == "mixed_float16"
            else inner
        )
        check_watched(model, optimizer)
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    assert model.get_layer("a").layer.kernel.dtype == "float32"
    if policy == "mixed_float16":
        assert float(optimizer.loss_scale) < 2.0**20, "steps were skipped"


def test_a_custom_loop_with_loss_scaling_names_its_optimizer():
    model, _ = wrapped()
    optimizer = tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.SGD(RATE))
    pruner = Pruner(model, optimizer)
    pruner.start(Run())
    for index, (x, y) in enumerate(BATCHES):
        with tf.GradientTape() as tape:
            loss = optimizer.get_scaled_loss(
                tf.reduce_mean((model(tf.constant(x, tf.float32), training=True) - y) ** 2)
            )
        gradients = optimizer.get_unscaled_gradients(tape.gradient(loss, model.trainable_variables))
        if index % 4 == 1:
            gradients = [gradient * np.inf for gradient in gradients]
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        pruner.on_step()
        assert pruner.step == index + 1
    assert pruner.is_finished
    assert np.count_nonzero(model.get_layer("a").layer.kernel.numpy()) == kept_count(30, 0.75)


def test_shared_layers_count_a_step_once():
    left, right = layers.Input((6,)), layers.Input((6,))
    tower = small_model()
    model = wrap_all(
        tf_keras.Model([left, right], layers.Subtract()([tower(left), tower(right)])),
        end=11,
        every=3,
    )
    model.compile("adam", "mse")
    watch = Watch()
    model.fit(
        [X, X[::-1].copy()],
        Y,
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        callbacks=[watch, UpdatePruningStep()],
    )
    assert find_wrappers(model).keys() == {"small::a", "small::b"}
    assert watch.steps == [{step} for step in range(STEPS)]


@pytest.mark.parametrize("first", ["judge", "maker"])
def test_two_models_trained_in_turn_count_their_own_steps(first):
    tf_keras.utils.set_random_seed(5)
    maker = wrap_all(
        tf_keras.Sequential([layers.Input((3,)), layers.Dense(6, name="m")], name="maker"),
        end=5,
        every=1,
    )
    judge = wrap_all(
        tf_keras.Sequential(
            [
                layers.Input((6,)),
                layers.Dense(4, activation="tanh", name="j"),
                layers.Dense(1, name="k"),
            ]
        ),
        end=8,
        every=1,
    )
    judge.compile("adam", "mse")
    judge.trainable = False
    noise = layers.Input((3,))
    both = tf_keras.Model(noise, judge(maker(noise)))
    both.compile("adam", "mse")
    callbacks = {"judge": UpdatePruningStep(), "maker": UpdatePruningStep()}
    callbacks["judge"].set_model(judge)
    callbacks["maker"].set_model(both)
    for callback in callbacks.values():
        callback.on_train_begin()

    def train_judge():
        judge.trainable = True
        callbacks["judge"].on_train_batch_begin(0)
        judge.train_on_batch(X[:8].astype("float32"), np.ones((8, 1)))
        judge.trainable = False

    def train_maker():
        callbacks["maker"].on_train_batch_begin(0)
        both.train_on_batch(np.ones((8, 3)), np.ones((8, 1)))

    for _ in range(8):
        for train in (
            (train_judge, train_maker, train_maker)
            if first == "judge"
            else (train_maker, train_maker, train_judge)
        ):
            train()
    for callback in callbacks.values():
        callback.on_epoch_end(0)
    assert {
        address: int(wrapper.pruning_step)
        for model in (maker, judge)
        for address, wrapper in find_wrappers(model).items()
    } == {"m": 16, "j": 8, "k": 8}
    assert np.count_nonzero(maker.get_layer("m").layer.kernel.numpy()) == kept_count(18, 0.75)
    assert np.count_nonzero(judge.get_layer("j").layer.kernel.numpy()) == kept_count(24, 0.75)


@pytest.mark.parametrize("stop_first", [True, False])
def test_early_stopping_gives_back_a_whole_state_and_says_where_the_target_was_missed(
    stop_first, recwarn
):
    model, _ = wrapped()
    model.compile(tf_keras.optimizers.SGD(1e-6), "mse")
    stop, pruner = (
        tf_keras.callbacks.EarlyStopping(
            "loss", min_delta=10.0, patience=2, restore_best_weights=True
        ),
        UpdatePruningStep(),
    )
    callbacks = [stop, pruner] if stop_first else [pruner, stop]
    model.fit(
        X[:16], Y[:16], batch_size=BATCH, epochs=20, shuffle=False, verbose=0, callbacks=callbacks
    )
    text = (
        "schedule/never-reached: a, b: training ends with the weights of step 4, and the schedule"
        " reaches 75.0% at step 11; let EarlyStopping begin later (start_from_epoch), or end the"
        " schedule earlier"
    )
    assert [str(warning.message) for warning in recwarn] == [text]
    for wrapper in find_wrappers(model).values():
        weight, mask, _ = wrapper.pruning_vars[0]
        assert (int(wrapper.pruning_step), int(wrapper.last_update)) == (4, 3)
        share = PRUNING.schedule.to_timetable(Run()).sparsity_at(3, 0.75)
        assert (
            np.count_nonzero(weight.numpy())
            == mask.numpy().sum()
            == kept_count(mask.shape.num_elements(), share)
        )


def test_best_weights_restored_behind_the_pruner_after_a_whole_run_are_told_of(recwarn):
    model, _ = wrapped()
    model.compile(tf_keras.optimizers.SGD(1e-6), "mse")
    stop, pruner = (
        tf_keras.callbacks.EarlyStopping(
            "loss", min_delta=10.0, patience=9, restore_best_weights=True
        ),
        UpdatePruningStep(),
    )
    for _ in range(2):
        history = model.fit(
            X[:16],
            Y[:16],
            batch_size=BATCH,
            epochs=3,
            shuffle=False,
            verbose=0,
            callbacks=[pruner, stop],
        )
    ends = (
        "schedule/never-reached: a, b: training ends with the weights of step {}, and the schedule"
        " reaches 75.0% at step 11"
    )
    assert [str(warning.message).split(";")[0] for warning in recwarn] == [
        ends.format(4),
        ends.format(8),
    ]
    assert [int(wrapper.last_update) for wrapper in find_wrappers(model).values()] == [6, 6]
    assert "on_train_end" not in vars(history), "the history is as Keras made it"


def test_training_that_is_stopped_before_the_target_says_so():
    model, _ = wrapped()
    model.compile(tf_keras.optimizers.SGD(1e-6), "mse")
    stop = tf_keras.callbacks.EarlyStopping("loss", min_delta=10.0, patience=1)
    with pytest.warns(
        UserWarning,
        match=(
            r"^schedule/never-reached: a, b: training ends with the weights of step 8, and the"
            r" schedule reaches 75\.0% at step 11; "
        ),
    ):
        model.fit(
            X[:16],
            Y[:16],
            batch_size=BATCH,
            epochs=20,
            shuffle=False,
            verbose=0,
            callbacks=[UpdatePruningStep(), stop],
        )


@pytest.mark.parametrize("way", ["train_on_batch", "eager loop", "compiled loop"])
def test_the_first_step_without_a_pruner_says_what_to_add(way):
    model, _ = wrapped()
    model.compile("sgd", "mse")
    steps = {
        "train_on_batch": lambda: model.train_on_batch(X, Y),
        "eager loop": lambda: model(tf.constant(X, tf.float32), training=True),
        "compiled loop": tf.function(lambda: model(tf.constant(X, tf.float32), training=True)),
    }
    before = model.get_weights()
    with pytest.raises(TrainingError) as caught:
        steps[way]()
    assert str(caught.value) == str(no_pruner("a"))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def compiled_step(model: tf_keras.Model):
    """Return a user's own train step as a tf.function; the optimizer makes its variables in it."""
    optimizer = tf_keras.optimizers.Adam()

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(tf.constant(X, tf.float32), training=True) ** 2)
        optimizer.apply_gradients(
            zip(
                tape.gradient(loss, model.trainable_variables),
                model.trainable_variables,
                strict=True,
            )
        )

    return step


def around(inner: tf_keras.Model) -> tf_keras.Model:
    """Return a model that holds `inner`."""
    outer = tf_keras.Sequential([tf_keras.Input(X.shape[1:]), inner])
    outer.compile("adam", "mse")
    return outer


@pytest.mark.parametrize(
    "way",
    [
        "train_on_batch",
        "fit",
        "several steps in one execution",
        "XLA",
        "compiled loop",
        "model around it",
        "mirrored",
    ],
)
def test_after_a_refusal_training_goes_on_once_a_pruner_has_started(way):
    settings = {
        "several steps in one execution": {"steps_per_execution": 2},
        "XLA": {"jit_compile": True},
    }
    strategy = (
        tf.distribute.MirroredStrategy(["CPU:0"])
        if way == "mirrored"
        else tf.distribute.get_strategy()
    )
    with strategy.scope():
        model, _ = wrapped()
        model.compile("adam", "mse", **settings.get(way, {}))
    trained = around(model) if way == "model around it" else model
    steps = {
        "fit": lambda: trained.fit(X, Y, verbose=0),
        "several steps in one execution": lambda: trained.fit(X, Y, verbose=0),
        "compiled loop": compiled_step(trained),
    }
    step = steps.get(way, lambda: trained.train_on_batch(X, Y))
    pruner = Pruner(model) if way != "mirrored" else None
    with pytest.raises(TrainingError):
        step()
    pruner = pruner or Pruner(model)
    pruner.start(Run(4, 4))
    before = pruner.step
    step()
    assert pruner.step > before
    pruner.stop()


def test_a_train_step_that_was_traced_with_a_pruner_is_refused_once_the_pruner_has_stopped():
    model, _ = wrapped()
    model.compile("sgd", "mse")
    pruner = Pruner(model)
    pruner.start(Run(4, 4))
    model.train_on_batch(X, Y)
    pruner.stop()
    with pytest.raises(TrainingError) as caught:
        model.train_on_batch(X, Y)
    assert str(caught.value) == str(no_pruner("a"))
    pruner.start(Run(4, 4))
    model.train_on_batch(X, Y)
    assert pruner.step == 2
