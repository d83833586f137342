"""`graphprune schema`: the JSON Schema of rule files, for editors."""

from __future__ import annotations

from typing import cast

import click

from graphprune.cli.options import Choice, force_option
from graphprune.cli.outputs import check_report_free, print_report
from graphprune.json_text import to_json
from graphprune.rules.building.schema import KINDS, Kind, build_schema


@click.command("schema")
@click.option(
    "--kind",
    type=Choice(list(KINDS)),
    default="rules",
    show_default=True,
    help="Of which files: rule files, or rule tests.",
)
@click.option("-o", "--output", metavar="FILE", help="Write the schema to FILE.")
@force_option
def command(kind: str, output: str | None, force: bool) -> None:
    """Write the JSON Schema of rule files, with help for every key: editors then complete keys and
    mark faults while you type.

    \b
        graphprune schema -o graphprune-rules.schema.json

    Then let the first line of a rule file be (any editor with a YAML language server reads it):

    \b
        # yaml-language-server: $schema=./graphprune-rules.schema.json
    """  # noqa: D301 - click wants the real character
    check_report_free(output, force=force, known=[".json"])
    print_report(to_json(build_schema(cast(Kind, kind))), output)
