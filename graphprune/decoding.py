"""Images and TFRecord records as arrays, decoded by TensorFlow when samples are taken.

Both Kerases use it; on another backend than TensorFlow it needs TensorFlow too. This module imports
neither of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphprune.errors import DataError
from graphprune.runs.data_files import ImageList
from graphprune.runs.record_files import RecordFiles
from graphprune.runs.samples import Array


def _tensorflow(place: str) -> Any:
    try:
        import tensorflow
    except ImportError as fault:
        raise DataError(
            "images and TFRecord files are decoded by TensorFlow, which is not installed; pip"
            " install tensorflow-cpu",
            place=place,
        ) from fault
    return tensorflow


@dataclass(frozen=True, slots=True)
class ImageRows:
    """Images of a folder with the numbers of their classes.

    The values are those of `keras.utils.image_dataset_from_directory`: from 0 to 255, resized
    bilinearly.

    Attributes:
        part: Which samples they are.
        images: The files.
        size: Height, width and channels.
    """

    part: str
    images: ImageList
    size: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.images.paths)

    @property
    def labels(self) -> Array:
        """All labels."""
        return self.images.labels

    def take(self, index: Array | slice) -> tuple[Any, ...]:
        """Return the samples that an index names.

        Raises:
            DataError: a file is no image.
        """
        chosen = np.arange(len(self))[index]
        return np.stack([self._decode(number) for number in chosen]), self.images.labels[chosen]

    def _decode(self, number: int) -> Array:
        path, (height, width, channels) = self.images.paths[number], self.size
        tf = _tensorflow(path)
        try:
            image = tf.io.decode_image(
                tf.io.read_file(path), channels=channels, expand_animations=False
            )
        except tf.errors.OpError as fault:
            raise DataError("cannot be decoded as an image; remove the file", place=path) from fault
        resized: Array = tf.image.resize(image, (height, width), method="bilinear").numpy()
        return resized


class RecordRows:
    """Records of TFRecord files, parsed by the user's function.

    The function takes the bytes of one record as a tensor and returns (x, y) or (x, y, weight), as
    for `tf.data.TFRecordDataset(...).map(parse)`. It must give the same for the same record: what
    it draws at random is not the same in a resumed run.

    Args:
        part: Which samples they are.
        files: The files.
        parse: The function.
        spec: Its name, for messages.
    """

    labels = None

    def __init__(
        self, part: str, files: RecordFiles, parse: Callable[[Any], Any], spec: str
    ) -> None:
        self.part, self._files, self._spec = part, files, spec
        tf = _tensorflow(spec)
        try:
            first = parse(tf.constant(files.read([0])[0]))
        except Exception as fault:
            raise DataError(
                f"failed on the first record with {type(fault).__name__}: {fault}", place=spec
            ) from fault
        if not isinstance(first, tuple) or len(first) not in (2, 3):
            got = type(first).__name__
            raise DataError(f"returned {got}; it must return (x, y) or (x, y, weight)", place=spec)
        specs = tf.nest.map_structure(
            lambda part: tf.TensorSpec(tf.convert_to_tensor(part).shape, part.dtype), first
        )

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
        def batch(records: Any) -> Any:
            return tf.map_fn(parse, records, fn_output_signature=specs)

        self._batch = batch
        self._nest = tf.nest.map_structure

    def __len__(self) -> int:
        return len(self._files)

    def take(self, index: Array | slice) -> tuple[Any, ...]:
        """Return the samples that an index names.

        Raises:
            DataError: the function fails on them.
        """
        chosen = np.arange(len(self))[index]
        try:
            found = self._batch(self._files.read(chosen.tolist()))
        except Exception as fault:
            if isinstance(fault, DataError):
                raise
            text = str(fault).splitlines()[0]
            raise DataError(
                f"failed with {type(fault).__name__}: {text}", place=self._spec
            ) from fault
        arrays: tuple[Any, ...] = self._nest(lambda tensor: tensor.numpy(), found)
        return arrays
