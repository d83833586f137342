"""Every layer class of Keras 3 that can be pruned, on each backend."""

from importlib.util import find_spec

import pytest
from keras3.child import check_cases

pytestmark = [pytest.mark.tf, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    "backend",
    ["tensorflow", *(pytest.param(name, marks=pytest.mark.slow) for name in ("jax", "torch"))],
)
def test_layers(backend, slow):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    check_cases("layer_cases.py", backend, slow=slow)
