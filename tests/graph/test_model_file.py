"""A saved model is opened once for its layers, and once for what its weights say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graphprune import ArchiveError, make_plan
from graphprune.archive.keras_zip import KerasZip, OpenedZip
from graphprune.graph import graph_to_config
from graphprune.graph.read import ModelFile, open_model_file

MODEL = Path(__file__).parents[2] / "fixtures" / "digits-cnn.keras"


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened, in order."""
    paths: list[str] = []
    opened = KerasZip.opened

    @contextmanager
    def counted(source: KerasZip) -> Iterator[OpenedZip]:
        paths.append(source.path)
        with opened(source) as file:
            yield file

    monkeypatch.setattr(KerasZip, "opened", counted)
    return paths


def test_a_plan_opens_the_model_twice(openings: list[str]) -> None:
    make_plan(MODEL, "builtin:erk-95", epochs=20)
    assert len(openings) == 2


def test_a_plan_opens_the_file_three_times_for_format_layers_and_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    system_open = os.open

    def counted(path: str, flags: int) -> int:
        opened.append(path)
        return system_open(path, flags)

    monkeypatch.setattr("graphprune.archive.files.os.open", counted)
    make_plan(MODEL, "builtin:erk-95", epochs=20)
    assert opened.count(str(MODEL)) == 3


def test_what_was_measured_is_kept(openings: list[str]) -> None:
    model = open_model_file(MODEL)
    with model.opened() as weights:
        assert weights is model.weights
        assert model.zeros is model.zeros
        assert model.metrics is model.metrics
        assert weights.read("conv_1", "kernel").shape == (3, 3, 1, 32)
    assert len(openings) == 2
    assert (model.zeros, model.steps, model.mask_faults) == (model.zeros, {}, {})
    assert len(openings) == 4  # steps, mask faults


def test_a_layer_graph_as_json_has_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    path.write_text(json.dumps(graph_to_config(open_model_file(MODEL).graph)))
    model: ModelFile = open_model_file(path)
    with model.opened() as weights:
        assert weights is None
    assert (model.archive, model.zeros, model.metrics, model.steps, model.mask_faults) == (
        None,
    ) * 5
    with pytest.raises(ArchiveError, match="is JSON, which holds no weights"):
        _ = model.weights
