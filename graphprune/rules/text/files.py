"""Rule files and rule tests as files: built-in ones by name, and decoding of their text."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import RuleError
from graphprune.shipped import shipped_file
from graphprune.suggestions import ask_for_file, closest, find_close

MAX_BYTES = 1_000_000
RULE_FILE = "rule file"
PREFIX = "builtin:"
ANY_MODEL = f"{PREFIX}all-90 prunes everything but the last layer of each branch"
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class ShippedRules:
    """A built-in rule file: its name, the first line of its header comment, and its path."""

    name: str
    summary: str
    path: Path


def list_shipped_rules() -> tuple[ShippedRules, ...]:
    """Return the built-in rule files, by name."""
    paths = sorted(shipped_file("rules").glob("*.yaml"), key=lambda path: path.stem)
    return tuple(ShippedRules(path.stem, _summary(path), path) for path in paths)


def find_rule_file(name: str) -> Path:
    """Return the path of a rule file, given as `builtin:NAME` or as a path.

    Raises:
        RuleError: no built-in rule file has that name.
    """
    return (
        find_shipped_rules(name.removeprefix(PREFIX)).path
        if name.startswith(PREFIX)
        else Path(name)
    )


def find_source(name: str) -> Path | None:
    """Return the path of a rule file like `find_rule_file`; None for an unknown `builtin:NAME`."""
    if not name.startswith(PREFIX):
        return Path(name)
    shipped = (rules for rules in list_shipped_rules() if f"{PREFIX}{rules.name}" == name)
    return next((rules.path for rules in shipped), None)


def find_meant_file(name: str) -> str:
    """Return, as a question, the rule file that a missing path may mean; "" if none is similar.

    It is a built-in one, or one in the same folder.
    """
    given = Path(name)
    shipped = find_close(
        given.name.removesuffix(".yaml"), [rules.name for rules in list_shipped_rules()], count=1
    )
    if shipped and given.parent == Path():
        return f"did you mean {PREFIX}{shipped[0]}? (graphprune rules lists the files that ship)"
    return ask_for_file(name, lambda near: near.suffix in _SUFFIXES)


def find_shipped_rules(name: str) -> ShippedRules:
    """Return the built-in rule file of that name (without `builtin:`).

    Raises:
        RuleError: none has it.
    """
    known = {shipped.name: shipped for shipped in list_shipped_rules()}
    if name in known:
        return known[name]
    help = closest(name, known) or f"available: {', '.join(known)}"
    raise RuleError(
        (
            Diagnostic(
                "file/unreadable",
                f"no built-in rule file is named {name!r}",
                Where(f"{PREFIX}{name}"),
                help,
            ),
        )
    )


def _summary(path: Path) -> str:
    with path.open(encoding="utf-8") as stream:
        first = stream.readline()
    return first.removeprefix("#").strip() if first.startswith("#") else ""


_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_MODELS = {b"PK\x03\x04": "a .keras file", b"\x89HDF": "an HDF5 file"}
_HEAD = 1000
_MISPLACED_MODEL = "give the model before -r, or after --model; a rule file belongs here"


def read_text(path: Path, name: str, kind: str, find_help: Callable[[], str]) -> str | Diagnostic:
    """Return the text of a file, or the fault that prevents reading it.

    Args:
        path: The file.
        name: Its name in faults.
        kind: The expected kind of file, such as `rule file`.
        find_help: Returns the help if there is no such file.
    """
    where = Where(name)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Diagnostic("file/unreadable", f"no such {kind}", where, find_help())
    except IsADirectoryError:
        return Diagnostic(
            "file/unreadable", f"a folder, not a {kind}", where, "name the .yaml file inside it"
        )
    except (OSError, ValueError) as err:
        return Diagnostic(
            "file/unreadable",
            f"cannot be opened: {getattr(err, 'strerror', None) or err}",
            where,
            "change its permissions, or give another one"
            if isinstance(err, PermissionError)
            else None,
        )
    if len(content) > MAX_BYTES:
        return Diagnostic(
            "file/unreadable",
            f"larger than {MAX_BYTES:,} bytes",
            where,
            f"a {kind} is a page or two of text; is this a model?",
        )
    return decode_text(content, name, kind)


def decode_text(content: bytes, path: str, expected: str = RULE_FILE) -> str | Diagnostic:
    """Return UTF-8 as text, or a fault that says what the file is; `expected` is what it should be.

    Example:
        >>> decode_text("version: 1".encode("utf-16"), "p.yaml").message
        'text in UTF-16, not in UTF-8'
    """
    encoding = _other_encoding(content)
    if encoding is not None:
        return Diagnostic(
            "file/unreadable",
            f"text in {encoding}, not in UTF-8",
            Where(path),
            "save it as UTF-8 (in Windows editors: UTF-8, not Unicode)",
        )
    kind = next((kind for mark, kind in _MODELS.items() if content.startswith(mark)), None)
    if kind is not None:
        return Diagnostic(
            "file/unreadable",
            f"{kind}, not text",
            Where(path),
            _MISPLACED_MODEL if expected == RULE_FILE else f"name a {expected} here",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = content[: err.start].count(b"\n") + 1
        return Diagnostic(
            "file/unreadable",
            "not text in UTF-8",
            Where(path, line),
            "save it as UTF-8; is this a model?",
        )


def _other_encoding(content: bytes) -> str | None:
    """Return the encoding indicated by a byte order mark or zeros in every second byte, or None."""
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    head = content[:_HEAD]
    halves = head[::2], head[1::2]
    is_wide = (
        len(head) >= 4
        and any(not any(half) for half in halves)
        and all(half.count(0) in (0, len(half)) for half in halves)
    )
    return marked or ("UTF-16" if is_wide and any(head) else None)
