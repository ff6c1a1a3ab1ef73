"""The skorch net that trains in mini-batches."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from skorch.dataset import unpack_data
from torch import Tensor

from ..._utils.devices import lacks_memory
from ..._utils.errors import levels_to_caller
from ..._utils.objects.copying import deepcopy_attributes
from ...models.layers import has_trainable_encoder
from ...models.seeds import derive_seed, seeded
from ...text.linear.design import dense_design
from ..batches import Batch, Batches, Inputs, Samples
from ..checkpoints import Checkpoint
from ..optimization.losses import per_sample
from ..optimization.optimizers import clip_gradients
from ..optimization.schedules import LayerRates
from ..policies import RATES
from .inference_net import InferenceNet, TrainingSettings

# Packages whose criteria, optimizers and callbacks draw no random numbers from torch.
_KNOWN = ("torch.", "skorch.", "sklearn_transfer.")


class TransferNet(InferenceNet):
    """The skorch net of the estimators.

    The loss of a batch is ``sum(weight * loss) / n_samples``, plus ``l2_sp / 2`` times the squared
    distance of the encoder's parameters from the pretrained ones (L2-SP, Li et al. 2018); of token
    vectors, only the rows of the batch count. The random numbers of an epoch depend on the seed and
    the number of the epoch alone.

    Parameters
    ----------
    *args, checkpoint, **kwargs : object
        `fit` writes its state to the checkpoint after every epoch, and resumes from it.
    """

    rates_: LayerRates

    def __init__(self, *args: Any, checkpoint: Checkpoint | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.checkpoint = checkpoint

    def initialize_optimizer(self, **_: Any) -> TransferNet:
        """Make the optimizer, with a group of parameters for each layer."""
        options = self._optimizer_options()
        self.rates_ = LayerRates(self.module_, options["lr"], self.settings)
        self.optimizer_ = self.optimizer(self.rates_.parameter_groups(self.module_), **options)
        self._accumulator, self._frozen_outputs = GradientAccumulator(), FrozenOutputs()
        return self

    def _optimizer_options(self) -> dict[str, Any]:
        options: dict[str, Any] = self.get_params_for("optimizer")
        return {"lr": self.lr, **options}

    def restore(self) -> None:
        """Complete a net from a pickle: the pretrained model, then the optimizer."""
        super().restore()
        state = self.__dict__.pop("optimizer_state", None)
        if state is not None:
            groups = self.rates_.parameter_groups(self.module_)
            self.optimizer_ = self.optimizer(groups, **self._optimizer_options())
            self.optimizer_.load_state_dict(state)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        optimizer = state.pop("optimizer_", None)
        if optimizer is not None:
            kept = optimizer.state_dict()
            if not self.settings.is_stream:
                state["lacks_moments"] = bool(kept["state"])
                kept["state"] = {}
            state["optimizer_state"] = kept
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if not getattr(getattr(self.module_, "encoder", None), "is_incomplete", False):
            self.restore()

    __deepcopy__ = deepcopy_attributes

    def reconfigure(self, other: TransferNet) -> TransferNet:
        """Go on with the settings of a net over this module; weights and moments stay."""
        self.restore()
        if self.__dict__.pop("lacks_moments", False):
            warnings.warn(
                "The model was trained by fit and comes from a pickle, which has no moments of the "
                "optimizer: partial_fit goes on with new ones. Train by partial_fit before the "
                "pickle to keep them.",
                UserWarning,
                stacklevel=levels_to_caller(),
            )
        before, optimizer = self.settings, self.optimizer
        self.__dict__.update({**other.get_params(deep=False), "_compiled": None})
        if not _same_callbacks(before, self.settings):
            self.initialize_callbacks()
        self.initialize_criterion()
        self.criterion_.to(self.device)
        rates, state = self.rates_, self.optimizer_.state
        if self.optimizer is optimizer and self.settings.layer_groups == before.layer_groups:
            self.rates_ = LayerRates(self.module_, self.lr, self.settings)
            self.rates_.applied = rates.applied  # unchanged rates are left as callbacks set them
            return self
        self.initialize_optimizer()
        if self.optimizer is optimizer:
            self.optimizer_.state.update(state)
        for group in self.optimizer_.param_groups:
            group["initial_lr"] = group["lr"]  # for schedulers that go on
        return self

    def fit_loop(
        self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any
    ) -> TransferNet:
        """Train for a number of epochs, or until `max_epochs` of them have followed the probing."""
        self.restore()
        self.move_to(self.device)
        checkpoint = self.checkpoint if epochs is None else None
        if checkpoint is not None:
            checkpoint.restore(self)
        self._frozen_outputs.clear()
        last = None if epochs is None else len(self.history) + epochs
        while self.goes_on() if last is None else len(self.history) < last:
            super().fit_loop(X, y, epochs=1, **fit_params)
            if checkpoint is not None:
                checkpoint.write(self)
        return self

    def goes_on(self) -> bool:
        """True if there is another epoch to train."""
        return bool(self.rates_.count_epochs(self.history) < self.max_epochs)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Freeze the layers that the policy does not train."""
        rates = self.rates_.begin_epoch(self.module_, self.optimizer_, self.history)
        super().on_epoch_begin(net, **kwargs)
        self.history.record(RATES, rates)

    def run_single_epoch(
        self, iterator: Any, *, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Train or validate one epoch."""
        device = torch.device(self.device)
        seed = derive_seed(self.settings.seed, len(self.history), training)
        light = is_light(self.module_) or not has_trainable_encoder(self.module_)
        draws = seeded(seed, device, seed_global=not self._draws_nothing_else())
        with one_thread(device) if light else nullcontext(), draws:
            if iterator is not None:
                self._set_training(training)
                iterator = self._frozen_outputs.substitute(self, iterator, prefix)
                if training:
                    iterator.generator = np.random.default_rng(seed)
                self._n_batches = len(iterator)
            super().run_single_epoch(
                iterator, training=training, prefix=prefix, step_fn=step_fn, **fit_params
            )

    def _draws_nothing_else(self) -> bool:
        """True if no part of training can draw from the global generators of torch."""
        is_own = not has_trainable_encoder(self.module_) or self.module_.encoder.is_own
        parts = (self.criterion_, self.optimizer_, *(callback for _, callback in self.callbacks_))
        return (
            is_own
            and not self.settings.compiled
            and all(type(part).__module__.startswith(_KNOWN) for part in parts)
        )

    def on_batch_begin(
        self, net: Any, *, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Follow the schedule."""
        super().on_batch_begin(net, batch=batch, training=training, **kwargs)
        if training and (self.settings.schedule != "constant" or self.settings.warmup):
            n_done = len(self.history[-1, "batches"]) - 1
            self.rates_.set_rates(self.optimizer_, n_done / self._n_batches)

    def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
        """Clip gradients."""
        super().on_grad_computed(net, named_parameters, **kwargs)
        if self.settings.max_grad_norm is not None:
            clip_gradients(self.module_.parameters(), self.settings.max_grad_norm)

    def _set_training(self, training: bool = True) -> None:  # noqa: FBT001, FBT002 (as in skorch)
        """Set train mode, except for frozen layers, which compute as in prediction."""
        super()._set_training(training)
        if not training:
            return
        encoder = getattr(self.module_, "encoder", None)
        if encoder is not None and not has_trainable_encoder(self.module_):
            encoder.eval()
        for name, module in self.module_.named_modules():
            if name and any(layer.holds(name) for layer in self.rates_.frozen):
                module.eval()

    def train_step_single(self, batch: Any, **_: Any) -> dict[str, Any]:
        """Compute the loss of a batch and its gradient, in parts if memory does not suffice."""
        Xi, yi = unpack_data(batch)
        steps = self._accumulator.run(
            Xi, lambda rows: self._add_gradient(Xi, yi, rows), self._zero_grad_optimizer
        )
        losses, logits = zip(*steps, strict=True)
        return {"loss": torch.stack(losses).sum(), "y_pred": torch.cat(logits)}

    def _add_gradient(self, Xi: Batch, yi: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        part = Xi if rows.stop >= len(Xi) and rows.start == 0 else Xi[rows]
        logits = self.infer(part)
        loss = self.get_loss(logits, yi[rows], X=part, training=True)
        if not torch.isfinite(loss):
            rates = ", ".join(f"{group['lr']:.2g}" for group in self.optimizer_.param_groups)
            raise ValueError(
                f"The loss is {loss.item()} in epoch {len(self.history)} (learning rates {rates}). "
                f"Lower lr or embedding_lr, set max_grad_norm, warm up (warmup=0.1), or look for "
                f"extreme values in X."
            )
        loss = loss * (len(part) / len(Xi))
        if loss.requires_grad:  # False if all layers are frozen
            torch.autograd.backward(loss)
        return loss.detach(), logits.detach()

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Batch, *, training: bool = False
    ) -> Tensor:
        """Compute the weighted mean of the losses of a batch, shape ()."""
        losses = per_sample(self.criterion_(y_pred, y_true), y_pred)
        loss = (losses * X.weight.to(losses.dtype)).sum() / len(X)
        if training and self.settings.l2_sp and has_trainable_encoder(self.module_):
            distance = self.module_.encoder.squared_distance(**X.tensors)
            loss = loss + self.settings.l2_sp / 2 * distance
        return loss

    def forget_data(self) -> None:
        """Drop the samples that the net was fitted on."""
        self._frozen_outputs.clear()
        super().forget_data()


def _same_callbacks(one: TrainingSettings, other: TrainingSettings) -> bool:
    def made(settings: TrainingSettings) -> tuple[Any, ...]:
        return settings.average_last, settings.patience, settings.verbose > 1

    given = (one.callbacks, other.callbacks)
    is_same = len(given[0]) == len(given[1]) and all(map(operator.is_, *given))
    return is_same and made(one) == made(other)


class GradientAccumulator:
    """Add up the gradient of a batch from `n_parts`, doubled whenever memory does not suffice."""

    def __init__(self) -> None:
        self.n_parts = 1

    def run(
        self, batch: Batch, step: Callable[[slice], Any], clear: Callable[[], None]
    ) -> list[Any]:
        """Run a step for each part of a batch; `clear` gradients before more parts are tried."""
        while True:
            size = -(-len(batch) // self.n_parts)
            try:
                return [step(slice(i, i + size)) for i in range(0, len(batch), size)]
            except (RuntimeError, MemoryError) as error:
                if not lacks_memory(error) or size == 1 or not batch.divisible:
                    raise
            if self.n_parts == 1:
                warnings.warn(
                    f"A batch of {len(batch)} samples does not fit into memory; its gradient is "
                    f"added up from parts. Lower batch_size.",
                    UserWarning,
                    stacklevel=levels_to_caller(),
                )
            self.n_parts *= 2
            clear()


class FrozenOutputs:
    """Cache of the outputs of frozen layers for the training and the validation samples."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, Samples]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Drop all outputs: the samples or the layers change."""
        self._kept = {}

    def substitute(self, net: InferenceNet, batches: Batches, prefix: str) -> Batches:
        """Replace inputs by the outputs of the frozen layers; `prefix` is "train" or "valid"."""
        samples = batches.samples
        layer = None
        if getattr(net.module_, "encoder", None) is not None and not batches.token_dropout:
            layer = _lowest_trainable(net.module_)
        if layer is None:
            self.clear()
            return batches
        if prefix not in self._kept or self._kept[prefix][0] != layer:
            self._kept.pop(prefix, None)  # frees memory before more is needed
            inputs: Inputs
            if layer == 0:
                inputs = dense_design(net.encode(samples.X))
            else:
                verbose = net.settings.verbose
                inputs = net.module_.encoder.with_states(samples.X, layer, verbose=verbose)
            self._kept[prefix] = layer, Samples(inputs, samples.y, samples.weight)
        return batches.over(self._kept[prefix][1])


def _lowest_trainable(module: torch.nn.Module) -> int | None:
    """The lowest trainable layer of the encoder: None for the first, 0 if all are frozen."""
    if not has_trainable_encoder(module):
        return 0
    return module.encoder.n_frozen() or None  # type: ignore[operator, union-attr]


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Restrict torch to one thread on the CPU."""
    # OpenMP threads spin at a barrier while another process occupies one of the cores. With small
    # batches, an epoch then takes many times as long.
    n_threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def is_light(module: torch.nn.Module) -> bool:
    """Decide whether a batch takes too little work for a second thread to pay."""
    encoder = getattr(module, "encoder", None)
    return encoder is None or getattr(encoder, "light", False)
