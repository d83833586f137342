"""All models of `keras.applications` and `tf_keras.applications` without their dead channels.

With `--slow -s`, a line for each tells how many of its channels can be removed, what was compared,
time and memory.
"""

import gc
import inspect
import json
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
IMAGE = (80, 80, 3)
QUICK = {"MobileNet": {"alpha": 0.25, "input_shape": (32, 32, 3)}}
LAST = (
    *("ConvNeXtBase", "EfficientNetB5", "VGG16", "VGG19", "ResNetRS270", "ResNetRS350"),
    *("ResNetRS420", "EfficientNetB6", "RegNetX160", "RegNetY160", "RegNetX320", "RegNetY320"),
    *("ConvNeXtLarge", "EfficientNetV2L", "EfficientNetB7", "NASNetLarge", "ConvNeXtXLarge"),
)
"""The largest, which come last."""
SAMPLES = 4
ROUNDING = 2.0**-22
"""What inputs are moved by, as a share, to see how much a net amplifies the rounding of float32."""


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
    given = QUICK.get(name, {"input_shape": IMAGE})
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
    return [images.astype("float32")]


def loaded(package, path, folder, own):
    """Return the model of a file by its config and weights.

    tf_keras reads weights in a zip again from its beginning for each of them.
    """
    weights = folder / f"{path.stem}.weights.h5"
    with zipfile.ZipFile(path) as members:
        config = json.loads(members.read("config.json"))
        weights.write_bytes(members.read(WEIGHTS))
    load = KERASES[package].saving.deserialize_keras_object
    model = load(config, custom_objects=own)
    model.load_weights(weights)
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


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("package", "name"), list(cases()))
def test_an_application_without_its_dead_channels_computes_the_same(package, name, tmp_path):
    KERASES[package].backend.clear_session()
    gc.collect()
    reset_peak()
    start, rng = time.monotonic(), np.random.default_rng(3)
    path, small = tmp_path / "zeroed.keras", tmp_path / "small.keras"
    model = build_model(package, name)
    model.save(path)
    times = 2.0 if "VGG" in name else 1.0  # it has no normalizations, so its signals fade
    randomize(path, rng, offsets=0.1, times=times)
    kill_channels(path, rng)
    own = {
        type(layer).__name__: type(layer)
        for layer in model.layers
        if ".applications." in type(layer).__module__
    }
    del model
    before = loaded(package, path, tmp_path, own)
    given = images_for(before, rng)
    calibrate(before, path, given, rng)
    (left,) = outputs_of(before, given)
    (moved,) = outputs_of(before, [given[0] * np.float32(1 + ROUNDING)])
    del before
    source, removal = shrink_file(path, small)
    after = loaded(package, small, tmp_path, own)
    (right,) = outputs_of(after, given)
    scale, spread = np.abs(left).max(), np.ptp(left, axis=0).max()
    difference, noise = np.abs(left - right).max(), np.abs(left - moved).max()
    print(
        f"\n# {package:<8} {name:<18} {coverage_of(path)}, {sum(removal.removed.values()):,} were;"
        f" {source.graph.parameters:,} parameters, then {after.count_params():,};"
        f" difference {difference / scale:.1e} of {scale:.2g} that vary by {spread / scale:.2g},"
        f" noise {noise / scale:.1e};"
        f" {sum(zeros.count for zeros in removal.staying)} zeros stay;"
        f" {time.monotonic() - start:.0f} s, {peak_memory():,.0f} MB",
        flush=True,
    )
    assert np.isfinite(left).all()
    assert spread > 3e-3 * scale, "the outputs hardly depend on the inputs"
    assert difference <= max(1e-5 * scale, 10 * noise)
    assert sum(removal.removed.values()) > 0
    assert open_model_file(small).graph.parameters == after.count_params()


def test_every_application_is_here():
    assert {package: len(applications(package)) >= 37 for package in KERASES} == {
        "keras": True,
        "tf_keras": True,
    }
    assert {*LAST} <= {*applications("tf_keras")}
