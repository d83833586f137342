"""The README's commands run, and print what it says they print (figures that depend on the
machine's arithmetic aside).
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import run_command

from graphprune.cli.main import COMMANDS
from graphprune.rules import parse_rules
from graphprune.rules.matchers.keys import MatcherShape
from graphprune.rules.text.shape import keys_of
from graphprune.shipped import shipped_file

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d[\d,.]*")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    """Each command of the console blocks with the output below it."""
    for block in blocks("console"):
        for part in block.split("$ graphprune ")[1:]:
            command, _, output = part.partition("\n")
            yield command.split(), output.strip("\n")


def shape_of(text):
    return [" ".join(NUMBER.sub("#", line).split()) for line in text.strip("\n").splitlines()]


@pytest.fixture
def demo_folder(tmp_path, monkeypatch):
    folder = tmp_path / "graphprune-demo"
    folder.mkdir()
    shutil.copyfile(shipped_file("fixtures/digits-cnn-keras3.keras"), folder / "original.keras")
    shutil.copyfile(shipped_file("fixtures/digits.npz"), folder / "digits.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.tf
def test_the_tour_prints_what_it_shows(demo_folder):
    verbs = []
    for command, output in commands():
        done = run_command(*command)
        assert (done.code, done.err) == (0, "")
        assert shape_of(done.out) == shape_of(output)
        if command[0] == "plan":
            assert done.out.strip("\n") == output
        verbs.append(command[0])
    wanted = ["plan", "train", "resume", "strip", "diff", "prune", "prune", "shrink"]
    assert verbs == wanted


@pytest.mark.tf
@pytest.mark.parametrize("keras", ["", "-keras3"])
def test_the_python_lines_run(demo_folder, keras):
    shutil.copyfile(shipped_file(f"fixtures/digits-cnn{keras}.keras"), "model.keras")
    shutil.copyfile(shipped_file("rules/conv-80-dense-90.yaml"), "prune.yaml")
    with np.load("graphprune-demo/digits.npz") as digits:
        x, y = digits["x_train"][:64], digits["y_train"][:64]
    first, second = blocks("python")
    exec(compile(first, "README.md", "exec"), {"x": x, "y": y})
    done = run_command("diff", "model.keras", "sparse.keras")
    assert "zeros 0 -> 29,491" in done.out
    shutil.copyfile(shipped_file("fixtures/digits-cnn-keras3.keras"), "model3.keras")
    if not keras:
        return  # the second block is of Keras 3
    exec(compile(second.replace("1000", "10"), "README.md", "exec"), {"x": x, "y": y})
    assert "zeros 0 -> 29,491" in run_command("diff", "model3.keras", "sparse3.keras").out


def test_the_rule_files_have_no_faults():
    rules = [[rule.id for rule in parse_rules(text, "README.md").rules] for text in blocks("yaml")]
    assert rules == [["dense", "blocks", "classifier"], ["pointwise", "the-rest"]]


def test_every_matcher_and_verb_of_the_tables_exists():
    table = "".join(line for line in README.splitlines() if line.startswith("| of "))
    # docs/rule-language.md, which is generated, names them all
    assert set(re.findall(r"`(\w+)`", table)) <= {"selectors", *keys_of(MatcherShape)}
    assert set(re.findall(r"`graphprune (\w+)", README)) <= set(COMMANDS)


def test_the_two_commands_are_named():
    assert [line.split("#")[0].strip() for line in blocks("sh")[0].splitlines()] == [
        "python -m pip install . && graphprune demo",
        "python -m pip install '.[test]' && python -m pytest -n auto",
    ]
