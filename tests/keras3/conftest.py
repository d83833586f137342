"""Keeps the scripts of the child processes out of the search for doctests: they import Keras 3."""

from pathlib import Path

import pytest

collect_ignore = [
<<<<<<< HEAD
    "device_cases.py",
    "loop_cases.py",
    "models.py",
    "optimizer_cases.py",
    "refusal_cases.py",
    "saving_cases.py",
    "surgery_cases.py",
    "training_cases.py",
=======
    path.name
    for path in Path(__file__).parent.glob("*.py")
    if not path.name.startswith(("test_", "conftest"))
>>>>>>> main
]


@pytest.fixture
def slow(request):
    """Whether the cases that take long are wanted."""
    return request.config.getoption("--slow")
