"""`graphprune shrink`: what it prints, writes and refuses, without a Keras."""

import json
import shutil

import numpy as np
import pytest
from commands import run_command
from dead_channels import weights_file

from graphprune.archive.read import read_archive
from graphprune.graph.read import open_model_file
from graphprune.shipped import shipped_file

KERASES = {"tf_keras": "fixtures/digits-cnn.keras", "keras 3": "fixtures/digits-cnn-keras3.keras"}


@pytest.fixture
def dead(tmp_path):
    return with_dead_units(tmp_path / "m.keras", KERASES["tf_keras"])


def with_dead_units(path, fixture):
    """Write a fixture with 24 dead units of `hidden`, and conv_1 zero where conv_3 is not."""
    shutil.copy(shipped_file(fixture), path)
    weights = open_model_file(path).weights
    zeroed = {"hidden": slice(40, 64), "conv_1": slice(0, 2)}
    with weights_file(path) as file:
        for address, places in zeroed.items():
            for name in ("kernel", "bias"):
                data = file[weights.find(address, name).path]
                values = data[...]
                values[..., places] = 0
                data[...] = values
    return path


REPORT = """\
                  before      after
parameters        52,394     39,842  76.0%
multiply-adds  1,231,488  1,218,960  99.0%
"""


@pytest.mark.parametrize(("address", "place"), [("digits", (50, 3)), ("hidden", (7, 50))])
def test_a_dead_channel_with_a_weight_that_is_not_finite_is_refused(dead, tmp_path, address, place):
    weights = open_model_file(dead).weights
    with weights_file(dead) as file:
        for other in ("hidden", "digits"):
            data = file[weights.find(other, "kernel").path]
            values = data[...]
            values[40:, :] = 0 if other == "digits" else values[40:, :]
            if other == address:
                values[place] = np.nan
            data[...] = values
    done = run_command("shrink", dead, "-o", tmp_path / "s.keras")
    assert (done.code, done.out, (tmp_path / "s.keras").exists()) == (1, "", False)
    assert done.err == (
        f"graphprune: {dead}: NaN or infinity in {address}/kernel, in a channel that is dead"
        " otherwise: without it, the outputs would change; train the model again\n"
    )


@pytest.mark.parametrize("name", KERASES)
def test_the_report_says_what_was_removed_and_what_stays(name, tmp_path):
    model = with_dead_units(tmp_path / "m.keras", KERASES[name])
    done = run_command("shrink", model, "-o", tmp_path / "s.keras")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert "\n".join(lines[:3]) + "\n" == REPORT
    assert lines[5:] == [
        "layer   channels  parameters         multiply-adds",
        "hidden       -24      20,520  62.5%         20,480  62.5%",
        "digits                   410  63.1%            400  62.5%",
        "",
        "zero, and kept:",
        "  conv_1  2 channels  hidden reads values of them that are not zero",
        f"wrote {tmp_path}/s.keras",
    ]


@pytest.mark.parametrize("name", KERASES)
def test_the_file_is_a_plain_model_with_smaller_config_and_weights(name, tmp_path):
    model = with_dead_units(tmp_path / "m.keras", KERASES[name])
    run_command("shrink", model, "-o", tmp_path / "s.keras")
    made = open_model_file(tmp_path / "s.keras")
    assert made.graph.layers["hidden"].config["units"] == 40
    before = open_model_file(model).weights
    for address, tensor, part in (
        ("hidden", "kernel", np.s_[:, :40]),
        ("digits", "kernel", np.s_[:40]),
        ("conv_2", "kernel", np.s_[:]),
    ):
        kept = before.read(address, tensor)[part]
        assert np.array_equal(made.weights.read(address, tensor), kept)
    archive = read_archive(tmp_path / "s.keras")
    assert "compile_config" not in archive.config
    assert archive.keras_version == read_archive(model).keras_version


def test_the_same_model_gives_the_same_bytes(dead, tmp_path):
    for name in ("a.keras", "b.keras"):
        run_command("shrink", dead, "-o", tmp_path / name)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


def test_json(dead, tmp_path):
    done = run_command("shrink", dead, "-o", tmp_path / "s.keras", "--format", "json")
    document = json.loads(done.out)
    assert document["parameters"] == {"before": 52_394, "after": 39_842}
    assert document["bytes"]["after"] == (tmp_path / "s.keras").stat().st_size
    assert [layer["address"] for layer in document["layers"]] == ["hidden", "digits"]
    assert document["layers"][0]["removed_channels"] == 24
    assert document["kept"] == [
        {
            "address": "conv_1",
            "channels": 2,
            "reason": "hidden reads values of them that are not zero",
        }
    ]


def test_a_model_without_dead_channels_is_written_unchanged_with_a_warning(tmp_path):
    model = shipped_file(KERASES["tf_keras"])
    done = run_command("shrink", model, "-o", tmp_path / "s.keras")
    assert (done.code, done.err) == (
        0,
        f"graphprune: warning: {model}: no channel is dead; it is written unchanged, without its"
        " optimizer\n",
    )
    assert open_model_file(tmp_path / "s.keras").graph == open_model_file(model).graph


def test_diff_of_both_names_the_lengths(dead, tmp_path):
    run_command("shrink", dead, "-o", tmp_path / "s.keras")
    done = run_command("diff", dead, tmp_path / "s.keras")
    assert "  ~ hidden  config.units  64 -> 40" in done.out
    assert "kernel  [512, 64] -> [512, 40]" in done.out


def test_wrong_outputs_are_refused(dead, tmp_path):
    (tmp_path / "there.keras").write_bytes(b"mine")
    errors = {
        tmp_path / "s.tflite": "a model is saved as .keras or .h5, got .tflite",
        tmp_path / "s": "a model is saved as .keras or .h5, got no suffix",
        tmp_path / "there.keras": "exists already; give another name, or --force",
        dead: "exists already",
    }
    for output, text in errors.items():
        done = run_command("shrink", dead, "-o", output)
        assert (done.code, text in done.err) == (1, True), done.err
    done = run_command("shrink", dead, "-o", dead, "--force")
    assert "is an input of this command, so it is not overwritten" in done.err
    assert (tmp_path / "there.keras").read_bytes() == b"mine"


def test_what_is_no_model_with_weights_is_refused(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    (tmp_path / "m.json").write_text("{}")
    for name in ("m.tflite", "m.json"):
        done = run_command("shrink", tmp_path / name, "-o", tmp_path / "s.keras")
        assert done.code == 1
        assert done.err.startswith(f"graphprune: {tmp_path}/{name}: "), done.err
        assert not (tmp_path / "s.keras").exists()


@pytest.mark.tf
def test_a_pruned_model_is_stripped_first(tmp_path):
    import tf_keras

    import graphprune
    from graphprune import ConstantSparsity

    model = tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(3)])
    pruned = graphprune.prune_low_magnitude(model, ConstantSparsity(0.5, 0))
    graphprune.save_model(pruned, tmp_path / "m.keras")
    done = run_command("shrink", tmp_path / "m.keras", "-o", tmp_path / "s.keras")
    assert (done.code, done.err) == (
        1,
        f"graphprune: {tmp_path}/m.keras: is pruned and still has its masks; strip it first,"
        " with graphprune strip\n",
    )


@pytest.mark.tf
def test_other_formats_go_through_keras(dead, tmp_path):
    import tf_keras

    loaded = tf_keras.models.load_model(dead, compile=False)
    loaded.save(tmp_path / "folder")
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    for source, output in ((dead, "s.h5"), (tmp_path / "folder", "t.keras")):
        done = run_command("shrink", source, "-o", tmp_path / output)
        assert done.code == 0, done.err
        small = tf_keras.models.load_model(tmp_path / output, compile=False)
        assert small.count_params() == 39_842
        assert np.abs(small(x).numpy() - loaded(x).numpy()).max() < 1e-5


@pytest.mark.tf
def test_a_missing_class_is_told_with_the_path_of_the_model(tmp_path):
    import tf_keras

    class Own(tf_keras.layers.Layer):
        pass

    tf_keras.Sequential([tf_keras.Input((3,)), Own(name="own")]).save(tmp_path / "net.h5")
    done = run_command("shrink", tmp_path / "net.h5", "-o", tmp_path / "small.keras")
    assert done.err == (
        f"graphprune: {tmp_path}/net.h5: layer 'own': the class 'Own' is not part of Keras; give it"
        " with --custom-objects MODULE:Own (custom_objects={'Own': ...} in Python)\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["net.h5"]
