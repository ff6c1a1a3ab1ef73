"""The common part of the fine-tuned estimators: fit, continued fits, features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
)

from . import fine_tuning
from ._utils.objects.cloning import CloneSharesPretrained
from ._utils.objects.state import State
from .explanation.explained import ExplainsOutputs
from .exports.exportable import Exports
from .fine_tuning.fitted.prediction import LinearPredictor, Predictor, SavedNetwork
from .fine_tuning.parameters import Parameters
from .fine_tuning.semi_supervised.unlabelled import (
    SelfTraining,
    UnlabelledSamples,
    check_labelled,
    has_names_only,
    split_labels,
)
from .fine_tuning.splits import LabelledSamples, hold_out, take
from .fine_tuning.targets.class_names import find_unsampled
from .fine_tuning.targets.targets import Labels, Task
from .fine_tuning.teachers import check_teacher
from .persistence.model_files import SavesModel, restore_output
from .sources import RelocatesPretrained, find_input_kind
from .training.policies import Choice
from .vectors.pretrained_vectors import PretrainedVectors

if TYPE_CHECKING:
    from .fine_tuning.fit import Fitted
    from .fine_tuning.protocol import Configuration, Kind


class FineTuned(
    ExplainsOutputs,
    Exports,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    RelocatesPretrained,
    SavesModel,
    CloneSharesPretrained,
):
    """Base of the estimators that fine-tune a pretrained model for a task.

    A fit works on a draft, a shallow copy of the estimator, and the estimator takes over the draft
    at the end: a fit that fails or is interrupted leaves the estimator as it was.
    """

    _shared = ("distill_from",)
    _task_type: ClassVar[type[Task]]
    _fitted: Predictor

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Train on texts, arrays or features, and their targets.

        Parameters
        ----------
        X : iterable of str, or array or sparse matrix of shape (n_samples, n_features)
            Texts, or lists of tokens with a `tokenizer`. An array of shape (n_samples, ...) if
            `pretrained` is a torch module, and a matrix of numbers if it is None.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets of any kind that scikit-learn accepts. None only with `distill_from`.
        sample_weight : array-like of shape (n_samples,), default=None
            A sample of weight 2 counts as two samples, a sample of weight 0 as none.
        X_val, y_val : like X and y, default=None
            Validation samples, which are evaluated after every epoch and never trained on. With
            them, `early_stopping` holds out no samples. With ``unlabelled="auto"``, validation
            samples without a label are left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If inputs or parameters have values that are not allowed.
        TypeError
            If an element of the texts is not a string; the message names its position.
        """
        parameters = Parameters.of(self)
        kind, draft = fine_tuning.find_kind(parameters.pretrained), self._draft()
        given = y if self.distill_from is None else None
        X, y, weight, unlabelled = self._check_all(parameters, kind, draft, (X, y, sample_weight))
        configs = self._resolve_policies(parameters, kind, y, has_validation=X_val is not None)
        if unsampled := find_unsampled(parameters.class_names, y):
            configs = fine_tuning.choose_named(configs, unsampled)
        fine_tuning.warn_unused(self, [config for _, config in configs])
        previous = self._find_previous([config for _, config in configs])
        columns = getattr(given, "columns", None)
        task = (
            self._task_type.learn(y, weight, parameters.class_names, columns)
            if previous is None
            else previous.task.named(given).with_class_names(parameters.class_names)
        )
        samples = LabelledSamples(X, task.encode(y), weight)
        validation = _check_validation(kind, draft, task, X_val, y_val)
        draft.adaptation_, config = fine_tuning.select_policy(configs, task, samples, validation)
        train, held_out = _hold_out(config, task, samples, validation)
        added = None
        if unlabelled is not None:
            trainer = fine_tuning.SelfTrainer(config, cast(Labels, task), previous)
            added, draft.unlabelled_ = trainer.run(train, unlabelled, held_out)
        fit = fine_tuning.Fit(config, task, previous)
        fitted = fit.run(train, held_out, added)
        fit.warn_of_names(fitted, train.X)
        return self._take_over(draft, fitted)

    def transform(self, X: Any) -> NDArray[np.floating]:
        """Transform samples to the features of the fine-tuned model.

        Parameters
        ----------
        X : like in `fit`

        Returns
        -------
        ndarray, shape (n_samples, d)
            The inputs of the last, linear layer of the head. After the convex solver, these are the
            pretrained features and, for texts, the sum of the token weights per logit.
        """
        self._check_is_fitted()
        return self._fitted.features(self._fitted.check(X, self))

    def _logits(self, X: Any) -> NDArray[np.floating]:
        self._check_is_fitted()
        return self._fitted.logits(self._fitted.check(X, self))

    def _check_is_fitted(self) -> None:
        if not hasattr(self, "_fitted"):  # the tags that scikit-learn reads first take longer
            check_is_fitted(self)

    @abstractmethod
    def _ask_teacher(self, X: Any, sample_weight: Any) -> tuple[Any, Any]:
        """Targets and sample weights that `distill_from` gives for X."""

    def _partial_fit(
        self, X: Any, y: Any, sample_weight: Any, make_task: Callable[[NDArray[Any]], Task]
    ) -> Self:
        """Train one epoch on a part of the samples; `make_task` checks or declares the targets."""
        parameters = Parameters.of(self)
        if parameters.adaptation == "auto":
            raise ValueError("adaptation='auto' needs all samples at once (fit); name a policy.")
        if parameters.unlabelled is not None:
            raise ValueError(
                "unlabelled='auto' needs all samples at once (fit); set unlabelled=None."
            )
        previous = self._fitted.resume() if hasattr(self, "_fitted") else None
        kind = fine_tuning.find_kind(parameters.pretrained) if previous is None else previous.kind
        draft, given = self._draft(), y if self.distill_from is None else None
        X, y, weight = self._check_training(
            kind, draft, (X, y, sample_weight), reset=previous is None
        )
        task = make_task(y).named(given)
        seed = fine_tuning.find_seed(parameters)
        config = fine_tuning.resolve(
            *(parameters, kind, task, self.adaptation, seed),
            is_stream=True,
            is_indicator=y.ndim == 2,
        )
        if previous is None:
            fine_tuning.warn_unused(self, [config])
        samples = LabelledSamples(X, task.encode(y), weight)
        draft.adaptation_ = Choice(self.adaptation)
        fit = fine_tuning.Fit(config, task, previous)
        return self._take_over(draft, fit.run_epoch(samples))

    def _draft(self) -> Self:
        draft = object.__new__(type(self))
        draft.__dict__ = dict(self.__dict__)
        return draft

    def _resolve_policies(
        self, parameters: Parameters, kind: Kind, y: NDArray[Any], *, has_validation: bool
    ) -> list[tuple[Any, Configuration]]:
        """The given policy or, for "auto", all that suit X, each with its configuration."""
        is_auto = isinstance(parameters.adaptation, str) and parameters.adaptation == "auto"
        policies = kind.candidates(parameters, len(y)) if is_auto else [parameters.adaptation]
        seed = fine_tuning.find_seed(parameters)
        about_samples = {"has_validation": has_validation, "is_indicator": y.ndim == 2}
        task, resolve = self._task_type, fine_tuning.resolve
        return [
            (name, resolve(parameters, kind, task, name, seed, **about_samples))
            for name in policies
        ]

    def _find_previous(self, configs: list[Configuration]) -> Fitted | None:
        """The last fit, where `warm_start` continues from it."""
        previous = getattr(self, "_fitted", None)
        if not self.warm_start or previous is None or previous.is_convex:
            return None
        return None if any(config.is_convex for config in configs) else previous.resume()

    def _check_all(
        self, parameters: Parameters, kind: Kind, draft: Self, samples: tuple[Any, Any, Any]
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64], UnlabelledSamples | None]:
        """Validate labelled samples, of which there may be none, and those without a label."""
        X, y, sample_weight = samples
        if hasattr(draft, "unlabelled_"):
            del draft.unlabelled_
        if has_names_only(parameters.class_names, X, y):
            check_consistent_length(X, sample_weight)
            none = None if parameters.unlabelled is None else UnlabelledSamples([], np.zeros(0))
            return [], np.array([]), np.zeros(0), none
        if parameters.unlabelled is None:
            return (*self._check_training(kind, draft, samples), None)
        if self.distill_from is not None:
            raise ValueError(
                "distill_from gives all samples a label: set unlabelled=None or distill_from=None."
            )
        X = kind.check(X, draft, reset=True)
        known, is_unlabelled = split_labels(y)
        check_consistent_length(X, is_unlabelled)
        weight = _check_weight(sample_weight, X)
        labelled, others = (
            np.flatnonzero(~is_unlabelled),
            np.flatnonzero(is_unlabelled & (weight > 0)),
        )
        unlabelled = UnlabelledSamples(take(X, others), weight[others])
        X, y, weight = take(X, labelled), np.array([]), weight[labelled]
        if len(labelled):
            X, y, weight = self._check_targets(X, known, weight)
        check_labelled(y, parameters.class_names, int(is_unlabelled.sum()))
        return X, y, weight, unlabelled

    def _check_training(
        self, kind: Kind, draft: Self, samples: tuple[Any, Any, Any], *, reset: bool = True
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
        """Validate X, targets and weights; rows of weight zero are left out."""
        X, y, sample_weight = samples
        if self.distill_from is not None:
            check_teacher(self.distill_from)
            X = list(X) if isinstance(X, Iterator) else X  # both models read it
            y, sample_weight = self._ask_teacher(X, sample_weight)
        return self._check_targets(kind.check(X, draft, reset=reset), y, sample_weight)

    def _check_targets(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
        """Validate targets and weights of validated samples."""
        y = self._task_type.check(y, X)
        weight = _check_weight(sample_weight, X)
        if not weight.any():  # older versions of scikit-learn accept it
            raise ValueError("Sample weights must contain at least one non-zero number.")
        if not weight.all():
            kept = np.flatnonzero(weight)
            X, y, weight = take(X, kept), y[kept], weight[kept]
        return X, y, weight

    def _take_over(self, draft: Self, fitted: Predictor) -> Self:
        """Replace the fitted attributes as a whole."""
        self.__dict__ = {**draft.__dict__, **self._attributes(fitted)}
        return self

    def _attributes(self, fitted: Predictor) -> dict[str, Any]:
        return {"_fitted": fitted, **fitted.attributes()}

    def _saved_state(self) -> dict[str, Any]:
        if not hasattr(self, "_fitted"):
            return {}
        names = (
            "adaptation_",
            "unlabelled_",
            "n_features_in_",
            "feature_names_in_",
            "_sklearn_output_config",
        )
        kept = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return {"fitted": self._fitted.detached(), **kept}

    def _restore(self, state: State) -> None:
        if "fitted" not in state:
            return
        fitted: Any = state.of("fitted", LinearPredictor, SavedNetwork)
        if not isinstance(fitted.task, self._task_type):
            raise state.error("fitted", f"a model of {self._task_type.__name__}", fitted.task)
        if isinstance(fitted, SavedNetwork):
            fitted = fine_tuning.restore(fitted, Parameters.of(self))
        if "n_features_in_" in state:
            self.n_features_in_ = state.integer("n_features_in_", 1)
        self.adaptation_ = state.of("adaptation_", Choice)
        if "unlabelled_" in state:
            self.unlabelled_ = state.of("unlabelled_", SelfTraining)
        self.__dict__ |= self._attributes(fitted)
        restore_output(self, state)
        if "feature_names_in_" in state:
            self.feature_names_in_ = state.array("feature_names_in_", "object", self.n_features_in_)

    def _used_words(self, vectors: PretrainedVectors) -> list[str]:
        return self._fitted.used_words(vectors)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if hasattr(self, "net_"):
            # All devices can open the pickle; `callbacks` may hold the optimizer, and come first.
            self.net_.move_to("cpu")
            state["module_"] = None  # stored with the net
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "net_" in state:
            self.module_ = self.net_.module_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        kind = find_input_kind(self.pretrained)
        tags.input_tags.string = kind == "texts"
        tags.input_tags.two_d_array = kind != "texts"
        tags.input_tags.three_d_array = kind == "arrays"
        tags.input_tags.sparse = kind == "features"
        tags.transformer_tags.preserves_dtype = []
        return tags


def _check_weight(sample_weight: Any, X: Any) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    return weight


def _hold_out(
    config: Configuration,
    task: Task,
    samples: LabelledSamples,
    validation: LabelledSamples | None,
) -> tuple[LabelledSamples, LabelledSamples | None]:
    """The samples that are trained on, and those that are only evaluated."""
    if validation is not None or config.is_convex or not config.parameters.early_stopping:
        return samples, validation
    held_out = hold_out(
        task.groups(samples.target),
        config.parameters.validation_fraction,
        np.random.default_rng(config.seed),
    )
    return samples.take(~held_out), samples.take(held_out)


def _check_validation(
    kind: Kind, estimator: BaseEstimator, task: Task, X_val: Any, y_val: Any
) -> LabelledSamples | None:
    """Validate the samples that are evaluated only."""
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val belong together: give both or neither.")
    if X_val is None:
        return None
    X_val = kind.check(X_val, estimator, reset=False)
    if getattr(estimator, "unlabelled", None) is not None:
        y_val, is_unlabelled = split_labels(y_val)
        check_consistent_length(X_val, is_unlabelled)
        X_val = take(X_val, np.flatnonzero(~is_unlabelled))
        if not len(y_val):
            raise ValueError("Expected labelled samples in X_val and y_val, got none.")
    target = task.named(y_val).encode(task.check(y_val, X_val))
    return LabelledSamples(X_val, target, np.ones(len(target)))
