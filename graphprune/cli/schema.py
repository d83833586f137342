"""`graphprune schema`: JSON Schemas, of the files that graphprune reads and of those it writes."""

from __future__ import annotations

from typing import Any, cast

import click

from graphprune.cli.options import Choice, force_option
from graphprune.cli.outputs import check_report_free, print_report
from graphprune.diff.document import DiffJson
from graphprune.documents import make_schema, to_json
from graphprune.plan.document import PlanJson
from graphprune.plan.verification_document import VerificationJson
from graphprune.rules.building.schema import KINDS, Kind, build_schema, schema_of_shape
from graphprune.runs.run_file import RunFileShape

DOCUMENTS: dict[str, tuple[type, str]] = {
    "plan": (PlanJson, "graphprune plan"),
    "diff": (DiffJson, "graphprune diff"),
    "verify": (VerificationJson, "graphprune verification"),
}


RUN = "run"


def schema_of(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of `rules`, `test` or `run` files, or of the JSON of a verb."""
    if kind == RUN:
        return schema_of_shape(RunFileShape, "graphprune run file")
    return make_schema(*DOCUMENTS[kind]) if kind in DOCUMENTS else build_schema(cast(Kind, kind))


@click.command("schema")
@click.argument("kind", type=Choice([*KINDS, RUN, *DOCUMENTS]), default="rules")
@click.option("-o", "--output", metavar="FILE", help="Write the schema to FILE.")
@force_option
def command(kind: str, output: str | None, force: bool) -> None:
    """Write the JSON Schema of rule files or run files, with a description of every key.

    Editors use it to complete keys and to mark errors.

    \b
        graphprune schema -o graphprune-rules.schema.json
        graphprune schema run -o graphprune-run.schema.json

    Then let the first line of a rule file be (any editor with a YAML language server reads it):

    \b
        # yaml-language-server: $schema=./graphprune-rules.schema.json

    KIND is one of rules (the default), test (rule tests), run (run files of train), and plan, diff
    or verify: the JSON that these commands write with --format json.
    """  # noqa: D301 - click wants the real character
    check_report_free(output, force=force, known=[".json"])
    print_report(to_json(schema_of(kind)), output)
