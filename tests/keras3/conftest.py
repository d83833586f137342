"""Keeps the scripts of the child processes out of the search for doctests: they import Keras 3."""

import pytest

collect_ignore = [
    "export_cases.py",
    "loop_cases.py",
    "models.py",
    "saving_cases.py",
    "surgery_cases.py",
    "training_cases.py",
]


@pytest.fixture
def slow(request):
    """Whether the cases that take long are wanted."""
    return request.config.getoption("--slow")
