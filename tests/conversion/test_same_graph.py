"""The same architecture in both Kerases is the same layer graph."""

from typing import Any

import numpy as np
import pytest
from both_kerases import CASES, KERASES, Pair, matrix_model
from commands import run_command

import graphprune
from graphprune.graph.architecture import hash_architecture
from graphprune.graph.read import open_model_file

pytestmark = pytest.mark.tf

SHORT = (
    *("dense", "conv2", "depthwise2", "separable2", "conv3_up", "embedding", "masked_embedding"),
    *("lstm", "gru", "rnn_of_cells", "bidirectional", "bidirectional_unlike", "attention"),
    *(
        "dot_attention",
        "batch_norm",
        "layer_norm",
        "prelu",
        "LeakyReLU",
        "GaussianNoise",
        "Resizing",
    ),
    *("RandomRotation", "time_distributed_deep", "decoder", "string_lookup", "discretization_told"),
)
NOT_IN_BOTH = {
    *("DenseFeatures", "RandomHeight", "RandomWidth", "ThresholdedReLU", "fourier"),
    *("local1", "local1_full", "local1_sparse", "local2", "local2_full"),
    *("dynamic_embedding", "dynamic_lookup"),
}
NOT_BUILT = {
    "Layer": "Keras 3 cannot call it",
    "RandomBrightness": "tf_keras cannot save it next to Keras 3's copy",
    "attention_by_keyword": "its connection calls a function of TensorFlow",
    "spectral": "tf_keras cannot save it by a call outside of graphprune",
    "AveragePooling1D": "Keras 3 needs a pool size",
    "AveragePooling2D": "Keras 3 needs a pool size",
    "AveragePooling3D": "Keras 3 needs a pool size",
}
DIFFERENT = {
    "conv_lstm1": "config.recurrent_activation  hard_sigmoid -> sigmoid",
    "conv_lstm2": "config.recurrent_activation  hard_sigmoid -> sigmoid",
    "conv_lstm3": "config.recurrent_activation  hard_sigmoid -> sigmoid",
    "RandomContrast": "config.factor  [0.5, 0.5] -> [0, 0.5]",
    "RandomCrop": "class_name  at inference, resizes as image.smart_resize does -> at inference,",
}
"""What programs that are written alike make differently, as `diff` says it."""
STORED_OTHERWISE = {
    "Lambda": "tf_keras stores the code of a function, Keras 3 its name",
    "discretization": "tf_keras stores the counts that it adapts to",
    "sync_batch_norm": "its name is that of its class, which tf_keras alone has",
}
EACH = sorted(
    CASES[2].keys() - NOT_IN_BOTH - NOT_BUILT.keys() - DIFFERENT.keys() - STORED_OTHERWISE.keys()
)


def test_layers_side_by_side_are_the_same(tmp_path):
    names = [name for name in SHORT if name in EACH]
    pair = Pair.of(tmp_path, lambda version: matrix_model(version, names))
    pair.check_same()


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_every_layer_that_both_have_is_the_same(tmp_path, name):
    pair = Pair.of(tmp_path, lambda version: matrix_model(version, [name]))
    pair.check_same()


@pytest.mark.parametrize("name", ["conv_lstm1", "RandomCrop"])
def test_what_differs_is_said(tmp_path, name):
    check_said(tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_everything_that_differs_is_said(tmp_path, name):
    check_said(tmp_path, name)


def check_said(folder: Any, name: str) -> None:
    pair = Pair.of(folder, lambda version: matrix_model(version, [name]))
    lines = run_command("diff", pair.two, pair.three).out.splitlines()
    assert [line for line in lines if DIFFERENT[name] in line] != []


def operations(version: int) -> Any:
    library = KERASES[version]
    layers, ops = library.layers, Operations(version)
    a, b = layers.Input((4, 6)), layers.Input((4, 6))
    x = layers.Dense(6, name="left")(a) + layers.Dense(6, name="right")(b)
    y = ops.mean(3.0 - x * 2.0, axis=1)
    z = ops.concat([ops.relu(x[:, 1:3]), b], axis=1)
    return library.Model([a, b], [layers.Dense(2, name="out")(y), z], name="operations")


class Operations:
    """The functions that programs call in each Keras."""

    def __init__(self, version: int) -> None:
        if version == 2:
            import tensorflow as tf

            self.mean, self.concat, self.relu = tf.reduce_mean, tf.concat, tf.nn.relu
            self.greater = tf.greater
        else:
            from keras import ops

            self.mean, self.concat, self.relu = ops.mean, ops.concatenate, ops.relu
            self.greater = ops.greater


def activated(version: int) -> Any:
    """Return a model with an activation of two names, of which each Keras writes another."""
    library = KERASES[version]
    layers = library.layers
    cells = layers.LSTM(2, activation="swish", recurrent_activation="silu", name="cells")
    return library.Sequential(
        [
            layers.Input((4, 3), name="x"),
            layers.Dense(
                4, "swish", bias_initializer=library.initializers.Constant(0), name="dense"
            ),
            layers.Activation("silu", name="act"),
            layers.Bidirectional(cells, name="both"),
        ],
        name="activated",
    )


def nested(version: int) -> Any:
    library = KERASES[version]
    layers = library.layers
    inner = library.Sequential([layers.Input((4,)), layers.Dense(4, name="fc")], name="inner")
    part = layers.Input((4,), name="part")
    deep = library.Model(part, layers.Dense(3, name="d")(layers.ReLU(name="r")(part)), name="deep")
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    shared = layers.Dense(4, activation="relu", kernel_regularizer="l2", name="shared")
    x = layers.Add(name="together")([inner(shared(a)), inner(b)])
    return library.Model([a, b], [deep(x), deep(shared(x))], name="nested")


def masked(version: int) -> Any:
    library, ops = KERASES[version], Operations(version)
    layers = library.layers
    words, other = layers.Input((6,), name="w"), layers.Input((6, 5), name="s")
    e = layers.Embedding(9, 5, mask_zero=True, name="e")(words)
    x, *state = layers.LSTM(4, return_sequences=True, return_state=True, name="l")(e)
    both = layers.Bidirectional(layers.GRU(3, return_sequences=True, name="g"), name="b")(x)
    y = layers.LSTM(4, return_sequences=True, name="m")(layers.Masking(name="mask")(other))
    attended = layers.MultiHeadAttention(2, 3, name="mha")(x, y)
    own = layers.LSTM(2, name="own")(other, mask=ops.greater(words, 2.0))
    last = layers.LSTM(2, name="last")(y)
    steps = layers.TimeDistributed(layers.Dense(2, name="d"), name="t")(both)
    begun = layers.GRU(4, name="begun")(other, initial_state=state[0])
    outputs = [attended, own, last, steps, begun]
    return library.Model([words, other], outputs, name="masked")


def causal(version: int) -> Any:
    layers = KERASES[version].layers
    steps, heads = layers.Input((6, 5), name="s"), layers.MultiHeadAttention(2, 3, output_shape=4)
    return KERASES[version].Model(steps, heads(steps, steps, use_causal_mask=True), name="causal")


WHOLE = [operations, activated, nested, masked, causal]


@pytest.mark.parametrize("build", WHOLE, ids=lambda build: build.__name__)
def test_whole_models_are_the_same(tmp_path, build):
    Pair.of(tmp_path, build).check_same()


def test_hdf5_files_of_whole_models_are_the_same(tmp_path):
    Pair.of(tmp_path, masked, (".h5", ".keras")).check_same()
    Pair.of(tmp_path, masked, (".keras", ".h5")).check_same()


def test_rules_select_the_same(tmp_path):
    pair = Pair.of(tmp_path, masked)
    for rule in RULES:
        found = [_claimed(path, rule) for path in (pair.two, pair.three)]
        assert found[0] == found[1] != {}, rule


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2", "InceptionV3", "MobileNet"),
        *("MobileNetV2", "ResNet50", "ResNet50V2", "VGG16", "Xception"),
    ],
)
def test_applications_are_the_same(tmp_path, name):
    """Those that both Kerases build alike, with the same names."""
    paths = [tmp_path / "2.keras", tmp_path / "3.keras"]
    for library, path in zip(KERASES.values(), paths, strict=True):
        library.backend.clear_session()
        model = getattr(library.applications, name)(
            weights=None, input_shape=(75, 75, 3), classes=2
        )
        graphprune.save_model(model, path)
    done = run_command("diff", *paths, "--no-values")
    assert done.out == "No differences in graph and pruning; weights were not compared.\n"
    assert len({hash_architecture(graphprune.read_graph(path)) for path in paths}) == 1


@pytest.mark.parametrize(
    ("test", "matches"),
    [
        ("swish", True),
        ("silu", True),
        ("{in: [relu, swish]}", True),
        ("{regex: swi.*}", True),
        ("{regex: sil.*}", True),
        ("{not: silu}", False),
        ("{not: swish}", False),
        ("{not: {regex: 'swish|relu'}}", False),
        ("{not: relu}", True),
        ("relu", False),
    ],
)
def test_rules_know_an_activation_by_each_name(tmp_path, test, matches):
    pair = Pair.of(tmp_path, activated)
    for path in (pair.two, pair.three):
        rule = f"{{name: dense, config: {{activation: {test}}}}}"
        if matches:
            assert _claimed(path, rule) == {"dense": ["kernel"]}
        else:
            with pytest.raises(graphprune.RuleError, match="matches no layer"):
                _claimed(path, rule)


def test_renamed_layers_are_found_in_the_other_keras(tmp_path):
    for version, name in ((2, "conv/1"), (3, "conv_1")):
        layers = KERASES[version].layers
        parts = [layers.Input((4, 4, 2), name="x"), layers.Conv2D(2, 2, name=name)]
        model = KERASES[version].Sequential([*parts, layers.Flatten(name="f")], name="m")
        model.save(tmp_path / f"{version}.keras")
    done = run_command("diff", tmp_path / "2.keras", tmp_path / "3.keras", "--no-values")
    assert "conv_1  Conv2D   renamed from conv/1 (equal structure)" in done.out


RULES = (
    "{type: LSTM}",
    "{isa: RNN, config: {zero_output_for_mask: false, time_major: false}}",
    "{config: {use_bias: true}, not: {type: Embedding}}",
    "{after: {type: Greater}}",
    "{after: {type: TFOpLambda, config: {function: {regex: '.*greater'}}}}",
    "{weight: {rank: 3}}",
)


def _claimed(path: Any, match: str) -> dict[str, Any]:
    prune = "{sparsity: 50%, schedule: {curve: constant, begin: 0 steps, every: 10 steps}}"
    text = f"version: 1\nrules:\n  - id: r\n    match: {match}\n    prune: {prune}\n"
    plan = graphprune.make_plan(graphprune.read_graph(path), text)
    claimed = [change for change in plan.changes if change.is_change]
    return {change.address: [tensor.name for tensor in change.tensors] for change in claimed}


def test_a_converted_file_is_the_same(tmp_path):
    masked(2).save(tmp_path / "two.keras")
    operations(2).save(tmp_path / "more.keras")
    for name in ("two", "more"):
        graphprune.convert(tmp_path / f"{name}.keras", tmp_path / "three.keras", keras=3)
        done = run_command("diff", tmp_path / f"{name}.keras", tmp_path / "three.keras")
        assert done.out == "No differences.\n"


def test_a_mask_of_the_programs_own_is_converted(tmp_path):
    masked(3).save(tmp_path / "three.keras")
    graphprune.convert(tmp_path / "three.keras", tmp_path / "two.keras", keras=2)
    rng = np.random.default_rng(0)
    given = [rng.integers(0, 5, (2, 6)), rng.normal(size=(2, 6, 5)).astype("float32")]
    three = KERASES[3].models.load_model(tmp_path / "three.keras")(given)
    two = graphprune.load_model(tmp_path / "two.keras")(given)
    for left, right in zip(two, three, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("version", [2, 3])
def test_a_mask_that_two_attentions_take_is_refused(tmp_path, version):
    layers = KERASES[version].layers
    words, other = layers.Input((6,)), layers.Input((6, 4))
    coded = layers.Embedding(9, 4, mask_zero=True)(words)
    heads = [layers.MultiHeadAttention(2, 3, name=name) for name in ("one", "two")]
    model = KERASES[version].Model([words, other], [each(other, coded) for each in heads])
    graphprune.save_model(model, tmp_path / "before.keras")
    with pytest.raises(graphprune.GraphError, match=r"'two' \(MultiHeadAttention\): .* deletes it"):
        graphprune.convert(tmp_path / "before.keras", tmp_path / "o.keras", keras=5 - version)
    assert not (tmp_path / "o.keras").exists()


def test_hard_sigmoid_is_said_to_differ(tmp_path):
    def build(version: int) -> Any:
        layers = KERASES[version].layers
        dense = layers.Dense(2, activation="hard_sigmoid", name="d")
        return KERASES[version].Sequential([layers.Input((3,), name="x"), dense], name="m")

    pair = Pair.of(tmp_path, build)
    graph = open_model_file(pair.two).graph
    assert run_command("diff", pair.two, pair.two).out == "No differences.\n"
    assert graph.keras == 2
    said = (
        "  ~ d  config.activation  hard_sigmoid of tf_keras, 0.2 x + 0.5 clipped to 0 and 1 ->"
        " hard_sigmoid of Keras 3, x / 6 + 0.5 clipped to 0 and 1"
    )
    assert said in run_command("diff", pair.two, pair.three).out.splitlines()
