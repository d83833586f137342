"""One matcher from a line of text, as the command line takes it: the value of `match` in a rule
file.
"""

from __future__ import annotations

from dataclasses import replace

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import RuleError
from graphprune.rules.building.file_faults import check_match_shape
from graphprune.rules.matchers.failures import Failures
from graphprune.rules.matchers.faults import find_contradiction, find_matcher_faults
from graphprune.rules.matchers.keys import MatcherBuilder
from graphprune.rules.matchers.layer_set import LayerSet
from graphprune.rules.matchers.logic import Everything
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.matches import Matches
from graphprune.rules.text.notes import Notes
from graphprune.rules.text.yaml_text import Document, parse_document

MATCH = "match"


def parse_matcher(text: str, place: str) -> Matcher:
    r"""Return the matcher that `text` writes, in YAML or JSON; `place` is what faults print before
    line and column.

    Raises:
        RuleError: with every fault.

    Example:
        >>> parse_matcher("type: Dense", "--match").types
        ('Dense',)
    """
    document = _below_match(
        parse_document("'*'" if text.strip() == "*" else text, place)
    )  # YAML reads a bare star as the beginning of an alias
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
                f"match can hold for no layer: {found.reason}",
                document.value((MATCH,)),
                found.help,
            ),
        )
    if faults:
        raise RuleError(faults)
    return matcher


def find_matched(matches: Matches, matcher: Matcher, place: str) -> tuple[LayerSet, str]:
    """Return the layers of all kinds that `matcher` holds for; where there are none, also which
    layer is nearest and what it fails ("" otherwise).

    Args:
        matches: The model.
        matcher: What to look for.
        place: What faults print where they have no place of their own.

    Raises:
        RuleError: the matcher names a layer, class or config key that the model does not have; with
            close matches.
    """
    faults = tuple(
        dict.fromkeys(find_matcher_faults(matches, matcher, Where(place), judges_candidates=False))
    )
    if faults:
        raise RuleError(faults)
    found = matches.of(matcher)
    return found, "" if found else Failures(matches).nearest(matcher, matches.universe)


def _below_match(document: Document) -> Document:
    """Return the document as if its value stood under the key `match`; the places stay those of the
    text.
    """
    keys = {(MATCH, *path): where for path, where in document.keys.items()}
    values = {(MATCH, *path): where for path, where in document.values.items()}
    return replace(document, data={MATCH: document.data}, keys=keys, values=values)
