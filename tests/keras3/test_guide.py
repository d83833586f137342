"""The code of the Keras pruning guide runs on a default install, without environment variables."""

import pytest
from keras3.child import check_cases

pytestmark = pytest.mark.tf


def test_the_code_of_the_guide_runs():
    check_cases("guide_cases.py", None, slow=False)
