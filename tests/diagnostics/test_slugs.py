"""The table of slugs against the source, and its examples against the engine."""

import json
import re
import shlex
from pathlib import Path

import pytest
from builders import build_graph
from commands import run_command

import graphprune
from graphprune.cli.outputs import render_with_lines
from graphprune.diagnostics.slugs import read_slugs
from graphprune.errors import GraphpruneError, RuleError
from graphprune.graph import graph_to_config
from graphprune.plan import make_plan
from graphprune.rules import parse_rules
from graphprune.serving.runtimes import RunnerError
from graphprune.shipped import shipped_file

GRAPH = "in > conv_1[3,3,3,8] > bn > conv_2[3,3,8,8] > flatten > fc_1[512,64] > fc_2[64,10]"
NOT_SLUGS = {"spectral/kernel", "spectral/u", "application/json", "runs/a"}
EXPORTED = b"\x12\x0d\x3a\x0b\x0a\x09\x0a\x07\x12\x05serve"
"""A SavedModel whose root has the attribute `serve`."""
SOURCE = Path(graphprune.__file__).parent
TOLD = sorted(read_slugs())
IN_PROCESSES = {"training/worker-lost"}
"""Given by processes of their own, in `tests/tf/test_workers.py`."""
COMMANDS = [
    help for help in read_slugs().values() if help.is_command and help.slug not in IN_PROCESSES
]
LOADS_TENSORFLOW = {"data/invalid", "model/does-not-run", "strip/incomplete", "training/refused"}


def slugs_in_source():
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    return set(re.findall(r'"([a-z]+/[a-z]+(?:-[a-z]+)*)[":]', text)) - NOT_SLUGS


def told_by(text, help):
    """The diagnostics that a rule file gives with the model of its entry."""
    try:
        rules = parse_rules(text, "example.yaml")
        return make_plan(build_graph(help.graph or GRAPH), rules, epochs=help.epochs).diagnostics
    except RuleError as fault:
        return fault.diagnostics


def found_in(text, help):
    return {diagnostic.slug for diagnostic in told_by(text, help)}


def prepare_models(folder):
    """The files that the commands of the table name: a model, rules, and a plan that was made for
    another model.
    """
    (folder / "newer.keras").write_bytes(shipped_file("fixtures/digits-cnn.keras").read_bytes())
    (folder / "prune.yaml").write_text(read_slugs()["rule/no-match"].mended)
    (folder / "exported").mkdir()
    (folder / "exported" / "saved_model.pb").write_bytes(EXPORTED)
    older = json.dumps(graph_to_config(build_graph(GRAPH)))
    (folder / "older.json").write_text(older)
    (folder / "edited.json").write_text(older.replace("conv_2", "conv_3"))
    (folder / "runs" / "a").mkdir(parents=True)
    (folder / "runs" / "a" / "run.json").write_text("{}")
    assert run_command("plan", "older.json", "-r", "prune.yaml", "-o", "plan.json").code == 0


def test_every_slug_in_the_source_is_in_the_table_and_the_other_way_round():
    assert slugs_in_source() == set(read_slugs())


@pytest.mark.parametrize("slug", [slug for slug in TOLD if not read_slugs()[slug].is_command])
def test_an_example_gives_its_slug_alone_and_is_mended(slug):
    help = read_slugs()[slug]
    assert found_in(help.example, help) == {slug}
    assert found_in(help.mended, help) == set()


@pytest.mark.parametrize(
    "slug",
    [
        pytest.param(help.slug, marks=[pytest.mark.tf] if help.slug in LOADS_TENSORFLOW else [])
        for help in COMMANDS
    ],
)
def test_a_command_gives_its_slug_and_is_mended(slug, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    help = read_slugs()[slug]
    prepare_models(tmp_path)
    if slug == "strip/incomplete":
        assert (
            run_command(
                "apply", "newer.keras", "-r", "builtin:dense-90", "-o", "wrapped.keras"
            ).code
            == 0
        )
    failed, mended = (run_command(*shlex.split(text)[1:]) for text in (help.example, help.mended))
    codes = {"usage": 64, "target": 0}  # what a target does not use is a warning
    wanted = codes.get(slug.partition("/")[0], 1)
    assert (failed.code, slug in failed.out + failed.err) == (wanted, True)
    assert (mended.code, slug in mended.out + mended.err) == (0, False)


def test_the_whole_message_of_each_slug(check_golden):
    blocks = [
        f"{text}\n{chr(10).join(map(str, told_by(text, help)))}\n"
        for help in read_slugs().values()
        if not help.is_command
        for text in [help.example.rstrip()]
    ]
    check_golden("\n".join(blocks), "slug_messages.txt")


def test_what_the_terminal_shows_of_each_slug(check_golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = []
    for help in read_slugs().values():
        if not help.is_command:
            Path("example.yaml").write_text(help.example, encoding="utf-8")
            blocks.append(f"{render_with_lines(told_by(help.example, help))}\n")
    check_golden("\n".join(blocks), "slug_terminal.txt")


def test_the_messages_of_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare_models(tmp_path)
    told = {
        help.slug: run_command(*shlex.split(help.example)[1:])
        for help in COMMANDS
        if "--format" not in help.example and help.slug != "target/no-gain"
    }
    assert {slug: done.out + done.err for slug, done in told.items()} == {
        "file/unreadable": (
            "error[file/unreadable]: no such rule file\n  --> dense-90\n  help: did you mean"
            " builtin:dense-90? (graphprune rules lists the files that ship)\n\ndense-90: 1 error\n"
        ),
        "plan/stale": (
            "error[plan/stale]: the plan was made for another model: 'fc_1' is missing; 'fc_2' is"
            " missing; 'conv_3' is not in the plan; 'hidden' is not in the plan; 'digits' is not in"
            " the plan\n  --> plan.json\n  help: make the plan again for this model: graphprune"
            " plan MODEL -r RULES -o PLAN.json\n"
        ),
    }


def test_the_documents_of_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare_models(tmp_path)
    told = {}
    for help in COMMANDS:
        if "--format" in help.example and help.slug not in LOADS_TENSORFLOW:
            done = run_command(*shlex.split(help.example)[1:])
            (found,) = json.loads(done.out)["diagnostics"]
            told[found["slug"]] = (found["where"] and found["where"]["file"], found["help"])
            assert (found["slug"], done.err) == (help.slug, "")
    assert told == {
        "plan/invalid": ("older.json", None),
        "model/unreadable": ("newer.kers", None),
        "model/exported": ("exported", None),
        "model/invalid": ("edited.json", None),
        "output/exists": ("plan.json", None),
        "output/refused": ("plan.keras", None),
        "output/unwritable": ("/proc/plan.json", None),
        "convert/refused": ("newer.keras", None),
        "run/unusable": ("runs/a", None),
        "usage/invalid": (None, "see graphprune plan --help"),
        "system/failed": ("a" * 256, None),
    }


def test_every_error_class_has_a_slug_of_its_own_in_the_table():
    classes = [
        found
        for kind in GraphpruneError.__subclasses__()
        for found in (kind, *kind.__subclasses__())
        if found is not RuleError
    ]
    slugs = [kind.slug for kind in classes]
    assert RunnerError in classes
    assert len(classes) == 11
    assert len(set(slugs)) == len(slugs)
    assert set(slugs) <= set(read_slugs())


SPECIFIED = (
    "yaml/syntax yaml/duplicate-key key/unknown value/type value/range regex/invalid"
    " selector/unknown selector/cycle selector/unused schedule/unknown schedule/unit"
    " override/unknown override/cycle match/contradiction id/duplicate rule/no-match layer/frozen"
    " rule/count rule/shadowed rule/conflict layer/unknown layer/not-prunable type/unknown"
    " config/unknown-key pattern/misfit pattern/rank budget/infeasible schedule/never-reached"
    " require/failed plan/stale"
)


def test_the_slugs_of_the_specification_are_there():
    assert set(SPECIFIED.split()) <= set(read_slugs())


@pytest.mark.parametrize("help", read_slugs().values(), ids=lambda help: help.slug)
def test_an_entry_is_whole_sentences(help):
    assert help.means.endswith(".")
    assert help.hurts.endswith(".")
    assert help.example != help.mended
