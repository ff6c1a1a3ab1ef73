import numpy as np

from sklearn_transfer._utils.random import draw_seed


def test_a_seed_is_taken_or_drawn():
    assert draw_seed(np.int64(7)) == 7
    assert draw_seed(np.random.RandomState(0)) == draw_seed(np.random.RandomState(0))
    assert draw_seed(None) != draw_seed(None)
