"""What fitting is made of: choices, checks, features, module, training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._arrays import ArrayFeatures
from ._labels import Labels, Target, check_labels, hold_out
from ._validation import CloneSharesPretrained, check_texts, levels_to_caller, looks_like_texts
from .nn.batches import Inputs, Samples, find_device
from .nn.calibration import assign_folds, fit_temperature
from .nn.criteria import make_criterion
from .nn.encoders import EncoderWithHead, LinearBag, make_encoder_with_head, make_linear_bag
from .nn.optimizers import is_row_wise, replace_parameter
from .nn.training import NewtonNet, TransferNet, build_net
from .pretrained.sources import load_sources
from .text.design import Design
from .text.features import BagFeatures
from .text.rows import WordRows
from .text.tokens import Splitting

# Samples that are labelled: X, targets, sample weights.
_Labelled = tuple[Any, Target, NDArray[np.float64]]

# Without offsets there is no block of words to stand beside: a scale that suits the solver's C = 1.
_FROZEN_STRENGTH = 3.0


@dataclass(frozen=True)
class _Steps:
    """What the parameters of a fit come to."""

    hidden: tuple[int, ...]
    optimizer: Any
    criterion: torch.nn.Module
    device: torch.device
    l2_sp: float
    seed: int


class FineTuning(CloneSharesPretrained):
    """The steps of a fit, in the order in which they happen; parameters come from the estimator."""

    net_: TransferNet
    module_: LinearBag | EncoderWithHead

    def _resolve(self, *, stream: bool = False) -> _Steps:
        """Turn "auto" into choices, and refuse those that do not go together."""
        sizes = self.hidden_layer_sizes
        hidden = (int(sizes),) if isinstance(sizes, Integral) else tuple(sizes)
        if not all(isinstance(size, Integral) and int(size) > 0 for size in hidden):
            raise ValueError(
                f"hidden_layer_sizes must be a tuple of positive integers, () for a linear head; "
                f"got {sizes!r}."
            )
        for name in ("ngram_range", "char_ngram_range"):
            _check_range(name, getattr(self, name))
        optimizer, criterion = self.optimizer, self.criterion
        by_name = isinstance(criterion, str)
        solvable = not hidden and by_name
        if optimizer == "newton" and (not solvable or stream):
            raise ValueError(
                "optimizer='newton' needs a linear head (hidden_layer_sizes=()), a criterion given "
                "by name, and all samples at once (fit); use optimizer='auto' or 'adam'."
            )
        if optimizer == "auto":
            optimizer = "newton" if solvable and not stream else "adam"
        newton = optimizer == "newton"
        if newton and self.l2_sp == 0:
            raise ValueError(
                "optimizer='newton' needs a pull: l2_sp > 0, or 'auto', which is 1. Without one "
                "the offsets of rare words grow without bound."
            )
        if criterion == "auto":
            smooth = self.label_smoothing > 0
            criterion = "squared_hinge" if newton and not smooth else "cross_entropy"
        if stream and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all labels at once; give partial_fit a dict."
            )
        return _Steps(
            hidden=hidden,
            optimizer=optimizer,
            criterion=make_criterion(criterion, self.label_smoothing),
            device=find_device(self.device),
            l2_sp=(1.0 if newton else 0.0) if self.l2_sp == "auto" else float(self.l2_sp),
            seed=_draw_seed(self.random_state),
        )

    def _check_training(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool = True
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
        """Validated X, labels and weights; rows of weight zero are left out."""
        X = self._check_X(X, reset=reset)
        y = check_labels(y, X)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.all():
            kept = np.flatnonzero(weight)
            X, y, weight = _rows(X, kept), y[kept], weight[kept]
        return X, y, weight

    def _check_X(self, X: Any, *, reset: bool = False) -> Any:
        """A list of texts, or a float64 matrix."""
        name = type(self).__name__
        if self.pretrained is not None:
            if getattr(X, "ndim", 0) == 2 and not looks_like_texts(X) and X.shape[1] != 1:
                raise ValueError(
                    f"{name}(pretrained=...) reads texts, got a matrix of shape {X.shape}. For "
                    f"numeric features leave pretrained=None."
                )
            return check_texts(X, estimator=name)
        if looks_like_texts(X):
            raise ValueError(
                f"{name}(pretrained=None) reads numeric features, got texts. Name the vectors that "
                f"texts are read with, for instance pretrained='glove-wiki-gigaword-50'."
            )
        return validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=reset)

    def _hold_out(
        self, steps: _Steps, train: _Labelled, labels: Labels, X_val: Any, y_val: Any
    ) -> tuple[_Labelled, _Labelled | None]:
        """The training part, and the part that is only evaluated, if any."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together: give both or neither.")
        if X_val is not None:
            X_val = self._check_X(X_val)
            target = labels.encode(check_labels(y_val, X_val))
            return train, (X_val, target, np.ones(len(target)))
        if not self.early_stopping:
            return train, None
        X, target, weight = train
        held = hold_out(target, self.validation_fraction, np.random.default_rng(steps.seed))
        kept, out = np.flatnonzero(~held), np.flatnonzero(held)
        return (
            (_rows(X, kept), target[kept], weight[kept]),
            (_rows(X, out), target[out], weight[out]),
        )

    def _build(self, steps: _Steps, train: _Labelled, labels: Labels) -> Inputs:
        """Learn the features and make the module that starts on them; the training inputs."""
        X, target, weight = train
        self._labels, self.classes_ = labels, labels.classes
        self._sources = [] if self.pretrained is None else load_sources(self.pretrained, X)
        several = isinstance(self.pretrained, list | tuple)
        self.pretrained_ = self._sources if several else next(iter(self._sources), None)
        self._features = self._make_features(steps)
        inputs = self._features.fit_transform(X, labels.membership(target), weight)
        self.coverage_ = self._features.coverage
        self.module_: LinearBag | EncoderWithHead
        if isinstance(inputs, Design) and steps.optimizer == "newton":
            self.module_ = make_linear_bag(
                inputs,
                torch.from_numpy(target),
                torch.from_numpy(weight),
                labels.n_outputs,
                steps.criterion,
            )
            return inputs
        rows = self._features.rows if isinstance(self._features, WordRows) else None
        self.module_ = make_encoder_with_head(
            inputs,
            rows,
            steps.hidden,
            labels.n_outputs,
            activation=self.activation,
            dropout=self.dropout,
            sparse=is_row_wise(steps.optimizer),
            pulled=steps.l2_sp > 0,
            generator=torch.Generator().manual_seed(steps.seed),
        )
        return inputs

    def _make_features(self, steps: _Steps) -> BagFeatures | WordRows | ArrayFeatures:
        """How X becomes inputs."""
        if not self._sources:
            return ArrayFeatures(self.strength)
        splitting = Splitting(self.tokenizer, self.token_pattern, self.lowercase, self.max_tokens)
        frozen = self.adaptation == "frozen"
        if steps.optimizer != "newton" and not frozen:
            return WordRows(self._sources, splitting, weighting=self.weighting, oov=self.oov)
        return BagFeatures(
            self._sources,
            splitting,
            ngram_range=tuple(self.ngram_range),
            char_ngram_range=self.char_ngram_range,
            strength=_FROZEN_STRENGTH if frozen and self.strength == "auto" else self.strength,
            pull=steps.l2_sp,
            offsets=not frozen,
            weighting=self.weighting,
            oov=self.oov,
        )

    def _extend(self, X: Any) -> Inputs:
        """Give the words that are new a row each; the training inputs."""
        if isinstance(self._features, WordRows):
            before, after = self.module_.encoder.extend(self._features.extend(X))  # type: ignore[operator,union-attr]
            replace_parameter(self.net_.optimizer_, before, after)
        return self._features.transform(X)

    def _samples(self, inputs: Inputs, labelled: _Labelled) -> Samples:
        _, target, weight = labelled
        return Samples(inputs, target, self._labels.weights(target, weight, self.class_weight))

    def _configure(self, steps: _Steps, valid: Samples | None) -> TransferNet:
        return build_net(
            self.module_,
            steps.criterion,
            optimizer=steps.optimizer,
            lr=self.lr,
            embedding_lr=self.embedding_lr,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            device=steps.device,
            seed=steps.seed,
            token_dropout=self.token_dropout,
            l2_sp=steps.l2_sp,
            valid=valid,
            patience=self.n_iter_no_change if self.early_stopping else None,
            callbacks=[clone(callback, safe=False) for callback in self.callbacks or ()],
            verbose=int(self.verbose),
        )

    def _train(self, steps: _Steps, X: Any, train: Samples, held_out: _Labelled | None) -> None:
        valid = None
        if held_out is not None:
            valid = self._samples(self._features.transform(held_out[0]), held_out)
        self.net_ = self._configure(steps, valid).fit(train)
        self.temperature_ = self._find_temperature(X, train, valid)
        if self.net_.ran_out:
            warnings.warn(
                f"The solver has not converged in max_epochs={self.max_epochs} steps. Raise "
                f"max_epochs, scale the features, or raise l2_sp.",
                ConvergenceWarning,
                stacklevel=levels_to_caller(),
            )
        self._publish()

    def _find_temperature(self, X: Any, train: Samples, valid: Samples | None) -> float:
        """From validation data, or from training samples left out in turn."""
        if valid is not None:
            return fit_temperature(self.net_.logits(valid.X), valid.y, valid.weight)
        if not self.calibrate or not isinstance(self.net_, NewtonNet):
            return 1.0
        groups = np.zeros(len(train), dtype=np.int64) if self._labels.multilabel else train.y
        folds = assign_folds(_content_keys(X), groups)
        logits, rows = self.net_.cross_fit(train, folds)
        return fit_temperature(logits, train.y[rows], train.weight[rows])

    def _publish(self) -> None:
        self.net_.forget_data()
        self.module_ = self.net_.module_
        self.history_ = self.net_.history
        self.n_iter_ = len(self.history_)
        self._n_features_out = self.module_.n_features

    def _logits(self, X: Any) -> NDArray[np.floating]:
        check_is_fitted(self)
        return self.net_.logits(self._features.transform(self._check_X(X)))


def _check_range(name: str, value: Any) -> None:
    if value is None or value == "auto":
        return
    whole = len(value) == 2 and all(isinstance(n, Integral) for n in value)
    if not whole or not 1 <= value[0] <= value[1]:
        raise ValueError(
            f"{name} must be (shortest, longest) with 1 <= shortest <= longest, got {value!r}."
        )


def _rows(X: Any, rows: NDArray[np.int64]) -> Any:
    return [X[i] for i in rows.tolist()] if isinstance(X, list) else X[rows]


def _content_keys(X: Any) -> NDArray[np.int64]:
    """A number for each sample that is equal where samples are, in every process."""
    if isinstance(X, list):
        contents = (text.encode("utf-8", "surrogatepass") for text in X)
    elif issparse(X):
        X = X.tocsr(copy=True)  # type: ignore[attr-defined]
        X.sum_duplicates()
        bounds = zip(X.indptr[:-1], X.indptr[1:], strict=True)
        contents = (
            X.indices[a:b].astype(np.int64).tobytes() + X.data[a:b].tobytes() for a, b in bounds
        )
    else:
        contents = (row.tobytes() for row in X)
    return np.fromiter(map(crc32, contents), np.int64)


def _draw_seed(random_state: Any) -> int:
    """A seed that is drawn from no global generator."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(random_state.randint(np.iinfo(np.int32).max))
