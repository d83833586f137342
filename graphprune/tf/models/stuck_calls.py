"""Keras builds a model by going through its calls again and again until all are made; where one
never can be, it goes on for ever.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tf_keras.src.engine import functional

from graphprune.errors import ArchiveError


@contextmanager
def stuck_calls_refused(place: str) -> Iterator[None]:
    """Raise an ArchiveError that begins with `place` where Keras would build a model without end.

    `graph.from_config.check_models` finds what a config alone tells. That a keyword argument takes
    the third tensor of a layer that makes two is seen only here (`reconstruct_from_config`,
    tf_keras/src/engine/functional.py).
    """
    rebuild = functional.reconstruct_from_config

    def watched(
        config: dict[str, Any], custom_objects: Any = None, created_layers: Any = None
    ) -> Any:
        created = _Created(created_layers or {})
        return rebuild(
            {**config, "layers": _Layers(config["layers"], created, place)}, custom_objects, created
        )

    functional.reconstruct_from_config = watched
    try:
        yield
    finally:
        functional.reconstruct_from_config = rebuild


class _Created(OrderedDict):
    """The layers made so far by name; true even when empty, so that Keras fills this one and not
    another.
    """

    def __bool__(self) -> bool:
        return True


class _Layers(list):
    """The layers of a config. Keras walks over them once to make them and then once for each round
    of calls, in which at least one call must be made.
    """

    def __init__(self, layers: list[Any], created: _Created, place: str) -> None:
        super().__init__(layers)
        self._created, self._place, self._made = created, place, [-2, -1]

    def __iter__(self) -> Iterator[Any]:
        self._made = [
            self._made[1],
            sum(len(getattr(layer, "_inbound_nodes", ())) for layer in self._created.values()),
        ]
        if self._created and self._made[0] == self._made[1]:
            raise ArchiveError(
                "a layer takes a tensor that no other makes; a keyword argument"
                " names it, save the model again",
                place=self._place,
            )
        return super().__iter__()
