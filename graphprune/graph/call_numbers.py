"""How people read the calls of a layer: numbered from 1. Configs, graphs and JSON keep the index,
which counts from 0 as Keras's node index does.
"""

from __future__ import annotations


def name_call(index: int) -> str:
    """Return what texts and drawings write for the call with this index.

    Example:
        >>> name_call(0), name_call(1)
        ('call 1', 'call 2')
    """
    return f"call {index + 1:,}"
