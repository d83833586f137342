from __future__ import annotations

import errno
import io
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from builders import build_config

from graphprune.archive import read_archive
from graphprune.archive.entries import holds_lambda_bytecode
from graphprune.archive.files import MAX_JSON, open_file
from graphprune.errors import ArchiveError


def weights_bytes(**values: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, value in values.items():
            file[path.replace("__", "/")] = value
    return buffer.getvalue()


DENSE = {
    "layers__dense__vars__0": np.arange(16.0).reshape(4, 4),
    "layers__dense__vars__1": np.zeros(4, "float32"),
}


def write_keras(
    path: Path,
    config: Any,
    *,
    version: str = "2.21.0",
    weights: bytes | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        if weights is not None:
            archive.writestr("model.weights.h5", weights)
    return path


def write_h5(path: Path, config: Any, *, version: str = "2.21.0") -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["training_config"] = json.dumps({"loss": "mse"})
        file.attrs["keras_version"] = version
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array(["in", "fc"], "S")
        root.create_group("in").attrs["weight_names"] = np.array([], "float64")
        group = root.create_group("fc")
        group["fc/kernel:0"], group["fc/bias:0"] = (
            np.ones((4, 4), "float32"),
            np.zeros(4, "float32"),
        )
        group.attrs["weight_names0"], group.attrs["weight_names1"] = (
            np.array(["fc/kernel:0"], "S"),
            np.array(["fc/bias:0"], "S"),
        )
    return path


def refusal(path: Path) -> str:
    """Return what is said of a file that is refused, without the path in front."""
    with pytest.raises(ArchiveError) as caught:
        _ = read_archive(path).stored
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def test_a_keras_file_gives_config_and_tensors(tmp_path: Path) -> None:
    config = build_config("in > fc")
    archive = read_archive(
        write_keras(tmp_path / "a.keras", config, weights=weights_bytes(**DENSE))
    )
    assert (archive.layout, archive.keras_version, archive.config, archive.training_config) == (
        "keras",
        "2.21.0",
        config,
        None,
    )
    kernel, bias = archive.stored["layers/dense"]
    assert (kernel.shape, kernel.dtype, bias.shape, bias.dtype) == (
        (4, 4),
        "float64",
        (4,),
        "float32",
    )
    np.testing.assert_array_equal(archive.read(kernel), DENSE["layers__dense__vars__0"])


def test_a_recompressed_keras_file_reads_the_same(tmp_path: Path) -> None:
    archive = read_archive(
        write_keras(
            tmp_path / "a.keras",
            build_config("in > fc"),
            weights=weights_bytes(**DENSE),
            compression=zipfile.ZIP_DEFLATED,
        )
    )
    np.testing.assert_array_equal(
        archive.read(archive.stored["layers/dense"][0]), DENSE["layers__dense__vars__0"]
    )


def test_eleven_variables_keep_their_number_order(tmp_path: Path) -> None:
    values = {f"layers__dense__vars__{number}": np.full(1, number) for number in range(11)}
    archive = read_archive(
        write_keras(tmp_path / "a.keras", build_config("in > fc"), weights=weights_bytes(**values))
    )
    assert [tensor.name for tensor in archive.stored["layers/dense"]] == [
        str(number) for number in range(11)
    ]


def test_an_h5_file_gives_config_and_tensors_whatever_its_name(tmp_path: Path) -> None:
    archive = read_archive(write_h5(tmp_path / "a.model", build_config("in > fc")))
    assert (archive.layout, archive.keras_version, archive.training_config) == (
        "h5",
        "2.21.0",
        {"loss": "mse"},
    )
    assert {
        group: [tensor.name for tensor in tensors] for group, tensors in archive.stored.items()
    } == {"fc": ["fc/kernel:0", "fc/bias:0"]}
    np.testing.assert_array_equal(archive.read(archive.stored["fc"][0]), np.ones((4, 4)))


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"class_name": "__lambda__", "config": {"value": "4wEA"}}, True),
        ({"function_type": "lambda", "function": ["4wEA"]}, True),
        ({"function_type": "function"}, False),
    ],
)
def test_lambda_bytecode_is_seen_and_not_run(
    tmp_path: Path, part: dict[str, Any], found: bool
) -> None:
    config = build_config("in > fc")
    config["config"]["layers"][1]["config"]["activation"] = part
    archive = read_archive(write_keras(tmp_path / "a.keras", config))
    assert holds_lambda_bytecode(archive.config) is found


def test_missing_file(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path / "no.keras")
        == "no such file; check the path (graphprune reads .keras, .h5, SavedModel folders and"
        " graph JSON)"
    )


def test_directory(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path)
        == "is a directory without saved_model.pb, so not a SavedModel; graphprune reads .keras,"
        " .h5, SavedModel folders and graph JSON"
    )


@pytest.mark.parametrize("content", [b"x", b"\x80\x04pickle", b"version: 1\n"])
def test_neither_zip_nor_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.keras").write_bytes(content)
    assert (
        refusal(tmp_path / "a.keras")
        == "is not a saved model, whatever its name; graphprune reads .keras, .h5,"
        " SavedModel folders and graph JSON"
    )


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        (
            "a.bin",
            b"\x1c\0\0\0TFL3" + bytes(24),
            "is a TensorFlow Lite file, which has no layers; give the .keras or .h5 file of the"
            " model (verify and bench take .tflite)",
        ),
        (
            "a.onnx",
            b"\x08\x0a\x12\x08tf2onnx",
            "is an ONNX file, which has no layers; give the .keras or .h5 file of the model"
            " (bench takes .onnx)",
        ),
    ],
    ids=["tflite", "onnx"],
)
def test_files_for_serving_are_named(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name) == text


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.keras").touch()
    assert refusal(tmp_path / "a.keras") == "is empty (0 bytes); save or copy the model again"


def test_a_number_without_end(tmp_path: Path) -> None:
    text = json.dumps(build_config("in > fc")).replace('"units": 4', f'"units": {"9" * 5000}')
    fault = (
        "config.json holds a number of 5,000 digits, which no model needs; the file is damaged,"
        " save the model again"
    )
    assert refusal(write_keras(tmp_path / "a.keras", text)) == fault


def test_zip_that_is_no_model(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert (
        refusal(tmp_path / "a.zip")
        == "no config.json in this zip, so it is not a Keras model; name a file that model.save()"
        " wrote"
    )


def test_truncated_zip(tmp_path: Path) -> None:
    path = write_keras(
        tmp_path / "a.keras", build_config("in > fc"), weights=weights_bytes(**DENSE)
    )
    path.write_bytes(path.read_bytes()[:-100])
    assert (
        refusal(path)
        == "damaged zip (its list of members is missing, the file was cut off); save or copy the"
        " model again"
    )


def test_damaged_weights_in_a_zip(tmp_path: Path) -> None:
    path = write_keras(
        tmp_path / "a.keras", build_config("in > fc"), weights=weights_bytes(**DENSE)[:900]
    )
    assert re.fullmatch(
        r"damaged HDF5 data \(the file was cut off, it has 900 bytes of [\d,]+\); save or copy the"
        r" model again",
        refusal(path),
    )


def test_zip_without_weights(tmp_path: Path) -> None:
    assert (
        refusal(write_keras(tmp_path / "a.keras", build_config("in > fc")))
        == "no model.weights.h5 in it; the weights are missing, save the model again"
    )


def test_truncated_hdf5(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", build_config("in > fc"))
    path.write_bytes(path.read_bytes()[:2000])
    assert re.fullmatch(
        r"damaged HDF5 data \(the file was cut off, it has 2,000 bytes of [\d,]+\); save or copy"
        r" the model again",
        refusal(path),
    )


@pytest.mark.parametrize("cut", [8, 60, 96, 300, 1000, 3000, 5000])
def test_any_truncated_file_is_one_clear_line(tmp_path: Path, cut: int) -> None:
    for write in (write_h5, write_keras):
        path = write(tmp_path / f"a{cut}", build_config("in > fc"))
        path.write_bytes(path.read_bytes()[:cut])
        assert refusal(path)


@pytest.mark.parametrize("text", ["{", "\udcff"])
def test_config_that_is_not_json(tmp_path: Path, text: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", text.encode("utf-8", "surrogateescape"))
    assert refusal(tmp_path / "a.keras").startswith("config.json is not JSON (")


def test_config_that_is_no_object(tmp_path: Path) -> None:
    assert (
        refusal(write_keras(tmp_path / "a.keras", "[1]"))
        == "config.json is not a JSON object, got list; the file is damaged, save the model again"
    )


def test_config_that_describes_no_model(tmp_path: Path) -> None:
    assert (
        refusal(write_keras(tmp_path / "a.keras", {"a": 1}))
        == "its config has no class_name and config, so it describes no model; save the model again"
    )


def test_config_that_is_nested_too_deep(tmp_path: Path) -> None:
    config = build_config("in > fc")
    config["config"]["deep"] = json.loads("[" * 250 + "]" * 250)
    assert (
        refusal(write_keras(tmp_path / "a.keras", "[" * 100_000))
        == "config.json is nested more than 200 deep; the file is damaged, save the model again"
    )
    assert (
        refusal(write_keras(tmp_path / "a.keras", config))
        == "config.json is nested more than 200 deep; the file is damaged, save the model again"
    )


def test_subclassed_model(tmp_path: Path) -> None:
    config = {
        "module": None,
        "class_name": "Sub",
        "config": {"name": "sub"},
        "registered_name": "My>Sub",
    }
    expected = (
        "the model's class is 'My>Sub', whose layers are not in the file; rebuild it as a"
        " Functional or Sequential model and save it again"
    )
    assert refusal(write_keras(tmp_path / "a.keras", config)) == expected


@pytest.mark.parametrize("marks", [("layers", "vars"), ("top_level_model_weights",)])
def test_weights_only(tmp_path: Path, marks: tuple[str, ...]) -> None:
    with h5py.File(tmp_path / "old.h5", "w") as file:
        for mark in marks:
            file.create_group(mark)
    assert (
        refusal(tmp_path / "old.h5")
        == "no model_config attribute; this file holds weights only, save the whole model instead"
    )


def test_hdf5_that_is_no_model(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x_train"] = np.zeros(3)
    assert (
        refusal(tmp_path / "data.h5")
        == "no model_config attribute; this HDF5 file is not a Keras model, name a file that"
        " model.save() wrote"
    )


def test_huge_config_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (MAX_JSON + 1))
    assert (
        refusal(tmp_path / "bomb.keras")
        == "config.json has 134,217,729 bytes, more than the 134,217,728 that a model's config may"
        " have; save the model again"
    )


def test_a_zip_of_many_small_members_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.keras", "w") as archive:
        for index in range(2_001):
            archive.writestr(f"assets/{index}", "")
    assert (
        refusal(tmp_path / "many.keras")
        == "the zip has 2,001 members, more than the 2,000 that a model's may have; save the model"
        " again"
    )


@pytest.mark.parametrize("is_zip64", [False, True], ids=["zip", "zip64"])
def test_a_zip_with_more_members_than_any_model_is_refused_before_they_are_listed(
    is_zip64: bool, tmp_path: Path
) -> None:
    data = write_keras(tmp_path / "a.keras", build_config("in > fc")).read_bytes()
    members, end = data[:-22], bytearray(data[-22:])
    assert end.startswith(b"PK\x05\x06")
    if is_zip64:
        members += struct.pack("<4sQ28xQ8x", b"PK\x06\x06", 44, 5_000_000) + struct.pack(
            "<4sIQI", b"PK\x06\x07", 0, len(members), 1
        )
    end[12:16] = struct.pack("<I", 0xFFFFFFFF if is_zip64 else 5_000_000)
    (tmp_path / "many.keras").write_bytes(members + end)
    assert (
        refusal(tmp_path / "many.keras")
        == "the zip's list of members has 5,000,000 bytes, more than the 4,194,304 that a model's"
        " may have; save the model again"
    )


def test_external_link_is_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["kernel"] = np.ones(3)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "kernel")
    path = write_keras(tmp_path / "a.keras", build_config("in > fc"), weights=buffer.getvalue())
    assert (
        refusal(path)
        == "layers/dense/vars/0 is a link, which Keras never writes; the file is not safe to read,"
        " save the model again"
    )


def test_values_in_another_file_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"12345678")
    path = write_h5(tmp_path / "a.h5", build_config("in > fc"))
    with h5py.File(path, "a") as file:
        del file["model_weights/fc/fc/bias:0"]
        file["model_weights/fc"].create_dataset(
            "fc/bias:0", (2,), "float32", external=[(str(tmp_path / "secret"), 0, 8)]
        )
    expected = (
        "model_weights/fc/fc/bias:0 keeps its values in another file, which Keras never does; the"
        " file is not safe to read, save the model again"
    )
    assert refusal(path) == expected


def test_a_tensor_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", build_config("in > fc"))
    with h5py.File(path, "a") as file:
        del file["model_weights/fc/fc/bias:0"]
        file["model_weights/fc"].create_dataset("fc/bias:0", (10**12,), "float32", chunks=(1000,))
    assert (
        refusal(path)
        == "model_weights/fc/fc/bias:0 claims 4,000,000,000,000 bytes and holds 0; the file is"
        " damaged, save the model again"
    )


def test_a_tensor_that_is_named_and_missing_is_refused(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", build_config("in > fc"))
    with h5py.File(path, "a") as file:
        del file["model_weights/fc/fc/bias:0"]
    assert (
        refusal(path)
        == "no tensor model_weights/fc/fc/bias:0 in its HDF5 data; the file is damaged, save the"
        " model again"
    )


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        (np.dtype([("a", "f4"), ("b", "i4")]), "records"),
        (np.dtype("V4"), "opaque bytes"),
        (np.dtype("S4"), "strings or references"),
    ],
)
def test_a_tensor_without_numbers_is_refused(
    tmp_path: Path, dtype: np.dtype[Any], kind: str
) -> None:
    path = write_keras(
        tmp_path / "m.keras",
        build_config("in > fc"),
        weights=weights_bytes(layers__dense__vars__0=np.zeros((4, 4), dtype)),
    )
    assert (
        refusal(path) == f"layers/dense/vars/0 has a non-numeric dtype ({kind}); keep such a table"
        " outside the model"
    )


def test_values_that_keras_stored_as_bfloat16_are_numbers(tmp_path: Path) -> None:
    values = np.array([[0, 0x3F80], [0xC020, 0]], "<u2")
    archive = read_archive(
        write_keras(
            tmp_path / "m.keras",
            build_config("in > fc"),
            weights=weights_bytes(layers__dense__vars__0=values.view("V2")),
        )
    )
    (tensor,) = archive.stored["layers/dense"]
    assert (tensor.dtype, archive.read(tensor).tolist()) == ("float32", [[0.0, 1.0], [-2.5, 0.0]])


def test_layers_that_stand_twice_or_have_no_list_of_weights(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", build_config("in > fc"))
    with h5py.File(path, "a") as file:
        del file["model_weights/fc"].attrs["weight_names0"]
    assert (
        refusal(path)
        == "layer 'fc' has no list of its weights (weight_names); the file was not written to its"
        " end, save the model again"
    )
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["layer_names"] = np.array(["fc", "fc"], "S")
    assert (
        refusal(path)
        == "its list of layers (layer_names) names one twice; the file is damaged, save the model"
        " again"
    )
    with h5py.File(path, "a") as file:
        del file["model_weights"].attrs["layer_names"]
    assert (
        refusal(path)
        == "its list of layers (layer_names) is missing; the file is damaged, save the model again"
    )


def test_a_config_in_a_million_parts_is_not_put_together(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs.create("model_config", np.zeros(1_000_001, "S1"))
        file.create_group("model_weights")
    assert (
        refusal(path)
        == "model_config is a list of 1,000,001 texts, more than the 1,000,000 that a model's may"
        " have; save the model again"
    )


def test_a_file_that_the_system_fails_to_read_is_named(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", build_config("in > fc"))
    with pytest.raises(ArchiveError) as caught, open_file(str(path)):
        raise OSError(errno.EIO, "Input/output error")
    assert (
        str(caught.value)
        == f"{path}: cannot be read (Input/output error); copy the model to another place first"
    )
    with pytest.raises(BrokenPipeError), open_file(str(path)):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
