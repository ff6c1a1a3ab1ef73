from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import CPU, same, state_of

from sklearn_transfer.fine_tuning.inputs.arrays import ModuleInputs
from sklearn_transfer.fine_tuning.inputs.module_features import ModuleFeatures
from sklearn_transfer.models.seeds import seeded


def made() -> nn.Sequential:
    with seeded(0, seed_global=True):
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))


def numbers(n: int = 9) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 3)).astype(np.float32)


def fitted(X: np.ndarray, module: nn.Module | None = None, scale: float = 3.0):
    features = ModuleFeatures(ModuleInputs(module or made()), scale, CPU)
    return features, features.fit_transform(X, None, np.ones(len(X)))


def test_features_are_what_the_module_gives_in_prediction() -> None:
    X, module = numbers(600), made()
    features, design = fitted(X, module)
    expected = module.eval()(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(
        design.dense / features.factor + features.mean, expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("scale", [3.0, 0.5])
def test_features_are_centred_with_the_scale_as_norm(scale: float) -> None:
    dense = fitted(numbers(), scale=scale)[1].dense
    np.testing.assert_allclose(dense.mean(0), 0, atol=1e-6)
    assert np.square(dense).sum(1).mean() == pytest.approx(scale**2, rel=1e-4)


def test_a_weight_of_two_counts_as_two_samples() -> None:
    X, twice = numbers(), np.repeat(np.arange(9), 1 + np.arange(9) % 2)
    features = [ModuleFeatures(ModuleInputs(made()), 3.0, CPU) for _ in range(2)]
    features[0].fit_transform(X, None, 1.0 + np.arange(9) % 2)
    features[1].fit_transform(X[twice], None, np.ones(len(twice)))
    np.testing.assert_allclose(features[0].transform(X).dense, features[1].transform(X).dense, 1e-4)


def test_centre_and_scale_are_those_of_the_training_samples() -> None:
    X = numbers()
    features, design = fitted(X)
    np.testing.assert_allclose(features.transform(X[3:5]).dense, design.dense[3:5], rtol=1e-4)


def test_equal_samples_are_at_the_centre() -> None:
    assert not fitted(np.ones((4, 3), dtype=np.float32))[1].dense.any()


def test_features_have_no_sparse_columns() -> None:
    assert fitted(numbers())[1].sparse.shape == (9, 0)


def test_the_module_is_left_as_it_is() -> None:
    module = made()
    before = state_of(module)
    fitted(numbers(), module)
    assert same(state_of(module), before)
    assert module.training


class Overwriting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2)


def test_a_module_that_writes_into_its_input_leaves_x() -> None:
    X = numbers()
    before = X.copy()
    fitted(X, Overwriting())
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("change", ["read-only", "backwards"])
def test_arrays_that_torch_does_not_take_are_encoded(change: str) -> None:
    X = numbers()[::-1] if change == "backwards" else numbers()
    X.flags.writeable = change != "read-only"
    np.testing.assert_array_equal(fitted(X)[1].dense, fitted(X.copy())[1].dense)


def test_features_that_are_not_finite_are_counted() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x > 0.5, torch.nan, x)

    X = numbers()
    n = int((X > 0.5).any(axis=1).sum())
    with pytest.raises(ValueError, match=f"Broken gives NaN or infinite features for {n} of 9 sam"):
        fitted(X, Broken())
