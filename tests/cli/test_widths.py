"""Reports of models with long names: in a terminal of 80 columns no line is longer, and a pipe gets
the whole text.
"""

import re

import pytest
from builders import build_graph
from commands import run_command
from terminals import Terminal, graphprune

from graphprune.documents import to_json
from graphprune.graph import graph_to_config

LONG = "expanded_conv_project_batch_normalization_of_the_last_block"
RULES = f"""\
version: 1
rules:
- id: convolutions-of-the-last-block
  match: {{name: {LONG}_a}}
  prune: {{sparsity: 80%, schedule: {{curve: polynomial, begin: 10%, end: 70%}}}}
"""
COMMANDS = {
    "diff": ["diff", "a.json", "b.json"],
    "plan": ["plan", "a.json", "-r", "r.yaml"],
    "explain": ["explain", "a.json", "-r", "r.yaml", "--layer", f"{LONG}_a"],
    "explain a rule": [
        "explain",
        "a.json",
        "-r",
        "r.yaml",
        "--rule",
        "convolutions-of-the-last-block",
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("widths")
    for name, last in (("a.json", "relu > out"), ("b.json", "drop > out")):
        graph = build_graph(
            f"in > {LONG}_a:Conv2D(strides=[{1 + (name == 'b.json')}, 1])[3,3,6,8] >"
            f" {LONG}_b:Dense[8,4] > {last}"
        )
        (folder / name).write_text(to_json(graph_to_config(graph)))
    (folder / "r.yaml").write_text(RULES)
    return folder


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_line_is_longer_than_the_terminal(folder, light_server, monkeypatch, command):
    seen = Terminal(graphprune(*command), 80, folder, server=light_server).end()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", seen.raw).replace("\r\n", "\n")
    assert seen.code == 0
    assert max(map(len, shown.split("\n"))) <= 80
    monkeypatch.chdir(folder)
    whole = run_command(*command).out
    assert max(map(len, whole.split("\n"))) > 80
    assert LONG in whole


def test_a_name_that_does_not_fit_keeps_beginning_and_end(folder, light_server):
    seen = Terminal(graphprune(*COMMANDS["diff"]), 80, folder, server=light_server).end()
    assert seen.lines[6:9] == [
        "  ~ expanded_con…_last_block_a  config.strides  [1, 1] -> [2, 1]",
        "  + drop  Dropout   added",
        "  - relu  ReLU      removed",
    ]


def test_a_wide_terminal_shows_what_a_pipe_gets(folder, light_server):
    piped = light_server.run(*COMMANDS["diff"], folder=folder).out
    seen = Terminal(
        graphprune(*COMMANDS["diff"]), 250, folder, env={"NO_COLOR": "1"}, server=light_server
    ).end()
    assert seen.lines == [line.rstrip() for line in piped.rstrip("\n").split("\n")]
