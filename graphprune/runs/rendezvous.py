"""The workers of a run wait for each other, before TensorFlow connects them.

TensorFlow itself waits without end or for minutes after a time that was set, cannot be interrupted
meanwhile, and does not say for whom. So each worker first says to the chief, at the address that
TensorFlow uses next, that it has come, and the chief answers all of them once they have. The
sockets stay open until TensorFlow has connected the workers: they tell which one has ended since.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from hashlib import sha256
from types import TracebackType

from graphprune.errors import TrainingError, WorkerError
from graphprune.runs.cluster import Cluster

_GO, _OTHER = b"go\n", b"other workers\n"
_PAUSE = 0.2
"""Seconds between two attempts to reach the chief."""
_LONGEST = 128
_LOST = b"lost "
_WORD = 10
"""Seconds in which the chief, where it has not ended, says which workers have."""


class Peers:
    """The workers that have come, each at the other end of a socket.

    Args:
        cluster: Their addresses.
        sockets: By rank; the chief has one to each worker, and the others have one to the chief.
    """

    def __init__(self, cluster: Cluster, sockets: Mapping[int, socket.socket]) -> None:
        self._cluster, self._sockets = cluster, dict(sockets)

    def __enter__(self) -> Peers:
        """Return the workers; their sockets are closed at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all sockets."""
        for one in self._sockets.values():
            one.close()

    def find_lost(self) -> tuple[int, ...]:
        """Return the ranks of the workers that have ended; each worker calls it.

        The chief sees it, and tells the others.
        """
        if not self._cluster.is_chief:
            return _hear_of_lost(self._sockets[0])
        lost = tuple(rank for rank, one in self._sockets.items() if _has_ended(one))
        for rank in self._sockets.keys() - set(lost):
            with suppress(OSError):  # it has ended meanwhile
                self._sockets[rank].sendall(_LOST + " ".join(map(str, lost)).encode() + b"\n")
        return lost


def _has_ended(other: socket.socket) -> bool:
    other.setblocking(False)
    try:
        return not other.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _hear_of_lost(chief: socket.socket) -> tuple[int, ...]:
    chief.settimeout(_WORD)
    try:
        said = chief.recv(_LONGEST)
    except TimeoutError:
        return ()
    except OSError:
        said = b""
    if not said.startswith(_LOST):
        return (0,)
    return tuple(int(rank) for rank in said.removeprefix(_LOST).split())


def meet(cluster: Cluster) -> Peers:
    """Return the other workers when all have come.

    Raises:
        WorkerError: one did not come in time.
        TrainingError: another worker was given other addresses, or the chief's cannot be used.
    """
    deadline = time.monotonic() + cluster.wait
    return (_gather if cluster.is_chief else _report)(cluster, deadline)


def _greeting(cluster: Cluster, rank: int) -> bytes:
    digest = sha256(",".join(cluster.workers).encode()).hexdigest()[:32]
    return f"graphprune worker {rank} of {digest}\n".encode()


def _gather(cluster: Cluster, deadline: float) -> Peers:
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
            with suppress(OSError):  # it has ended, which is seen later
                one.sendall(_GO)
        return Peers(cluster, {rank: one.dup() for one, rank in came.items()})


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


def _report(cluster: Cluster, deadline: float) -> Peers:
    """Say to the chief that this worker has come, until it answers that all have."""
    host, _, port = cluster.workers[0].rpartition(":")
    has_answered = False
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), min(left, 5.0)) as chief:
                has_answered = True
                chief.sendall(_greeting(cluster, cluster.rank))
                said = _wait_for_answer(chief, deadline)
                if said == _GO:
                    return Peers(cluster, {0: chief.dup()})
        except OSError:
            said, has_answered = b"", False
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
            said = chief.recv(len(_GO))  # what follows is for `Peers.find_lost`
        except TimeoutError:
            continue
        return said if said == _GO else said + chief.recv(_LONGEST)
    return b""


def _not_come(cluster: Cluster, missing: list[int]) -> WorkerError:
    names = ", ".join(cluster.name_of(rank) for rank in missing)
    silent = f"no answer from {names}" if names else f"{cluster.name_of(0)} waits for others too"
    return WorkerError(
        f"workers: waited {cluster.wait} s for {cluster.others()}; {silent}; start the same command"
        " on every worker, with the same addresses, or wait longer with --wait"
    )
