"""Cases that run in one process of one backend: a table filled by decorators, run by `check_cases`
or from the command line, one JSON line a case.
"""

import atexit
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from quick_tensorflow import collect_rarely

FOLDER = Path(__file__).parent
DONE = "all cases ran\n"
"""The line after the cases of a script."""
QUICK_TO_COMPILE = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""Variables by which JAX compiles without optimization, and equal programs once: the cases take
half the time. Scripts that set XLA_FLAGS themselves compile as users do.
"""


class Cases(dict):
    """Functions without arguments by name.

    Attributes:
        slow: The names of those that take long and have others of their kind; `--slow` runs them.
        given: What the test gave to the script, such as a path.
    """

    def __init__(self):
        super().__init__()
        self.slow = set()
        self.given = None

    def __call__(self, case):
        """Add a case, named by its function."""
        self[case.__name__.replace("_", " ")] = case
        return case

    def slowly(self, case):
        """Add a case that takes long."""
        self.slow.add(case.__name__.replace("_", " "))
        return self(case)

    def fast_on(self, backend):
        """Return what adds a case that goes the same way through graphprune on every backend: this
        one runs it in the suite, the others with `--slow`.
        """
        return self if os.environ.get("KERAS_BACKEND") == backend else self.slowly

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

    def run(self, arguments=None):
        """Run the cases that the arguments (or the command line) name, all with `--slow`, or the
        fast ones.
        """
        given = sys.argv[1:] if arguments is None else arguments
        if not given or given == ["--slow"]:
            given = [name for name in self if given or name not in self.slow]
        for name in given:
            fault = None
            try:
                self[name]()
            except BaseException:
                fault = traceback.format_exc()
            print(f"\n{json.dumps([name, fault])}", flush=True)  # after what the case printed


def refusal(call, kind):
    """Return the text of the error that a call ends in."""
    try:
        call()
    except kind as err:
        return str(err)
    raise AssertionError("nothing was refused")


def check_cases(script, backend, *, slow, given=None):
    """Run the cases of a script on this backend; all faults are told together.

    Scripts of one backend share a process, since importing Keras takes longer than most scripts. A
    script that sets environment variables gets a process of its own. If the backend is None, no
    variable of the environment chooses one. `given` is for the script, in `CASES.given`.
    """
    is_alone = "\nos.environ[" in (FOLDER / script).read_text(encoding="utf-8")
    process = _Process(backend) if is_alone else _shared_process(backend)
    lines = process.run(script, slow, given)
    if is_alone:
        process.close()
    faults = [f"{name}\n{fault}" for name, fault in lines if fault]
    assert not faults, "\n\n".join(faults)
    assert lines


class _Process:
    """A process of one backend that runs scripts one after another."""

    def __init__(self, backend):
        self.backend = backend
        unset = ("KERAS_BACKEND", "TF_USE_LEGACY_KERAS")
        environment = {name: text for name, text in os.environ.items() if name not in unset}
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (FOLDER.parents[1], FOLDER.parent)))
        environment["PYTHONFAULTHANDLER"] = "1"  # a crash tells where it was
        if backend is not None:
            environment["KERAS_BACKEND"] = backend
        self._cache = tempfile.TemporaryDirectory()
        if backend == "jax":
            environment |= QUICK_TO_COMPILE
            environment["JAX_COMPILATION_CACHE_DIR"] = self._cache.name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - close() closes it
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from keras3.child import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )

    @property
    def runs(self):
        """Whether the process has not ended."""
        return self._process.poll() is None

    def run(self, script, slow, given):
        """Return the name and the fault, or None, of each case of a script."""
        self._process.stdin.write(json.dumps([script, slow, given]) + "\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line == DONE:
                return lines
            if line.startswith('["'):
                lines.append(json.loads(line))
            elif line.startswith("# "):
                print(line, end="")
        code = self._process.wait()
        self._errors.seek(0)
        raise AssertionError(
            f"the process ended with {code} in {script} after"
            f" {lines[-1][0] if lines else 'no case'}\n{self._errors.read()[-8000:]}"
        )

    def close(self):
        """End the process."""
        self._process.communicate()
        self._errors.close()
        self._cache.cleanup()


_LATEST = []


def _shared_process(backend):
    """Return the process of this backend; that of another is ended, as each takes a gigabyte."""
    if _LATEST and (_LATEST[0].backend != backend or not _LATEST[0].runs):
        _end_latest()
    if not _LATEST:
        _LATEST.append(_Process(backend))
    return _LATEST[0]


@atexit.register
def _end_latest():
    while _LATEST:
        _LATEST.pop().close()


def serve():
    """Run the scripts that standard input names, one JSON list of the arguments of `run` a line."""
    for line in sys.stdin:
        script, slow, given = json.loads(line)
        try:
            cases = importlib.import_module(f"keras3.{Path(script).stem}").CASES
            cases.given = given
            collect_rarely()
            cases.run(["--slow"] if slow else [])
        except BaseException:
            print(f"\n{json.dumps([script, traceback.format_exc()])}", flush=True)
        print(f"\n{DONE}", end="", flush=True)
