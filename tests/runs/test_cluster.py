"""The workers of a run: by options or by TF_CONFIG, refused before TensorFlow is imported."""

from __future__ import annotations

import json

import pytest

from graphprune.errors import TrainingError
from graphprune.runs.cluster import Cluster, find_cluster

TWO = ("a:2222", "b:2222")
ONE_OF = "--workers HOST:PORT,HOST:PORT and --rank NUMBER"
OR_ELSE = f"; correct it, or unset it and give {ONE_OF}"


def tf_config(workers=TWO, index=0, kind="worker", **jobs) -> dict[str, str]:
    cluster = {"worker": list(workers), **jobs}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def refused(*arguments, **more) -> str:
    with pytest.raises(TrainingError) as caught:
        find_cluster(*arguments, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("workers", "rank", "environment"),
    [
        (TWO, 1, {}),
        (None, None, tf_config(index=1)),
        (None, None, tf_config(index="1")),
        (TWO, 1, tf_config(index=1)),
    ],
)
def test_options_and_the_variable_name_the_same_cluster(workers, rank, environment):
    assert find_cluster("multiworker", workers, rank, environment) == Cluster(TWO, 1)


def test_addresses_may_be_of_ip_version_6():
    workers = ("[::1]:2222", "[fe80::1]:2222")
    assert find_cluster("multiworker", workers, 0, {}).name_of(1) == "worker 1 ([fe80::1]:2222)"


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}])
def test_a_run_on_one_machine_has_no_cluster(environment):
    assert find_cluster("mirrored:2", None, None, environment) is None


def test_a_cluster_of_one_task_is_one_machine():
    assert find_cluster("none", None, None, tf_config(["a:1"])) is None


@pytest.mark.parametrize(
    ("workers", "rank", "environment", "text"),
    [
        (
            None,
            None,
            {},
            f"strategy: multiworker needs the workers; give {ONE_OF}, or set TF_CONFIG",
        ),
        (TWO, None, {}, f"workers: given without rank; give both, {ONE_OF}"),
        (None, 1, {}, f"rank: given without workers; give both, {ONE_OF}"),
        (
            TWO,
            2,
            {},
            "rank: must be from 0 to 1 for 2 workers, got 2; give each worker its place in"
            " --workers",
        ),
        (
            TWO,
            0,
            tf_config(index=1),
            "workers: TF_CONFIG names worker 1 of a:2222, b:2222, and --workers and --rank name"
            " worker 0 of a:2222, b:2222; unset TF_CONFIG, or leave both options out",
        ),
        (None, None, {"TF_CONFIG": "{"}, f"TF_CONFIG: not valid JSON, got '{{'{OR_ELSE}"),
        (
            None,
            None,
            {"TF_CONFIG": "[1]"},
            "TF_CONFIG: must be a JSON object with the keys cluster and task, got '[1]'" + OR_ELSE,
        ),
        (
            None,
            None,
            tf_config(ps=["c:1"], chief=["d:1"]),
            "TF_CONFIG: names tasks of the type chief, ps; a run has workers alone, and the first"
            " of them is the chief" + OR_ELSE,
        ),
        (
            None,
            None,
            tf_config(index=2),
            "TF_CONFIG: the task's index must be from 0 to 1 for 2 workers, got 2" + OR_ELSE,
        ),
        (
            None,
            None,
            tf_config(kind="evaluator"),
            "TF_CONFIG: task must be an object with the type worker and an index, got"
            " {'type': 'evaluator', 'index': 0}" + OR_ELSE,
        ),
        (
            None,
            None,
            tf_config(["a:1"]),
            "TF_CONFIG: its workers must name at least 2 workers; write for example"
            " 'node-a:2222,node-b:2222'",
        ),
        (
            None,
            None,
            tf_config(["a:1", "b:99999"]),
            "TF_CONFIG: its workers must be HOST:PORT with a port from 1 to 65535, not 'b:99999';"
            " write for example 'node-a:2222,node-b:2222'",
        ),
    ],
)
def test_a_wrong_cluster_is_refused(workers, rank, environment, text):
    assert refused("multiworker", workers, rank, environment) == text


def test_a_cluster_for_another_strategy_is_refused():
    assert refused("none", TWO, 0, {}) == (
        "workers: given with the strategy none; add --strategy multiworker, or leave the workers"
        " out"
    )
    assert refused("mirrored", None, None, tf_config()) == (
        "TF_CONFIG: names a cluster of 2 tasks, and the strategy mirrored trains on one machine;"
        " add --strategy multiworker, or unset it"
    )
