"""Custom training loops on one backend of Keras 3, with `Pruner`."""

import keras
import numpy as np
from keras3.child import Cases, refusal
from keras3.models import SAMPLES, numbers, operations

import graphprune
from graphprune import PolynomialDecay, Run
from graphprune.errors import TrainingError

CASES = Cases()
STEPS = 6
X, TARGETS = numbers(8), np.random.default_rng(4).normal(size=(SAMPLES, 4)).astype("float32")


def tape_step(model, optimizer):
    import tensorflow as tf

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    return lambda: step(tf.constant(X), tf.constant(TARGETS))


def stateless_step(model, optimizer):
    import jax

    def loss(trained, others, x, y):
        outputs, others = model.stateless_call(trained, others, x, training=True)
        return keras.ops.mean(keras.ops.square(outputs - y)), others

    @jax.jit
    def update(trained, others, kept, x, y):
        gradients, others = jax.grad(loss, has_aux=True)(trained, others, x, y)
        trained, kept = optimizer.stateless_apply(kept, gradients, trained)
        return trained, others, kept

    def step():
        variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
        state = [[one.value for one in part] for part in variables]
        for part, values in zip(variables, update(*state, X, TARGETS), strict=True):
            for one, value in zip(part, values, strict=True):
                one.assign(value)

    return step


def backward_step(model, optimizer):
    targets = keras.ops.convert_to_tensor(TARGETS)

    def step():
        model.zero_grad()
        loss = keras.ops.mean(keras.ops.square(model(X, training=True) - targets))
        loss.backward()
        gradients = [one.value.grad for one in model.trainable_variables]
        optimizer.apply(gradients, model.trainable_variables)

    return step


def loop(model, optimizer):
    """Return one training step of the backend, as users write it."""
    kinds = {"tensorflow": tape_step, "jax": stateless_step, "torch": backward_step}
    return kinds[keras.config.backend()](model, optimizer)


def pruned():
    model, _ = operations()
    return graphprune.prune_low_magnitude(model, PolynomialDecay(0.2, 0.75, 0, 4, frequency=2))


@CASES
def masked_weights_are_zero_after_every_step():
    model, optimizer = pruned(), keras.optimizers.Adam(0.05)
    pruner = graphprune.Pruner(model, optimizer)
    pruner.start(Run(STEPS, 1))
    step = loop(model, optimizer)
    for _ in range(STEPS):
        step()
        for held in graphprune.collect_prunable_layers(model):
            for tensor in held.tensors:
                assert not tensor.read()[~tensor.read_mask()].any()
        pruner.on_step()
    assert pruner.is_finished
    assert pruner.step == STEPS
    shares = {tensor.name: tensor.zeros / tensor.size for tensor in pruner.tensors()}
    assert all(abs(share - 0.75) < 0.02 for share in shares.values()), shares


@CASES
def a_step_without_a_pruner_is_refused():
    model, optimizer = pruned(), keras.optimizers.SGD(0.05)
    optimizer.build(model.trainable_variables)
    assert "no pruner is attached" in refusal(loop(model, optimizer), TrainingError)


@CASES
def an_optimizer_that_does_not_keep_the_masks_is_refused():
    if keras.config.backend() != "jax":
        return  # elsewhere a step reads the masks wherever they are kept
    model, other = pruned(), keras.optimizers.SGD(0.05)
    other.build(model.trainable_variables)
    pruner = graphprune.Pruner(model, keras.optimizers.SGD(0.05))
    pruner.start(Run(STEPS, 1))
    assert "would be constants" in refusal(loop(model, other), TrainingError)


@CASES
def a_model_without_an_optimizer_is_refused():
    text = refusal(lambda: graphprune.Pruner(pruned()).start(Run(STEPS, 1)), TrainingError)
    assert text == (
        "net: the model has no optimizer to keep its masks; compile it first, or give the optimizer"
        " of your loop: Pruner(model, optimizer)"
    )


if __name__ == "__main__":
    CASES.run()
