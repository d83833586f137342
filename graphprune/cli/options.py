"""Options that several commands share, parsed once into values."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import click

from graphprune.suggestions import find_close

Command = TypeVar("Command", bound=Callable[..., Any])


_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
_REAL = re.compile(r"[-+]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][-+]?[0-9]{1,3})?")


class WholeNumber(click.IntRange):
    """A whole number in ASCII digits.

    Python's `int` accepts digits of other scripts and underscores too.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        if isinstance(value, str) and not _WHOLE.fullmatch(value):
            self.fail(
                f"{value!r} is not a whole number; write it in digits, such as 100", param, ctx
            )
        return super().convert(value, param, ctx)


class RealNumber(click.types.FloatParamType):
    """A finite number in ASCII digits.

    Python's `float` accepts `inf`, `nan`, underscores and digits of other scripts too.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        if isinstance(value, str) and not _REAL.fullmatch(value):
            self.fail(f"{value!r} is not a number; write it in digits, such as 0.001", param, ctx)
        return super().convert(value, param, ctx)


class Choice(click.Choice):  # type: ignore[type-arg]  # click 8.1 has no type arguments here
    """One of some words, with a suggestion for other words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word."""
        near = find_close(value, self.choices, count=1) if value not in self.choices else []
        if near:
            known = ", ".join(map(repr, self.choices))
            self.fail(f"{value!r} is not one of {known}; did you mean {near[0]!r}?", param, ctx)
        return super().convert(value, param, ctx)


def parse_settings(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Return `path=value` options as a mapping; anything else is a usage error."""
    return _parse_pairs(values, "write PATH=VALUE, as in --set dense-90.prune.sparsity=0.5")


def parse_variables(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Return `name=value` options as a mapping; anything else is a usage error."""
    return _parse_pairs(values, "write NAME=VALUE, as in --var final=0.8")


def _parse_pairs(values: tuple[str, ...], help: str) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{help}; got {value!r}")
        pairs[name] = text
    return pairs


rules_option = click.option(
    "-r",
    "--rules",
    "rules",
    multiple=True,
    metavar="RULES",
    help="A rule file, or builtin:NAME for one that ships. May be repeated.",
)
variables_option = click.option(
    "--var",
    "variables",
    multiple=True,
    callback=parse_variables,
    metavar="NAME=VALUE",
    help="Override a variable of the rule files. May be repeated.",
)
only_option = click.option(
    "--only",
    "only",
    multiple=True,
    metavar="RULE",
    help="Use only this rule of the files. May be repeated.",
)
off_option = click.option(
    "--off", "off", multiple=True, metavar="RULE", help="Leave this rule out. May be repeated."
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    callback=parse_settings,
    metavar="PATH=VALUE",
    help=(
        "Set a field of a rule's action, of a budget, a schedule or the defaults:"
        " dense-90.prune.sparsity=0.5, dense-90.prune.schedule.end='2 epochs',"
        " budgets.net.sparsity=90%, schedules.ramp.end='2 epochs'. May be repeated."
    ),
)
force_option = click.option("--force", is_flag=True, help="Overwrite existing files.")
format_option = click.option(
    "--format",
    "format_",
    type=Choice(["text", "json"]),
    default=None,
    help="Format of the report [default: text].",
)
drawing_format_option = click.option(
    "--format",
    "format_",
    type=Choice(["text", "json", "github", "html", "svg"]),
    default=None,
    help=(
        "Format of the report; github is Markdown for a comment [default: that of FILE's name, else"
        " text]."
    ),
)
drawing_report_option = click.option(
    "-o",
    "--output",
    metavar="FILE",
    help=(
        "Write the report to FILE, in the format of its suffix: .txt, .json, .html, .svg or .md."
    ),
)
report_option = click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write the report to FILE, in the format of its suffix: .txt or .json.",
)
exitcode_option = click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit 2 when there is something to report, 0 when there is nothing.",
)
all_option = click.option("--all", "show_all", is_flag=True, help="Show every layer.")
brief_option = click.option("--brief", is_flag=True, help="Show only the summary.")
unsafe_lambda_option = click.option(
    "--unsafe-lambda",
    is_flag=True,
    help=(
        "Load Lambda layers with Python bytecode, which can do anything: only for files that you"
        " trust."
    ),
)
unsafe_ops_option = click.option(
    "--unsafe-ops",
    is_flag=True,
    help=(
        "Load layers that run any TensorFlow operation, such as writing files: only for files that"
        " you trust."
    ),
)
outputs_option = click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    required=True,
    metavar="OUT",
    help="A .keras, .h5, .tflite or .onnx file, or a folder for a SavedModel. May be repeated.",
)
keep_optimizer_option = click.option(
    "--keep-optimizer",
    is_flag=True,
    help=(
        "Also write compile settings and optimizer state, to continue training; the files are"
        " larger."
    ),
)
custom_option = click.option(
    "--custom-objects",
    "custom_objects",
    multiple=True,
    metavar="[OTHER=]MODULE[:NAME]",
    help=(
        "Import custom layers, losses and metrics from MODULE, or only NAME. OTHER=MODULE:NAME"
        " gives it the name OTHER that the file uses, such as <lambda>. May be repeated."
    ),
)


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """The rule files of a command, and what the command line changes in them."""

    files: tuple[str, ...]
    variables: Mapping[str, str]
    only: tuple[str, ...]
    off: tuple[str, ...]
    settings: Mapping[str, str]

    @property
    def has_switches(self) -> bool:
        """Whether something is changed that only rule files have."""
        return bool(self.variables or self.only or self.off or self.settings)


def rule_options(command: Command) -> Command:
    """Add `-r RULES`, `--var`, `--only`, `--off` and `--set` as one `rules: RuleOptions`."""

    @functools.wraps(command)
    def run(
        *args: Any,
        rules: tuple[str, ...],
        variables: Mapping[str, str],
        only: tuple[str, ...],
        off: tuple[str, ...],
        settings: Mapping[str, str],
        **others: Any,
    ) -> Any:
        return command(*args, rules=RuleOptions(rules, variables, only, off, settings), **others)

    switched = only_option(off_option(set_option(run)))
    return rules_option(variables_option(switched))  # type: ignore[return-value]


allow_missed_option = click.option(
    "--allow-missed",
    is_flag=True,
    help=(
        "Only warn if the run is too short for a schedule to reach its target; without it, that is"
        " an error."
    ),
)


def model_and_rules(command: Command) -> Command:
    """Add the options that make a plan: those of `rule_options`, and `--plan FILE`."""
    plan = click.option(
        "--plan",
        "plan_file",
        metavar="FILE",
        help="A plan that `graphprune plan -o FILE.json` wrote, instead of rules.",
    )
    return rule_options(plan(command))


@dataclass(frozen=True, slots=True)
class ShownOptions:
    """What `train` and `resume` print.

    Attributes:
        quiet: Nothing but warnings and errors.
        brief: The final report as a summary.
        is_json: One JSON object a line on stdout, for machines.
    """

    quiet: bool = False
    brief: bool = False
    is_json: bool = False

    @property
    def form(self) -> Literal["text", "quiet", "json"]:
        """What stdout gets."""
        if self.is_json:
            return "json"
        return "quiet" if self.quiet else "text"


quiet_option = click.option("--quiet", is_flag=True, help="Print only warnings and errors.")
lines_option = click.option(
    "--format",
    "format_",
    type=Choice(["text", "json"]),
    default=None,
    help="Format of the output; json is one object a line, as it happens [default: text].",
)


rank_option = click.option(
    "--rank",
    type=WholeNumber(min=0),
    metavar="NUMBER",
    help="The place of this process in --workers, from 0: the same command has another rank on each"
    " worker.",
)


def shown_as(*, quiet: bool, brief: bool, format_: str | None) -> ShownOptions:
    """Return what a command prints; `--quiet` with `--format json` is a usage error."""
    if quiet and format_ == "json":
        raise click.UsageError("--quiet cannot be combined with --format json; drop one")
    return ShownOptions(quiet, brief, format_ == "json")


def shown_options(command: Command) -> Command:
    """Add `--quiet`, `--brief` and `--format` as one `shown: ShownOptions`."""

    @functools.wraps(command)
    def run(*args: Any, quiet: bool, brief: bool, format_: str | None, **others: Any) -> Any:
        shown = shown_as(quiet=quiet, brief=brief, format_=format_)
        return command(*args, shown=shown, **others)

    return quiet_option(brief_option(lines_option(run)))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class LoadingOptions:
    """What loading a model file may run: see `graphprune.load_model`.

    Attributes:
        custom_objects: The user's own classes and functions, as `[OTHER=]MODULE[:NAME]`.
        unsafe_lambda: Run Python bytecode of Lambda layers.
        unsafe_ops: Run operations that are not on the list of those that only compute.
    """

    custom_objects: tuple[str, ...] = ()
    unsafe_lambda: bool = False
    unsafe_ops: bool = False

    @property
    def typed(self) -> str:
        """The options as they are typed after the next command, with a space before each.

        Example:
            >>> LoadingOptions(("<lambda>=own:act",), unsafe_ops=True).typed
            " --custom-objects '<lambda>=own:act' --unsafe-ops"
        """
        given = [f" --custom-objects {shlex.quote(spec)}" for spec in self.custom_objects]
        flags = {" --unsafe-lambda": self.unsafe_lambda, " --unsafe-ops": self.unsafe_ops}
        return "".join([*given, *(flag for flag, is_set in flags.items() if is_set)])


def loading_options(command: Command) -> Command:
    """Add the options that say how a model is loaded, as one `loading: LoadingOptions`."""

    @functools.wraps(command)
    def run(
        *args: Any,
        custom_objects: tuple[str, ...],
        unsafe_lambda: bool,
        unsafe_ops: bool,
        **others: Any,
    ) -> Any:
        return command(
            *args, loading=LoadingOptions(custom_objects, unsafe_lambda, unsafe_ops), **others
        )

    return custom_option(unsafe_lambda_option(unsafe_ops_option(run)))  # type: ignore[return-value]


keras_option = click.option(
    "--keras",
    type=click.Choice(["2", "3"]),
    callback=lambda _, __, given: None if given is None else int(given),
    help="Convert MODEL to this Keras, 2 (tf_keras) or 3 [default: its own].",
)
