"""What preprocessing layers learned from data (`adapt`) and their configs do not say.

Vocabularies are text files in a `.keras` file, and the bins of a Discretization follow from the
counts that it keeps. In the other Keras they are settings of the layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.keras_zip import ASSETS, KerasZip
from graphprune.errors import ArchiveError
from graphprune.graph.classes.builtin_layers import layer_class
from graphprune.graph.keras_weights import layer_addresses
from graphprune.graph.layers import Layer
from graphprune.graph.read import ModelFile

_VOCABULARY, _BOUNDARIES, _FREQUENCIES = "vocabulary", "bin_boundaries", "idf_weights"
_SUMMARY = "summary"
_FILES = ("vocabulary.txt", "_lookup_layer/vocabulary.txt")
"""The vocabulary of a lookup layer, and that of the one in a TextVectorization."""


def learned_settings(source: ModelFile) -> dict[str, dict[str, Any]]:
    """Return the settings that layers learned, by address; those that the file does not hold lack.

    Raises:
        ArchiveError: the file is damaged.
    """
    needed = {
        address: learned
        for address, layer in source.graph.layers.items()
        if (learned := layer_class(layer.type).learned)
        and layer.entry["config"].get(learned) is None
    }
    if not needed:
        return {}
    found: dict[str, dict[str, Any]] = {}
    with source.opened():
        for address, learned in needed.items():
            if learned == _BOUNDARIES and _SUMMARY in source.weights.tensors.get(address, {}):
                bins = source.graph.layers[address].entry["config"].get("num_bins")
                summary = source.weights.read(address, _SUMMARY)
                if isinstance(bins, int) and bins > 0 and summary.size:
                    found[address] = {_BOUNDARIES: bin_boundaries(summary, bins)}
    vocabularies = _vocabularies(source)
    return found | {address: vocabularies[address] for address in needed if address in vocabularies}


def bin_boundaries(summary: NDArray[Any], bins: int) -> list[float]:
    """Return the boundaries of the bins of a Discretization, as both Kerases compute them.

    See `get_bin_boundaries` (keras/src/layers/preprocessing/discretization.py).

    Args:
        summary: Values and how many are near each, as the layer keeps them.
        bins: How many bins to make.

    Example:
        >>> bin_boundaries(np.array([[1.0, 2, 3, 4], [1, 1, 1, 1]], "float32"), 2)
        [2.0]
    """
    step = 1.0 / bins
    if summary.shape[1] * step < 1:
        return [float(value) for value in summary[0, :-1]]
    sums = summary[1].cumsum()
    places = np.interp(step + np.arange(0.0, 1.0, step), sums / sums[-1], summary[0])
    return [float(value) for value in places.astype(np.float32)[:-1]]


def _vocabularies(source: ModelFile) -> dict[str, dict[str, Any]]:
    """Return the vocabularies in a `.keras` file by address, with weights for TF-IDF."""
    archive = source.need_archive()
    if not isinstance(archive.source, KerasZip):
        return {}
    found: dict[str, dict[str, Any]] = {}
    places = layer_addresses(archive, source.graph)
    with archive.source.opened() as zipped, source.opened():
        for group, address in places.items():
            texts = (zipped.member(f"{ASSETS}/{group}/{name}") for name in _FILES)
            text = next((text for text in texts if text is not None), None)
            layer = source.graph.layers.get(address)
            if text is None or layer is None or layer_class(layer.type).learned != _VOCABULARY:
                continue
            found[address] = {_VOCABULARY: _words(text, layer, archive.path)}
            if _FREQUENCIES in source.weights.tensors.get(address, {}):
                values = source.weights.read(address, _FREQUENCIES)
                found[address][_FREQUENCIES] = [float(value) for value in values]
    return found


def _words(text: bytes, layer: Layer, place: str) -> list[Any]:
    try:
        words = text.decode("utf-8").split("\n")
        return [int(word) for word in words] if layer.type == "IntegerLookup" else list(words)
    except ValueError as err:
        raise ArchiveError(
            f"the vocabulary of layer {layer.address!r} is damaged ({err}); save the model again",
            place=place,
        ) from err
