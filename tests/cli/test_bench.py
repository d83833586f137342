"""`graphprune bench` with the stand-in for onnxruntime; real runtimes are in tests/tf."""

import json

import numpy as np
import pytest
from commands import run_command
from serving_files import install

QUICK = ("--turns", "2")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    for name in ("double", "other", "classes", "crash", "threads"):
        (tmp_path / f"{name}.onnx").write_bytes(b"x" * 1000)
    return tmp_path


def bench(*arguments):
    done = run_command("bench", *arguments, *QUICK, "--format", "json")
    return done.code, json.loads(done.out)


def test_models_are_measured_side_by_side(folder):
    code, found = bench("double.onnx", "other.onnx")
    assert (code, found["kind"], found["turns"], found["threads"]) == (0, "graphprune.bench", 2, 1)
    first, other = found["models"]
    assert (first["raw"], first["gzip"] < 100, first["runtime"]) == (1000, True, "onnxruntime 0.0")
    assert first["latency"]["ratio"] == 1
    assert other["latency"]["ratio"] > 0
    assert other["latency"]["low"] <= other["latency"]["median"] <= other["latency"]["high"]
    assert other["latency"]["runs"] >= 2
    assert first["memory"] >= 0
    assert (first["difference"], other["difference"]) == (None, 0)
    assert first["notes"] == ["onnxruntime computes with the zeros too: no layer runs sparse"]
    assert found["inputs"] == "1 random sample (seed 0)"


def test_accuracy_is_that_of_what_the_file_computes(folder):
    rows = np.eye(3, dtype=np.float32)[np.arange(50) % 3]
    labels = np.where(np.arange(50) < 10, 2 - np.arange(50) % 3, np.arange(50) % 3)
    np.savez(folder / "data.npz", x_train=rows, y_train=labels)
    code, found = bench("classes.onnx", "--data", "data.npz")
    (model,) = found["models"]
    assert (code, model["accuracy"]) == (0, float(np.mean(labels == np.arange(50) % 3)))
    assert found["inputs"] == "1 sample of data.npz"


def test_a_model_that_crashes_is_a_row_with_the_reason_and_the_exit_code_is_1(folder):
    done = run_command("bench", "crash.onnx", "double.onnx", *QUICK)
    assert (done.code, done.err) == (1, "")
    assert "\ncrash.onnx: does not run: running it crashes the process (SIGSEGV" in done.out
    assert "\ndouble.onnx: onnxruntime 0.0\n" in done.out
    (row,) = [line for line in done.out.splitlines() if line.startswith("double.onnx  ")]
    assert "1.00x" in row


def test_data_of_another_shape_is_one_message(folder):
    np.savez(folder / "wide.npz", x_train=np.ones((5, 4), np.float32), y_train=np.zeros(5, int))
    done = run_command("bench", "classes.onnx", "--data", "wide.npz", *QUICK)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "graphprune: wide.npz: its samples have shape (4,), the input 'x' of classes.onnx takes"
        " (3,); give data of that shape\n"
    )


def test_outputs_are_compared_with_those_of_the_first_model(folder):
    _, found = bench("double.onnx", "classes.onnx", "threads.onnx")
    assert [model["difference"] is None for model in found["models"]] == [True, False, True]
    assert found["models"][1]["difference"] > 0.1
    table = run_command("bench", "double.onnx", "classes.onnx", *QUICK).out.splitlines()
    assert table[2].endswith("outputs differ")


def test_without_a_model_that_runs_there_is_an_error_and_no_report(folder):
    done = run_command("bench", "crash.onnx", *QUICK, "-o", "report.json")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("graphprune: crash.onnx: running it crashes the process (SIGSEGV")
    assert not (folder / "report.json").exists()


def test_the_report_is_written_to_a_file_that_is_free(folder):
    done = run_command("bench", "double.onnx", *QUICK, "-o", "report.json")
    assert (done.code, done.out, done.err) == (0, "", "wrote report.json\n")
    assert json.loads((folder / "report.json").read_text())["models"][0]["path"] == "double.onnx"
    again = run_command("bench", "double.onnx", "-o", "report.json")
    assert (again.code, "exists already" in again.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 64, "Missing argument 'MODEL...'"),
        (("gone.onnx",), 1, "graphprune: gone.onnx: cannot be read (No such file or directory)"),
        (("model.pt",), 1, "model.pt: no runtime runs files with the suffix .pt"),
        (
            ("double.onnx", "--runtime", "litert"),
            1,
            "double.onnx: runs in onnx, not in litert; leave out --runtime",
        ),
        (("double.onnx", "--runtime", "litertt"), 64, "did you mean 'litert'?"),
        (("double.onnx", "--data", "no_such:load"), 1, "no_such:load: no module 'no_such'"),
    ],
)
def test_wrong_arguments_are_one_message(folder, arguments, code, message):
    done = run_command("bench", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
