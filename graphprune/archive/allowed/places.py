"""Which kind of object stands where in a config: an activation behind `recurrent_activation`, a
layer in `cells`.
"""

from __future__ import annotations

from graphprune.archive.allowed.keras_names import (
    ACTIVATION,
    COLUMN,
    CONSTRAINT,
    FUNCTION,
    INITIALIZER,
    LAYER,
    LEARNING_RATE,
    LOSS,
    METRIC,
    OPTIMIZER,
    POLICY,
    REGULARIZER,
)

PRUNING_SCHEDULE = "pruning schedule"

_PLACES = {
    LAYER: "layer layers forward_layer backward_layer cell cells linear_model dnn_model",
    OPTIMIZER: "optimizer optimizer_config inner_optimizer default_optimizer",
    LEARNING_RATE: "learning_rate",
    LOSS: "loss losses fn",
    METRIC: "metrics weighted_metrics",
    POLICY: "dtype dtype_policy default_policy",
    COLUMN: (
        "feature_columns categorical_column categorical_columns source_column"
        " linear_feature_columns dnn_feature_columns"
    ),
    PRUNING_SCHEDULE: "pruning_schedule",
    FUNCTION: "normalizer_fn",
}
_BY_KEY = {key: kind for kind, keys in _PLACES.items() for key in keys.split()}
_BY_ENDING = {
    "activation": ACTIVATION,
    "initializer": INITIALIZER,
    "regularizer": REGULARIZER,
    "constraint": CONSTRAINT,
}

PATHS = frozenset(
    {
        "vocabulary",
        "vocabulary_file",
        "vocab_file",
        "ckpt_to_load_from",
        "filepath",
        "file_path",
        "filename",
    }
)
"""Keys of Keras's layers whose text is the name of a file that the layer would open."""

LIMITS = {"num_thresholds": 1_000_000, "num_oov_indices": 10_000_000, "ngrams": 1_000}
"""Most that a config may ask for under keys by which Keras makes a list of that length, before any
weight could tell that it is too much.
"""


def kind_at(key: object) -> str | None:
    """Return what stands behind a key of the config of a class of Keras; None where it is plain
    data or may be anything.

    Example:
        >>> [kind_at(key) for key in ("recurrent_activation", "cell", "units")]
        ['activation', 'layer', None]
    """
    if not isinstance(key, str):
        return None
    return _BY_KEY.get(key) or _BY_ENDING.get(key.rsplit("_", 1)[-1])
