"""One walk over nested data, and one copy with changes."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from graphprune.nested import mappings_in, rebuild, values_in

DATA: dict[str, Any] = {"a": [1, {"b": (2, "c")}], "d": {}}


def test_every_value_is_met_once_and_in_order() -> None:
    assert list(values_in(DATA)) == [
        DATA, DATA["a"], 1, {"b": (2, "c")}, (2, "c"), 2, "c", {},
    ]  # fmt: skip
    assert list(mappings_in(DATA)) == [DATA, {"b": (2, "c")}, {}]


def test_data_deeper_than_the_stack_are_walked() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    assert sum(1 for _ in values_in(deep)) == 50_001


def test_a_copy_shares_no_container_and_changes_inner_mappings_first() -> None:
    seen: list[dict[str, Any]] = []
    copy = rebuild(MappingProxyType(DATA), lambda item: seen.append(item) or item)
    assert copy == DATA
    assert seen == [{"b": (2, "c")}, {}, DATA]
    assert not {id(item) for item in values_in(copy) if item} & {
        id(item) for item in values_in(DATA) if isinstance(item, dict | list | tuple)
    }


def test_a_mapping_may_become_another_value() -> None:
    assert rebuild([{"value": 3}, {"value": {"value": "x"}}], lambda item: item["value"]) == [
        3,
        "x",
    ]
