"""What pydantic finds wrong is told in this project's words, wherever it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from lenet import lenet, lenet_zeros, rules
from planned import plan_with
from runs.made_runs import OPTIONS, state_at

from graphprune.documents import Unexpected, check_document, check_json
from graphprune.plan import plan_to_config
from graphprune.plan.document import PlanJson
from graphprune.runs.checkpoints import RunState
from graphprune.runs.run_options import RunOptions

VALUES = (None, True, -1, 1.5, 10**30, "x", [], [None], [1, 2, 3], {}, {"x": [1]})
KNOWN = (
    "one of ",
    "a ",
    "an object",
    "true or false",
    "2 or 3",
    "the name of a backend of Keras",
    "64 hexadecimal digits",
    "32 hexadecimal digits",
    "none, mirrored:N or multiworker:NxM",
    "plan.json, original.graph.json, run.yaml, original.keras or a file in rules",
)
PLAN = plan_to_config(plan_with(lenet(), rules(), zeros=lenet_zeros()))


def damaged(value: Any, put: Any) -> Iterator[Any]:
    """Yield `value` with one part taken out, added or replaced by `put`, for every part."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield {name: other for name, other in value.items() if name != key}
            for changed in (put, *damaged(item, put)):
                yield value | {key: changed}
        yield value | {"../x": put}
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for changed in (put, *damaged(item, put)):
                yield [*value[:index], changed, *value[index + 1 :]]


def faults(check: Any, document: Any) -> Iterator[Unexpected]:
    for value in VALUES:
        for changed in damaged(document, value):
            try:
                check(changed)
            except Unexpected as fault:
                yield fault


@pytest.mark.parametrize(
    ("check", "document"),
    [
        (lambda data: check_document(PlanJson, data), PLAN),
        (lambda data: check_json(RunOptions, json.dumps(data)), asdict(OPTIONS)),
        (lambda data: check_json(RunState, json.dumps(data)), asdict(state_at(4))),
    ],
    ids=["plan", "run.json", "state.json"],
)
def test_every_fault_is_in_plain_words(check, document):
    document = json.loads(json.dumps(document))
    check(document)
    found = list(faults(check, document))
    assert len(found) > 100
    for fault in found:
        assert fault.path
        assert not fault.expected or fault.expected.startswith(KNOWN), str(fault)
        assert "another value" not in str(fault)


@pytest.mark.parametrize(
    ("check", "document", "changes"),
    [
        (lambda data: check_document(PlanJson, data), PLAN, {"rules": [1] * 1000}),
        (
            lambda data: check_document(PlanJson, data),
            PLAN,
            {"switches": PLAN["switches"] | {"var": dict.fromkeys(map(str, range(1000)), 1)}},
        ),
        (
            lambda data: check_json(RunOptions, json.dumps(data)),
            asdict(OPTIONS),
            {"rules": [1] * 1000},
        ),
        (
            lambda data: check_json(RunOptions, json.dumps(data)),
            asdict(OPTIONS),
            {"files": dict.fromkeys(map(str, range(1000)), 1)},
        ),
        (
            lambda data: check_json(RunState, json.dumps(data)),
            asdict(state_at(4)),
            {"versions": dict.fromkeys(map(str, range(1000)), 1)},
        ),
    ],
)
def test_of_many_faults_in_one_place_only_the_first_is_collected(check, document, changes):
    """A hostile file may have millions."""
    with pytest.raises(Unexpected) as caught:
        check(document | changes)
    assert caught.value.__cause__.error_count() <= 2
