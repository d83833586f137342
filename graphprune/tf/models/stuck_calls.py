"""Refusal of models that Keras would never finish building.

Keras builds a model by repeating its pending calls until all are made; a call that can never be
made is an endless loop, which `stuck_calls_refused` ends.
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
    """Raise an ArchiveError that begins with `place` if Keras would never finish building a model.

    `graph.from_config.check_models` finds what the config alone shows. A keyword argument that uses
    the third tensor of a layer with two outputs is found only here (`reconstruct_from_config`,
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
    """The layers made so far by name.

    It is true even when empty, so that Keras fills this dict and not another.
    """

    def __bool__(self) -> bool:
        return True


class _Layers(list):
    """The layers of a config.

    Keras iterates once to make them, then once for each round of calls; a round must make at least
    one call.
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
                "a keyword argument of a layer takes a tensor that no layer"
                " produces; save the model again",
                place=self._place,
            )
        return super().__iter__()
