"""rank_pretrained: compare pretrained models for a task without training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import check_array
from sklearn.utils._param_validation import StrOptions, validate_parameter_constraints

from .._transformer import PretrainedEmbeddingTransformer
from .._utils.display.tables import format_table, html_table
from .._utils.objects.cloning import VectorsEstimator
from .._utils.optional import import_optional
from .._utils.progress import progress_bar
from .._utils.random import draw_seed, fill_seeds
from .._utils.texts import looks_like_texts
from ..contextual.safety import is_library_model
from ..fine_tuning.inputs.arrays import Arrays
from ..fine_tuning.inputs.module_features import encode_inputs
from ..fine_tuning.targets.targets import Labels
from ..models.network import ArrayEncoder, as_array
from ..models.seeds import seeded
from ..sources import load_pretrained
from .scores import h_score, logme, nearest_class_mean

SCORES = ("logme", "h_score", "nearest_class_mean")
_CONSTRAINTS = {"score": [StrOptions(set(SCORES))], "random_state": ["random_state"]}


class RankedCandidate(NamedTuple):
    """A candidate and its scores.

    Attributes
    ----------
    name : str
    logme : float
        Log evidence per sample (You et al. 2021).
    h_score : float
        H-score (Bao et al. 2019) with a shrunk covariance (Ibrahim et al. 2022).
    nearest_class_mean : float
        Leave-one-out accuracy of the nearest class mean.
    dim : int
        Number of features.
    seconds : float
        Time for the features and the scores.
    """

    name: str
    logme: float
    h_score: float
    nearest_class_mean: float
    dim: int
    seconds: float


@dataclass(frozen=True, repr=False)
class Ranking(Sequence[RankedCandidate]):
    """Candidates, best first: a sequence of :class:`RankedCandidate`.

    Attributes
    ----------
    rows : tuple of RankedCandidate
    score : {"logme", "h_score", "nearest_class_mean"}
        The score by which they are sorted.
    """

    rows: tuple[RankedCandidate, ...]
    score: str

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __repr__(self) -> str:
        return f"{self._title}\n{format_table(self._cells())}"

    def _repr_html_(self) -> str:
        return html_table(self._cells(), title=self._title)

    @property
    def _title(self) -> str:
        return f"Ranking by {self.score}, best first"

    def _cells(self) -> list[list[str]]:
        cells = [list(RankedCandidate._fields)]
        for row in self.rows:
            scores = (f"{value:.4g}" for value in row[1:4])
            cells.append([row.name, *scores, str(row.dim), f"{row.seconds:.2g}"])
        return cells

    def to_frame(self) -> Any:
        """Return the candidates as the rows of a data frame.

        Returns
        -------
        pandas.DataFrame
            With the columns name, logme, h_score, nearest_class_mean, dim and seconds.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        pandas = import_optional("pandas", extra="bench", purpose="Ranking.to_frame")
        return pandas.DataFrame(list(self.rows), columns=list(RankedCandidate._fields))


def rank_pretrained(
    candidates: Mapping[str, Any] | Sequence[Any],
    X: Any,
    y: Any,
    *,
    score: str = "logme",
    random_state: Any = None,
) -> Ranking:
    """Rank pretrained models by scores of their features for the labels, without training.

    Parameters
    ----------
    candidates : mapping of str to candidate, or sequence of candidates
        In a sequence, the name of a candidate is its model name or path, or else its type and
        position. A candidate is

        - a value of `pretrained` of :class:`PretrainedEmbeddingTransformer`: a name, a path, a
          `PretrainedVectors`, a gensim object, a `ContinuedVectors`, a `ContextualModel` or a
          `SentenceTransformer`, or a list of these. Its features are those of the transformer;
        - a scikit-learn transformer. A clone is fitted on X without y, because features that depend
          on the labels would score too high. To use a fitted transformer, wrap it in a
          :class:`sklearn.frozen.FrozenEstimator`;
        - a ``torch.nn.Module`` from (n_samples, ...) to (n_samples, d). A copy runs in evaluation
          mode, on the device of the module;
        - features: a 2-D array, shape (n_samples, d).
    X : sequence of str, or array, length n_samples
        Input of the candidates. None if all of them are features.
    y : array-like of shape (n_samples,)
        Labels of at least two classes.
    score : {"logme", "h_score", "nearest_class_mean"}, default="logme"
        Score by which the result is sorted; all three scores are computed. LogME and the H-score
        rate features for a linear model. The nearest class mean rates distances.
    random_state : int, RandomState instance or None, default=None
        Seed of all candidates that draw random numbers, except transformers with a `random_state`
        of their own. No global generator is used.

    Returns
    -------
    Ranking
        Rows with name, logme, h_score, nearest_class_mean, dim and seconds, best first;
        ``to_frame()`` returns a pandas frame.

    Raises
    ------
    ValueError
        If there are no candidates, or two with the same name; if y does not have one label per
        sample and at least two classes; if features are not finite, or not of shape
        (n_samples, d).
    TypeError
        If `candidates`, or one candidate, is of another type.
    Exception
        Any error of a candidate, with a note that names the candidate.

    See Also
    --------
    PretrainedEmbeddingTransformer : Features of pretrained vectors.
    FineTunedClassifier : Train the chosen model.

    Notes
    -----
    Scores are comparable on the same samples only. They rate features before fine-tuning.

    References
    ----------
    .. [1] You, Liu, Wang & Long, "LogME: practical assessment of pre-trained models for transfer
       learning", ICML 2021.
    .. [2] Bao et al., "An information-theoretic approach to transferability in task transfer
       learning", ICIP 2019.
    .. [3] Ibrahim, Ponomareva & Mazumder, "Newer is not always better: rethinking transferability
       metrics, their peculiarities, stability and performance", ECML PKDD 2022.

    Examples
    --------
    >>> from sklearn_transfer import PretrainedVectors, rank_pretrained
    >>> words = ["good", "great", "bad", "awful"]
    >>> tone = PretrainedVectors(words, [[1.0, 0.1], [0.9, 0.0], [-1.0, 0.1], [-0.8, 0.0]])
    >>> noise = PretrainedVectors(words, [[0.1, 1.0], [0.9, 0.3], [0.1, 0.9], [0.8, 0.2]])
    >>> texts = ["good", "great great", "good great", "bad", "awful bad", "awful"]
    >>> labels = ["pos", "pos", "pos", "neg", "neg", "neg"]
    >>> ranking = rank_pretrained({"noise": noise, "tone": tone}, texts, labels)
    >>> [row.name for row in ranking]
    ['tone', 'noise']
    >>> ranking[0].nearest_class_mean
    1.0
    """
    parameters = {"score": score, "random_state": random_state}
    validate_parameter_constraints(_CONSTRAINTS, parameters, caller_name="rank_pretrained")
    named = _name_candidates(candidates)
    y = _check_one_label(y, X)
    seed = draw_seed(random_state)
    rows = []
    with progress_bar(len(named), "candidates") as bar:
        for name, candidate in named.items():
            rows.append(_rate(name, candidate, X, y, seed))
            bar.update()
    rows.sort(key=lambda row: getattr(row, score), reverse=True)
    return Ranking(tuple(rows), score)


def _rate(name: str, candidate: Any, X: Any, y: NDArray[Any], seed: int) -> RankedCandidate:
    """Compute the features of a candidate and their scores."""
    started = perf_counter()
    try:
        features = _check_features(_extract(candidate, X, seed), name, len(y))
    except Exception as error:
        error.add_note(
            f"Raised for the candidate {name!r} of rank_pretrained, a "
            f"{type(candidate).__name__}. A candidate is pretrained vectors, a transformer, a "
            f"torch.nn.Module, or features."
        )
        raise
    scores = logme(features, y), h_score(features, y), nearest_class_mean(features, y)
    return RankedCandidate(name, *scores, features.shape[1], perf_counter() - started)


def _name_candidates(candidates: Any) -> dict[str, Any]:
    if isinstance(candidates, Mapping):
        pairs = [(str(name), candidate) for name, candidate in candidates.items()]
    elif isinstance(candidates, Sequence) and not isinstance(candidates, str | bytes):
        pairs = [
            (str(c) if isinstance(c, str | os.PathLike) else f"{type(c).__name__}[{i}]", c)
            for i, c in enumerate(candidates)
        ]
    else:
        raise TypeError(
            f"candidates must be a mapping from names to candidates, or a sequence of candidates, "
            f"got {type(candidates).__name__}. Put a single one into a list: [candidate]."
        )
    if not pairs:
        raise ValueError(
            f"candidates must hold at least one candidate, got an empty "
            f"{type(candidates).__name__}. Name some, for instance ['glove-wiki-gigaword-50']."
        )
    named: dict[str, Any] = {}
    for name, candidate in pairs:
        if name in named:
            raise ValueError(
                f"Every candidate must have a name of its own, got {name!r} twice. Name them by a "
                f"mapping: {{'one name': candidate, 'another': candidate}}."
            )
        named[name] = candidate
    return named


def _check_one_label(y: Any, X: Any) -> NDArray[Any]:
    """Validate labels, shape (n_samples,)."""
    if y is None:
        raise ValueError("rank_pretrained needs labels: y must have one per sample, got None.")
    labels: NDArray[Any] = Labels.check(y, X)
    if labels.ndim > 1:
        raise ValueError(
            f"rank_pretrained expected one label per sample, got an indicator matrix of shape "
            f"{labels.shape}. Rank for one of its columns at a time: y[:, 0]."
        )
    classes = np.unique(labels).tolist()
    if len(classes) < 2:
        raise ValueError(
            f"rank_pretrained expected labels of at least two classes, got one class: "
            f"{classes[0]!r}. Add samples of other classes."
        )
    return labels


def _extract(candidate: Any, X: Any, seed: int) -> Any:
    """Compute the features of a candidate for X, unchecked."""
    if isinstance(candidate, torch.nn.Module) and not is_library_model(candidate):
        return _encode_arrays(candidate, X, seed)
    if hasattr(candidate, "fit") and hasattr(candidate, "transform"):
        return _fit_transform(candidate, X, seed)
    if hasattr(candidate, "__array__") or issparse(candidate):
        return candidate
    if not isinstance(candidate, VectorsEstimator | list | tuple):
        candidate = load_pretrained(candidate)  # refuses other types before it looks at X
    return _fit_transform(PretrainedEmbeddingTransformer(candidate), X, seed)


def _encode_arrays(module: torch.nn.Module, X: Any, seed: int) -> NDArray[np.float32]:
    """Run a copy of a module on an array."""
    if looks_like_texts(X):
        raise ValueError(
            "A torch.nn.Module reads an array of numbers, got texts. Give X as the input of the "
            "module, or the features of the module as an array."
        )
    values = check_array(X, dtype="numeric", ensure_2d=False, allow_nd=True, input_name="X")
    tensors = (*module.parameters(), *module.buffers())
    device = tensors[0].device if tensors else torch.device("cpu")
    with seeded(seed, device, seed_global=True):
        encoder = ArrayEncoder(module).eval()
        return encode_inputs(encoder, Arrays(as_array(values, encoder)), device)


def _fit_transform(transformer: Any, X: Any, seed: int) -> Any:
    """Fit a clone of a transformer, with `seed` as each `random_state` that is None."""
    transformer = fill_seeds(clone(transformer), seed)
    if hasattr(transformer, "fit_transform"):
        return transformer.fit_transform(X)
    return transformer.fit(X, None).transform(X)


def _check_features(features: Any, name: str, n_samples: int) -> NDArray[np.float64]:
    """Validate features: finite numbers, shape (n_samples, d)."""
    expected = f"The features of the candidate {name!r} must be an array of shape ({n_samples}, d)"
    if issparse(features):
        raise ValueError(
            f"{expected}, got a {type(features).__name__}, which is sparse. Reduce it, for "
            f"example with a TruncatedSVD at the end of a pipeline."
        )
    try:
        values = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{expected} that holds numbers: {error}") from error
    if values.ndim != 2 or len(values) != n_samples or not values.shape[1]:
        raise ValueError(
            f"{expected}, a row for each label of y, got shape {values.shape}. Give one vector of "
            f"at least one feature per sample."
        )
    invalid = ~np.isfinite(values).all(axis=1)
    if invalid.any():
        raise ValueError(
            f"{expected} without NaN or infinity, got some in {invalid.sum()} of {n_samples} rows, "
            f"first in row {invalid.argmax()}. Impute them, or leave these samples out."
        )
    return values
