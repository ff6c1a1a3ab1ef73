from __future__ import annotations

import threading

import pytest
import torch

from sklearn_transfer.models.network import Dropout
from sklearn_transfer.models.seeds import EvaluationSeed, current_generator, derive_seed, seeded


def draw(n: int) -> torch.Tensor:
    return torch.rand(n, generator=current_generator())


def test_equal_seeds_draw_equal_numbers() -> None:
    drawn = []
    for seed in (3, 3, 4):
        with seeded(seed):
            drawn.append(draw(5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_equal_seeds_draw_equal_numbers_from_the_global_generator() -> None:
    drawn = []
    for seed in (3, 3, 4):
        with seeded(seed, seed_global=True):
            drawn.append(torch.rand(5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_global_generator_is_not_touched() -> None:
    before = torch.get_rng_state()
    with seeded(3, torch.device("cpu")):
        draw(5)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seeded_global_generator_is_left_as_found_after_an_error() -> None:
    before = torch.get_rng_state()
    with pytest.raises(OSError, match="full"), seeded(3, seed_global=True):
        raise OSError(f"full after {torch.rand(1)}")
    assert torch.equal(torch.get_rng_state(), before)
    assert current_generator() is None


def test_blocks_may_stand_in_blocks() -> None:
    with seeded(3):
        alone = draw(2)
    with seeded(3, seed_global=True):
        first = draw(1)
        with seeded(4, seed_global=True):
            draw(7)
        second = draw(1)
    assert torch.equal(torch.cat([first, second]), alone)


def test_threads_have_generators_of_their_own() -> None:
    with seeded(3):
        alone = draw(4)
    drawn = {}
    barrier = threading.Barrier(2, timeout=20)

    def take_turns(name: int) -> None:
        with seeded(3):
            drawn[name] = []
            for _ in range(4):
                barrier.wait()
                drawn[name].append(draw(1))

    threads = [threading.Thread(target=take_turns, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for numbers in drawn.values():
        assert torch.equal(torch.cat(numbers), alone)


def test_blocks_that_seed_the_global_generator_wait_for_each_other() -> None:
    drawn = {}

    def draw_all(name: int) -> None:
        with seeded(3, seed_global=True):
            drawn[name] = []
            for _ in range(200):
                drawn[name].append(torch.rand(1))

    threads = [threading.Thread(target=draw_all, args=(name,)) for name in range(4)]
    before = torch.get_rng_state()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    first, *others = (torch.cat(numbers) for numbers in drawn.values())
    assert all(torch.equal(first, other) for other in others)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_draws_from_the_block() -> None:
    x = torch.ones(2000)
    before = torch.get_rng_state()
    dropped = []
    for _ in range(2):
        with seeded(5):
            dropped.append(Dropout(0.3)(x))
    assert torch.equal(dropped[0], dropped[1])
    assert torch.equal(torch.get_rng_state(), before)
    assert set(dropped[0].unique().tolist()) == {0, torch.tensor(1 / 0.7).item()}
    assert abs((dropped[0] == 0).float().mean() - 0.3) < 0.05


def test_dropout_in_evaluation_keeps_all() -> None:
    x = torch.rand(20)
    assert torch.equal(Dropout(0.3).eval()(x), x)


def test_every_place_has_a_seed_of_its_own() -> None:
    places = [(epoch, training) for epoch in range(4) for training in (False, True)]
    assert len({derive_seed(seed, *place) for seed in (0, 1) for place in places}) == 16


def test_a_derived_seed_is_the_same_in_every_process() -> None:
    assert (derive_seed(0), derive_seed(5, 2, True)) == (2968811710, 1070606992)


def test_a_module_that_draws_in_evaluation_mode_is_always_seeded() -> None:
    seed, before = EvaluationSeed(3, may_draw=True), torch.get_rng_state()
    drawn = []
    for n in (4, 0, 4):
        with seed(torch.device("cpu")):
            drawn.append(torch.rand(n))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[2])


def test_one_that_draws_nothing_does_not_make_other_threads_wait() -> None:
    seed = EvaluationSeed(3, may_draw=True)
    with seed(torch.device("cpu")):
        pass
    inside = []

    def enter() -> None:
        with seed(torch.device("cpu")):
            inside.append(True)

    with seeded(0, seed_global=True):  # holds the lock of the generators
        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        thread.join(timeout=10)
    assert inside
