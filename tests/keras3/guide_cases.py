"""The code of TensorFlow's pruning guides for Keras, with the toolkit's names from graphprune.

https://www.tensorflow.org/model_optimization/guide/pruning/pruning_with_keras and
https://www.tensorflow.org/model_optimization/guide/pruning/comprehensive_guide. It runs with
`tf.keras` and without environment variables. What differs: small data, short trainings that run
eagerly, since tracing takes most of their time, and weight files whose names end in `.weights.h5`,
as Keras 3 wants.
"""

import gzip
import os
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from commands import run_command
from keras3.child import Cases

import graphprune
from graphprune import (
    ConstantSparsity,
    PolynomialDecay,
    PrunableLayer,
    PruningSummaries,
    UpdatePruningStep,
    prune_low_magnitude,
    prune_scope,
    strip_pruning,
)

CASES = Cases()
RANDOM = np.random.default_rng(1)
IMAGES = RANDOM.random((96, 28, 28)).astype("float32")
LABELS = RANDOM.integers(0, 10, 96)
X = RANDOM.normal(size=(1, 20)).astype("float32")
Y = tf.keras.utils.to_categorical([3], num_classes=20)


def sparsity(weight):
    return 1 - np.count_nonzero(weight.numpy()) / int(np.prod(weight.shape))


def setup_model():
    return tf.keras.Sequential(
        [tf.keras.layers.Dense(20, input_shape=[20]), tf.keras.layers.Flatten()]
    )


def setup_pretrained_weights():
    model = setup_model()
    model.compile(
        loss=tf.keras.losses.categorical_crossentropy,
        optimizer="adam",
        metrics=["accuracy"],
        run_eagerly=True,
    )
    model.fit(X, Y, verbose=0)
    path = os.path.join(tempfile.mkdtemp(), "pretrained.weights.h5")
    model.save_weights(path)
    return path


def trained(model):
    model.compile(
        loss=tf.keras.losses.categorical_crossentropy,
        optimizer="adam",
        metrics=["accuracy"],
        run_eagerly=True,
    )
    callbacks = [UpdatePruningStep(), PruningSummaries(log_dir=tempfile.mkdtemp())]
    model.fit(X, Y, callbacks=callbacks, epochs=2, verbose=0)
    return model


@CASES
def the_variables_are_not_set():
    assert not {"KERAS_BACKEND", "TF_USE_LEGACY_KERAS"} & os.environ.keys()
    assert tf.keras.version().startswith("3.")


@CASES
def a_stripped_file_of_tf_keras_loads_after_conversion():
    import tf_keras

    folder = Path(tempfile.mkdtemp())
    inside = tf_keras.layers.Dense(20, input_shape=(20,))
    pruned = prune_low_magnitude(tf_keras.Sequential([inside]), ConstantSparsity(0.5, 0))
    graphprune.save_model(pruned, folder / "pruned.h5")
    done = run_command("strip", folder / "pruned.h5", "-o", folder / "sparse.keras", "--keras", "3")
    assert done.code == 0, done.err
    model = tf.keras.models.load_model(folder / "sparse.keras")
    assert isinstance(model, tf.keras.Model)
    np.testing.assert_allclose(model(X), strip_pruning(pruned)(X), atol=1e-6)


@CASES
def pruning_in_keras_example():
    keras = tf.keras
    model = keras.Sequential(
        [
            keras.layers.InputLayer(input_shape=(28, 28)),
            keras.layers.Reshape(target_shape=(28, 28, 1)),
            keras.layers.Conv2D(filters=12, kernel_size=(3, 3), activation="relu"),
            keras.layers.MaxPooling2D(pool_size=(2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer="adam",
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(IMAGES, LABELS, epochs=1, validation_split=0.1, verbose=0)
    batch_size, epochs, validation_split = 16, 2, 0.1
    num_images = IMAGES.shape[0] * (1 - validation_split)
    end_step = np.ceil(num_images / batch_size).astype(np.int32) * epochs
    pruning_params = {
        "pruning_schedule": PolynomialDecay(
            initial_sparsity=0.50, final_sparsity=0.80, begin_step=0, end_step=end_step, frequency=2
        )
    }
    model_for_pruning = prune_low_magnitude(model, **pruning_params)
    model_for_pruning.compile(
        optimizer="adam",
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model_for_pruning.summary(print_fn=lambda *_, **__: None)
    logdir = tempfile.mkdtemp()
    callbacks = [UpdatePruningStep(), PruningSummaries(log_dir=logdir)]
    model_for_pruning.fit(
        IMAGES,
        LABELS,
        batch_size=batch_size,
        epochs=epochs,
        validation_split=validation_split,
        callbacks=callbacks,
        verbose=0,
    )
    model_for_pruning.evaluate(IMAGES, LABELS, verbose=0)
    assert list(Path(logdir).rglob("events.*"))
    model_for_export = strip_pruning(model_for_pruning)
    for layer in (model_for_export.layers[1], model_for_export.layers[-1]):
        assert abs(sparsity(layer.kernel) - 0.8) < 0.01
    _, pruned_keras_file = tempfile.mkstemp(".h5")
    tf.keras.models.save_model(model_for_export, pruned_keras_file, include_optimizer=False)
    _, keras_file = tempfile.mkstemp(".h5")
    tf.keras.models.save_model(model, keras_file, include_optimizer=False)
    small, large = (
        len(gzip.compress(Path(path).read_bytes())) for path in (pruned_keras_file, keras_file)
    )
    assert small < large / 2
    loaded = tf.keras.models.load_model(pruned_keras_file)
    expected = model_for_export.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), expected)
    exported = os.path.join(tempfile.mkdtemp(), "exported")
    model_for_export.export(exported, verbose=False)
    served = tf.saved_model.load(exported)
    np.testing.assert_allclose(served.serve(IMAGES), expected, atol=1e-5)
    converter = tf.lite.TFLiteConverter.from_keras_model(model_for_export)
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], IMAGES[:1])
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, expected[:1], atol=1e-4)


@CASES
def whole_model():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())
    model_for_pruning = trained(prune_low_magnitude(base_model))
    assert sparsity(model_for_pruning.layers[0].kernel) == 0.5
    assert sparsity(base_model.layers[0].kernel) == 0


@CASES
def some_layers_of_a_model():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())

    def apply_pruning_to_dense(layer):
        if isinstance(layer, tf.keras.layers.Dense):
            return prune_low_magnitude(layer)
        return layer

    model_for_pruning = tf.keras.models.clone_model(
        base_model, clone_function=apply_pruning_to_dense
    )
    trained(model_for_pruning)
    assert sparsity(model_for_pruning.layers[0].kernel) == 0.5


@CASES
def layers_of_a_functional_model():
    i = tf.keras.Input(shape=(20,))
    x = prune_low_magnitude(tf.keras.layers.Dense(10))(i)
    o = tf.keras.layers.Flatten()(x)
    o = tf.keras.layers.Dense(20)(o)
    model_for_pruning = trained(tf.keras.Model(inputs=i, outputs=o))
    assert [sparsity(model_for_pruning.layers[index].kernel) for index in (1, 3)] == [0.5, 0]


@CASES
def layers_of_a_sequential_model():
    model_for_pruning = tf.keras.Sequential(
        [
            prune_low_magnitude(tf.keras.layers.Dense(20, input_shape=[20])),
            *prune_low_magnitude([tf.keras.layers.Dense(20), tf.keras.layers.Flatten()]),
        ]
    )
    trained(model_for_pruning)
    assert [sparsity(layer.kernel) for layer in model_for_pruning.layers[:2]] == [0.5, 0.5]


class MyDenseLayer(tf.keras.layers.Dense, PrunableLayer):
    """The custom layer of the guide, whose bias is pruned too."""

    def get_prunable_weights(self):
        return [self.kernel, self.bias]


@CASES
def custom_layer():
    model_for_pruning = tf.keras.Sequential(
        [prune_low_magnitude(MyDenseLayer(20, input_shape=[20])), tf.keras.layers.Flatten()]
    )
    trained(model_for_pruning)
    (held,) = graphprune.collect_prunable_layers(model_for_pruning)
    shares = {tensor.name: tensor.read_mask().mean() for tensor in held.tensors}
    assert shares == {"kernel": 0.5, "bias": 0.5}, shares


@CASES
def custom_training_loop():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())
    model_for_pruning = prune_low_magnitude(base_model)
    loss = tf.keras.losses.categorical_crossentropy
    optimizer = tf.keras.optimizers.Adam()
    unused_arg = -1
    epochs, batches = 2, 1
    model_for_pruning.optimizer = optimizer
    step_callback = UpdatePruningStep()
    step_callback.set_model(model_for_pruning)
    log_callback = PruningSummaries(log_dir=tempfile.mkdtemp())
    log_callback.set_model(model_for_pruning)
    step_callback.on_train_begin()
    for _ in range(epochs):
        log_callback.on_epoch_begin(epoch=unused_arg)
        for _ in range(batches):
            step_callback.on_train_batch_begin(batch=unused_arg)
            with tf.GradientTape() as tape:
                logits = model_for_pruning(X, training=True)
                loss_value = loss(Y, logits)
                grads = tape.gradient(loss_value, model_for_pruning.trainable_variables)
                optimizer.apply_gradients(
                    zip(grads, model_for_pruning.trainable_variables, strict=True)
                )
        step_callback.on_epoch_end(batch=unused_arg)
    assert sparsity(model_for_pruning.layers[0].kernel) == 0.5


@CASES
def checkpoint_and_deserialize():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())
    model_for_pruning = trained(prune_low_magnitude(base_model, ConstantSparsity(0.75, 0)))
    _, keras_model_file = tempfile.mkstemp(".keras")
    model_for_pruning.save(keras_model_file)
    with prune_scope():
        loaded_model = tf.keras.models.load_model(keras_model_file)
    assert len(graphprune.collect_prunable_layers(loaded_model)) == 1
    loaded_model.evaluate(X, Y, verbose=0)
    trained(loaded_model)
    model_for_export = strip_pruning(loaded_model)
    assert sparsity(model_for_export.layers[0].kernel) == 0.75
    model_for_export.save(keras_model_file)
    tf.keras.models.load_model(keras_model_file)


if __name__ == "__main__":
    CASES.run()
