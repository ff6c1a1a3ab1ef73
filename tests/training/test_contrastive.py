from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from sklearn_transfer.fine_tuning.inputs.arrays import Arrays
from sklearn_transfer.models.network import ArrayEncoder
from sklearn_transfer.training.contrastive import _encode_all, contrastive_loss, draw_batch, tune
from sklearn_transfer.training.policies import Contrastive

CPU = torch.device("cpu")


def membership(codes: list[int]) -> csr_array:
    member = np.zeros((len(codes), max(codes) + 1))
    member[np.arange(len(codes)), codes] = 1
    return csr_array(member)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_loss_by_a_naive_loop():
    generator = np.random.default_rng(0)
    encoded, goal = generator.standard_normal((6, 4)), generator.random((6, 6))
    codes = np.array([0, 0, 1, 1, 1, 2])
    weight = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 1.0])
    sums, totals = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
    for i in range(6):
        for j in range(6):
            if i != j:
                cosine = unit(encoded)[i] @ unit(encoded)[j]
                same = bool(codes[i] == codes[j])
                sums[same] += weight[i] * weight[j] * (cosine - goal[i, j]) ** 2
                totals[same] += weight[i] * weight[j]
    expected = sums[True] / totals[True] + sums[False] / totals[False]
    given = (encoded, np.equal.outer(codes, codes), goal, weight)
    found = contrastive_loss(*(torch.from_numpy(a) for a in given))
    assert found.item() == pytest.approx(expected)


def test_loss_of_one_class_and_of_single_samples():
    for same, expected in ((torch.ones(3, 3), 1), (torch.eye(3), 0)):
        found = contrastive_loss(torch.eye(3), same > 0, same, torch.ones(3))
        assert found.item() == pytest.approx(expected)


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


def test_what_a_pair_was_is_kept_in_part():
    X, _ = clusters()

    def moved(share: float) -> float:
        encoder = make_encoder()
        before = encoder(torch.from_numpy(X)).detach()
        how = Contrastive(n_steps=80, lr=0.02, n_layers=None, pretrained_share=share, tolerance=0)
        run(how, encoder)
        cosines = [
            unit(v) @ unit(v).T
            for v in (before.numpy(), encoder(torch.from_numpy(X)).detach().numpy())
        ]
        return float(np.square(cosines[1] - cosines[0]).mean())

    assert moved(0.9) < 0.5 * moved(0.5) < 0.5 * moved(0.0)


class Lengths(Arrays):
    """Samples that are sorted by a length, as texts are, before they are encoded."""

    @property
    def lengths(self):
        return np.round(np.abs(self.values[:, 0]) * 100).astype(np.int64)

    def __getitem__(self, rows):
        return Lengths(self.values[rows])


@pytest.mark.parametrize("kind", [Arrays, Lengths])
@pytest.mark.parametrize("size", [7, 64])
def test_samples_in_parts_are_what_they_are_together(kind: type[Arrays], size: int):
    X, _ = clusters()
    encoder, rows = make_encoder().eval(), np.array([3, 1, 4, 15, 9, 2, 6, 5, 29])
    whole = unit(encoder(torch.from_numpy(X)).detach().numpy())
    found = _encode_all(encoder, kind(X), rows, size, CPU).numpy()
    np.testing.assert_allclose(found, whole[rows], atol=1e-6)


@pytest.mark.parametrize("batch_size", [64, 12])
def test_the_order_in_which_samples_are_encoded_changes_nothing(batch_size: int):
    how = Contrastive(n_steps=8, lr=0.02, n_layers=None, batch_size=batch_size)
    losses = [run(how, make_encoder(), kind=kind) for kind in (Arrays, Lengths)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def make_encoder() -> ArrayEncoder:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5))
    return ArrayEncoder(module)


def run(
    how: Contrastive, encoder: ArrayEncoder, seed: int = 0, kind: type[Arrays] = Arrays
) -> list[float]:
    X, codes = clusters()
    weight = 1 + np.arange(len(X)) / len(X)
    return tune(encoder, kind(X), membership(codes), weight, how, device=CPU, seed=seed)


def test_samples_of_a_class_become_alike():
    encoder = make_encoder()
    X, codes = clusters()

    def gap() -> float:
        unit = nn.functional.normalize(encoder(torch.from_numpy(X)), dim=1).detach().numpy()
        same = np.equal.outer(codes, codes)
        cosine = unit @ unit.T
        return float(cosine[same].mean() - cosine[~same].mean())

    before = gap()
    how = Contrastive(n_steps=60, lr=0.02, n_layers=None, pretrained_share=0.0)
    losses = run(how, encoder)
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
    how = Contrastive(n_steps=400, lr=0.05, n_layers=None, tolerance=0.1)
    assert len(run(how, make_encoder())) < 400
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
        ValueError, match=r"loss of the contrastive stage is nan in step 1.*lr=1e-05"
    ):
        run(Contrastive(), encoder)
