from __future__ import annotations

import numpy as np
import pytest

from sklearn_transfer.training.schedules import SCHEDULES, rate_at


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", {0: 1, 0.5: 1, 1: 1}),
        ("linear", {0: 1, 0.25: 0.75, 1: 0}),
        ("cosine", {0: 1, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 1: 0}),
        ("one-cycle", {0: 1 / 25, 0.15: 0.52, 0.3: 1, 0.65: 0.500002, 1: 1e-4 / 25}),
    ],
)
def test_a_schedule_has_the_values_of_its_formula(
    schedule: str, values: dict[float, float]
) -> None:
    found = [rate_at(schedule, 0.0, progress) for progress in values]
    np.testing.assert_allclose(found, list(values.values()), atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_from_zero_in_a_line(schedule: str) -> None:
    found = [rate_at(schedule, 0.4, progress) for progress in (0.0, 0.1, 0.2, 0.3)]
    np.testing.assert_allclose(found, [0, 0.25, 0.5, 0.75])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_takes_what_warm_up_leaves(schedule: str) -> None:
    for part in (0.0, 0.3, 1.0):
        late = rate_at(schedule, 0.4, 0.4 + 0.6 * part)
        assert late == pytest.approx(rate_at(schedule, 0.0, part))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_factor_is_between_zero_and_one(schedule: str) -> None:
    factors = [rate_at(schedule, 0.2, progress) for progress in np.linspace(0, 1, 101)]
    assert min(factors) >= 0
    assert max(factors) <= 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_fit_that_only_warms_up_ends_at_the_start_of_its_schedule(schedule: str) -> None:
    assert rate_at(schedule, 1.0, 1.0) == rate_at(schedule, 0.0, 0.0)
