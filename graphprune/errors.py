"""The tree of exceptions for a user's wrong input.

    GraphpruneError            exit code 1
    ├── ArchiveError           a saved model cannot be read
    ├── GraphError             a layer graph does not hold together, or cannot be built
    ├── RuleError              rules have faults, alone or with a model (all of them, with places)
    ├── PlanError              a plan is damaged, or does not fit the model it is applied to
    │   └── StalePlanError     it was made for another model
    ├── DataError              training data cannot be used
    ├── OutputError            a result cannot be written where it was asked for
    │   └── WriteError         the operating system refuses: disk full, read-only, no permission
    ├── TrainingError          a model cannot be compiled, pruned or trained as asked
    │   └── WorkerError        another worker of a run ended, or did not come
    └── CheckpointError        a training run cannot be resumed

A fault of graphprune itself is not in this tree: it stays an assertion or a plain traceback.
"""

from __future__ import annotations

from graphprune.diagnostics.diagnostic import Diagnostic, bound_diagnostics
from graphprune.diagnostics.terminal_text import shorten

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_DIFFERENT = 2
EXIT_MISSED = 3
"""Training ended and a target was missed."""
EXIT_WORKER = 4
"""Another worker of a run ended, or did not come."""
EXIT_USAGE = 64
EXIT_STOPPED = 130

OUTPUT_EXISTS = "output/exists"
"""The slug of an `OutputError` where `--force` would help."""


class GraphpruneError(Exception):
    """The user's input is wrong; only subclasses are raised.

    The text says where, what, and what to do.

    Attributes:
        exit_code: That of the command line.
        place: The file, folder or data that is wrong; `str` begins with it.
        text: The text after the place.
        slug: The stable name of the fault for scripts; `diagnostics/slugs.yaml` explains each.
        diagnostics: The same as data where the fault has a place of its own, or there are several;
            empty otherwise.
    """

    exit_code = EXIT_ERROR
    slug: str
    place: str | None = None
    text: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()

    def __init__(self, text: str, slug: str | None = None, *, place: object = None) -> None:
        super().__init__(shorten(text if place is None else f"{place}: {text}"))
        self.place, self.text = None if place is None else str(place), text
        self.slug = slug or type(self).slug


class ArchiveError(GraphpruneError):
    """A saved model cannot be read: missing, damaged, or not a whole model."""

    slug = "model/unreadable"


class GraphError(GraphpruneError):
    """A layer graph does not hold together, or cannot be built."""

    slug = "model/invalid"


class RuleError(GraphpruneError):
    """Rules have faults, alone or with a model.

    `diagnostics` has all faults and warnings with their slugs, sorted by place.
    """

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = bound_diagnostics(diagnostics)
        Exception.__init__(self, "\n\n".join(map(str, self.diagnostics)))


class PlanError(GraphpruneError):
    """A plan is damaged, or does not fit the model it is applied to."""

    slug = "plan/invalid"


class StalePlanError(PlanError):
    """A plan was made for another model; its one diagnostic says which layers differ."""

    slug = "plan/stale"

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(str(diagnostic))
        self.diagnostics = (diagnostic,)


class DataError(GraphpruneError):
    """Training data is missing, damaged, or does not fit the model."""

    slug = "data/invalid"


class OutputError(GraphpruneError):
    """A result cannot be written where it was asked for."""

    slug = "output/refused"


class WriteError(OutputError):
    """The operating system refuses to write a file or folder.

    Attributes:
        path: What could not be written.
        fault: What the operating system said.
        needed: The bytes that were to be written, where that is known.
    """

    slug = "output/unwritable"

    def __init__(self, text: str, path: str, fault: OSError, needed: int | None) -> None:
        super().__init__(text, place=path)
        self.path, self.fault, self.needed = path, fault, needed


class TrainingError(GraphpruneError):
    """A model cannot be compiled, pruned or trained as asked."""

    slug = "training/refused"


class WorkerError(TrainingError):
    """Another worker of a run on several machines ended, or did not come."""

    exit_code = EXIT_WORKER
    slug = "training/worker-lost"


class CheckpointError(GraphpruneError):
    """A training run cannot be resumed from what is on disk."""

    slug = "run/unusable"


def explain_refusal(fault: OSError) -> str:
    """Return why the operating system refuses something, and what to do about permissions.

    Example:
        >>> explain_refusal(PermissionError(13, "Permission denied"))
        'Permission denied; change the permissions of the folders on this path, or give another one'
    """
    text = fault.strerror or str(fault)
    if isinstance(fault, PermissionError):
        return f"{text}; change the permissions of the folders on this path, or give another one"
    return text
