"""Colour of plan, diff, lint and faults: on a terminal, as Rich decides it; never in files, pipes
or JSON.
"""

import re

import pytest
from terminals import Terminal, graphprune

from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
FAULTY = "version: 1\nrules: [{id: a, match: {type: Dense}, prune: {sparsity: 1.2}}]\n"
COMMANDS = {
    "plan": (["plan", MODEL, "-r", "builtin:conv-80-dense-90"], "\x1b[32m+ conv_1\x1b[0m"),
    "diff": (["diff", "a.json", "b.json"], "\x1b[31m- fc_2\x1b[0m"),
    "lint": (["lint", "faulty.yaml"], "\x1b[31m\x1b[1merror[value/range]\x1b[0m: rule 'a'"),
    "faults of a plan": (["plan", MODEL, "-r", "faulty.yaml"], "\x1b[36m  help:\x1b[0m "),
}


@pytest.fixture
def folder(tmp_path):
    from builders import build_graph
    from commands import run_command

    from graphprune.documents import to_json
    from graphprune.graph import graph_to_config

    (tmp_path / "faulty.yaml").write_text(FAULTY)
    (tmp_path / "a.json").write_text(
        to_json(graph_to_config(build_graph("in > fc_1[4,4] > fc_2[4,2]")))
    )
    (tmp_path / "b.json").write_text(to_json(graph_to_config(build_graph("in > fc_1[4,4]"))))
    assert run_command("layers", tmp_path / "a.json").code == 0
    return tmp_path


@pytest.fixture
def show(folder, light_server):
    """Runs a command in a terminal; returns what a user sees."""

    def run(command, **env):
        return Terminal(graphprune(*command), 200, folder, env=env, server=light_server).end()

    return run


@pytest.mark.parametrize(("command", "painted"), COMMANDS.values(), ids=COMMANDS)
def test_a_terminal_gets_colour_and_the_text_is_that_of_a_pipe(
    folder, show, light_server, command, painted
):
    seen = show(command)
    assert painted in seen.raw
    piped = light_server.run(*command, folder=folder)
    assert "\x1b" not in piped.out + piped.err
    assert [
        line.rstrip()
        for line in ESCAPES.sub("", seen.raw).replace("\r\n", "\n").rstrip("\n").split("\n")
    ] == (piped.out + piped.err).rstrip("\n").split("\n")


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}], ids=str
)
@pytest.mark.parametrize(
    "command", [COMMANDS[name][0] for name in ("plan", "faults of a plan")], ids=["plan", "faults"]
)
def test_a_terminal_gets_no_colour_where_that_is_not_wanted(show, command, env):
    assert not ESCAPES.search(show(command, **env).raw)


def test_a_pipe_gets_colour_where_it_is_forced_and_files_and_json_never(
    folder, light_server, monkeypatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*command):
        return light_server.run(*command, folder=folder).out

    plan, painted = COMMANDS["plan"]
    assert painted in run(*plan)
    assert "\x1b" not in run(*plan, "--format", "json") + run(*plan, "--format", "github") + run(
        *plan, "-o", "plan.txt"
    )
    assert "\x1b" not in (folder / "plan.txt").read_text()
