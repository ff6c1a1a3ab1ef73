from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn
from toys import Recurrent

from sklearn_transfer.fine_tuning.inputs.arrays import Arrays
from sklearn_transfer.models.network import ArrayEncoder
from sklearn_transfer.training.contrastive import contrastive_loss, draw_batch, tune
from sklearn_transfer.training.policies import Contrastive

CPU = torch.device("cpu")


def membership(codes: list[int]) -> csr_array:
    member = np.zeros((len(codes), max(codes) + 1))
    member[np.arange(len(codes)), codes] = 1
    return csr_array(member)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_loss_by_a_naive_loop():
    encoded = np.random.default_rng(0).standard_normal((7, 4))
    codes = np.array([0, 0, 1, 1, 1, 2, 0])
    weight = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 3.0])
    cosine = unit(encoded) @ unit(encoded).T
    total = n = 0.0
    for i in range(7):
        others = [a for a in range(7) if a != i]
        alike = [p for p in others if codes[p] == codes[i]]
        if alike:
            among = sum(weight[a] * np.exp(cosine[i, a] / 0.3) for a in others)
            shares = [-np.log(np.exp(cosine[i, p] / 0.3) / among) for p in alike]
            total += weight[i] * np.average(shares, weights=weight[alike])
            n += weight[i]
    given = (encoded, np.equal.outer(codes, codes), weight)
    found = contrastive_loss(*(torch.from_numpy(a) for a in given), 0.3)
    assert found.item() == pytest.approx(total / n)


def test_a_sample_of_weight_two_among_the_others_counts_as_two():
    encoded = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3)))
    same = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) > 0
    doubled = [0, 1, 2, 3, 3]
    same_doubled = same[doubled][:, doubled] & ~(torch.arange(5)[:, None] + torch.arange(5) == 7)
    weight = torch.tensor([1.0, 1.0, 1.0, 2.0], dtype=torch.float64)
    once = contrastive_loss(encoded, same, weight, 0.1)
    twice = contrastive_loss(encoded[doubled], same_doubled, torch.ones(5).double(), 0.1)
    assert once.item() == pytest.approx(twice.item())


def test_single_samples_of_their_classes_have_no_loss():
    encoded = torch.eye(3, requires_grad=True)
    found = contrastive_loss(encoded, torch.eye(3) > 0, torch.ones(3), 0.1)
    found.backward()
    assert found.item() == 0
    assert torch.isfinite(encoded.grad).all()


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


def test_weights_are_averaged_with_the_pretrained_ones():
    moved = {}
    for share in (0.25, 1.0):
        encoder = make_encoder()
        before = encoder.module[0].weight.detach().clone()
        how = Contrastive(n_steps=8, lr=0.02, n_layers=None, tuned_share=share)
        run(how, encoder)
        moved[share] = encoder.module[0].weight.detach() - before
    torch.testing.assert_close(moved[0.25], 0.25 * moved[1.0])


def test_batch_norms_keep_their_statistics():
    encoder = ArrayEncoder(nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 5)))
    run(Contrastive(n_steps=5, lr=0.02, n_layers=None), encoder)
    assert not encoder.module[0].running_mean.any()
    assert not encoder.module[0].num_batches_tracked


def test_dropout_is_off():
    losses = []
    for share in (0.0, 0.9):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(6, 8), nn.Dropout(share), nn.Linear(8, 5))
        losses.append(run(Contrastive(n_steps=5, lr=0.02, n_layers=None), ArrayEncoder(module)))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("n_layers", [None, 1])
def test_dropout_of_recurrent_layers_is_off_in_the_stage(n_layers: int | None):
    losses = []
    for share in (0.0, 0.9):
        torch.manual_seed(0)
        encoder = ArrayEncoder(Recurrent(share))
        losses.append(run(Contrastive(n_steps=5, lr=0.02, n_layers=n_layers), encoder))
        assert encoder.module.lstm.dropout == share
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("n_layers", "moves"), [(None, True), (1, False)])
def test_recurrent_layers_are_in_the_mode_that_cudnn_demands(n_layers: int | None, moves: bool):
    encoder = ArrayEncoder(Recurrent())
    lstm = encoder.module.lstm
    before = lstm.weight_hh_l0.detach().clone()
    modes: list[bool] = []
    lstm.register_forward_pre_hook(lambda *_: modes.append(lstm.training))
    run(Contrastive(n_steps=3, lr=0.02, n_layers=n_layers), encoder)
    assert torch.equal(lstm.weight_hh_l0, before) != moves
    assert modes == [moves] * 3
    assert not lstm.training


def test_complex_weights():
    class Spectrum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6, 5, dtype=torch.complex64))

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return (values.to(torch.complex64) @ self.weight).abs() + values[:, :5]

    losses = run(Contrastive(n_steps=9, lr=0.02, n_layers=None), ArrayEncoder(Spectrum()))
    assert losses[-1] < losses[0]


def test_features_without_gradients_in_evaluation_mode_are_refused():
    class Careful(nn.Linear):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            with torch.set_grad_enabled(self.training):
                return super().forward(values)

    with pytest.raises(ValueError, match=r"trains in evaluation mode.*Remove torch.no_grad\(\)"):
        run(Contrastive(n_layers=None), ArrayEncoder(Careful(6, 5)))


class Lengths(Arrays):
    """Samples that are sorted by a length, as texts are, before they are encoded."""

    @property
    def lengths(self):
        return np.round(np.abs(self.values[:, 0]) * 100).astype(np.int64)

    def __getitem__(self, rows):
        return Lengths(self.values[rows])


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
    how = Contrastive(n_steps=60, lr=0.1, n_layers=None, tuned_share=1.0)
    losses = run(how, encoder)
    assert losses[-1] < 0.5 * losses[0]
    assert gap() > before + 0.8
    assert not encoder.training


def test_only_the_top_layers_move():
    encoder = make_encoder()
    lower = encoder.module[0].weight.detach().clone()
    upper = encoder.module[2].weight.detach().clone()
    run(Contrastive(n_steps=3, lr=0.01, n_layers=1), encoder)
    torch.testing.assert_close(encoder.module[0].weight.detach(), lower, rtol=0, atol=0)
    assert not torch.equal(encoder.module[2].weight, upper)


def test_it_takes_so_many_steps():
    assert len(run(Contrastive(n_steps=7), make_encoder())) == 7


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
