from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_transfer.training.optimization.losses import (
    CLASSIFICATION,
    AbsoluteError,
    CrossEntropy,
    FocalLoss,
    HuberLoss,
    SquaredError,
    SquaredHinge,
    make_criterion,
    per_sample,
)

CODES = torch.tensor([2, 0, 1, 1, 2, 0])
BINARY = torch.tensor([1, 0, 1, 1, 0, 0])
INDICATOR = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1.0]])


def logits(k: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(6, k, generator=generator, dtype=torch.float64)


# ---- squared hinge ----


@pytest.mark.parametrize(
    ("k", "target"), [(3, CODES), (1, BINARY), (3, INDICATOR), (1, BINARY[:, None])]
)
def test_squared_hinge_is_the_sum_of_the_formula(k: int, target: Tensor) -> None:
    z = logits(k)
    expected = []
    for i in range(6):
        total = 0.0
        for c in range(k):
            if target.dim() == 2:
                positive = bool(target[i, c])
            else:
                positive = bool(target[i]) if k == 1 else int(target[i]) == c
            total += max(0, 1 - (1 if positive else -1) * float(z[i, c])) ** 2
        expected.append(total)
    np.testing.assert_allclose(SquaredHinge()(z, target), expected)


# ---- cross-entropy ----


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_classes_is_torchs(smoothing: float) -> None:
    z = logits(3)
    expected = F.cross_entropy(z, CODES, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(CrossEntropy(smoothing)(z, CODES), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_one_column_is_that_of_two_classes(smoothing: float) -> None:
    z = logits(1)
    two = torch.cat([torch.zeros_like(z), z], dim=1)
    expected = F.cross_entropy(two, BINARY, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(CrossEntropy(smoothing)(z, BINARY), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_indicators_is_the_binary_one(smoothing: float) -> None:
    z = logits(3)
    soft = INDICATOR.double() * (1 - smoothing) + smoothing / 2
    expected = F.binary_cross_entropy_with_logits(z, soft, reduction="none").sum(1)
    torch.testing.assert_close(CrossEntropy(smoothing)(z, INDICATOR), expected)


@pytest.mark.parametrize("sign", [-1, 1])
def test_cross_entropy_of_extreme_logits_is_finite(sign: int) -> None:
    z = torch.full((6, 1), sign * 1e4)
    assert torch.isfinite(CrossEntropy(0.1)(z, BINARY)).all()


# ---- focal loss ----


def test_focal_loss_is_the_formula_of_the_probability_of_what_is_true() -> None:
    z = logits(3)
    p = np.exp(z.numpy()) / np.exp(z.numpy()).sum(axis=1, keepdims=True)
    true = p[np.arange(6), CODES.numpy()]
    np.testing.assert_allclose(FocalLoss()(z, CODES), -((1 - true) ** 2) * np.log(true))


@pytest.mark.parametrize(("k", "target"), [(1, BINARY), (1, BINARY[:, None]), (3, INDICATOR)])
def test_focal_loss_of_columns_is_the_sum_of_their_formulas(k: int, target: Tensor) -> None:
    z = logits(k)
    p = 1 / (1 + np.exp(-z.numpy()))
    true = np.where(target.reshape(6, k).numpy() == 1, p, 1 - p)
    expected = (-((1 - true) ** 2) * np.log(true)).sum(axis=1)
    np.testing.assert_allclose(FocalLoss()(z, target), expected)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_gradient_of_focal_loss_is_finite(k: int, size: float) -> None:
    z = torch.full((6, k), size).requires_grad_()
    FocalLoss()(z, BINARY).sum().backward()
    assert torch.isfinite(z.grad).all()


# ---- regression ----


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    ("criterion", "formula"),
    [
        (SquaredError(), lambda e: e**2),
        (AbsoluteError(), abs),
        (HuberLoss(), lambda e: e**2 / 2 if abs(e) <= 1 else abs(e) - 0.5),
    ],
)
def test_losses_of_values_are_sums_of_their_formula(criterion, formula, k: int) -> None:
    z, target = logits(k), 3 * logits(k).flip(0)
    expected = [sum(formula(float(e)) for e in row) for row in z - target]
    np.testing.assert_allclose(criterion(z, target), expected)


def test_targets_are_cast_to_the_precision_of_the_logits() -> None:
    z = logits(1).float()
    assert SquaredError()(z, logits(1)).dtype == torch.float32


# ---- by name or class ----


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_a_criterion_by_name_gives_a_loss_a_sample(name: str) -> None:
    assert make_criterion(name, 0.0)(logits(3), CODES).shape == (6,)


def test_a_torch_class_is_made_without_reduction() -> None:
    assert make_criterion(nn.CrossEntropyLoss, 0.0)(logits(3), CODES).shape == (6,)


def test_label_smoothing_reaches_a_torch_class() -> None:
    assert make_criterion(nn.CrossEntropyLoss, 0.2).label_smoothing == 0.2


def test_a_partial_of_a_class_keeps_its_arguments() -> None:
    criterion = make_criterion(partial(nn.CrossEntropyLoss, ignore_index=1), 0.0)
    assert (criterion.ignore_index, criterion.reduction) == (1, "none")


def test_a_class_of_its_own_is_called_with_what_it_takes() -> None:
    class Own(nn.Module):
        def forward(self, z: Tensor, target: Tensor) -> Tensor:
            return z.sum(1)

    assert isinstance(make_criterion(Own, 0.0), Own)


@pytest.mark.parametrize("criterion", ["squared_hinge", nn.MultiMarginLoss])
def test_label_smoothing_that_a_criterion_lacks_is_refused(criterion: str | type) -> None:
    with pytest.raises(
        ValueError, match=r"criterion=.* has no label smoothing; set label_smoothing=0 or use"
    ):
        make_criterion(criterion, 0.1)


def test_losses_of_outputs_are_summed() -> None:
    loss = torch.arange(6.0).reshape(2, 3)
    assert per_sample(loss, torch.zeros(2, 3)).tolist() == [3, 12]


def test_a_loss_per_sample_stays() -> None:
    assert per_sample(torch.tensor([1.0, 2.0]), torch.zeros(2, 3)).tolist() == [1, 2]


@pytest.mark.parametrize("shape", [(), (1,), (4, 2), (3, 3), (3, 2, 1)])
def test_a_loss_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must give a loss for each of the 3 samples, of shape"):
        per_sample(torch.zeros(shape), torch.zeros(3, 2))
