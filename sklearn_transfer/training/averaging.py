"""Averaging of the weights of the last epochs."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback
from torch import Tensor


class WeightAveraging(Callback):
    """Average the weights of the last epochs at the end of training (Izmailov et al. 2018).

    Parameters
    ----------
    n_epochs : int

    Attributes
    ----------
    average_ : dict of Tensor
        Average so far, by name of the parameter or buffer.
    n_averaged_ : int
        Number of epochs in the average.
    """

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_train_begin(self, _net: Any, **_: Any) -> None:
        """Begin an average."""
        self.average_: dict[str, Tensor] = {}
        self.n_averaged_ = 0

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        """Add the weights of one of the last epochs."""
        n_left = net.max_epochs - net.rates_.count_epochs(net.history)
        if n_left >= min(self.n_epochs, net.max_epochs):
            return
        self.n_averaged_ += 1
        for name, tensor in net.module_.state_dict().items():
            if tensor.is_floating_point():
                average = self.average_.get(name, tensor.clone()).to(tensor.device)
                self.average_[name] = average.lerp_(tensor, 1 / self.n_averaged_)

    def on_train_end(self, net: Any, **_: Any) -> None:
        """Replace the weights by their average."""
        net.module_.load_state_dict(self.average_, strict=False)
        self.average_ = {}
