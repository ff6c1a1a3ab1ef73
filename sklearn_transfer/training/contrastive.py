"""Contrastive fine-tuning: texts of one class are brought together, others driven apart."""

from __future__ import annotations

from collections.abc import Sequence
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
from ..models.layers import Layer, find_layers
from ..models.network import Network, PretrainedModule
from ..models.seeds import derive_seed, seeded
from .batches import Inputs, as_tensors
from .policies import Contrastive
from .schedules import rate_at

_WARMUP = 0.1
_WEIGHT_DECAY = 0.01
_ENOUGH = 2  # steps in a row below the tolerance


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
        The weight of a pair is the product.
    how, layer_groups, device, seed, verbose : object
        For the layers, see :func:`sklearn_transfer.models.layers.find_layers`.

    Returns
    -------
    list of float
        The loss of each step; one that is not finite is a ValueError.
    """
    network = Network(encoder.to(device), nn.Sequential())
    parameters, still = _let_move(network, how.n_layers, layer_groups)
    if not parameters:
        return []
    losses: list[float] = []
    bar = progress_bar(how.n_steps, "contrastive steps", verbose=verbose)
    with seeded(seed, device, seed_global=True), bar:
        if layer := encoder.n_frozen():
            inputs = encoder.with_states(inputs, layer, verbose=verbose)  # type: ignore[operator]
        generator = np.random.default_rng(derive_seed(seed, 0))
        member = membership.toarray().astype(np.float32)
        drawn = [draw_batch(member, how.batch_size, generator) for _ in range(how.n_steps)]
        known = np.unique(np.concatenate(drawn))
        before = None
        if how.pretrained_share:
            before = _encode_all(encoder.eval(), inputs, known, how.batch_size, device)
        encoder.train()
        for name, module in network.named_modules():
            if any(layer.holds(name) for layer in still):
                module.eval()
        optimizer = torch.optim.AdamW(parameters, how.lr, weight_decay=_WEIGHT_DECAY)
        weight = sample_weight / sample_weight.mean()
        for step, rows in enumerate(drawn):
            progress = (step + 0.5) / how.n_steps
            optimizer.param_groups[0]["lr"] = how.lr * rate_at("linear", _WARMUP, progress)
            encoded, order = _encode(encoder, inputs, rows, device)
            rows = rows[order]
            classes, scale = (torch.from_numpy(a).to(device) for a in (member[rows], weight[rows]))
            same = classes @ classes.T > 0
            goal = same.float()
            if before is not None:
                was = before[np.searchsorted(known, rows)]
                goal.lerp_(was @ was.T, how.pretrained_share)
            loss = contrastive_loss(encoded, same, goal, scale.float())
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
            if max(losses[-_ENOUGH:]) < how.tolerance and len(losses) >= _ENOUGH:
                break
    encoder.eval()
    return losses


def _let_move(
    network: Network, n_layers: int | None, layer_groups: Sequence[Any] | None
) -> tuple[list[nn.Parameter], list[Layer]]:
    """The parameters of the highest layers, which alone get gradients; the layers below them."""
    layers = find_layers(network, layer_groups)[:-1]
    n_still = 0 if n_layers is None else max(0, len(layers) - n_layers)
    network.requires_grad_(requires_grad=False)
    parameters = [p for layer in layers[n_still:] for p in layer.parameters(network)]
    for parameter in parameters:
        parameter.requires_grad = True
    return parameters, layers[:n_still]


def contrastive_loss(encoded: Tensor, same: Tensor, goal: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of cosines within classes, plus that of all other pairs.

    Parameters
    ----------
    encoded : Tensor, shape (n, d)
    same : Tensor of bool, shape (n, n)
        True if two samples share a class.
    goal : Tensor, shape (n, n)
        Target of the cosine.
    weight : Tensor, shape (n,)
        Of the samples.

    Returns
    -------
    Tensor, shape ()
    """
    unit = F.normalize(encoded, dim=1)
    error = (unit @ unit.T - goal).square()
    pair = weight[:, None] * weight
    pair = pair * (1 - torch.eye(len(unit), device=unit.device))
    loss = error.new_zeros(())
    for chosen in (same, ~same):
        share = pair * chosen
        total = share.sum()
        if total > 0:
            loss = loss + (share * error).sum() / total
    return loss


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


@torch.no_grad()
def _encode_all(
    encoder: PretrainedModule,
    inputs: Inputs,
    rows: NDArray[np.int64],
    size: int,
    device: torch.device,
) -> Tensor:
    """Encode samples, `size` at a time, as unit vectors of shape (n_rows, d)."""
    found = []
    for start in range(0, len(rows), size):
        encoded, order = _encode(encoder, inputs, rows[start : start + size], device)
        found.append(F.normalize(encoded, dim=1)[np.argsort(order)])
    return torch.cat(found)
