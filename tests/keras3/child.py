"""Cases that run in one process of one backend: a table filled by decorators, run from the command
line, one JSON line a case.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

FOLDER = Path(__file__).parent


class Cases(dict):
    """Functions without arguments by name.

    Attributes:
        slow: The names of those that take long and have others of their kind; `--slow` runs them.
    """

    def __init__(self):
        super().__init__()
        self.slow = set()

    def __call__(self, case):
        """Add a case, named by its function."""
        self[case.__name__.replace("_", " ")] = case
        return case

    def slowly(self, case):
        """Add a case that takes long."""
        self.slow.add(case.__name__.replace("_", " "))
        return self(case)

    def each(self, names, fast):
        """Add a case for each name, which the function takes; all but the `fast` ones are slow."""

        def add(case):
            for name in names:
                key = f"{case.__name__}: {name}"
                self[key] = lambda name=name: case(name)
                if name not in fast:
                    self.slow.add(key)
            return case

        return add

    def run(self):
        """Run the cases: those that the command line names, all with `--slow`, or the fast ones."""
        given = sys.argv[1:]
        if not given or given == ["--slow"]:
            given = [name for name in self if given or name not in self.slow]
        for name in given:
            fault = None
            try:
                self[name]()
            except BaseException:
                fault = traceback.format_exc()
            print(json.dumps([name, fault]), flush=True)


def refusal(call, kind):
    """Return the text of the error that a call ends in."""
    try:
        call()
    except kind as err:
        return str(err)
    raise AssertionError("nothing was refused")


def check_cases(script, backend, *, slow):
    """Run the cases of a script in a process of this backend; all faults are told together.

    If the backend is None, no variable of the environment chooses one.
    """
    unset = ("KERAS_BACKEND", "TF_USE_LEGACY_KERAS")
    environment = {name: text for name, text in os.environ.items() if name not in unset}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (FOLDER.parents[1], FOLDER.parent)))
    if backend is not None:
        environment["KERAS_BACKEND"] = backend
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *(["--slow"] if slow else [])],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    print(*(line for line in done.stdout.splitlines() if line.startswith("# ")), sep="\n")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    faults = [f"{name}\n{fault}" for name, fault in lines if fault]
    assert not faults, "\n\n".join(faults)
    assert done.returncode == 0, done.stderr[-3000:]
    assert lines
