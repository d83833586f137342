"""One fault or warning: its place, its lines of text, and the order of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from graphprune.diagnostics.terminal_text import Paint, escape_controls, plain, shorten, text_width

MAX_WIDTH = 100
"""Terminal columns that are shown of a line."""
_TAB = "    "
_CUT = "..."


def render_excerpt(text: str, line: int, column: int | None, paint: Paint = plain) -> list[str]:
    r"""Return the numbered line, and one with a caret under `column` (from 1) if that is known.

    Long lines are cut around the caret.

    Tabs take four columns, wide characters two, and control characters stand as escapes; the caret
    is under the right one all the same.

    Example:
        >>> print("\n".join(render_excerpt("  match: {typ: Dense}", 12, 11)))
            12 |   match: {typ: Dense}
               |           ^
    """
    at = max(0, min(column or 1, len(text) + 1) - 1)
    first, last = _window(text, at)
    shown, before = _shown(text[first:last]).rstrip(), _shown(text[first:at])
    head = f"    {line} | "
    left = _CUT if first else ""
    right = _CUT if last < len(text) else ""
    excerpt = f"{head}{left}{shown}{right}".rstrip()
    if column is None:
        return [excerpt]
    caret = f"{' ' * (text_width(before) + len(left))}^"
    return [excerpt, f"{' ' * (len(head) - 2)}| {paint('caret', caret)}"]


def _shown(text: str) -> str:
    return "".join(_TAB if char == "\t" else escape_controls(char) for char in text)


def _window(text: str, at: int) -> tuple[int, int]:
    """Return the range of characters around `at` that fits; all of them where the line is short."""
    if len(text) <= MAX_WIDTH and text_width(_shown(text)) <= MAX_WIDTH:
        return 0, len(text)
    first = last = at
    width, half = 0, MAX_WIDTH // 2
    while first > 0 and width < half:
        first -= 1
        width += text_width(_shown(text[first]))
    while last < len(text) and width < MAX_WIDTH:
        width += text_width(_shown(text[last]))
        last += 1
    return first, last


MAX_OF_A_KIND = 100
"""The number of diagnostics of one slug and severity that are listed; the rest is counted."""
MAX_HELP = 1_000

Severity = Literal["error", "warning", "note"]


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


FindLine = Callable[[Where], str | None]
"""Returns the source line at a place, or None."""


def no_line(_where: Where) -> None:
    """Return None: show no source lines."""
    return


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fault or warning, with a stable slug for scripts and a remedy for users.

    Long texts are shortened.

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
    severity: Severity = "error"
    related: tuple[tuple[Where, str], ...] = ()
    count: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shorten(self.message))
        object.__setattr__(self, "help", shorten(self.help, MAX_HELP) if self.help else self.help)
        object.__setattr__(
            self, "related", tuple((where, shorten(label)) for where, label in self.related)
        )

    def __str__(self) -> str:
        return "\n".join(self.to_lines())

    def to_lines(self, find_line: FindLine = no_line, paint: Paint = plain) -> list[str]:
        """Return the diagnostic as lines of text: slug, cause, places and help, all escaped.

        Under each place stands its line, as far as `find_line` returns it, with a caret.
        """
        head = paint(self.severity, f"{self.severity}[{self.slug}]")
        lines = [f"{head}: {escape_controls(self.message)}"]
        places = self.related or (((self.where, ""),) if self.where is not None else ())
        for where, label in places:
            named = f"{where}   {label}" if label else f"{where}"
            lines.append(f"{paint('place', '  -->')} {escape_controls(named)}")
            text = find_line(where)
            if text is not None and where.line is not None:
                lines += render_excerpt(text, where.line, where.column, paint)
        if self.help:
            lines.append(f"{paint('help', '  help:')} {escape_controls(self.help)}")
        return lines

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form, the same in every document; `count` only if it is not 1.

        Example:
            >>> found = Diagnostic("rule/no-match", "nothing matches", Where("p.yaml", 3, 9))
            >>> found.to_config()["where"]
            {'file': 'p.yaml', 'line': 3, 'column': 9}
        """
        return {
            "slug": self.slug,
            "severity": self.severity,
            "message": self.message,
            "where": None if self.where is None else self.where.to_config(),
            "help": self.help,
            "related": [
                {"where": where.to_config(), "label": label} for where, label in self.related
            ],
            **({} if self.count == 1 else {"count": self.count}),
        }


def sort_by_place(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the diagnostics once each, by file, line and column; those without a place come last.

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
    """Return the first 100 diagnostics of each slug and severity, then a count of the others.

    Example:
        >>> bound_diagnostics(
        ...     Diagnostic("rule/count", f"wanted 2, got {count}") for count in range(9_000)
        ... )[-1].message
        '8,900 more errors of this kind are not listed'
    """
    listed: list[Diagnostic] = []
    seen: Counter[tuple[str, str]] = Counter()
    left: Counter[tuple[str, Severity]] = Counter()
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
    """Return the number of diagnostics of one severity, including those that are only counted."""
    return sum(diagnostic.count for diagnostic in diagnostics if diagnostic.severity == severity)


def count_rest(slug: str, severity: Severity, count: int) -> Diagnostic:
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
