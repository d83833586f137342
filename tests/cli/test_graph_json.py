"""Commands on a layer graph as JSON, which stands for a model without its weights."""

import json
from pathlib import Path

import pytest
from commands import run_command

from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
RULES = "builtin:conv-80-dense-90"


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """The shipped model's graph, in a file whose name says nothing."""
    path = tmp_path_factory.mktemp("graph") / "g.json"
    assert run_command("graph", MODEL, "-o", path).code == 0
    return path.rename(path.with_name("model"))


def without_sparsity(report):
    return [
        {
            **layer,
            "tensors": [{**tensor, "zeros": None, "sparsity": None} for tensor in layer["tensors"]],
        }
        for layer in report["layers"]
    ]


def test_layers_are_the_same_and_zeros_are_unknown(graph):
    report, of_model = (
        json.loads(run_command("layers", model, "--format", "json").out) for model in (graph, MODEL)
    )
    assert report["layers"] == without_sparsity(of_model)
    assert (report["summary"]["zeros"], report["summary"]["sparsity"]) == (None, None)
    done = run_command("layers", graph)
    assert (
        done.out.splitlines()[-1]
        == "12 layers, 52,394 parameters, 52,128 prunable, zeros unknown, 209.6 kB of weights."
    )


def test_a_plan_is_the_same_but_for_what_was_measured(graph):
    plan, of_model = (
        json.loads(run_command("plan", model, "-r", RULES, "--format", "json").out)
        for model in (graph, MODEL)
    )
    assert plan["summary"] == of_model["summary"]
    assert plan["model"]["graph_sha256"] == of_model["model"]["graph_sha256"]
    assert {
        tensor["zeros_before"] for change in plan["layer_changes"] for tensor in change["tensors"]
    } == {None}
    assert (
        run_command("plan", graph, "-r", RULES).out.splitlines()[-2:]
        == run_command("plan", MODEL, "-r", RULES).out.splitlines()[-2:]
    )


def test_rules_are_checked_against_it(graph):
    assert run_command("lint", shipped_file("rules/dense-90.yaml"), "--model", graph).out.endswith(
        f"no faults against {graph}\n"
    )


@pytest.mark.parametrize("swap", [False, True])
def test_diff_compares_structure(graph, swap):
    left, right = (MODEL, graph) if swap else (graph, graph)
    done = run_command("diff", left, right, "--detailed-exitcode")
    assert (done.code, done.err, done.out) == (
        0,
        "",
        "No differences in graph and pruning; weights were not compared.\n",
    )


def test_diff_of_one_side_without_weights_counts_the_zeros_of_the_other(graph):
    out = run_command("diff", graph, MODEL, "--all").out
    assert out.splitlines()[-1] == "Zeros: unknown -> 2 of 52,394 parameters (unknown -> <0.1%)."


@pytest.mark.parametrize("kind", ["json", "dot", "svg", "html"])
def test_it_is_drawn(graph, kind):
    done = run_command("graph", graph, "--format", kind)
    assert (done.code, done.err) == (0, "")
    if kind == "json":
        assert done.out == graph.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("apply", "MODEL", "-r", RULES, "-o", "w.keras"),
        ("apply", "MODEL", "--plan", "no-such-plan.json", "-o", "w.keras"),
        ("train", "MODEL", "-r", RULES, "--data", "no-such.npz", "--run", "r", "--epochs", "1"),
        ("strip", "MODEL", "-o", "s.keras"),
        pytest.param(  # loads the model before its original
            ("strip", MODEL, "--original", "MODEL", "-o", "s.keras"), marks=pytest.mark.tf
        ),
    ],
)
def test_what_needs_weights_refuses_it_in_one_line(graph, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    done = run_command(*(graph if argument == "MODEL" else argument for argument in arguments))
    assert (done.code, done.out) == (1, "")
    assert (
        done.err.splitlines()[-1]
        == f"graphprune: {graph}: is JSON, which holds no weights; give the saved model that it was"
        " exported from"
    )
    assert list(tmp_path.iterdir()) == []


def hostile(folder: Path, text: str) -> str:
    path = folder / "g"
    path.write_text(text)
    done = run_command("layers", path)
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    return done.err.removeprefix(f"graphprune: {path}: ").rstrip("\n")


def test_json_that_is_no_graph(tmp_path, graph):
    plan = run_command("plan", MODEL, "-r", RULES, "--format", "json").out
    way_out = "export one with graphprune graph MODEL -o FILE.json"
    assert (
        hostile(tmp_path, plan)
        == f"no layer graph, kind must be 'graphprune.graph', got 'graphprune.plan'; {way_out}"
    )
    assert (
        hostile(tmp_path, "{}")
        == f"no layer graph, kind must be 'graphprune.graph', got None; {way_out}"
    )
    assert (
        hostile(tmp_path, "[]")
        == "is not a saved model, whatever its name; graphprune reads .keras, .h5,"
        " SavedModel folders and graph JSON"
    )


def test_a_graph_that_is_cut_off(tmp_path, graph):
    assert hostile(tmp_path, graph.read_text()[:1000]).startswith("its text is not JSON (")


def test_a_graph_whose_tensors_were_changed(tmp_path, graph):
    document = json.loads(graph.read_text())
    document["tensors"]["hidden"][0]["shape"] = [-1, 64]
    fault = (
        "a tensor of 'hidden' must have name, shape and dtype, got \"{'name': 'kernel', 'shape':"
        " [-1, 64], 'dtype': 'float32'}\"; export the graph again"
    )
    assert hostile(tmp_path, json.dumps(document)) == fault


def test_a_huge_graph_is_not_read(tmp_path):
    path = tmp_path / "g"
    path.write_bytes(b"{")
    with path.open("r+b") as file:
        file.truncate(3 << 30)
    limit = "more than the 134,217,728 that graphprune reads of it; save the model again"
    assert (
        run_command("layers", path).err == f"graphprune: {path}: has 3,221,225,472 bytes, {limit}\n"
    )
