"""The skorch net that trains in mini-batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.dataset import unpack_data
from torch import Tensor

from .._utils.devices import device_or_cpu, lacks_memory
from .._utils.errors import levels_to_caller
from ..models.network import Network
from ..models.sentence_encoder import SentenceEncoder
from ..text.design import Design, dense_design
from .batches import Batch, Batches, Inputs, Samples, by_length
from .checkpoints import Checkpoint
from .losses import per_sample
from .optimizers import clip_gradients
from .policies import RATES, Adaptation, Full, Layer, find_layers
from .schedules import rate_at
from .seeds import derive_seed, seeded

# Where the device of a net is written down.
_OF_DEVICE = ("device", "iterator_train__device", "iterator_valid__device")


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Keep torch to one thread where the CPU trains.

    Parameters
    ----------
    device : torch.device

    Notes
    -----
    The batches are small, and the threads of OpenMP spin at a barrier whenever another process has
    one of the cores, so that an epoch takes many times as long. Products with sparse columns have
    threads of their own, which sleep.
    """
    n_threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def is_light(module: torch.nn.Module) -> bool:
    """Whether the work of a batch is too small for two threads to be worth their wait."""
    encoder = getattr(module, "encoder", None)
    return encoder is None or getattr(encoder, "light", False)


class TransferNet(NeuralNet):
    """The skorch net of the estimators: its X is :class:`Samples`, or inputs.

    The loss of a batch is ``sum(weight * loss) / n_samples``, plus ``l2_sp / 2`` times the squared
    distance of the encoder's parameters from the pretrained ones (L2-SP, Li et al. 2018), for token
    vectors that of the batch's rows. An epoch draws from generators seeded by `seed` and its number
    alone.

    Parameters
    ----------
    *args : tuple
        See :class:`skorch.NeuralNet`.
    adaptation : Adaptation, default=Full()
        Which layers move, when, and how fast; `max_epochs` counts what comes after its probing.
    layer_groups : sequence or None, default=None
        See :func:`sklearn_transfer.training.policies.find_layers`.
    encoder_lr : float or None, default=None
        Learning rate of the pretrained layers; None is `lr`.
    l2_sp : float, default=0.0
        Strength of the pull.
    schedule : str, default="constant"
        A key of `SCHEDULES`.
    warmup : float, default=0.0
        Share of `max_epochs` in which the rates rise from 0.
    max_grad_norm : float or None, default=None
        Gradients are shortened to this length (Pascanu et al. 2013).
    average_last : int, default=0
        Epochs whose weights are averaged at the end (Izmailov et al. 2018).
    checkpoint : Checkpoint or None, default=None
        Where `fit` writes every epoch, and goes on from.
    mixed_precision : bool, default=False
        Multiply in bfloat16.
    compiled : bool or str, default=False
        Compile the network; a string is the backend of `torch.compile`.
    seed : int, default=0
    **kwargs : dict
        See :class:`skorch.NeuralNet`.
    """

    def __init__(
        self,
        *args: Any,
        adaptation: Adaptation = Full(),  # noqa: B008 (immutable)
        layer_groups: Sequence[Any] | None = None,
        encoder_lr: float | None = None,
        l2_sp: float = 0.0,
        schedule: str = "constant",
        warmup: float = 0.0,
        max_grad_norm: float | None = None,
        average_last: int = 0,
        checkpoint: Checkpoint | None = None,
        mixed_precision: bool = False,
        compiled: bool | str = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.adaptation = adaptation
        self.layer_groups = layer_groups
        self.encoder_lr = encoder_lr
        self.l2_sp = l2_sp
        self.schedule, self.warmup = schedule, warmup
        self.max_grad_norm = max_grad_norm
        self.average_last = average_last
        self.checkpoint = checkpoint
        self.mixed_precision, self.compiled = mixed_precision, compiled
        self.seed = seed

    # ---- what skorch asks for ----

    def get_dataset(self, X: Any, y: Any = None) -> Samples:
        """Inputs and targets as samples."""
        return X if isinstance(X, Samples) else Samples(X, y)

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> TransferNet:
        """Make the optimizer, with a group of parameters for each layer that has any."""
        self.layers_: list[Layer] = find_layers(self.module_, self.layer_groups)
        settings = self.get_params_for("optimizer")
        settings.setdefault("lr", self.lr)
        self._base_rates = [settings["lr"]] * len(self.layers_)
        if self.encoder_lr is not None:
            self._base_rates[:-1] = [self.encoder_lr] * (len(self.layers_) - 1)
        groups = [
            {"params": layer.parameters(self.module_), "lr": rate}
            for layer, rate in zip(self.layers_, self._base_rates, strict=True)
        ]
        self.optimizer_ = self.optimizer(groups, **settings)
        self._rates = self._base_rates
        self._still: list[Layer] = []
        self._average: dict[str, Tensor] = {}
        self._rest: dict[str, tuple[int, Samples]] = {}
        self._n_parts = 1  # of a batch, that memory suffices for each
        return self

    def fit_loop(
        self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any
    ) -> TransferNet:
        """Train for some epochs, or until `max_epochs` of them have followed the probing."""
        self._move_to(self.device)
        if epochs is None and self.checkpoint is not None:
            self.checkpoint.restore(self)
        self._rest = {}  # of other samples
        last = None if epochs is None else len(self.history) + epochs
        while self.goes_on() if last is None else len(self.history) < last:
            super().fit_loop(X, y, epochs=1, **fit_params)
            if epochs is None and self.checkpoint is not None:
                self.checkpoint.write(self)
        return self

    def goes_on(self) -> bool:
        """Whether there is another epoch to train."""
        return len(self.history) - self._n_probing() < self.max_epochs

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Let the layers move that the policy names."""
        self._n_done = len(self.history) - self._n_probing()
        self._factors = self._ask_policy()
        super().on_epoch_begin(net, **kwargs)
        rates = self._set_rates(0.5)
        self.history.record(RATES, {layer.name: rate for layer, rate in rates})
        self._still = [layer for layer, rate in rates if rate == 0]
        for layer, rate in rates:
            for parameter in layer.parameters(self.module_):
                parameter.requires_grad_(rate > 0)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Train or validate one epoch."""
        device = torch.device(self.device)
        seed = derive_seed(self.seed, len(self.history), training)
        light = is_light(self.module_) or self._at_rest()
        threads = one_thread(device) if light else nullcontext()
        with threads, seeded(seed, device):
            if iterator is not None:
                self._set_training(training)
                iterator = self._lightened(iterator, prefix)
                if training:
                    iterator.generator = np.random.default_rng(seed)
                self._n_batches = len(iterator)
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kw: Any
    ) -> None:
        """Follow the schedule."""
        super().on_batch_begin(net, batch=batch, training=training, **kw)
        if training and (self.schedule != "constant" or self.warmup):
            self._set_rates((len(self.history[-1, "batches"]) - 1) / self._n_batches)

    def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
        """Shorten long gradients."""
        super().on_grad_computed(net, named_parameters, **kwargs)
        if self.max_grad_norm is not None:
            clip_gradients(self.module_.parameters(), self.max_grad_norm)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Add the weights of one of the last epochs to their average."""
        super().on_epoch_end(net, **kwargs)
        n_left = self.max_epochs - (len(self.history) - self._n_probing())
        n_averaged = min(self.average_last, self.max_epochs)
        if n_left < n_averaged:
            share = 1 / (n_averaged - n_left)
            for name, tensor in self.module_.state_dict().items():
                if tensor.is_floating_point():
                    before = self._average.setdefault(name, tensor.clone())
                    before.lerp_(tensor, share)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Take the average of the weights."""
        super().on_train_end(net, X=X, y=y, **kwargs)
        if self._average:
            self.module_.load_state_dict(self._average, strict=False)

    # ---- a step ----

    def _set_training(self, training: bool = True) -> None:
        """Train mode, but for layers that are still, which give what they give in prediction."""
        super()._set_training(training)
        if training:
            encoder = getattr(self.module_, "encoder", None)
            if encoder is not None and self._at_rest():
                encoder.eval()
            for name, module in self.module_.named_modules():
                if name and any(layer.holds(name) for layer in self._still):
                    module.eval()

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """The loss of a batch and its gradient, added up from parts where memory lacks."""
        Xi, yi = unpack_data(batch)
        while True:
            size = -(-len(Xi) // self._n_parts)
            parts = [slice(start, start + size) for start in range(0, len(Xi), size)]
            try:
                return self._add_gradients(Xi, yi, parts)
            except (RuntimeError, MemoryError) as error:
                if not lacks_memory(error) or size == 1 or not Xi.divisible:
                    raise
            if self._n_parts == 1:
                warnings.warn(
                    f"A batch of {len(Xi)} samples does not fit into memory; its gradient is added "
                    f"up from parts. Lower batch_size.",
                    UserWarning,
                    stacklevel=levels_to_caller(),
                )
            self._n_parts *= 2
            self._zero_grad_optimizer()

    def _add_gradients(self, Xi: Batch, yi: Tensor, parts: Sequence[slice]) -> dict[str, Any]:
        steps = []
        for rows in parts:
            part = Xi if len(parts) == 1 else Xi[rows]
            logits = self.infer(part)
            loss = self.get_loss(logits, yi[rows], X=part, training=True)
            if not torch.isfinite(loss):
                rates = ", ".join(f"{group['lr']:.2g}" for group in self.optimizer_.param_groups)
                raise ValueError(
                    f"The loss is {loss.item()} in epoch {len(self.history)} (learning rates "
                    f"{rates}). Lower lr or embedding_lr, set max_grad_norm, warm up (warmup=0.1), "
                    f"or look for extreme values in X."
                )
            loss = loss * (len(part) / len(Xi))
            if loss.requires_grad:  # otherwise no layer moves
                loss.backward()
            steps.append((loss.detach(), logits.detach()))
        losses, found = zip(*steps, strict=True)
        return {"loss": torch.stack(losses).sum(), "y_pred": torch.cat(found)}

    def infer(self, x: Batch, **fit_params: Any) -> Tensor:
        """The logits of a batch, shape (n_samples, n_outputs)."""
        network = self.module_
        if self.compiled:
            network = self._compile()
        if not self.mixed_precision:
            logits: Tensor = network(**x.tensors)
            return logits
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16):
            return network(**x.tensors).float()

    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Batch, training: bool = False) -> Tensor:
        """The weighted mean of the losses of a batch, shape ()."""
        losses = per_sample(self.criterion_(y_pred, y_true), len(X))
        loss = (losses * X.weight).sum() / len(X)
        if training and self.l2_sp and not self._at_rest():
            loss = loss + self.l2_sp / 2 * self.module_.encoder.squared_distance(**X.tensors)
        return loss

    def _compile(self) -> Any:
        if getattr(self, "_network", None) is None:
            backend = self.compiled if isinstance(self.compiled, str) else "inductor"
            self._network = torch.compile(self.module_.forward, backend=backend, dynamic=True)
        return self._network

    # ---- the policy ----

    def _n_probing(self) -> int:
        count = getattr(self.adaptation, "n_probing", None)
        return 0 if count is None else int(count(self.history))

    @property
    def probes(self) -> bool:
        """Whether this epoch comes before `max_epochs` begins to count."""
        return hasattr(self.adaptation, "n_probing") and not any(self._factors[:-1])

    def _ask_policy(self) -> list[float]:
        n_layers = len(self.layers_)
        rates = [float(r) for r in self.adaptation.rates(len(self.history), n_layers, self.history)]
        if len(rates) != n_layers or not all(np.isfinite(rates)) or min(rates) < 0:
            raise ValueError(
                f"adaptation={self.adaptation!r} must give a finite, non-negative rate for each of "
                f"the {n_layers} layers {[layer.name for layer in self.layers_]}, got {rates}."
            )
        return rates

    def _set_rates(self, of_epoch: float) -> list[tuple[Layer, float]]:
        """Set the learning rates of all layers for a point of the epoch."""
        progress = min((self._n_done + of_epoch) / self.max_epochs, 1.0)
        # The head converges at a rate of its own.
        factor = 1.0 if self.probes else rate_at(self.schedule, self.warmup, progress)
        rates = [b * f * factor for b, f in zip(self._base_rates, self._factors, strict=True)]
        groups = self.optimizer_.param_groups
        for group, rate, before in zip(groups, rates, self._rates, strict=True):
            if rate != before:  # what stays is left to schedulers among the callbacks
                group["lr"] = rate
        self._rates = rates
        return [(layer, group["lr"]) for layer, group in zip(self.layers_, groups, strict=True)]

    # ---- what is still is computed once ----

    def _at_rest(self) -> bool:
        """Whether no parameter of the encoder moves."""
        encoder = getattr(self.module_, "encoder", None)
        return encoder is None or not any(p.requires_grad for p in encoder.parameters())

    def _lightened(self, iterator: Batches, prefix: str) -> Batches:
        """Batches of what the encoder gives, as long as that does not change."""
        samples = iterator.samples
        level = None if isinstance(samples.X, Design) or iterator.token_dropout else self._level()
        if level is None:
            self._rest = {}
            return iterator
        if prefix not in self._rest or self._rest[prefix][0] != level:
            self._rest.pop(prefix, None)  # before more memory is needed
            kept: Inputs = dense_design(self.encode(samples.X)) if not level else samples.X
            if level:
                device = torch.device(self.device)
                kept = self.module_.encoder.with_states(samples.X, level, device)
            self._rest[prefix] = level, Samples(kept, samples.y, samples.weight)
        return iterator.over(self._rest[prefix][1])

    def _level(self) -> int | None:
        """The lowest layer of the encoder that moves: 0 where none does, None for the first."""
        if self._at_rest():
            return 0
        encoder = self.module_.encoder
        return (encoder.n_still() if isinstance(encoder, SentenceEncoder) else 0) or None

    @torch.no_grad()
    def encode(self, inputs: Inputs) -> NDArray[np.float32]:
        """What the encoder gives, shape (n_samples, d)."""
        module: Network = self.module_
        training = module.training
        module.eval()
        inputs, back = by_length(inputs)
        batches = self.get_iterator(self.get_dataset(inputs), training=False)
        found = [module.encode(**batch.tensors).cpu().numpy() for batch, _ in batches]
        module.train(training)
        return np.concatenate(found)[back]

    @torch.no_grad()
    def features(self, inputs: Inputs) -> NDArray[np.float32]:
        """What the last, linear layer sees, shape (n_samples, n_features)."""
        self._move_to(self.device)
        self.module_.eval()
        inputs, back = by_length(inputs)
        batches = self.get_iterator(self.get_dataset(inputs), training=False)
        found = [self.module_.features(**batch.tensors).cpu().numpy() for batch, _ in batches]
        return np.concatenate(found)[back]

    # ---- afterwards ----

    @property
    def ran_out(self) -> bool:
        """Whether training ended before its solver had converged."""
        return False

    def forget_data(self) -> None:
        """Let go of the samples that the net was fitted on, and of the average of weights."""
        self._rest, self._average = {}, {}
        self.set_params(train_split=None)

    def __getstate__(self) -> dict[str, Any]:
        # Not that of skorch, whose pickle within a pickle stores twice what both refer to (the
        # module that it was given), and knows no class of a notebook, as cloudpickle does.
        if self.initialized_:
            self._move_to(torch.device("cpu"))
        return {**self.__dict__, "_network": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = torch.device(device_or_cpu(state["device"]))
        self.__dict__.update({**state, **dict.fromkeys(_OF_DEVICE, device)})

    def _move_to(self, device: Any) -> None:
        """Take what is trained to a device, if it is elsewhere: after a pickle, to its own."""
        device = torch.device(device)
        if all(p.device.type == device.type for p in self.module_.parameters()):
            return
        self.module_.to(device)
        self.criterion_.to(device)
        if self.optimizer_.state:
            self.optimizer_.load_state_dict(self.optimizer_.state_dict())  # to its parameters

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """Logits of inputs, shape (n_samples, n_outputs)."""
        self._move_to(self.device)
        inputs, back = by_length(inputs)
        found = [batch.detach().cpu().numpy() for batch in self.forward_iter(inputs)]
        return np.concatenate(found)[back]

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Softmax of the logits, or sigmoid of a single one, shape (n_samples, n_classes)."""
        logits = torch.from_numpy(self.logits(X))
        if logits.shape[1] == 1:
            positive = torch.sigmoid(logits)
            return torch.cat([1 - positive, positive], dim=1).numpy()
        return torch.softmax(logits, dim=1).numpy()

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Codes of the most probable classes, shape (n_samples,)."""
        return self.predict_proba(X).argmax(axis=1)
