import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer._utils.random import draw_seed, fill_seeds


def test_a_seed_is_taken_or_drawn():
    assert draw_seed(np.int64(7)) == 7
    assert draw_seed(np.random.RandomState(0)) == draw_seed(np.random.RandomState(0))
    assert draw_seed(None) != draw_seed(None)


def test_seeds_that_are_none_are_filled_also_inside():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    assert fill_seeds(pipeline, 7) is pipeline
    assert pipeline[-1].random_state == 7
    assert fill_seeds(LogisticRegression(random_state=3), 7).random_state == 3
