"""Runs that are killed and stopped at hundreds of moments end as if nothing had happened, bit for
bit.

    pytest tests/soak --slow -s
        100 kills, 300 signals and all kinds of damage; about half an hour on two cores
    pytest tests/soak --slow -s --soak-kills 10 --soak-signals 20
        a short one
"""

import itertools
import math
import random
from collections import Counter

import pytest
from fork_server import KERAS3, ForkServer

pytestmark = [pytest.mark.slow, pytest.mark.tf, pytest.mark.timeout(0)]


@pytest.fixture(scope="module")
def keras3_server(tmp_path_factory):
    with ForkServer(tmp_path_factory.mktemp("keras3-server"), KERAS3) as server:
        yield server


def interrupt_all(server, folder, request, kinds, break_off):
    """Interrupt runs of all formats and optimizers at so many moments of each kind; return how
    often what happened.
    """
    from interrupted_runs import OPTIMIZERS, SUFFIXES, build_soak, spread

    rng = random.Random(request.config.getoption("--soak-seed"))
    chains = spread(kinds, rng)
    pairs = itertools.product(OPTIMIZERS, SUFFIXES)
    made = [
        build_soak(server, folder / f"{name}{suffix}", suffix, name, rng)
        for (name, suffix), _ in zip(pairs, chains, strict=False)
    ]
    return interrupt_each(made, chains, break_off)


def interrupt_each(made, chains, break_off):
    """Interrupt each of these runs in turn at the moments of the next chain."""
    for soak, chain in zip(itertools.cycle(made), chains, strict=False):
        soak.interrupt(chain, break_off)
    seen = sum((soak.seen for soak in made), Counter())
    print("", *(f"{count:>5} {what}" for what, count in seen.items()), sep="\n")
    return seen


def kinds_of_kills(count):
    """Return how many of the kills come within the write of a checkpoint and the final save."""
    inside, final = math.ceil(count * 0.3), math.ceil(count * 0.15)
    return {"random": count - inside - final, "checkpoint": inside, "final": final}


def test_killed_runs_end_as_if_nothing_had_happened(server, tmp_path, request):
    from interrupted_runs import kill

    count = request.config.getoption("--soak-kills")
    seen = interrupt_all(server, tmp_path, request, kinds_of_kills(count), kill)
    assert seen["kills"] == count
    assert seen["kills within the write of a checkpoint"] >= count * 0.2
    assert seen["kills within the final save"] >= count * 0.1


def test_killed_runs_of_keras_3_end_as_if_nothing_had_happened(keras3_server, tmp_path, request):
    from interrupted_runs import build_keras3_soak, kill, spread

    count = math.ceil(request.config.getoption("--soak-kills") / 4)
    rng = random.Random(request.config.getoption("--soak-seed"))
    chains = spread(kinds_of_kills(count), rng)
    made = [
        build_keras3_soak(keras3_server, tmp_path / name, name, rng) for name in ("adam", "nadam")
    ]
    seen = interrupt_each(made, chains, kill)
    assert seen["kills"] == count
    assert seen["kills within the write of a checkpoint"] >= count * 0.1


def test_signals_end_a_run_with_one_line_and_it_goes_on(server, tmp_path, request):
    from interrupted_runs import send_signal

    count = request.config.getoption("--soak-signals")
    anew = math.ceil(count * 0.2)
    seen = interrupt_all(
        server, tmp_path, request, {"forked": count - anew, "anew": anew}, send_signal
    )
    assert seen["signals"] == count
    assert seen["signals that saved a checkpoint"] >= count * 0.1


def test_damaged_runs_go_on_to_the_same_bits_or_say_why(server, tmp_path):
    from interrupted_runs import build_damaged
    from runs.damage import TABLE

    made = build_damaged(server, tmp_path)
    seen = Counter(made.check(damage) for damage in TABLE)
    print("", *(f"{count:>5} {what}" for what, count in seen.items()), sep="\n")
    assert sum(seen.values()) == len(TABLE) >= 40
