"""The run file: its keys are the flags of `train`, its faults have places, flags override it."""

import json
from pathlib import Path

import jsonschema
import pytest
from commands import run_command
from rule_language import code, table

from graphprune.cli.run_settings import run_settings
from graphprune.cli.train import command
from graphprune.errors import RuleError
from graphprune.rules.text.yaml_text import parse_document
from graphprune.runs.run_file import check_settings, read_run_file, render_run_file
from graphprune.runs.run_settings import SETTINGS

DOCS = Path(__file__).parents[2] / "docs" / "run-file.md"
BEGIN, END = "<!-- settings -->\n", "<!-- end -->"


def whole():
    """Every setting, each with the example of the table."""
    data = {}
    for setting in SETTINGS:
        value = parse_document(f"value: {setting.example}", "example").data["value"]
        place = data
        for name in setting.path[:-1]:
            place = place.setdefault(name, {})
        place[setting.path[-1]] = value
    return {"version": 1, **data}


def faults_of(text):
    with pytest.raises(RuleError) as caught:
        check_settings(parse_document(text, "run.yaml"))
    return [str(fault) for fault in caught.value.diagnostics]


def test_every_flag_is_a_key_and_every_key_a_flag():
    """The rank is no key: the same file is for all workers."""
    others = {"--help", "model", "--rank"}
    flags = {max(option.opts, key=len) for option in command.params} - others
    assert flags == {setting.flag for setting in SETTINGS if setting.flag}
    assert [setting.key for setting in SETTINGS if not setting.flag] == ["model"]


def test_the_example_of_every_key_is_right_for_the_check_and_the_schema():
    document = parse_document(json.dumps(whole()), "run.yaml")
    assert set(check_settings(document)) == {setting.key for setting in SETTINGS}
    schema = json.loads(run_command("schema", "run").out)
    validator = jsonschema.Draft7Validator(schema)
    assert [fault.message for fault in validator.iter_errors(whole())] == []
    assert schema["title"] == "graphprune run file"
    unknown = {**whole(), "train": {"epoch": 3}}
    assert [fault.message for fault in validator.iter_errors(unknown)] == [
        "Additional properties are not allowed ('epoch' was unexpected)"
    ]


def test_what_is_written_is_read_as_the_same_settings():
    settings = check_settings(parse_document(json.dumps(whole()), "run.yaml"))
    text = render_run_file(settings, ("a comment",))
    assert text.startswith("# a comment\nversion: 1\nmodel: model.keras\n")
    recorded = {one.key for one in SETTINGS if one.is_recorded}
    assert check_settings(parse_document(text, "again.yaml")) == {
        key: value for key, value in settings.items() if key in recorded
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "train:\n  epoch: 3",
            "error[key/unknown]: train: unknown key 'epoch'\n  --> run.yaml:3:3\n"
            "  help: closest: 'epochs'",
        ),
        (
            "train: {lr: 1}",
            "error[key/unknown]: train: unknown key 'lr'\n  --> run.yaml:2:9\n"
            "  help: did you mean 'learning_rate'?",
        ),
        (
            "train: {learning_rate: {curve: cosine, from: 1e-3, warm_up: 5}}",
            "error[schedule/unit]: train: warm_up needs one of the units epochs, steps or %, got 5",
        ),
        (
            "train: {learning_rate: {curve: step, from: 1e-3}}",
            "error[key/missing]: train: learning_rate needs the key 'at' for the curve step",
        ),
        (
            "train: {learning_rate: {curve: step, from: 1, to: 2, at: {50%: 1}}}",
            "error[value/range]: train: learning_rate has a key 'to', which the curve step does",
        ),
        ("train: {epochs: 0}", "train: epochs must be a whole number from 1 to 1,000,000, got 0"),
        ("train: {learning_rate: -1}", "train: learning_rate must be above 0 and finite, got -1"),
        ("checkpoints: {every: 3}", "checkpoints: every needs one of the units"),
        ("modell: a", "error[key/unknown]: unknown key 'modell'\n  --> run.yaml:2:1"),
    ],
)
def test_a_fault_has_its_place_and_what_to_write(text, message):
    (fault,) = faults_of(f"version: 1\n{text}\n")
    assert message in fault


def test_a_file_that_is_no_mapping_says_how_to_begin():
    assert faults_of("- a") == [
        "error[value/type]: a run file must be a mapping, got [a]\n  --> run.yaml:1:1\n"
        "  help: begin with 'version: 1', 'model', 'data' and 'train'"
    ]


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "jobs" / "run.yaml"
    path.parent.mkdir()
    path.write_text(
        "version: 1\nmodel: ../m.keras\nrules: [prune.yaml, 'builtin:dense-90']\n"
        "vars: {final: 90%, first: 10%}\ndata: own.data:load\ntrain: {epochs: 30}\n"
    )
    return str(path)


def test_paths_are_relative_to_the_file_and_functions_are_no_paths(run_file, tmp_path):
    settings = read_run_file(run_file, {})
    assert settings["model"] == str(tmp_path / "m.keras")
    assert settings["rules"] == [str(tmp_path / "jobs" / "prune.yaml"), "builtin:dense-90"]
    assert settings["data"] == "own.data:load"


def test_flags_override_keys_and_single_variables(run_file):
    settings = read_run_file(run_file, {"train.epochs": 3, "vars": {"final": "80%"}, "data": "d"})
    assert (settings["train.epochs"], settings["data"]) == (3, "d")
    assert settings["vars"] == {"final": "80%", "first": "10%"}
    assert "rules" not in read_run_file(run_file, {"plan": "p.json"})
    with pytest.raises(RuleError, match="--> --epochs"):
        read_run_file(run_file, {"train.epochs": 0})


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing.yaml",), 1, "error[file/unreadable]: no such run file"),
        (("RUN",), 64, "has no key 'run'; add it, or give --run"),
        (("RUN", "--run", "r", "--loss", "a", "--loss", "b=c"), 64, "name the output in all of"),
        (("RUN", "--run", "r", "--loss", "a", "--loss", "b"), 64, "given twice; name the outputs"),
        (("RUN", "--run", "r", "--learning-rate", "{curve: cos, from: 1}"), 1, "--learning-rate"),
        (("RUN", "--run", "r"), 1, "m.keras"),
    ],
)
def test_train_reads_it_before_anything_else(run_file, monkeypatch, arguments, code, message):
    monkeypatch.chdir(Path(run_file).parent)
    done = run_command("train", *(run_file if one == "RUN" else one for one in arguments))
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def settings_table():
    rows = [
        [
            code(one.key),
            code(one.flag) if one.flag else "MODEL",
            one.help.replace("|", "\\|"),
            code(f"{one.path[-1]}: {one.example}"),
        ]
        for one in SETTINGS
    ]
    return table(["Key", "Flag", "What it does", "Example"], rows)


def test_the_table_in_the_docs_is_that_of_the_settings(request):
    """Rewrite it with `--rewrite-golden`."""
    text = DOCS.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    wanted = f"{head}{BEGIN}{settings_table()}{END}{rest.partition(END)[2]}"
    if request.config.getoption("--rewrite-golden"):
        DOCS.write_text(wanted, encoding="utf-8")
        text = wanted
    assert text == wanted


def test_the_example_in_the_docs_is_a_run_file():
    example = DOCS.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    settings = check_settings(parse_document(example, "example.yaml"))
    assert settings["train.learning_rate"]["warm_up"] == "5%"


def test_a_flag_has_the_same_value_as_its_key():
    seen = {}

    @run_settings
    def train(settings):
        seen.update(settings)

    import click

    click.command()(train).main(
        [
            *("m.keras", "--data", "d.npz", "--run", "r", "--epochs", "3", "-r", "a.yaml"),
            *("--optimizer", "{name: AdamW, weight_decay: 1e-4}", "--loss", "heads=mse"),
            *("--metrics", "accuracy", "--metrics", "own:f1", "--learning-rate", "0.1"),
            *("--var", "final=90%", "--tensorboard", "--no-jit-compile"),
        ],
        standalone_mode=False,
    )
    assert seen == {
        "model": "m.keras",
        "rules": ["a.yaml"],
        "vars": {"final": "90%"},
        "data": "d.npz",
        "run": "r",
        "train.epochs": 3,
        "train.optimizer": {"name": "AdamW", "weight_decay": 1e-4},
        "train.learning_rate": 0.1,
        "train.loss": {"heads": "mse"},
        "train.metrics": ["accuracy", "own:f1"],
        "tensorboard": "tensorboard",
        "on.jit_compile": False,
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: !x b", "tags such as !x are not supported in run files"),
        (b"a: &a {b: 1}\nc: {<<: *a}", "merge keys '<<' are not supported in run files"),
        (b"a: &a {b: 1}\nc: {<<: *a}", "help: write the fields out"),
        (b"a: 1\n---\nb: 2", "help: a run file is one document"),
        (b"PK\x03\x04", "help: name a run file here"),
        (b"a: {b: ${c}", "needs ',' between its entries"),
        (b"- a", "a run file must be a mapping"),
    ],
)
def test_messages_of_the_yaml_reader_say_run_file(tmp_path, content, said):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(RuleError) as fault:
        read_run_file(str(path), {})
    assert said in str(fault.value)
    assert "rule file" not in str(fault.value)


def test_messages_about_values_of_flags_do_not_say_rule_file():
    done = run_command(
        *("train", "m.keras", "--data", "d.npz", "--run", "r", "--epochs", "3"),
        *("--optimizer", "{name: !x adam}"),
    )
    assert "tags such as !x are not supported in values" in done.err
