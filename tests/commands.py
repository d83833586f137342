"""Runs a command line of graphprune in this process, as `main` does, and returns what a user would
see.
"""

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from unittest import mock

from graphprune.cli.main import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def run_command(*arguments) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ),  # `main` sets what TensorFlow reads
        mock.patch.object(sys, "argv", ["graphprune", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            return Done(int(stop.code or 0), out.getvalue(), err.getvalue())
