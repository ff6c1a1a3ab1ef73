"""Networks: an encoder, pretrained or None, and a head with random initial weights."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..text.linear.linear_model import LinearModel
from .names import ACTIVATION_NAMES
from .seeds import current_generator
from .text_encoder import TextEncoder

ACTIVATIONS: dict[str, type[nn.Module]] = dict(
    zip(ACTIVATION_NAMES, (nn.Identity, nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid), strict=True)
)


class Dropout(nn.Dropout):
    """Dropout that draws from the generator of the thread's fit (Srivastava et al. 2014)."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop numbers in train mode."""
        if not (self.training and self.p):
            return input
        kept = torch.empty_like(input).bernoulli_(1 - self.p, generator=current_generator())
        return input * kept.div_(1 - self.p)


def make_head(
    n_features: int,
    hidden_layer_sizes: Sequence[int],
    n_outputs: int,
    *,
    activation: str,
    dropout: float,
) -> nn.Sequential:
    """Make a multi-layer perceptron with dropout before each linear layer."""
    layers: list[nn.Module] = []
    width = n_features
    for i, size in enumerate([*hidden_layer_sizes, n_outputs]):
        if i:
            layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(Dropout(dropout))
        linear = nn.utils.skip_init(nn.Linear, width, size)  # type: ignore[no-untyped-call]
        # Glorot & Bengio 2010
        nn.init.xavier_uniform_(linear.weight, generator=current_generator())
        nn.init.zeros_(linear.bias)
        layers.append(linear)
        width = size
    return nn.Sequential(*layers)


class PretrainedModule(nn.Module):
    """A pretrained module, trained in place, and if `pulled`, for L2-SP, its initial parameters."""

    is_own = False  # it may draw from the global generators of torch

    def __init__(self, module: nn.Module, *, pulled: bool = False) -> None:
        super().__init__()
        self.module = module
        self._pulled = [name for name, _ in self.module.named_parameters()] if pulled else []
        self._anchor()

    def _anchor(self) -> None:
        """Keep the present parameters as initial ones."""
        for i, name in enumerate(self._pulled):
            start = self.module.get_parameter(name).detach().clone()
            self.register_buffer(f"start_{i}", start)

    @property
    def is_incomplete(self) -> bool:
        """True for a module from a pickle whose pretrained model has not been found yet."""
        return False

    def restore(self) -> None:
        """Complete a module from a pickle."""

    @property
    def is_anchored(self) -> bool:
        """True if the initial parameters are kept, so that a penalty can pull towards them."""
        return bool(self._pulled)

    def left_out(self) -> set[str]:
        """Names of the tensors that a model file does not have: the initial parameters."""
        return {f"start_{i}" for i in range(len(self._pulled))}

    def n_frozen(self) -> int:
        """Number of lowest layers whose outputs need to be computed only once."""
        return 0

    def squared_distance(self, **_: Tensor) -> Tensor:
        """Squared distance of all parameters from the initial ones, shape ()."""
        if not self._pulled:
            raise RuntimeError(
                "squared_distance needs the initial parameters: make the module with pulled=True."
            )
        moved = (
            self.module.get_parameter(name) - self.get_buffer(f"start_{i}")
            for i, name in enumerate(self._pulled)
        )
        return torch.stack([change.square().sum() for change in moved]).sum()


class ArrayEncoder(PretrainedModule):
    """A copy of a user's module from arrays, shape (n_samples, ...), to (n_samples, d)."""

    def __init__(self, module: nn.Module, *, pulled: bool = False) -> None:
        if any(nn.parameter.is_lazy(parameter) for parameter in module.parameters()):
            raise ValueError(
                f"The module {type(module).__name__} has lazy parameters, which have no shape yet: "
                f"call it once on some samples before you pass it as pretrained."
            )
        super().__init__(copy.deepcopy(module), pulled=pulled)

    def forward(self, x: Tensor) -> Tensor:
        """Encode samples as float32; floats are cast to the dtype of the module's parameters."""
        if x.is_floating_point():
            x = x.to(_floating_dtype(self.module))
        try:
            encoded: Tensor = self.module(x)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"The pretrained module, {type(self.module).__name__}, refused a batch of shape "
                f"{tuple(x.shape)} and dtype {x.dtype}: {error}{_advise(x)}"
            ) from error
        _check_encoded(encoded, len(x), type(self.module).__name__)
        return encoded.float()


def _advise(x: Tensor) -> str:
    """Advice for arrays of images that are as files have them."""
    advice = []
    if not x.is_floating_point():
        advice.append("Integers stay integers: use X.astype('float32') / 255 for pixels.")
    if x.dim() == 4 and x.shape[-1] in (1, 3, 4):
        advice.append("Modules read channels first: use X.transpose(0, 3, 1, 2).")
    return "".join(f" {sentence}" for sentence in advice)


def _floating_dtype(module: nn.Module) -> torch.dtype:
    """The dtype of the parameters of a module; float32 without parameters."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


def _check_encoded(encoded: Any, n_samples: int, name: str) -> None:
    output = (
        f"shape {tuple(encoded.shape)}"
        if isinstance(encoded, Tensor)
        else f"an object of type {type(encoded).__name__}"
    )
    if not isinstance(encoded, Tensor) or encoded.dim() != 2 or len(encoded) != n_samples:
        raise ValueError(
            f"The module {name} must give a tensor of shape (n_samples, d), here ({n_samples}, d), "
            f"got {output}. Wrap it in a module that pools or selects the input of the head."
        )


class Network(nn.Module):
    """An encoder, or None if X is features already, and a head whose last module is linear."""

    def __init__(self, encoder: nn.Module | None, head: nn.Sequential) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    @property
    def n_features(self) -> int:
        """Width of :meth:`features`."""
        return int(self.head[-1].in_features)  # type: ignore[arg-type]

    def saved_state(self) -> dict[str, Tensor]:
        """Parameters and buffers that a model file has."""
        left_out = getattr(self.encoder, "left_out", set[str])()
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if name.removeprefix("encoder.") not in left_out
        }

    def linear_model(self, n_sparse: int) -> LinearModel | None:
        """The model as arrays, if it is linear in a design with `n_sparse` sparse columns."""
        layers = [layer for layer in self.head if not isinstance(layer, nn.Dropout)]
        if self.encoder is not None or len(layers) > 1:
            return None
        linear: Any = layers[0]
        weight, bias = (part.detach().cpu().numpy() for part in (linear.weight, linear.bias))
        return LinearModel(weight.T[:n_sparse], weight.T[n_sparse:], bias)

    def use_plain_dropout(self) -> None:
        """Replace the dropout of the head by torch's own, which torch.compile knows."""
        layers = [nn.Dropout(m.p) if isinstance(m, Dropout) else m for m in self.head]
        self.head = nn.Sequential(*layers)

    def encode(self, **inputs: Tensor) -> Tensor:
        """Compute the input of the head, shape (n_samples, d); given columns stay as they are."""
        if self.encoder is None or "dense" in inputs:
            return join_columns(**inputs)
        encoded: Tensor = self.encoder(**inputs)
        return encoded

    def features(self, **inputs: Tensor) -> Tensor:
        """Compute the input of the last, linear layer, shape (n_samples, n_features)."""
        features = self.encode(**inputs)
        for layer in list(self.head)[:-1]:
            features = layer(features)
        return features

    def forward(self, **inputs: Tensor) -> Tensor:
        """Compute the logits, shape (n_samples, n_outputs)."""
        logits: Tensor = self.head[-1](self.features(**inputs))
        return logits


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Tensors as arrays of a model file; bfloat16, which NumPy lacks, as equal float32."""
    return {
        name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy()
        for name, tensor in tensors.items()
    }


def load_tensors(
    module: nn.Module, arrays: Mapping[str, NDArray[Any]], unchanged: Collection[str]
) -> None:
    """Load tensors of a model file; a `ValueError` unless they and the unchanged ones are all."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    try:
        result = module.load_state_dict(tensors, strict=False)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"the tensors do not fit the module: {error}") from error
    names = sorted({*result.missing_keys} - {*unchanged}) + result.unexpected_keys
    if names:
        raise ValueError(f"the tensors do not fit the module: missing or not known: {names!r:.200}")


def join_columns(dense: Tensor, sparse: Tensor | None = None) -> Tensor:
    """Join the blocks of a design, float32 of shape (n_samples, n_sparse + n_dense)."""
    return (dense if sparse is None else torch.cat([sparse.to_dense(), dense], dim=1)).float()


@torch.no_grad()
def measure_width(encoder: nn.Module | None, example: dict[str, Tensor]) -> int:
    """Measure the number of features of an encoder, or of a design, and check them."""
    if encoder is None:
        return join_columns(**example).shape[1]
    module: Any = encoder.reader if isinstance(encoder, TextEncoder) else encoder
    module = getattr(module, "module", module)

    def count_changes() -> list[int]:
        return [p._version for p in module.parameters()]  # noqa: SLF001 (not public in torch)

    before = count_changes()
    training = encoder.training
    encoded = encoder.eval()(**example)
    encoder.train(training)
    n_samples = len(next(example[name] for name in ("x", "ids") if name in example))
    if "offsets" in example:
        n_samples = len(example["offsets"]) - 1
    _check_encoded(encoded, n_samples, type(module).__name__)
    if count_changes() != before:
        raise ValueError(
            f"The module {type(module).__name__} changes its own parameters when it is called; "
            f"only the optimizer may change them. Keep such state in buffers."
        )
    if not torch.isfinite(encoded).all():
        raise ValueError(
            f"The module {type(module).__name__} gives NaN or infinite features for the first "
            f"samples. Check its weights and the scale of X."
        )
    return int(encoded.shape[1])


def as_array(X: NDArray[Any], module: nn.Module) -> NDArray[Any]:
    """Cast X for a module: integers to int64, floats to float32 or, if it is float64, to that."""
    if X.dtype.kind in "iub":
        return X.astype(np.int64, copy=False)
    wanted = np.float64 if _floating_dtype(module) == torch.float64 else np.float32
    return X.astype(wanted, copy=False)
