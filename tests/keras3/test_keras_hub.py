"""Backbones of KerasHub (extra `test-hub`), on each backend."""

from importlib.util import find_spec

import pytest
from keras3.child import check_cases

pytestmark = [
    pytest.mark.tf,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_spec("keras_hub") is None, reason="KerasHub is not installed"),
]


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_backbones_from_small_configs(backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    check_cases("hub_cases.py", backend, slow=True)
