import itertools

import numpy as np
import pytest

from graphprune.engine.array_data import ArrayBatches
from graphprune.engine.data_fit import BatchPart, check_inputs
from graphprune.engine.data_kinds import read_first, sequence_batches
from graphprune.errors import DataError
from graphprune.runs.samples import samples_of


class Shuffled:
    def __init__(self):
        self.random, self.order, self.passes = np.random.default_rng(1), [0, 1, 2], 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return [np.array([self.order[index]]), np.array(["é"])]

    def on_epoch_end(self):
        self.passes += 1
        self.random.shuffle(self.order)


def firsts(batches, count):
    return [int(x[0]) for x, _ in itertools.islice(batches, count)]


@pytest.mark.parametrize("step", range(8))
def test_batches_from_a_step_on_are_those_of_a_run_from_the_start(step):
    whole = firsts(sequence_batches(Shuffled(), 0), 12)
    assert len(set(map(tuple, (whole[:3], whole[3:6], whole[6:9])))) > 1
    assert firsts(sequence_batches(Shuffled(), step), 12 - step) == whole[step:]


def test_the_first_batch_has_arrays_and_is_a_pair():
    x, y = read_first("data", Shuffled(), "Sequence")
    assert (x.dtype.kind, y.tolist()) == ("i", ["é".encode()])
    with pytest.raises(DataError) as refused:
        read_first("data", [np.zeros(3)], "PyDataset")
    assert str(refused.value) == (
        "data: batch 0 of the PyDataset is not (x, y); its __getitem__ must return (x, y) or"
        " (x, y, weight)"
    )


def test_arrays_have_an_order_for_each_epoch_that_replicas_share():
    samples = samples_of("d", {"x_train": np.arange(11.0), "y_train": np.arange(11)})
    data = ArrayBatches.of_samples(
        "d", samples, batch_size=4, seed=3, steps_per_epoch=None, replicas=2
    )
    assert (data.steps_per_epoch, data.batch_size) == (3, 4)
    first, second = itertools.islice(data.orders(0), 2)
    assert len(set(first.tolist())) == 10
    assert first.tolist() != second.tolist()
    np.testing.assert_array_equal(next(data.orders(1)), second)
    np.testing.assert_array_equal(data.train.take(first)[1], first)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (BatchPart((None, 5), "float32"), "d: x has shape (5,), the model's input i takes (6, 1);"),
        (BatchPart((6, 1), "float32"), "d: its elements are single samples of shape (6, 1);"),
        (BatchPart((None, 6), "string"), "d: x is text, the model's input i takes float32;"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(given, text):
    with pytest.raises(DataError) as refused:
        check_inputs("d", [given], {"i": BatchPart((None, 6, 1), "float32")})
    assert str(refused.value).startswith(text)


def test_a_last_axis_of_one_may_be_there_or_not():
    check_inputs("d", [BatchPart((None, 6), "float32")], {"i": BatchPart((None, 6, 1), "float32")})
