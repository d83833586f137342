"""The weights of a layer that Keras 3 has quantized: integers in place of a matrix, with scales.

`save_own_variables` stores them in the order of `variable_serialization_spec`, without those that a
layer does not have (keras/src/layers/core/dense.py, einsum_dense.py, embedding.py and
reversible_embedding.py of Keras 3.15). A model quantizes the layers inside its layers too, but
files do not hold the configs that would say so; the file's tensors do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from graphprune.graph.classes.layer_class import Weight

_FLOAT8: tuple[str, ...] = (
    "kernel",
    "bias",
    "inputs_scale",
    "inputs_amax_history",
    "kernel_scale",
    "kernel_amax_history",
    "outputs_grad_scale",
    "outputs_grad_amax_history",
)
_BLOCKS = ("kernel_zero", "g_idx")
_ROWS = ("embeddings", "embeddings_scale")
_BLOCKS_OF_ROWS = ("embeddings_zero", "g_idx")
_BACK = ("reverse_embeddings", "reverse_embeddings_scale")
_LAYOUTS: Sequence[tuple[str, ...]] = (
    ("kernel", "bias", "kernel_scale"),
    ("kernel", "bias", "kernel_scale", *_BLOCKS),
    _FLOAT8,
    ("bias", "quantized_kernel", "kernel_scale", *_BLOCKS),
    ("bias", "quantized_kernel", "kernel_scale", "kernel_zero", "awq_scales", "g_idx"),
    (*_ROWS, *_BACK),
    (*_ROWS, *_BLOCKS_OF_ROWS, *_BACK, "reverse_embeddings_zero"),
)
"""int8 and int4 by channels; int4 in blocks; float8; GPTQ; AWQ; embeddings of both integers."""
_DTYPES: Mapping[str, str] = {
    **dict.fromkeys(("kernel", "embeddings", "reverse_embeddings"), "int8"),
    "quantized_kernel": "uint8",
}


def quantized_weights(
    weights: Sequence[Weight], dtypes: Sequence[str]
) -> tuple[Weight, ...] | None:
    """Return the weights of a quantized layer, in the order in which a file holds them.

    Args:
        weights: What the layer holds where it is not quantized.
        dtypes: Of the tensors that the file holds for it.

    Returns:
        None where the tensors are not those of a quantized layer.

    Example:
        >>> dense = [Weight("kernel", ("in", "out"), prunable=True), Weight("bias")]
        >>> found = quantized_weights(dense, ["int8", "float32", "float32"])
        >>> [weight.name for weight in found]
        ['kernel', 'bias', 'kernel_scale']
        >>> quantized_weights(dense, ["float32", "float32", "float32"]) is None
        True
    """
    if not weights:
        return None
    prefix = weights[0].name[: -len(weights[0].name.rsplit(".", 1)[-1])]
    own = {weight.name.removeprefix(prefix): weight for weight in weights}
    names = next((names for names in _layouts_of(own) if _fits(names, dtypes)), None)
    if names is None:
        return None
    return tuple(own.get(name) or Weight(f"{prefix}{name}", trainable=False) for name in names)


def _layouts_of(own: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Yield the names that a quantized layer may have whose ordinary weights are `own`."""
    for layout in _LAYOUTS:
        names = tuple(
            name
            for name in layout
            if (name != "bias" or "bias" in own)
            and (not name.startswith("reverse_") or "reverse_embeddings" in own)
        )
        if all(name in names or f"quantized_{name}" in names for name in own):
            yield names


def _fits(names: Sequence[str], dtypes: Sequence[str]) -> bool:
    wanted = _DTYPES if "inputs_scale" not in names else {}
    return len(names) == len(dtypes) and all(
        dtype == wanted.get(name, dtype) for name, dtype in zip(names, dtypes, strict=True)
    )
