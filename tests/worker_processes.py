"""Processes that train together on the loopback interface."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIMIT = 500
"""Seconds after which a process that hangs is ended, and its test fails."""
DYING = """
import os, signal, sys
from graphprune.runs.cluster import Cluster
from graphprune.runs.rendezvous import meet

with meet(Cluster(tuple(sys.argv[1].split(",")), 2, 240)):
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""Worker 2 of the addresses given, which is killed once all workers have come."""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


def addresses(count: int) -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


def start(command: Sequence[str], folder: Path, **variables: str) -> subprocess.Popen:
    paths = os.pathsep.join(map(str, [HERE.parent, HERE]))
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ends_of(processes: Sequence[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Return exit code, stdout and stderr of each process, which all have ended."""
    try:
        outputs = [process.communicate(timeout=LIMIT) for process in processes]
    except subprocess.TimeoutExpired:
        pytest.fail(f"a process of {[process.args for process in processes]} did not end")
    finally:
        for process in processes:
            process.kill()
    return [
        (process.returncode, out, err)
        for process, (out, err) in zip(processes, outputs, strict=True)
    ]


def run_cases(cases: str, folder: Path, count: int) -> list[dict]:
    """Return the answer of each worker that trains these cases of `worker_cases.py`."""
    cluster = addresses(count)
    script = str(HERE / "tf" / "worker_cases.py")
    ends = ends_of(
        [
            start([script, cases, str(folder), ",".join(cluster), str(rank)], folder)
            for rank in range(count)
        ]
    )
    for code, _, err in ends:
        assert code == 0, err[-4000:]
    return [json.loads(out.splitlines()[-1]) for _, out, _ in ends]


def run_commands(folder: Path, cluster: Sequence[str], *words: str) -> list[tuple[int, str, str]]:
    """Return how the same command of graphprune ended on each worker."""
    where = ["--workers", ",".join(cluster)]
    return ends_of(
        [
            start(["-m", "graphprune", *words, *where, "--rank", str(rank)], folder)
            for rank in range(len(cluster))
        ]
    )
