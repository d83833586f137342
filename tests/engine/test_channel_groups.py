"""Groups of channels in the pruner: one choice for all members, at the steps of the leader."""

import numpy as np
import pytest
from engine.numpy_held import RAMP, NumpyLayer, NumpyModel

from graphprune.engine.channel_groups import led_groups
from graphprune.engine.masks import prune_at_once
from graphprune.engine.progress import missed_targets
from graphprune.engine.pruner import Pruner
from graphprune.errors import TrainingError
from graphprune.sparsity.channel_groups import Coupling
from graphprune.sparsity.patterns import Channel
from graphprune.sparsity.positions import Run
from graphprune.sparsity.pruning import Pruning


def member(*couplings, weights=("kernel",)):
    pruning = Pruning(
        0.5,
        RAMP,
        weights,
        Channel("out"),
        axes=(("in", "out"),) * len(weights),
        group="auto",
        couplings=couplings,
    )
    return NumpyLayer(pruning)


def coupling(weight="kernel", group="conv/out", score="norm", **places):
    return Coupling(group, weight, 1, 4, score, **places)


def masks(model, name, tensor=0):
    return model.layers[name].tensors[tensor].mask


def test_all_members_lose_the_channels_with_the_smallest_sum_of_squares():
    model = NumpyModel(conv=member(coupling()), other=member(coupling()))
    scores = sum(
        np.square(layer.tensors[0].values.astype(float)).sum(0) for layer in model.layers.values()
    )
    pruner = Pruner(model)
    pruner.start(Run(8, 1))
    for _ in range(8):
        pruner.on_step()
        model.updates += 1
        for layer in model.layers.values():
            layer.step += 1
    kept = np.zeros(4, bool)
    kept[np.argsort(scores)[2:]] = True
    for name in ("conv", "other"):
        np.testing.assert_array_equal(masks(model, name), np.broadcast_to(kept, (5, 4)))
    assert pruner.is_finished
    assert missed_targets(model.layers) == ()
    for layer in model.layers.values():
        assert layer.tensors[0].threshold == pytest.approx(sorted(scores)[2])


def test_a_tensor_that_follows_has_no_part_in_the_score():
    model = NumpyModel(conv=member(coupling(score="mean")), other=member(coupling(score="none")))
    means = np.abs(model.layers["conv"].tensors[0].values).mean(0)
    model.layers["other"].tensors[0].values = 9 * model.layers["other"].tensors[0].values[:, ::-1]
    prune_at_once(model.layers)
    kept = np.zeros(4, bool)
    kept[np.argsort(means)[2:]] = True
    np.testing.assert_array_equal(masks(model, "other")[0], kept)


def test_a_tensor_in_two_groups_keeps_what_each_has_chosen():
    left = Coupling("left/out", "kernel", 1, 2, "norm")
    right = Coupling("right/out", "kernel", 1, 2, "norm")
    first = Coupling("left/out", "kernel", 1, 2)
    second = Coupling("right/out", "kernel", 1, 2, start=2)
    model = NumpyModel(left=member(left), right=member(right), both=member(first, second))
    for name, places in (("left", [9, 1, 0, 0]), ("right", [1, 9, 0, 0])):
        model.layers[name].tensors[0].values = np.tile(np.float32(places), (5, 1))
    prune_at_once(model.layers)
    assert masks(model, "both")[0].tolist() == [True, False, False, True]
    assert model.layers["both"].pruning.target_zeros("kernel", (5, 4)) == 10


def test_a_pruned_model_in_another_finds_its_groups_and_two_do_not_mix():
    names = ("a::conv", "a::bn", "b::conv", "b::bn")
    model = NumpyModel()
    model.layers = {name: member(coupling()) for name in names}
    led = led_groups(model.layers)
    assert {
        address: [
            [
                name
                for name, layer in model.layers.items()
                for one, _ in group.members
                if one is layer
            ]
            for group in groups
        ]
        for address, groups in led.items()
    } == {"a::conv": [["a::conv", "a::bn"]], "b::conv": [["b::conv", "b::bn"]]}


def test_without_its_leader_a_group_is_led_by_its_first_member():
    model = NumpyModel(bn=member(coupling()), other=member(coupling()))
    assert list(led_groups(model.layers)) == ["bn"]
    prune_at_once(model.layers)
    assert (masks(model, "bn") == masks(model, "other")).all()


def test_channels_that_do_not_fit_a_tensor_are_refused():
    model = NumpyModel(conv=member(coupling(start=3)))
    with pytest.raises(TrainingError) as caught:
        prune_at_once(model.layers)
    assert str(caught.value) == (
        "the 4 channels of group 'conv/out' do not fit kernel [5, 4]; prune the model again"
    )
