"""Parameters to a configuration: every "auto" is resolved."""

from __future__ import annotations

from typing import Any, cast

import torch

from .._utils.devices import resolve_device
from .._utils.random import draw_seed
from ..models.readers import check_reader
from ..training.checkpoints import claim_seed
from ..training.names import Loss
from ..training.optimization.losses import make_criterion
from ..training.policies import POLICIES, Adaptation, Contrastive
from .parameters import CONVEX, Parameters
from .protocol import Configuration, Kind
from .targets.targets import Task


def resolve(  # noqa: PLR0913 (the one place that sees all of them)
    parameters: Parameters,
    kind: Kind,
    task: Task | type[Task],
    adaptation: Any,
    seed: int,
    *,
    is_stream: bool = False,
    has_validation: bool = False,
    is_indicator: bool = False,
) -> Configuration:
    """Resolve the parameters of a fit, and reject those that contradict each other."""
    # `adaptation` is a policy, not "auto". With `is_stream`, samples come in parts (`partial_fit`).
    policy = POLICIES[adaptation]() if isinstance(adaptation, str) else adaptation
    check_reader(parameters.encoder, parameters.encoder_params)
    kind.check_parameters(parameters, policy)
    if parameters.average_last and parameters.early_stopping:
        raise ValueError(
            "average_last and early_stopping both choose the final weights: set one of them."
        )
    _check_backend(parameters.compile)
    if isinstance(policy, Contrastive):
        _check_contrastive(kind, is_stream=is_stream)
    if is_stream and parameters.class_weight == "balanced":
        raise ValueError(
            "class_weight='balanced' needs all labels at once; give partial_fit a dict."
        )
    is_convex = not is_stream and _is_convex(parameters, kind, task, policy)
    if parameters.optimizer == CONVEX and not is_convex:
        raise ValueError(
            "optimizer='convex' needs a linear model: hidden_layer_sizes=(), for texts "
            "encoder='mean' with adaptation='full' or 'frozen', for a torch module "
            f"adaptation='frozen'; a criterion among {', '.join(task.convex_losses)}; and all "
            "samples at once (fit). Use optimizer='auto' or 'adam'."
        )
    l2_sp = parameters.l2_sp
    solver_loss = kind.solver_loss(task, policy)
    auto_loss = solver_loss if is_convex else task.net_loss
    criterion = auto_loss if parameters.criterion == "auto" else parameters.criterion
    smoothing = 0.0 if is_convex else parameters.label_smoothing
    config = Configuration(
        parameters=parameters,
        kind=kind,
        policy=policy,
        is_convex=is_convex,
        optimizer=kind.optimizer if parameters.optimizer == "auto" else parameters.optimizer,
        loss=cast(Loss, criterion if is_convex else solver_loss),
        criterion=make_criterion(criterion, smoothing),
        hidden=parameters.hidden,
        device=torch.device(resolve_device(parameters.device)),
        l2_sp=float(is_convex) if l2_sp == "auto" else float(l2_sp),
        pretrained_scale=parameters.pretrained_scale,
        max_epochs=kind.max_epochs if parameters.max_epochs == "auto" else parameters.max_epochs,
        encoder_lr=_find_encoder_lr(parameters, kind),
        seed=seed if is_convex or is_stream else _keep_seed(parameters, seed),
        has_validation=has_validation,
        is_stream=is_stream,
        is_indicator=is_indicator,
    )
    if config.l2_sp == 0 and kind.has_token_weights(config):
        raise ValueError(
            "The linear bag of words needs l2_sp > 0, or 'auto', which is 1: without a penalty the "
            "weights of rare words grow without bound."
        )
    return config


def _is_convex(
    parameters: Parameters, kind: Kind, task: Task | type[Task], policy: Adaptation
) -> bool:
    by_name = isinstance(parameters.criterion, str)
    return (
        parameters.optimizer in ("auto", CONVEX)
        and not parameters.hidden
        and by_name
        and parameters.criterion in ("auto", *task.convex_losses)
        and kind.is_linear(parameters, policy)
    )


def _check_backend(name: bool | str) -> None:  # noqa: FBT001 (a value, no flag)
    if not isinstance(name, str):
        return
    known = torch.compiler.list_backends(exclude_tags=())
    if name not in known:
        raise ValueError(
            f"Expected compile=True, False or a backend of torch.compile, got {name!r}. Backends "
            f"here: {', '.join(known)}."
        )


def _check_contrastive(kind: Kind, *, is_stream: bool) -> None:
    if not kind.has_layers:
        raise ValueError(
            "adaptation='contrastive' trains an encoder: give one contextual model or a torch "
            "module as pretrained. Word vectors are adapted with adaptation='full'."
        )
    if is_stream:
        raise ValueError("adaptation='contrastive' needs all samples at once (fit).")


def _find_encoder_lr(parameters: Parameters, kind: Kind) -> float | None:
    if parameters.embedding_lr is not None or kind.lr_factor == 1:
        return parameters.embedding_lr
    return kind.lr_factor * parameters.lr


def find_seed(parameters: Parameters) -> int:
    """Seed of a fit."""
    return draw_seed(parameters.random_state)


def _keep_seed(parameters: Parameters, seed: int) -> int:
    """The seed of a fit with mini-batches: without `random_state`, that of its checkpoints."""
    if parameters.random_state is not None or parameters.checkpoint is None:
        return seed
    return claim_seed(parameters.checkpoint, seed)
