"""Every model of `keras.applications` goes the whole way; `-s` shows time and memory of each."""

import pytest
from keras3.child import check_cases

pytestmark = [pytest.mark.tf, pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_every_application_goes_the_whole_way(backend):
    check_cases("application_cases.py", backend, slow=True)
