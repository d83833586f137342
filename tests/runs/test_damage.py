"""Every kind of damage to a run's folder has its right outcome: going on from the right place, or
an error that names the file.
"""

from __future__ import annotations

import pytest
from runs.damage import TABLE, Damage
from runs.made_runs import go_on, make_run

from graphprune.errors import CheckpointError
from graphprune.runs.resume_point import cut_metrics, find_finished, find_start
from graphprune.runs.run_folder import RunFolder


def decide(run: RunFolder) -> tuple[str | int, list[str]]:
    """Return where a resume goes on (a step, or that it is finished), and what it tells; it goes on
    as `resume` does.
    """
    told: list[str] = []
    with run.locked():
        options = run.read_options()
        if find_finished(run, options, told.append) is not None:
            return "finished", told
        checkpoint = find_start(run, options, told.append)
        if checkpoint is None:
            run.cut_metrics(0, None)
            go_on(run, options, 0, options.steps)
            return 0, told
        cut_metrics(run, checkpoint.state, told.append)
        step = checkpoint.state.step
        go_on(run, options, step + 1, options.steps)
        if step == options.steps:
            go_on(run, options, step, step)
        return step, told


@pytest.mark.parametrize("damage", TABLE, ids=lambda damage: damage.name)
def test_damage_has_its_right_outcome(tmp_path, damage: Damage):
    run = make_run(tmp_path / "run", stop=12 if damage.finished else 10)
    (run.path / "notes.txt").write_text("mine")
    damage.do(run.path)
    if damage.outcome == "error":
        with pytest.raises(CheckpointError) as caught:
            decide(run)
        assert damage.says in str(caught.value)
        assert "--force" not in str(caught.value)
    else:
        newest = 12 if damage.finished else 9
        start, told = decide(run)
        assert start == {"newest": newest, "before": newest - 3, "beginning": 0}[damage.start]
        assert damage.says is None or any(damage.says in line for line in told), told
        assert run.need_model().read_bytes() == b"trained weights"
    assert (run.path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("stop", [10, 12])
def test_a_run_without_damage_tells_nothing(tmp_path, stop):
    run = make_run(tmp_path / "run", stop=stop)
    assert decide(run) == ("finished" if stop == 12 else 9, [])
    lines = run.metrics.read_text().splitlines()
    assert [line.split(",")[1] for line in lines] == [' "step": 4', ' "step": 8', ' "step": 12']


def test_the_table_has_at_least_40_kinds_with_a_name_each():
    assert len({damage.name for damage in TABLE}) == len(TABLE) >= 40
