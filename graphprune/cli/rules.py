"""`graphprune rules`: the rule files that ship."""

from __future__ import annotations

import click

from graphprune.cli.options import format_option
from graphprune.documents import to_json
from graphprune.report.tables import align_rows
from graphprune.rules.text.files import PREFIX, ShippedRules, find_shipped_rules, list_shipped_rules


@click.command("rules")
@click.argument("name", required=False)
@format_option
def command(name: str | None, format_: str | None) -> None:
    """List the rule files that ship, or print the one called NAME.

    Use one directly, or as a start for your own:

    \b
        graphprune rules dense-90
        graphprune plan model.keras -r builtin:dense-90
        graphprune rules dense-90 > prune.yaml
    """  # noqa: D301 - click wants the real character
    as_json = format_ == "json"
    if name is None:
        shipped = list_shipped_rules()
        click.echo(
            to_json([_to_config(rules) for rules in shipped]) if as_json else _table(shipped),
            nl=False,
        )
    else:
        rules = find_shipped_rules(name.removeprefix(PREFIX).removesuffix(".yaml"))
        text = rules.path.read_text(encoding="utf-8")
        click.echo(to_json(_to_config(rules) | {"text": text}) if as_json else text, nl=False)


def _table(shipped: tuple[ShippedRules, ...]) -> str:
    return (
        "\n".join(align_rows([(f"{PREFIX}{rules.name}", rules.summary) for rules in shipped]))
        + "\n"
    )


def _to_config(rules: ShippedRules) -> dict[str, str]:
    return {"name": rules.name, "use": f"{PREFIX}{rules.name}", "summary": rules.summary}
