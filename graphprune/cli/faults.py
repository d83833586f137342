"""Failures of commands as diagnostics, in the format of the report: each has a slug."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import click

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.diagnostics.renderings import diagnostics_to_config, render_annotations
from graphprune.documents import encodable, to_json
from graphprune.errors import GraphpruneError, explain_refusal

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
    return asked if asked in ("json", "github") else None


def diagnose(fault: Fault) -> tuple[Diagnostic, ...]:
    """Return any fault as diagnostics."""
    if isinstance(fault, click.ClickException):
        context = getattr(fault, "ctx", None)
        help = None if context is None else f"see {context.command_path} --help"
        return (Diagnostic(USAGE, fault.format_message(), help=help),)
    if isinstance(fault, OSError):
        name = fault.filename
        where = Where(os.fsdecode(name)) if isinstance(name, str | bytes) else None
        return (Diagnostic(SYSTEM, explain_refusal(fault), where),)
    where = None if fault.place is None else Where(fault.place)
    return fault.diagnostics or (Diagnostic(fault.slug, fault.text, where),)


def render_line(diagnostics: Sequence[Diagnostic]) -> str:
    """Return diagnostics as the last line of a command that prints one JSON object a line."""
    return json.dumps({"event": "error", **diagnostics_to_config(diagnostics)})


def render_document(diagnostics: Sequence[Diagnostic], format_: str) -> str:
    """Return diagnostics as one JSON document, or as GitHub workflow commands, one a line.

    Without diagnostics there is no text for GitHub.
    """
    if format_ == "json":
        return to_json(diagnostics_to_config(diagnostics))
    annotations = encodable(render_annotations(diagnostics))
    return f"{annotations}\n" if annotations else ""
