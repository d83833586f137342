"""Keeps TensorFlow out of a run that asked for tests without it: the folder tests/tf imports it at the top."""

from pathlib import Path

TF_TESTS = Path(__file__).parent / "tf"


def pytest_ignore_collect(collection_path, config):
    """Leave the TensorFlow tests uncollected under `-m "not tf"`, so that the quick loop never waits for its import."""
    if config.getoption("markexpr") == "not tf" and TF_TESTS in (collection_path, *collection_path.parents):
        return True
    return None
