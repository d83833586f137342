"""Masks on one backend of Keras 3, held against those that tf_keras has for the same weights."""

import numpy as np
from keras3.child import Cases

import graphprune

CASES = Cases()
STEPS = 6
RULES = """
version: 1
schedules:
  ramp: {curve: polynomial, from: 10%, begin: 1 steps, end: 5 steps, every: 2 steps}
  now: {curve: constant, begin: 2 steps, every: 1 steps}
rules:
  - {id: a, match: {name: free}, prune: {sparsity: 70%, schedule: ramp}}
  - {id: b, match: {name: equal}, prune: {sparsity: 55%, schedule: ramp}}
  - {id: c, match: {name: maps}, prune: {sparsity: 50%, schedule: ramp, pattern: {channel: out}}}
  - id: coupled
    match: {name: [left, right]}
    prune: {sparsity: 50%, schedule: ramp, pattern: {channel: out}, group: auto}
  - id: heads
    match: {name: attention}
    prune: {sparsity: 50%, schedule: ramp, pattern: {channel: heads}}
  - id: d
    match: {name: blocks}
    prune: {sparsity: 60%, schedule: ramp, pattern: {block: {in: 4, out: 1}}}
  - id: e
    match: {name: largest}
    prune: {sparsity: 60%, schedule: ramp, pattern: {block: {in: 2, out: 2}, pool: max}}
  - {id: f, match: {name: groups}, prune: {schedule: now, pattern: {keep: 2, of: 4, along: in}}}
"""


def model_of(library):
    """Return a model whose weights have few values, so many of them tie."""
    layers = library.layers
    x = inputs = layers.Input((6, 6, 4))
    for name in ("free", "maps"):
        x = layers.Conv2D(8, 3, kernel_initializer="zeros", name=name)(x)
    left, right = (layers.Conv2D(8, 1, name=name)(x) for name in ("left", "right"))
    x = layers.Add()([layers.BatchNormalization(name="norm")(left), right])
    x = layers.DepthwiseConv2D(3, padding="same", name="deep")(x)
    x = layers.BatchNormalization(scale=False, name="unscaled")(x)
    x = layers.Dense(8, name="mixer")(layers.Reshape((4, 8))(x))
    x = layers.MultiHeadAttention(4, 2, name="attention")(x, x)
    x = layers.Flatten()(x)
    for name in ("blocks", "largest", "groups", "equal"):
        x = layers.Dense(16, kernel_initializer="zeros", name=name)(x)
    model = library.Model(inputs, x, name="net")
    random = np.random.default_rng(5)
    for name in sorted(layer.name for layer in model.layers if layer.weights):
        layer = model.get_layer(name)
        shapes = [tuple(weight.shape) for weight in layer.weights]
        values = [random.integers(-4, 5, shape).astype("float32") / 4 for shape in shapes]
        if isinstance(layer, layers.BatchNormalization):
            values[-1] = np.ones(shapes[-1], "float32")  # the moving variance
        layer.set_weights(values)
    model.get_layer("equal").set_weights([np.ones((16, 16)), np.zeros(16)])
    return model


def masks_of(library):
    """Return the masks after each step of a training that leaves the weights as they are."""
    model = graphprune.apply_rules(model_of(library), RULES)
    model.compile(library.optimizers.SGD(0.0), "mse")
    found = {}

    class Record(library.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            for held in graphprune.collect_prunable_layers(self.model):
                for name, (_, mask, _) in zip(held.pruning.weights, held.pruning_vars, strict=True):
                    found[f"{batch}/{held.name}/{name}"] = np.array(mask, bool)

    x, y = np.ones((STEPS, 6, 6, 4), "float32"), np.ones((STEPS, 16), "float32")
    callbacks = [graphprune.UpdatePruningStep(), Record()]
    model.fit(x, y, batch_size=1, verbose=0, callbacks=callbacks)
    return found


@CASES
def masks_are_those_of_tf_keras():
    import keras

    found = masks_of(keras)
    with np.load(CASES.given) as expected:
        assert sorted(found) == sorted(expected)
        assert len(found) == STEPS * 24
        for name, mask in expected.items():
            np.testing.assert_array_equal(found[name], mask, name)
    ends = {name.partition("/")[2]: mask.mean() for name, mask in found.items()}
    expected_ends = {"free/kernel": 0.3, "maps/kernel": 0.5, "maps/bias": 0.5, "groups/kernel": 0.5}
    coupled = ("left/kernel", "left/bias", "norm/gamma", "norm/beta", "right/kernel", "right/bias")
    coupled += ("deep/depthwise_kernel", "deep/bias", "unscaled/beta", "unscaled/moving_mean")
    coupled += tuple(f"attention/{part}.kernel" for part in ("query", "key", "value"))
    expected_ends |= dict.fromkeys((*coupled, "attention/attention_output.kernel"), 0.5)
    for name, share in expected_ends.items():
        assert abs(ends[name] - share) < 0.005, ends
    assert len({mask.mean() for name, mask in found.items() if name.endswith("blocks/kernel")}) == 3
