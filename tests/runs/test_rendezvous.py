"""Workers that wait for each other, as threads on the loopback interface."""

from __future__ import annotations

import signal
import socket
from dataclasses import replace
from threading import Barrier, Thread

from worker_processes import DYING, ends_of, start

from graphprune.errors import GraphpruneError
from graphprune.runs.cluster import Cluster
from graphprune.runs.rendezvous import meet


def make_cluster(count: int, wait: int) -> Cluster:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    workers = tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    for one in sockets:
        one.close()
    return Cluster(workers, 0, wait)


def meet_as(*clusters: Cluster) -> list[str]:
    """Return what `meet` says to each worker; nothing where all have come."""
    said = [""] * len(clusters)

    def come(place: int) -> None:
        try:
            with meet(clusters[place]):
                pass
        except GraphpruneError as fault:
            said[place] = f"{fault.exit_code} {fault}"

    threads = [Thread(target=come, args=(place,)) for place in range(len(clusters))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return said


def test_workers_meet_in_any_order_and_again():
    whole = make_cluster(4, wait=30)
    for _ in range(2):
        assert meet_as(*(replace(whole, rank=rank) for rank in (3, 0, 2, 1))) == [""] * 4


def test_strangers_and_workers_that_left_are_not_counted():
    whole = make_cluster(2, wait=30)
    chief = Thread(target=meet_as, args=(whole,))
    chief.start()
    host, port = whole.workers[0].split(":")
    for text in (b"GET / HTTP/1.1\r\n\r\n", b"", b"\xff" * 500):
        while True:
            try:
                with socket.create_connection((host, int(port)), 5) as stranger:
                    stranger.sendall(text)
                break
            except ConnectionRefusedError:
                continue  # the chief begins to listen
    assert chief.is_alive()
    assert meet_as(replace(whole, rank=1)) == [""]
    chief.join(30)
    assert not chief.is_alive()


def test_a_worker_that_does_not_come_is_named_by_the_chief():
    whole = make_cluster(3, wait=5)
    chief, second = meet_as(whole, replace(whole, rank=1))
    a, b, c = whole.workers
    rest = (
        "; start the same command on every worker, with the same addresses, or wait longer with"
        " --wait"
    )
    assert chief == (
        f"4 workers: waited 5 s for worker 1 ({b}), worker 2 ({c}); no answer from worker 2 ({c})"
        + rest
    )
    assert second.startswith(f"4 workers: waited 5 s for worker 0 ({a}), worker 2 ({c}); ")


def test_a_chief_that_does_not_come_is_named():
    whole = make_cluster(2, wait=1)
    a, _ = whole.workers
    (said,) = meet_as(replace(whole, rank=1))
    assert f"waited 1 s for worker 0 ({a}); no answer from worker 0 ({a}); start" in said


def test_workers_with_other_addresses_are_refused():
    whole = make_cluster(2, wait=3)
    a, b = whole.workers
    other = replace(whole, workers=(a, f"localhost:{b.rpartition(':')[2]}"), rank=1)
    _, second = meet_as(whole, other)
    assert second == (
        f"1 workers: worker 0 ({a}) was given other workers than worker 1 ({other.workers[1]});"
        " give each the same addresses in the same order"
    )


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        (said,) = meet_as(Cluster((f"127.0.0.1:{port}", "127.0.0.1:1"), 0, 1))
    assert said == (
        f"1 workers: worker 0 (127.0.0.1:{port}) cannot listen on port {port} (Address already in"
        " use); use a free port of this machine"
    )


def test_a_worker_that_is_killed_after_all_came_is_named_to_all_others(tmp_path):
    whole = make_cluster(3, wait=60)
    dying = start(["-c", DYING, ",".join(whole.workers)], tmp_path)
    found = {}

    def come(rank: int) -> None:
        with meet(replace(whole, rank=rank)) as peers:
            dying.wait(60)
            found[rank] = peers.find_lost()

    threads = [Thread(target=come, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ((code, _, _),) = ends_of([dying])
    assert (code, found) == (-signal.SIGKILL, {0: (2,), 1: (2,)})


def test_a_chief_that_ended_after_all_came_is_found():
    whole = make_cluster(2, wait=30)
    found = []

    def come() -> None:
        with meet(replace(whole, rank=1)) as peers:
            found.append(peers.find_lost())

    worker = Thread(target=come)
    worker.start()
    assert meet_as(whole) == [""]
    worker.join(30)
    assert found == [(0,)]


def test_nobody_is_named_where_all_are_there():
    whole = make_cluster(2, wait=30)
    found = {}

    def come(rank: int) -> None:
        with meet(replace(whole, rank=rank)) as peers:
            found[rank] = peers.find_lost()
            both.wait(30)

    both = Barrier(2)
    threads = [Thread(target=come, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {0: (), 1: ()}
