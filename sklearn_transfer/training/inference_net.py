"""The settings of training, and the skorch net that predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from torch import Tensor

from .._utils.devices import device_or_cpu
from .batches import Batch, Inputs, Samples, by_length
from .policies import Adaptation, Full

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
    seed: int = 0
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)
    callbacks: Sequence[Any] = ()
    verbose: int = 0


class InferenceNet(NeuralNet):
    """A skorch net, with settings, whose X is :class:`Samples`, or inputs."""

    def __init__(
        self,
        *args: Any,
        settings: TrainingSettings = TrainingSettings(),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings

    @property
    def n_iter(self) -> int:
        """Number of epochs."""
        return len(self.history)

    def forget_data(self) -> None:
        """Drop the samples that the net was fitted on."""
        self.set_params(train_split=None)

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Any:
        """Train. Unlike in skorch, an interrupt propagates."""
        self._interrupt: KeyboardInterrupt | None = None
        super().partial_fit(X, y, classes, **fit_params)
        if self._interrupt is not None:
            raise self._interrupt
        return self

    @contextmanager
    def remember_interrupt(self) -> Iterator[None]:
        """Keep an interrupt of `fit_loop`, which skorch swallows, unless it is early stopping."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            stops = [c for _, c in self.callbacks_ if isinstance(c, EarlyStopping)]
            if not any(stop.misses_ == stop.patience for stop in stops):
                self._interrupt = interrupt
            raise

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

    def features(self, inputs: Inputs) -> NDArray[np.float32]:
        """Compute the input of the last, linear layer, shape (n_samples, n_features)."""
        return self._map_batches(inputs, lambda batch: self.module_.features(**batch.tensors))

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """Compute logits, shape (n_samples, n_outputs)."""
        return self._map_batches(inputs, self.infer)

    @torch.no_grad()
    def _map_batches(
        self, inputs: Inputs, function: Callable[[Batch], Tensor]
    ) -> NDArray[np.float32]:
        """Apply a function to inputs by batch, in evaluation mode."""
        self.move_to(self.device)
        self.module_.eval()
        inputs, back = by_length(self.get_dataset(inputs).X)
        batches = self.get_iterator(self.get_dataset(inputs), training=False)
        outputs = [function(batch).cpu().numpy() for batch, _ in batches]
        result: NDArray[np.float32] = np.concatenate(outputs)[back]
        return result

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Softmax of the logits, or sigmoid of a single one, shape (n_samples, n_classes)."""
        logits = torch.from_numpy(self.logits(X))
        if logits.shape[1] == 1:
            positive = torch.sigmoid(logits)
            return torch.cat([1 - positive, positive], dim=1).numpy()
        return torch.softmax(logits, dim=1).numpy()

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Predict the codes of the most probable classes, shape (n_samples,)."""
        codes: NDArray[np.int64] = self.predict_proba(X).argmax(axis=1)
        return codes

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
        return {**self.__dict__, "_compiled": None, "_interrupt": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = torch.device(device_or_cpu(state["device"]))
        self.__dict__.update({**state, **dict.fromkeys(_DEVICE_PARAMETERS, device)})
