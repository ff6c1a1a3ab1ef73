"""Contrastive fine-tuning: texts of one class are brought together, others driven apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional as F

from .._utils.progress import progress_bar
from ..contextual.runtime import CPU_TOKENS
from ..contextual.sequences import batches_by_length
from ..models.layers import find_layers
from ..models.network import Network, PretrainedModule
from ..models.seeds import derive_seed, seeded
from .batches import Inputs, as_tensors
from .optimization.schedules import rate_at
from .policies import Contrastive

_WARMUP = 0.1
_WEIGHT_DECAY = 0.01


def tune(  # noqa: PLR0913 (a stage of training with its data)
    encoder: PretrainedModule,
    inputs: Inputs,
    membership: csr_array,
    sample_weight: NDArray[np.floating],
    how: Contrastive,
    *,
    layer_groups: Sequence[Any] | None = None,
    device: torch.device,
    seed: int,
    verbose: int = 0,
) -> list[float]:
    """Train an encoder in place so that samples of one class are alike.

    Parameters
    ----------
    encoder : PretrainedModule
        Left in evaluation mode, on `device`.
    inputs : Arrays or Sequences, length n_samples
    membership : csr_array, shape (n_samples, n_classes)
        1 where a sample belongs to a class.
    sample_weight : ndarray of float, shape (n_samples,)
        A sample of weight 2 counts as two in the loss.
    how, layer_groups, device, seed, verbose : object
        For the layers, see :func:`sklearn_transfer.models.layers.find_layers`.

    Returns
    -------
    list of float
        The loss of each step; one that is not finite is a ValueError.
    """
    network = Network(encoder.to(device), nn.Sequential())
    parameters = _let_move(network, how.n_layers, layer_groups)
    if not parameters:
        return []
    start = [parameter.detach().clone() for parameter in parameters]
    losses: list[float] = []
    bar = progress_bar(how.n_steps, "contrastive steps", verbose=verbose)
    with seeded(seed, device, seed_global=True), bar, _without_noise(encoder):
        if layer := encoder.n_frozen():
            inputs = encoder.with_states(inputs, layer, verbose=verbose)  # type: ignore[operator]
        generator = np.random.default_rng(derive_seed(seed, 0))
        member = membership.toarray().astype(np.float32)
        weight = (sample_weight / sample_weight.mean()).astype(np.float32)
        # On a few short texts, the fused kernel saves a tenth of a step.
        fused = device.type in ("cpu", "cuda") and all(p.is_floating_point() for p in parameters)
        optimizer = torch.optim.AdamW(parameters, how.lr, weight_decay=_WEIGHT_DECAY, fused=fused)
        for step in range(how.n_steps):
            rows = draw_batch(member, how.batch_size, generator)
            progress = (step + 0.5) / how.n_steps
            optimizer.param_groups[0]["lr"] = how.lr * rate_at("linear", _WARMUP, progress)
            encoded, order = _encode(encoder, inputs, rows, device)
            rows = rows[order]
            classes, scale = (torch.from_numpy(a).to(device) for a in (member[rows], weight[rows]))
            loss = contrastive_loss(encoded, classes @ classes.T > 0, scale, how.temperature)
            if not loss.requires_grad:
                raise ValueError(
                    "The contrastive stage trains in evaluation mode, without dropout, and there "
                    "the pretrained module gives features without gradients. Remove "
                    "torch.no_grad() or detach() from its forward, or use adaptation='full'."
                )
            if not torch.isfinite(loss):
                raise ValueError(
                    f"The loss of the contrastive stage is {loss.item()} in step {step + 1}. Lower "
                    f"its rate: adaptation=Contrastive(lr={how.lr / 10:.2g})."
                )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(loss.item())
            bar.update()
    with torch.no_grad():
        for parameter, before in zip(parameters, start, strict=True):
            parameter.lerp_(before, 1 - how.tuned_share)
    return losses


@contextmanager
def _without_noise(encoder: PretrainedModule) -> Iterator[None]:
    """Set an encoder to evaluation mode, without dropout and batch statistics."""
    encoder.eval()
    # cuDNN computes no gradients of recurrent layers in evaluation mode.
    recurrent = [
        module
        for module in encoder.modules()
        if isinstance(module, nn.RNNBase) and any(p.requires_grad for p in module.parameters())
    ]
    shares = [module.dropout for module in recurrent]
    for module in recurrent:
        module.train()
        module.dropout = 0.0
    try:
        yield
    finally:
        for module, share in zip(recurrent, shares, strict=True):
            module.dropout = share
        encoder.eval()


def _let_move(
    network: Network, n_layers: int | None, layer_groups: Sequence[Any] | None
) -> list[nn.Parameter]:
    """The parameters of the highest layers, which alone get gradients."""
    layers = find_layers(network, layer_groups)[:-1]
    n_still = 0 if n_layers is None else max(0, len(layers) - n_layers)
    network.requires_grad_(requires_grad=False)
    parameters = [p for layer in layers[n_still:] for p in layer.parameters(network)]
    for parameter in parameters:
        parameter.requires_grad = True
    return parameters


def contrastive_loss(encoded: Tensor, same: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, equation 2), with weights.

    Parameters
    ----------
    encoded : Tensor, shape (n, d)
    same : Tensor of bool, shape (n, n)
        True if two samples share a class.
    weight : Tensor, shape (n,)
        Of the samples.
    temperature : float
        Divisor of the cosines.

    Returns
    -------
    Tensor, shape ()
        Zero where no two samples share a class.

    Notes
    -----
    The mean over samples i with others of their class, of the mean over these others p of
    ``-log(exp(cos(i, p) / T) / sum(exp(cos(i, a) / T) over all a other than i))``.
    """
    unit = F.normalize(encoded, dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    logits = (unit @ unit.T / temperature + weight.log()).masked_fill(itself, -torch.inf)
    # The weight of a sample among the others is that of its term in the sum.
    log_share = (logits - logits.logsumexp(dim=1, keepdim=True) - weight.log()).masked_fill(
        itself, 0
    )
    pair = weight * (same & ~itself)
    total = pair.sum(dim=1)
    each = -(pair * log_share).sum(dim=1) / total.clamp_min(torch.finfo(total.dtype).tiny)
    has_pair = weight * (total > 0)
    return (has_pair * each).sum() / has_pair.sum().clamp_min(torch.finfo(total.dtype).tiny)


def draw_batch(
    member: NDArray[np.float32], size: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw distinct rows: all, or up to the same number (at least two) of each class drawn."""
    if len(member) <= size:
        return np.arange(len(member))
    classes = generator.permutation(np.flatnonzero(member.any(axis=0)))[: max(size // 2, 1)]
    each = max(size // len(classes), 2)
    drawn: list[NDArray[np.int64]] = [
        generator.permutation(np.flatnonzero(member[:, code]))[:each] for code in classes.tolist()
    ]
    return np.unique(np.concatenate(drawn))


def _encode(
    encoder: PretrainedModule, inputs: Inputs, rows: NDArray[np.int64], device: torch.device
) -> tuple[Tensor, NDArray[np.int64]]:
    """Encode samples, shape (n, d), in the order of the second value: by length, if any."""
    from_inputs: Any = inputs[rows]
    lengths = getattr(from_inputs, "lengths", None)
    parts: Sequence[NDArray[np.int64]] = [np.arange(len(rows))]
    if lengths is not None:
        parts = list(batches_by_length(lengths, CPU_TOKENS))
    encoded = [encoder(**as_tensors(from_inputs[part], device)) for part in parts]
    return torch.cat(encoded), np.concatenate(parts)
