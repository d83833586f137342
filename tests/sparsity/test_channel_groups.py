"""Groups of channels against a slow reference: places, scores, masks and counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphprune.sparsity.channel_groups import (
    MAX_CHANNELS,
    Coupling,
    choose_channels,
    couplings_at,
    has_channels_alike,
    zeros_in_channels,
)
from graphprune.sparsity.counts import kept_count, zero_count
from graphprune.sparsity.patterns import Channel
from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule

LEAD = Coupling("conv/out", "kernel", 1, 6, "norm")


@st.composite
def placed(draw):
    """Places of some of six channels along an axis of length 24, each place once."""
    free = draw(st.permutations(range(24)))
    counts = draw(st.lists(st.integers(0, 4), min_size=6, max_size=6).filter(any))
    found, taken = {}, 0
    for channel, count in enumerate(counts):
        if count:
            found[channel] = free[taken : taken + count]
            taken += count
    return found


@given(placed())
def test_couplings_have_exactly_the_places_that_they_were_made_for(places):
    found = {}
    for coupling in couplings_at(LEAD, places):
        for channel, row in enumerate(coupling.places.tolist(), coupling.first):
            found.setdefault(channel, []).extend(row)
    assert {channel: sorted(row) for channel, row in found.items()} == {
        channel: sorted(row) for channel, row in places.items()
    }


@given(placed(), st.sets(st.integers(0, 5)))
def test_a_mask_is_false_at_the_places_of_the_channels_that_go(places, gone):
    kept = np.array([channel not in gone for channel in range(6)])
    mask = np.ones((2, 24), bool)
    mask[0, 0] = False
    expected = mask.copy()
    for channel, row in places.items():
        expected[:, list(row)] = kept[channel]
    for coupling in couplings_at(LEAD, places):
        mask = coupling.with_channels(mask, kept)
    np.testing.assert_array_equal(mask, expected)


@given(placed(), st.sampled_from([0.0, 0.2, 0.5, 0.9]))
def test_zeros_are_the_fewest_that_the_share_can_make(places, share):
    counts = sorted(len(places.get(channel, ())) for channel in range(6))
    couplings = couplings_at(LEAD, places)
    assert zeros_in_channels(couplings, (3, 24), share) == 3 * sum(counts[: zero_count(6, share)])
    assert has_channels_alike(couplings) == (len(set(counts)) == 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_score_is_the_sum_of_squares_over_all_tensors_or_the_mean_of_one(dtype):
    random = np.random.default_rng(3)
    kernel = random.normal(size=(3, 3, 4, 6)).astype(dtype)
    gamma = random.normal(size=6).astype(dtype)
    gates = random.normal(size=(5, 24)).astype(dtype)
    couplings = [
        (Coupling("conv/out", "kernel", 3, 6, "norm"), kernel),
        (Coupling("conv/out", "gamma", 0, 6, "norm"), gamma),
        (Coupling("conv/out", "gates", 1, 6, "norm", repeat=4, stride=6), gates),
        (Coupling("conv/out", "moving_mean", 0, 6, "none"), np.full(6, np.nan)),
    ]
    scores = [
        float(
            np.square(kernel[..., k].astype(float)).sum()
            + float(gamma[k]) ** 2
            + np.square(gates[:, k::6].astype(float)).sum()
        )
        for k in range(6)
    ]
    kept, smallest = choose_channels(couplings, 6, 0.5)
    assert set(np.flatnonzero(kept)) == set(np.argsort(scores)[3:])
    assert smallest == pytest.approx(sorted(scores)[3])
    mean = Coupling("conv/out", "gates", 1, 6, "mean", repeat=4, stride=6).scores(gates)
    np.testing.assert_allclose(
        mean, [np.abs(gates[:, k::6].astype(float)).mean() for k in range(6)], rtol=1e-6
    )


def test_equal_scores_keep_the_first_channels_and_a_nan_is_kept():
    coupling = Coupling("a/out", "kernel", 0, 5, "norm")
    kept, _ = choose_channels([(coupling, np.ones(5))], 5, 0.6)
    assert kept.tolist() == [True, True, False, False, False]
    kept, _ = choose_channels([(coupling, np.array([1.0, 1, 1, 1, np.nan]))], 5, 0.8)
    assert kept.tolist() == [False] * 4 + [True]
    assert kept.sum() == kept_count(5, 0.8)


@given(placed())
def test_a_pruning_with_couplings_comes_back_from_its_config(places):
    couplings = couplings_at(LEAD, places)
    schedule = Schedule(curve="step", begin=Position(0, "step"))
    pruning = Pruning(
        0.5,
        schedule,
        ("kernel",),
        Channel("out"),
        axes=(("in", "out"),),
        group="auto",
        couplings=couplings,
    )
    assert Pruning.from_config(pruning.to_config()) == pruning
    assert pruning.leaders == ("conv",)
    assert pruning.target_zeros("kernel", (2, 24)) == zeros_in_channels(couplings, (2, 24), 0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": "best"},
        {"axis": -1},
        {"start": -1},
        {"step": 0},
        {"repeat": 0},
        {"count": 7},
        {"first": 5, "count": 2},
        {"channels": MAX_CHANNELS + 1},
    ],
)
def test_a_damaged_coupling_is_refused(wrong):
    config = {**LEAD.to_config(), **wrong}
    with pytest.raises(ValueError, match=r"score must be|are not on its axis"):
        Coupling.from_config(config)


def test_channels_beyond_the_tensor_are_refused():
    with pytest.raises(ValueError, match=r"^channels of 'conv/out' do not fit kernel \[2, 5\]$"):
        zeros_in_channels([LEAD], (2, 5), 0.5)


@given(placed(), st.sampled_from([0.2, 0.5, 0.9]), st.permutations(range(6)))
def test_the_channels_that_a_mask_zeroes_are_the_dead_ones(places, share, order):
    kept = np.zeros(6, bool)
    kept[list(order[: kept_count(6, share)])] = True
    couplings = couplings_at(LEAD, places)
    mask = np.ones((2, 24), bool)
    for coupling in couplings:
        mask = coupling.with_channels(mask, kept)
    assert alive_in(couplings, mask) == {channel for channel in places if kept[channel]}
    for channel in places:  # one weight in a dead channel makes it alive
        mask[1, places[channel][0]] = True
    assert alive_in(couplings, mask) == set(places)


def alive_in(couplings, mask):
    alive = np.zeros(6, bool)
    for coupling in couplings:
        alive[coupling.own] |= coupling.find_alive(~mask)
    return set(np.flatnonzero(alive).tolist())
