"""Rules that match a layer and do not decide it: what each lost to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_VERBS = {"keep": "beats", "override": "overrides"}


@dataclass(frozen=True, slots=True, order=True)
class Loss:
    """One rule that matches a layer and does not decide it.

    Attributes:
        rule: Its id.
        to: `override` where a rule that overrides it matches, `keep` where a keep rule beat it,
            `same settings` where the rule that decides says the same.
        by: The id of the rule that it lost to. That need not be the one that decides, which may
            have beaten it in turn.
    """

    rule: str
    to: str
    by: str


def describe_losses(decides: str, losses: Sequence[Loss]) -> str:
    """Return who beat whom on a layer, what the rule that decides did first.

    Example:
        >>> lost = [Loss("half", "override", "most"), Loss("most", "keep", "stem")]
        >>> describe_losses("stem", lost)
        'beats most; most overrides half'
        >>> describe_losses("a", [Loss("b", "same settings", "a")])
        'same settings: b'
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for loss in sorted(losses, key=lambda loss: (loss.by != decides, loss.by)):
        groups.setdefault((loss.by, loss.to), []).append(loss.rule)
    return "; ".join(_group(by, decides, to, ids) for (by, to), ids in groups.items())


def _group(by: str, decides: str, to: str, ids: Sequence[str]) -> str:
    if to not in _VERBS:
        return f"{to}: {', '.join(ids)}"
    return f"{'' if by == decides else f'{by} '}{_VERBS[to]} {', '.join(ids)}"
