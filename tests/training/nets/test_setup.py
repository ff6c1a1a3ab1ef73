from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from toys import net_of, samples

from sklearn_transfer.training.optimization.losses import CrossEntropy


@pytest.mark.parametrize("verbose", [1, 2])
def test_rates_of_layers_are_not_printed(verbose: int, capsys: pytest.CaptureFixture[str]) -> None:
    data = samples()
    net_of(data, verbose=verbose).fit(data)
    assert "rates" not in capsys.readouterr().out


def test_settings_reach_the_net() -> None:
    net = net_of(samples(), schedule="cosine", warmup=0.2, average_last=3, compiled="eager")
    assert (net.settings.schedule, net.settings.warmup) == ("cosine", 0.2)
    assert (net.settings.average_last, net.settings.compiled) == (3, "eager")


def test_callbacks_of_the_user_are_called() -> None:
    class Counts(Callback):
        n = 0

        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            self.n += 1

    data, callback = samples(), Counts()
    net_of(data, callbacks=[callback], max_epochs=4).fit(data)
    assert callback.n == 4


@pytest.mark.parametrize(("verbose", "words"), [(0, []), (1, ["epoch", "train_loss"])])
def test_verbose_says_how_much_is_printed(
    verbose: int, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = samples()
    net_of(data, verbose=verbose).fit(data)
    printed = capsys.readouterr().out
    assert bool(printed) == bool(words)
    assert all(word in printed for word in words)


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam, torch.optim.RMSprop])
def test_an_optimizer_is_given_by_name_or_class(optimizer: Any) -> None:
    data = samples()
    assert len(net_of(data, optimizer=optimizer).fit(data).history) == 3


def test_training_stops_after_patience_epochs_without_gain() -> None:
    train, valid = samples(), samples(11)
    valid.y = (valid.y + 1) % 3  # what is learned makes it worse
    net = net_of(train, valid=valid, patience=2, max_epochs=50, lr=0.2).fit(train)
    losses = net.history[:, "valid_loss"]
    assert len(losses) == np.argmin(losses) + 1 + 2


def test_the_best_weights_come_back() -> None:
    train, valid = samples(), samples(11)
    valid.y = (valid.y + 1) % 3
    net = net_of(train, valid=valid, patience=3, max_epochs=50, lr=0.2).fit(train)
    losses = CrossEntropy()(torch.from_numpy(net.logits(valid.X)), torch.from_numpy(valid.y))
    best = min(net.history[:, "valid_loss"])
    assert (losses.numpy() * valid.weight).mean() == pytest.approx(best, rel=1e-5)
