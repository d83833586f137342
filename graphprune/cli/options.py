"""Options that several commands share, parsed once into values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def parse_variables(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return `name=value` options as a mapping; anything else is a usage error."""
    variables = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"write NAME=VALUE, as in --var final=0.8; got {value!r}")
        variables[name] = text
    return variables


rules_option = click.option("-r", "--rules", "rules", multiple=True, metavar="RULES", help="A rule file, or builtin:NAME for one that ships. May be repeated.")
variables_option = click.option(
    "--var", "variables", multiple=True, callback=parse_variables, metavar="NAME=VALUE", help="Override a variable of the rule files."
)
force_option = click.option("--force", is_flag=True, help="Overwrite what is there.")
format_option = click.option("--format", "format_", type=click.Choice(["text", "json"]), default=None, help="How to print the report [default: text].")
drawing_format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "github", "html", "svg"]),
    default=None,
    help="How to print the report: text, JSON, Markdown for a comment on GitHub, a page, a drawing [default: text, or what FILE's name says].",
)
drawing_report_option = click.option("-o", "--output", metavar="FILE", help="Write the report to FILE; a name in .json, .html, .svg or .md says its format.")
report_option = click.option("-o", "--output", metavar="FILE", help="Write the report to FILE; a name that ends in .json means JSON.")
exitcode_option = click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there is something to report, 0 when there is nothing.")
all_option = click.option("--all", "show_all", is_flag=True, help="Show every layer.")
brief_option = click.option("--brief", is_flag=True, help="Show only the summary.")
unsafe_option = click.option(
    "--unsafe-lambda", is_flag=True, help="Load Lambda layers that carry Python bytecode. It can do anything: only for files that you trust."
)
custom_option = click.option(
    "--custom-objects",
    "custom_objects",
    multiple=True,
    metavar="MODULE[:NAME]",
    help="Import MODULE (and take NAME from it), for custom layers, losses and metrics.",
)


def model_and_rules(command: Command) -> Command:
    """Add the options that make a plan: `-r RULES`, `--plan FILE`, `--var NAME=VALUE`."""
    plan = click.option("--plan", "plan_file", metavar="FILE", help="A plan that `graphprune plan -o FILE.json` wrote, instead of rules.")
    return rules_option(plan(variables_option(command)))


def loading_options(command: Command) -> Command:
    """Add the options that say how a model is loaded: `--custom-objects`, `--unsafe-lambda`."""
    return custom_option(unsafe_option(command))
