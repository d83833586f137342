"""The group in a Keras 3 weights file that says what is pruned: its names, settings and masks.

`save` of a pruned Keras 3 model writes a group `graphprune` for the model, or for a layer that was
pruned alone: the settings of each pruned layer as JSON, and each mask as bits. Plain Keras ignores
the group.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import ArchiveError

GROUP = "graphprune"
"""The group's name, and that of the attribute of a live model that holds the state."""
SETTINGS, VERSION = "settings", 1


@dataclass(frozen=True, slots=True)
class FrozenPart:
    """What is frozen in a layer itself, without the layers in it.

    Attributes:
        is_layer: Whether the layer is frozen.
        weights: The positions of frozen weights among those that a layer can train.
    """

    is_layer: bool = False
    weights: tuple[int, ...] = ()


def is_state_group(group: str) -> bool:
    """Return whether a group of a weights file is that of a model or layer that is pruned.

    Example:
        >>> is_state_group("graphprune"), is_state_group("layers/dense/graphprune")
        (True, True)
        >>> is_state_group("layers/graphprune_dense")
        False
    """
    return group.rpartition("/")[2] == GROUP


def mask_key(index: int) -> str:
    """Return the name of a mask in the group; masks are numbered over all layers, in order."""
    return f"mask_{index}"


def settings_to_bytes(
    layers: Mapping[str, Mapping[str, Any]], frozen: Mapping[str, FrozenPart] | None = None
) -> NDArray[np.uint8]:
    """Return the settings of the pruned layers, by address, as the file holds them.

    Args:
        layers: The settings.
        frozen: The frozen parts of a whole model by place; None of a layer that was pruned alone.
    """
    settings: dict[str, Any] = {"version": VERSION, "layers": layers}
    if frozen is not None:
        settings["frozen"] = {place: asdict(part) for place, part in frozen.items()}
    return np.frombuffer(json.dumps(settings).encode(), np.uint8)


def settings_from_bytes(stored: NDArray[Any], place: str = "") -> dict[str, dict[str, Any]]:
    """Return the settings of the pruned layers by address; `place` begins error texts.

    Raises:
        ArchiveError: a newer version wrote them, or they are damaged.
    """
    layers: dict[str, dict[str, Any]] = _read_settings(stored, place)["layers"]
    if not all(isinstance(entry, dict) for entry in layers.values()):
        raise _damaged("a layer has no settings", place)
    return layers


def frozen_from_bytes(stored: NDArray[Any], place: str = "") -> dict[str, FrozenPart] | None:
    """Return the frozen parts by their places in the model; None if the file does not say them.

    Example:
        >>> frozen_from_bytes(settings_to_bytes({}, {"a": FrozenPart(weights=(1,))}))
        {'a': FrozenPart(is_layer=False, weights=(1,))}
        >>> frozen_from_bytes(settings_to_bytes({}))

    Raises:
        ArchiveError: a newer version wrote them, or they are damaged; `place` begins its text.
    """
    frozen = _read_settings(stored, place).get("frozen")
    if frozen is None:
        return None
    try:
        return {
            address: FrozenPart(bool(part["is_layer"]), tuple(map(_to_position, part["weights"])))
            for address, part in frozen.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise _damaged(err, place) from err


def _read_settings(stored: NDArray[Any], place: str) -> dict[str, Any]:
    try:
        settings = json.loads(np.asarray(stored, np.uint8).tobytes())
        version, layers = settings["version"], dict(settings["layers"])
    except (KeyError, TypeError, ValueError) as err:
        raise _damaged(err, place) from err
    if version != VERSION:
        raise ArchiveError(
            f"the group {GROUP!r} of the weights file has version {version}, this graphprune"
            f" reads version {VERSION}; update graphprune",
            place=place or None,
        )
    return {**settings, "layers": layers}


def _damaged(reason: object, place: str) -> ArchiveError:
    return ArchiveError(
        f"the group {GROUP!r} of the weights file is damaged ({reason})", place=place or None
    )


def _to_position(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a position")
    return value


def pack_mask(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a mask as bits."""
    return np.packbits(mask)


def unpack_mask(stored: NDArray[Any], shape: Sequence[int]) -> NDArray[np.bool_]:
    """Return the mask of a weight of this shape.

    Example:
        >>> unpack_mask(pack_mask(np.array([[True, False], [False, True]])), (2, 2)).tolist()
        [[True, False], [False, True]]
    """
    bits = np.unpackbits(np.asarray(stored, np.uint8), count=math.prod(shape))
    return bits.astype(np.bool_).reshape(tuple(shape))


def is_packed(dtype: Any, stored: Sequence[int], shape: Sequence[int]) -> bool:
    """Return whether a mask of a weight of `shape` is stored as bits; bytes are of dtype bool.

    Example:
        >>> is_packed(np.uint8, (2,), (3, 4)), is_packed(np.bool_, (3, 4), (3, 4))
        (True, False)
    """
    return np.dtype(dtype) == np.uint8 and tuple(stored) == (packed_bytes(shape),)


def packed_bytes(shape: Sequence[int]) -> int:
    """Return the bytes of the mask of a weight of this shape."""
    return -(-math.prod(shape) // 8)
