"""Runs on several workers, each a process of its own on the loopback interface."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from run_builders import BATCH, EPOCHS, TOTAL, build_setting, everything, ramp, wrap, write_data
from tf_keras import layers
from worker_processes import DYING, addresses, ends_of, run_cases, run_commands, start

from graphprune.engine.shares import Share
from graphprune.errors import EXIT_WORKER, WorkerError
from graphprune.tf.models.saving import save_model
from graphprune.tf.training.shares import own_parts
from graphprune.tf.training.workers import lost_as_error
from graphprune.training import train

pytestmark = pytest.mark.tf

TRAIN = [
    *("train", "plain.keras", "--data", "data.npz", "--epochs", str(EPOCHS), "--seed", "11"),
    *("--batch-size", str(BATCH), "--checkpoint-every", "3 steps", "--run", "runs/a"),
    *("--strategy", "multiworker"),
]
KILL = ("--callbacks", "worker_callback:make")


def build_plain() -> tf_keras.Model:
    """Return a small classifier without anything random."""
    tf_keras.utils.set_random_seed(3)
    stack = [
        layers.Flatten(input_shape=(4, 4, 1)),
        layers.Dense(8, activation="relu", name="fc"),
        layers.Dense(3, activation="softmax", name="predictions"),
    ]
    model = tf_keras.Sequential(stack, name="net")
    loss = "sparse_categorical_crossentropy"
    model.compile(tf_keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return wrap(model, fc=ramp())


def prepare(folder: Path) -> Path:
    save_model(build_plain(), folder / "plain.keras")
    write_data(folder / "data.npz")
    return folder


def check_equals_one_process(
    folder: Path, run: Path, data: str, batch_size: int | None, **more
) -> None:
    """Fail unless a run equals one process at the same global batch, within reassociation."""
    one = train(
        str(folder / "plain.keras"),
        None,
        data,
        folder / f"one-{run.name}",
        epochs=EPOCHS,
        batch_size=batch_size,
        seed=11,
        **more,
    )
    first, second = everything(one.model), everything(run / "model.keras")
    for name, array in first.items():
        if "mask" in name:
            np.testing.assert_array_equal(second[name], array, err_msg=name)
        np.testing.assert_allclose(second[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
    lines = [(path / "metrics.jsonl").read_text().splitlines() for path in (one.run_dir, run)]
    assert len(lines[1]) == EPOCHS
    for a, b in zip(*(map(json.loads, part) for part in lines), strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose(list(b.values()), list(a.values()), rtol=1e-4)


def test_two_workers_cut_and_resumed_equal_one_process_and_only_the_chief_writes(tmp_path):
    first, second = (found["plain"] for found in run_cases("plain", prepare(tmp_path), 2))
    assert first == second
    assert first["cut"] == {"status": "interrupted", "step": 7}
    end = first["end"]
    assert (end["status"], end["step"], end["from"]) == ("finished", TOTAL, "step-00000006")
    assert end["count"] == "1"
    run = tmp_path / "plain"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "plain", "plain.keras"]
    assert json.loads((run / "run.json").read_text())["strategy"] == "multiworker:2x1"
    check_equals_one_process(tmp_path, run, str(tmp_path / "data.npz"), BATCH)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "Collective ops is aborted by: recvmsg:Connection reset by peer\nAdditional GRPC error"
            " information from remote target /job:worker/replica:0/task:1 while calling /tensor",
            "worker 1 (b:2)",
        ),
        (
            "{{function_node device_/job:worker/replica:0/task:0/device:CPU:0}} Collective ops is"
            " aborted by: Error reported from /job:worker/task:1: The following tasks are unhealthy"
            " (stopped sending heartbeats):\n/job:worker/replica:0/task:1\nThe tasks have crashed.",
            "worker 1 (b:2)",
        ),
        ("Collective ops is aborted by: something else", "another worker"),
    ],
)
def test_the_worker_that_was_lost_is_named(text, name):
    jobs = SimpleNamespace(job_tasks=lambda job: ["a:1", "b:2"])
    strategy = SimpleNamespace(cluster_resolver=SimpleNamespace(cluster_spec=lambda: jobs))
    with pytest.raises(WorkerError) as caught, lost_as_error(strategy, "runs/a"):
        raise tf.errors.UnavailableError(None, None, text)
    assert str(caught.value) == (
        f"runs/a: lost {name}: it ended or cannot be reached, and its output says why; checkpoints"
        " are intact, continue with graphprune resume on every worker"
    )


def test_an_error_of_the_data_is_no_lost_worker():
    strategy = SimpleNamespace(cluster_resolver=SimpleNamespace())
    with pytest.raises(tf.errors.UnavailableError), lost_as_error(strategy):
        raise tf.errors.UnavailableError(None, None, "the disk of the data is gone")


@pytest.mark.parametrize(
    ("is_even", "sizes"), [(True, [2, 2, 2, 2, 1, 1, 1, 1]), (False, [2] * 4 + [1, 2, 1, 2])]
)
def test_replicas_of_all_workers_take_the_parts_of_a_batch_in_order(is_even, sizes):
    batches = tf.data.Dataset.range(14).map(lambda one: (one, one + 100)).batch(8)
    parts = [
        list(own_parts(batches, Share(rank, workers=2, replicas=4), is_even=is_even))
        for rank in range(2)
    ]
    in_order = parts[0][:2] + parts[1][:2] + parts[0][2:] + parts[1][2:]
    assert [len(x) for x, _ in in_order] == sizes
    whole = np.concatenate([x.numpy() for x, _ in in_order])
    assert whole.tolist() == [*range(8), *range(8, 12 if is_even else 14)]
    assert all((y.numpy() == x.numpy() + 100).all() for x, y in in_order)


@pytest.fixture(scope="module")
def workers(tmp_path_factory) -> tuple[Path, list[dict]]:
    """What two workers saw of all other cases."""
    folder = prepare(tmp_path_factory.mktemp("workers"))
    build_setting(folder)
    for rank in range(2):
        arrays = dict(np.load(folder / "data.npz"))
        arrays["x_train"][0] += rank
        np.savez(folder / f"data-{rank}.npz", **arrays)
    found = run_cases("whole,kinds,stopped,summed,refusals,tried", folder, 2)
    return folder, found


@pytest.mark.slow
def test_all_workers_hold_the_same_masks_and_weights(workers):
    _, (first, second) = workers
    for name in ("whole", "kinds", "stopped"):
        assert first[name] == second[name], name


@pytest.mark.slow
def test_a_run_cut_within_an_epoch_equals_one_that_was_not(workers):
    """Dropout, batch statistics and sums of metrics are those of each worker."""
    folder, (first, _) = workers
    case = first["whole"]
    assert case["resumed"].pop("from") == "step-00000006"
    assert case["resumed"] == case["whole"]
    a, b = (everything(folder / name / "model.keras") for name in ("whole", "cut"))
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)
    texts = [(folder / name / "metrics.jsonl").read_text() for name in ("whole", "cut")]
    assert texts[0] == texts[1]
    assert (folder / "cut" / "best.keras").exists()
    assert len(list((folder / "cut" / "tensorboard" / "train").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shared", "numbered"])
def test_batches_of_functions_are_shared_as_in_one_process(workers, name, monkeypatch):
    folder, (first, _) = workers
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert first["kinds"][name]["status"] == "finished"
    check_equals_one_process(folder, folder / name, f"worker_data:{name}", None)


@pytest.mark.slow
def test_own_batches_of_each_worker_make_the_global_batch(workers, monkeypatch):
    """Every second sample each: in sum the batches that `numbered` has."""
    folder, (first, _) = workers
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert first["kinds"]["own"]["masks"] == first["kinds"]["numbered"]["masks"]
    shutil.copytree(folder / "own", folder / "own-again")
    check_equals_one_process(folder, folder / "own-again", "worker_data:numbered", None)


@pytest.mark.slow
def test_workers_accumulate_gradients_and_go_on_between_two_updates(workers):
    folder, (first, second) = workers
    assert first["summed"] == second["summed"]
    assert first["summed"]["from"] == "step-00000003"
    data = str(folder / "data.npz")
    check_equals_one_process(folder, folder / "summed", data, BATCH, gradient_accumulation=2)


@pytest.mark.slow
def test_all_workers_stop_where_one_was_asked_to(workers):
    _, (first, _) = workers
    assert first["stopped"]["status"] == "interrupted"
    assert first["stopped"]["step"] < TOTAL
    assert first["stopped"]["end"]["status"] == "finished"


@pytest.mark.slow
def test_what_workers_cannot_share_is_refused_before_training(workers):
    folder, (first, second) = workers
    assert first["refusals"] == second["refusals"]
    texts = [text.split("; ")[0].replace(str(folder), "DIR") for text in first["refusals"]]
    differs = [text.split(") in its ")[1] for text in texts[:2]]
    assert differs == ["seed", "data"]
    assert texts[2:] == [
        "DIR/data.npz: 2 replicas share a batch equally, got a batch size of 7",
        "worker_data:by_file: has the auto-shard policy FILE, under which a resumed run could not"
        " find its place",
        "worker_data:odd: has batches of 7 samples, which 2 replicas cannot share equally",
        "worker_data:first_odd: has batches of 7 samples, which 2 replicas cannot share equally",
    ]
    assert not (folder / "no").exists()


def lost(rank: int, cluster: list[str]) -> str:
    return (
        f"graphprune: runs/a: lost worker {rank} ({cluster[rank]}): it ended or cannot be reached"
    )


def check_killed(folder: Path, count: int, rank: int) -> None:
    """Kill one of the workers in the middle, and go on with all of them."""
    prepare(folder)
    arrays = dict(np.load(folder / "data.npz"))
    whole = len(arrays["x_train"]) // count * count  # what one process uses, too
    np.savez(folder / "data.npz", **{k: v[:whole] for k, v in arrays.items()})
    (folder / "kill").write_text(f"{rank} SIGKILL")
    cluster = addresses(count)
    ends = run_commands(folder, cluster, *TRAIN, *KILL)
    for place, (code, _, err) in enumerate(ends):
        if place == rank:
            assert code == -9
            continue
        assert code == EXIT_WORKER, err
        told = err.splitlines()[-1]
        assert told.startswith("graphprune: runs/a: lost "), err
        assert "Traceback" not in err
    assert any(lost(rank, cluster) in err for _, _, err in ends)
    again = run_commands(folder, addresses(count), "resume", "runs/a", "--trust-run")
    assert [code for code, _, _ in again] == [0] * count, again
    # a chief that is killed may be writing the checkpoint of step 6
    assert "going on from runs/a/checkpoints/step-0000000" in again[0][1]
    assert all("epoch" not in out for _, out, _ in again[1:])
    masks = {(folder / f"masks-{place}").read_text() for place in range(count)}
    assert len(masks) == 1
    check_equals_one_process(folder, folder / "runs" / "a", str(folder / "data.npz"), BATCH)


@pytest.mark.slow
def test_a_dry_run_and_a_measurement_write_nothing(workers):
    _, (first, second) = workers
    assert first["tried"] == second["tried"] == {"checked": "checked", "evaluated": "evaluated"}


@pytest.mark.slow
def test_all_workers_resume_from_the_checkpoint_of_the_chief(tmp_path):
    """A worker whose folder is not the shared one is named, and nothing is trained."""
    run_cases("cut", prepare(tmp_path), 2)
    shutil.copytree(tmp_path / "plain", tmp_path / "copy-1")
    shutil.rmtree(tmp_path / "copy-1" / "checkpoints" / "step-00000006")
    first, second = (
        found["different_folders"] for found in run_cases("different_folders", tmp_path, 2)
    )
    assert re.fullmatch(
        r".*plain: worker 1 \(127\.0\.0\.1:\d+\) does not have the checkpoint of step 6 that"
        r" worker 0 \(127\.0\.0\.1:\d+\) goes on from; give all workers the same run"
        r" folder, on storage that they share",
        first,
    )
    assert second == first.replace("plain", "copy-1")


@pytest.mark.slow
def test_batches_may_come_from_a_tf_data_service(tmp_path):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    server = service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
    (prepare(tmp_path) / "service").write_text(dispatcher.target)
    first, second = (found["service"] for found in run_cases("service", tmp_path, 2))
    assert (first["status"], first["step"]) == ("finished", TOTAL)
    assert first == second
    del server


@pytest.mark.slow
def test_sigterm_at_one_worker_stops_all_with_a_checkpoint(tmp_path):
    prepare(tmp_path)
    (tmp_path / "kill").write_text("1 SIGTERM")
    ends = run_commands(tmp_path, addresses(2), *TRAIN, *KILL)
    assert [code for code, _, _ in ends] == [EXIT_WORKER, 143], ends
    (step,) = set(re.findall(r"stopped after step (\d+)", "".join(err for _, _, err in ends)))
    assert (tmp_path / "runs" / "a" / "checkpoints" / f"step-{int(step):08}").is_dir()
    assert "another worker was asked to stop" in ends[0][2]


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_of_four_which_then_goes_on(tmp_path):
    check_killed(tmp_path, 4, 2)


@pytest.mark.slow
def test_a_killed_chief_ends_the_run_of_two_which_then_goes_on(tmp_path):
    check_killed(tmp_path, 2, 0)


SHORT = """
import sys
from graphprune.cli.main import main
from graphprune.tf.training import workers

workers._CONNECT = 10
main()
"""
"""The command line, which waits only seconds for TensorFlow to connect the workers."""


@pytest.mark.slow
def test_a_worker_that_is_killed_before_tensorflow_connects_ends_the_others(tmp_path):
    """Workers that TensorFlow had connected already waited an hour for it."""
    cluster = addresses(3)
    whole, folder = ["--workers", ",".join(cluster)], prepare(tmp_path)
    words = [["-c", SHORT, *TRAIN, *whole, "--rank", str(rank)] for rank in (0, 1)]
    ends = ends_of([start(one, folder) for one in (["-c", DYING, whole[1]], *words)])
    assert [code for code, _, _ in ends] == [-9, EXIT_WORKER, EXIT_WORKER], ends
    assert {err.splitlines()[-1] for _, _, err in ends[1:]} == {
        f"graphprune: workers: lost worker 2 ({cluster[2]}) before TensorFlow had connected all"
        " workers; its output says why; start the same command on every worker again"
    }
    assert not (folder / "runs").exists()


@pytest.mark.slow
def test_a_worker_that_never_comes_is_waited_for_a_time(tmp_path):
    prepare(tmp_path)
    cluster = addresses(2)
    config = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": 0}}
    command = ["-m", "graphprune", *TRAIN, "--wait", "5", "--format", "json"]
    ((code, out, _),) = ends_of([start(command, tmp_path, TF_CONFIG=json.dumps(config))])
    assert code == EXIT_WORKER
    events = [json.loads(line) for line in out.splitlines()]
    assert {"event": "worker", "rank": 0, "workers": cluster, "wait": 5} in events
    (told,) = events[-1]["diagnostics"]
    assert told["slug"] == "training/worker-lost"
    assert told["message"] == (
        f"workers: waited 5 s for worker 1 ({cluster[1]}); no answer from worker 1"
        f" ({cluster[1]}); start the same command on every worker, with the same addresses, or wait"
        " longer with --wait"
    )
    assert not (tmp_path / "runs").exists()
