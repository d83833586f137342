"""The same input and the same command write the same bytes: in another process, at another time,
with other memory addresses.
"""

import contextlib
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import tf_keras
from tf_keras.src.saving import serialization_lib

from graphprune.files import file_sha256
from graphprune.tf.models.keras_file import _numbered_objects
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model

pytestmark = [pytest.mark.tf, pytest.mark.slow]
ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, sys
sys.path.insert(0, "tests")
folder, padding = sys.argv[1], [object() for _ in range(int(sys.argv[2]))]
from commands import run_command
def run(*arguments):
    done = run_command(*arguments)
    assert done.code == 0, done.err
rules, model = "builtin:conv-80-dense-90", "fixtures/digits-cnn.keras"
run("apply", model, "-r", rules, "-o", folder + "/wrapped.keras")
run("apply", model, "-r", rules, "-o", folder + "/wrapped.h5")
for suffix in ("keras", "h5"):
    run_folder = folder + "/run-" + suffix
    options = ["--data", "fixtures/digits.npz", "--epochs", "2", "--batch-size", "500"]
    run("train", folder + "/wrapped." + suffix, *options, "--run", run_folder)
    for output in ("keras", "h5"):
        run("strip", run_folder, "-o", folder + "/stripped-" + suffix + "." + output)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = []
    for number in (1, 2):
        folder = tmp_path_factory.mktemp("same") / "out"
        folder.mkdir()
        # so short a run misses its target
        program = PROGRAM.replace("assert done.code == 0", "assert done.code in (0, 1)")
        subprocess.run(
            [sys.executable, "-c", program, str(folder), str(number * 12_345)], cwd=ROOT, check=True
        )
        made.append(folder)
        time.sleep(2.1)  # a zip counts in steps of two seconds
    return made


def hashes(folder):
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in folder.rglob("*")
        if path.suffix in (".keras", ".h5", ".npz", ".jsonl")
    }


def test_every_model_has_the_same_bytes(folders):
    first, second = map(hashes, folders)
    assert {
        "wrapped.keras",
        "wrapped.h5",
        "run-keras/model.keras",
        "run-h5/model.h5",
        "stripped-keras.keras",
        "stripped-h5.h5",
    } <= set(first)
    assert first == second


def test_plain_keras_loads_what_was_written(folders):
    for name in ("stripped-keras.keras", "stripped-keras.h5"):
        assert tf_keras.models.load_model(folders[0] / name).count_params() > 0
    with zipfile.ZipFile(folders[0] / "wrapped.keras") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.testzip() is None


def shared_ids(*scopes):
    with contextlib.ExitStack() as stack:
        for scope in (*scopes, serialization_lib.ObjectSharingScope()):
            stack.enter_context(scope)
        configs = [
            tf_keras.saving.serialize_keras_object(tf_keras.initializers.Constant(number))
            for number in range(20)
        ]
    return {config["shared_object_id"] for config in configs if "shared_object_id" in config}


def test_objects_that_live_one_after_the_other_are_not_taken_for_one():
    assert shared_ids(), "Keras takes an address that is used again for the same object"
    assert shared_ids(_numbered_objects()) == set()


def test_objects_that_are_used_twice_are_numbered_in_order(tmp_path):
    x = inputs = tf_keras.Input((2,))
    one, two = tf_keras.initializers.Constant(1), tf_keras.initializers.Constant(2)
    for number, initializer in enumerate([two, one, two, one]):
        x = tf_keras.layers.Dense(2, kernel_initializer=initializer, name=f"fc_{number}")(x)
    save_model(tf_keras.Model(inputs, x), tmp_path / "o.keras")
    with zipfile.ZipFile(tmp_path / "o.keras") as archive:
        entries = json.loads(archive.read("config.json"))["config"]["layers"]
    numbers = [
        entry["config"]["kernel_initializer"].get("shared_object_id") for entry in entries[1:]
    ]
    assert numbers[3] == numbers[2] + 1 < 10  # the initializer of all biases is one object as well
    assert load_model(tmp_path / "o.keras").get_layer("fc_2").kernel_initializer.value == 2


def test_vocabularies_come_in_the_order_of_their_names(tmp_path):
    inputs = tf_keras.Input((1,), dtype="string")
    words = [tf_keras.layers.StringLookup(name=name) for name in "zyxabc"]
    for layer in words:
        layer.adapt(["cat", "dog"])
    model = tf_keras.Model(inputs, [layer(inputs) for layer in words])
    save_model(model, tmp_path / "o.keras")
    with zipfile.ZipFile(tmp_path / "o.keras") as archive:
        assets = [name for name in archive.namelist() if name.startswith("assets")]
    assert len(assets) == 6
    assert assets == sorted(assets)
    assert load_model(tmp_path / "o.keras").get_layer("z").get_vocabulary() == [
        "[UNK]",
        "dog",
        "cat",
    ]
