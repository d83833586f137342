from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from own_layers import Stairs
from reference_training import BATCH, RATE, X, Y, small_model

from graphprune.engine.timetables import OwnTimetable
from graphprune.errors import ArchiveError
from graphprune.sparsity.counts import kept_count
from graphprune.tf.models.loading import load_model
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.keras_api import prune_low_magnitude, prune_scope, strip_pruning

pytestmark = pytest.mark.tf

TEXT = (
    "{}: layer 'a': the class 'Stairs' of 'own_layers' is not part of Keras; give it with"
    " --custom-objects MODULE:Stairs (custom_objects={{'Stairs': ...}} in Python)"
)


class Counts(tf_keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        wrapper = self.model.get_layer("a")
        self.seen.append(
            (int(wrapper.pruning_step), int(np.count_nonzero(wrapper.layer.kernel.numpy())))
        )


def fit(model: tf_keras.Model, first: int, last: int) -> list[tuple[int, int]]:
    counts = Counts()
    model.fit(
        X[first * BATCH : last * BATCH],
        Y[first * BATCH : last * BATCH],
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        callbacks=[UpdatePruningStep(), counts],
    )
    return counts.seen


@pytest.mark.filterwarnings("ignore:schedule/never-reached")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_schedule_of_ones_own_prunes_round_trips_and_resumes(suffix, tmp_path):
    whole = prune_low_magnitude(small_model(), Stairs(0.25))
    whole.compile(tf_keras.optimizers.SGD(RATE), "mse", run_eagerly=True)
    expected = [
        (step, kept_count(30, 0.0 if step < 1 else min(0.75, 0.25 * ((step - 1) // 4 + 1))))
        for step in range(1, 13)
    ]
    assert fit(whole, 0, 12) == expected
    plain = small_model()
    begun = prune_low_magnitude(plain, Stairs(0.25))
    begun.compile(tf_keras.optimizers.SGD(RATE), "mse", run_eagerly=True)
    assert fit(begun, 0, 6) == expected[:6]
    path = tmp_path / f"m{suffix}"
    begun.save(path)
    with prune_scope(), tf_keras.utils.custom_object_scope({"Stairs": Stairs}):
        loaded = tf_keras.models.load_model(path)
    again = load_model(path, {"Stairs": Stairs})
    assert {
        type(wrapper.own_schedule)
        for model in (loaded, again)
        for wrapper in find_wrappers(model).values()
    } == {Stairs}
    again.run_eagerly = True  # .h5 files do not keep it, and graphs round in other ways
    assert fit(again, 6, 12) == expected[6:]
    for one, other in zip(again.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert loaded.get_layer("a").get_config() == begun.get_layer("a").get_config()
    assert strip_pruning(again).get_config() == plain.get_config()
    with pytest.raises(ArchiveError) as caught:
        load_model(path)
    assert str(caught.value) == TEXT.format(path)


@pytest.mark.filterwarnings("ignore:schedule/never-reached")
def test_a_schedule_of_ones_own_says_when_groups_change_and_the_groups_say_how_many():
    model = prune_low_magnitude(small_model(), Stairs(0.25), sparsity_m_by_n=(2, 4))
    model.compile(tf_keras.optimizers.SGD(RATE), "mse", run_eagerly=True)
    seen = fit(model, 0, 12)
    wrapper = model.get_layer("a")
    kept = {
        step: 30 - wrapper.pruning.zeros_at("kernel", (6, 5), 0.5 * share)
        for step, share in [(0, 0), (1, 1 / 3), (5, 2 / 3), (9, 1)]
    }
    assert seen == [
        (step, kept[max(begin for begin in kept if begin <= step)]) for step in range(1, 13)
    ]
    assert (np.count_nonzero(wrapper.layer.kernel.numpy()[:4], axis=0) == 2).all()


def test_a_registered_schedule_needs_no_scope(tmp_path):
    registered = tf_keras.utils.register_keras_serializable("own")(
        type("Registered", (Stairs,), {})
    )
    prune_low_magnitude(small_model(), registered(0.1)).save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras").get_layer("a").own_schedule
    assert (type(loaded), loaded.height, loaded.target) == (registered, 0.1, pytest.approx(0.3))


def test_each_step_is_asked_once():
    asked = []

    class Asked(Stairs):
        def __call__(self, step):
            asked.append(step)
            return super().__call__(step)

    timetable = OwnTimetable(Asked(0.25))
    due = [
        timetable.is_due(after=last, step=step)
        for step, last in [(0, -1), (1, -1), (2, 1), (3, 1), (4, 1), (5, 1), (7, 5)]
    ]
    assert due == [False, True, False, False, False, True, False]
    assert asked == [0, 1, 2, 3, 4, 5, 7, 6]
    assert [timetable.is_due(after=-1, step=8), timetable.target_step] == [True, 9]
