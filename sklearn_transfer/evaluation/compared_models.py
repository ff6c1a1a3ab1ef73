"""The models that a transfer report compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

from sklearn.base import clone, is_classifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from .._fine_tuned import FineTuned
from .._utils.random import fill_seeds
from ..fine_tuning.config import resolve
from ..fine_tuning.inputs import find_kind
from ..fine_tuning.parameters import Parameters
from ..fine_tuning.protocol import Configuration, Kind
from ..fine_tuning.targets.targets import Labels
from ..fine_tuning.targets.values import Values
from ..fine_tuning.usage import find_unused
from ..sources import find_input_kind
from ..text.tokenization.patterns import UNSPACED
from ..training.policies import Contrastive

# Words as scikit-learn's default has them, and single characters of scripts without spaces.
_TOKEN = rf"[{UNSPACED}]|[^\W{UNSPACED}]{{2,}}"

FINE_TUNED, FROZEN, RANDOM, TFIDF = "fine-tuned", "frozen", "random", "tf-idf"


@dataclass(frozen=True)
class ComparedModels:
    """An estimator and the compared models.

    Attributes
    ----------
    estimator : FineTunedClassifier, FineTunedRegressor or Pipeline
        The given estimator.
    last_steps : dict of str to estimator
        The compared models by name, in place of the estimator or of the last step of the pipeline.
        The first is the given estimator.
    left_out : dict of str to str
        Models that cannot be made, with the reason.
    kind, config : Kind, Configuration
        Kind of X and configuration of the estimator.
    """

    estimator: Any
    last_steps: dict[str, Any]
    left_out: dict[str, str]
    kind: Kind
    config: Configuration

    @property
    def names(self) -> list[str]:
        """Names of the models that can be made; the given estimator is the first."""
        return list(self.last_steps)

    def build(self, model: str, seed: int) -> Any:
        """Make an unfitted estimator; each `random_state` that is None becomes `seed`."""
        last = clone(self.last_steps[model])
        if model == RANDOM:
            last.set_params(**self.kind.randomise(self.config, seed))
        if isinstance(self.estimator, Pipeline):
            name = self.estimator.steps[-1][0]
            last = clone(self.estimator).set_params(**{name: last})
        return fill_seeds(last, seed)


def compare_models(estimator: Any, n_samples: int, baseline: Any, seed: int) -> ComparedModels:
    """Derive the compared models from an estimator, or from a pipeline that ends in one.

    Parameters
    ----------
    estimator : FineTunedClassifier, FineTunedRegressor or Pipeline
    n_samples : int
        Training samples of a split, for the candidates of ``adaptation="auto"``.
    baseline : estimator
        Model of texts without pretraining.
    seed : int
        Seed of random weights, which are made once as a check.

    Returns
    -------
    ComparedModels
    """
    last = find_last(estimator)
    kind = find_kind(Parameters.of(last).pretrained)
    configs = _resolve_all(last, kind, n_samples)
    steps, left_out = {}, {}
    if all(map(_is_frozen, configs)):
        steps[FROZEN] = last
        left_out[FINE_TUNED] = (
            "the policy of the estimator trains no pretrained layer; give adaptation='full'"
        )
    else:
        steps[FINE_TUNED] = last
        try:
            steps[FROZEN] = _freeze(last, kind, n_samples)
        except ValueError as error:
            left_out[FROZEN] = str(error)
    try:
        kind.randomise(configs[-1], seed)
        steps[RANDOM] = last
    except ValueError as error:
        left_out[RANDOM] = str(error)
    if find_input_kind(last.pretrained) == "texts":
        steps[TFIDF] = baseline
    else:
        left_out[TFIDF] = "X is not texts"
    return ComparedModels(estimator, steps, left_out, kind, configs[-1])


def find_last(estimator: Any) -> FineTuned:
    """Return the estimator, or the last step of a pipeline; an error if it cannot be compared."""
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, FineTuned):
        raise TypeError(
            f"transfer_report expected a FineTunedClassifier or FineTunedRegressor, or a pipeline "
            f"that ends in one, got {type(last).__name__}. Of a search, give its best_estimator_."
        )
    if last.pretrained is None:
        raise ValueError(
            "transfer_report compares a model with and without pretrained weights, and got an "
            "estimator with pretrained=None. Name a model, for instance "
            "pretrained='glove-wiki-gigaword-50', also in a pipeline: with "
            "PretrainedEmbeddingTransformer as a step there is nothing to compare."
        )
    if last.distill_from is not None:
        raise ValueError(
            "transfer_report needs distill_from=None: all compared models would learn from the "
            "teacher."
        )
    if getattr(last, "unlabelled", None) is not None:
        raise ValueError(
            "transfer_report needs unlabelled=None and a label for each sample: it scores all "
            "samples, and compares numbers of labels."
        )
    return last


def make_baseline(estimator: FineTuned, *, multilabel: bool, probabilities: bool) -> Any:
    """Make a pipeline of TF-IDF of words and pairs of words, and a linear model.

    In a script without spaces between words, characters are words.

    Parameters
    ----------
    estimator : FineTunedClassifier or FineTunedRegressor
        The source of tokenizer and class weights.
    multilabel : bool
        Whether y is an indicator matrix.
    probabilities : bool
        Whether the score needs `predict_proba`, which a support vector machine does not have.

    Returns
    -------
    Pipeline
    """
    options: dict[str, Any] = {
        "sublinear_tf": True,
        "ngram_range": (1, 2),
        "token_pattern": _TOKEN,
    }
    if estimator.tokenizer is not None:
        options |= {"tokenizer": estimator.tokenizer, "token_pattern": None, "lowercase": False}
    vectorizer = TfidfVectorizer(**options)
    if not is_classifier(estimator):
        return make_pipeline(vectorizer, Ridge())
    weight = estimator.class_weight
    linear: Any = LinearSVC(class_weight=weight)
    if probabilities:
        linear = LogisticRegression(C=10, class_weight=weight, max_iter=1000)
    return make_pipeline(vectorizer, OneVsRestClassifier(linear) if multilabel else linear)


def _resolve_all(model: FineTuned, kind: Kind, n_samples: int) -> list[Configuration]:
    """The configurations of a model: one, or with ``adaptation="auto"`` one per policy."""
    parameters = Parameters.of(model)
    policies: Sequence[Any] = [parameters.adaptation]
    if isinstance(parameters.adaptation, str) and parameters.adaptation == "auto":
        policies = kind.candidates(parameters, n_samples)
    task = Labels if is_classifier(model) else Values
    return [resolve(parameters, kind, task, policy, seed=0) for policy in policies]


def _is_frozen(config: Configuration) -> bool:
    # A contrastive stage trains the encoder before it is frozen.
    return config.is_frozen and not isinstance(config.policy, Contrastive)


def _freeze(last: FineTuned, kind: Kind, n_samples: int) -> FineTuned:
    """The same model with frozen pretrained layers; unused parameters get their defaults."""
    frozen: FineTuned = clone(last).set_params(adaptation="frozen")
    defaults = signature(type(last).__init__).parameters
    unused = find_unused(frozen, _resolve_all(frozen, kind, n_samples))
    names = [name for group in unused.values() for name in group]
    return frozen.set_params(**{name: defaults[name].default for name in names})
