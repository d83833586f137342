"""The options of `train`, from the table of its settings, and the settings that they give."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import click

from graphprune.cli.options import (
    Command,
    LoadingOptions,
    RealNumber,
    RuleOptions,
    ShownOptions,
    WholeNumber,
    brief_option,
    custom_option,
    force_option,
    keras_option,
    lines_option,
    off_option,
    only_option,
    quiet_option,
    rules_option,
    set_option,
    shown_as,
    unsafe_lambda_option,
    unsafe_ops_option,
    variables_option,
)
from graphprune.errors import RuleError
from graphprune.rules.text.yaml_text import parse_document
from graphprune.runs.run_file import check_flags, is_run_file, read_run_file
from graphprune.runs.run_settings import SETTINGS, TENSORBOARD
from graphprune.runs.setting import Setting

_SHARED = {
    "--rules": rules_option,
    "--var": variables_option,
    "--only": only_option,
    "--off": off_option,
    "--set": set_option,
    "--keras": keras_option,
    "--custom-objects": custom_option,
    "--unsafe-lambda": unsafe_lambda_option,
    "--unsafe-ops": unsafe_ops_option,
    "--quiet": quiet_option,
    "--brief": brief_option,
    "--format": lines_option,
    "--force": force_option,
}
"""Options that other commands have too."""
_NAMES = {"--var": "variables", "--set": "settings", "--format": "format_"}
_REQUIRED = ("data", "run", "train.epochs")


class NumberOrMapping(RealNumber):
    """A number, or a mapping in YAML as text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number or the text."""
        is_mapping = isinstance(value, str) and value.lstrip().startswith("{")
        return value if is_mapping else super().convert(value, param, ctx)


def run_settings(command: Command) -> Command:
    """Add MODEL and the option of each setting, as one `settings`: values by key.

    MODEL may be a run file, whose settings are then those that no option gives.
    """

    @functools.wraps(command)
    def run(model: str, **options: Any) -> Any:
        flags = {
            setting.key: _value(setting, options.pop(_name(setting)))
            for setting in SETTINGS
            if setting.flag
        }
        given = {key: value for key, value in flags.items() if value is not None}
        if is_run_file(model):
            settings = read_run_file(model, given)
        else:
            settings = check_flags({"model": model, **given})
        _check_complete(settings, model)
        return command(settings=settings, **options)

    for setting in reversed(SETTINGS):
        if setting.flag:
            run = _option(setting)(run)
    return click.argument("model", metavar="MODEL")(run)  # type: ignore[return-value]


def _name(setting: Setting) -> str:
    return _NAMES.get(setting.flag, setting.option)


def _option(setting: Setting) -> Any:
    if setting.flag in _SHARED:
        return _SHARED[setting.flag]
    names, help = (setting.flag, _name(setting)), setting.help
    if setting.shown:
        help = f"{help}  [default: {setting.shown}]"
    if setting.form == "switch":
        return click.option(*names, is_flag=True, help=help)
    if setting.form == "on-off":
        both = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
        return click.option(both, _name(setting), default=None, help=help)
    if setting.form in ("list", "pairs", "by-output"):
        return click.option(*names, multiple=True, metavar=setting.metavar, help=help)
    if setting.flag == "--tensorboard":
        more: dict[str, Any] = {"is_flag": False, "flag_value": TENSORBOARD}
    else:
        more = {}
    kinds = {"whole": WholeNumber(setting.least, setting.most), "real": NumberOrMapping()}
    return click.option(
        *names, type=kinds.get(setting.form), metavar=setting.metavar, help=help, **more
    )


def _value(setting: Setting, given: Any) -> Any:
    """Return the plain value of an option; None where it is not given."""
    if setting.form == "on-off":
        return given
    if given is None or given is False or given in ((), {}):
        return None
    if setting.form == "yaml" or (setting.form == "real" and isinstance(given, str)):
        return _read_yaml(setting.flag, given)
    if setting.form == "by-output":
        return _by_output(setting, given)
    if setting.form == "pairs" and not isinstance(given, Mapping):
        return _pairs(setting, given)
    return list(given) if isinstance(given, tuple) else given


def _read_yaml(flag: str, text: str) -> Any:
    document = parse_document(text, f"{flag} {text}", "value")
    if document.faults:
        raise RuleError(document.faults)
    return document.data


def _by_output(setting: Setting, given: tuple[str, ...]) -> Any:
    """Return `NAME`s as a list, or `OUTPUT=NAME`s as a mapping; the loss is one name."""
    pairs = [text.partition("=") for text in given]
    named = [bool(equals) for _, equals, _ in pairs]
    if any(named) and not all(named):
        raise click.UsageError(f"{setting.flag}: name the output in all of them, or in none")
    is_single = setting.key == "train.loss"
    if not any(named):
        if is_single and len(given) > 1:
            raise click.UsageError(f"{setting.flag}: given twice; name the outputs, OUTPUT=LOSS")
        return given[0] if is_single else list(given)
    found: dict[str, list[str]] = {}
    for output, _, name in pairs:
        found.setdefault(output, []).append(name)
    if is_single:
        return {output: names[-1] for output, names in found.items()}
    return found


def _pairs(setting: Setting, given: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(
                f"{setting.flag}: write NAME=VALUE, as in {setting.flag} 0=1.0; got {text!r}"
            )
        found[name] = _read_yaml(setting.flag, value)
    return found


def _check_complete(settings: Mapping[str, Any], model: str) -> None:
    """Refuse settings without data, folder or length."""
    wanted = ("data",) if settings.get("evaluate") else _REQUIRED
    for setting in [setting for setting in SETTINGS if setting.key in wanted]:
        if setting.key in settings:
            continue
        if is_run_file(model):
            raise click.UsageError(
                f"{model} has no key {setting.key!r}; add it, or give {setting.flag}"
            )
        raise click.UsageError(f"Missing option '{setting.flag}'.")
    if "model" not in settings:
        raise click.UsageError(f"{model} has no key 'model'; add it, such as 'model: model.keras'")


def rule_options_of(settings: Mapping[str, Any]) -> RuleOptions:
    """Return the rules of the settings, as other commands get them."""

    def texts(key: str) -> dict[str, str]:
        return {name: _text(value) for name, value in settings.get(key, {}).items()}

    return RuleOptions(
        tuple(settings.get("rules", ())),
        texts("vars"),
        tuple(settings.get("only", ())),
        tuple(settings.get("off", ())),
        texts("set"),
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def loading_options_of(settings: Mapping[str, Any]) -> LoadingOptions:
    """Return how the settings load the model, as other commands get it."""
    return LoadingOptions(
        tuple(settings.get("load.custom_objects", ())),
        settings.get("load.unsafe_lambda", False),
        settings.get("load.unsafe_ops", False),
    )


def shown_options_of(settings: Mapping[str, Any]) -> ShownOptions:
    """Return what the settings print, as other commands get it."""
    return shown_as(
        quiet=settings.get("show.quiet", False),
        brief=settings.get("show.brief", False),
        format_=settings.get("show.format"),
    )
