"""`graphprune rules`: the rule files that ship."""

from __future__ import annotations

import click

from graphprune.report.tables import align_rows
from graphprune.rules.shipped import find_rule_file, list_shipped_rules


@click.command("rules")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the rule files that ship, or print the one called NAME.

    Use one as it is, or as the beginning of your own:

    \b
        graphprune rules dense-90
        graphprune plan model.keras -r builtin:dense-90
        graphprune rules dense-90 > prune.yaml
    """  # noqa: D301 - click wants the real character
    if name is None:
        rows = [(f"builtin:{shipped.name}", shipped.summary) for shipped in list_shipped_rules()]
        click.echo("\n".join(align_rows(rows)))
    else:
        click.echo(find_rule_file(f"builtin:{name.removeprefix('builtin:').removesuffix('.yaml')}").read_text(encoding="utf-8"), nl=False)
