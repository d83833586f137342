"""The functions that take a model as a path or as a layer graph, and the values that show
themselves.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from builders import build_graph
from mypy import api as mypy

import graphprune
from graphprune import (
    OutputError,
    diff_models,
    make_plan,
    read_graph,
    read_plan,
    verify,
    write_plan,
)
from graphprune.plan import plan_to_config

MODEL = Path(__file__).parents[1] / "fixtures" / "digits-cnn.keras"
RULES = "builtin:all-90"


def test_a_plan_prints_in_few_lines_and_has_a_page() -> None:
    plan = make_plan(MODEL, RULES)
    assert str(plan) == (
        "Plan: 4 to wrap, 0 to retarget, 0 to rewrap, 0 to unwrap; 1 kept dense, 0 unclaimed.\n"
        "Zeros when finished: 46,338 = 90.0% of claimed, 88.9% of prunable, 88.4% of all"
        " parameters."
    )
    assert repr(plan) == (
        "<Plan: 4 to wrap, 0 to retarget, 0 to rewrap, 0 to unwrap; 1 kept dense, 0 unclaimed.>"
    )
    assert str(plan._repr_html_()).startswith('<iframe srcdoc="&lt;!doctype html&gt;')


def test_a_graph_prints_its_first_layers() -> None:
    graph = build_graph(" > ".join(["in", *(f"fc_{number}" for number in range(100))]))
    lines = str(graph).splitlines()
    assert len(lines) == 36
    assert lines[0].split() == ["model", "net", "Functional"]
    assert "... 71 more layers" in lines
    assert lines[-1].startswith("101 layers, ")
    assert repr(graph) == "<LayerGraph: model net Functional>"
    assert "... " not in str(build_graph("in > fc > out"))


@pytest.mark.parametrize(
    ("suffix", "begin"),
    [
        (".txt", "model  "),
        (".json", '{\n  "format_version"'),
        (".html", "<!doctype html>"),
        (".svg", "<svg"),
        (".md", "### Pruning plan"),
    ],
)
def test_a_plan_is_saved_in_the_form_that_the_name_says(
    tmp_path: Path, suffix: str, begin: str
) -> None:
    plan, path = make_plan(MODEL, RULES), tmp_path / f"p{suffix}"
    path.write_text("before")
    plan.save(path)
    text = path.read_text()
    assert begin in text[:400], text[:400]


def test_a_plan_that_was_written_is_read_again(tmp_path: Path) -> None:
    plan = make_plan(MODEL, RULES)
    write_plan(plan, tmp_path / "p.json")
    again = read_plan(tmp_path / "p.json")
    assert plan_to_config(again) == plan_to_config(plan)
    assert again._repr_html_() is None
    with pytest.raises(OutputError, match="a plan that was read from JSON has no model to draw"):
        again.save(tmp_path / "p.html")
    with pytest.raises(OutputError, match=r"no report has this suffix; known are .txt, .json"):
        plan.save(tmp_path / "p.pdf")
    with pytest.raises(OutputError, match="a Plan cannot be written as dot; known are text, json"):
        plan.save(tmp_path / "p.dot")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.json"]
    with pytest.raises(TypeError, match=r"^plan must be a Plan, got dict$"):
        write_plan({}, tmp_path / "q.json")  # type: ignore[arg-type]


def test_models_are_compared_by_path_and_as_graphs(tmp_path: Path) -> None:
    copy = shutil.copy(MODEL, tmp_path / "copy.keras")
    assert diff_models(MODEL, copy).is_weights_equal is True
    mixed = diff_models(read_graph(MODEL), copy)
    assert (mixed.is_empty, mixed.is_weights_equal) == (True, None)
    mixed.save(tmp_path / "d.html")
    assert "<!doctype html>" in (tmp_path / "d.html").read_text()[:40]
    with pytest.raises(TypeError, match=r"^model must be the path of a saved model, a Keras model"):
        diff_models(MODEL, 3)


def test_a_model_is_verified_against_a_plan(tmp_path: Path) -> None:
    plan = make_plan(MODEL, RULES)
    found = verify(MODEL, plan)
    assert [check.measured for check in found.drift] == [0, 0, 0, 0]
    write_plan(plan, tmp_path / "p.json")
    assert verify(MODEL, tmp_path / "p.json").checks == found.checks
    found.save(tmp_path / "v.json")
    assert json.loads((tmp_path / "v.json").read_text())["as_planned"] is False
    with pytest.raises(TypeError, match="it needs weights"):
        verify(read_graph(MODEL), plan)


def test_a_type_checker_knows_every_name_and_no_other(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import graphprune\n"
        + "".join(f"graphprune.{name}\n" for name in graphprune.__all__)
        + "graphprune.nothing\n"
    )
    output, _, code = mypy.run(["--strict", "--no-error-summary", str(script)])
    last = 2 + len(graphprune.__all__)
    assert output.partition(":")[2] == (
        f'{last}: error: Module has no attribute "nothing"  [attr-defined]\n'
    )
    assert code == 1
