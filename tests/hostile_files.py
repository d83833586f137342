"""Makes files that mean harm, each in a moment; `python tests/hostile_files.py FOLDER` leaves all
of them in FOLDER.
"""

from __future__ import annotations

import io
import json
import marshal
import os
import struct
import sys
import warnings
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Make = Callable[[Path], Path]
KERNEL, BIAS = np.ones((4, 4), "float32"), np.zeros(4, "float32")
CODE = b64encode(marshal.dumps(compile("raise SystemExit('ran')", "<lambda>", "exec"))).decode()
LAMBDA = {"module": "builtins", "class_name": "__lambda__", "config": {"value": [CODE, None, None]}}
OLD_LAMBDA = {"function": [CODE, None, None], "function_type": "lambda"}
SCREEN = "\x1b[2J\x1b]0;owned\x07\r\nlayers: 0\u202e"


def layer(kind: str, name: str, sources: tuple[str, ...] = (), **config: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, **config},
        "registered_name": None,
    }
    return entry | {
        "name": name,
        "inbound_nodes": [[[source, 0, 0, {}] for source in sources]] if sources else [],
    }


def model(*layers: dict[str, Any], outputs: str = "fc", call: int = 0) -> dict[str, Any]:
    """Return a model that gives what the `call`th node of the layer `outputs` gives."""
    config = {
        "name": "net",
        "trainable": True,
        "layers": list(layers),
        "input_layers": [["in", 0, 0]],
        "output_layers": [[outputs, call, 0]],
    }
    return {
        "module": "keras",
        "class_name": "Functional",
        "config": config,
        "registered_name": "Functional",
    }


IN, FC = (
    layer("InputLayer", "in", batch_input_shape=[None, 4]),
    layer("Dense", "fc", ("in",), units=4, use_bias=True),
)


def weights() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = KERNEL, BIAS
    return buffer.getvalue()


def write_keras(path: Path, config: Any, *, members: Mapping[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("model.weights.h5", weights())
        for name, data in (members or {}).items():
            archive.writestr(name, data)
    return path


def write_h5(path: Path, config: Any, *, settings: Any = None) -> Path:
    """Write a model whose layers are `in` and `fc`; `fc` has a kernel and a bias where there is a
    Dense in it.
    """
    text = config if isinstance(config, str) else json.dumps(config)
    names = ["fc/kernel:0", "fc/bias:0"] if '"Dense"' in text else []
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = text
        if settings is not None:
            file.attrs["training_config"] = json.dumps(settings)
        file.attrs["keras_version"] = "2.15.0"
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array(["in", "fc"], "S")
        root.create_group("in").attrs["weight_names"] = np.array([], "S")
        group = root.create_group("fc")
        group.attrs["weight_names"] = np.array(names, "S")
        for name, value in zip(names, (KERNEL, BIAS), strict=False):
            group[name] = value
    return path


def lambda_models() -> dict[str, dict[str, Any]]:
    """Return models with bytecode by the place where it hides."""
    inner = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "l", "function": LAMBDA},
        "registered_name": None,
    }
    old = {"class_name": "Lambda", "config": {"name": "l", **OLD_LAMBDA}}
    return {
        "plain": model(IN, layer("Lambda", "fc", ("in",), function=LAMBDA)),
        "old": model(IN, layer("Lambda", "fc", ("in",), **OLD_LAMBDA)),
        "time-distributed": model(IN, layer("TimeDistributed", "fc", ("in",), layer=inner)),
        "bidirectional": model(
            IN, layer("Bidirectional", "fc", ("in",), layer=old, backward_layer=inner)
        ),
        "activation": model(IN, layer("Dense", "fc", ("in",), units=4, activation=LAMBDA)),
        "wrapped": model(
            IN,
            layer(
                "Wrapper",
                "fc",
                ("in",),
                layer={
                    "class_name": "Dense",
                    "config": {"name": "d", "kernel_regularizer": LAMBDA},
                },
            ),
        ),
        "nested": model(
            IN,
            model(IN, layer("Lambda", "fc", ("in",), function=LAMBDA))
            | {"name": "fc", "inbound_nodes": [[["in", 0, 0, {}]]]},
            call=1,
        ),
    }


def bomb(path: Path, name: str, way: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip with a member of 200 MB of blanks in 200 kB."""
    with zipfile.ZipFile(path, "w", way) as archive:
        with archive.open(name, "w") as member:
            for _ in range(200):
                member.write(b" " * 2**20)
        if name != "config.json":
            archive.writestr("config.json", json.dumps(model(IN, FC)))
    return path


def lying_zip(path: Path) -> Path:
    """Write a zip whose compressed weights claim 3 GB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(model(IN, FC)))
        archive.writestr("model.weights.h5", weights())
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (3 * 2**30).to_bytes(4, "little")
    path.write_bytes(data)
    return path


def quiet_bomb(path: Path, name: str) -> Path:
    """Let that member claim only 1,000 bytes."""
    data = bytearray(bomb(path, name).read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    return path


def external_link(path: Path) -> Path:
    write_h5(path, model(IN, FC))
    with h5py.File(path, "a") as file:
        del file["model_weights/fc/fc/bias:0"]
        file["model_weights/fc/fc/bias:0"] = h5py.ExternalLink("/etc/passwd", "x")
    return path


def change_text(path: Path, offset: int, value: bytes) -> Path:
    """Change the heap in which HDF5 keeps the texts of an `.h5` model, `offset` from where the
    model's config begins.
    """
    write_h5(path, model(IN, FC))
    data = path.read_bytes()
    at = data.index(b'{"module"') + offset
    path.write_bytes(data[:at] + value + data[at + len(value) :])
    return path


def long_reference(path: Path) -> Path:
    """Let the reference to the model's config ask for 4 GB of it."""
    write_h5(path, model(IN, FC))
    data = path.read_bytes()
    at = data.index(b"model_config\0") + 48
    path.write_bytes(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])
    return path


def group_in_itself(path: Path) -> Path:
    """Let a group hold itself."""
    write_h5(path, model(IN, FC))
    with h5py.File(path, "a") as file:
        file["model_weights/fc/again"] = file["model_weights/fc"]
    return path


def endless_free_room(path: Path) -> Path:
    """Let the list of free room among a group's names lead back to itself; the HDF5 library follows
    it until memory is full.
    """
    write_h5(path, model(IN, FC))
    data = bytearray(path.read_bytes())
    heap = data.rindex(b"HEAP")
    free, values = struct.unpack_from("<QQ", data, heap + 16)
    data[values + free : values + free + 8] = struct.pack("<Q", free)
    path.write_bytes(data)
    return path


def external_storage(path: Path) -> Path:
    write_h5(path, model(IN, FC))
    with h5py.File(path, "a") as file:
        del file["model_weights/fc/fc/bias:0"]
        file["model_weights/fc"].create_dataset(
            "fc/bias:0", (4,), "float32", external=[("/etc/passwd", 0, 16)]
        )
    return path


def optimizer_of_another_file(path: Path, *, virtual: bool) -> Path:
    """Write an optimizer whose state lies in a file of the user's, which Keras would read and write
    out again.
    """
    write_h5(path, model(IN, FC))
    with h5py.File(path, "a") as file:
        if virtual:
            layout = h5py.VirtualLayout(shape=(4,), dtype="float32")
            layout[...] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
            file.create_virtual_dataset("optimizer_weights/m", layout)
        else:
            file.create_dataset(
                "optimizer_weights/m", (4,), "float32", external=[("/etc/passwd", 0, 16)]
            )
    return path


def bomb_in_hdf5(path: Path) -> Path:
    """Write weights of 400 MB that HDF5 keeps in less than one."""
    write_h5(path, model(IN, FC))
    with h5py.File(path, "a") as file:
        del file["model_weights/fc/fc/kernel:0"]
        kernel = file["model_weights/fc"].create_dataset(
            "fc/kernel:0", (100, 1_000_000), "float32", compression="gzip", chunks=(1, 1_000_000)
        )
        zeros = zlib.compress(bytes(4_000_000), 9)
        for row in range(100):
            kernel.id.write_direct_chunk((row, 0), zeros)
    return path


def with_units(units: Any) -> dict[str, Any]:
    return model(IN, layer("Dense", "fc", ("in",), units=units, use_bias=True))


def double_member(path: Path) -> Path:
    """Write a model with two configs, of which readers of zips take different ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return write_keras(
            path, model(IN, FC), members={"config.json": json.dumps(with_units(5)).encode()}
        )


def both_ways(levels: int) -> dict[str, Any]:
    """Return a model with a layer that doubles with each level: both directions of a Bidirectional
    hold the layer in it.
    """
    inside: dict[str, Any] = {"class_name": "LSTM", "config": {"name": "lstm", "units": 2}}
    for _ in range(levels):
        inside = {"class_name": "Bidirectional", "config": {"name": "both", "layer": inside}}
    return model(IN, layer("Bidirectional", "fc", ("in",), layer=inside))


def lying_shape(path: Path) -> Path:
    write_h5(path, model(IN, FC))
    with h5py.File(path, "a") as file:
        del file["model_weights/fc/fc/bias:0"]
        file["model_weights/fc"].create_dataset("fc/bias:0", (10**13,), "float32", chunks=(1000,))
    return path


def deep_nesting(levels: int) -> str:
    return (
        '{"class_name": "Functional", "config": {"layers": '
        + "[" * levels
        + "]" * levels
        + ', "input_layers": []}}'
    )


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def symlink_loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def folder_with_pipe(path: Path) -> Path:
    path.mkdir()
    os.mkfifo(path / "keras_metadata.pb")
    return path


REFUSED: Mapping[str, tuple[str, Make]] = {
    "zip-bomb-config": (
        "config.json has 209,715,200 bytes",
        lambda path: bomb(path, "config.json"),
    ),
    "zip-bomb-metadata": (
        "metadata.json has 209,715,200 bytes",
        lambda path: bomb(path, "metadata.json"),
    ),
    "zip-bomb-weights": (
        "claims 209,715,200 bytes and holds",
        lambda path: bomb(path, "model.weights.h5"),
    ),
    "quiet-bomb-config": (
        "config.json claims 1,000 bytes and holds 2",
        lambda path: quiet_bomb(path, "config.json"),
    ),
    "quiet-bomb-weights": (
        "model.weights.h5 claims 1,000 bytes and holds 2",
        lambda path: quiet_bomb(path, "model.weights.h5"),
    ),
    "bzip2": (
        "is compressed in a way that Keras does not use",
        lambda path: bomb(path, "model.weights.h5", zipfile.ZIP_BZIP2),
    ),
    "lying-zip": ("claims 3,221,225,472 bytes", lying_zip),
    "path-traversal": (
        "the member 'a/../../evil' points outside of the zip",
        lambda path: write_keras(path, model(IN, FC), members={"a/../../evil": b""}),
    ),
    "absolute-path": (
        "the member '/etc/evil' points outside of the zip",
        lambda path: write_keras(path, model(IN, FC), members={"/etc/evil": b""}),
    ),
    "windows-path": (
        "points outside of the zip",
        lambda path: write_keras(path, model(IN, FC), members={"C:\\evil": b""}),
    ),
    "double-member": ("two members are named 'config.json'", double_member),
    "external-link": ("is a link, which Keras never writes", external_link),
    "group-in-itself": ("one group at two paths", group_in_itself),
    "endless-free-room": ("a cyclic free list in a local heap", endless_free_room),
    "external-storage": ("keeps its values in another file", external_storage),
    "optimizer-in-another-file": (
        "keeps its values in another file",
        lambda path: optimizer_of_another_file(path, virtual=False),
    ),
    "virtual-optimizer": (
        "keeps its values in another file",
        lambda path: optimizer_of_another_file(path, virtual=True),
    ),
    "text-without-end": (
        "a string beyond its global heap",
        lambda path: change_text(path, -16, bytes(16)),
    ),
    "text-beyond-heap": (
        "a string beyond its global heap",
        lambda path: change_text(path, -16, b"\2\0\0\0\0\0\0\0\xf0" + b"\xff" * 7),
    ),
    "text-without-heap": (
        "a string without a global heap",
        lambda path: change_text(path, -32, b"XCOL"),
    ),
    "long-reference": ("model_config has 4,294,967,295 bytes", long_reference),
    "lying-shape": ("claims 40,000,000,000,000 bytes and holds 0", lying_shape),
    "tensor-index": (
        "takes tensor 1000000000 of 'in'",
        lambda path: write_keras(path, model(IN, FC | {"inbound_nodes": [[["in", 0, 10**9, {}]]]})),
    ),
    "call-index": (
        "takes a tensor of call 1,000,000,001 of 'in'",
        lambda path: write_h5(path, model(IN, FC | {"inbound_nodes": [[["in", 10**9, 0, {}]]]})),
    ),
    "layers-that-double": (
        "has more than 1,000 layers inside it",
        lambda path: write_keras(path, both_ways(40)),
    ),
    "lying-kernel": (
        "its config asks for a kernel of shape [in, 5], got [4, 4]",
        lambda path: write_keras(path, with_units(5)),
    ),
    "lying-kernel-in-hdf5": (
        "its config asks for a kernel of shape [in, 5], got [4, 4]",
        lambda path: write_h5(path, with_units(5)),
    ),
    "negative-units": (
        "units must be a whole number above 0, got -4",
        lambda path: write_keras(path, with_units(-4)),
    ),
    "units-in-letters": (
        "units must be a whole number above 0, got 'four'",
        lambda path: write_keras(path, with_units("four")),
    ),
    "units-not-a-number": (
        "units must be a whole number above 0, got nan",
        lambda path: write_keras(path, with_units(float("nan"))),
    ),
    "endless-units": (
        "units must be a whole number above 0, got inf",
        lambda path: write_h5(path, json.dumps(with_units("huge")).replace('"huge"', "1e999")),
    ),
    "many-values": (
        "values, more than",
        lambda path: write_keras(path, "[" + "{}," * 9_000_000 + "1]"),
    ),
    "deep-nesting": (
        "config.json is nested more than 200 deep",
        lambda path: write_keras(path, deep_nesting(10_000)),
    ),
    "less-deep-nesting": (
        "nested more than 200 deep",
        lambda path: write_keras(path, deep_nesting(300)),
    ),
    "empty-name": (
        "is empty",
        lambda path: write_keras(path, model(IN, layer("Dense", "", ("in",), units=4), outputs="")),
    ),
    "half-character": (
        "holds half a surrogate pair, which is not valid text",
        lambda path: write_keras(
            path, model(IN, layer("Dense", "f\ud800c", ("in",), units=4), outputs="f\ud800c")
        ),
    ),
    "half-character-in-a-setting": (
        "config.json holds half a surrogate pair",
        lambda path: write_keras(
            path, model(IN, layer("Dense", "fc", ("in",), units=4, use_bias=True, note="\udc00"))
        ),
    ),
    "class-that-is-no-name": (
        "is not a layer",
        lambda path: write_h5(path, model(IN, FC | {"class_name": {"Dense": []}})),
    ),
    "long-name": (
        "has 5,000,000 characters",
        lambda path: write_keras(
            path, model(IN, layer("Dense", "x" * 5_000_000, ("in",)), outputs="x" * 5_000_000)
        ),
    ),
    "bomb-in-hdf5": ("claims 400,000,000 bytes and holds", bomb_in_hdf5),
    "cycle": (
        "waits for its own output",
        lambda path: write_keras(
            path, model(IN, layer("Dense", "fc", ("d",)), layer("Dense", "d", ("fc",)))
        ),
    ),
    "self-cycle": (
        "waits for its own output",
        lambda path: write_keras(path, model(IN, layer("Dense", "fc", ("fc",)))),
    ),
    "dangling": (
        "which is no layer of the model",
        lambda path: write_keras(path, model(IN, layer("Dense", "fc", ("gone",)))),
    ),
    "dangling-output": (
        "which is no layer of the model",
        lambda path: write_keras(path, model(IN, FC, outputs="gone")),
    ),
    "pipe": ("is a named pipe, not a file", pipe),
    "folder": ("is a directory without saved_model.pb", lambda path: path.mkdir() or path),
    "symlink-loop": ("Too many levels of symbolic links", symlink_loop),
    "folder-with-pipe": ("is a named pipe, not a file", folder_with_pipe),
    "device": ("is a device, not a file", lambda path: path.symlink_to("/dev/zero") or path),
}
"""What a light command refuses: a part of the message, and what makes the file."""


def controls(path: Path) -> Path:
    """Write a model whose names would clear the screen and fake a line."""
    entry = layer("Dense", f"fc{SCREEN}", ("in",), units=4, use_bias=True)
    config = model(IN, entry, outputs=f"fc{SCREEN}")
    config["config"]["name"] = f"net{SCREEN}"
    return write_keras(path, config)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, make) in REFUSED.items():
        make(folder / name)
    controls(folder / "controls.keras")
    for name, config in lambda_models().items():
        write_keras(folder / f"lambda-{name}.keras", config)
        write_h5(folder / f"lambda-{name}.h5", config)


if __name__ == "__main__":
    main()
