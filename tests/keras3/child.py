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
    """Functions without arguments by name."""

    def __call__(self, case):
        """Add a case, named by its function."""
        self[case.__name__.replace("_", " ")] = case
        return case

    def each(self, names):
        """Add a case for each name, which the function takes."""

        def add(case):
            for name in names:
                self[f"{case.__name__}: {name}"] = lambda name=name: case(name)
            return case

        return add

    def run(self):
        """Run the cases; those that the command line names, or all."""
        for name in sys.argv[1:] or self:
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


def check_cases(script, backend):
    """Run all cases of a script in a process of this backend; all faults are told together."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / script)],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": os.pathsep.join(map(str, (FOLDER.parents[1], FOLDER.parent))),
        },
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    faults = [f"{name}\n{fault}" for name, fault in lines if fault]
    assert not faults, "\n\n".join(faults)
    assert done.returncode == 0, done.stderr[-3000:]
    assert lines
