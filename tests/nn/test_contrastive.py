from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from sklearn_transfer.nn.adaptation import Contrastive
from sklearn_transfer.nn.batches import Arrays
from sklearn_transfer.nn.contrastive import contrastive_loss, draw_batch, tune
from sklearn_transfer.nn.networks import ArrayEncoder

CPU = torch.device("cpu")


def membership(codes: list[int]) -> csr_array:
    member = np.zeros((len(codes), max(codes) + 1))
    member[np.arange(len(codes)), codes] = 1
    return csr_array(member)


def test_loss_by_a_naive_loop():
    generator = np.random.default_rng(0)
    encoded = generator.standard_normal((6, 4))
    member = membership([0, 0, 1, 1, 1, 2]).toarray()
    weight = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 1.0])
    sums = {True: 0.0, False: 0.0}
    totals = {True: 0.0, False: 0.0}
    for i in range(6):
        for j in range(6):
            if i != j:
                a, b = encoded[i], encoded[j]
                cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                same = bool(member[i] @ member[j])
                sums[same] += weight[i] * weight[j] * (cosine - same) ** 2
                totals[same] += weight[i] * weight[j]
    expected = sums[True] / totals[True] + sums[False] / totals[False]
    found = contrastive_loss(*(torch.from_numpy(a) for a in (encoded, member, weight)))
    assert found.item() == pytest.approx(expected)


def test_loss_of_one_class_and_of_single_samples():
    encoded = torch.eye(3)
    assert contrastive_loss(encoded, torch.ones(3, 1), torch.ones(3)).item() == pytest.approx(1)
    assert contrastive_loss(encoded, torch.eye(3), torch.ones(3)).item() == 0


def test_a_batch_is_all_samples_where_they_fit():
    member = membership([0, 1] * 5).toarray()
    rows = draw_batch(member, 10, np.random.default_rng(0))
    assert rows.tolist() == list(range(10))


@pytest.mark.parametrize(("n_classes", "size"), [(3, 12), (20, 8), (2, 5)])
def test_a_batch_has_pairs_of_each_of_its_classes(n_classes: int, size: int):
    codes = np.random.default_rng(1).integers(n_classes, size=400)
    member = membership(codes.tolist()).toarray()
    rows = draw_batch(member, size, np.random.default_rng(0))
    assert len(set(rows.tolist())) == len(rows) <= size
    found, counts = np.unique(codes[rows], return_counts=True)
    assert counts.min() >= 2
    assert len(found) == min(n_classes, size // 2)


def clusters() -> tuple[np.ndarray, list[int]]:
    generator = np.random.default_rng(0)
    codes = [i % 3 for i in range(30)]
    X = generator.standard_normal((30, 6)).astype(np.float32)
    X[np.arange(30), codes] += 1.5
    return X, codes


def make_encoder() -> ArrayEncoder:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5))
    return ArrayEncoder(module)


def run(how: Contrastive, encoder: ArrayEncoder, seed: int = 0) -> list[float]:
    X, codes = clusters()
    weight = np.ones(len(X))
    return tune(encoder, Arrays(X), membership(codes), weight, how, device=CPU, seed=seed)


def test_samples_of_a_class_become_alike():
    encoder = make_encoder()
    X, codes = clusters()

    def gap() -> float:
        unit = nn.functional.normalize(encoder(torch.from_numpy(X)), dim=1).detach().numpy()
        same = np.equal.outer(codes, codes)
        cosine = unit @ unit.T
        return float(cosine[same].mean() - cosine[~same].mean())

    before = gap()
    losses = run(Contrastive(n_steps=60, lr=0.02, n_layers=None), encoder)
    assert losses[-1] < 0.5 * losses[0]
    assert gap() > before + 0.3
    assert not encoder.training


def test_only_the_top_layers_move():
    encoder = make_encoder()
    lower = encoder.module[0].weight.detach().clone()
    upper = encoder.module[2].weight.detach().clone()
    run(Contrastive(n_steps=3, lr=0.01, n_layers=1), encoder)
    torch.testing.assert_close(encoder.module[0].weight.detach(), lower, rtol=0, atol=0)
    assert not torch.equal(encoder.module[2].weight, upper)


def test_it_stops_early_and_in_time():
    assert len(run(Contrastive(n_steps=400, lr=0.05, n_layers=None), make_encoder())) < 400
    assert len(run(Contrastive(n_steps=7, tolerance=0.0), make_encoder())) == 7


def test_a_seed_decides_batches():
    how = Contrastive(n_steps=4, batch_size=9, lr=0.01)
    one, two, other = (run(how, make_encoder(), seed) for seed in (1, 1, 2))
    assert one == two != other


def test_a_module_without_parameters_stays():
    assert run(Contrastive(), ArrayEncoder(nn.Flatten())) == []


def test_a_loss_that_is_not_finite_stops_with_advice():
    encoder = make_encoder()
    with torch.no_grad():
        encoder.module[0].weight.fill_(float("nan"))
    with pytest.raises(
        ValueError, match=r"loss of the contrastive stage is nan in step 1.*lr=2e-05"
    ):
        run(Contrastive(), encoder)
