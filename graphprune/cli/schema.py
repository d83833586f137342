"""`graphprune schema`: the JSON Schema of rule files, for editors."""

from __future__ import annotations

import click

from graphprune.cli.options import force_option
from graphprune.cli.outputs import check_report_free, print_report, to_json
from graphprune.rules.json_schema import make_json_schema


@click.command("schema")
@click.option("-o", "--output", metavar="FILE", help="Write the schema to FILE.")
@force_option
def command(output: str | None, force: bool) -> None:
    """Write the JSON Schema of rule files: editors then complete keys, show what each means, and mark faults as you type.

    \b
        graphprune schema -o graphprune-rules.schema.json

    An editor with a YAML language server reads it for files that begin with

    \b
        # yaml-language-server: $schema=./graphprune-rules.schema.json
    """  # noqa: D301 - click wants the real character
    check_report_free(output, force=force)
    print_report(to_json(make_json_schema()), output)
