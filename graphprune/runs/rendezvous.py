"""The workers of a run wait for each other, before TensorFlow connects them.

TensorFlow itself waits without end or for minutes after a time that was set, cannot be interrupted
meanwhile, and does not say for whom. So each worker first says to the chief, at the address that
TensorFlow uses next, that it has come, and the chief answers all of them once they have.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from contextlib import ExitStack, suppress
from hashlib import sha256

from graphprune.errors import TrainingError, WorkerError
from graphprune.runs.cluster import Cluster

_GO, _OTHER = b"go\n", b"other workers\n"
_PAUSE = 0.2
"""Seconds between two attempts to reach the chief."""
_LONGEST = 128


def meet(cluster: Cluster) -> None:
    """Return when all workers have come.

    Raises:
        WorkerError: one did not come in time.
        TrainingError: another worker was given other addresses, or the chief's cannot be used.
    """
    deadline = time.monotonic() + cluster.wait
    if cluster.is_chief:
        _gather(cluster, deadline)
    else:
        _report(cluster, deadline)


def _greeting(cluster: Cluster, rank: int) -> bytes:
    digest = sha256(",".join(cluster.workers).encode()).hexdigest()[:32]
    return f"graphprune worker {rank} of {digest}\n".encode()


def _gather(cluster: Cluster, deadline: float) -> None:
    """Wait for all others, and tell them."""
    awaited = {_greeting(cluster, rank): rank for rank in range(1, len(cluster.workers))}
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        server = stack.enter_context(_listen(cluster))
        selector.register(server, selectors.EVENT_READ)
        came: dict[socket.socket, int] = {}
        while len(came) < len(awaited):
            left = deadline - time.monotonic()
            if left <= 0:
                missing = [rank for rank in awaited.values() if rank not in came.values()]
                raise _not_come(cluster, missing)
            for key, _ in selector.select(min(left, 1.0)):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if one is server:
                    other = stack.enter_context(server.accept()[0])
                    other.settimeout(1.0)
                    selector.register(other, selectors.EVENT_READ)
                    continue
                rank = _hear(one, awaited, is_known=one in came)
                if rank is not None:
                    came = {sock: had for sock, had in came.items() if had != rank} | {one: rank}
                    continue
                came.pop(one, None)
                selector.unregister(one)
                one.close()
        for one in came:
            with suppress(OSError):  # TensorFlow will say that it is gone
                one.sendall(_GO)


def _hear(other: socket.socket, awaited: dict[bytes, int], *, is_known: bool) -> int | None:
    """Return the rank of a worker that has come; None where it left, or is no worker."""
    try:
        said = other.recv(_LONGEST)
    except OSError:
        return None
    if said and not is_known and said not in awaited and said.startswith(b"graphprune worker "):
        with suppress(OSError):
            other.sendall(_OTHER)
    return None if is_known else awaited.get(said)


def _listen(cluster: Cluster) -> socket.socket:
    port = int(cluster.workers[0].rpartition(":")[2])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as fault:
        raise TrainingError(
            f"workers: {cluster.name_of(0)} cannot listen on port {port}"
            f" ({os.strerror(fault.errno or 0)}); use a free port of this machine"
        ) from fault


def _report(cluster: Cluster, deadline: float) -> None:
    """Say to the chief that this worker has come, until it answers that all have."""
    host, _, port = cluster.workers[0].rpartition(":")
    has_answered = False
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), min(left, 5.0)) as chief:
                has_answered = True
                chief.sendall(_greeting(cluster, cluster.rank))
                said = _wait_for_answer(chief, deadline)
        except OSError:
            said, has_answered = b"", False
        if said == _GO:
            return
        if said == _OTHER:
            raise TrainingError(
                f"workers: {cluster.name_of(0)} was given other workers than"
                f" {cluster.name_of(cluster.rank)}; give each the same addresses in the same order"
            )
        time.sleep(_PAUSE)
    raise _not_come(cluster, [] if has_answered else [0])


def _wait_for_answer(chief: socket.socket, deadline: float) -> bytes:
    """Return what the chief says; nothing where it leaves, or time is over."""
    chief.settimeout(1.0)
    while time.monotonic() < deadline:
        try:
            return chief.recv(_LONGEST)
        except TimeoutError:
            continue
    return b""


def _not_come(cluster: Cluster, missing: list[int]) -> WorkerError:
    names = ", ".join(cluster.name_of(rank) for rank in missing)
    silent = f"no answer from {names}" if names else f"{cluster.name_of(0)} waits for others too"
    return WorkerError(
        f"workers: waited {cluster.wait} s for {cluster.others()}; {silent}; start the same command"
        " on every worker, with the same addresses, or wait longer with --wait"
    )
