"""The forms of a TensorFlow Lite file: how its weights are stored, and its conversion to each.

A form is a precision, and whether zeros are left out (sparse encoding). The order in which forms
are tried is here; which of them is written is decided in `tflite_writing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from graphprune.errors import OutputError
from graphprune.quiet import quiet_output
from graphprune.serving.convert import SIGNATURE, first_line
from graphprune.serving.outputs import Arrays
from graphprune.serving.tflite_process import CrashError, convert_in_process

_LACKING = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
"""How the converter says that TensorFlow Lite lacks an operation."""


class Precision(StrEnum):
    """How the weights of a TensorFlow Lite file are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    DYNAMIC = "dynamic"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class TfliteForm:
    """One form.

    Attributes:
        precision: How weights are stored.
        is_sparse: Whether tensors with many zeros are stored without them.
    """

    precision: Precision
    is_sparse: bool = False

    def __str__(self) -> str:
        """Return the form in words.

        Example:
            >>> str(TfliteForm(Precision.INT8)), str(TfliteForm(Precision.FLOAT32, is_sparse=True))
            ('int8', 'float32, sparse')
        """
        return f"{self.precision}, sparse" if self.is_sparse else str(self.precision)


DENSE = TfliteForm(Precision.FLOAT32)
"""The form that every other one is compared with, and the last to fall back to."""


@dataclass(frozen=True, slots=True)
class TfliteRequest:
    """What was asked for.

    Attributes:
        precision: How weights are to be stored.
        batch: The batch size; None leaves it open, and is 1 for models with recurrent layers.
        samples: Some samples by the names of the inputs, one row each: with them, activations are
            quantized and the file is checked. None takes random numbers for the check.
    """

    precision: Precision = Precision.FLOAT32
    batch: int | None = None
    samples: Arrays | None = None

    def with_batch(self, fixed: int | None, default: int | None, place: str) -> TfliteRequest:
        """Return the request with the batch size of a model, unless it asks for one itself.

        Args:
            fixed: The batch size that the model's inputs have; None where they leave it open.
            default: The one to take where nothing else says it.
            place: The path of the file, for errors.

        Raises:
            OutputError: another one was asked for than the model's inputs have.
        """
        if fixed is not None and self.batch not in (None, fixed):
            raise OutputError(
                f"cannot have the batch size {self.batch}: the inputs of the model have {fixed};"
                " leave out --batch, or build the model with an open batch size",
                place=place,
            )
        return replace(self, batch=fixed or self.batch or default)


def forms_of(precision: Precision) -> tuple[TfliteForm, ...]:
    """Return the forms to try, the best first: sparse, dense, then others, with float32 at the end.

    What cannot be converted to int8, such as a loop over a sequence, has 8 bits for weights alone.

    Example:
        >>> [str(form) for form in forms_of(Precision.FLOAT16)]
        ['float16, sparse', 'float16', 'float32, sparse', 'float32']
    """
    others = (Precision.DYNAMIC,) if precision is Precision.INT8 else ()
    tried = dict.fromkeys((precision, *others, Precision.FLOAT32))
    return tuple(
        TfliteForm(each, is_sparse=is_sparse) for each in tried for is_sparse in (True, False)
    )


def saved_model_to_tflite(
    folder: Path, form: TfliteForm, name: str, request: TfliteRequest
) -> bytes:
    """Return an exported model as the bytes of a TensorFlow Lite file of this form.

    Inputs and outputs have the types of the model in every form.

    Args:
        folder: The exported SavedModel.
        form: How to store weights.
        name: The model's name, for errors.
        request: Its batch size and samples, for int8.

    Raises:
        OutputError: TensorFlow Lite has no operation for a layer, or cannot quantize one.
    """
    try:
        if form.precision is Precision.INT8 and request.samples is not None:
            return convert_in_process(
                folder, form.precision, request.samples, request.batch, is_sparse=form.is_sparse
            )
        return convert(folder, form, request)
    except (CrashError, OutputError) as fault:
        raise OutputError(
            f"{name}: cannot be written for TensorFlow Lite: {fault}; save it as .keras or as a"
            " SavedModel folder"
        ) from fault


def convert(folder: Path, form: TfliteForm, request: TfliteRequest) -> bytes:
    """Return an exported model as a file of this form, converted in this process.

    Raises:
        OutputError: the converter refuses the model; the text is its reason alone.
    """
    import tensorflow as tf

    try:
        with quiet_output():
            converter = tf.lite.TFLiteConverter.from_saved_model(
                str(folder), signature_keys=[SIGNATURE]
            )
            _configure(converter, form, request)
            return bytes(converter.convert())
    except Exception as fault:  # the converter raises its own, MLIR's and TensorFlow's errors
        reason = _LACKING.sub(r"it has no operation for \1", first_line(fault))
        raise OutputError(reason) from fault


def _configure(converter: Any, form: TfliteForm, request: TfliteRequest) -> None:
    import tensorflow as tf

    if form.precision is not Precision.FLOAT32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form.is_sparse:
        sparse = tf.lite.Optimize.EXPERIMENTAL_SPARSITY
        converter.optimizations = [*(converter.optimizations or ()), sparse]
    if form.precision is Precision.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if form.precision is Precision.INT8:
        samples, batch = request.samples, request.batch or 1
        assert samples is not None, "the command line asks for --data"
        converter.representative_dataset = lambda: (
            (SIGNATURE, dict(part)) for part in split_samples(samples, batch)
        )


def split_samples(samples: Arrays, batch: int) -> Iterator[Arrays]:
    """Yield samples in whole batches; a last one that is not full is filled with the first rows.

    Example:
        >>> import numpy as np
        >>> [part["x"].tolist() for part in split_samples({"x": np.arange(3)}, 2)]
        [[0, 1], [2, 0]]
    """
    import numpy as np

    count = len(next(iter(samples.values())))
    for start in range(0, count, batch):
        rows = np.arange(start, start + batch) % count
        yield {name: values[rows] for name, values in samples.items()}
