"""Models of one Keras as models of the other: equal outputs, and clear refusals."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from commands import run_command
from layer_matrix import CASES, Case, build_bench
from shrink.nets import of_application, scaled_sums
from tf_keras import layers
from tf_zoo import sample

import graphprune
from graphprune.archive.operations import by_class
from graphprune.errors import GraphError
from graphprune.graph.architecture import hash_architecture

pytestmark = pytest.mark.tf

NO_COUNTERPART = {
    "conv_lstm1": "hard_sigmoid",
    "conv_lstm2": "hard_sigmoid",
    "conv_lstm3": "hard_sigmoid",
    "discretization": "bin_boundaries",
    "dynamic_embedding": "has a non-numeric dtype",
    "dynamic_lookup": "has a non-numeric dtype",
    "fourier": "RandomFourierFeatures",
    "local1": "LocallyConnected1D",
    "local1_full": "LocallyConnected1D",
    "local1_sparse": "LocallyConnected1D",
    "local2": "LocallyConnected2D",
    "local2_full": "LocallyConnected2D",
    "DenseFeatures": "DenseFeatures",
    "Lambda": "Lambda",
    "Layer": "Layer",
    "RandomCrop": "RandomCrop",
    "RandomHeight": "RandomHeight",
    "RandomWidth": "RandomWidth",
    "ThresholdedReLU": "ThresholdedReLU",
}
"""What the refusal of a case names."""
UNTRACEABLE = {"spectral"}
"""tf_keras alone cannot save or build these by a call outside of graphprune."""


@dataclass(frozen=True)
class Both:
    """A model of tf_keras in three files: as it was saved, for Keras 3, and back again."""

    two: Path
    three: Path
    back: Path

    def convert(self) -> None:
        graphprune.convert(self.two, self.three, keras=3)
        graphprune.convert(self.three, self.back, keras=2)

    def outputs(self, inputs: list[Any]) -> Iterator[np.ndarray]:
        """Yield what each file computes, flat."""
        given = inputs if len(inputs) > 1 else inputs[0]
        for path, load in (
            (self.two, graphprune.load_model),
            (self.three, keras.models.load_model),
            (self.back, graphprune.load_model),
        ):
            model = load(path)
            found = model(given, training=False)
            several = found if isinstance(found, list | tuple) else [found]
            yield np.concatenate([np.asarray(each, "float64").ravel() for each in several])


def both(folder: Path, model: tf_keras.Model, suffix: str = ".keras") -> Both:
    files = Both(folder / f"two{suffix}", folder / "three.keras", folder / "back.keras")
    model.save(files.two)
    return files


def arrays(model: tf_keras.Model) -> list[np.ndarray]:
    given = sample(model, 2, 0, words=5)
    several = list(given.values()) if isinstance(given, dict) else given
    return [
        np.array(each) for each in (several if isinstance(several, list | tuple) else [several])
    ]


def check_equal(files: Both, inputs: list[np.ndarray]) -> None:
    files.convert()
    before, three, back = files.outputs(inputs)
    np.testing.assert_allclose(three, before, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(back, before, rtol=1e-6, atol=1e-6)


def model_of(case: Case) -> tf_keras.Model:
    inputs = [
        layers.Input(shape, dtype=case.sample.dtype, batch_size=case.batch)
        for shape in case.sample.shapes
    ]
    tf_keras.utils.set_random_seed(1)
    return tf_keras.Model(inputs, case.connect(case.sample.make(), inputs))


EACH = sorted(CASES.keys() - NO_COUNTERPART.keys() - UNTRACEABLE)
SHORT = (
    *("dense", "einsum", "embedding", "conv1", "conv2", "conv2_groups", "conv2_up", "depthwise2"),
    *("separable2", "lstm", "gru", "bidirectional", "attention", "batch_norm", "layer_norm"),
    *("prelu", "dot_attention", "normalization", "decoder", "masked_embedding", "LeakyReLU"),
    *("MaxPooling2D", "Concatenate", "SpatialDropout1D", "RandomFlip", "Resizing", "Dot"),
)


def test_layers_side_by_side_compute_the_same(tmp_path):
    model = build_bench(SHORT).model  # one model, since building takes longest
    check_equal(both(tmp_path, model), arrays(model))


def test_a_layer_of_an_application_computes_the_same(tmp_path):
    model = scaled_sums(tf_keras)
    files = both(tmp_path, model)
    check_equal(files, arrays(model))
    assert run_command("diff", files.two, files.three).out == "No differences.\n"
    model.save(tmp_path / "two.h5")
    graphs = [graphprune.read_graph(path) for path in (files.two, files.back, tmp_path / "two.h5")]
    assert len({(graph.sha256, hash_architecture(graph)) for graph in graphs}) == 1
    assert hash_architecture(graphprune.read_graph(files.three)) == hash_architecture(graphs[0])


@pytest.mark.parametrize(
    ("package", "said"),
    [(keras, "tf_keras cannot take a LayerScale layer"), (tf_keras, "is not part of Keras")],
)
def test_a_layer_that_tf_keras_cannot_load_is_refused_by_name(package, said, tmp_path):
    x = package.Input((4,))
    scale = of_application(package, "convnext").LayerScale(0.5, 4, name="scale")
    package.Model(x, scale(x)).save(tmp_path / "net.keras")
    with pytest.raises(graphprune.GraphpruneError, match=f"layer 'scale'.*{said}"):
        graphprune.convert(
            tmp_path / "net.keras", tmp_path / "other.keras", keras=2 if package is keras else 3
        )
    assert not (tmp_path / "other.keras").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_every_layer_that_both_have_computes_the_same(tmp_path, name):
    model = model_of(CASES[name])
    check_equal(both(tmp_path, model), arrays(model))


@pytest.mark.parametrize("name", ["local1", "conv_lstm2", "Lambda", "ThresholdedReLU"])
def test_what_has_no_counterpart_is_refused_by_name(tmp_path, name):
    check_refused(tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NO_COUNTERPART))
def test_everything_without_counterpart_is_refused_by_name(tmp_path, name):
    check_refused(tmp_path, name)


def check_refused(folder: Path, name: str) -> None:
    files = both(folder, model_of(CASES[name]))
    with pytest.raises(graphprune.GraphpruneError, match=NO_COUNTERPART[name]):
        graphprune.convert(files.two, files.three, keras=3)
    assert not files.three.exists()


def squashed(x: Any) -> Any:
    return tf_keras.activations.tanh(x)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            squashed,
            "layer 'd': the activation 'squashed' is not part of Keras, so it cannot be converted;"
            " replace it before the model is converted",
        ),
        (
            lambda x: x,
            "layer 'd' (Dense): Keras 3 cannot take a lambda for the setting 'activation'; replace"
            " the layer before the model is converted",
        ),
    ],
)
def test_a_function_of_ones_own_is_refused_by_name(tmp_path, function, said):
    inputs = layers.Input((3,))
    model = tf_keras.Model(inputs, layers.Dense(2, function, name="d")(inputs))
    files = both(tmp_path, model, ".h5")
    with pytest.raises(graphprune.GraphpruneError) as caught:
        graphprune.convert(files.two, files.three, keras=3)
    assert str(caught.value) == f"{files.two}: {said}"


def test_the_notes_of_tensorflow_stay_off_the_terminal(tmp_path, monkeypatch):
    """The conversion imports the other Keras by itself, which prints them."""
    order: list[Any] = []
    tf_keras.Sequential([layers.Dense(3, input_shape=(4,))]).save(tmp_path / "two.keras")
    for home in ("graphprune.cli.convert", "graphprune.cli.planning"):
        monkeypatch.setattr(f"{home}.import_quietly", lambda keras: order.append(keras))
    rules = tmp_path / "rules.yaml"
    rules.write_text("version: 1\nrules:\n  - id: d\n    match: {type: Dense}\n    keep: true\n")
    monkeypatch.setattr(
        "graphprune.conversion.convert.Library", lambda keras: order.append("import") or 1 / 0
    )
    for arguments in (("convert",), ("apply", "-r", rules)):
        with pytest.raises(ZeroDivisionError):
            run_command(
                *arguments, tmp_path / "two.keras", "-o", tmp_path / "three.keras", "--keras", 3
            )
    assert order == [3, "import"] * 2


def operations() -> tf_keras.Model:
    import tensorflow as tf

    a, b = layers.Input((4, 6), name="a"), layers.Input((4, 6), name="b")
    x = 3.0 - (a * 2.0 + 1.0) / (b + 7.0)
    y = tf.reshape(x, (-1, 24))[:, 2:8:2]
    z = tf.transpose(tf.concat([a, b], axis=-1), (0, 2, 1))
    w = tf.where(a > 0, tf.sqrt(tf.abs(b)), 0.0)
    v = tf.clip_by_value(tf.nn.softmax(tf.matmul(a, tf.transpose(b, (0, 2, 1)))), 0.1, 0.9)
    means = [tf.reduce_mean(each, axis=1, keepdims=True) for each in (x, w, tf.nn.gelu(a))]
    return tf_keras.Model([a, b], [y, z, v, tf.stack(means, axis=1), tf.squeeze(y[:, :, None], -1)])


def every_operation() -> tf_keras.Model:
    import tensorflow as tf

    a, b = layers.Input((2, 3), name="a"), layers.Input((2, 3), name="b")
    p, q = tf.abs(a) + 0.5, tf.maximum(b, 1.5)  # logarithms and roots have values there
    numbers = [
        *(p + q, p - q, p * q, p / q, p // q, p**q, tf.maximum(p, q), tf.minimum(p, q)),
        *(-p, tf.abs(a), tf.square(a), tf.sqrt(p), tf.exp(a), tf.math.log(p)),
        *(tf.sin(a), tf.cos(a), tf.sign(a), tf.floor(a), tf.math.ceil(a), tf.tanh(a)),
        *(tf.math.rsqrt(p), tf.ones_like(a), tf.zeros_like(a)),
        *(tf.nn.relu(a), tf.nn.relu6(a), tf.sigmoid(a), tf.math.softplus(a), tf.nn.softsign(a)),
        *(tf.nn.selu(a), tf.nn.silu(a), tf.nn.elu(-p), tf.nn.gelu(a), tf.nn.leaky_relu(-p, 0.3)),
        *(tf.nn.leaky_relu(-q), tf.nn.gelu(b, approximate=True)),
        *(tf.nn.softmax(a, axis=1), tf.nn.log_softmax(a), tf.stop_gradient(a)),
        *(tf.clip_by_value(a, -0.2, 0.3), tf.where(a > b, a, b)),
    ]
    reduced = [
        *(tf.reduce_mean(a, 1), tf.reduce_sum(a, 1), tf.reduce_max(a, 1), tf.reduce_min(a, 1)),
        *(tf.reduce_prod(a, 1), tf.math.reduce_std(a, 1), tf.math.reduce_variance(a, 1)),
    ]
    flags = [
        *(a > b, a >= b, a < b, a <= b, tf.equal(a, b), tf.not_equal(a, b)),
        *(tf.logical_and(a > 0, b > 0), tf.logical_or(a > 0, b > 0), tf.logical_not(a > 0)),
    ]
    told = [tf.reduce_any(a > 1, 1), tf.reduce_all(a > -1, 1)]
    shaped = [
        *(tf.reshape(a, (-1, 6)), tf.transpose(a, (0, 2, 1)), tf.expand_dims(a, 1)),
        *(
            tf.squeeze(tf.expand_dims(b, 1), 1),
            tf.concat([a, b], 1),
            tf.matmul(a, b[:, 0, :, None]),
        ),
        tf.tile(a, (1, 2, 1)),
    ]
    casts = [tf.cast(each, "float32") for each in (*flags, *told)]
    return tf_keras.Model([a, b], [tf.stack(numbers, 1), *reduced, *shaped, *casts])


def test_the_model_of_operations_has_all_of_the_table():
    told = {layer.get_config().get("function", "") for layer in every_operation().layers}
    named = {name.removeprefix("compat.v1.") for name in told}
    assert [each.name for each in by_class().values() if not named & {*each.functions}] == []


def test_a_setting_of_an_operation_that_only_keras_3_has_is_refused(tmp_path):
    inputs = keras.Input((3,))
    keras.Model(inputs, keras.ops.elu(inputs, alpha=2.0)).save(tmp_path / "three.keras")
    with pytest.raises(GraphError, match="tf_keras has no counterpart of the setting 'alpha'"):
        graphprune.convert(tmp_path / "three.keras", tmp_path / "two.keras", keras=2)


def nested() -> tf_keras.Model:
    inner = tf_keras.Sequential([layers.Dense(4, input_shape=(4,), name="a/b")], name="inner")
    part = layers.Input((4,))
    deep = tf_keras.Model(part, layers.Dense(3)(layers.ReLU()(part)), name="deep")
    a, b = layers.Input((4,)), layers.Input((4,))
    shared = layers.Dense(4, activation="relu", kernel_regularizer="l2", name="x/y")
    x = layers.Add(name="together")([inner(shared(a)), inner(b)])
    return tf_keras.Model([a, b], [deep(x), deep(shared(x))])


def recurrent() -> tf_keras.Model:
    words, more = layers.Input((6,), dtype="int32"), layers.Input((3, 2))
    x = layers.Embedding(9, 5, mask_zero=True)(words)
    x, *state = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True))(x)
    y = layers.LSTM(4)(layers.Masking()(x))
    z = layers.GRU(4)(more, initial_state=state[0])
    steps = layers.TimeDistributed(layers.Dense(2))(x)
    return tf_keras.Model([words, more], [steps + y[:, None, :2], z])


OFTEN = {(every_operation, ".keras"), (recurrent, ".keras"), (operations, ".h5"), (nested, ".h5")}
"""Each of the models in one format, and operations and layers in both formats."""


@pytest.mark.parametrize(
    ("build", "suffix"),
    [
        pytest.param(
            *(build, suffix),
            marks=() if (build, suffix) in OFTEN else pytest.mark.slow,
            id=f"{build.__name__}-{suffix}",
        )
        for build in (operations, every_operation, nested, recurrent)
        for suffix in (".keras", ".h5")
    ],
)
def test_models_compute_the_same(tmp_path, build, suffix):
    tf_keras.utils.set_random_seed(2)
    model = build()
    check_equal(both(tmp_path, model, suffix), arrays(model))


def test_a_mask_beside_an_initial_state_is_refused(tmp_path):
    words = layers.Input((6,))
    x, *state = layers.LSTM(4, return_sequences=True, return_state=True)(
        layers.Embedding(9, 5, mask_zero=True)(words)
    )
    y = layers.LSTM(4, name="decoder")(x, initial_state=state)
    files = both(tmp_path, tf_keras.Model(words, y))
    with pytest.raises(GraphError, match=r"layer 'decoder' \(LSTM\): Keras 3 handles the mask"):
        graphprune.convert(files.two, files.three, keras=3)


def merged(merge, *, other_mask):
    """Return a model that merges two embedded texts, of which the second may have a mask."""
    one, two = layers.Input((6,)), layers.Input((6,))
    x = layers.Embedding(9, 5, mask_zero=True)(one)
    y = layers.Embedding(9, 5, mask_zero=other_mask)(two)
    return tf_keras.Model([one, two], layers.LSTM(4)(merge([x, y])))


@pytest.mark.parametrize("other_mask", [False, True])
@pytest.mark.parametrize("kind", [layers.Add, layers.Concatenate])
def test_merged_masks_are_refused(tmp_path, kind, other_mask):
    files = both(tmp_path, merged(kind(name="merge"), other_mask=other_mask))
    with pytest.raises(GraphError, match=r"layer 'merge' \(\w+\): Keras 3 merges the masks of its"):
        graphprune.convert(files.two, files.three, keras=3)


def test_masks_that_are_the_same_on_all_inputs_are_converted(tmp_path):
    tf_keras.utils.set_random_seed(3)
    words = layers.Input((6,))
    x = layers.Embedding(9, 5, mask_zero=True)(words)
    again = layers.Add()([x, layers.Dense(5, activation="tanh")(x)])
    ended = layers.LSTM(4)(layers.Concatenate(name="features")([again, x]))
    one, two = layers.LSTM(3)(again), layers.Dense(3)(layers.Flatten()(words[:, :, None]))
    other = layers.Embedding(9, 5, mask_zero=True)(words[:, ::-1])
    both_steps = layers.Concatenate(axis=1, name="steps")([x, other])
    model = tf_keras.Model(words, [ended, layers.Add()([one, two]), layers.LSTM(2)(both_steps)])
    texts = np.random.default_rng(4).integers(0, 9, (5, 6)).astype("float32")
    check_equal(both(tmp_path, model), [texts])


def test_names_with_a_slash_are_written_with_an_underscore(tmp_path):
    files = both(tmp_path, nested())
    done = run_command("convert", files.two, "-o", files.three, "--keras", "3")
    assert done.code == 0
    assert "renamed  x/y -> x_y\n" in done.out
    assert "renamed  inner::a/b -> inner::a_b\n" in done.out
    assert "x_y" in graphprune.read_graph(files.three).layers


def test_weights_and_layers_are_the_same_graph(tmp_path):
    files = both(tmp_path, tf_keras.Sequential([layers.Dense(3, input_shape=(4,), name="d")]))
    files.convert()
    assert run_command("diff", files.two, files.back).out == "No differences.\n"


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
def test_compile_settings_are_kept(tmp_path, suffix):
    model = tf_keras.Sequential([layers.Dense(3, input_shape=(4,))])
    model.compile(
        tf_keras.optimizers.Adam(tf_keras.optimizers.schedules.ExponentialDecay(0.5, 7, 0.9)),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(np.ones((8, 4)), np.ones(8), verbose=0)
    files = both(tmp_path, model, suffix)
    files.convert()
    three = keras.models.load_model(files.three)
    assert three.optimizer._learning_rate.get_config()["initial_learning_rate"] == 0.5
    assert three.loss.get_config()["from_logits"]
    assert "accuracy" in three.evaluate(np.ones((8, 4)), np.ones(8), verbose=0, return_dict=True)
    three.fit(np.ones((8, 4)), np.ones(8), verbose=0)


def test_settings_that_the_other_keras_lacks_leave_the_model_uncompiled(tmp_path):
    model = tf_keras.Sequential([layers.Dense(3, input_shape=(4,))])
    model.compile("adam", "mse", metrics=[_own])
    files = both(tmp_path, model)
    with pytest.warns(UserWarning, match=r"could not be converted \(.*'_own'.*\); compile"):
        graphprune.convert(files.two, files.three, keras=3)
    assert not keras.models.load_model(files.three).compiled


def _own(truth, guess):
    return truth - guess


def test_hdf5_files_are_written(tmp_path):
    model = tf_keras.Sequential([layers.Dense(3, input_shape=(4,))])
    files = both(tmp_path, model)
    graphprune.convert(files.two, tmp_path / "three.h5", keras=3)
    graphprune.convert(tmp_path / "three.h5", tmp_path / "two.h5", keras=2)
    inputs = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(
        tf_keras.models.load_model(tmp_path / "two.h5")(inputs), model(inputs)
    )


def test_a_model_of_that_keras_already_is_refused_without_a_file(tmp_path):
    files = both(tmp_path, tf_keras.Sequential([layers.Dense(3, input_shape=(4,))]))
    with pytest.raises(GraphError) as raised:
        graphprune.convert(files.two, files.back, keras=2)
    assert str(raised.value) == (
        f"{files.two}: is a model of tf_keras already; there is nothing to convert"
    )
    assert not files.back.exists()


def learned(version: int) -> Any:
    """Return a model whose layers learned vocabularies, weights and bins from data."""
    library = {2: tf_keras, 3: keras}[version]
    names, types = ("words", "numbers", "rates", "text"), ("string", "int64", "float32", "string")
    sizes = (1, 1, 2, 1)
    taken = [
        library.layers.Input((size,), dtype=kind, name=name)
        for name, kind, size in zip(names, types, sizes, strict=True)
    ]
    words, numbers, rates, text = taken
    made = [
        (library.layers.StringLookup(output_mode="multi_hot"), words),
        (library.layers.StringLookup(output_mode="tf_idf"), words),
        (library.layers.IntegerLookup(), numbers),
        (library.layers.TextVectorization(), text),
        (library.layers.TextVectorization(output_mode="tf_idf"), text),
        (library.layers.Discretization(num_bins=4), rates),
        (library.layers.Normalization(), rates),
    ]
    for layer, tensor in made:
        layer.adapt(LEARNED[tensor.name.partition(":")[0]])
    return library.Model(taken, [layer(tensor) for layer, tensor in made])


LEARNED = {
    "words": np.array([["a"], ["b"], ["b"]]),
    "numbers": np.array([[4], [5], [5]]),
    "rates": np.random.default_rng(0).normal(size=(50, 2)).astype("float32"),
    "text": np.array(["hi there", "hi you"]),
}


@pytest.mark.parametrize(
    ("version", "suffix"),
    [
        *((2, ".keras"), (3, ".h5")),
        *(pytest.param(*row, marks=pytest.mark.slow) for row in ((2, ".h5"), (3, ".keras"))),
    ],
)
def test_what_layers_learned_is_converted(tmp_path, version, suffix):
    import tensorflow as tf

    before, after = tmp_path / "before.keras", tmp_path / f"after{suffix}"
    learned(version).save(before)
    graphprune.convert(before, after, keras=5 - version)
    given = [
        tf.constant([["a"], ["b"], ["other"]]),
        tf.constant([[4], [5], [9]], tf.int64),
        tf.constant(LEARNED["rates"][:3] * 1.1),
        tf.constant([["hi you"], ["there"], ["other hi"]]),
    ]
    one, other = (graphprune.load_model(path)(given) for path in (before, after))
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(np.asarray(right), np.asarray(left), rtol=1e-6, atol=1e-6)


def test_a_vocabulary_that_the_file_does_not_hold_is_refused_by_name(tmp_path):
    words = layers.StringLookup(name="words")
    words.adapt(LEARNED["words"])
    tf_keras.Sequential([layers.Input((1,), dtype="string"), words]).save(tmp_path / "two")
    with pytest.raises(GraphError) as raised:
        graphprune.convert(tmp_path / "two", tmp_path / "three.keras", keras=3)
    assert str(raised.value) == (
        f"{tmp_path / 'two'}: layer 'words' (StringLookup): Keras 3 would get no"
        " vocabulary: it was learned from data, and only .keras files hold it; save the model as"
        " .keras, and convert that file"
    )


@pytest.mark.parametrize("version", [2, 3])
def test_folders_without_layers_are_explained(tmp_path, version):
    import tensorflow as tf

    library = {2: tf_keras, 3: keras}[version]
    model = library.Sequential([library.layers.Input((3,)), library.layers.Dense(2)])
    model.export(str(tmp_path / "exported"))
    tf.saved_model.save(model, str(tmp_path / "plain"))
    for arguments in (("layers",), ("convert", "-o", tmp_path / "m.keras", "--keras", "3")):
        command, *rest = arguments
        exported = run_command(command, tmp_path / "exported", *rest)
        assert exported.code == 1
        assert "is what model.export() writes to serve a model, and holds no layers; give the" in (
            exported.err
        )
    plain = run_command("layers", tmp_path / "plain")
    assert plain.code == 1
    assert "is a SavedModel without Keras metadata (tf.saved_model.save writes such)" in plain.err
