"""All models of `keras.applications` and `tf_keras.applications` without their dead channels.

They compute in float64: with random weights, many amplify the rounding of float32 by more than 100,
so that a bound would have to be wide enough to hide mistakes.

With `--slow -s`, a line for each tells how many of its channels can be removed, what was compared,
time and memory.
"""

import gc
import inspect
import json
import shutil
import time
import zipfile

import keras
import numpy as np
import pytest
import tf_keras
from dead_channels import WEIGHTS, calibrate, kill_channels, outputs_of, randomize, shrink_file
from peak_memory import peak_memory, reset_peak

from graphprune.graph.read import open_model_file
from graphprune.shrink.groups import find_groups

pytestmark = pytest.mark.tf
KERASES = {"keras": keras, "tf_keras": tf_keras}
SIZES = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
"""The smallest images of models that do not take 32 x 32."""
QUICK = {"MobileNet": {"alpha": 0.25}}
LAST = (
    *("ConvNeXtBase", "EfficientNetB5", "VGG16", "VGG19", "ResNetRS270", "ResNetRS350"),
    *("ResNetRS420", "EfficientNetB6", "RegNetX160", "RegNetY160", "RegNetX320", "RegNetY320"),
    *("ConvNeXtLarge", "EfficientNetV2L", "EfficientNetB7", "NASNetLarge", "ConvNeXtXLarge"),
)
"""The largest, which come last."""
SAMPLES = 4
BOUND = 1e-5
"""The largest difference, as a share of the largest output; rounding was up to 4e-9."""


def applications(package):
    """Return the models of a Keras by their names."""
    return {
        name: build
        for name, build in vars(KERASES[package].applications).items()
        if inspect.isfunction(build) and "weights" in inspect.signature(build).parameters
    }


def cases():
    every = [(package, name) for package in KERASES for name in applications(package)]
    for package, name in sorted(every, key=lambda case: (case[1] in LAST, case[1], case[0])):
        yield pytest.param(package, name, marks=() if name in QUICK else pytest.mark.slow)


def build_model(package, name):
    """Return a model with random weights, without the softmax that hides small differences."""
    build = applications(package)[name]
    KERASES[package].utils.set_random_seed(3)  # a failure comes again
    size = SIZES.get(name, 32)
    given = {"input_shape": (size, size, 3), **QUICK.get(name, {})}
    if "classifier_activation" in inspect.signature(build).parameters:
        given = given | {"classifier_activation": None}
    return build(weights=None, **given)


def images_for(model, rng):
    """Return images of several colours; of bytes, if the model brings them to another range."""
    kinds = {type(layer).__name__ for layer in model.layers}
    shape = (SAMPLES, *model.input_shape[1:])
    colours = rng.normal(size=(SAMPLES, 1, 1, shape[-1]))
    images = colours + rng.normal(size=shape) * rng.uniform(0.2, 1, (SAMPLES, 1, 1, 1))
    if kinds & {"Rescaling", "Normalization"}:
        images = 128 + 64 * images
    return [images.astype("float64")]


def load_weights(model, path, folder):
    """Give a live model the weights of a file.

    tf_keras reads weights in a zip again from its beginning for each of them.
    """
    weights = folder / f"{path.stem}.weights.h5"
    with zipfile.ZipFile(path) as members:
        weights.write_bytes(members.read(WEIGHTS))
    model.load_weights(weights)
    weights.unlink()


def loaded(package, path, folder, own):
    """Return the model of a file by its config and weights."""
    with zipfile.ZipFile(path) as members:
        config = json.loads(members.read("config.json"))
    model = KERASES[package].saving.deserialize_keras_object(config, custom_objects=own)
    load_weights(model, path, folder)
    return model


def filters_in(groups):
    """Return how many channels weights make in groups."""
    made = (member for group in groups for member in group.members if member.role == "produces")
    return sum(member.positions.size for member in made)


def coverage_of(path):
    """Return how many channels can be removed, of how many, as part of a line."""
    groups = find_groups(open_model_file(path).graph)
    removable = [group for group in groups if group.is_removable]
    filters, every = filters_in(removable), filters_in(groups)
    return f"{filters:,} of {every:,} ({filters / every:.0%}) can be removed"


def use_dtype(package, dtype):
    """Let the next layers of a Keras compute in a dtype; Keras 3 keeps that of its last ones."""
    KERASES[package].backend.set_floatx(dtype)
    KERASES[package].backend.clear_session()
    gc.collect()


@pytest.fixture
def in_float64(package):
    use_dtype(package, "float64")
    yield
    use_dtype(package, "float32")


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize(("package", "name"), list(cases()))
def test_an_application_without_its_dead_channels_computes_the_same(package, name, tmp_path):
    reset_peak()
    start, rng = time.monotonic(), np.random.default_rng(3)
    path, small = tmp_path / "zeroed.keras", tmp_path / "small.keras"
    before = build_model(package, name)
    before.save(path)
    times = 2.0 if "VGG" in name else 1.0  # it has no normalizations, so its signals fade
    randomize(path, rng, offsets=0.1, times=times)
    kill_channels(path, rng)
    own = {
        type(layer).__name__: type(layer)
        for layer in before.layers
        if ".applications." in type(layer).__module__
    }
    load_weights(before, path, tmp_path)
    given = images_for(before, rng)
    calibrate(before, path, given, rng)
    (left,) = outputs_of(before, given)
    del before
    source, removal = shrink_file(path, small)
    after = loaded(package, small, tmp_path, own)
    (right,) = outputs_of(after, given)
    scale, spread = np.abs(left).max(), np.ptp(left, axis=0).max()
    difference = np.abs(left - right).max()
    print(
        f"\n# {package:<8} {name:<18} {coverage_of(path)}, {sum(removal.removed.values()):,} were;"
        f" {source.graph.parameters:,} parameters, then {after.count_params():,};"
        f" difference {difference / scale:.1e} of {scale:.2g} that vary by {spread / scale:.2g};"
        f" {sum(zeros.count for zeros in removal.staying)} zeros stay;"
        f" {time.monotonic() - start:.0f} s, {peak_memory():,.0f} MB",
        flush=True,
    )
    dtypes = {tensor.dtype for layer in source.graph.layers.values() for tensor in layer.tensors}
    dtypes -= {"int64"}  # how many samples a Normalization has seen
    assert (dtypes, left.dtype, right.dtype) == ({"float64"}, "float64", "float64")
    assert np.isfinite(left).all()
    assert spread > 3e-3 * scale, "the outputs hardly depend on the inputs"
    assert difference <= BOUND * scale
    assert sum(removal.removed.values()) > 0
    assert open_model_file(small).graph.parameters == after.count_params()
    shutil.rmtree(tmp_path)  # those of all models do not fit on many disks


def test_every_application_is_here():
    assert {package: len(applications(package)) >= 37 for package in KERASES} == {
        "keras": True,
        "tf_keras": True,
    }
    assert {*LAST} <= {*applications("tf_keras")}
