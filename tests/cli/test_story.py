"""The main job through the command line: plan, apply, train, interrupt, resume in a new process,
strip, diff, on the shipped model and digits.
"""

import json
import zipfile

import numpy as np
import pytest
from commands import run_command

from graphprune.shipped import shipped_file

pytestmark = pytest.mark.tf

MODEL = shipped_file("fixtures/digits-cnn.keras")
DIGITS = shipped_file("fixtures/digits.npz")
RULES = "builtin:conv-80-dense-90"


@pytest.fixture(scope="module")
def story(server, tmp_path_factory):
    """The folder of a whole run, and what each command answered."""
    home = tmp_path_factory.mktemp("story")
    before = MODEL.read_bytes()
    done = {"plan": run_command("plan", MODEL, "-r", RULES, "-o", home / "plan.json")}
    done["apply"] = run_command(
        "apply", MODEL, "--plan", home / "plan.json", "-o", home / "wrapped.keras"
    )
    options = (
        "--data",
        DIGITS,
        "--epochs",
        "5",
        "--run",
        home / "run",
        "--checkpoint-every",
        "40 steps",
    )
    done["train"] = run_command("train", home / "wrapped.keras", *options, "--stop-after", "100")
    done["resume"] = server.run("resume", home / "run")
    done["strip"] = run_command(
        "strip",
        home / "run",
        "--original",
        MODEL,
        "-o",
        home / "sparse.keras",
        "-o",
        home / "sparse.tflite",
        "--data",
        DIGITS,
    )
    done["diff"] = run_command("diff", MODEL, home / "sparse.keras")
    assert before == MODEL.read_bytes()
    return home, done


def test_every_command_succeeds(story):
    _, done = story
    assert {name: answer.code for name, answer in done.items()} == dict.fromkeys(done, 0), {
        name: answer.err for name, answer in done.items()
    }


def test_a_wrapped_model_already_follows_its_rules(story):
    home, _ = story
    again = run_command("plan", home / "wrapped.keras", "-r", RULES, "--detailed-exitcode")
    assert (again.code, again.out.splitlines()[-1]) == (
        0,
        f"No changes. The model already follows {RULES}.",
    )


def test_training_stops_where_it_was_told_and_says_how_to_go_on(story):
    home, done = story
    assert (
        done["train"].out.splitlines()[-1]
        == f"stopped after step 100 of 225; go on with: graphprune resume {home}/run"
    )
    assert (
        done["resume"].out.splitlines()[0] == f"going on from {home}/run/checkpoints/step-00000080"
    )


def test_a_resumed_run_equals_one_that_was_never_interrupted(story, tmp_path):
    home, _ = story
    run_command(
        "train",
        home / "wrapped.keras",
        "--data",
        DIGITS,
        "--epochs",
        "5",
        "--run",
        tmp_path / "run",
        "--checkpoint-every",
        "40 steps",
    )
    same = run_command("diff", home / "run", tmp_path / "run", "--detailed-exitcode")
    assert (same.code, "No differences." in same.out) == (0, True)
    lines = [
        [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
        for folder in (home, tmp_path)
    ]
    assert lines[0] == lines[1]
    assert [line["epoch"] for line in lines[0]] == [1, 2, 3, 4, 5]


def test_the_result_has_exact_sparsity_and_the_old_architecture(story):
    home, _ = story
    report = json.loads(run_command("diff", MODEL, home / "sparse.keras", "--format", "json").out)
    kernels = {
        layer["address"]: tensor["zeros_after"]
        for layer in report["layers"]
        for tensor in layer["tensors"]
        if tensor["name"] == "kernel"
    }
    assert {name: kernels[name] for name in ("conv_1", "conv_2", "conv_3", "hidden")} == {
        "conv_1": 230,
        "conv_2": 7373,
        "conv_3": 7373,
        "hidden": 29491,
    }
    assert report["equal"]["graph"] is True
    assert (
        "Diff: 0 added, 0 removed, 0 renamed, 0 reconfigured, 0 wrapped, 0 unwrapped"
        in story[1]["diff"].out
    )


def test_accuracy_comes_back(story):
    home, done = story
    rows = {
        line.split()[0]: line.split() for line in done["strip"].out.splitlines() if line.strip()
    }
    before, after = (float(rows["accuracy"][index].rstrip("%")) for index in (1, 2))
    assert before > 99
    assert after > 97
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=str(home / "sparse.tflite"))
    interpreter.allocate_tensors()
    with np.load(DIGITS) as digits:
        images, labels = digits["x_test"][:100].astype(np.float32), digits["y_test"][:100]
    right = 0
    for image, label in zip(images, labels, strict=True):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        right += int(
            interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax() == label
        )
    assert right >= 95


def test_apply_and_strip_print_one_json_document(story, tmp_path):
    home, _ = story
    applied = run_command(
        "apply", MODEL, "--plan", home / "plan.json", "-o", tmp_path / "w.h5", "--format", "json"
    )
    assert (applied.code, applied.out) == (0, (home / "plan.json").read_text())
    assert applied.err.splitlines()[-3:] == [
        f"wrote {tmp_path}/w.h5",
        "no weight is pruned yet, training prunes",
        f"next: graphprune train {tmp_path}/w.h5 --data DATA --epochs N --run DIR",
    ]
    stripped = run_command(
        "strip", home / "run", "--original", MODEL, "-o", tmp_path / "s.h5", "--format", "json"
    )
    before, after = json.loads(stripped.out)
    assert [
        before["title"],
        after["title"],
        after["zeros"],
        after["parameters"],
        after["accuracy"],
    ] == ["before", "s.h5", 44468, 52394, None]
    assert after["missed_targets"] == []
    assert after["raw"] == (tmp_path / "s.h5").stat().st_size
    assert stripped.err.splitlines()[-1] == f"wrote {tmp_path}/s.h5"


def test_strip_writes_for_serving_and_keeps_the_optimizer_only_when_asked(story, tmp_path):
    from graphprune.diff.sizes import measure_sizes
    from graphprune.tf.models.loading import load_model

    names, kept = ("s.keras", "s.h5", "s"), tmp_path / "kept"
    kept.mkdir()
    for folder, options in ((tmp_path, ()), (kept, ("--keep-optimizer",))):
        outputs = [word for name in names for word in ("-o", folder / name)]
        done = run_command("strip", story[0] / "run", *outputs, *options)
        assert (done.code, done.err) == (0, "")
    for name in names:
        small, large = (measure_sizes(str(folder / name)).raw for folder in (tmp_path, kept))
        assert large > 2 * small
        if name == "s":  # exported for serving
            assert not (tmp_path / name / "keras_metadata.pb").exists()
        else:
            assert load_model(tmp_path / name).optimizer is None
        # 540 before the run, 225 in it
        assert int(load_model(kept / name).optimizer.iterations) == 765
    assert (tmp_path / "s.keras").stat().st_size <= MODEL.stat().st_size


def test_strip_of_a_model_that_was_not_trained_names_what_missed_its_target(story, tmp_path):
    wrapped = story[0] / "wrapped.keras"
    done = run_command("strip", wrapped, "-o", tmp_path / "s.keras", "--format", "json")
    assert (done.code, done.err.splitlines()) == (
        0,
        [
            (
                f"graphprune: warning: {wrapped}: stripped, and its masks were never updated, so"
                " nothing was pruned (zeros measured, of target: conv_1 kernel 0.0% of 79.9%,"
                " conv_2 kernel 0.0% of 80.0%, conv_3 kernel 0.0% of 80.0%, hidden kernel 0.0% of"
                f" 90.0%); train it first, with graphprune train {wrapped} --data DATA --epochs N"
                " --run DIR, or prune without training, with graphprune prune MODEL -r RULES"
                " -o OUT"
            ),
            f"wrote {tmp_path}/s.keras",
        ],
    )
    before, after = json.loads(done.out)
    assert before["missed_targets"] == []
    assert after["missed_targets"][0] == {
        "layer": "conv_1",
        "tensor": "kernel",
        "size": 288,
        "zeros": 0,
        "target_zeros": 230,
        "was_updated": False,
    }


def test_a_saved_model_folder_goes_the_whole_way(tmp_path):
    import tf_keras

    tf_keras.models.load_model(MODEL).save(tmp_path / "model")
    rules = tmp_path / "p.yaml"
    rules.write_text(
        "version: 1\n"
        "rules: [{id: a, match: {name: hidden}, prune: {sparsity: 90%, schedule: {curve: linear,"
        " end: 30 steps, every: 10 steps}}}]\n"
    )
    options = ("-r", rules, "--data", DIGITS, "--epochs", "1", "--run", tmp_path / "run")
    stopped = run_command("train", tmp_path / "model", *options, "--stop-after", "20")
    lost = (
        "a SavedModel does not hold steps_per_execution, jit_compile and run_eagerly; save as"
        " .keras to keep them"
    )
    assert (stopped.code, stopped.err) == (0, f"graphprune: warning: {tmp_path}/model: {lost}\n")
    assert run_command("resume", tmp_path / "run").code == 0
    kept = ("-o", tmp_path / "sparse", "--keep-optimizer")  # else it is exported for serving
    stripped = run_command("strip", tmp_path / "run", *kept)
    assert (stripped.code, stripped.err) == (0, "")
    done = run_command("diff", tmp_path / "model", tmp_path / "sparse")
    assert "zeros 0 -> 29,491" in done.out
    assert "Diff: 0 added, 0 removed, 0 renamed, 0 reconfigured, 0 wrapped, 0 unwrapped" in done.out


LATE = """version: 1
rules:
  - id: a
    match: {name: [conv_1, conv_2, conv_3, hidden]}
    prune: {sparsity: 90%, schedule: {curve: linear, end: END, every: 9 steps}}
"""


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("3 epochs", "the schedule ends at 3 epochs, the run is 1 epoch"),
        ("50 steps", "at step 50, and the run ends at step 45"),
    ],
)
def test_a_run_too_short_for_its_schedule_is_refused_before_training(end, text, tmp_path):
    (tmp_path / "late.yaml").write_text(LATE.replace("END", end))
    done = run_command(
        "train",
        MODEL,
        "-r",
        tmp_path / "late.yaml",
        "--data",
        DIGITS,
        "--epochs",
        "1",
        "--run",
        tmp_path / "run",
    )
    assert done.code == 1
    assert "error[schedule/never-reached]: rule 'a': " in done.err
    assert text in done.err
    assert f"--> {tmp_path}/late.yaml:3:5" in done.err
    assert not (tmp_path / "run").exists()


def test_a_run_too_short_for_its_schedule_that_is_allowed_warns_and_exits_3(tmp_path):
    (tmp_path / "late.yaml").write_text(LATE.replace("END", "3 epochs"))
    options = ("--data", DIGITS, "--epochs", "1", "--run", tmp_path / "run", "--allow-missed")
    done = run_command("train", MODEL, "-r", tmp_path / "late.yaml", *options)
    assert done.code == 3
    assert "schedule/never-reached" in done.err
    assert "target missed by conv_1 kernel, conv_2 kernel, conv_3 kernel, hidden kernel" in done.err


def test_a_model_of_an_older_keras_goes_the_whole_way(tmp_path):
    older = tmp_path / "older.keras"
    with zipfile.ZipFile(MODEL) as before, zipfile.ZipFile(older, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                config = json.loads(content)
                del config["config"]["layers"][0]["config"]["optional"]
                for entry in config["config"]["layers"]:
                    entry["config"].pop("groups", None)
                content = json.dumps(config).encode()
            after.writestr(name, content)
    options = ("-r", RULES, "--data", DIGITS, "--epochs", "1", "--run", tmp_path / "run")
    assert run_command("train", older, *options).code == 0
    stripped = run_command("strip", tmp_path / "run", "-o", tmp_path / "sparse.keras")
    assert (stripped.code, stripped.err) == (0, "")
    done = run_command("diff", older, tmp_path / "sparse.keras")
    assert "Diff: 0 added, 0 removed, 0 renamed, 0 reconfigured, 0 wrapped, 0 unwrapped" in done.out


def test_another_model_is_refused_with_what_differs_first(tmp_path):
    other = tmp_path / "other.keras"
    with zipfile.ZipFile(MODEL) as before, zipfile.ZipFile(other, "w") as after:
        for name in before.namelist():
            after.writestr(
                name,
                before.read(name).replace(b'"activation": "softmax"', b'"activation": "linear"'),
            )
    done = run_command("strip", MODEL, "--original", other, "-o", tmp_path / "sparse.keras")
    assert done.code == 1
    differs = f"layer 'digits' has activation 'linear' in {other} and 'softmax' in {MODEL}"
    asks = "graphprune diff shows all differences, --original names another model"
    assert (
        done.err
        == f"graphprune: {other}: is not the model that {MODEL} was pruned from: {differs};"
        f" {asks}\n"
    )
