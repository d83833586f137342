"""Walks of Keras 3 over the parts of a model, without making a layer at each of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from keras.src.saving import saving_lib

from graphprune.replaced import replaced

_REMEMBERING = [
    (saving_lib, name, cache(getattr(saving_lib, name)))
    for name in ("get_attr_skipset",)
    if hasattr(saving_lib, name)  # older versions have another
]


def quick_walks() -> AbstractContextManager[None]:
    """Let Keras remember which attributes it need not look at.

    It means to: it makes a layer to see what all layers have, and stores that under another name
    than the one under which it looks, so it makes a layer for each that it saves, loads or lists
    (`get_attr_skipset`, saving_lib.py).
    """
    return replaced(*_REMEMBERING)
