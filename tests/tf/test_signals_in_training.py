"""Signals to real command lines that train: exit code, one line, and a run that goes on to the same
end. The long version is tests/soak.
"""

import os
import random
import re
import signal
import sys
import time

import pytest
from fork_server import wait_until
from interrupted_runs import CODES, build_soak, kill

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def soak(server, tmp_path_factory):
    home = tmp_path_factory.mktemp("runs") / "adam"
    return build_soak(server, home, ".keras", "adam", random.Random(0))


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=pytest.mark.slow if number == signal.SIGHUP else ())
        for number in CODES
    ],
)
def test_a_signal_saves_a_checkpoint_where_it_comes_and_the_run_goes_on_to_the_same_end(
    soak, number
):
    def stop(soak, moment):
        child = soak.server.start(*soak.way_on())
        assert wait_until(lambda: (soak.run / "checkpoints" / "step-00000003").exists(), child)
        child.send(number)
        done = child.wait()
        stopped = re.search(
            r"^graphprune: stopped after step (\d+) of 12; go on with: graphprune resume (.*)$",
            done.err,
            re.MULTILINE,
        )
        assert (done.code, stopped[2]) == (CODES[number], str(soak.run)), done
        assert (soak.run / "checkpoints" / f"step-{int(stopped[1]):08}").is_dir()
        assert "Traceback" not in done.err
        return True

    soak.interrupt(["at step 3"], stop)


def test_a_second_signal_ends_at_once_with_whole_checkpoints(soak):
    def stop(soak, moment):
        child = soak.server.start(*soak.way_on())
        assert wait_until(lambda: any((soak.run / "checkpoints").glob("step-*")), child)
        child.send(signal.SIGINT)
        time.sleep(0.4)
        child.send(signal.SIGTERM)
        assert child.wait().code in (130, 143)
        return True

    soak.interrupt(["early"], stop)


@pytest.mark.parametrize("moment", ["checkpoint", "final"])
def test_a_kill_within_a_write_loses_nothing(soak, moment):
    def break_off(soak, moment):
        if moment != "begin":
            return kill(soak, moment)
        return soak.server.run(*soak.way_on(), "--stop-after", "4").code == 0

    def within():
        return (
            soak.seen["kills within the final save"]
            + soak.seen["kills within the write of a checkpoint"]
        )

    before = within()
    for _ in range(20):  # a write is short, and the kill may come behind it
        soak.interrupt(["begin", moment], break_off)
        if within() > before:
            return
    pytest.fail("no kill came within the write")


def test_a_signal_while_tensorflow_is_imported_ends_with_one_line(soak, tmp_path):
    for wait in (1.0, 2.5):
        child = soak.server.start_anew(*soak.train, "--run", tmp_path / "run")
        assert wait_until(lambda child=child: child.listens, child)
        time.sleep(wait)
        child.send(signal.SIGTERM)
        done = child.wait()
        # before and in the command
        lines = [
            "graphprune: stopped by SIGTERM\n",
            "graphprune: stopped by SIGTERM; no run was begun\n",
        ]
        assert (done.code, done.err in lines) == (143, True), done
        assert not (tmp_path / "run").exists()


def test_training_goes_on_where_nobody_reads_its_output(soak, tmp_path):
    command = [sys.executable, "-m", "graphprune", *soak.train, "--run", str(tmp_path / "run")]
    reader, writer = os.pipe()
    with (tmp_path / "err.txt").open("w") as err, open(os.devnull) as nothing:
        process = soak.server.fork(command, (nothing.fileno(), writer, err.fileno()))
    os.close(writer)
    os.close(reader)
    told = (tmp_path / "err.txt").read_text
    assert process.wait() == 0, told()
    assert (
        told()
        == "graphprune: warning: stdout cannot be written any more (Broken pipe); going on without"
        " it\n"
    )
    assert (tmp_path / "run" / "model.keras").read_bytes() == (
        soak.whole / "model.keras"
    ).read_bytes()


def test_the_next_apply_removes_what_a_killed_one_left(soak, tmp_path):
    left = tmp_path / ".o.keras.0123456789abcdef.graphprune-part"
    left.write_bytes(b"half")
    done = soak.server.run(
        "apply", "fixtures/digits-cnn.keras", "-r", "builtin:dense-90", "-o", tmp_path / "o.keras"
    )
    assert done.code == 0, done.err
    assert not left.exists()
    assert (tmp_path / "o.keras").stat().st_mode & 0o777 == 0o644
