"""Temporary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC, LinearSVR


@dataclass(frozen=True)
class LinearSolution:
    coefficients: Any
    intercept: Any
    n_iter: int
    converged: bool


def solve_linear(design, target, weight, loss, *, seed=0, n_threads=1):
    X = (
        hstack([csr_matrix(design.sparse), csr_matrix(design.dense)]).tocsr().astype(np.float64)
        if design.sparse.shape[1]
        else design.dense.astype(np.float64)
    )

    def out(ms, bias=None):
        return LinearSolution(
            np.stack([np.ravel(m.coef_) for m in ms], 1),
            np.array([np.ravel(m.intercept_)[0] for m in ms]),
            max(int(np.max(m.n_iter_ if m.n_iter_ is not None else 1)) for m in ms),
            True,
        )

    if loss in ("squared_hinge", "cross_entropy"):
        make = (
            (lambda: LinearSVC(dual=False))
            if loss == "squared_hinge"
            else (lambda: LogisticRegression(max_iter=500))
        )
        if target.ndim == 2:
            cols = target.T
        elif target.max() == 1:
            cols = [target]
        elif loss == "cross_entropy":
            m = make().fit(X, target, weight)
            return LinearSolution(m.coef_.T, m.intercept_, int(m.n_iter_.max()), True)
        else:
            cols = [target == k for k in range(target.max() + 1)]
        ms = []
        for c in cols:
            c = np.asarray(c).astype(int)
            if c.min() == c.max():

                class M:
                    coef_ = np.zeros(X.shape[1])
                    intercept_ = np.array([2.0 * c[0] - 1])
                    n_iter_ = 0

                ms.append(M)
            else:
                ms.append(make().fit(X, c, weight))
        return out(ms)
    if loss == "squared_error":
        ms = [Ridge(alpha=0.5).fit(X, c, weight) for c in target.T]
        return out(ms)
    return out(
        [LinearSVR(epsilon=0.0, random_state=0, max_iter=5000).fit(X, c, weight) for c in target.T]
    )
