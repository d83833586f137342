"""Every failure of every command as diagnostics, in the format that the report was asked for in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.diagnostics.renderings import diagnostics_to_config, render_annotations
from graphprune.documents import encodable, to_json
from graphprune.errors import GraphpruneError

USAGE = "usage/invalid"
SYSTEM = "system/failed"

Fault = GraphpruneError | click.ClickException | OSError


def find_machine_format(words: Sequence[str]) -> str | None:
    """Return `json` or `github` if the command line asks for it, and None otherwise.

    The command line may be one that cannot be parsed. If `--format` is given twice, the last one
    counts, as in click.

    Where `--format` is given twice, the last counts, as click reads it.

    Example:
        >>> (
        ...     find_machine_format(["plan", "m.keras", "--format", "json"]),
        ...     find_machine_format(["plan", "m.keras", "-o", "p.json"]),
        ... )
        ('json', None)
        >>> find_machine_format(["lint", "--format=github", "--", "--format", "json"])
        'github'
    """
    asked = None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name == "--format":
            asked = value if equals else following
    if "--json" in words:
        return "json"
    return asked if asked in ("json", "github") else None


def diagnose(fault: Fault, words: Sequence[str]) -> tuple[Diagnostic, ...]:
    """Return the diagnostics of any fault; `words` are those of the command line, whose files a
    text may begin with.
    """
    if isinstance(fault, click.ClickException):
        context = getattr(fault, "ctx", None)
        help = None if context is None else f"see {context.command_path} --help"
        return (Diagnostic(USAGE, fault.format_message(), help=help),)
    if isinstance(fault, OSError):
        where = (
            Where(os.fsdecode(fault.filename)) if isinstance(fault.filename, str | bytes) else None
        )
        return (Diagnostic(SYSTEM, fault.strerror or str(fault), where),)
    if fault.diagnostics:
        return fault.diagnostics
    place, text = split_place(str(fault), words)
    return (Diagnostic(fault.slug, text, None if place is None else Where(place)),)


def split_place(text: str, words: Sequence[str]) -> tuple[str | None, str]:
    """Return the file or folder that a message begins with, and the rest; only one that the command
    line names, or that lies in a folder it names.

    Example:
        >>> split_place("runs/a/step-400: is damaged: no state.json", ["strip", "runs/a"])
        ('runs/a/step-400', 'is damaged: no state.json')
        >>> split_place("no optimizer is called 'adm'; closest: 'adam'", ["strip", "runs/a"])
        (None, "no optimizer is called 'adm'; closest: 'adam'")
    """
    named = [
        *words,
        *(
            value
            for word in words
            if word.startswith("--")
            for value in [word.partition("=")[2]]
            if value
        ),
    ]
    starts = [text[:end] for end in range(len(text)) if text.startswith(": ", end)]
    places = [start for start in reversed(starts) if start in named] or [
        start for start in starts if any(_is_within(start, word) for word in named)
    ]
    return (places[0], text[len(places[0]) + len(": ") :]) if places else (None, text)


def _is_within(place: str, word: str) -> bool:
    """Return whether the path `place` is `word`, or lies in it."""
    path, given = Path(place), Path(word)
    return bool(given.parts) and any(
        path.is_relative_to(folder) for folder in (given, given.absolute())
    )


def render_document(diagnostics: Sequence[Diagnostic], format_: str) -> str:
    """Return diagnostics as one JSON document, or as GitHub workflow commands, one a line.

    Without diagnostics there is no text for GitHub.
    """
    if format_ == "json":
        return to_json(diagnostics_to_config(diagnostics))
    annotations = encodable(render_annotations(diagnostics))
    return f"{annotations}\n" if annotations else ""
