"""Models built alike in tf_keras and in Keras 3: the layer matrix once more with Keras 3's classes,
and whole models.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import layer_matrix
import tf_keras
from commands import run_command

from graphprune.conversion.weights import write_converted
from graphprune.graph.architecture import hash_architecture
from graphprune.graph.read import open_model_file


class _Missing:
    """Stands for a class that Keras 3 does not have."""

    def __init__(self, *_arguments: object, **_settings: object) -> None:
        raise NotImplementedError("Keras 3 has no such class")


def _keras_3_as_tf_keras() -> dict[str, ModuleType]:
    """Return modules by the names of tf_keras with the classes of Keras 3."""
    names = ("tf_keras", "tf_keras.layers", "tf_keras.layers.experimental")
    top, layers, experimental = (ModuleType(name) for name in names)
    vars(top).update(vars(keras), layers=layers)
    vars(layers).update(vars(keras.layers), experimental=experimental)
    layers.__getattr__ = lambda _name: _Missing  # type: ignore[method-assign]
    norm = partial(keras.layers.BatchNormalization, synchronized=True)
    vars(experimental).update(
        preprocessing=keras.layers, SyncBatchNormalization=norm, RandomFourierFeatures=_Missing
    )
    return dict(zip(names, (top, layers, experimental), strict=True))


def _load_again(name: str, replaced: Mapping[str, ModuleType]) -> ModuleType:
    """Return another copy of a test module that imports `replaced` in place of its own modules."""
    spec = importlib.util.spec_from_file_location(
        f"{name}_in_keras_3", Path(__file__).with_name(f"{name}.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = {key: sys.modules[key] for key in replaced}
    sys.modules |= {spec.name: module, **replaced}
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules |= before
    return module


def _cases_in_keras_3() -> Mapping[str, layer_matrix.Case]:
    fake = _keras_3_as_tf_keras()
    zoo = _load_again("layer_zoo", fake)
    cases: Mapping[str, layer_matrix.Case] = _load_again(
        "layer_matrix", {**fake, "layer_zoo": zoo}
    ).CASES
    return cases


CASES = {2: layer_matrix.CASES, 3: _cases_in_keras_3()}
KERASES = {2: tf_keras, 3: keras}


def matrix_model(version: int, names: Iterable[str]) -> Any:
    """Return a model of cases of the matrix side by side, with an output for each."""
    library, inputs, outputs = KERASES[version], [], []
    library.backend.clear_session()
    for name in names:
        case = CASES[version][name]
        taken = [
            library.layers.Input(
                shape, dtype=case.sample.dtype, batch_size=case.batch, name=f"x{len(inputs) + at}"
            )
            for at, shape in enumerate(case.sample.shapes)
        ]
        inputs += taken
        outputs.append(case.connect(case.sample.make(), taken))
    return library.Model(inputs, outputs, name="matrix")


@dataclass(frozen=True)
class Pair:
    """One architecture in two files, that of Keras 3 with the weights of the other."""

    two: Path
    three: Path

    @classmethod
    def of(
        cls, folder: Path, build: Callable[[int], Any], suffixes: tuple[str, str] = (".keras",) * 2
    ) -> Pair:
        """Build and save the model in both Kerases."""
        two, made = folder / f"two{suffixes[0]}", folder / "made.keras"
        build(2).save(two)
        model = build(3)
        model.save(made)
        three = folder / f"three{suffixes[1]}"
        with (folder / "whole.keras").open("wb") as stream:
            write_converted(open_model_file(two), open_model_file(made), {}, stream)
        if suffixes[1] == ".h5":
            model.load_weights(folder / "whole.keras")
            model.save(three)
        else:
            (folder / "whole.keras").rename(three)
        return cls(two, three)

    def check_same(self) -> None:
        """Check that nothing tells the two files apart but names that Keras gives, and the order of
        layers that do not depend on each other.
        """
        done = run_command("diff", self.two, self.three)
        assert (done.out, done.err) == ("No differences.\n", "")
        graphs = [open_model_file(path).graph for path in (self.two, self.three)]
        assert len({hash_architecture(graph) for graph in graphs}) == 1
        tables = [_table(run_command("layers", path).out) for path in (self.two, self.three)]
        assert sorted(tables[0]) == sorted(tables[1])


def _table(text: str) -> list[list[str]]:
    """Return the table of `layers` without the names that Keras gave to inputs and operations."""
    rows = [line.split() for line in text.splitlines()[1:] if line.strip()]
    return [row[1:] if row[0].startswith(("tf.", *OPERATIONS)) else row for row in rows]


OPERATIONS = (
    "input_",
    "add",
    "multiply",
    "mean",
    "get_item",
    "concatenate",
    "relu",
    "subtract",
    "greater",
)
