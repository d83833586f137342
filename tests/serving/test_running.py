"""Served files run in processes that may refuse them, crash or hang: the parent goes on.

`onnxruntime` is that of `serving_files`, which does what the name of the file says.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from serving_files import install

from graphprune.errors import OutputError
from graphprune.serving.messages import Message
from graphprune.serving.running import open_runner, sample_inputs_of, try_run
from graphprune.serving.runtimes import (
    InputSpec,
    RunFault,
    RunnerError,
    RunnerSpec,
    Runtime,
    runtime_of,
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a file of a name in the runtime of this test."""
    install(tmp_path / "site")
    (tmp_path / "json.py").write_text("raise SystemExit('imported from beside the model')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)

    def run(name, **options):
        return RunnerSpec(Runtime.ONNX, Path(f"{name}.onnx"), **options)

    return run


def test_outputs_come_back_by_name(run):
    found = try_run(run("double"), {"x": np.array([[1.0, 2.0, 3.0]])})
    assert {name: values.tolist() for name, values in found.items()} == {"x": [[2.0, 4.0, 6.0]]}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("refuse", RunFault("not-loaded", "onnxruntime does not load it: no such operator: Erfc")),
        ("fail", RunFault("failed", "onnxruntime does not run it: wrong rank")),
        (
            "crash",
            RunFault(
                "crashed",
                "running it crashes the process (SIGSEGV, Segmentation fault): a note on stdout",
                "SIGSEGV",
            ),
        ),
        (
            "exit",
            RunFault("crashed", "loading it, the process ended with exit code 7: terminate called"),
        ),
    ],
)
def test_a_file_that_does_not_run_says_why(run, name, fault):
    assert try_run(run(name)) == fault


def test_a_process_that_hangs_is_ended(run):
    fault = try_run(run("hang", timeout=0.5))
    assert fault == RunFault("timed-out", "loading it took more than 0.5 s")


def test_the_error_of_a_runner_names_the_file(run):
    with (
        pytest.raises(RunnerError, match=r"^fail\.onnx: onnxruntime does not run it") as caught,
        open_runner(run("fail")) as runner,
    ):
        runner.outputs(sample_inputs_of(runner.inputs))
    assert caught.value.fault.kind == "failed"


def test_a_runner_tells_its_inputs_version_times_and_memory(run):
    with open_runner(run("grow")) as runner:
        assert runner.inputs == (InputSpec("x", (None, 3), "float32"),)
        assert runner.version == "onnxruntime 0.0"
        assert runner.load_seconds > 0
        runner.prepare(sample_inputs_of(runner.inputs, batch=4))
        held = runner.peak_memory()
        assert all(seconds > 0 for seconds in runner.time(3))
        assert len(runner.time(2)) == 2
        assert runner.peak_memory() - held > 100_000_000
        assert runner.usage().threads >= 1


def test_a_request_that_failed_leaves_the_runner_usable(run):
    with open_runner(run("double")) as runner:
        with pytest.raises(RunnerError, match="does not run it"):
            runner.outputs({})
        assert runner.outputs({"x": np.ones((1, 3))})["x"].tolist() == [[2, 2, 2]]


def test_the_process_works_in_an_empty_folder_and_imports_nothing_beside_the_model(run):
    folder, entries = try_run(run("folder"), {"x": np.ones((1, 3))})["x"].tolist()
    assert (Path(os.fsdecode(folder)) != Path.cwd(), entries) == (True, b"log")
    assert not Path(os.fsdecode(folder)).exists()


def test_threads_reach_the_runtime(run):
    assert try_run(run("threads", threads=3))["x"].tolist() == [3]


def test_random_inputs_depend_on_the_seed_alone():
    inputs = (InputSpec("x", (None, 3), "float32"), InputSpec("n", (None,), "int32"))
    first, same, other = (sample_inputs_of(inputs, 2, seed) for seed in (1, 1, 2))
    assert first["x"].shape == (2, 3)
    assert np.array_equal(first["x"], same["x"])
    assert not np.array_equal(first["x"], other["x"])


def test_texts_and_half_numbers_travel_without_pickle():
    sent = {"text": np.array(["é", b"b"], object), "half": np.ones(2, np.float16)}
    got = Message.from_bytes(Message({"do": "outputs"}, sent).to_bytes()).arrays
    assert got["text"].tolist() == ["é".encode(), b"b"]
    assert got["half"].dtype == np.float16


def test_a_suffix_without_a_runtime_is_refused(tmp_path):
    (tmp_path / "exported.v2").mkdir()
    assert runtime_of(tmp_path / "exported.v2") is Runtime.KERAS
    with pytest.raises(OutputError, match=r"no runtime runs files with the suffix \.pt"):
        runtime_of("model.pt")
