"""Leaves out what a run did not ask for: TensorFlow under `-m "not tf"` (the folder tests/tf imports it at the top), slow tests without `--slow`."""

from pathlib import Path

TF_TESTS = Path(__file__).parent / "tf"


def pytest_addoption(parser):
    """Add the option that runs slow tests as well."""
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well: all models of tf_keras.applications, an hour")


def pytest_collection_modifyitems(config, items):
    """Deselect slow tests, unless they are asked for."""
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


def pytest_ignore_collect(collection_path, config):
    """Leave the TensorFlow tests uncollected under `-m "not tf"`, so that the quick loop never waits for its import."""
    if config.getoption("markexpr") == "not tf" and TF_TESTS in (collection_path, *collection_path.parents):
        return True
    return None
