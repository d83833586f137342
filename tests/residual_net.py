"""A small residual net with a depthwise convolution and batch normalization, in either Keras, whose
channels a rule prunes in groups.
"""

import json
import warnings

import numpy as np
from commands import run_command

import graphprune
from graphprune.plan import plan_to_config

STEPS = 6


def rules(begin=0, group="auto"):
    """Half of the channels of every group, from `begin` on."""
    schedule = {"curve": "linear", "begin": f"{begin} steps", "end": f"{begin + 4} steps"}
    prune = {
        "pattern": {"channel": "out"},
        "group": group,
        "sparsity": "50%",
        "schedule": schedule | {"every": "1 steps"},
    }
    return {"version": 1, "rules": [{"id": "half", "match": {"type": "Conv2D"}, "prune": prune}]}


def residual_net(library, wide=8, inner=16):
    """Return the net with `wide` channels in its sum and `inner` between its convolutions."""
    layers = library.layers
    inputs = layers.Input((6, 6, 3))
    x = layers.Conv2D(wide, 3, padding="same", name="stem")(inputs)
    x = layers.ReLU(name="relu_1")(layers.BatchNormalization(name="stem_bn")(x))
    y = layers.Conv2D(inner, 3, padding="same", use_bias=False, name="expand")(x)
    y = layers.ReLU(name="relu_2")(layers.BatchNormalization(name="expand_bn")(y))
    y = layers.DepthwiseConv2D(3, padding="same", name="deep")(y)
    y = layers.Activation("relu", name="relu_3")(
        layers.BatchNormalization(scale=False, name="deep_bn")(y)
    )
    y = layers.BatchNormalization(name="project_bn")(layers.Conv2D(wide, 1, name="project")(y))
    x = layers.ReLU(name="relu_4")(layers.Add(name="add")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return library.Model(inputs, layers.Dense(5, name="fc")(x), name="net")


def made(library, begin=0, group="auto", *, is_traced=True):
    """Return the net and its pruned clone, both compiled, with the weights of a seed."""
    library.utils.set_random_seed(7)
    net = residual_net(library)
    net.compile(library.optimizers.SGD(0.05, momentum=0.9), "mse", run_eagerly=not is_traced)
    return net, graphprune.apply_rules(net, rules(begin, group))


def _is_quick_to_trace(library):
    """Whether a few steps take less time compiled than run eagerly, as on JAX."""
    return library.__name__ != "tf_keras"


def samples():
    random = np.random.default_rng(4)
    x = random.normal(size=(4 * STEPS, 6, 6, 3)).astype("float32")
    return x, random.normal(size=(4 * STEPS, 5)).astype("float32")


def fit(model, *, first=0, last=STEPS, pruned=True):
    """Train on the batches from `first` to below `last`, in order."""
    x, y = (part[4 * first : 4 * last] for part in samples())
    callbacks = [graphprune.UpdatePruningStep()] if pruned else []
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks)


def masks_of(model):
    """The mask of each pruned tensor."""
    return {
        f"{held.name}/{name}": np.asarray(mask).astype(bool)
        for held in graphprune.collect_prunable_layers(model)
        for name, (_, mask, _) in zip(held.pruning.weights, held.pruning_vars, strict=True)
    }


def check_equal_weights(left, right):
    for a, b in zip(left.get_weights(), right.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def check_one_mask_a_group(masks):
    """Every tensor of a group has lost the same half of its channels."""
    wide = [
        "stem/kernel",
        "stem/bias",
        "stem_bn/gamma",
        "stem_bn/beta",
        "project/kernel",
        "project/bias",
    ]
    wide += ["project_bn/gamma", "project_bn/beta"]
    inner = ["expand/kernel", "expand_bn/gamma", "expand_bn/beta", "deep/bias", "deep_bn/beta"]
    inner += ["deep_bn/moving_mean"]
    assert sorted(masks) == sorted([*wide, *inner, "deep/depthwise_kernel"])
    lines = {name: mask.reshape(-1, mask.shape[-1]) for name, mask in masks.items()}
    lines["deep/depthwise_kernel"] = masks["deep/depthwise_kernel"].reshape(-1, 16)
    for names in (wide, [*inner, "deep/depthwise_kernel"]):
        first = lines[names[0]][0]
        assert first.sum() * 2 == first.size
        for name in names:
            assert (lines[name] == first).all(), name


def check_dead_channels(library, folder):
    """Train, strip, shrink, and compare."""
    net, pruned = made(library)
    fit(pruned)
    masks = masks_of(pruned)
    check_one_mask_a_group(masks)
    stripped = graphprune.strip_pruning(pruned)
    assert [layer.name for layer in stripped.layers] == [layer.name for layer in net.layers]
    assert stripped.count_params() == net.count_params() == 1893
    assert all(np.isfinite(value).all() for value in stripped.get_weights())
    stripped.save(folder / "stripped.keras")
    net.save(folder / "net.keras")
    plan = plan_to_config(graphprune.make_plan(folder / "net.keras", rules()))
    (folder / "plan.json").write_text(json.dumps(plan))
    checked = run_command("verify", folder / "stripped.keras", "--plan", folder / "plan.json")
    assert (checked.code, checked.err) == (0, ""), checked.out
    done = run_command("shrink", folder / "stripped.keras", "-o", folder / "small.keras")
    assert (done.code, done.err) == (0, "")
    small = library.models.load_model(folder / "small.keras")
    half = residual_net(library, 4, 8)
    assert [value.shape for value in small.get_weights()] == [
        value.shape for value in half.get_weights()
    ]
    assert small.count_params() == 629
    x, _ = samples()
    expected = pruned.predict(x, verbose=0)
    for model in (stripped, small):
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=0, atol=1e-5)


def check_same_training(library):
    """Before the first mask, wrapped batch normalization trains and infers as it does unwrapped."""
    net, pruned = made(library, begin=1000, is_traced=_is_quick_to_trace(library))
    x, _ = samples()
    fit(net, pruned=False)
    fit(pruned)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="net: stripped, and its masks were never updated")
        stripped = graphprune.strip_pruning(pruned)
    check_equal_weights(net, stripped)
    np.testing.assert_array_equal(net.predict(x, verbose=0), pruned.predict(x, verbose=0))


def check_going_on(library, folder):
    """Training that is saved and loaded in the middle ends with the same bits."""
    is_traced = _is_quick_to_trace(library)
    _, whole = made(library, is_traced=is_traced)
    fit(whole)
    _, half = made(library, is_traced=is_traced)
    fit(half, last=3)
    half.save(folder / "half.keras")
    again = graphprune.load_model(folder / "half.keras")
    fit(again, first=3)
    found, expected = masks_of(again), masks_of(whole)
    assert sorted(found) == sorted(expected)
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask, name)
    check_equal_weights(graphprune.strip_pruning(again), graphprune.strip_pruning(whole))
