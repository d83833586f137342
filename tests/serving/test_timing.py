from dataclasses import dataclass, field

from graphprune.serving.timing import time_in_turns


@dataclass
class Model:
    """A model that takes some seconds a run; it keeps the lengths of its turns."""

    name: str
    seconds: float
    turns: list = field(default_factory=list)
    order: list = field(default_factory=list)

    def time(self, runs):
        self.order.append(self.name)
        self.turns.append(runs)
        return (self.seconds,) * runs


def test_models_take_turns_and_are_compared_with_the_first():
    order = []
    first, second = Model("a", 0.01, order=order), Model("b", 0.0025, order=order)
    timings = time_in_turns([first, second], turns=4)
    assert [timing.ratio.median for timing in timings] == [1, 0.25]
    assert [timing.seconds.median for timing in timings] == [0.01, 0.0025]
    assert [timing.runs for timing in timings] == [4 * 5, 4 * 20]
    assert "".join(order[-8:]) == "abbaabba"


def test_models_are_warm_before_they_are_timed():
    model = Model("a", 0.01)
    time_in_turns([model], turns=1)
    assert model.turns == [3, 17, 5]


def test_a_slow_model_runs_once_a_turn_and_a_fast_one_not_without_end():
    slow, fast = Model("slow", 3.0), Model("fast", 1e-9)
    fast.seconds = 1e-4
    time_in_turns([slow, fast], turns=2)
    assert slow.turns == [3, 1, 1]
    assert fast.turns[-2:] == [500, 500]


def test_the_spread_has_the_quartiles_of_all_runs():
    class Uneven(Model):
        def time(self, runs):
            self.turns.append(runs)
            return tuple(0.04 + 0.001 * (run % 5) for run in range(runs))

    (timing,) = time_in_turns([Uneven("a", 0)], turns=5)
    assert 0.04 <= timing.seconds.low <= timing.seconds.median <= timing.seconds.high <= 0.044
    assert timing.ratio.median == timing.ratio.low == timing.ratio.high == 1
