"""transfer_report: a fine-tuned model compared with models without transfer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils._param_validation import Interval, validate_parameter_constraints

from .._utils.progress import progress_bar
from .._utils.random import draw_seed
from ..fine_tuning.targets.targets import Labels, Task
from ..fine_tuning.targets.values import Values
from ..models.seeds import derive_seed
from ..sources import find_input_kind
from .compared_models import ComparedModels, compare_models, find_last, make_baseline
from .report import TransferReport
from .splits import Split, make_splits, resolve_sizes

_CONSTRAINTS = {
    "cv": ["cv_object"],
    "train_sizes": ["array-like"],
    "scoring": [str, callable, None],
    "confidence": [Interval(Real, 0, 1, closed="neither")],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def transfer_report(  # noqa: PLR0913 (the parameters of cross-validation)
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    train_sizes: Any = (0.1, 0.3, 1.0),
    scoring: Any = None,
    confidence: float = 0.95,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> TransferReport:
    """Compare an estimator with models without transfer, on growing numbers of labels.

    These models are fitted on the same splits, with the same seeds:

    - "fine-tuned": the given estimator;
    - "frozen": the estimator with ``adaptation="frozen"``;
    - "random": the estimator with random instead of pretrained weights;
    - "tf-idf": for texts, a linear model on TF-IDF of words and pairs of words. It is
      :class:`~sklearn.svm.LinearSVC`, or :class:`~sklearn.linear_model.LogisticRegression` for
      scores of probabilities and for callables. For continuous targets it is
      :class:`~sklearn.linear_model.Ridge`.

    Parameters
    ----------
    estimator : FineTunedClassifier, FineTunedRegressor, or Pipeline that ends in one
        Clones of the estimator are fitted; the estimator itself is unchanged.
    X : sequence of str, or array, length n_samples
        Input of the estimator.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Labels, an indicator matrix, or values.
    cv : int, splitter or iterable of (train, test), default=5
        An int is the number of folds, which are shuffled and, for classes, stratified. For other
        values see :func:`sklearn.model_selection.check_cv`.
    train_sizes : sequence of float or int, default=(0.1, 0.3, 1.0)
        Numbers of labels: shares of the training samples of a split, or absolute numbers. Smaller
        training sets are subsets of larger ones. They are stratified and contain all classes.
    scoring : str or callable, default=None
        A single score, see :func:`sklearn.metrics.check_scoring`. None is "accuracy" for
        classifiers and "r2" for regressors. The accuracy of an indicator matrix is the share of
        rows without an error.
    confidence : float, default=0.95
        Level of the intervals.
    n_jobs : int, default=None
        Number of processes that fit in parallel. None is 1.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, the smaller training sets, the random weights, and of every
        `random_state` in the estimator that is None. No global generator is used.
    verbose : int, default=0
        If the fits take longer than two seconds, 1 shows a progress bar; on a terminal, 0 does,
        too.

    Returns
    -------
    TransferReport
        Scores, paired differences and their intervals; ``print``, ``to_frame()`` and ``plot()``
        show them.

    Raises
    ------
    TypeError
        If the estimator is of another type.
    ValueError
        If the estimator has no pretrained model or learns from a teacher, or if `train_sizes` are
        out of range.
    Exception
        Any error of the estimator itself, with a note. A compared model that fails is left out, and
        the report gives the reason.

    See Also
    --------
    rank_pretrained : Compares pretrained models without training.
    LabelEfficiencyDisplay : Draw the report.

    Notes
    -----
    Random weights are trained by the policy of the estimator, so that only the initial weights
    differ. Layers that the policy freezes stay random. Set ``adaptation="full"`` to compare with
    training from scratch. Random weights depend on the pretrained model:

    - Linear bag of words, the default: a model of token weights without a pretrained block. Token
      weights start at zero, and pretrained vectors are not trained.
    - Word vectors in mini-batches, or frozen: random directions for the words of the training texts
      that have a pretrained vector, with the norms of the pretrained vectors in random order.
    - Sentence encoders: a model from the same configuration, with random weights.
    - Torch modules: a copy, after ``reset_parameters`` of its parts. If a parameter is not reset,
      the model is left out.

    Intervals of scores and of paired differences are corrected for the overlap of training samples
    (Nadeau & Bengio 2003 [1]_). The correction uses the ratio of test to training samples of whole
    splits, and assumes splits of similar size.

    References
    ----------
    .. [1] Nadeau & Bengio, "Inference for the generalization error", Machine Learning 52, 2003.

    Examples
    --------
    >>> from sklearn_transfer import FineTunedClassifier, PretrainedVectors, transfer_report
    >>> good, bad = ["good", "great", "fine", "superb"], ["bad", "awful", "poor", "dire"]
    >>> vectors = PretrainedVectors(good + bad, [[1.0, 0.1]] * 4 + [[-1.0, 0.1]] * 4)
    >>> report = transfer_report(
    ...     FineTunedClassifier(vectors), good + bad, [1] * 4 + [0] * 4, cv=4, random_state=0
    ... )
    >>> list(report.scores)
    ['fine-tuned', 'frozen', 'random', 'tf-idf']
    >>> bool(report.difference_intervals("random")[-1, 0] > 0)  # no word occurs twice
    True
    """
    options = {"cv": cv, "train_sizes": train_sizes, "scoring": scoring, "confidence": confidence}
    options |= {"n_jobs": n_jobs, "random_state": random_state, "verbose": verbose}
    validate_parameter_constraints(_CONSTRAINTS, options, caller_name="transfer_report")
    last = find_last(estimator)
    X = X if isinstance(estimator, Pipeline) else _flatten(last, X)
    data = _check_data(last, X, y)
    seed = draw_seed(random_state)
    splits = make_splits(cv, data.X, data.y, data.groups, seed)
    n_train = min(len(train) for train, _ in splits)
    sizes = resolve_sizes(train_sizes, n_train, len(np.unique(data.groups)))
    scorer, score_name = _resolve_scoring(last, scoring)
    # A callable may ask for probabilities.
    probabilities = callable(scoring) or "predict_proba" in str(scorer)
    baseline = make_baseline(last, multilabel=data.is_multilabel, probabilities=probabilities)
    models = compare_models(estimator, n_train, baseline, derive_seed(seed, 0))
    comparison = _Comparison(models, data, splits, sizes, scorer, seed)
    scores, seconds, failed = comparison.run(n_jobs, verbose)
    return TransferReport(
        scores=scores,
        fit_seconds=seconds,
        train_sizes=sizes,
        left_out={**models.left_out, **failed},
        score_name=score_name,
        test_ratio=float(np.mean([len(test) / len(train) for train, test in splits])),
        confidence=confidence,
    )


@dataclass(frozen=True)
class _Data:
    """Checked samples and targets, and the classes in which they are stratified."""

    X: Any
    y: NDArray[Any]
    groups: NDArray[np.int64]
    is_multilabel: bool

    def take(self, rows: NDArray[np.int64]) -> tuple[Any, NDArray[Any]]:
        """Some of the samples and their targets."""
        return _safe_indexing(self.X, rows), self.y[rows]


def _flatten(last: Any, X: Any) -> Any:
    """One column of texts as an array; TF-IDF reads the names of the columns of a frame."""
    if find_input_kind(last.pretrained) == "texts" and getattr(X, "shape", ())[1:] == (1,):
        return np.asarray(X, dtype=object).ravel()
    return X


def _check_data(last: Any, X: Any, y: Any) -> _Data:
    task_type: type[Task] = Labels if is_classifier(last) else Values
    X = list(X) if isinstance(X, Iterator) else X
    y = task_type.check(y, X)
    (X,) = indexable(X)
    task = task_type.learn(y, np.ones(len(y)))
    groups = task.groups(task.encode(y))
    return _Data(X, y, groups, is_multilabel=is_classifier(last) and y.ndim == 2)


def _resolve_scoring(last: Any, scoring: Any) -> tuple[Any, str]:
    """The scorer, and its name."""
    if scoring is None:
        scoring = "accuracy" if is_classifier(last) else "r2"
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", str(scoring))
    return check_scoring(last, scoring=scoring), name


class _Job(NamedTuple):
    """One fit: a model, the position of a number of labels, a split."""

    model: str
    size: int
    split: int


class _Result(NamedTuple):
    """Score and seconds of a fit, or the error of a compared model."""

    score: float = np.nan
    seconds: float = np.nan
    error: Exception | None = None


@dataclass(frozen=True)
class _Comparison:
    """All fits of a report."""

    models: ComparedModels
    data: _Data
    splits: list[Split]
    sizes: NDArray[np.int64]
    scorer: Any
    seed: int

    def run(
        self, n_jobs: int | None, verbose: int
    ) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]], dict[str, str]]:
        """Scores and seconds by model, (n_sizes, n_splits) each, and the reasons of failures."""
        n_sizes, n_splits = len(self.sizes), len(self.splits)
        jobs = [
            _Job(model, size, split)
            for split in range(n_splits)
            for size in range(n_sizes)
            for model in self.models.names
        ]
        shape = (n_sizes, n_splits)
        scores = {model: np.full(shape, np.nan) for model in self.models.names}
        seconds = {model: np.full(shape, np.nan) for model in self.models.names}
        failed: dict[str, str] = {}
        parallel = Parallel(n_jobs=n_jobs, return_as="generator")
        # Calls are made as workers become free: random models are not all held at once.
        results = parallel(map(self._prepare, jobs))
        with progress_bar(len(jobs), "fits", verbose=verbose) as bar:
            for job, result in zip(jobs, results, strict=True):
                scores[job.model][job.size, job.split] = result.score
                seconds[job.model][job.size, job.split] = result.seconds
                if result.error is not None:
                    failed.setdefault(job.model, f"{self._place(job)} failed: {result.error!r}")
                bar.update()
        for model in failed:
            del scores[model], seconds[model]
        return scores, seconds, failed

    def _prepare(self, job: _Job) -> Any:
        """The call that a worker makes."""
        seed = derive_seed(self.seed, job.split)
        estimator = self.models.build(job.model, seed)
        train, test = self.splits[job.split]
        train = train[: self.sizes[job.size]]
        is_given = job.model == self.models.names[0]
        note = f"Raised by transfer_report: {self._place(job)} of the model {job.model!r}."
        return delayed(_fit_and_score)(
            estimator,
            self.data.take(train),
            self.data.take(test),
            self.scorer,
            note=note if is_given else None,
        )

    def _place(self, job: _Job) -> str:
        return f"the fit on {self.sizes[job.size]} labels of split {job.split}"


def _fit_and_score(
    estimator: Any,
    train: tuple[Any, NDArray[Any]],
    test: tuple[Any, NDArray[Any]],
    scorer: Any,
    *,
    note: str | None,
) -> _Result:
    """Fit and score; with a note, an error is raised, and otherwise returned."""
    try:
        started = perf_counter()
        estimator.fit(*train)
        seconds = perf_counter() - started
        return _Result(float(scorer(estimator, *test)), seconds)
    except Exception as error:
        if note is None:
            return _Result(error=error)
        error.add_note(note)
        raise
