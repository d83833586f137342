"""`graphprune rules`: the rule files that ship."""

from __future__ import annotations

import click

from graphprune.report.tables import align_rows
from graphprune.rules.shipped import find_rule_file, list_shipped_rules


@click.command("rules")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the rule files that ship, or print the one called NAME. Use one with -r builtin:NAME."""
    if name is None:
        rows = [(f"builtin:{shipped.name}", shipped.summary) for shipped in list_shipped_rules()]
        click.echo("\n".join(align_rows(rows)))
    else:
        click.echo(find_rule_file(f"builtin:{name.removeprefix('builtin:')}").read_text(encoding="utf-8"), nl=False)
