"""The state of the user's own callbacks in checkpoints."""

import numpy as np

from graphprune.engine.own_callbacks import kept_states


class Summing:
    """Changes its array in place, as callbacks that count per class do."""

    def __init__(self):
        self.sums = np.zeros(3)

    def get_state(self):
        return {"sums": self.sums}


def test_the_state_of_a_checkpoint_stays_while_the_callback_goes_on():
    callback = Summing()
    (read,) = kept_states([object(), callback]).values()
    kept = read()
    callback.sums += 1
    np.testing.assert_array_equal(kept["sums"], np.zeros(3))
    np.testing.assert_array_equal(read()["sums"], np.ones(3))
