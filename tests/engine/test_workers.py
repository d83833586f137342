"""What several processes decide together, over a stand-in for their exchange of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from threading import Barrier, Thread
from types import SimpleNamespace

import numpy as np
import pytest

from graphprune.engine import workers as together
from graphprune.engine.array_data import ArrayBatches, warn_left_out
from graphprune.engine.shares import Share
from graphprune.engine.workers import StopVotes, check_same_run, gather_state, own_state
from graphprune.errors import CheckpointError, TrainingError
from graphprune.runs.samples import ArrayRows
from graphprune.runs.training_arguments import StopRequest


@dataclass
class Worker:
    """One of several threads that stand for workers."""

    rank: int
    table: list
    barrier: Barrier

    @property
    def count(self) -> int:
        return len(self.table)

    def name_of(self, rank: int) -> str:
        return f"worker {rank}"

    def gather(self, arrays):
        self.table[self.rank] = arrays
        self.barrier.wait(10)
        found = tuple(self.table)
        self.barrier.wait(10)
        return found


def on_each(count: int, call) -> list:
    """Return what `call` returns or raises on each worker, at the same time."""
    table, barrier, results = [None] * count, Barrier(count), [None] * count

    def work(rank: int) -> None:
        try:
            results[rank] = call(Worker(rank, table, barrier))
        except (TrainingError, CheckpointError) as fault:
            results[rank] = fault

    threads = [Thread(target=work, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def layer(*masks):
    tensors = [SimpleNamespace(read_mask=lambda mask=mask: np.array(mask, bool)) for mask in masks]
    return SimpleNamespace(tensors=tensors)


def state_of(rank: int):
    return {"metrics": {"0": np.array([rank, 1.5])}, "optimizer": {"0": np.array([7.0])}}


def test_a_checkpoint_has_the_own_state_of_every_worker_and_gives_it_back():
    found = on_each(3, lambda one: gather_state(one, state_of(one.rank), [layer([1, 0])], "runs/a"))
    chief = found[0]
    assert sorted(chief) == ["metrics/0", "optimizer/0", "worker-1/metrics/0", "worker-2/metrics/0"]
    by_kind = {}
    for path, array in chief.items():
        kind, _, name = path.partition("/")
        by_kind.setdefault(kind, {})[name] = array
    for rank in range(3):
        own = own_state(by_kind, SimpleNamespace(rank=rank))
        assert sorted(own) == ["metrics", "optimizer"]
        assert own["metrics"]["0"][0] == rank


def test_masks_that_differ_end_the_run_on_all_workers():
    masks = [[1, 1, 0], [1, 0, 1]]
    found = on_each(2, lambda one: gather_state(one, {}, [layer(masks[one.rank])], "runs/a"))
    assert {str(one) for one in found} == {
        "runs/a: worker 1 has other masks than worker 0, so its weights differ; train on machines"
        " with the same processors and the same versions"
    }


def test_a_checkpoint_of_other_workers_is_refused():
    with pytest.raises(CheckpointError, match="written with other workers"):
        own_state({"metrics": {"0": np.zeros(1)}}, SimpleNamespace(rank=1))


def test_workers_that_were_asked_for_something_else_are_named():
    found = on_each(2, lambda one: check_same_run(one, {"seed": str(one.rank), "model": "m"}))
    assert {str(one) for one in found} == {
        "worker 1 differs from worker 0 in its seed; give each worker the same command, model,"
        " rules and data"
    }


def test_all_workers_stop_at_the_step_at_which_one_was_asked(monkeypatch):
    monkeypatch.setattr(together, "_BETWEEN", 0.001)

    def train(one: Worker) -> int:
        stop = StopRequest()
        votes = StopVotes(one, stop)
        with stop.listening():
            for step in range(1, 10**6):
                if one.rank == 1 and step >= 40:
                    stop.ask()
                if votes.asked_after_step():
                    return step
        return 0

    steps = on_each(2, train)
    assert steps[0] == steps[1] >= 40


def test_the_questions_of_quick_steps_are_far_apart(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(together.time, "monotonic", lambda: clock.now)
    asked = []

    class Counting(Worker):
        def gather(self, arrays):
            asked.append(clock.now)
            return (arrays, arrays)

    votes = StopVotes(Counting(0, [None, None], Barrier(1)), StopRequest())
    for _ in range(2000):
        clock.now += 0.01
        votes.asked_after_step()
    assert len(asked) < 60
    assert max(b - a for a, b in pairwise(asked)) < 1


def test_samples_that_replicas_cannot_share_are_told_before_training():
    rows = ArrayRows("train", np.zeros((30, 2)), np.zeros(30), None)
    data = ArrayBatches("data.npz", rows, None, 8, 0, 4, "", replicas=4)
    with pytest.warns(UserWarning, match="each epoch leaves out") as told:
        warn_left_out(data)
    assert [str(one.message) for one in told] == [
        "data.npz: each epoch leaves out 2 of 30 samples, other ones each time, because 4 replicas"
        " share the samples equally"
    ]


def test_a_share_is_next_to_that_of_the_next_worker():
    shares = [Share(rank, workers=3, replicas=6) for rank in range(3)]
    assert [list(one.parts) for one in shares] == [[0, 1], [2, 3], [4, 5]]
    assert list(shares[2].own.parts) == [0, 1]
