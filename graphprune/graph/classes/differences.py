"""What the two Kerases compute differently although the config is the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graphprune.archive.entries import Entry, is_entry, type_of
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.classes.completion import default_of
from graphprune.graph.classes.layer_class import Difference
from graphprune.nested import mappings_in

HARD_SIGMOID = Difference(
    "hard_sigmoid of tf_keras, 0.2 x + 0.5 clipped to 0 and 1",
    "hard_sigmoid of Keras 3, x / 6 + 0.5 clipped to 0 and 1",
)
_ACTIVATIONS = ("activation", "recurrent_activation")


def find_differences(entry: Entry) -> Iterator[tuple[str, Difference]]:
    """Yield what the two Kerases compute differently for a layer, and the layers inside it.

    Each with the setting that names it, or an empty string for the class itself.

    Example:
        >>> dense = {"class_name": "Dense", "config": {"activation": "hard_sigmoid"}}
        >>> [(setting, found.keras2[:12]) for setting, found in find_differences(dense)]
        [('activation', 'hard_sigmoid')]
    """
    for inner in mappings_in(entry):
        if not is_entry(inner):
            continue
        known = known_class(inner)
        if known is not None and known.difference is not None:
            yield "", known.difference
        for key in _ACTIVATIONS if known is not None else ():
            value = inner["config"].get(key, default_of(type_of(inner), key))
            if (value.get("config") if isinstance(value, Mapping) else value) == "hard_sigmoid":
                yield key, HARD_SIGMOID
