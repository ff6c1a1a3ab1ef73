"""The settings of training, and the skorch net that predicts."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import get_scorer
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.exceptions import SkorchException
from torch import Tensor

from ..._utils.devices import device_or_cpu
from ..._utils.progress import progress_bar
from ...models.network import PretrainedModule
from ...models.seeds import EvaluationSeed
from ..batches import Batch, Inputs, Samples, by_length
from ..policies import Adaptation, Full
from .outputs import Outputs

# The parameters of a net that name its device.
_DEVICE_PARAMETERS = ("device", "iterator_train__device", "iterator_valid__device")


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of mini-batch training, with the names of the estimators.

    Attributes
    ----------
    optimizer, lr, batch_size, max_epochs, schedule, warmup, max_grad_norm, average_last : object
        See `FineTunedClassifier`; `max_epochs` does not count the epochs of probing.
    token_dropout, mixed_precision, layer_groups, l2_sp, callbacks, verbose : object
        See `FineTunedClassifier`.
    encoder_lr : float or None
        Learning rate of the pretrained layers. None is `lr`.
    adaptation : Adaptation
        The policy: the rates of the layers in each epoch.
    patience : int or None
        Stop after this number of epochs without a better validation loss, and restore the best
        weights. None trains all epochs.
    compiled : bool or str
        True compiles the network; a string is the backend of `torch.compile`.
    is_stream : bool
        True if more samples may follow: pickles hold the moments of the optimizer.
    seed, device : int, torch.device
    """

    optimizer: str | type[torch.optim.Optimizer] = "adam"
    lr: float = 0.01
    encoder_lr: float | None = None
    adaptation: Adaptation = Full()  # noqa: RUF009 (immutable)
    layer_groups: Sequence[Any] | None = None
    l2_sp: float = 0.0
    schedule: str = "constant"
    warmup: float = 0.0
    max_grad_norm: float | None = None
    batch_size: int = 32
    max_epochs: int = 20
    token_dropout: float = 0.0
    average_last: int = 0
    patience: int | None = None
    mixed_precision: bool = False
    compiled: bool | str = False
    is_stream: bool = False
    seed: int = 0
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)
    callbacks: Sequence[Any] = ()
    verbose: int = 0


class InferenceNet(NeuralNet):
    """A skorch net of inputs or :class:`Samples`; for callbacks, an estimator of coded targets."""

    def __init__(
        self,
        *args: Any,
        outputs: Outputs,
        settings: TrainingSettings = TrainingSettings(),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.outputs, self.settings = outputs, settings

    @property
    def classes_(self) -> NDArray[np.int64]:
        """Codes of the classes; a regressor has none."""
        return self.outputs.classes  # type: ignore[attr-defined, no-any-return]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        self.outputs.tag(tags)
        return tags

    @property
    def n_iter(self) -> int:
        """Number of epochs."""
        return len(self.history)

    def copy(self) -> Self:
        """Copy all that training changes; callbacks and settings are those of the original."""
        shared = [self.settings, self.optimizer, *(callback for _, callback in self.callbacks_)]
        made = object.__new__(type(self))
        memo = {id(part): part for part in shared} | {id(self): made}
        made.__dict__.update(copy.deepcopy({**vars(self), "_compiled": None}, memo))
        return made

    def forget_data(self) -> None:
        """Drop the samples that the net was fitted on, and what each training makes anew."""
        self.set_params(train_split=None)
        for _, callback in self.callbacks_:
            if isinstance(callback, LRScheduler):
                callback.lr_scheduler_ = None  # it holds the optimizer

    def restore(self) -> None:
        """Complete a net from a pickle, where its pretrained model has been found since."""
        encoder = getattr(self.module_, "encoder", None)
        if isinstance(encoder, PretrainedModule):
            encoder.restore()

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Any:  # noqa: ARG002 (as in skorch)
        """Train. Unlike in skorch, an interrupt propagates, unless it is early stopping."""
        if not self.initialized_:
            self.initialize()
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, **fit_params)
        except KeyboardInterrupt:
            stops = [c for _, c in self.callbacks_ if isinstance(c, EarlyStopping)]
            if not any(stop.misses_ == stop.patience for stop in stops):
                with suppress(Exception):  # callbacks save what they have; the interrupt goes on
                    self.notify("on_train_end", X=X, y=y)
                raise
        self.notify("on_train_end", X=X, y=y)
        return self

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call a method of the callbacks; one that reads what is not recorded is a ValueError."""
        try:
            super().notify(method_name, **cb_kwargs)
        except (KeyError, ValueError, SkorchException) as error:
            missing = re.search(r"('\w+') was not found in history", str(error))
            if missing is None:
                raise
            raise ValueError(
                f"A callback reads {missing[1]} from the history, got an epoch with "
                f"{', '.join(key for key in self.history[-1] if key != 'batches')}. Give fit "
                f"samples for validation (X_val and y_val; in mini-batch training also "
                f"early_stopping=True), or name one of these, for instance monitor='train_loss'."
            ) from error

    def get_dataset(self, X: Any, y: Any = None) -> Samples:
        """Make samples of inputs and targets."""
        return X if isinstance(X, Samples) else Samples(X, y)

    def infer(self, x: Batch, **_: Any) -> Tensor:
        """Compute the logits of a batch, shape (n_samples, n_outputs)."""
        network = self._compile() if self.settings.compiled else self.module_
        if not self.settings.mixed_precision:
            logits: Tensor = network(**x.tensors)
            return logits
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16):
            logits = network(**x.tensors).float()
        return logits

    def _compile(self) -> Any:
        if getattr(self, "_compiled", None) is None:
            compiled = self.settings.compiled
            backend = compiled if isinstance(compiled, str) else "inductor"
            self._compiled = torch.compile(self.module_.forward, backend=backend, dynamic=True)
        return self._compiled

    def encode(self, inputs: Inputs) -> NDArray[np.float32]:
        """Compute the input of the head, shape (n_samples, d)."""
        training = self.module_.training
        encoded = self._map_batches(inputs, lambda batch: self.module_.encode(**batch.tensors))
        self.module_.train(training)  # this may be between two steps
        return encoded

    def features(self, inputs: Inputs) -> NDArray[np.floating]:
        """Compute the input of the last, linear layer, shape (n_samples, n_features)."""
        return self._map_batches(inputs, lambda batch: self.module_.features(**batch.tensors))

    def logits(self, inputs: Inputs) -> NDArray[np.floating]:
        """Compute logits, shape (n_samples, n_outputs)."""
        return self._map_batches(inputs, self.infer)

    @torch.no_grad()
    def _map_batches(
        self, inputs: Inputs, function: Callable[[Batch], Tensor]
    ) -> NDArray[np.float32]:
        """Apply a function to inputs by batch, in evaluation mode."""
        self.restore()
        self.move_to(self.device)
        self.module_.eval()
        inputs, back = by_length(self.get_dataset(inputs).X)
        batches = self.get_iterator(self.get_dataset(inputs), training=False)
        outputs = []
        progress = progress_bar(len(inputs), "samples", verbose=self.settings.verbose)
        with progress as bar, self._seed_evaluation(torch.device(self.device)):
            for batch, _ in batches:
                outputs.append(function(batch).cpu().numpy())
                bar.update(len(batch))
        result: NDArray[np.float32] = np.concatenate(outputs)[back]
        return result

    def _seed_evaluation(self, device: torch.device) -> AbstractContextManager[None]:
        if getattr(self, "_evaluation", None) is None:
            encoder = getattr(self.module_, "encoder", None)
            may_draw = encoder is not None and not encoder.is_own
            self._evaluation = EvaluationSeed(self.settings.seed, may_draw=may_draw)
        return self._evaluation(device)

    def forward_iter(
        self,
        X: Any,
        training: bool = False,  # noqa: ARG002, FBT001, FBT002 (as in skorch)
        device: Any = "cpu",  # noqa: ARG002
    ) -> Iterator[Tensor]:
        """Yield logits, in the order of the samples; scoring callbacks replace it by kept ones."""
        yield torch.from_numpy(self.logits(X))

    def _scored_logits(self, X: Any) -> NDArray[np.floating]:
        return np.concatenate([logits.detach().cpu().numpy() for logits in self.forward_iter(X)])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Compute the probabilities of the classes, shape (n_samples, n_classes)."""
        return self.outputs.probabilities(self._scored_logits(X))  # type: ignore[attr-defined, no-any-return]

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Compute logits, shape (n_samples,) for two classes."""
        return self.outputs.decide(self._scored_logits(X))  # type: ignore[attr-defined, no-any-return]

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict coded targets: class codes, an indicator matrix, or standardised values."""
        return self.outputs.predict(self._scored_logits(X))

    def score(self, X: Any, y: Any) -> float:
        """Accuracy of a classifier, coefficient of determination of a regressor."""
        return float(get_scorer(self.outputs.scoring)(self, X, y))

    def move_to(self, device: Any) -> None:
        """Move the module, the criterion and the state of the optimizer to a device."""
        device = torch.device(device)
        if all(p.device.type == device.type for p in self.module_.parameters()):
            return
        self.module_.to(device)
        self.criterion_.to(device)
        if self.optimizer_ is not None and self.optimizer_.state:
            self.optimizer_.load_state_dict(self.optimizer_.state_dict())  # to its parameters

    def __getstate__(self) -> dict[str, Any]:
        # skorch pickles tensors into a pickle of their own, which stores twice whatever both refer
        # to (the module) and, unlike cloudpickle, cannot pickle a class of a notebook.
        if self.initialized_:
            self.move_to(torch.device("cpu"))
        return {**self.__dict__, "_compiled": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = torch.device(device_or_cpu(state["device"]))
        self.__dict__.update({**state, **dict.fromkeys(_DEVICE_PARAMETERS, device)})
