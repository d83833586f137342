"""Every value of a run's JSON files, replaced by wrong ones: told in plain words, with key and
value.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from runs.made_runs import OPTIONS, state_at

from graphprune.runs.records import Damage, Record
from graphprune.runs.run_options import RunResult, TensorResult

TENSOR = TensorResult("fc", "kernel", 4, 2, 2, 0.5, 0.1)
RESULT = RunResult(4, 4, "model.keras", {"loss": 0.5}, (TENSOR,), "ee" * 32, "5e" * 16)
RECORDS: dict[str, Any] = {"run.json": OPTIONS, "state.json": state_at(4), "result.json": RESULT}
WRONG: tuple[Any, ...] = (
    *(None, True, -1, 1.5, 10**30, float("inf"), "x", "", "a\0", "z" * 5000),
    *([], [1], [["a"]], [["a", "b", "c"]], {}, {"x": 1}, {"x": "y"}),
)
TOLD = re.compile(
    r"has no [a-z0-9_.\[\]]+|has a wrong (?P<key>[^:]+): expected (?P<need>.+), got (?P<got>.+)",
    re.DOTALL,
)


def find_places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*place, key)
        if isinstance(item, dict | list):
            yield from find_places(item, (*place, key))


def find_messages(name: str) -> Iterator[tuple[str, str]]:
    """Yield the place of each wrong value, with what is said of it."""
    plain = json.loads(json.dumps(asdict(RECORDS[name])))
    for place in find_places(plain):
        for wrong in WRONG:
            config = holder = copy.deepcopy(plain)
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = wrong
            try:
                Record(name, 2, config, "", "").parse(type(RECORDS[name]))
            except Damage as fault:
                yield ".".join(map(str, place)), str(fault)


@pytest.mark.parametrize("name", RECORDS)
def test_a_wrong_value_is_told_in_plain_words(name: str) -> None:
    found = list(find_messages(name))
    assert len({place for place, _ in found}) > 5
    for place, message in found:
        told = TOLD.fullmatch(message.removeprefix(f"{name} "))
        assert told is not None, message
        assert place in re.sub(r"\[(\d+)\]", r".\1", message)
        assert not re.search(r"should|valid|pattern|constrained|literal|e\+", told["need"] or "")


@pytest.mark.parametrize(
    ("name", "key", "wrong", "message"),
    [
        (
            "run.json",
            "epochs",
            0,
            "has a wrong epochs: expected a whole number from 1 to 1,000,000, got 0",
        ),
        (
            "run.json",
            "epochs",
            10**7,
            "has a wrong epochs: expected a whole number from 1 to 1,000,000, got 10000000",
        ),
        (
            "run.json",
            "strategy",
            "m",
            "has a wrong strategy: expected none, mirrored:N or multiworker:NxM, got 'm'",
        ),
        (
            "run.json",
            "plan_sha256",
            "12",
            "has a wrong plan_sha256: expected 64 hexadecimal digits or none, got '12'",
        ),
        ("run.json", "own_steps_per_epoch", 1, "has a wrong own_steps_per_epoch: expected true or"),
        (
            "result.json",
            "model",
            "m.pt",
            "has a wrong model: expected one of model.keras, model.h5, got 'm.pt'",
        ),
    ],
)
def test_messages(name: str, key: str, wrong: Any, message: str) -> None:
    config = json.loads(json.dumps(asdict(RECORDS[name]))) | {key: wrong}
    with pytest.raises(Damage) as caught:
        Record(name, 2, config, "", "").parse(type(RECORDS[name]))
    assert str(caught.value).startswith(f"{name} {message}")
