"""Leaves out what costs TensorFlow time in tests and what no test looks at."""

from __future__ import annotations

import gc


def trace_without_stacks() -> None:
    """Give every operation of a graph one stack, that of this call.

    TensorFlow walks the whole Python stack for each operation that it creates, and the stack under
    pytest is deep: that is a tenth of the time that tracing takes. It is only shown in errors that
    a graph raises while it runs, and read when XLA compiles a graph, which can crash with a shared
    stack (`StackTrace::ToStackFrames`): seen in a process that had exported models before.
    """
    from tensorflow.python.util import tf_stack

    stack = tf_stack.extract_stack()
    tf_stack.extract_stack = lambda stacklevel=1: stack


def collect_rarely() -> None:
    """Leave what was imported out of garbage collection, and look at the rest less often.

    A collection looks through all of TensorFlow, again and again, which takes a tenth of the time
    of tests that trace models.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
