"""Logits of samples that were left out of a fit, for probabilities and thresholds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._utils.progress import progress_bar
from ..training.optimization.solvers import LinearProblem, solve_linear

# So many left-out samples determine one temperature, or one threshold, well enough.
_ENOUGH = 1500


def predict_left_out(  # noqa: PLR0913 (three are those of solve_linear)
    problem: LinearProblem,
    folds: NDArray[np.int64],
    logits: NDArray[np.floating],
    *,
    n_threads: int = 1,
    device: str = "cpu",
    all_folds: bool = False,
    verbose: int = 0,
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Predict samples with linear models that were fitted without them.

    Folds are left out in turn, until the samples that were left out weigh 1500, or until
    the last one (`all_folds`).

    Parameters
    ----------
    problem : LinearProblem
    folds : ndarray of int64, shape (n_samples,)
        -1 for samples that are never left out.
    logits : ndarray of float, shape (n_samples, n_outputs)
        Of the model that was fitted on all samples, to which the others are similar.
    n_threads : int, default=1
    device : str, default="cpu"
    all_folds : bool, default=False
    verbose : int, default=0
        0 shows a progress bar on a terminal only.

    Returns
    -------
    logits : ndarray of float, shape (n_left_out, n_outputs)
    rows : ndarray of int64, shape (n_left_out,)
    """
    predicted, rows = [logits[:0]], [np.zeros(0, dtype=np.int64)]
    total = 0.0
    n_folds = int(folds.max(initial=-1)) + 1
    with progress_bar(n_folds, "calibration folds", verbose=verbose) as bar:
        for fold in range(n_folds):
            left_out, kept = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            if len(left_out) and (all_folds or total < _ENOUGH):
                solution = solve_linear(
                    problem[kept], n_threads=n_threads, near=logits[kept], device=device
                )
                predicted.append(solution.predict(problem.design.unseen(left_out)))
                rows.append(left_out)
                total += problem.weight[left_out].sum()
            bar.update()
    return np.concatenate(predicted), np.concatenate(rows)
