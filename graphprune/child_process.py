"""Python processes of this installation: what converts, exports and runs models apart."""

from __future__ import annotations

import os
import sys


def child_command(module: str, *words: str) -> list[str]:
    """Return the command that runs a module of this installation in a process of its own.

    `-P` keeps modules that lie in the current folder, beside a model, from being imported.
    """
    return [sys.executable, "-P", "-m", module, *words]


def child_environment(**more: str) -> dict[str, str]:
    """Return this process's environment with some variables, in which the same modules are found.

    Args:
        more: Variables to set.
    """
    packages = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": packages, **more}
