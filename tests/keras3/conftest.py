"""Keeps the scripts of the child processes out of the search for doctests: they import Keras 3."""

from pathlib import Path

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
