"""Fits with checkpoints, to be interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skorch.callbacks import Callback
from toys import body

from sklearn_transfer import FineTunedClassifier

X = np.random.default_rng(0).standard_normal((24, 8)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Stopping(Callback):
    """Raises as an epoch begins."""

    def __init__(self, epoch: int, error: type[BaseException] = OSError) -> None:
        self.epoch, self.error = epoch, error

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) > self.epoch:
            raise self.error("stopped")


def model(folder: Path | None, **settings: Any) -> FineTunedClassifier:
    usual = {"pretrained": body(), "max_epochs": 4, "random_state": 0, "checkpoint": folder}
    return FineTunedClassifier(**{**usual, **settings})


def interrupted(folder: Path, epoch: int, *data: Any, **settings: Any) -> None:
    """A fit that is stopped after so many epochs."""
    with pytest.raises(OSError, match="stopped"):
        model(folder, callbacks=[Stopping(epoch)], **settings).fit(*data)
