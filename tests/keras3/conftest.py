"""Keeps the scripts of the child processes out of the search for doctests: they import Keras 3."""

from pathlib import Path

import numpy as np
import pytest

collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("*.py")
    if not path.name.startswith(("test_", "conftest"))
]


@pytest.fixture
def slow(request):
    """Whether the cases that take long are wanted."""
    return request.config.getoption("--slow")


@pytest.fixture(scope="session")
def tf_keras_masks(tmp_path_factory):
    """The path of the masks that tf_keras has for the model of `mask_cases`."""
    import tf_keras
    from keras3.mask_cases import masks_of

    path = tmp_path_factory.mktemp("masks") / "tf_keras.npz"
    np.savez(path, **masks_of(tf_keras))
    return str(path)
