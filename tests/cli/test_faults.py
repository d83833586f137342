"""What users do wrong: one clear message on stderr with a way out, exit 1 (wrong usage 64), no
traceback, nothing half-written.
"""

import json
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from commands import run_command

from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
RULES = "builtin:conv-80-dense-90"


@pytest.fixture
def bad(tmp_path):
    """Files that are no models, by name."""
    (tmp_path / "notes.keras").write_text("not a model")
    (tmp_path / "folder.keras").mkdir()
    with zipfile.ZipFile(tmp_path / "photos.keras", "w") as archive:
        archive.writestr("photo.jpg", b"")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs["layer_names"] = ["fc1"]
        file.create_group("fc1")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ("layers",),
        ("plan", "-r", RULES),
        ("apply", "-r", RULES, "-o", "out.keras"),
        ("strip", "-o", "out.keras"),
        ("diff", MODEL),
    ],
)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gone.keras",
            (
                "no such file; check the path (graphprune reads .keras, .h5, SavedModel folders and"
                " graph JSON)"
            ),
        ),
        (
            "notes.keras",
            (
                "is not a saved model, whatever its name; graphprune reads .keras, .h5,"
                " SavedModel folders and graph JSON"
            ),
        ),
        (
            "folder.keras",
            (
                "is a directory without saved_model.pb, so not a SavedModel; graphprune reads"
                " .keras, .h5, SavedModel folders and graph JSON"
            ),
        ),
        ("photos.keras", "no config.json"),
        (
            "weights.h5",
            "no model_config attribute; this file holds weights only, save the whole model instead",
        ),
    ],
)
def test_a_file_that_is_no_saved_model_is_one_line_and_exit_1(
    bad, monkeypatch, command, name, message
):
    monkeypatch.chdir(bad)
    done = run_command(command[0], name, *command[1:])
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"graphprune: {name}: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (bad / "out.keras").exists()


def test_an_output_that_exists_asks_for_force(tmp_path):
    output = tmp_path / "out.keras"
    output.write_text("precious")
    for command in (
        ("apply", MODEL, "-r", RULES),
        ("strip", MODEL),
        ("plan", MODEL, "-r", RULES),
        ("layers", MODEL),
    ):
        done = run_command(*command, "-o", output)
        assert (done.code, done.out, done.err) == (
            1,
            "",
            (
                f"graphprune: {output}: exists already; give another name, or --force to overwrite"
                " it\n"
            ),
        )
    assert output.read_text() == "precious"


def test_force_overwrites_a_report(tmp_path):
    output = tmp_path / "plan.json"
    output.write_text("old")
    assert run_command("plan", MODEL, "-r", RULES, "-o", output, "--force").code == 0
    assert json.loads(output.read_text())["kind"] == "graphprune.plan"


def test_an_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    done = run_command("layers", MODEL, "-o", tmp_path / "file" / "layers.txt")
    assert (done.code, done.err) == (
        1,
        (
            f"graphprune: {tmp_path}/file/layers.txt: {tmp_path}/file is a file, not a folder; give"
            " another name\n"
        ),
    )


def test_a_rule_that_matches_nothing_stops_the_plan(tmp_path):
    rules = tmp_path / "prune.yaml"
    rules.write_text(
        "version: 1\n"
        "rules:\n"
        "  - id: wide\n"
        "    match: {name: {glob: 'wide_*'}}\n"
        "    prune: {sparsity: 0.9, schedule: {curve: step, begin: 0 steps}}\n"
    )
    done = run_command("plan", MODEL, "-r", rules)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error[rule/no-match]: rule 'wide'")
    assert f"--> {rules}:3:5" in done.err or f"--> {rules}:4:5" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pruen", "x.keras"), "no command is called 'pruen'; "),
        (("plan",), "Missing argument 'MODEL'"),
        (("plan", MODEL), "no rules: give a rule file with -r RULES"),
        (
            ("plan", MODEL, "-r", RULES, "--var", "x"),
            "write NAME=VALUE, as in --var final=0.8; got 'x'",
        ),
        (
            ("apply", MODEL, "-r", RULES, "--plan", "p.json", "-o", "never.keras"),
            "give rules (-r) or a plan (--plan), not both",
        ),
        (("layers", MODEL, "--format", "xml"), "'xml' is not one of"),
        (
            ("layers", MODEL, "--format", "jsn"),
            "Invalid value for '--format': 'jsn' is not one of 'text', 'json'; did you mean"
            " 'json'?",
        ),
        (
            ("graph", MODEL, "--format", "sgv"),
            "'sgv' is not one of 'json', 'dot', 'svg', 'html'; did you mean 'svg'?",
        ),
        (("schema", "rule"), "did you mean 'rules'?"),
        (("train", MODEL, "--data", "d.npz"), "Missing option '--run'"),
        (("pln", MODEL), "Error: no command is called 'pln'; did you mean 'plan'?"),
        (("xyz",), "Error: no command is called 'xyz'; graphprune --help lists them"),
        (("train", MODEL, "--epoch", "3"), "--epochs"),
        (
            ("train", MODEL, "--epochs", "three"),
            (
                "Invalid value for '--epochs': 'three' is not a whole number; write it in digits,"
                " such as 100"
            ),
        ),
        (
            ("train", MODEL, "--learning-rate", "fast"),
            "'fast' is not a number; write it in digits, such as 0.001",
        ),
    ],
)
def test_wrong_usage_exits_64(arguments, message):
    done = run_command(*arguments)
    assert (done.code, done.out) == (64, "")
    assert message in done.err


def test_a_damaged_plan_file_is_one_line(tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text("{")
    done = run_command("apply", MODEL, "--plan", plan, "-o", tmp_path / "out.keras")
    assert done.code == 1
    assert done.err.startswith(f"graphprune: {plan}")
    assert done.err.count("\n") == 1


def test_a_plan_for_another_model_is_stale(tmp_path):
    run_command("plan", MODEL, "-r", RULES, "-o", tmp_path / "plan.json")
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["model"] |= {"graph_sha256": "0" * 64, "architecture_sha256": "0" * 64}
    (tmp_path / "stale.json").write_text(json.dumps(plan))
    done = run_command(
        "apply", MODEL, "--plan", tmp_path / "stale.json", "-o", tmp_path / "out.keras"
    )
    assert done.code == 1
    assert "plan/stale" in done.err
    assert not (tmp_path / "out.keras").exists()


@pytest.mark.tf
def test_data_without_x_train_is_one_line(tmp_path):
    np.savez(tmp_path / "data.npz", images=np.zeros(3))
    done = run_command(
        "train",
        MODEL,
        "-r",
        RULES,
        "--data",
        tmp_path / "data.npz",
        "--epochs",
        "8",
        "--run",
        tmp_path / "run",
    )
    assert done.code == 1
    assert done.err.startswith(
        f"graphprune: {tmp_path}/data.npz: has no x_train, it holds images; x_train and y_train"
        " are required, x_test and y_test are optional\n"
    )
    assert done.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.tf
def test_a_folder_that_is_no_run_cannot_be_resumed(tmp_path):
    done = run_command("resume", tmp_path)
    assert (done.code, done.err) == (
        1,
        (
            f"graphprune: {tmp_path}: no run.json; this is not a training run, start one with"
            " graphprune train\n"
        ),
    )


@pytest.mark.tf
def test_an_output_of_no_known_format_stops_strip_before_anything_is_written(tmp_path):
    done = run_command("strip", MODEL, "-o", tmp_path / "a.keras", "-o", tmp_path / "b.pb")
    assert (done.code, done.out) == (1, "")
    assert (
        done.err
        == f"graphprune: {tmp_path}/b.pb: no model format has the suffix .pb; use .keras, .h5,"
        " .tflite, .onnx, or no suffix for a SavedModel folder\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("layers", "m.kera"), "m.kera: no such file; did you mean m.keras?"),
        (("layers", "sub/M.KERAS"), "sub/M.KERAS: no such file; did you mean sub/m.keras?"),
        (("layers", "saved_modle"), "saved_modle: no such file; did you mean saved_model?"),
        (
            ("verify", "m.keras", "--plan", "pln.json"),
            "pln.json: cannot read a plan: No such file or directory; did you mean plan.json?",
        ),
        (
            ("train", "m.keras", "--data", "digit.npz", "--epochs", "1", "--run", "r"),
            "digit.npz: no such file; did you mean digits.npz?",
        ),
        (
            ("layers", "digits.kras"),
            (
                "digits.kras: no such file; check the path (graphprune reads .keras, .h5,"
                " SavedModel folders and graph JSON)"
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_file_that_is_not_there_is_answered_with_the_one_beside_it(
    tmp_path, monkeypatch, command, told
):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "sub"):
        folder.mkdir(exist_ok=True)
        shutil.copy(MODEL, folder / "m.keras")
    for name in ("plan.json", "digits.npz"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "saved_model").mkdir()
    done = run_command(*command)
    assert (done.code, done.out, done.err) == (1, "", f"graphprune: {told}\n")


def test_a_wrong_strategy_is_told_before_tensorflow_is_imported(monkeypatch):
    def fail():
        raise AssertionError("too late")

    monkeypatch.setattr("graphprune.cli.train.import_tensorflow", fail)
    options = ("--data", "d.npz", "--epochs", "1", "--run", "r", "--strategy", "mirored:2")
    done = run_command("train", MODEL, *options)
    assert done.err == (
        "graphprune: strategy: got 'mirored:2'; closest: 'mirrored'; available: none, mirrored,"
        " mirrored:N, such as mirrored:2, and multiworker\n"
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--workers", "a:1,b:2", "--rank", "2"),
            "graphprune: rank: must be from 0 to 1 for 2 workers, got 2; give each worker its place"
            " in --workers\n",
        ),
        (
            (),
            "graphprune: strategy: multiworker needs the workers; give --workers"
            " HOST:PORT,HOST:PORT and --rank NUMBER, or set TF_CONFIG\n",
        ),
        (
            ("--workers", "a:1,b", "--rank", "0"),
            "error[value/range]: on: workers must be HOST:PORT with a port from 1 to 65535, not"
            " 'b', got 'a:1,b'\n  --> --workers\n",
        ),
    ],
)
def test_wrong_workers_are_told_before_tensorflow_is_imported(monkeypatch, more, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)

    def fail(*arguments):
        raise AssertionError("TensorFlow was imported")

    monkeypatch.setattr("graphprune.cli.train.import_quietly", fail)
    options = ("--data", "d.npz", "--epochs", "1", "--run", "r", "--strategy", "multiworker")
    done = run_command("train", MODEL, *options, *more)
    assert (done.code, message in done.err) == (1, True), done.err
