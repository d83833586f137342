"""Training on several replicas, held against the algorithm in plain NumPy: every replica has its
weights, masks and step counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference_training import BATCH, BATCHES, Reference, X, Y
from run_builders import TOTAL
from tf_zoo import pruning
from worker_processes import addresses

from graphprune.sparsity.counts import kept_count

pytestmark = [pytest.mark.tf, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("distributed_cases.py")
LIMIT = (
    500  # seconds; a process that hangs is ended, and the test that asked for it fails by its name
)


def start(*arguments: str, **variables: str) -> subprocess.Popen:
    paths = os.pathsep.join([str(SCRIPT.parents[2]), str(SCRIPT.parents[1])])
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        **variables,
    }
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def answers_of(processes: list[subprocess.Popen]) -> list[dict]:
    try:
        outputs = [process.communicate(timeout=LIMIT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, err) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, err[-4000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in outputs]


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory) -> dict:
    return answers_of([start("mirrored", str(tmp_path_factory.mktemp("mirrored")))])[0]


def check_equal(case: dict, replicas: int, look_every: int = 1, batches=BATCHES) -> Reference:
    reference = Reference(case["start"], pruning("kernel", end=11, every=3), look_every=look_every)
    reference.train(batches)
    assert len(case["replicas"]) == replicas
    for replica in case["replicas"]:
        assert replica["masks"] == [mask.tolist() for mask in reference.masks]
        assert replica["steps"] == [[reference.step, reference.last_update]] * 2
        assert replica["weights"] == case["replicas"][0]["weights"]
        for weight, expected in zip(replica["weights"], reference.weights, strict=True):
            np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-5)
            np.testing.assert_array_equal(np.equal(weight, 0), expected == 0)
    return reference


@pytest.mark.parametrize(
    ("case", "look_every"),
    [("fit", 1), ("steps_per_execution", 8), ("saved_and_resumed", 1), ("custom_loop", 1)],
)
def test_mirrored_replicas_equal_the_reference(mirrored, case, look_every):
    check_equal(mirrored[case], 2, look_every)


@pytest.mark.parametrize("case", ["accumulated", "accumulated_scaled"])
def test_mirrored_replicas_accumulate_the_gradients_of_several_batches(mirrored, case):
    batches = [(X[at : at + 3 * BATCH], Y[at : at + 3 * BATCH]) for at in range(0, len(X), 12)]
    check_equal(mirrored[case], 2, batches=batches)


def test_a_stripped_copy_of_a_mirrored_model_is_mirrored_and_keeps_its_optimizer(mirrored):
    case = mirrored["saved_and_resumed"]
    assert case["stripped"] == case["replicas"][0]["weights"]
    assert (case["updates"], case["copies"]) == (len(BATCHES), 2)


def test_mirrored_mixed_precision_reaches_its_target_though_steps_are_skipped(mirrored):
    case = mirrored["mixed_precision"]
    assert case["scale"] < 2.0**20, "steps were skipped"
    assert case["replicas"][0] == case["replicas"][1]
    assert case["replicas"][0]["steps"] == [[12, 11]] * 2
    assert [np.count_nonzero(case["replicas"][0]["weights"][at]) for at in (0, 2)] == [
        kept_count(30, 0.75),
        kept_count(10, 0.75),
    ]


def test_masks_are_not_chosen_inside_of_a_step_nor_under_other_strategies(mirrored):
    text = (
        "on_step was called inside of strategy.run or of a tf.function; call it after the step, in"
        " the Python loop around it"
    )
    assert mirrored["custom_loop"]["refused"] == [text, text]
    assert (
        mirrored["other_strategy"]
        == "small: made under CentralStorageStrategy, where pruning is not supported; "
        "train it under MirroredStrategy, MultiWorkerMirroredStrategy or OneDeviceStrategy"
    )


def test_a_mirrored_run_that_was_interrupted_equals_one_that_was_not_bit_for_bit(mirrored):
    case = mirrored["run_folder"]
    assert case["codes"] == [0, 0], case["errors"]
    assert case["going_on"]
    assert case["metrics"][0] == case["metrics"][1]
    assert (case["steps"], case["missed"]) == (TOTAL, 0)


def test_replicas_share_every_batch_equally(mirrored):
    case = mirrored["shared_batches"]
    assert case["steps"] == 4
    assert [[len(share) for share in shares] for shares in case["shares"]] == [
        [4, 4],
        [4, 4],
        [4, 4],
        [3, 3],
    ] * 2
    assert [sample for shares in case["shares"] for share in shares for sample in share] == [
        *case["orders"][0],
        *case["orders"][1],
    ]
    assert all(len(set(order)) == 30 for order in case["orders"])


def test_what_a_run_cannot_be_spread_over_is_refused(mirrored):
    known = "available: none, mirrored, mirrored:N, such as mirrored:2, and multiworker"
    assert mirrored["refusals"] == [
        f"strategy: got 'mirror'; closest: 'mirrored'; {known}",
        f"strategy: got 'mirrored:0'; closest: 'mirrored'; {known}",
        (
            "strategy: mirrored:3 needs 3 devices, and TensorFlow is in use already, with 2; ask"
            " for it in a process that has not used TensorFlow"
        ),
        (
            "FILE: 2 replicas share a batch equally, got a batch size of 1; take a multiple of 2,"
            " such as 2"
        ),
        (
            "FILE: 2 replicas share a batch equally, got a batch size of 7; take a multiple of 2,"
            " such as 6"
        ),
        "FILE: x_train has 31 samples, too few for 40 replicas; take fewer",
    ]


def test_two_workers_equal_the_reference():
    workers = addresses(2)
    tasks = [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
        for index in range(2)
    ]
    first, second = answers_of([start("workers", TF_CONFIG=task) for task in tasks])
    assert first["replicas"] == second["replicas"] == 2
    check_equal(first["fit"], 1)
    assert second == first
