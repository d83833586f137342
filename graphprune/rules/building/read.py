"""Read rules from files, text and dicts, and one matcher from a line of text."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphprune.arguments import check_path, wrong_type
from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import RuleError
from graphprune.rules.building.file_faults import check_match_shape
from graphprune.rules.building.parse import parse_texts
from graphprune.rules.matchers.failures import find_contradiction
from graphprune.rules.matchers.keys import MatcherBuilder
from graphprune.rules.matchers.logic import Everything
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.text.document import Document, Notes
from graphprune.rules.text.files import PREFIX, find_meant_file, find_rule_file, read_text
from graphprune.rules.text.yaml_text import parse_document
from graphprune.rules.values.rule_set import RuleSet, Switches

MATCH = "match"
_NO_FILE = (
    "check the path; files that ship with graphprune are named builtin:NAME (graphprune rules lists"
    " them)"
)
_TAKEN = "the path of a rule file, 'builtin:NAME', YAML text, or a dict"
_NOT_TAKEN = "rules that were read already are used as they are, as in make_plan(graph, rules)"


def read_rules(
    *paths: str | os.PathLike[str] | Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    off: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> RuleSet:
    r"""Return the rules of all files together; the order of the files does not matter.

    Schedules, budgets, defaults and variables of one file are available in all; a name may be
    defined twice only with the same value.

    Args:
        *paths: Rule files (YAML or JSON) or `builtin:NAME`, or the content of a rule file as YAML
            text (a `str` with a line break) or as a dict.
        variables: Values for the variables of the files, as text: `{"final": "0.8"}`.
        only: Ids of the only rules to use; all if empty.
        off: Ids of rules to leave out.
        settings: Values for fields of actions and budgets, as YAML text:
            `{"dense-90.prune.sparsity": "0.5", "budgets.net.sparsity": "90%"}`.

    Raises:
        RuleError: with every fault and warning of every file; without faults, warnings are in the
            rule set.
        TypeError: one of `paths` is neither a path, text nor a dict.

    Example:
        >>> text = "version: 1\nrules:\n- {id: stem, match: {name: conv_1}, keep: true}"
        >>> [(rule.id, str(rule.where)) for rule in read_rules(text).rules]
        [('stem', '<text>:3:3')]
    """
    data = [path for path in paths if isinstance(path, Mapping)]
    written = [path for path in paths if isinstance(path, str) and is_rule_text(path)]
    names = [
        check_path("rules", path, _TAKEN, _NOT_TAKEN)
        for path in paths
        if not isinstance(path, Mapping) and not is_rule_text(path)
    ]
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(
            os.path.realpath(name) if name and not name.startswith(PREFIX) else name, []
        ).append(name)
    texts = [
        *map(_read_text, (same[0] for same in spellings.values())),
        *((_numbered("text", number), text) for number, text in enumerate(written, start=1)),
        *itertools.starmap(_write_text, enumerate(data, start=1)),
    ]
    faults = [text for text in texts if isinstance(text, Diagnostic)]
    faults += [_given_again(same) for file, same in spellings.items() if file and len(same) > 1]
    switches = Switches(
        tuple(only), tuple(off), tuple((variables or {}).items()), tuple((settings or {}).items())
    )
    return parse_texts(
        [text for text in texts if not isinstance(text, Diagnostic)], switches, faults
    )


def rule_set_of(rules: Any) -> RuleSet:
    """Return `rules`, or read them from files, `builtin:NAME`, YAML text or dicts.

    Raises:
        RuleError: the rules have faults.
        TypeError: `rules` is something else.
    """
    if isinstance(rules, RuleSet):
        return rules
    if isinstance(rules, list | tuple) and rules:
        return read_rules(*rules)
    if not isinstance(rules, str | os.PathLike | Mapping):
        raise wrong_type("rules", f"a RuleSet, {_TAKEN}", rules)
    return read_rules(rules)


def is_rule_text(value: Any) -> bool:
    r"""Return whether `value` is YAML text with rules rather than the name of a file.

    Example:
        >>> is_rule_text("version: 1\nrules: []"), is_rule_text("rules.yaml")
        (True, False)
    """
    return isinstance(value, str) and "\n" in value


def _numbered(kind: str, number: int) -> str:
    """Return the name in messages of rules without a file: `<text>`, then `<text 2>`."""
    return f"<{kind}>" if number == 1 else f"<{kind} {number}>"


def _write_text(number: int, data: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the text of rules given as a dict.

    Faults refer to lines of this text.
    """
    name = _numbered("dict", number)
    try:
        return name, json.dumps(data, indent=2, ensure_ascii=False, default=_refuse_value)
    except ValueError as err:
        raise ValueError(
            f"rules: {name} cannot be written as JSON ({err}); give text, numbers, lists and dicts"
        ) from err


def _refuse_value(value: Any) -> None:
    raise wrong_type(
        "rules",
        "a dict of text, numbers, lists and dicts",
        value,
        "write it as a number or as text",
    )


def _given_again(names: Sequence[str]) -> Diagnostic:
    others = [repr(name) for name in dict.fromkeys(names) if name != names[0]]
    also = f", also as {' and '.join(others)}" if others else ""
    return Diagnostic(
        "id/duplicate",
        f"the rule file is given {len(names)} times{also}",
        Where(names[0]),
        "give it once",
    )


def _read_text(name: str) -> tuple[str, str] | Diagnostic:
    """Return the name and the text of a rule file, or why it cannot be read."""
    if not name:
        return Diagnostic(
            "file/unreadable",
            "the name of the rule file is empty",
            Where("''"),
            "give the path of a file; is a shell variable unset?",
        )
    try:
        path = find_rule_file(name)
    except RuleError as err:
        return err.diagnostics[0]
    text = read_text(path, name, "rule file", lambda: find_meant_file(name) or _NO_FILE)
    return text if isinstance(text, Diagnostic) else (name, text)


def parse_matcher(text: str, place: str) -> Matcher:
    r"""Return the matcher in `text`, which is YAML or JSON: the value of `match` in a rule file.

    Faults print `place` before line and column.

    Raises:
        RuleError: with every fault.

    Example:
        >>> parse_matcher("type: Dense", "--match").types
        ('Dense',)
    """
    document = _below_match(
        parse_document("'*'" if text.strip() == "*" else text, place)
    )  # YAML parses a bare star as the start of an alias
    shape, faults = check_match_shape(document) if document.is_readable else (None, ())
    notes = Notes(document)
    matcher = (
        Everything() if shape is None else MatcherBuilder(notes).matcher(shape.match, (MATCH,), "")
    )
    faults = (*document.faults, *faults, *notes.faults)
    found = find_contradiction(matcher)
    if found is not None:
        faults = (
            *faults,
            Diagnostic(
                "match/contradiction",
                f"match cannot hold for any layer: {found.reason}",
                document.value((MATCH,)),
                found.help,
            ),
        )
    if faults:
        raise RuleError(faults)
    return matcher


def _below_match(document: Document) -> Document:
    """Return the document with its value under the key `match` and unchanged positions."""
    keys = {(MATCH, *path): where for path, where in document.keys.items()}
    values = {(MATCH, *path): where for path, where in document.values.items()}
    return replace(document, data={MATCH: document.data}, keys=keys, values=values)
