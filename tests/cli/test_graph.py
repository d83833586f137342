"""`graphprune graph` on the shipped model."""

import json

import pytest
from commands import run_command

from graphprune.graph import graph_from_json_config, read_graph
from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("g.json", "{"),
        ("g.dot", 'digraph "digits_cnn" {'),
        ("g.svg", "<svg "),
        ("g.HTML", "<!doctype html>"),
    ],
)
def test_the_name_of_the_file_says_the_format(tmp_path, name, start):
    done = run_command("graph", MODEL, "-o", tmp_path / name)
    assert (done.code, done.out, done.err) == (0, "", f"wrote {tmp_path / name}\n")
    assert (tmp_path / name).read_text().startswith(start)


def test_the_json_form_is_the_graph():
    done = run_command("graph", MODEL, "--format", "json")
    assert graph_from_json_config(json.loads(done.out)) == read_graph(MODEL)


@pytest.mark.parametrize(("arguments", "got"), [((), "nothing"), (("-o", "g.png"), "'g.png'")])
def test_without_a_format_it_is_wrong_usage(arguments, got):
    done = run_command("graph", MODEL, *arguments)
    assert done.code == 64
    assert done.err.endswith(
        "no format: name the file with -o g.json, g.dot, g.svg or g.html, or give --format; got"
        f" {got}\n"
    )


def test_a_file_that_exists_is_kept_without_force(tmp_path):
    (tmp_path / "g.svg").write_text("mine")
    done = run_command("graph", MODEL, "-o", tmp_path / "g.svg")
    assert (done.code, (tmp_path / "g.svg").read_text()) == (1, "mine")
    assert run_command("graph", MODEL, "-o", tmp_path / "g.svg", "--force").code == 0
