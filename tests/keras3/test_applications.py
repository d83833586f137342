"""Every model of `keras.applications` goes the whole way; `-s` shows time and memory of each."""

from importlib.util import find_spec

import pytest
from keras3.child import check_cases

pytestmark = [pytest.mark.tf, pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_application_goes_the_whole_way(backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    check_cases("application_cases.py", backend, slow=True)
