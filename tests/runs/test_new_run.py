"""A run's folder appears whole and for one process; a kill at any moment leaves an old run or a new
one.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from runs.damage import rewrite
from runs.made_runs import OPTIONS, create, go_on, make_run

from graphprune.errors import CheckpointError, GraphpruneError, OutputError
from graphprune.files import file_sha256
from graphprune.runs import new_run
from graphprune.runs.resume_point import find_finished, find_start
from graphprune.runs.run_files import LOCK
from graphprune.runs.run_folder import RunFolder

NEW = replace(OPTIONS, run_id="70" * 16, model_name="model.h5", seed=12)
CHANGES = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
DONE, KILLED, REFUSED = 0, 99, 77


def in_child(work: Callable[[], None], *, kill_at: int | None = None) -> int:
    """Run `work` in a child process and return its process id; it dies at its n-th change of a
    file, as if it had been killed.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if kill_at is not None:
            die_at(kill_at)
        work()
        code = DONE
    except GraphpruneError:
        code = REFUSED
    finally:
        os._exit(code)


def die_at(number: int) -> None:
    left = [number]

    def count(event, arguments):
        is_read = event == "open" and not (
            isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if event in CHANGES and not is_read:
            left[0] -= 1
            if left[0] == 0:
                os._exit(KILLED)

    sys.addaudithook(count)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def make_new(folder: Path, *, force: bool = False) -> None:
    found = RunFolder(folder).check_free(force=force)
    with create(folder, NEW, found=found, force=force):
        go_on(RunFolder(folder), NEW, 0, 2)


def start_of(run: RunFolder):
    """Return whose run it is and where a resume goes on."""
    with run.locked():
        options = run.read_options()
        told: list[str] = []
        if find_finished(run, options, told.append) is not None:
            return options.run_id[:2], "finished", told
        checkpoint = find_start(run, options, told.append)
        return options.run_id[:2], -1 if checkpoint is None else checkpoint.state.step, told


def kills(
    folder: Path, prepare: Callable[[Path], None], *, force: bool, every: int = 1
) -> set[tuple[str, object]]:
    """Kill the making of a run at each of its changes, or at each `every`th; return what a resume
    would do after each kill.
    """
    seen: set[tuple[str, object]] = set()
    for number in range(1, 500, every):
        place = folder / str(number)
        place.mkdir()
        run = place / "a"
        prepare(run)
        code = wait(in_child(lambda run=run: make_new(run, force=force), kill_at=number))
        if (run / "run.json").exists() or RunFolder(run).is_run:
            owner, start, told = start_of(RunFolder(run))
            assert told == []
            seen.add((owner, start))
        else:
            assert not run.exists() or {path.name for path in run.iterdir()} <= {
                ".lock",
                ".new-run",
            }
            seen.add(("none", None))
            make_new(run)
        assert not [path for path in place.iterdir() if path.name != "a" and any(path.iterdir())], (
            "left beside the run"
        )
        assert not [
            path.name
            for path in run.rglob("*")
            if path.name.startswith(".") and path.name != ".lock"
        ]
        if code == DONE:
            return seen
        assert code == KILLED
    raise AssertionError("the run was never finished")


def test_a_new_folder_appears_whole_whenever_its_process_is_killed(tmp_path, request):
    every = 1 if request.config.getoption("--slow") else 3
    seen = kills(tmp_path, lambda run: None, force=False, every=every)
    assert seen == {("none", None), ("70", -1), ("70", 0)}


def test_an_empty_folder_becomes_a_run_as_a_whole(tmp_path, request):
    every = 1 if request.config.getoption("--slow") else 3
    seen = kills(tmp_path, lambda run: run.mkdir(), force=False, every=every)
    assert seen == {("none", None), ("70", -1), ("70", 0)}


def test_a_run_that_is_replaced_is_the_old_one_or_the_new_one_whenever_its_process_is_killed(
    tmp_path, request
):
    def prepare(run):
        make_run(run, stop=12)
        (run / "notes.txt").write_text("mine")
        (run / "rules" / "notes.txt").write_text("mine")
        (run / "checkpoints" / "step-backup").mkdir()
        (run / "model.txt").write_text("mine, too")

    every = 1 if request.config.getoption("--slow") else 3
    seen = kills(tmp_path, prepare, force=True, every=every)
    assert seen == {("5e", "finished"), ("70", -1), ("70", 0)}
    for run in tmp_path.glob("*/a"):
        assert {
            name: (run / name).exists()
            for name in ("notes.txt", "rules/notes.txt", "checkpoints/step-backup", "model.txt")
        } == dict.fromkeys(
            ("notes.txt", "rules/notes.txt", "checkpoints/step-backup", "model.txt"), True
        )


def test_force_removes_what_the_run_wrote_and_nothing_else(tmp_path):
    run = make_run(tmp_path / "run", replace(OPTIONS, tensorboard="tensorboard"), stop=12)
    mine = [
        "notes.txt",
        "checkpoints/step-notes.txt",
        "checkpoints/step-00000009/notes.txt",
        "rules/notes.txt",
        "tensorboard/notes.txt",
        "model.h5",
    ]
    events = [
        "tensorboard/train/events.out.tfevents.1700000000.host.1.0.v2",
        "tensorboard/validation/events.out.tfevents.1700000000.host.1.0.v2",
    ]
    for name in mine + events:
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("mine")
    with create(
        run.path,
        replace(NEW, model_name="model.keras"),
        found=run.check_free(force=True),
        force=True,
    ):
        pass
    names = {
        path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()
    }
    assert names == {
        *mine,
        ".lock",
        "run.json",
        "plan.json",
        "original.graph.json",
        "rules/prune.yaml",
        "metrics.jsonl",
        "run.yaml",
    }
    assert all((run.path / name).read_text() == "mine" for name in mine)


@pytest.mark.parametrize("name", ["model.h5", "rules/prune.yaml"])
def test_a_file_of_the_user_whose_name_the_new_run_needs_is_not_replaced(tmp_path, name):
    run = make_run(tmp_path / "run", stop=12)
    rewrite(run.path / "run.json", files={})
    (run.path / name).write_text("mine")
    with (
        pytest.raises(OutputError) as caught,
        create(run.path, NEW, found=run.check_free(force=True), force=True),
    ):
        pass
    assert (
        str(caught.value)
        == f"{run.path}/{name}: was not written by the earlier run, but this run needs the name;"
        " move it away"
    )
    assert (run.path / name).read_text() == "mine"
    assert run.read_options().run_id == OPTIONS.run_id


def test_force_replaces_a_run_of_format_1_with_its_copies_of_rules(tmp_path):
    run = make_run(tmp_path / "run", stop=12)
    copied = file_sha256(run.path / "rules" / "prune.yaml")
    rewrite(
        run.path / "run.json",
        format_version=1,
        files=None,
        run_id=None,
        rules=[["prune.yaml", copied]],
    )
    (run.path / "rules" / "notes.yaml").write_text("mine")
    with create(run.path, NEW, found=run.check_free(force=True), force=True):
        pass
    assert run.read_options().run_id == NEW.run_id
    assert sorted(path.name for path in (run.path / "rules").iterdir()) == [
        "notes.yaml",
        "prune.yaml",
    ]
    assert not (run.path / "model.keras").exists()


@pytest.mark.parametrize("force", [False, True])
def test_of_many_processes_that_want_one_folder_exactly_one_gets_it(tmp_path, force):
    if force:
        make_run(tmp_path / "run", stop=12)
    go, begin = os.pipe()
    ready, is_ready = os.pipe()

    def race():
        os.close(begin)
        found = RunFolder(tmp_path / "run").check_free(force=force)
        os.write(is_ready, b"x")
        os.read(go, 1)  # until the parent closes its end
        with create(tmp_path / "run", replace(NEW, seed=os.getpid()), found=found, force=force):
            go_on(RunFolder(tmp_path / "run"), replace(NEW, seed=os.getpid()), 0, 12)

    children = [in_child(race) for _ in range(8)]
    for _ in children:
        os.read(ready, 1)
    for end in (begin, go, ready, is_ready):
        os.close(end)
    codes = {child: wait(child) for child in children}
    winners = [child for child, code in codes.items() if code == DONE]
    assert sorted(codes.values()) == [DONE] + [REFUSED] * 7
    assert RunFolder(tmp_path / "run").read_options().seed == winners[0]
    assert start_of(RunFolder(tmp_path / "run"))[1] == "finished"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_another_process_keeps_its_run(tmp_path):
    found = RunFolder(tmp_path / "run").check_free(force=True)
    run = make_run(tmp_path / "run", stop=12)
    with (
        pytest.raises(CheckpointError) as caught,
        create(tmp_path / "run", NEW, found=found, force=True),
    ):
        pass
    assert (
        str(caught.value)
        == f"{run.path}: another process created a run there; give this run another folder"
    )
    assert run.need_model().read_bytes() == b"trained weights"


@pytest.mark.parametrize("use", ["resume", "replace"])
def test_a_run_in_which_another_process_trains_is_left_to_it(tmp_path, use):
    run = make_run(tmp_path / "run")
    found = run.check_free(force=True)
    with (
        run.locked(),
        pytest.raises(CheckpointError) as caught,
        run.locked() if use == "resume" else create(run.path, NEW, found=found, force=True),
    ):
        pass
    assert (
        str(caught.value)
        == f"{run.path}: another process is training in this folder; wait for it, or stop it"
    )


def test_a_run_that_others_only_look_at_is_waited_for(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    look = os.open(run.path / LOCK, os.O_RDONLY)  # as `graphprune runs` opens it
    fcntl.flock(look, fcntl.LOCK_SH)
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            fcntl.flock(look, fcntl.LOCK_UN)

    monkeypatch.setattr(new_run.time, "sleep", pause)
    with run.locked():
        assert len(pauses) == 3
        with pytest.raises(BlockingIOError):
            fcntl.flock(look, fcntl.LOCK_SH | fcntl.LOCK_NB)
    fcntl.flock(look, fcntl.LOCK_SH)
    monkeypatch.setattr(new_run.time, "sleep", lambda seconds: None)
    with pytest.raises(CheckpointError, match="another process is training"), run.locked():
        pass
    os.close(look)


def test_the_lock_of_a_killed_process_is_free_and_a_living_one_keeps_its_folder_beside_the_run(
    tmp_path,
):
    run = tmp_path / "a"
    with create(run, NEW, found=""):
        pass
    beside = tmp_path / f".a.new-run-{'0' * 16}"
    beside.mkdir()
    living = RunFolder(beside)
    (beside / ".lock").touch()
    (tmp_path / ".a.new-run-mine").mkdir()
    with living.locked():
        make_new(run, force=True)
        assert beside.exists()
    with RunFolder(run).locked():
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.new-run-mine", "a"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda run: run.write_text("x"), "is a file; give the run a folder of its own"),
        (
            lambda run: (run.mkdir(), (run / "notes.txt").write_text("x")),
            "holds other files; give the run a folder of its own",
        ),
        (
            lambda run: (run.mkdir(), (run / "run.json").mkdir()),
            (
                "/run.json: is not a file, so the run there cannot be replaced; give the run a"
                " folder of its own"
            ),
        ),
    ],
)
def test_what_is_no_run_is_not_replaced_by_force(tmp_path, make, message):
    make(tmp_path / "run")
    with pytest.raises(OutputError) as caught:
        RunFolder(tmp_path / "run").check_free(force=True)
    assert str(caught.value).removeprefix(f"{tmp_path}/run").removeprefix(": ") == message


def test_the_run_of_a_newer_graphprune_is_not_replaced(tmp_path):
    run = make_run(tmp_path / "run")
    rewrite(run.path / "run.json", format_version=3)
    with pytest.raises(
        CheckpointError,
        match=(
            r"run\.json: has format 3 of a newer graphprune, this one reads up to 2; update"
            r" graphprune"
        ),
    ):
        run.check_free(force=True)


def test_a_path_that_is_not_unicode_cannot_be_recorded(tmp_path):
    options = replace(OPTIONS, model="/models/\udcff.keras")
    with (
        pytest.raises(
            OutputError,
            match=r"this run cannot be recorded, run.json has a wrong text: expected valid Unicode",
        ),
        create(tmp_path / "run", options),
    ):
        pass
    assert not (tmp_path / "run").exists()


def test_a_graph_with_infinities_and_any_characters_is_recorded(tmp_path):
    graph = {"mask_value": float("-inf"), "name": "größe \udcff"}
    run = RunFolder(tmp_path / "run")
    made = {"plan": None, "graph": graph, "rule_files": {}, "run_file": ""}
    with run.created(OPTIONS, **made, found="", force=False):
        text = (run.path / "original.graph.json").read_text()
    assert json.loads(text) == graph
    assert "größe" in text


def test_left_overs_in_the_run_are_removed_and_names_like_them_stay(tmp_path):
    run = make_run(tmp_path / "run")
    ours = [
        ".model.keras.ab_1cd2x",
        ".run.json.abcdefgh",
        ".metrics.jsonl.abcdefgh",
        ".result.json.0123456789abcdef.graphprune-part",
        "checkpoints/.step-00000012.tmp",
        "checkpoints/.step-00000012.0123456789abcdef.graphprune-part",
        "checkpoints/step-00000009/.model.keras.abcdefgh",
    ]
    mine = [
        ".model.keras.backup",
        ".run.json.ABCDEFGH",
        ".notes.abcdefgh",
        "checkpoints/.step-notes.tmp",
        "checkpoints/.step-12.tmp",
    ]
    for name in ours + mine:
        (run.path / name).mkdir()
        (run.path / name / "file").write_text("x")
    with run.locked():
        pass
    assert {name: (run.path / name).exists() for name in ours + mine} == dict.fromkeys(
        ours, False
    ) | dict.fromkeys(mine, True)
