"""What is not loaded whatever it is loaded for: models that tf_keras cannot build, and files that would run code of their own. Imports no TensorFlow itself."""

from __future__ import annotations

from graphprune.archive import Archive
from graphprune.archive.entries import holds_lambda_bytecode
from graphprune.errors import ArchiveError
from graphprune.tf.models.unsafe_ops import find_unsafe_op

_TRUST = "if you trust where the file comes from, pass --unsafe-lambda (unsafe_lambda=True in Python)"


def check_loadable(archive: Archive, *, unsafe_lambda: bool) -> None:
    """Raise unless tf_keras can build the model, and building it runs nothing that the file brings, or `unsafe_lambda` allows it.

    Raises:
        ArchiveError: Keras 3 wrote it, or a layer holds Python bytecode or runs an operation that does more than compute.
    """
    _check_buildable(archive)
    if unsafe_lambda:
        return
    if holds_lambda_bytecode(archive.config["config"]):
        raise ArchiveError(f"{archive.path}: a Lambda layer holds Python bytecode, which loading would run; {_TRUST}")
    operation = find_unsafe_op(archive.config["config"])
    if operation is not None:
        raise ArchiveError(f"{archive.path}: a layer runs TensorFlow's {operation}, which does more than compute on tensors; {_TRUST}")


def _check_buildable(archive: Archive) -> None:
    if archive.dialect == "keras3":
        raise ArchiveError(
            f"{archive.path}: written by Keras {archive.keras_version or '3'}; graphprune reads, plans and compares such models, but needs tf_keras to build "
            "one: rebuild it with tf_keras (TF_USE_LEGACY_KERAS=1), copy the weights with set_weights(model.get_weights()), and save that"
        )
