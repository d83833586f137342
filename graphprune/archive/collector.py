"""Python's cyclic garbage collector, which would walk all layers read so far again and again while
more are read.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector; also a decorator.

    What is read from a file are trees without cycles, so it would find nothing: at 100,000 layers
    it takes a quarter of the time.

    Example:
        >>> with collector_paused():
        ...     gc.isenabled()
        False
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
