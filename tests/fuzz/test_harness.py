"""The harness finds hangs, memory without bound, crashes and errors, and names their cases."""

import os
import signal
from random import Random

import pytest
from fuzz import harness
from fuzz.harness import Target, cases_of, make_input, run_cases
from fuzz.mutations import mutate_bytes, mutate_text, mutate_value

from graphprune.errors import ArchiveError


def target(act):
    """Return a target whose fourth input does something bad."""
    third = Random(3).random()

    def check(value):
        if value == third:
            act()

    return Target(lambda random, folder: random.random(), check)


def hang():
    while True:
        pass


def fail():
    raise ArchiveError("not expected here")


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (hang, "ended by SIGPROF after 1 s of CPU time"),
        (lambda: bytes(30 * 2**30), "MemoryError"),
        (signal.pause, "ended by SIGALRM after 5 s"),
        (os.abort, "ended by SIGABRT"),
        (fail, "ArchiveError: not expected here"),
        (lambda: os._exit(0), "ended without an answer"),
    ],
    ids=["hang", "memory", "waiting", "abort", "error", "exit"],
)
def test_a_bad_case_is_named_and_the_rest_is_run(act, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "CPU_SECONDS", 1)
    monkeypatch.setattr(harness, "WAITING_SECONDS", 5 if act is signal.pause else 300)
    count, failures = run_cases(target(act), cases_of(seconds=None, count=8, only=None), tmp_path)
    assert count == 8
    assert [failure.case for failure in failures] == [3]
    assert reason in failures[0].reason


def test_a_target_that_always_fails_is_given_up(tmp_path):
    count, failures = run_cases(
        Target(lambda random, folder: None, lambda value: fail()), iter(range(100)), tmp_path
    )
    assert (count, len(failures)) == (3, 3)


def test_a_case_is_replayed_with_the_same_input(tmp_path):
    made = Target(lambda random, folder: mutate_bytes(random, bytes(100)), lambda value: None)
    assert (
        make_input(made, 7, tmp_path)
        == make_input(made, 7, tmp_path)
        != make_input(made, 8, tmp_path)
    )
    assert list(cases_of(seconds=None, count=8, only=7)) == [7]


def test_mutations_change_what_they_are_given_and_leave_the_original():
    value = {"rules": [{"id": "a", "match": {"type": "Dense"}}], "version": 1}
    kept = {"rules": [{"id": "a", "match": {"type": "Dense"}}], "version": 1}
    mutated = [mutate_value(Random(case), value, ["word"]) for case in range(200)]
    assert value == kept
    assert sum(other != value for other in mutated) > 150
    assert len({mutate_text(Random(case), "some text", ["word"]) for case in range(50)}) > 40
    assert len({mutate_bytes(Random(case), b"some bytes") for case in range(50)}) > 40
