"""Everything that can be wrong with a user's input, as one tree of exceptions.

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
    └── CheckpointError        a training run cannot be resumed

A fault of graphprune itself is not in this tree: it stays an assertion or a plain traceback.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_DIFFERENT = 2
EXIT_USAGE = 64
EXIT_STOPPED = 130

OUTPUT_EXISTS = "output/exists"
"""The slug of an `OutputError` where `--force` would help."""

MAX_OF_A_KIND = 100
"""Diagnostics of one slug and severity that are told one by one; the rest is counted."""
MAX_WORD = 300
MAX_TEXT = 4_000
MAX_HELP = 1_000
_LONG_WORD = re.compile(rf"\S{{{MAX_WORD + 1},}}")
_HEAD, _TAIL = 100, 40


def escape_controls(text: str) -> str:
    r"""Return `text` with everything that a terminal would act on, or hide, written as an escape.

    Names come from files that nobody has checked; a name must not move the cursor or fake a line of
    the report.

    Example:
        >>> print(escape_controls("fc1\x1b[2J\n"))
        fc1\x1b[2J\n
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Return a message of readable length: names come from files, and may have a million letters.

    Words of more than 300 characters lose their middle, texts of more than `limit` their end; how
    much is said.

    Example:
        >>> shorten(
        ...     f"no layer is named '{'a' * 1_000_000}'"
        ... ) == f"no layer is named '{'a' * 99}...(999,862 characters)...{'a' * 39}'"
        True
    """
    if len(text) <= MAX_WORD:
        return text
    text = _LONG_WORD.sub(
        lambda word: (
            f"{word[0][:_HEAD]}...({len(word[0]) - _HEAD - _TAIL:,}"
            f" characters)...{word[0][-_TAIL:]}"
        ),
        text,
    )
    return (
        text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit:,} more characters)"
    )


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in a file; lines and columns count from 1.

    Example:
        >>> str(Where("prune.yaml", 14, 7)), str(Where("old.h5"))
        ('prune.yaml:14:7', 'old.h5')
    """

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(
            str(part) for part in (self.file, self.line, self.column) if part is not None
        )

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form, the same in every document."""
        return {"file": self.file, "line": self.line, "column": self.column}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fault or warning, with a stable slug for scripts and a way out for people. Its texts are
    shortened to a readable length.

    `related` holds further places with a label each (the two sides of a conflict). `count` is how
    many it stands for: more than one where the rest of a kind is only counted.

    Example:
        >>> print(
        ...     Diagnostic(
        ...         "layer/unknown",
        ...         "no layer has the address 'fc9'",
        ...         Where("p.yaml", 3, 9),
        ...         "closest: 'fc1'",
        ...     )
        ... )
        error[layer/unknown]: no layer has the address 'fc9'
          --> p.yaml:3:9
          help: closest: 'fc1'
    """

    slug: str
    message: str
    where: Where | None = None
    help: str | None = None
    severity: Literal["error", "warning", "note"] = "error"
    related: tuple[tuple[Where, str], ...] = ()
    count: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shorten(self.message))
        object.__setattr__(self, "help", shorten(self.help, MAX_HELP) if self.help else self.help)
        object.__setattr__(
            self, "related", tuple((where, shorten(label)) for where, label in self.related)
        )

    def __str__(self) -> str:
        lines = [f"{self.severity}[{self.slug}]: {escape_controls(self.message)}"]
        if self.where is not None and not self.related:
            lines.append(escape_controls(f"  --> {self.where}"))
        lines += [escape_controls(f"  --> {where}   {label}") for where, label in self.related]
        if self.help:
            lines.append(f"  help: {escape_controls(self.help)}")
        return "\n".join(lines)


def sort_by_place(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the diagnostics once each, by file, line and column; those without a place come last.
    The order that they are given in does not matter.

    Of each kind (slug and severity) the first 100 are kept; one more says how many there are
    besides.

    Example:
        >>> late, early = (
        ...     Diagnostic("rule/count", "wanted 2, got 1", Where("p.yaml", line))
        ...     for line in (9, 4)
        ... )
        >>> [found.where.line for found in sort_by_place([late, early, late])]
        [4, 9]
    """
    return bound_diagnostics(sorted(dict.fromkeys(diagnostics), key=_place_key))


def bound_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the first 100 diagnostics of each slug and severity, in their order, and behind them
    one a kind that counts the rest.

    Example:
        >>> bound_diagnostics(
        ...     Diagnostic("rule/count", f"wanted 2, got {count}") for count in range(9_000)
        ... )[-1].message
        '8,900 more errors of this kind are not listed'
    """
    listed: list[Diagnostic] = []
    seen: Counter[tuple[str, str]] = Counter()
    left: Counter[tuple[str, Literal["error", "warning", "note"]]] = Counter()
    for diagnostic in diagnostics:
        kind = (diagnostic.slug, diagnostic.severity)
        if diagnostic.count > 1 or seen[kind] >= MAX_OF_A_KIND:
            left[kind] += diagnostic.count
        else:
            seen[kind] += 1
            listed.append(diagnostic)
    return (
        *listed,
        *(count_rest(slug, severity, count) for (slug, severity), count in left.items()),
    )


def count_severity(diagnostics: Iterable[Diagnostic], severity: str) -> int:
    """Return how many diagnostics of one severity there are, those too that are only counted."""
    return sum(diagnostic.count for diagnostic in diagnostics if diagnostic.severity == severity)


def count_rest(slug: str, severity: Literal["error", "warning", "note"], count: int) -> Diagnostic:
    """Return the diagnostic that stands for `count` others of its kind."""
    text = (
        f"{count:,} more {severity}s of this kind are not listed"
        if count > 1
        else f"1 more {severity} of this kind is not listed"
    )
    return Diagnostic(slug, text, severity=severity, count=count)


def _place_key(diagnostic: Diagnostic) -> tuple[bool, str, int, int, str, str]:
    where = diagnostic.where or (diagnostic.related[0][0] if diagnostic.related else Where(""))
    return (
        where == Where(""),
        where.file,
        where.line or 0,
        where.column or 0,
        diagnostic.slug,
        diagnostic.message,
    )


class GraphpruneError(Exception):
    """The user's input is wrong; the text says where, what, and one way out. Only its subclasses
    are raised.

    Attributes:
        exit_code: That of the command line.
        slug: The stable name of the fault for scripts; each is explained in `rules/slugs.yaml`.
        diagnostics: The same as data where the fault has a place of its own, or there are several;
            empty otherwise.
    """

    exit_code = EXIT_ERROR
    slug: str
    diagnostics: tuple[Diagnostic, ...] = ()

    def __init__(self, text: str, slug: str | None = None) -> None:
        super().__init__(shorten(text))
        self.slug = slug or type(self).slug


class ArchiveError(GraphpruneError):
    """A saved model cannot be read: missing, damaged, or not a whole model."""

    slug = "model/unreadable"


class GraphError(GraphpruneError):
    """A layer graph does not hold together, or cannot be built."""

    slug = "model/invalid"


class RuleError(GraphpruneError):
    """Rules have faults, alone or with a model; `diagnostics` holds all of them, each with its
    slug, and the warnings beside them, sorted by place.
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
        super().__init__(text)
        self.path, self.fault, self.needed = path, fault, needed


class TrainingError(GraphpruneError):
    """A model cannot be compiled, pruned or trained as asked."""

    slug = "training/refused"


class CheckpointError(GraphpruneError):
    """A training run cannot be resumed from what is on disk."""

    slug = "run/unusable"
