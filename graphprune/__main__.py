"""The command `graphprune`, also as `python -m graphprune`.

Signals are handled first, before the imports that take time.
"""

from __future__ import annotations

from graphprune import signals

TYPE_CHECKING = False  # see graphprune/__init__.py

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit; a signal ends it with one line and the code 128 + signal."""
    signals.install()
    from graphprune.cli.main import main as run_command_line

    try:
        run_command_line()
    except SystemExit as end:
        code = end.code
    signals.leave(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
