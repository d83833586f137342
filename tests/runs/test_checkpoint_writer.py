import warnings
from threading import Event, current_thread

import pytest

from graphprune.runs.checkpoint_writer import CheckpointWriter


def fail():
    raise OSError(28, "No space left on device")


def test_training_goes_on_while_a_write_waits_and_the_next_one_waits_for_it():
    go_on, done = Event(), []

    def write(name):
        assert current_thread().name.startswith("graphprune-checkpoint")
        assert go_on.wait(30)
        done.append(name)

    with CheckpointWriter() as writer:
        writer.start(lambda: write("first"))
        writer.check()
        assert done == []
        go_on.set()
        writer.start(lambda: write("second"))
        assert done[:1] == ["first"]
    assert done == ["first", "second"]


def test_an_error_is_told_once_at_the_next_step_or_write():
    with CheckpointWriter() as writer:
        for tell in (writer.wait, lambda: writer.start(list)):
            writer.start(fail)
            with pytest.raises(OSError, match="No space left on device"):
                tell()
            writer.check()


def test_check_tells_the_error_of_a_write_that_has_ended():
    with CheckpointWriter() as writer:
        writer.start(fail)
        writer._write.exception(30)
        with pytest.raises(OSError, match="No space left"):
            writer.check()


def test_the_error_of_the_last_write_is_told_at_the_end():
    with pytest.raises(OSError, match="No space left"), CheckpointWriter() as writer:
        writer.start(fail)


def test_it_is_a_warning_beside_another_error():
    def end_with_two_errors():
        with CheckpointWriter() as writer:
            writer.start(fail)
            raise KeyError

    with warnings.catch_warnings(record=True) as told, pytest.raises(KeyError):
        end_with_two_errors()
    assert ["No space left on device" in str(one.message) for one in told] == [True]
