"""What CONTRIBUTING.md and docs/ name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("CONTRIBUTING.md", "docs/architecture.md")
RECIPES = {
    "A matcher key",
    "A schedule curve",
    "A pattern of zeros",
    "A score",
    "A file format",
    "A layer class",
    "A setting of training runs",
    "A target",
    "A kind of data files",
    "A command",
    "An operation or a setting that differs between the Kerases",
}


def test_every_kind_of_growth_has_a_recipe():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### (.*)$", text, re.M)) == RECIPES


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:graphprune|tests|benchmarks|rules|docs)/[\w./-]*)`", text))
    named |= {
        str((ROOT / page).parent.joinpath(link).resolve().relative_to(ROOT))
        for link in re.findall(r"\]\(([\w./-]+)\)", text)
    }
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_a_recipe_names_modules_of_its_folder_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipe = text.partition("### A matcher key")[2].partition("### ")[0]
    modules = re.findall(r"`(\w+\.py)`", recipe)
    assert len(modules) == 8
    folder = ROOT / "graphprune" / "rules" / "matchers"
    assert [module for module in modules if not (folder / module).exists()] == []
