"""Runs many mutated inputs through one check, each within limits of CPU time and memory, in a child
process: a hang or a crash is a failure with its input.

A target is a `Target`: `make` builds one input from a random generator, `check` uses it and raises
nothing but what it allows itself. To add one, write a file `test_<what>.py` beside this one with a
test that calls the fixture `fuzz` (see `conftest.py`), and take its damage from `mutations.py`. The
input of case N is the same in every run, so a failure is replayed with `--fuzz-case N`. The child
is forked, so nothing that starts threads (TensorFlow) may be imported before.
"""

from __future__ import annotations

import faulthandler
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPU_SECONDS = 30
"""For one input. Whole runs are seconds; a machine under load takes more time, but not more CPU
time.
"""
WAITING_SECONDS = 300
"""For one input, on the clock: opening a pipe that nobody writes to takes no CPU time."""
MEMORY = 3 * 2**30
"""Bytes of address space, with what the test process itself has mapped."""
MAX_FAILURES = 3


@dataclass(frozen=True)
class Target:
    """What is fuzzed: how an input is made, what is done with it, and how it is written down for a
    person (bytes or text).
    """

    make: Callable[[random.Random, Path], Any]
    check: Callable[[Any], None]
    show: Callable[[Any], str] = repr


@dataclass(frozen=True)
class Failure:
    """A case that ended in something else than success or an error of ours."""

    case: int
    reason: str

    def __str__(self) -> str:
        return f"case {self.case} (replay: --fuzz-case {self.case}): {self.reason}"


def make_input(target: Target, case: int, folder: Path) -> Any:
    """Return the input of a case, the same in every run."""
    return target.make(random.Random(case), folder)


def run_cases(target: Target, cases: Iterator[int], folder: Path) -> tuple[int, list[Failure]]:
    """Run cases until there are no more, or three have failed; returns how many ran."""
    failures: list[Failure] = []
    count = 0
    while len(failures) < MAX_FAILURES:
        ran, failure = _run_in_child(target, cases, folder)
        count += ran
        if failure is None:
            break
        failures.append(failure)
    return count, failures


def cases_of(*, seconds: float | None, count: int, only: int | None) -> Iterator[int]:
    """Return the numbers of the cases: one that is replayed, the first few, or new ones until the
    time is over.
    """
    if only is not None:
        return iter([only])
    return iter(range(count)) if seconds is None else _until(time.monotonic() + seconds)


def _until(end: float) -> Iterator[int]:
    number = random.SystemRandom().randrange(10**6, 10**9)
    while time.monotonic() < end:
        yield number
        number += 1


def _run_in_child(target: Target, cases: Iterator[int], folder: Path) -> tuple[int, Failure | None]:
    """Hand cases one by one to a forked child; returns how many it took, and what ended it before
    there were no more.
    """
    ask_read, ask_write = os.pipe()
    answer_read, answer_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ask_write)
        os.close(answer_read)
        _child(target, os.fdopen(ask_read), answer_write, folder)
    os.close(ask_read)
    os.close(answer_write)
    count, failure = 0, None
    with os.fdopen(ask_write, "w") as ask, os.fdopen(answer_read) as answer:
        for case in cases:
            ask.write(f"{case}\n")
            ask.flush()
            count += 1
            line = answer.readline()
            if line != "ok\n":
                failure = Failure(case, line.strip().encode().decode("unicode_escape"))
                break
    _, status = os.waitpid(child, 0)
    if failure is not None and os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        hang = {
            "SIGPROF": f" after {CPU_SECONDS} s of CPU time",
            "SIGALRM": f" after {WAITING_SECONDS} s",
        }.get(name, "")
        failure = Failure(failure.case, f"ended by {name}{hang}")
    elif failure is not None and not failure.reason:
        failure = Failure(failure.case, "ended without an answer")
    return count, failure


def _child(target: Target, asked: Iterator[str], answer: int, folder: Path) -> None:
    """Check cases until there are no more, then end without the cleaning up of the test process."""
    faulthandler.disable()
    for limit in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(limit, signal.SIG_DFL)  # ends the process wherever it is, in C too
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + _mapped(), resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # the process ends with it
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for line in asked:
        try:
            _limit(CPU_SECONDS, WAITING_SECONDS)
            target.check(make_input(target, int(line), folder))
            said = "ok"
        except BaseException:
            said = traceback.format_exc().encode("unicode_escape").decode("ascii") or "no traceback"
        _limit(0, 0)
        os.write(answer, f"{said}\n".encode())
        if said != "ok":
            break
    os._exit(0)


def _limit(cpu: float, waiting: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, cpu)
    signal.setitimer(signal.ITIMER_REAL, waiting)


def _mapped() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()
