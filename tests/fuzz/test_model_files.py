"""Mutated model files of all formats, as the light commands read them: they are read, counted,
listed and planned, or refused by our own errors.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
from builders import build_graph
from config_words import WORDS, entries
from fuzz.harness import Target
from fuzz.mutations import mutate_bytes, mutate_value
from hostile_files import FC, IN, layer, model, write_h5, write_keras
from saved_model_files import write_saved_model
from shipped_graphs import GRAPHS

from graphprune.cli.inputs import open_model
from graphprune.errors import GraphpruneError
from graphprune.plan import make_plan
from graphprune.report import render_layers_text
from graphprune.rules import parse_rules

ROOT = Path(__file__).parents[2]
MAX_MESSAGE = 20_000
RULES = parse_rules(
    "version: 1\n"
    "rules:\n"
    "  - {id: all, match: '*', prune: {sparsity: 50%, schedule: {curve: step, begin: 0 steps}}}\n",
    "rules.yaml",
)
REAL = (ROOT / "fixtures" / "digits-cnn.keras").read_bytes()
KERNEL = np.ones((4, 4), "float32")
TREE = {"layer-0": {}, "layer-1": {"kernel": KERNEL, "bias": np.zeros(4, "float32")}}
NESTED = model(
    IN,
    FC,
    layer("TimeDistributed", "td", ("fc",), layer={"class_name": "Dense", "config": {"units": 4}}),
    layer("LSTM", "l", ("td",), units=2),
)
CONFIGS: list[Any] = [
    model(IN, FC),
    NESTED,
    *(build_graph(text, name=name).to_config() for name, text in GRAPHS.items()),
]
ENTRIES = entries()


@dataclass(frozen=True)
class Case:
    """A model file or folder on disk, and what was done to it."""

    path: Path
    how: str

    def show(self) -> str:
        parts = sorted(self.path.rglob("*")) if self.path.is_dir() else [self.path]
        return f"{self.how}\n" + "\n".join(
            f"{part}: {part.read_bytes()!r}" for part in parts if part.is_file()
        )


def make(random: Random, folder: Path) -> Case:
    how = random.choice(list(WAYS))
    for name in ("fuzz.keras", "fuzz.h5", "fuzz"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return Case(WAYS[how](random, folder), how)


def mutate_config(random: Random) -> Any:
    """Return a mutated config: a changed value, or an object put in that no file may name."""
    config = _real_config() if random.random() < 0.3 else random.choice(CONFIGS)
    if random.random() < 0.3:
        config = {
            **config,
            "compile_config": {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]},
        }
    words = WORDS if random.random() < 0.7 else (*WORDS, *map(json.dumps, ENTRIES))
    changed = mutate_value(random, config, words)
    return put_somewhere(random, changed, ENTRIES) if random.random() < 0.4 else changed


def put_somewhere(random: Random, config: Any, objects: Sequence[Any]) -> Any:
    """Put one of some objects in a random place."""
    places: list[tuple[Any, Any]] = []
    waiting = [config]
    while waiting:
        part = waiting.pop()
        keys = (
            list(part)
            if isinstance(part, dict)
            else list(range(len(part)))
            if isinstance(part, list)
            else []
        )
        places += [(part, key) for key in keys]
        waiting += [part[key] for key in keys]
    if places:
        owner, key = random.choice(places)
        owner[key] = random.choice(objects)
    return config


def _real_config() -> Any:
    with zipfile.ZipFile(io.BytesIO(REAL)) as archive:
        return json.loads(archive.read("config.json"))


def write_config(random: Random, folder: Path) -> Path:
    """Write a model of any format with a mutated config."""
    config = mutate_config(random)
    if random.random() < 0.2:
        config = json.dumps(config)[: random.choice([None, None, -1, 50])].replace(
            '"units": 4', '"units": 4, "units": 5'
        )
    if random.random() < 0.4:
        return write_keras(folder / "fuzz.keras", config)
    if random.random() < 0.6:
        return write_h5(folder / "fuzz.h5", config)
    return write_saved_model(
        folder / "fuzz",
        (
            config
            if isinstance(config, dict) and {"class_name", "config"} <= set(config)
            else model(IN, FC)
        ),
        TREE,
    )


def write_bytes(random: Random, folder: Path) -> Path:
    """Write a file with changed bytes."""
    if random.random() < 0.5:
        return _changed(random, write_h5(folder / "fuzz.h5", random.choice(CONFIGS[:2])))
    path = folder / "fuzz.keras"
    if random.random() < 0.3:
        path.write_bytes(REAL)
        return _changed(random, path)
    return _changed(random, write_keras(path, random.choice(CONFIGS[:2])))


def write_folder(random: Random, folder: Path) -> Path:
    """Write a SavedModel one of whose files has changed bytes."""
    path = write_saved_model(folder / "fuzz", model(IN, FC), TREE)
    _changed(random, random.choice([part for part in sorted(path.rglob("*")) if part.is_file()]))
    return path


def _changed(random: Random, path: Path) -> Path:
    path.write_bytes(mutate_bytes(random, path.read_bytes()))
    return path


def write_members(random: Random, folder: Path) -> Path:
    """Write a zip whose members are other ones: left out, twice, under other names, cut,
    compressed, with other bytes.
    """
    with zipfile.ZipFile(io.BytesIO(REAL)) as archive:
        members = [[name, archive.read(name)] for name in archive.namelist()]
    for _ in range(random.randint(1, 3)):
        member = random.choice(members)
        match random.randrange(6):
            case 0 if len(members) > 1:
                members.remove(member)
            case 1:
                members.append(
                    [
                        random.choice(
                            [
                                member[0],
                                "../x",
                                "/x",
                                "assets/layers/x/vocabulary.txt",
                                "model.weights.npz",
                                "a\\b",
                                "assets/",
                            ]
                        ),
                        member[1],
                    ]
                )
            case 2:
                member[0] = random.choice(
                    [
                        "config.json",
                        "CONFIG.JSON",
                        "model.weights.h5",
                        "metadata.json",
                        "config.json/",
                        "é",
                    ]
                )
            case 3:
                member[1] = member[1][: random.randrange(len(member[1]) + 1)]
            case 4:
                member[1] = random.choice(members)[1]
            case _:
                member[1] = mutate_bytes(random, member[1])
    path = folder / "fuzz.keras"
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(
            path, "w", random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
        ) as archive,
    ):
        warnings.simplefilter("ignore", UserWarning)  # two of one name
        for name, data in members:
            archive.writestr(name, data)
    return path


def write_objects(random: Random, folder: Path) -> Path:
    """Write an `.h5` file with other objects of HDF5: links, types, shapes, attributes."""
    path = write_h5(folder / "fuzz.h5", model(IN, FC))
    with h5py.File(path, "a") as file:
        for _ in range(random.randint(1, 3)):
            # below a link, HDF5 itself makes nothing
            with contextlib.suppress(KeyError, OSError, RuntimeError, TypeError, ValueError):
                _change_object(random, file)
    return path


def _change_object(random: Random, file: h5py.File) -> None:
    place = random.choice(
        [
            "model_weights/fc/fc/kernel:0",
            "model_weights/fc/fc/bias:0",
            "model_weights/fc",
            "model_weights",
            "optimizer_weights/m",
            "x",
        ]
    )
    if place in file:
        del file[place]
    _put(random, file, place)
    name = random.choice(
        [
            "model_config",
            "training_config",
            "keras_version",
            "layer_names",
            "weight_names",
            "backend",
        ]
    )
    owner = file if random.random() < 0.5 else file["model_weights"]
    if random.random() < 0.3:
        owner.attrs[name] = random.choice(
            [
                b"",
                "x",
                3.5,
                np.arange(4),
                [b"a", b"b"],
                json.dumps(mutate_config(random))[:60_000].encode(),
            ]
        )


def _put(random: Random, file: h5py.File, place: str) -> None:
    match random.randrange(6):
        case 0:
            file[place] = random.choice(
                [
                    h5py.SoftLink("/"),
                    h5py.SoftLink("/nowhere"),
                    h5py.ExternalLink("/etc/passwd", "x"),
                    h5py.ExternalLink("fuzz.h5", "/"),
                ]
            )
        case 1:
            file.create_dataset(place, (4,), "float32", external=[("/etc/passwd", 0, 16)])
        case 2:
            file.create_dataset(place, (10 ** random.randrange(13),), "float32", chunks=(1,))
        case 3:
            types = [
                "S5",
                "complex64",
                "float16",
                "bool",
                np.dtype([("a", "f4")]),
                h5py.string_dtype(),
            ]
            file.create_dataset(
                place, random.choice([(), (0,), (4, 4), (2, 2, 2)]), random.choice(types)
            )
        case 4:
            file.create_dataset(
                place,
                data=np.zeros((4, 4), "float32"),
                compression="gzip",
                shuffle=True,
                fletcher32=True,
            )
        case _:
            file.create_group(place)


WAYS: Mapping[str, Callable[[Random, Path], Path]] = {
    "config": write_config,
    "bytes": write_bytes,
    "folder": write_folder,
    "members": write_members,
    "objects": write_objects,
}


def check(case: Case) -> None:
    try:
        _use(case.path)
    except GraphpruneError as error:
        said = str(error)
    else:
        said = ""
    assert len(said.encode()) < MAX_MESSAGE


def _use(path: Path) -> None:
    """Do what `layers`, `plan` and `lint --model` do with a model."""
    opened = open_model(str(path))
    zeros = opened.zeros
    assert opened.metrics is not None
    render_layers_text(opened.graph, zeros).encode()
    make_plan(opened.graph, RULES, steps_per_epoch=10, epochs=2)


TARGET = Target(make, check, Case.show)


def test_model_files(fuzz):
    assert fuzz(TARGET, count=80) > 0
