"""Keeps TensorFlow's start-up notes and converter logs off the terminal.

Imports no TensorFlow itself.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("tensorflow", "absl")
_CONVERTERS = ("tf2onnx",)
"""Loggers whose errors are raised too; their handlers may write past the descriptors 1 and 2."""


@contextmanager
def quiet_output() -> Iterator[None]:
    """Discard what the process writes to stdout and stderr, C++ parts included.

    Errors are raised all the same.
    """
    loggers = [logging.getLogger(name) for name in (*_LOGGERS, *_CONVERTERS)]
    levels = [logger.level for logger in loggers]
    sys.stdout.flush()
    sys.stderr.flush()
    streams = sys.stdout, sys.stderr
    # those of a live display write past descriptors 1 and 2
    sys.stdout, sys.stderr = (getattr(stream, "beneath", stream) for stream in streams)
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for logger in loggers:
            quietest = logging.CRITICAL if logger.name in _CONVERTERS else logging.ERROR
            logger.setLevel(quietest)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(nowhere)
        sys.stdout, sys.stderr = streams


def import_tensorflow() -> None:
    """Import TensorFlow without its start-up notes about processors and graphics cards.

    For command lines, before they use the rest of this package.
    """
    if "tensorflow" not in sys.modules:
        with quiet_output():
            importlib.import_module("tensorflow")
        silence_loggers()


def silence_loggers() -> None:
    """Silence TensorFlow's notes: the command line says itself what its users need to know."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
