"""Leaves out what a run did not ask for: TensorFlow under `-m "not tf"`, slow tests without
`--slow`. Holds output against golden files.
"""

import os
from pathlib import Path

import pytest
from fork_server import LIGHT, ForkServer
from hypothesis import HealthCheck, settings
from quick_tensorflow import collect_rarely, trace_without_stacks

TESTS = Path(__file__).parent
TF_TESTS, GOLDEN = TESTS / "tf", TESTS / "golden"
# JAX sets this to 1 where it is imported, and the processes that tests start would say more
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

LONGEST = (
    "tests/keras3/test_tensorflow.py",
    "tests/keras3/test_jax.py",
    "tests/cli/test_story.py",
    "tests/tf/test_layer_matrix.py",
    "tests/conversion/test_convert.py",
    "tests/tf/test_prunable_layer.py",
    "tests/tf/test_training.py",
    "tests/tf/test_audited_loading.py",
    "tests/tf/test_allowed_objects.py",
    "tests/tf/test_stopping.py",
    "tests/test_readme.py",
)
"""Files that take long, longest first."""
TOGETHER = {
    "tests/fuzz/test_loading.py": "tests/tf/test_audited_loading.py",
    "tests/keras3/test_layers.py": "tests/keras3/test_tensorflow.py",
    **{
        f"tests/tf/test_{name}.py": "tests/cli/test_story.py"
        for name in (
            *("against_tfmot", "custom_layers", "dialects", "live_display"),
            *("signals_in_training", "tfmot_files"),
        )
    },
}
"""Files that run in the process of another, since both need the same child process, which takes
long to start: that of the audit, of Keras 3 on TensorFlow, the fork server.
"""


settings.register_profile(
    "same-every-time",
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "explore", max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck)
)


def pytest_configure(config):
    """Let hypothesis try the same few examples in every run, and many others under `--slow`."""
    settings.load_profile("explore" if config.getoption("--slow") else "same-every-time")
    missing = [name for name in (*LONGEST, *TOGETHER) if not (TESTS.parent / name).exists()]
    if missing:
        raise pytest.UsageError(f"tests/conftest.py: no such file: {', '.join(missing)}")


def pytest_addoption(parser):
    """Add the options to rewrite golden files, run slow tests, and set how long soak tests take."""
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="write what comes out now to tests/golden, to be reviewed as a diff",
    )
    parser.addoption(
        "--soak-kills", type=int, default=100, help="how many processes tests/soak kills"
    )
    parser.addoption(
        "--soak-signals",
        type=int,
        default=300,
        help="how many processes tests/soak sends a signal to",
    )
    parser.addoption("--soak-seed", type=int, default=0, help="which moments tests/soak chooses")
    parser.addoption(
        "--slow",
        action="store_true",
        help="run the tests marked slow as well: all models of tf_keras.applications, an hour",
    )
    parser.addoption(
        "--fuzz-seconds",
        type=float,
        help="fuzz each target of tests/fuzz for this long, with new inputs",
    )
    parser.addoption(
        "--fuzz-case", type=int, help="fuzz only the case of this number, to replay a failure"
    )


@pytest.fixture(autouse=True, scope="session")
def _own_state_folder(tmp_path_factory):
    """Keep the key that marks runs out of the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_sync():
    """Leave out the flushing to disk, which takes long and which no test can see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield


@pytest.fixture(autouse=True, scope="module")
def _no_functions_for_a_gpu(request):
    """Build LSTM and GRU layers without the functions that TensorFlow would run on a GPU, unless
    there is one, or `--slow` asks for everything.

    Keras traces them, and their gradients, whenever such a layer is called on a symbolic tensor,
    which takes most of the time that this takes. On a CPU nothing calls them.
    """
    if request.node.get_closest_marker("tf") is None or request.config.getoption("--slow"):
        yield
        return
    import tensorflow as tf
    from tf_keras.src.layers.rnn import gru_lstm_utils

    trace_without_stacks()
    with pytest.MonkeyPatch.context() as patch:
        if not tf.config.list_physical_devices("GPU"):
            patch.setattr(gru_lstm_utils, "function_register", lambda *args, **kwargs: None)
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Starts command lines that need TensorFlow as processes of their own."""
    with ForkServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def light_server(tmp_path_factory):
    """Starts command lines that need no TensorFlow as processes of their own."""
    with ForkServer(tmp_path_factory.mktemp("light-server"), LIGHT) as server:
        yield server


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


def pytest_collection_modifyitems(config, items):
    """Deselect slow tests, unless they are asked for. Where processes share the files, begin with
    those that take long, so that all processes end together.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give a file to one process, as `--dist=loadfile` does, and those of TOGETHER to the same."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return TOGETHER.get(file, file)

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish(session):
    """Collect garbage rarely once everything is imported."""
    collect_rarely()


def _turn(item):
    file = item.nodeid.partition("::")[0]
    file = TOGETHER.get(file, file)
    if file in LONGEST:
        return LONGEST.index(file)
    return len(LONGEST) + (item.get_closest_marker("tf") is None)


def pytest_ignore_collect(collection_path, config):
    """Leave out helper modules without examples, and under `-m "not tf"` the TensorFlow tests, so
    that the quick loop never waits for its import.
    """
    is_quick = config.getoption("markexpr") == "not tf"
    if is_quick and TF_TESTS in (collection_path, *collection_path.parents):
        return True
    if collection_path.suffix != ".py" or not collection_path.is_file():
        return None
    text = collection_path.read_text(encoding="utf-8")
    if collection_path.name.startswith("test_"):
        return True if is_quick and "\npytestmark = pytest.mark.tf\n" in text else None
    return None if ">>> " in text else True
