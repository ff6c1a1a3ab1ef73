from __future__ import annotations

import pytest
import torch

from sklearn_transfer.training.seeds import derive_seed, seeded


def test_equal_seeds_draw_equal_numbers() -> None:
    drawn = []
    for seed in (3, 3, 4):
        with seeded(seed):
            drawn.append(torch.rand(5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_global_generator_is_left_as_found() -> None:
    before = torch.get_rng_state()
    with seeded(3, torch.device("cpu")):
        torch.rand(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_generator_is_left_as_found_after_an_error() -> None:
    before = torch.get_rng_state()
    with pytest.raises(OSError, match="full"), seeded(3):
        raise OSError(f"full after {torch.rand(1)}")
    assert torch.equal(torch.get_rng_state(), before)


def test_blocks_may_stand_in_blocks() -> None:
    with seeded(3):
        alone = torch.rand(2)
    with seeded(3):
        first = torch.rand(1)
        with seeded(4):
            torch.rand(7)
        second = torch.rand(1)
    assert torch.equal(torch.cat([first, second]), alone)


def test_every_place_has_a_seed_of_its_own() -> None:
    places = [(epoch, training) for epoch in range(4) for training in (False, True)]
    assert len({derive_seed(seed, *place) for seed in (0, 1) for place in places}) == 16


def test_a_derived_seed_is_the_same_in_every_process() -> None:
    assert (derive_seed(0), derive_seed(5, 2, True)) == (2968811710, 1070606992)
