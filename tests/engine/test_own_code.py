"""Errors of the user's own code: which setting they come from, and which lines are shown."""

import sys
from importlib import import_module

import pytest

from graphprune.engine.faults import explain_fault, render_own_traceback
from graphprune.engine.own_callbacks import make_callbacks
from graphprune.engine.own_code import OwnCode
from graphprune.errors import DataError, TrainingError
from graphprune.runs.run_options import Compiling, Fitting

SOURCE = """
class Watching:
    def on_epoch_end(self, epoch):
        raise ValueError("no such epoch")

    def stop(self):
        raise SystemExit(0)


def watch():
    return Watching()


def squared(y_true, y_pred):
    raise TypeError("shapes differ")


def absolute(y_true, y_pred):
    def inner():
        raise TypeError("no absolute")

    inner()


def helper():
    raise OSError("gone")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_own.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield import_module("my_own")
    del sys.modules["my_own"]


def code(callbacks=(), live=0):
    compiling = Compiling(loss={"a": "my_own:squared"}, metrics={"b": ["my_own:absolute", "mae"]})
    fitting = Fitting(callbacks=("my_own:watch",), live_callbacks=live)
    return OwnCode.of(compiling, fitting, callbacks)


def fault_of(call):
    try:
        call()
    except BaseException as fault:
        return fault
    raise AssertionError("nothing was raised")


def failure(call, code):
    return str(code.find_failure(fault_of(call), "after step 3"))


def test_an_error_says_which_setting_its_code_comes_from(own):
    watching = own.Watching()
    known = code((watching,))
    assert failure(lambda: watching.on_epoch_end(1), known) == (
        "my_own:watch: the callback Watching failed after step 3 at my_own.py:4 with ValueError:"
        " no such epoch"
    )
    assert failure(watching.stop, known) == (
        "my_own:watch: the callback Watching failed after step 3 at my_own.py:7 with SystemExit: 0"
    )
    assert failure(lambda: own.squared(1, 2), known) == (
        "my_own:squared: the loss failed after step 3 at my_own.py:15 with TypeError: shapes differ"
    )
    assert failure(lambda: own.absolute(1, 2), known) == (
        "my_own:absolute: the metric failed after step 3 at my_own.py:20 with TypeError: no"
        " absolute"
    )


def test_code_that_belongs_to_no_one_setting_is_left_alone(own):
    assert code().find_failure(fault_of(own.helper), "now") is None
    assert code().find_failure(fault_of(lambda: [][1]), "now") is None
    one = OwnCode.of(Compiling(), data="my_own:absolute")
    assert failure(own.helper, one).startswith(
        "my_own:absolute: the data function failed after step 3 at my_own.py:26 with OSError: gone"
    )
    watching = own.Watching()  # given in Python: the caller may wait for its own error
    live = code((watching,), live=1)
    assert live.find_failure(fault_of(lambda: watching.on_epoch_end(1)), "now") is None


def test_lines_in_the_text_of_an_error_count_unless_they_are_left_out(own):
    text = (
        f'in user code:\n\n    File "{own.__file__}", line 15, in squared  *\n\n    TypeError: no'
    )
    fault = TypeError(text)
    assert explain_fault(fault) == "TypeError: no (my_own.py:15)"
    found = str(code().find_failure(fault, "on the first batch"))
    assert found == (
        "my_own:squared: the loss failed on the first batch at my_own.py:15 with TypeError: no"
    )
    assert code().find_failure(fault, "on the first batch", told=False) is None


def test_of_an_error_of_keras_3_what_is_in_bold_counts():
    said = "The batch size must be the same. \n- Expected: 5\n- Received: 20"
    text = "Exception encountered when calling LSTM.call().\n\n\x1b[1m{}\x1b[0m\n\nArguments {}"
    fault = ValueError(text.format(said, "received by LSTM.call():\n  \u2022 training=False"))
    wanted = "The batch size must be the same. - Expected: 5 - Received: 20"
    assert explain_fault(fault) == wanted


def test_errors_of_graphprune_are_replaced_by_their_cause_if_that_is_of_the_user(own):
    def wrapped(call):
        try:
            call()
        except Exception as fault:
            raise DataError("the loss fails on them", place="d.npz") from fault

    raises = pytest.raises(TrainingError, match="the loss failed at once at")
    with raises as caught, code().failures_named("at once"):
        wrapped(lambda: own.squared(1, 2))
    assert type(caught.value.__cause__) is TypeError
    for call in (own.helper, lambda: [][1]):
        with pytest.raises(DataError, match="fails on them"), code().failures_named("at once"):
            wrapped(call)
    with pytest.raises(DataError, match="missing"), code().failures_named("at once"):
        raise DataError("missing")


def test_the_traceback_of_a_failure_has_the_lines_of_the_user_alone(own):
    fault = DataError("failed")
    fault.__cause__ = fault_of(lambda: explain_fault(own.absolute(1, 2)))
    lines = [line for line in render_own_traceback(fault).splitlines() if "test_own" not in line]
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-5:] == [
        f'  File "{own.__file__}", line 22, in absolute',
        "    inner()",
        f'  File "{own.__file__}", line 20, in absolute.<locals>.inner',
        '    raise TypeError("no absolute")',
        "TypeError: no absolute",
    ]
    fault.__cause__ = TypeError(f'File "{own.__file__}", line 15, in squared\n\nTypeError: no')
    assert render_own_traceback(fault) == (
        "Traceback (most recent call last):\n"
        f'  File "{own.__file__}", line 15, in squared\n'
        '    raise TypeError("shapes differ")\n'
        "TypeError: no"
    )
    fault.__cause__ = fault_of(lambda: import_module("no_such_module"))
    fault.__cause__.__traceback__ = None
    assert render_own_traceback(fault) == ""


def test_a_callback_that_sets_a_rate_which_follows_a_schedule_is_refused(own):
    kinds = (own.Watching,)
    assert len(make_callbacks(["my_own:watch"], [own.Watching()], object)) == 2
    for names, live, place in (
        (["my_own:watch"], [], "my_own:watch"),
        ([], [own.watch()], "callb"),
    ):
        with pytest.raises(TrainingError) as caught:
            make_callbacks(names, live, object, refused=kinds)
        assert str(caught.value).startswith(place)
        assert str(caught.value).endswith(
            ": Watching sets the learning rate, but in this run it follows a schedule; leave the"
            " callback out, or train with a constant learning rate"
        )
