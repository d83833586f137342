"""Diagnostics as JSON, as plans and `lint` write them."""

from __future__ import annotations

from typing import Any, Literal, cast

from graphprune.errors import Diagnostic, Where
from graphprune.plan.fields import Fields

_SEVERITIES = ("error", "warning", "note")


def diagnostic_to_config(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return the JSON form of one diagnostic; `count` is there where it stands for more than one.

    Example:
        >>> diagnostic_to_config(
        ...     Diagnostic("rule/no-match", "nothing matches", Where("p.yaml", 3, 9))
        ... )["where"]
        {'file': 'p.yaml', 'line': 3, 'column': 9}
    """
    return {
        "slug": diagnostic.slug,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "where": None if diagnostic.where is None else diagnostic.where.to_config(),
        "help": diagnostic.help,
        "related": [
            {"where": where.to_config(), "label": label} for where, label in diagnostic.related
        ],
        **({} if diagnostic.count == 1 else {"count": diagnostic.count}),
    }


def diagnostic_from_fields(fields: Fields) -> Diagnostic:
    """Return the diagnostic that `diagnostic_to_config` wrote.

    Raises:
        PlanError: a field is missing or has a value of another type.
    """
    where = fields.mapping_or_none("where")
    related = tuple(
        (_where_from_config(entry.mapping("where")), entry.text("label"))
        for entry in fields.entries("related")
    )
    severity = cast(Literal["error", "warning", "note"], fields.choice("severity", _SEVERITIES))
    place = None if where is None else _where_from_config(where)
    count = fields.count_or_none("count")
    return Diagnostic(
        fields.text("slug"),
        fields.text("message"),
        place,
        fields.text_or_none("help"),
        severity,
        related,
        1 if count is None else count,
    )


def _where_from_config(fields: Fields) -> Where:
    return Where(fields.text("file"), fields.count_or_none("line"), fields.count_or_none("column"))
