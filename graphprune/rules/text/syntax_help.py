"""YAML syntax errors as a position and help for the writer of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ruamel.yaml.error import MarkedYAMLError, StreamMark

from graphprune.rules.text.files import RULE_FILE

# ruamel.yaml's errors have no codes; what the parser did and found is only in their texts, from
# its scanner.py, parser.py and composer.py.
_OPENER = {"flow mapping": ("{", "}"), "flow sequence": ("[", "]")}
_BY_PROBLEM = (
    (
        "undefined alias",
        "write '&name' before the value that '*name' repeats; put quotes around text",
    ),
    (
        "unknown escape character",
        (
            "between double quotes a backslash begins an escape; use single quotes, such as"
            " 'conv_\\d+'"
        ),
    ),
    (
        "mapping values are not allowed",
        (
            "put quotes around text that holds a colon; begin each 'key: value' on a line of its"
            " own, or put them into { }"
        ),
    ),
    ("sequence entries are not allowed", "begin the list on the next line, or write it as [a, b]"),
    (
        "could not find expected ':'",
        "write 'key: value', with a space after the colon; put quotes around text",
    ),
    ("found unexpected ':'", "put quotes around text that holds a colon"),
    (
        "block end",
        ("indent this line like its neighbours; keys of one mapping begin in one column"),
    ),
    (
        "but found '<stream end>'",
        "the text ends too early; close every bracket, and write a value after every key",
    ),
    (
        "expected the node content",
        "write a value here, or put quotes around text that begins with a sign",
    ),
    ("document start", "a file holds one mapping, which begins with 'version: 1'"),
    ("block scalar", "after '|' or '>' the text begins on the next line, indented"),
    ("directive", "a line must not begin with '%'; put quotes around text"),
    ("tag", "put quotes around text that begins with '!'"),
)
_OTHERWISE = "put quotes around text that holds any of : # , [ ] { } & * ! | > % @"
_SECOND_DOCUMENT = "another document"
_SIGN = re.compile(r"found character '(.)' that cannot start any token")


@dataclass(frozen=True, slots=True)
class SyntaxFault:
    """A YAML syntax error: line and column from 0 (None if unknown), problem and help."""

    mark: tuple[int, int] | None
    problem: str
    help: str


def explain_syntax(err: MarkedYAMLError, lines: list[str], kind: str) -> SyntaxFault:
    """Return the fault of a text that the parser refused with `err`.

    Open brackets and quotes are reported at their start.

    Args:
        err: The error.
        lines: The lines of the text.
        kind: What the text is, such as `rule file`, the only one that has variables.
    """
    problem = " ".join(str(err.problem or err.context or "damaged text").split())
    mark, opened = _at(err.problem_mark or err.context_mark), _at(err.context_mark)
    if _SECOND_DOCUMENT in problem:
        return SyntaxFault(
            mark,
            "a second document begins here",
            f"a {kind} is one document; delete the line '---', or make two files",
        )
    line = lines[mark[0]] if mark is not None and mark[0] < len(lines) else ""
    if "${" in line and kind == RULE_FILE:
        return SyntaxFault(mark, problem, 'put quotes around a variable: "${name}"')
    if "\t" in line:
        return SyntaxFault(mark, problem, "indent with spaces, not tabs")
    pair = next((signs for kind, signs in _OPENER.items() if kind in str(err.context)), None)
    if pair is not None and opened is not None and mark is not None:
        return _open_bracket(pair, opened, mark, problem)
    if "quoted scalar" in str(err.context) and "end of stream" in problem:
        return SyntaxFault(
            opened,
            "the quote that begins here never ends",
            "close it where the text ends; a quote inside the text is written twice",
        )
    if "alias" in str(err.context) and "undefined" not in problem:
        return SyntaxFault(mark, problem, 'put quotes around a star: "*"')
    if "found ','" in problem:
        return SyntaxFault(
            mark,
            problem,
            "write entries with commas between them in braces: {key: value, key: value}",
        )
    sign = _SIGN.search(problem)
    if sign is not None:
        return SyntaxFault(mark, problem, f"put quotes around text that begins with {sign[1]!r}")
    return SyntaxFault(
        mark, problem, next((help for part, help in _BY_PROBLEM if part in problem), _OTHERWISE)
    )


def _open_bracket(
    pair: tuple[str, str], opened: tuple[int, int], mark: tuple[int, int], problem: str
) -> SyntaxFault:
    first, last = pair
    if mark[0] > opened[0] or "stream end" in problem:
        return SyntaxFault(
            opened, f"the {first!r} that opens here is not closed", f"write {last!r} where it ends"
        )
    return SyntaxFault(
        mark,
        problem,
        f"the {first!r} of column {opened[1] + 1} needs ',' between its entries and {last!r} at its"
        " end; put quotes around other signs",
    )


def _at(mark: StreamMark | None) -> tuple[int, int] | None:
    return None if mark is None else (mark.line, mark.column)
