"""`plan` and `diff` as pages, drawings and Markdown, on the shipped model."""

import json
import re

import pytest
from commands import run_command

from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
STARTS = {"html": "<!doctype html>", "svg": "<svg ", "github": "### ", "json": "{"}


@pytest.mark.parametrize(
    ("name", "kind"), [("p.html", "html"), ("p.SVG", "svg"), ("p.md", "github"), ("p.json", "json")]
)
@pytest.mark.parametrize(
    "arguments",
    [("plan", MODEL, "-r", "builtin:conv-80-dense-90"), ("diff", MODEL, MODEL)],
    ids=["plan", "diff"],
)
def test_the_name_of_the_file_or_an_option_says_the_format(tmp_path, arguments, name, kind):
    done = run_command(*arguments, "-o", tmp_path / name)
    assert (done.code, done.out, done.err) == (0, "", f"wrote {tmp_path / name}\n")
    text = (tmp_path / name).read_text()
    assert text.startswith(STARTS[kind])
    assert run_command(*arguments, "--format", kind).out == text


def test_the_page_of_a_plan_has_the_figures_of_the_weights():
    page = run_command("plan", MODEL, "-r", "builtin:conv-80-dense-90", "--format", "html").out
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    tensors = [tensor for box in data["frames"][0]["boxes"] for tensor in box.get("tensors", ())]
    assert tensors
    assert all({"min", "max", "mean", "std"} <= set(tensor) for tensor in tensors)
    assert any("zeros after" in tensor for tensor in tensors)


def test_an_unknown_format_is_wrong_usage():
    assert run_command("plan", MODEL, "-r", "builtin:dense-90", "--format", "pdf").code == 64
