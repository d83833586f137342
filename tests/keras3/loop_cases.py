"""Custom training loops on one backend of Keras 3, with `Pruner`."""

import tempfile
from pathlib import Path

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
        (_, others), gradients = jax.value_and_grad(loss, has_aux=True)(trained, others, x, y)
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


def assert_zero(model):
    for held in graphprune.collect_prunable_layers(model):
        for tensor in held.tensors:
            assert not tensor.read()[~tensor.read_mask()].any(), held.name


def assert_finished(pruner):
    assert pruner.is_finished
    assert pruner.step == STEPS
    shares = {tensor.name: tensor.zeros / tensor.size for tensor in pruner.tensors()}
    assert all(abs(share - 0.75) < 0.02 for share in shares.values()), shares


def trained(model, pruner, step):
    """Train with a loop, and hold that masked weights are zero after every step."""
    pruner.start(Run(STEPS, 1))
    for _ in range(STEPS):
        step()
        assert_zero(model)
        pruner.on_step()
    assert_finished(pruner)


@CASES
def masked_weights_are_zero_after_every_step():
    model, optimizer = pruned(), keras.optimizers.Adam(0.05)
    pruner = graphprune.Pruner(model, optimizer)
    pruner.start(Run(STEPS, 1))
    trained(model, pruner, loop(model, optimizer))


def skip(model, optimizer):
    """Apply gradients that are not finite, which loss scaling leaves out."""
    gradients = [keras.ops.full(one.shape, np.inf) for one in model.trainable_variables]
    if keras.config.backend() != "jax":
        optimizer.apply(gradients, model.trainable_variables)
        return
    variables = optimizer.variables
    kept, trained = ([one.value for one in part] for part in (variables, model.trainable_variables))
    _, kept = optimizer.stateless_apply(kept, gradients, trained)
    for one, value in zip(variables, kept, strict=True):
        one.assign(value)


@CASES
def updates_that_loss_scaling_skips_count_as_steps():
    model = pruned()
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.05))
    pruner = graphprune.Pruner(model, optimizer)
    pruner.start(Run(STEPS, 1))
    step = loop(model, optimizer)
    for number in range(STEPS):
        if number % 3 == 1:
            skip(model, optimizer)
        else:
            step()
        assert_zero(model)
        pruner.on_step()
        assert pruner.step == number + 1
    assert_finished(pruner)


@CASES.fast_on("jax")
def averages_are_written_into_the_model():
    model, optimizer = pruned(), keras.optimizers.Adam(0.05, use_ema=True)
    pruner = graphprune.Pruner(model, optimizer)
    pruner.start(Run(STEPS, 1))
    trained(model, pruner, loop(model, optimizer))
    optimizer.finalize_variable_values(model.trainable_variables)
    assert_zero(model)


@CASES
def single_batches():
    model = pruned()
    model.compile(keras.optimizers.Adam(0.05), "mse")
    refused = refusal(lambda: model.train_on_batch(X, TARGETS), TrainingError)
    assert "a: a pruned layer is being trained and no pruner is attached" in refused
    pruner = graphprune.Pruner(model)
    trained(model, pruner, lambda: model.train_on_batch(X, TARGETS))
    pruner.stop()
    assert refusal(lambda: model.train_on_batch(X, TARGETS), TrainingError) == refused


class OwnStep(keras.Model):
    """A model with a training step of its own, as the guides of Keras write it."""

    if keras.config.backend() == "tensorflow":

        def train_step(self, data):
            import tensorflow as tf

            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    elif keras.config.backend() == "jax":

        def loss_of(self, trained, others, x, y):
            outputs, others = self.stateless_call(trained, others, x, training=True)
            return self.compute_loss(y=y, y_pred=outputs), others

        def train_step(self, state, data):
            import jax

            trained, others, kept, metrics = state
            gradient_of = jax.value_and_grad(self.loss_of, has_aux=True)
            (loss, others), gradients = gradient_of(trained, others, *data)
            trained, kept = self.optimizer.stateless_apply(kept, gradients, trained)
            return {"loss": loss}, (trained, others, kept, metrics)

    else:

        def train_step(self, data):
            import torch

            x, y = data
            self.zero_grad()
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            loss.backward()
            gradients = [one.value.grad for one in self.trainable_weights]
            with torch.no_grad():
                self.optimizer.apply(gradients, self.trainable_weights)
            return {"loss": loss}


class Watch(keras.callbacks.Callback):
    """Holds that masked weights are zero after every step of `fit`."""

    seen = 0

    def on_train_batch_end(self, batch, logs=None):
        assert_zero(self.model)
        self.seen += 1


@CASES
def a_training_step_of_ones_own():
    plain, _ = operations()
    model = OwnStep(plain.inputs, plain.outputs, name="own")
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model = graphprune.prune_low_magnitude(model, PolynomialDecay(0.2, 0.75, 0, 4, frequency=2))
    assert type(model) is OwnStep
    text = refusal(lambda: model.fit(X, TARGETS, verbose=0), TrainingError)
    assert "a: a pruned layer is being trained and no pruner is attached" in text
    callback, watch = graphprune.UpdatePruningStep(), Watch()
    model.fit(X, TARGETS, batch_size=SAMPLES, epochs=STEPS, verbose=0, callbacks=[callback, watch])
    assert watch.seen == STEPS
    assert_finished(callback.pruner)


def documented():
    """Return the Python of each section of the page on custom loops; the first one is for all."""
    page = (Path(__file__).parents[2] / "docs" / "custom-loops.md").read_text(encoding="utf-8")
    parts = page.split("\n## ")
    return {
        part.partition("\n")[0]: "\n".join(part.split("```python\n")[1].split("```")[:1])
        for part in parts
        if "```python" in part
    }


@CASES
def the_documented_loops_run():
    first, *sections = documented().items()
    name = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}[keras.config.backend()]
    run = [text for title, text in sections if title.startswith((name, "train_on_batch"))]
    assert len(run) == (3 if name == "PyTorch" else 2)
    for text in run:
        names = {}
        exec(first[1] + text, names)
        assert names["pruner"].is_finished
        assert names["pruner"].step == names["steps"]
        assert_zero(names["model"])


if keras.config.backend() == "torch":
    import torch

    def torch_step(model, optimizer):
        targets = keras.ops.convert_to_tensor(TARGETS)

        def step():
            optimizer.zero_grad()
            keras.ops.mean(keras.ops.square(model(X, training=True) - targets)).backward()
            optimizer.step()

        return step

    @CASES
    def optimizers_of_torch():
        for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
            model = pruned()
            options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
            optimizer = kind(model.parameters(), lr=0.05, **options)
            pruner, step = graphprune.Pruner(model, optimizer), torch_step(model, optimizer)
            trained(model, pruner, step)
            pruner.stop()
            assert "no pruner is attached" in refusal(step, TrainingError)

    @CASES
    def a_loop_of_torch_continues_from_a_file():
        path = str(Path(tempfile.mkdtemp()) / "half.keras")
        model = pruned()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        pruner, step = graphprune.Pruner(model, optimizer), torch_step(model, optimizer)
        pruner.start(Run(STEPS, 1))
        for _ in range(3):
            step()
            pruner.on_step()
        model.save(path)
        with graphprune.prune_scope():
            loaded = keras.models.load_model(path)
        other = torch.optim.SGD(loaded.parameters(), lr=0.05)
        resumed, other_step = graphprune.Pruner(loaded, other), torch_step(loaded, other)
        resumed.start(Run(STEPS, 1), done=3)
        for _ in range(3, STEPS):
            other_step()
            resumed.on_step()
        assert_finished(resumed)
        assert_zero(loaded)

    @CASES
    def weights_written_elsewhere_are_projected():
        model = pruned()
        pruner = graphprune.Pruner(model, torch.optim.SGD(model.parameters(), lr=0.05))
        pruner.start(Run(STEPS, 1))
        held = graphprune.collect_prunable_layers(model)[0].tensors[0]
        held.write(np.ones(held.shape, "float32"))
        pruner.project()
        assert_zero(model)


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
