"""What a signal does to the command line, at every moment: one line, the exit code of the signal,
nothing half-written.
"""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIGNALS = [
    (signal.SIGINT, "Ctrl-C", 130),
    (signal.SIGTERM, "SIGTERM", 143),
    (signal.SIGHUP, "SIGHUP", 129),
]
BEGIN = """
import os, signal, sys, time
from pathlib import Path
from graphprune import signals
signals.install()
def ready():
    os.write(1, b"ready\\n")
"""


def start(*arguments, ignored=()):
    """Start Python with the handlers that a shell in the foreground gives, and `ignored` as `nohup`
    gives it.
    """

    def prepare():
        for number, _, _ in SIGNALS:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=prepare,
    )


def start_program(program, *arguments, **options):
    process = start("-c", BEGIN + program, *map(str, arguments), **options)
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.parametrize(("number", "name", "code"), SIGNALS)
def test_a_signal_ends_a_command_with_one_line_and_its_exit_code(number, name, code):
    process = start_program("ready()\nwhile True: time.sleep(60)")
    process.send_signal(number)
    assert finish(process) == (code, "", f"graphprune: stopped by {name}\n")


def test_a_signal_is_told_while_stdout_and_stderr_go_nowhere():
    program = """
kept = os.dup(1)
from graphprune.quiet import quiet_output
with quiet_output():
    os.write(kept, b"ready\\n")
    while True: time.sleep(60)
"""
    process = start_program(program)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (143, "", "graphprune: stopped by SIGTERM\n")


def test_a_signal_is_acted_on_where_an_exception_would_be_lost():
    program = """
class Loud:
    def __del__(self):
        ready()
        time.sleep(60)
Loud()
"""
    process = start_program(program)
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, "", "graphprune: stopped by Ctrl-C\n")


WORK = """
import threading
asked = threading.Event()
with signals.stopping(lambda: not asked.set(), lambda: "; go on with: x"):
    ready()
    asked.wait()
    time.sleep(float(sys.argv[1]))
signals.say("graphprune: stopped after step 7")
signals.leave(128 + signals.first_signal())
"""


def test_work_that_stops_by_itself_ends_with_the_code_of_the_signal():
    process = start_program(WORK, 0)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (143, "", "graphprune: stopped after step 7\n")


def test_the_user_is_told_to_wait_where_the_step_takes_long():
    process = start_program(WORK, 2)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    again = "press Ctrl-C again to stop at once, without the steps since the last checkpoint"
    assert (code, err) == (
        130,
        f"graphprune: stopping after this step; {again}\ngraphprune: stopped after step 7\n",
    )


def test_a_second_signal_ends_at_once():
    process = start_program(WORK, 600)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("graphprune: stopping after this step")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[::2] == (143, "graphprune: stopped by SIGTERM; go on with: x\n")


def test_signals_in_one_moment_are_one_request():
    """`timeout` signals the process and then its group, systemd sends SIGHUP behind SIGTERM: the
    process must not take that for impatience.
    """
    process = start_program(WORK, 0.2)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
        process.send_signal(number)
    assert finish(process) == (143, "", "graphprune: stopped after step 7\n")


def test_a_signal_that_was_ignored_before_stays_ignored():
    process = start_program("ready()\ntime.sleep(0.5); print('done')", ignored=[signal.SIGHUP])
    process.send_signal(signal.SIGHUP)
    assert finish(process) == (0, "done\n", "")


def test_a_signal_removes_what_is_being_written(tmp_path):
    program = """
from graphprune.files import whole_file, whole_folder
folder = Path(sys.argv[1])
with whole_file(folder / "o.keras") as file, whole_folder(folder / "o") as folder:
    file.write(b"half")
    (folder / "half").write_bytes(b"half")
    ready()
    time.sleep(600)
"""
    (tmp_path / "o.keras").write_bytes(b"old")
    process = start_program(program, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (143, "", "graphprune: stopped by SIGTERM\n")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("o.keras", b"old")]


def test_a_signal_removes_temporary_folders(tmp_path):
    program = """
import tempfile
from graphprune.files import temporary_folder
tempfile.tempdir = sys.argv[1]
with temporary_folder() as folder:
    (folder / "half").write_bytes(b"half")
    ready()
    while True: time.sleep(60)
"""
    process = start_program(program, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143
    assert list(tmp_path.iterdir()) == []


def test_the_process_ends_without_the_time_in_which_signals_kill_without_a_word():
    """Python gives signals their old meaning before it takes itself down, which takes TensorFlow a
    second.
    """
    program = """
import atexit
atexit.register(lambda: os.write(2, b"at exit\\n"))
class Slow:
    def __del__(self):
        os.write(2, b"taken down\\n")
slow = Slow()
slow.self = slow
ready()
signals.leave(int(sys.argv[1]))
"""
    for code in (0, 1):
        assert finish(start_program(program, code)) == (code, "", "at exit\n")


def test_a_forked_child_has_the_usual_handlers_and_leaves_the_parent_alone():
    program = """
ended = set()
for _ in range(100):  # at all moments after the fork
    child = os.fork()
    if not child:
        time.sleep(600)
    os.kill(child, signal.SIGTERM)
    ended.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(ended, signals.first_signal(), signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""
    process = start("-c", BEGIN + program)
    assert finish(process) == (0, "{-15} 0 set()\n", "")


def test_a_closed_stderr_does_not_change_the_exit_code():
    process = start("-c", "import os\nos.close(2)" + BEGIN + "ready()\ntime.sleep(600)")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    assert finish(process)[0] == 129


WAITS = (0.1, 0.2, 0.4, 0.8)
MOMENTS = [
    pytest.param(
        *SIGNALS[index], wait, marks=() if (index + place) % len(SIGNALS) == 0 else pytest.mark.slow
    )
    for index in range(len(SIGNALS))
    for place, wait in enumerate(WAITS)
]
"""Every signal at every moment; without `--slow`, one at each moment, and each signal once."""


@pytest.mark.parametrize(("number", "name", "code", "wait"), MOMENTS)
def test_a_light_command_is_stopped_or_done_whenever_the_signal_comes(
    tmp_path, number, name, code, wait
):
    program = (
        "from graphprune.__main__ import main; import sys; sys.argv[0] = 'graphprune';"
        " print('ready', flush=True); main()"
    )
    process = start(
        "-c",
        program,
        "plan",
        "fixtures/digits-cnn.keras",
        "-r",
        "rules/dense-90.yaml",
        "-o",
        str(tmp_path / "plan.json"),
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(wait)
    process.send_signal(number)
    done, _, err = finish(process)
    assert (done, err) in [
        (code, f"graphprune: stopped by {name}\n"),
        (0, f"wrote {tmp_path}/plan.json\n"),
        (-number, ""),
    ]
    assert done != -number or wait < 0.2, "only before the handlers are in place"
    assert [path.name for path in tmp_path.iterdir()] in ([], ["plan.json"])


def test_the_command_imports_nothing_heavy_before_it_listens():
    program = "import sys; from graphprune import signals; print(*sorted(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"typing", "click", "numpy", "threading", "subprocess", "tempfile", "hashlib"} & set(
        found.stdout.split()
    )


def test_the_console_script_is_the_module_that_listens_first():
    assert re.search(
        r'^graphprune = "graphprune.__main__:main"$',
        (ROOT / "pyproject.toml").read_text(),
        re.MULTILINE,
    )
