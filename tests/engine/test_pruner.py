from __future__ import annotations

import re

import numpy as np
import pytest
from engine.numpy_held import NumpyModel, layer

from graphprune.engine.masks import prune_at_once
from graphprune.engine.progress import curve_points, missed_targets, overall
from graphprune.engine.pruner import Pruner
from graphprune.engine.schedules import ConstantSparsity, PolynomialDecay, PruningSchedule
from graphprune.errors import TrainingError
from graphprune.sparsity.positions import Position, Run
from graphprune.sparsity.schedules import Schedule


def zeros(model, name="a"):
    return [int((tensor.read() == 0).sum()) for tensor in model.layers[name].tensors]


def test_masks_change_at_the_steps_of_the_schedule_with_exact_counts():
    model = NumpyModel(a=layer(), b=layer(0.4))
    pruner = Pruner(model)
    pruner.start(Run(4, 2))
    seen = []
    for _ in range(8):
        model.train("a", "b")
        pruner.on_step()
        seen.append((*zeros(model, "a"), *zeros(model, "b"), pruner.last_updates[0]))
    assert [row[0] for row in seen] == [0, 0, 0, 8, 8, 16, 16, 16]
    assert [row[1] for row in seen] == [0, 0, 0, 4, 4, 8, 8, 8]
    assert [row[2] for row in seen] == [-1, 2, 2, 4, 4, 6, 6, 6]
    assert pruner.is_finished
    assert pruner.total_sparsity() == pytest.approx(24 / 40)
    assert missed_targets(model.layers) == ()


def test_a_run_that_is_too_short_is_told_before_its_first_step():
    model = NumpyModel(a=layer(), b=layer())
    text = (
        "schedule/never-reached: a, b: the schedule reaches 80.0% at step 6 and the run ends at"
        " step 5; train for longer, or end the schedule earlier"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$"):
        Pruner(model).start(Run(5, 1))


def test_a_schedule_in_epochs_needs_the_length_of_an_epoch():
    schedule = Schedule(
        begin=Position(0, "step"), end=Position(2, "epoch"), every=Position(1, "step")
    )
    with pytest.raises(TrainingError, match=r"^a: end is 2 epochs, .*; give the run's length:"):
        Pruner(NumpyModel(a=layer(schedule=schedule))).start(Run())


def test_a_layer_without_a_gradient_stands_still_and_a_frozen_one_follows():
    model = NumpyModel(a=layer(), b=layer(), c=layer())
    model.layers["c"].trainable = False
    pruner = Pruner(model)
    pruner.start(Run(8, 1))
    assert not pruner.has_advanced
    for _ in range(6):
        model.train("a")
        pruner.on_step()
    assert pruner.standing_still() == ("b",)
    assert zeros(model, "b") == [0]
    assert (model.layers["c"].step, *zeros(model, "c")) == (6, 16)
    with pytest.warns(UserWarning, match="^b: the loss gives these layers no gradient"):
        pruner.warn_standing_still()


def test_updates_that_loss_scaling_skips_count_as_steps():
    model = NumpyModel(a=layer())
    model.skips_updates = True
    pruner = Pruner(model)
    pruner.start(Run(6, 1))
    for number in range(6):
        model.train(*(() if number % 2 else ("a",)))
        pruner.on_step()
    assert (pruner.step, *zeros(model)) == (6, 16)


def test_all_frozen_layers_follow_the_optimizer():
    model = NumpyModel(a=layer())
    model.layers["a"].trainable = False
    pruner = Pruner(model)
    pruner.start(Run(6, 1))
    for _ in range(6):
        model.train()
        pruner.on_step()
    assert (pruner.step, *zeros(model)) == (6, 16)


def test_a_new_pruner_of_a_model_replaces_the_old_one_and_leaves_those_of_others():
    shared = layer()
    model, other = NumpyModel(a=shared), NumpyModel(a=shared)
    pruners = [Pruner(model), Pruner(model), Pruner(other)]
    for pruner in pruners:
        pruner.start(Run(6, 1))
    assert shared.pruners == {pruners[1], pruners[2]}
    pruners[2].stop()
    assert shared.pruners == {pruners[1]}


def test_state_elsewhere_is_read_only_where_masks_change():
    model = NumpyModel(a=layer())
    pruner = Pruner(model)
    pruner.start(Run(8, 1))
    found = []
    for _ in range(8):
        before = model.synced
        model.train("a")
        pruner.on_step()
        found.append(model.synced - before)
    assert found == [0, 1, 0, 1, 0, 1, 0, 0]


def test_projection_zeroes_what_something_else_has_written():
    model = NumpyModel(a=layer())
    prune_at_once(model.layers)
    (tensor,) = model.layers["a"].tensors
    tensor.values = np.ones_like(tensor.values)
    Pruner(model).project()
    assert zeros(model) == [16]
    assert tensor.values[tensor.mask].tolist() == [1.0] * 4


def test_training_that_stops_early_names_the_layers_that_miss_their_target():
    model = NumpyModel(a=layer())
    pruner = Pruner(model)
    pruner.start(Run(8, 1))
    for _ in range(4):
        model.train("a")
        pruner.on_step()
    with pytest.warns(UserWarning, match="^schedule/never-reached: a: training ends with the weig"):
        pruner.warn_missed(was_stopped=True)
    (missed,) = missed_targets(model.layers)
    assert (missed.zeros, missed.target_zeros, missed.was_updated) == (8, 16, True)


def test_data_that_end_before_the_schedule_name_the_layers_that_miss_their_target(recwarn):
    model = NumpyModel(a=layer())
    pruner = Pruner(model)
    pruner.start(Run())
    for _ in range(8):
        model.train("a")
        pruner.on_step()
        if model.layers["a"].read_step() in (4, 8):
            pruner.warn_missed(was_stopped=False)
    assert [str(warning.message) for warning in recwarn] == [
        "schedule/never-reached: a: training ends with the weights of step 4, and the schedule"
        " reaches 80.0% at step 6; train for longer, or end the schedule earlier"
    ]


def test_masks_of_the_toolkit_were_updated_though_the_last_step_is_unknown():
    model = NumpyModel(a=layer())
    assert [missed.was_updated for missed in missed_targets(model.layers)] == [False]
    (tensor,) = model.layers["a"].tensors
    tensor.write_mask(np.arange(tensor.mask.size).reshape(tensor.shape) > 0, 0.0)
    assert model.layers["a"].read_last_update() == -1
    assert [missed.was_updated for missed in missed_targets(model.layers)] == [True]


def test_curves_and_totals_come_from_the_same_figures():
    model = NumpyModel(a=layer())
    pruner = Pruner(model)
    pruner.follow(Run(8, 1))
    model.layers["a"].step = 4
    tensors = pruner.tensors()
    assert overall(tensors) == (pytest.approx(0.4), 0.0)
    assert curve_points(tensors) == {
        "target_sparsity/a/kernel": pytest.approx(0.4),
        "sparsity/a/kernel": 0.0,
        "threshold/a/kernel": 0.0,
    }


def test_a_pruner_that_has_not_started_says_so():
    with pytest.raises(TrainingError, match=r"^the pruner has not started; call start\(Run\("):
        Pruner(NumpyModel(a=layer())).on_step()


def test_a_callback_of_a_model_without_pruned_layers_is_refused():
    with pytest.raises(TrainingError, match=r"^numpy: Callback was given to a model without "):
        Pruner(NumpyModel()).check_pruned("Callback")
    with pytest.warns(UserWarning, match=r"^numpy: nothing is pruned, .* \(a\); prune layers with"):
        Pruner(NumpyModel(a=layer(weights=()))).check_pruned("Callback")


class Halves(PruningSchedule):
    """A user's own schedule: half of the way is left after each step."""

    begin_step, end_step = 1, 3

    def __call__(self, step):
        return self._should_prune_in_step(step, 1, 3, 1), 1 - 0.5**step

    def get_config(self):
        return {}


def test_a_schedule_of_ones_own_class_is_asked_for_masks_and_shares():
    schedule = Halves()
    model = NumpyModel(a=layer(schedule.target, own_schedule=schedule))
    pruner = Pruner(model)
    pruner.start(Run(4, 1))
    found = []
    for _ in range(4):
        model.train("a")
        pruner.on_step()
        found += zeros(model)
    assert found == [10, 15, 18, 18]
    assert pruner.is_finished


@pytest.mark.parametrize(
    "schedule",
    [ConstantSparsity(0.5, 8, 18, 4), PolynomialDecay(0.1, 0.7, 8, 18, 2, 3)],
    ids=lambda schedule: type(schedule).__name__,
)
def test_schedules_answer_as_the_timetables_of_plans(schedule):
    times = schedule.to_schedule().to_timetable(Run())
    for step in range(8, 24):
        is_due, share = schedule(step)
        assert is_due == times.is_due(after=step - 1, step=step)
        assert share == pytest.approx(times.sparsity_at(step, schedule.target))
    assert schedule(8 - schedule.frequency)[0] is False
