"""What fitting is made of: checks, features, module, training."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .._utils.errors import levels_to_caller
from .._utils.texts import check_texts, looks_like_texts
from ..contextual.model import ContextualModel
from ..contextual.sequences import Sequences
from ..models.linear import LinearBag, make_linear_bag
from ..models.network import Network, make_head, measure_width
from ..models.readers import make_text_encoder
from ..models.sentence_encoder import SentenceInputs
from ..sources import (
    are_several,
    find_contextual,
    find_tables,
    load_sources,
)
from ..text.design import Design
from ..text.features import BagFeatures
from ..text.rows import WordRows
from ..text.tokens import Splitting
from ..training.batches import Arrays, Inputs, Samples, as_tensors
from ..training.checkpoints import Checkpoint
from ..training.net import TransferNet
from ..training.newton import NewtonNet
from ..training.optimizers import is_row_wise, replace_parameter
from ..training.policies import (
    Contrastive,
    Frozen,
    check_policy,
    find_layers,
)
from ..training.seeds import seeded
from ..training.setup import build_net
from .calibration import assign_folds, fit_temperature
from .config import Choices, Steps
from .inputs.arrays import ModuleFeatures, ModuleInputs
from .inputs.features import ArrayFeatures
from .selection import take
from .targets import Labels, Target, check_labels, hold_out

# Samples that are labelled: X, targets, sample weights.
_Labelled = tuple[Any, Target, NDArray[np.float64]]

# Without offsets there is no block of words to stand beside: a scale that suits the solver's C = 1.
# What a sentence encoder gives is told apart without long features, and with few labels better.
_FROZEN_STRENGTH, _SENTENCE_STRENGTH = 3.0, 0.6
# Layers of a pretrained module move more slowly than a head that is new.
_PRETRAINED_SHARE, _CONTEXTUAL_SHARE = 0.1, 0.005
# Batches an epoch has at least, and the fewest and most samples of one.
_BATCHES, _SMALLEST, _LARGEST = 16, 8, 128
# What a fit does not depend on.
_INCIDENTAL = {
    *("pretrained", "distill_from", "checkpoint", "device", "random_state", "verbose", "callbacks"),
}


class FineTuning(Choices):
    """The steps of a fit, in the order in which they happen; parameters come from the estimator."""

    net_: TransferNet
    module_: LinearBag | Network

    def _ask_teacher(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """X, labels and weights: those given or, with a teacher, what that says."""
        teacher = self.distill_from
        if teacher is None:
            return X, y, sample_weight
        check_is_fitted(teacher)
        if isinstance(X, Iterator):  # both read it
            X = list(X)
        probability = np.asarray(teacher.predict_proba(X))
        if not np.allclose(probability.sum(axis=1), 1):  # each label is a yes or no of its own
            return X, (probability > 0.5).astype(int), sample_weight
        sure = probability.max(axis=1)
        labels = np.asarray(teacher.classes_)[probability.argmax(axis=1)]
        return X, labels, sure if sample_weight is None else sure * np.asarray(sample_weight)

    def _check_training(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool = True
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
        """Validated X, labels and weights; rows of weight zero are left out."""
        X = self._check_X(X, reset=reset)
        y = check_labels(y, X)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.all():
            kept = np.flatnonzero(weight)
            X, y, weight = take(X, kept), y[kept], weight[kept]
        return X, y, weight

    def _check_X(self, X: Any, *, reset: bool = False) -> Any:
        """A list of texts, a float64 matrix, or an array for a module."""
        name = type(self).__name__
        if self._reads_arrays:
            X = validate_data(self, X, dtype="numeric", ensure_2d=False, allow_nd=True, reset=reset)
            if X.ndim < 2:
                raise ValueError(
                    f"{name}(pretrained=module) expected an array of shape (n_samples, ...), got "
                    f"shape {X.shape}. Reshape your data: X[None] is a single sample."
                )
            if reset:
                self.n_features_in_ = X.shape[1]
            return X
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

    def _check_validation(self, X_val: Any, y_val: Any) -> tuple[Any, Any]:
        """Validated X and labels, or None for both."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together: give both or neither.")
        if X_val is None:
            return None, None
        X_val = self._check_X(X_val)
        return X_val, check_labels(y_val, X_val)

    def _hold_out(
        self, steps: Steps, train: _Labelled, labels: Labels, validation: tuple[Any, Any]
    ) -> tuple[_Labelled, _Labelled | None]:
        """The training part, and the part that is only evaluated, if any."""
        if validation[0] is not None:
            target = labels.encode(validation[1])
            return train, (validation[0], target, np.ones(len(target)))
        if not self.early_stopping:
            return train, None
        X, target, weight = train
        held = hold_out(target, self.validation_fraction, np.random.default_rng(steps.seed))
        kept, out = np.flatnonzero(~held), np.flatnonzero(held)
        return (
            (take(X, kept), target[kept], weight[kept]),
            (take(X, out), target[out], weight[out]),
        )

    def _build(self, steps: Steps, train: _Labelled, labels: Labels) -> Inputs:
        """Learn the features and make the module that starts on them; the training inputs."""
        X, target, weight = train
        self._labels, self.classes_ = labels, labels.classes
        by_texts = self.pretrained is not None and not self._reads_arrays
        self._sources = load_sources(self.pretrained, X) if by_texts else []
        if self.max_tokens is not None:  # what splits words heeds it on its own
            self._sources = [
                source.cut(self.max_tokens) if isinstance(source, ContextualModel) else source
                for source in self._sources
            ]
        several = are_several(self.pretrained)
        self.pretrained_ = self._sources if several else next(iter(self._sources), None)
        self._features = self._make_features(steps)
        inputs = self._features.fit_transform(X, labels.membership(target), weight)
        self.coverage_ = self._features.coverage
        with seeded(steps.seed):
            self.module_ = self._make_module(steps, inputs, target, weight)
        return inputs

    def _make_module(
        self, steps: Steps, inputs: Inputs, target: Target, weight: NDArray[np.float64]
    ) -> LinearBag | Network:
        """What is trained, as it starts."""
        n_outputs = self._labels.n_outputs
        if isinstance(inputs, Design) and steps.optimizer == "newton":
            by_output = torch.from_numpy(target), torch.from_numpy(weight)
            return make_linear_bag(inputs, *by_output, n_outputs, steps.criterion)
        encoder: torch.nn.Module | None = None
        pulled = steps.l2_sp > 0
        if isinstance(inputs, Arrays | Sequences):
            encoder = self._features.make_encoder(inputs[:2], pulled=pulled)
        elif isinstance(self._features, WordRows):
            encoder = make_text_encoder(
                torch.from_numpy(self._features.rows),
                self.encoder,
                self.encoder_params,
                sparse=is_row_wise(steps.optimizer),
                pulled=pulled,
            )
        if isinstance(inputs, Design):
            width = inputs.sparse.shape[1] + inputs.dense.shape[1]
        else:
            device = next(iter(encoder.parameters()), torch.empty(0)).device  # type: ignore[union-attr]
            example = as_tensors(inputs[:2], device)
            width = measure_width(encoder, example)  # type: ignore[arg-type]
        head = make_head(
            width, steps.hidden, n_outputs, activation=self.activation, dropout=self.dropout
        )
        network = Network(encoder, head)
        if not isinstance(inputs, Design):  # otherwise what is pretrained lies in the features
            check_policy(find_layers(network, self.layer_groups), steps.policy)
        return network

    def _make_features(self, steps: Steps) -> Any:
        """How X becomes inputs."""
        newton = steps.optimizer == "newton"
        frozen = isinstance(steps.policy, Frozen)
        strength = self._find_strength(frozen, newton)
        tuning = steps.policy if isinstance(steps.policy, Contrastive) else None
        if self._reads_arrays or (self._reads_sentences and (tuning or not frozen)):
            inputs = (
                ModuleInputs(self.pretrained)
                if self._reads_arrays
                else SentenceInputs(*find_contextual(self._sources))
            )
            if tuning or newton:
                return ModuleFeatures(
                    inputs, float(strength), steps.device, tuning, self.layer_groups, steps.seed
                )
            return inputs
        if not self._sources:
            return ArrayFeatures(self.strength)
        splitting = Splitting(self.tokenizer, self.token_pattern, self.lowercase, self.max_tokens)
        if not newton and not (frozen and self.encoder == "mean"):
            tables = find_tables(self._sources)
            if len(tables) < len(self._sources):
                raise ValueError(
                    "Among several sources a contextual model gives features and stays as it is: "
                    "use encoder='mean' with a linear head, or adaptation='frozen'. To train it, "
                    "give it alone."
                )
            return WordRows(tables, splitting, weighting=self.weighting, oov=self.oov)
        return BagFeatures(
            self._sources,
            splitting,
            ngram_range=tuple(self.ngram_range),
            char_ngram_range=self.char_ngram_range,
            strength=strength,
            pull=steps.l2_sp,
            offsets=not frozen,
            weighting=self.weighting,
            oov=self.oov,
        )

    def _find_strength(self, frozen: bool, newton: bool) -> Any:
        """How long features are; "auto" where they stand beside a block of words."""
        if self.strength != "auto":
            return self.strength
        if not frozen:
            return "auto"
        contextual = [isinstance(source, ContextualModel) for source in self._sources]
        sentences = newton and contextual and all(contextual)
        return _SENTENCE_STRENGTH if sentences else _FROZEN_STRENGTH

    def _extend(self, X: Any) -> Inputs:
        """Give the words that are new a row each; the training inputs."""
        if isinstance(self._features, WordRows):
            more = torch.from_numpy(self._features.extend(X))
            before, after = self.module_.encoder.extend(more)  # type: ignore[operator,union-attr]
            replace_parameter(self.net_.optimizer_, before, after)
        return self._features.transform(X)

    def _samples(self, inputs: Inputs, labelled: _Labelled) -> Samples:
        _, target, weight = labelled
        return Samples(inputs, target, self._labels.weights(target, weight, self.class_weight))

    def _configure(
        self, steps: Steps, n_samples: int, valid: Samples | None, **settings: Any
    ) -> TransferNet:
        encoder_lr = self.embedding_lr
        if encoder_lr is None and self._reads_arrays:
            encoder_lr = _PRETRAINED_SHARE * self.lr
        if encoder_lr is None and self._reads_sentences:
            encoder_lr = _CONTEXTUAL_SHARE * self.lr
        has_layers = getattr(self.module_, "encoder", None) is not None
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = min(max(n_samples // _BATCHES, _SMALLEST), _LARGEST)
        return build_net(
            self.module_,
            steps.criterion,
            optimizer=steps.optimizer,
            lr=self.lr,
            batch_size=batch_size,
            max_epochs=steps.max_epochs,
            device=steps.device,
            token_dropout=self.token_dropout,
            valid=valid,
            patience=self.n_iter_no_change if self.early_stopping else None,
            callbacks=[clone(callback, safe=False) for callback in self.callbacks or ()],
            verbose=int(self.verbose),
            seed=steps.seed,
            adaptation=steps.policy,
            layer_groups=self.layer_groups if has_layers else None,
            encoder_lr=encoder_lr,
            l2_sp=steps.l2_sp,
            schedule=self.schedule,
            warmup=self.warmup,
            max_grad_norm=self.max_grad_norm,
            mixed_precision=self.mixed_precision,
            compiled=self.compile,
            **settings,
        )

    def _make_checkpoint(
        self, steps: Steps, train: _Labelled, held_out: _Labelled | None
    ) -> Checkpoint | None:
        """Where a fit of these arguments writes its state."""
        if self.checkpoint is None:
            return None
        settings = {
            name: _describe(value)
            for name, value in self.get_params(deep=False).items()
            if name not in _INCIDENTAL
        }
        start = hashlib.sha256()
        for name, tensor in self.module_.state_dict().items():
            start.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        data = hashlib.sha256()
        for X, target, weight in (train,) if held_out is None else (train, held_out):
            data.update(_content_keys(X).tobytes() + target.tobytes() + weight.tobytes())
        settings |= {
            "adaptation": _describe(steps.policy),  # "auto" may choose another
            "seed": str(steps.seed),
            "the data": data.hexdigest()[:16],
            "the initial network": start.hexdigest()[:16],
        }
        return Checkpoint(self.checkpoint, settings)

    def _train(
        self, steps: Steps, labelled: _Labelled, inputs: Inputs, held_out: _Labelled | None
    ) -> None:
        train, valid = self._samples(inputs, labelled), None
        if held_out is not None:
            valid = self._samples(self._features.transform(held_out[0]), held_out)
        net = self._configure(
            steps,
            len(train),
            valid,
            average_last=self.average_last,
            checkpoint=self._make_checkpoint(steps, labelled, held_out),
        )
        self.net_ = net.fit(train)
        self.temperature_ = self._find_temperature(labelled[0], train, valid)
        if self.net_.ran_out:
            warnings.warn(
                f"The solver has not converged in max_epochs={steps.max_epochs} steps. Raise "
                f"max_epochs, scale the features, or raise l2_sp.",
                ConvergenceWarning,
                stacklevel=levels_to_caller(),
            )
        self._publish()

    def _find_temperature(self, X: Any, train: Samples, valid: Samples | None) -> float:
        """From validation data, or from training samples left out in turn."""
        if valid is not None:
            return fit_temperature(self.net_.logits(valid.X), valid.y, valid.weight)
        # A contrastive stage has seen the labels of all samples, also of those left out.
        tuned = isinstance(self._features, ModuleFeatures) and self._features.losses
        if not self.calibrate or tuned or not isinstance(self.net_, NewtonNet):
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

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "net_" in state:  # which has the module
            state.pop("module_", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "net_" in state:
            self.module_ = self.net_.module_

    def _logits(self, X: Any) -> NDArray[np.floating]:
        check_is_fitted(self)
        return self.net_.logits(self._features.transform(self._check_X(X)))


def _describe(value: Any) -> str:
    """A parameter in words that are the same in every process."""
    if isinstance(value, torch.nn.Module):
        return f"{type(value).__name__}"
    name = getattr(value, "__qualname__", None)
    written = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # an address is of a process
    return written if name is None else f"{value.__module__}.{name}"


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
