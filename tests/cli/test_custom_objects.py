"""What `--custom-objects` takes from a module."""

import re
import sys

import pytest

from graphprune.cli.inputs import import_custom_objects
from graphprune.errors import TrainingError

SOURCE = """
from subprocess import run
import os

class Layer: ...
def loss(wanted, got): ...
def _hidden(): ...
number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    package = tmp_path / "own_parts"
    package.mkdir()
    (package / "__init__.py").write_text("from own_parts.layers import Layer, run\n")
    (package / "layers.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_parts"
    for name in ("own_parts", "own_parts.layers"):
        sys.modules.pop(name, None)


def test_a_module_gives_its_own_classes_and_functions_and_none_that_it_imports(own):
    assert sorted(import_custom_objects((f"{own}.layers",))) == ["Layer", "loss"]
    assert sorted(import_custom_objects((own,))) == ["Layer"]


def test_a_name_gives_what_the_user_asked_for(own):
    assert [value.__name__ for value in import_custom_objects((f"{own}.layers:run",)).values()] == [
        "run"
    ]
    with pytest.raises(TrainingError, match=r"own_parts has no gone; it has Layer, run$"):
        import_custom_objects((f"{own}:gone",))


def test_a_name_before_the_module_is_what_the_file_calls_it(own):
    found = import_custom_objects((f"<lambda>={own}.layers:loss", f"{own}.layers:Layer"))
    assert {name: value.__name__ for name, value in found.items()} == {
        "<lambda>": "loss",
        "Layer": "Layer",
    }
    text = (
        f"--custom-objects Old={own}: only one class or function can have another name; write it as"
        f" Old={own}:NAME"
    )
    with pytest.raises(TrainingError, match="^" + re.escape(text) + "$"):
        import_custom_objects((f"Old={own}",))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = gone", "NameError: name 'gone' is not defined"),
        ("def (", "SyntaxError: invalid syntax (broken_parts.py, line 1)"),
    ],
)
def test_a_module_that_fails_when_it_is_imported_is_one_line(tmp_path, monkeypatch, source, said):
    file = tmp_path / "broken_parts.py"
    file.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError) as fault:
        import_custom_objects(("broken_parts:Layer",))
    assert str(fault.value) == (
        "--custom-objects broken_parts:Layer: importing broken_parts failed at broken_parts.py:1"
        f" with {said}; mend it there"
    )


@pytest.mark.parametrize("spec", ["", ":Layer", ".own:Layer"])
def test_what_names_no_module_is_refused(spec):
    with pytest.raises(TrainingError) as fault:
        import_custom_objects((spec,))
    assert str(fault.value) == (
        f"--custom-objects {spec}: does not name a module; write it as MODULE or MODULE:NAME"
    )
