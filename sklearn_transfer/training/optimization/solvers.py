"""Exact solvers of linear models: those of scikit-learn, chosen by loss and shape."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack
from sklearn import config_context
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm._liblinear import set_verbosity_wrap, train_wrap

from ..._utils.devices import lacks_memory
from ..._utils.locks import ThreadLock
from ..._utils.progress import progress_bar
from ...text.linear.design import Design
from ..names import Loss
from .newton import solve_squared_hinge

# Texts are float32: a tolerance of less changes no label. The tolerance is the one of each solver.
_PRIMAL = {np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-9}
_DUAL = {np.dtype(np.float32): 5e-2, np.dtype(np.float64): 1e-10}
_NEWTON = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}
_GRADIENT = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-11}
_ABSOLUTE = {np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-6}
_MAX_ITER = 100_000
# The dual is faster up to so many samples per feature if the squared length of a sparse row is at
# most so large on average.
_MANY_SAMPLES, _SHORT_ROWS = 8, 4
# Below so many samples the dual is solved exactly, and so is the problem on a GPU.
_FEW_SAMPLES, _EXACT = 1_000, 1e-4
# A class with a smaller share of the samples is rare: most other samples have no loss.
_RARE = 1 / 32
# Size of the first working set: per sample of the rare class, and in addition.
_PER_SAMPLE, _IN_ADDITION = 2, 50
# Samples outside the working set may lie inside the margin by this much.
_SLACK = 5e-2
# So few samples, relative to the working set, do not change the solution.
_SO_FEW = 1e-3
# The working set near a solution has the samples that lie outside the margin by less than this.
_NEAR = 1e-2
# Ridge regression factorises dense matrices whose shorter side is at most this long.
_SHORT = 2_000
# The numbers of LIBLINEAR's solvers.
_DUAL_SQUARED_HINGE, _PRIMAL_SQUARED_HINGE, _DUAL_ABSOLUTE_ERROR = 1, 2, 13
# LIBLINEAR's dual solvers visit the samples in an order that they draw from one generator per
# process. Each call seeds it with the same number: a solution does not depend on random_state.
_SEED = 0
_dual_lock = ThreadLock()

# So many classes, at most, share a pass over the samples; there are at least so many such blocks.
_BLOCK = 16

_Matrix = csr_array | NDArray[np.floating]


class _Fitted(NamedTuple):
    coefficients: NDArray[np.floating]
    intercept: Any
    n_iter: int = 0
    converged: bool = True


@dataclass(frozen=True)
class LinearProblem:
    """Samples and the loss of a linear model: ``0.5 * |W|**2 + sum(weight * loss)``.

    Attributes
    ----------
    design : Design, length n_samples
    target : ndarray
        Classification: class codes, shape (n_samples,), int64, or an indicator, shape (n_samples,
        n_outputs), each column a yes or no of its own. Regression: floats, shape (n_samples,) or
        (n_samples, n_outputs).
    weight : ndarray of float, shape (n_samples,)
        Not negative, some positive. A sample of weight 2 counts as two, one of weight 0 as none.
    loss : {"squared_hinge", "cross_entropy", "squared_error", "absolute_error", "huber"}
        Squared hinge is ``max(0, 1 - y z)**2`` per class. Cross-entropy is that of the softmax for
        three or more class codes, else that of the sigmoid per column. Squared error is
        ``(y - z)**2``, absolute error ``|y - z|``, and Huber ``(y - z)**2 / 2`` up to an error of 1
        and ``|y - z| - 1/2`` above.
    n_outputs : int
        One for two classes: code 1 is positive.
    """

    design: Design
    target: NDArray[Any]
    weight: NDArray[np.floating]
    loss: Loss
    n_outputs: int

    def __getitem__(self, rows: NDArray[np.integer]) -> LinearProblem:
        """The same problem on some of the samples."""
        design, target, weight = self.design[rows], self.target[rows], self.weight[rows]
        return LinearProblem(design, target, weight, self.loss, self.n_outputs)


@dataclass(frozen=True)
class LinearSolution:
    """The parameters of a linear model, and the largest number of iterations of a solver.

    Coefficients, shape (n_features, n_outputs), are those of the sparse columns of the design,
    followed by those of the dense ones; the intercept has shape (n_outputs,).
    """

    coefficients: NDArray[np.floating]
    intercept: NDArray[np.floating]
    n_iter: int
    converged: bool

    def predict(self, design: Design) -> NDArray[np.floating]:
        """Logits or values, shape (n_samples, n_outputs)."""
        n_sparse = design.sparse.shape[1]
        outputs = design.multiply_dense(self.coefficients[n_sparse:])
        if n_sparse:
            outputs += design.sparse @ self.coefficients[:n_sparse]
        return outputs + self.intercept


def solve_linear(
    problem: LinearProblem,
    *,
    n_threads: int = 1,
    near: NDArray[np.floating] | None = None,
    device: str = "cpu",
    verbose: int = 0,
) -> LinearSolution:
    """Find the coefficients and intercepts that minimise the objective of a linear problem.

    Parameters
    ----------
    problem : LinearProblem
    n_threads : int, default=1
        Columns are solved in parallel. The solution does not depend on the number.
    near : ndarray of float, shape (n_samples, n_outputs), default=None
        Logits of the solution of a similar problem, from which squared hinge takes its first
        working set.
    device : str, default="cpu"
        On "cuda" squared hinge is solved there, if its memory suffices.
    verbose : int, default=0
        0 shows the progress bar of the columns on a terminal only.

    Returns
    -------
    LinearSolution
        In the dtype of the design. A class without samples, or without others, has coefficients of
        zero and an intercept of its sign.

    Notes
    -----
    LIBLINEAR solves the squared hinge: in the dual where there are fewer samples than features, or
    up to eight times as many with short sparse rows, else in the primal. For a rare class, and with
    `near`, it solves a working set: samples outside the margin do not change the solution, so that
    the others are enough. Samples that turn out to lie inside it by more than 0.05 are added, as
    long as there is one for a thousand of the set.

    On a GPU, Newton's method solves the squared hinge for all classes at once: on an H100 the 20
    classes of 20 Newsgroups took 0.7 s, LIBLINEAR on the CPU of that machine 12.8 s.

    LIBLINEAR penalises the intercept like a coefficient. The other solvers do not: the Newton
    method of LogisticRegression for cross-entropy, Ridge for the squared error, L-BFGS for the
    Huber loss. For the absolute error (LinearSVR) targets are centred at their weighted median.
    """
    if not np.all(problem.weight):  # LIBLINEAR swaps the signs of a class without weight
        rows = np.flatnonzero(problem.weight)
        problem, near = problem[rows], None if near is None else near[rows]
    design, target, loss = problem.design, problem.target, problem.loss
    n_outputs = problem.n_outputs
    weight = np.asarray(problem.weight, dtype=np.float64)
    X: _Matrix = design.dense
    if design.sparse.shape[1]:
        X = _with_short_indices(hstack([design.sparse, csr_array(design.dense)], format="csr"))
    coefficients = np.zeros((X.shape[1], n_outputs), dtype=X.dtype)
    intercept = np.zeros(n_outputs, dtype=X.dtype)

    def is_positive(classes: range) -> NDArray[np.bool_]:
        y = target[:, classes] if target.ndim == 2 else target[:, None]
        positive: NDArray[np.bool_] = y == (classes if target.ndim == 1 and n_outputs > 1 else 1)
        return positive

    def solve(classes: range) -> list[_Fitted]:
        if loss in _REGRESSIONS:
            y = target[:, classes] if target.ndim == 2 else target[:, None]
            return [_REGRESSIONS[loss](X, column, weight) for column in y.T.astype(np.float64)]
        positive = is_positive(classes)
        if loss == "cross_entropy":
            return [_solve_logistic(X, column, weight) for column in positive.T]
        return _solve_squared_hinge(X, positive, weight, None if near is None else near[:, classes])

    def solve_block(block: slice) -> tuple[int, bool]:
        fitted = solve(range(n_outputs)[block])
        columns, intercept[block], n_iter, converged = zip(*fitted, strict=True)
        coefficients[:, block] = np.stack(columns, axis=1)
        bar.update(len(columns))
        return max(n_iter), all(converged)

    if loss == "squared_hinge" and device.startswith("cuda"):
        solution = _solve_on_gpu(X, is_positive(range(n_outputs)), weight, device)
        if solution is not None:
            return solution
    if loss == "cross_entropy" and target.ndim == 1 and n_outputs > 1:
        fitted = _solve_softmax(X, target, weight, n_outputs)
        coefficients[:], intercept[:] = fitted[:2]
        return LinearSolution(coefficients, intercept, *fitted[2:])
    size = max(1, min(n_outputs // _BLOCK, _BLOCK))
    blocks = [slice(k, k + size) for k in range(0, n_outputs, size)]
    # Warnings of LogisticRegression are caught, which threads cannot do at the same time.
    bar = progress_bar(n_outputs, "columns of the linear model", verbose=verbose)
    with bar, ThreadPoolExecutor(1 if loss == "cross_entropy" else n_threads) as pool:
        n_iter, converged = zip(*pool.map(solve_block, blocks), strict=True)
    return LinearSolution(coefficients, intercept, max(n_iter), all(converged))


def _with_short_indices(matrix: csr_array) -> csr_array:
    """The same matrix with indices of 32 bits, which LIBLINEAR needs."""
    if matrix.nnz > np.iinfo(np.int32).max:
        raise ValueError(
            f"Expected at most {np.iinfo(np.int32).max:,} values other than zero in X, got "
            f"{matrix.nnz:,}. Use optimizer='adam', or fewer features."
        )
    indices, pointers = (a.astype(np.int32, copy=False) for a in (matrix.indices, matrix.indptr))
    return csr_array((matrix.data, indices, pointers), shape=matrix.shape)


def _solve_squared_hinge(
    X: _Matrix,
    positive: NDArray[np.bool_],
    weight: NDArray[np.float64],
    near: NDArray[np.floating] | None,
) -> list[_Fitted]:
    """Each class against the others; `positive` and `near` have shape (n_samples, n_classes)."""
    n_samples, n_features = X.shape
    dual = _is_dual_faster(X)
    solver = _DUAL_SQUARED_HINGE if dual else _PRIMAL_SQUARED_HINGE
    tolerance = (_DUAL if dual else _PRIMAL)[X.dtype]
    if dual:
        tolerance = _tighten(tolerance, n_samples)
    sign = np.where(positive, 1, -1).astype(X.dtype)
    rows = _choose_working_sets(X, sign, near)
    coefficients = np.zeros((n_features, len(rows)), dtype=X.dtype)
    fitted = [_Fitted(coefficients[:, k], sign[0, k]) for k in range(len(rows))]
    unsolved = [k for k in range(len(rows)) if np.ptp(sign[:, k])]
    while unsolved:
        for k in unsolved:
            part = X if len(rows[k]) == n_samples else X[rows[k]]
            y, given = positive[rows[k], k], weight[rows[k]]
            found = _fit_liblinear(solver, part, y, given, tolerance)
            coefficients[:, k] = found.coefficients
            n_iter = found.n_iter + fitted[k].n_iter
            fitted[k] = found._replace(coefficients=coefficients[:, k], n_iter=n_iter)
        unsolved = [k for k in unsolved if len(rows[k]) < n_samples]
        if not unsolved:
            break
        outputs = X @ coefficients[:, unsolved] + np.array([fitted[k].intercept for k in unsolved])
        loss = (1 - sign[:, unsolved] * outputs).T
        grown = {k: _grow(rows[k], loss_k) for k, loss_k in zip(unsolved, loss, strict=True)}
        unsolved = [k for k in unsolved if len(grown[k]) > len(rows[k])]
        rows = [grown.get(k, rows[k]) for k in range(len(rows))]
    return fitted


def _solve_on_gpu(
    X: _Matrix, positive: NDArray[np.bool_], weight: NDArray[np.float64], device: str
) -> LinearSolution | None:
    """The solution of LIBLINEAR's problem; None if the memory of the GPU does not suffice."""
    coefficients = np.zeros((X.shape[1] + 1, positive.shape[1]), dtype=X.dtype)
    coefficients[-1] = np.where(positive[0], 1, -1)
    tolerance = _tighten(_PRIMAL[X.dtype], len(positive))
    mixed = np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0))
    ones = np.ones((X.shape[0], 1), dtype=X.dtype)
    with_ones: _Matrix
    if isinstance(X, csr_array):
        with_ones = hstack([X, csr_array(ones)], format="csr")
    else:
        with_ones = np.hstack([X, ones])
    try:
        coefficients[:, mixed], n_iter, converged = solve_squared_hinge(
            with_ones, positive[:, mixed], weight, tolerance=tolerance, device=device
        )
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
        return None
    return LinearSolution(coefficients[:-1], coefficients[-1], n_iter, converged)


def _tighten(tolerance: float, n_samples: int) -> float:
    """The tolerance, or that of a few samples, whose problem takes no time."""
    return min(tolerance, _EXACT) if n_samples < _FEW_SAMPLES else tolerance


def _is_dual_faster(X: _Matrix) -> bool:
    """True if the dual is faster, in which the samples are the unknowns.

    Texts have rows of length one or two, so that the dual is well conditioned.
    """
    n_samples, n_features = X.shape
    if not isinstance(X, csr_array) or X.dtype == np.float64:
        return bool(n_samples < n_features)
    is_short = X.data @ X.data <= _SHORT_ROWS * n_samples
    return bool(n_samples < (_MANY_SAMPLES * n_features if is_short else n_features))


def _choose_working_sets(
    X: _Matrix, sign: NDArray[np.floating], near: NDArray[np.floating] | None
) -> list[NDArray[np.int64]]:
    """For each class the rows to begin with, of both signs, in ascending order."""
    n_samples, n_classes = sign.shape
    sets = [np.arange(n_samples)] * n_classes
    if X.dtype == np.float64:  # exact
        return sets
    if near is not None:
        for k, inside in enumerate((sign * near < 1 + _NEAR).T):
            rows = np.flatnonzero(inside)
            if 2 * len(rows) <= n_samples and np.unique(sign[rows, k]).size == 2:
                sets[k] = rows
        return sets
    is_rare = sign == np.where(2 * (sign > 0).sum(axis=0) < n_samples, 1, -1)
    n_rare = is_rare.sum(axis=0)
    size = (1 + _PER_SAMPLE) * n_rare + _IN_ADDITION
    chosen = np.flatnonzero((n_rare < _RARE * n_samples) & (2 * size <= n_samples))
    if len(chosen):
        # The others that are most similar to the rare class.
        similarity = X @ (X.T @ is_rare[:, chosen].astype(X.dtype))
        similarity[is_rare[:, chosen]] = np.inf
        for k, column in zip(chosen.tolist(), similarity.T, strict=True):
            sets[k] = np.sort(np.argpartition(-column, size[k] - 1)[: size[k]])
    return sets


def _grow(rows: NDArray[np.int64], loss: NDArray[np.floating]) -> NDArray[np.int64]:
    """The working set and the samples inside the margin that it lacks; all samples if large."""
    loss[rows] = 0
    wrong = np.flatnonzero(loss > _SLACK)
    if len(wrong) < _SO_FEW * len(rows):
        return rows
    worst = wrong[np.argsort(-loss[wrong], kind="stable")[: len(rows)]]
    grown = np.sort(np.concatenate([rows, worst]))
    return grown if 2 * len(grown) <= len(loss) else np.arange(len(loss))


def _fit_liblinear(
    solver: int, X: _Matrix, y: NDArray[Any], weight: NDArray[np.float64], tolerance: float
) -> _Fitted:
    """Call LIBLINEAR as LinearSVC and LinearSVR do, without their checks and float64 copies.

    For small working sets of many classes these take several times as long as the solver.
    """
    set_verbosity_wrap(0)
    dual = solver != _PRIMAL_SQUARED_HINGE
    n_features, empty = X.shape[1], X.size == 0
    if empty:  # LIBLINEAR takes the address of the first value
        X = np.zeros((len(y), 1))
    sparse = isinstance(X, csr_array)
    X = X if sparse else np.ascontiguousarray(X)
    class_weight = np.ones(2) if y.dtype == bool else np.empty(0)
    y = y.astype(np.float64)
    with _dual_lock if dual else nullcontext():
        parameters, n_iter = train_wrap(
            *(X, y, sparse, solver, tolerance, 1.0, 1.0),  # bias, C
            *(class_weight, _MAX_ITER, _SEED, 0.0, weight),  # epsilon
        )
    n_iter = int(n_iter[0])
    coefficients = np.zeros(n_features) if empty else parameters[0, :-1]
    return _Fitted(coefficients, parameters[0, -1], n_iter, n_iter < _MAX_ITER)


def _fit_logistic(
    X: _Matrix, y: NDArray[Any], weight: NDArray[np.float64], C: float = 1.0
) -> LogisticRegression:
    model = LogisticRegression(C=C, solver="newton-cg", tol=_NEWTON[X.dtype], max_iter=1000)
    with config_context(assume_finite=True), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, sample_weight=weight)
    model.has_converged = not caught  # otherwise its line search failed, or its iterations ran out
    return model


def _outcome(model: LogisticRegression) -> tuple[int, bool]:
    return int(model.n_iter_.max()), model.has_converged


def _solve_logistic(
    X: _Matrix, positive: NDArray[np.bool_], weight: NDArray[np.float64]
) -> _Fitted:
    """One column of an indicator, or two classes."""
    if positive.all() or not positive.any():
        log_odds = np.log1p(2 * weight.sum())
        return _Fitted(np.zeros(X.shape[1]), log_odds if positive[0] else -log_odds)
    model = _fit_logistic(X, positive, weight)
    return _Fitted(model.coef_[0], model.intercept_[0], *_outcome(model))


def _solve_softmax(
    X: _Matrix, codes: NDArray[np.int64], weight: NDArray[np.float64], n_classes: int
) -> _Fitted:
    """All classes together; those without a sample have the least logit."""
    present = np.unique(codes)
    coefficients = np.zeros((X.shape[1], n_classes), dtype=X.dtype)
    intercept = np.zeros(n_classes)
    outcome = 0, True
    if len(present) == 2:  # one column, z, stands for -z/2 and z/2, whose penalty is half as large
        model = _fit_logistic(X, codes, weight, C=2.0)
        coefficients[:, present] = model.coef_.T * [-0.5, 0.5]
        intercept[present] = model.intercept_ * [-0.5, 0.5]
        outcome = _outcome(model)
    elif len(present) > 2:
        model = _fit_logistic(X, codes, weight)
        coefficients[:, present], intercept[present] = model.coef_.T, model.intercept_
        outcome = _outcome(model)
    absent = np.setdiff1d(np.arange(n_classes), present)
    intercept[absent] = intercept[present].min() - np.log1p(2 * weight.sum())
    return _Fitted(coefficients, intercept, *outcome)


def _solve_squared_error(
    X: _Matrix, y: NDArray[np.float64], weight: NDArray[np.float64]
) -> _Fitted:
    direct = not isinstance(X, csr_array) and min(X.shape) <= _SHORT
    solver = "cholesky" if direct else "sparse_cg"
    model = Ridge(0.5, solver=solver, tol=_GRADIENT[X.dtype])
    model.fit(X, y, sample_weight=weight)
    n_iter = 1 if model.n_iter_ is None else int(np.max(model.n_iter_))
    return _Fitted(model.coef_, model.intercept_, n_iter)


def _solve_absolute_error(
    X: _Matrix, y: NDArray[np.float64], weight: NDArray[np.float64]
) -> _Fitted:
    order = np.argsort(y, kind="stable")
    middle = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
    median = y[order][middle]
    fitted = _fit_liblinear(_DUAL_ABSOLUTE_ERROR, X, y - median, weight, _ABSOLUTE[X.dtype])
    return fitted._replace(intercept=fitted.intercept + median)


def _solve_huber(X: _Matrix, y: NDArray[np.float64], weight: NDArray[np.float64]) -> _Fitted:
    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, intercept = parameters[:-1], parameters[-1]
        error = X @ w + intercept - y
        slope = np.clip(error, -1, 1)
        value = 0.5 * w @ w + weight @ (slope * (error - 0.5 * slope))
        slope *= weight
        return value, np.append(w + X.T @ slope, slope.sum())

    start = np.append(np.zeros(X.shape[1]), np.average(y, weights=weight))
    found = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITER, "gtol": _GRADIENT[X.dtype] * weight.sum(), "ftol": 0.0},
    )
    # Where rounding ends the line search there is nothing left to gain.
    n_iter = int(found.nit)
    return _Fitted(found.x[:-1], found.x[-1], n_iter, n_iter < _MAX_ITER)


_REGRESSIONS = {
    "squared_error": _solve_squared_error,
    "absolute_error": _solve_absolute_error,
    "huber": _solve_huber,
}
