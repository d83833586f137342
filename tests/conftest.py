"""Keeps TensorFlow out of a run that asked for tests without it: the folder tests/tf imports it at the top. Holds output against golden files."""

from pathlib import Path

import pytest

TF_TESTS = Path(__file__).parent / "tf"
GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption("--rewrite-golden", action="store_true", help="write what comes out now to tests/golden, to be reviewed as a diff")


@pytest.fixture
def check_golden(request):
    """Holds a text against the file of that name in tests/golden."""

    def check(text, name):
        path = GOLDEN / name
        if request.config.getoption("--rewrite-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return check


def pytest_ignore_collect(collection_path, config):
    """Leave the TensorFlow tests uncollected under `-m "not tf"`, so that the quick loop never waits for its import."""
    if config.getoption("markexpr") == "not tf" and TF_TESTS in (collection_path, *collection_path.parents):
        return True
    return None
