"""One fit, as an object: from labelled samples to a trained net."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from .._utils.errors import levels_to_caller
from .._utils.objects.named import by_name
from .._utils.texts import TokenizedText
from ..explanation.methods.explainer import Explainer
from ..models.layers import find_layers
from ..models.linear import LinearBag
from ..models.network import Network, make_head, measure_width, to_arrays
from ..models.seeds import seeded
from ..text.linear.design import Design
from ..text.rows import ComparedRows
from ..text.tokenization.units import tokenize_like
from ..training.batches import Inputs, Samples, as_tensors
from ..training.checkpoints import Checkpoint
from ..training.nets.inference_net import InferenceNet, TrainingSettings
from ..training.nets.linear_net import LinearNet
from ..training.nets.net import TransferNet
from ..training.nets.setup import build_net
from ..training.optimization.optimizers import replace_parameter
from ..training.policies import check_policy
from ..vectors.pretrained_vectors import PretrainedVectors
from .calibration import predict_left_out
from .fingerprints import content_keys, describe, digest_module, digest_samples
from .fitted.prediction import DesignFeatures, LinearPredictor, SavedNetwork
from .protocol import Configuration, Kind, Representation
from .splits import LabelledSamples, LeftOut, assign_folds
from .targets.class_names import warn_of_names
from .targets.targets import Task
from .targets.thresholds import PER_LABEL
from .usage import warn_kept

# Folds that are left out to calibrate probabilities, until they hold enough samples.
_N_FOLDS = 5

# Parameters that do not change the result of a fit, or that enter its fingerprint otherwise.
_NOT_FINGERPRINTED = {
    *("pretrained", "distill_from", "checkpoint", "device", "random_state", "verbose", "callbacks"),
    "threshold",
}

# Parameters that shape a network, and that a model file has elsewhere, or anew.
_OTHERWISE_SAVED = {"pretrained", "l2_sp", "adaptation"}


@dataclass(frozen=True)
class Fitted:
    """Everything that a fit has learned; probabilities are those of ``logits / temperature``.

    Independent labels are predicted where their logits are above `thresholds`. `shaping` are the
    parameters of the features and the module, which later fits keep.
    """

    task: Task
    kind: Kind
    representation: Representation
    net: InferenceNet
    shaping: dict[str, Any]
    temperature: float = 1.0
    thresholds: NDArray[np.float64] | None = None

    def check(self, X: Any, estimator: BaseEstimator) -> Any:
        """Validate X."""
        return self.kind.check(X, estimator, reset=False)

    def logits(self, X: Any) -> NDArray[np.floating]:
        """Logits of validated samples, shape (n_samples, n_outputs)."""
        return self.net.logits(self.representation.features.transform(X))

    def features(self, X: Any) -> NDArray[np.floating]:
        """Features that the last layer of the head reads, shape (n_samples, d)."""
        return self.net.features(self.representation.features.transform(X))

    def attributes(self) -> dict[str, Any]:
        """Attributes of a fitted estimator."""
        return {
            "net_": self.net,
            "module_": self.net.module_,
            "history_": self.net.history,
            "n_iter_": self.net.n_iter,
            "pretrained_": self.kind.source,
            "coverage_": self.representation.features.coverage,
            "token_unit_": self.representation.features.token_unit,
            "_n_features_out": self.net.module_.n_features,
        }

    def detached(self) -> Any:
        """The model without what only training needs, as a model file has it."""
        module = self.net.module_
        return self.as_linear() if isinstance(module, LinearBag) else self._save_network(module)

    def as_linear(self) -> LinearPredictor | None:
        """The model as arrays, if it is linear in a design matrix."""
        model = self.representation.linear_model(self.net)
        if model is None:
            return None
        return LinearPredictor(
            self.task,
            self.temperature,
            self.thresholds,
            self.kind.input_kind,
            cast(DesignFeatures, self.representation.features),
            model,
            self.kind.source,
            self.net.n_iter,
        )

    def _save_network(self, network: Network) -> SavedNetwork:
        state = self.representation.saved_state(network)
        return SavedNetwork(
            task=self.task,
            temperature=self.temperature,
            thresholds=self.thresholds,
            input_kind=self.kind.input_kind,
            source=self.kind.source,
            features=self.representation.features,
            policy=self.net.settings.adaptation,
            shaping={k: v for k, v in self.shaping.items() if k not in _OTHERWISE_SAVED},
            tensors=to_arrays(state),
            unchanged=[name for name in network.state_dict() if name not in state],
            seed=self.net.settings.seed,
            history=[{k: v for k, v in row.items() if k != "batches"} for row in self.net.history],
        )

    def used_words(self, vectors: PretrainedVectors) -> list[str]:
        """The words of the training texts, as vectors have them."""
        features: Any = self.representation.features
        words: list[str] = features.used_words(vectors)
        return words

    def resume(self) -> Self:
        """The fit itself: a later one goes on from it."""
        return self

    def make_explainer(self) -> Explainer:
        """The model as one whose logits can be attributed to tokens or features."""
        return self.representation.make_explainer(self.net)

    def compare_rows(self) -> ComparedRows | None:
        """Words, and their vectors before and after training; None without a trained table."""
        return self.representation.compare_rows(getattr(self.net.module_, "encoder", None))

    def copy(self) -> Self:
        """Copy all that a fit changes in place."""
        return replace(self, representation=self.representation.copy(), net=self.net.copy())

    def __getstate__(self) -> dict[str, Any]:
        shaping = {**self.shaping, "tokenizer": by_name(self.shaping["tokenizer"])}
        return {**self.__dict__, "shaping": shaping}

    @property
    def is_convex(self) -> bool:
        """True if a convex solver found the weights."""
        return isinstance(self.net, LinearNet)


@dataclass(frozen=True)
class AddedSamples:
    """Samples whose labels are those that the fit `base` on the labelled samples gave them."""

    samples: LabelledSamples
    base: Fitted
    left_out: LeftOut | None = None


class Fit:
    """One fit of a configuration, from scratch or from the weights of a previous fit."""

    def __init__(self, config: Configuration, task: Task, previous: Fitted | None = None) -> None:
        self.config, self.task, self.previous = config, task, previous
        self.parameters = config.parameters

    def run(
        self,
        train: LabelledSamples,
        held_out: LabelledSamples | None = None,
        added: AddedSamples | None = None,
    ) -> Fitted:
        """Train on samples, and on those that are added; samples held out are only evaluated."""
        if self.previous is not None:
            self.previous = self.previous.copy()
        train, n_added = self.add_samples(train, added)
        kind, representation, inputs = self._learn_inputs(train, added)
        module = self._build_module(representation, inputs)
        samples = self._weigh(inputs, train)
        if not samples.weight.any():
            raise ValueError(
                f"Expected samples of positive weight, got class_weight="
                f"{self.parameters.class_weight!r}, which gives all samples the weight 0."
            )
        valid = self._validate_on(representation, held_out)
        checkpoint = self._make_checkpoint(module, samples, valid)
        net = self.make_net(module, len(samples), valid, checkpoint)
        net.fit(samples)
        if self.config.is_convex and added is None and n_added == len(train.target):
            representation.match_names(net, train.X, samples)
            valid = self._validate_on(representation, held_out)
        self._check_convergence(net)
        if valid is None and added is not None:
            cuts = self._calibrate_on(added.left_out, representation)
        else:
            cuts = self._calibrate(representation, net, (train, n_added), samples, valid)
        net.forget_data()
        return Fitted(self.task, kind, representation, net, self._shaping(module), *cuts)

    def add_samples(
        self, train: LabelledSamples, added: AddedSamples | None = None
    ) -> tuple[LabelledSamples, int]:
        """Append names of classes, and samples that are added; the number of both."""
        n_labelled = len(train.target)
        texts, target = self.task.name_samples(self.config.name_templates)
        if target is not None:
            names = LabelledSamples(_split_like(texts, train.X), target, np.ones(len(texts)))
            train = train.append(names)
        if added is not None:
            train = train.append(added.samples)
        return train, len(train.target) - n_labelled

    def warn_of_names(self, fitted: Fitted, X: Any) -> None:
        """Warn of names without features of their own; texts are split like those of X."""
        texts, target = self.task.name_samples(self.config.name_templates)
        if target is None:
            return
        features = fitted.representation.features.transform(_split_like(texts, X))
        if isinstance(features, Design):
            warn_of_names(features, texts, self.task.membership(target).indices)

    def run_epoch(self, part: LabelledSamples) -> Fitted:
        """Train one epoch, in mini-batches, on a part of the samples."""
        if self.previous is not None:
            self.previous = self.previous.copy()
        kind, representation, inputs = self._learn_inputs(part)
        module = self._build_module(representation, inputs)
        net = self.make_net(module, len(part.target), None, None)
        if self.previous is not None and isinstance(self.previous.net, TransferNet):
            net = self.previous.net.reconfigure(cast(TransferNet, net))
        net.partial_fit(self._weigh(inputs, part), epochs=1)
        net.forget_data()
        cuts = self._keep_calibration()
        return Fitted(self.task, kind, representation, net, self._shaping(module), *cuts)

    def _keep_calibration(self) -> tuple[float, NDArray[np.float64] | None]:
        """Temperature and thresholds of the previous fit, except for a threshold that is given."""
        temperature, threshold = 1.0, self.parameters.threshold
        if self.previous is not None:
            temperature = self.previous.temperature
            if isinstance(threshold, str):
                return temperature, self.previous.thresholds
        return temperature, self.task.find_thresholds(None, temperature, threshold)

    def _shaping(self, module: nn.Module) -> dict[str, Any]:
        """The parameters that a later fit from these weights cannot change."""
        if self.previous is not None:
            return self.previous.shaping
        shaping, encoder = self.parameters.shaping, getattr(module, "encoder", None)
        if encoder is None:
            return {**shaping, "adaptation": self.config.policy}
        return shaping if encoder.is_anchored else {**shaping, "l2_sp": self.config.l2_sp}

    def _learn_inputs(
        self, train: LabelledSamples, added: AddedSamples | None = None
    ) -> tuple[Kind, Representation, Inputs]:
        """Learn the representation of X, or extend that of the previous fit."""
        if added is not None and added.base.representation.has_seen_labels:
            base = added.base  # its stage saw true labels only, and takes longest
            return base.kind, base.representation, base.representation.features.transform(train.X)
        if self.previous is not None:
            warn_kept(self.config, self.previous.shaping)
            return self._extend(self.previous, train.X)
        kind = self.config.kind.open(train.X, self.parameters.max_tokens)
        representation = kind.represent(self.config)
        membership = self.task.membership(train.target)
        inputs = representation.features.fit_transform(train.X, membership, train.weight)
        return kind, representation, inputs

    def _extend(self, previous: Fitted, X: Any) -> tuple[Kind, Representation, Inputs]:
        rows = previous.representation.extend(X)
        if rows is not None:
            before, after = previous.net.module_.encoder.extend(rows)
            replace_parameter(previous.net.optimizer_, before, after)
        return previous.kind, previous.representation, previous.representation.features.transform(X)

    def _build_module(self, representation: Representation, inputs: Inputs) -> nn.Module:
        """Build the module with its initial weights."""
        if self.previous is not None:
            module: nn.Module = self.previous.net.module_
            representation.continue_encoder(getattr(module, "encoder", None), self.config)
            return module
        with seeded(self.config.seed):
            if self.config.is_convex:
                return _make_linear_bag(cast(Design, inputs), self.task.n_outputs)
            return self._make_network(representation, inputs)

    def _make_network(self, representation: Representation, inputs: Inputs) -> Network:
        example = inputs[:2]
        encoder = representation.make_encoder(example, self.config)
        parameters = [] if encoder is None else encoder.parameters()
        device = next(iter(parameters), torch.empty(0)).device
        seed_global = encoder is not None and not encoder.is_own
        with seeded(self.config.seed, seed_global=seed_global):
            width = measure_width(encoder, as_tensors(example, device))
        head = make_head(
            width,
            self.config.hidden,
            self.task.n_outputs,
            activation=self.parameters.activation,
            dropout=self.parameters.dropout,
        )
        network = Network(encoder, head)
        if encoder is not None:
            check_policy(find_layers(network, self.parameters.layer_groups), self.config.policy)
        return network

    def _validate_on(
        self, representation: Representation, held_out: LabelledSamples | None
    ) -> Samples | None:
        if held_out is None:
            return None
        return self._weigh(representation.features.transform(held_out.X), held_out)

    def _weigh(self, inputs: Inputs, samples: LabelledSamples) -> Samples:
        class_weight = self.parameters.class_weight
        weight = self.task.weights(samples.target, samples.weight, class_weight)
        return Samples(inputs, samples.target, weight)

    def make_net(
        self,
        module: nn.Module,
        n_samples: int,
        valid: Samples | None,
        checkpoint: Checkpoint | None,
    ) -> InferenceNet:
        """Configure the net of a module, not initialised."""
        config, parameters = self.config, self.parameters
        if config.is_convex:
            settings = TrainingSettings(
                seed=config.seed,
                device=config.device,
                callbacks=list(parameters.callbacks or ()),
                verbose=parameters.verbose,
            )
            return LinearNet(
                cast(LinearBag, module),
                config.criterion,
                settings,
                outputs=self.task.outputs,
                loss=config.loss,
                valid=valid,
            )
        has_layers = getattr(module, "encoder", None) is not None
        patience = parameters.n_iter_no_change
        l2_sp = config.l2_sp
        if self.previous is not None:
            l2_sp = self.previous.shaping.get("l2_sp", l2_sp)
        settings = TrainingSettings(
            optimizer=config.optimizer,
            lr=parameters.lr,
            encoder_lr=config.encoder_lr,
            adaptation=config.policy,
            layer_groups=parameters.layer_groups if has_layers else None,
            l2_sp=l2_sp,
            schedule=parameters.schedule,
            warmup=parameters.warmup,
            max_grad_norm=parameters.max_grad_norm,
            batch_size=config.batch_size(n_samples),
            max_epochs=config.max_epochs,
            token_dropout=parameters.token_dropout,
            average_last=0 if config.is_stream else parameters.average_last,
            patience=patience if parameters.early_stopping and valid is not None else None,
            mixed_precision=parameters.mixed_precision,
            compiled=parameters.compile,
            seed=config.seed,
            device=config.device,
            is_stream=config.is_stream,
            callbacks=list(parameters.callbacks or ()),
            verbose=parameters.verbose,
        )
        return build_net(
            cast(Network, module),
            config.criterion,
            settings,
            outputs=self.task.outputs,
            valid=valid,
            checkpoint=checkpoint,
        )

    def _make_checkpoint(
        self, module: nn.Module, samples: Samples, valid: Samples | None
    ) -> Checkpoint | None:
        """The checkpoint of mini-batch training, with the fingerprint of this fit."""
        if self.parameters.checkpoint is None or self.config.is_convex:
            return None
        settings = {
            name: describe(value)
            for name, value in vars(self.parameters).items()
            if name not in _NOT_FINGERPRINTED
        }
        settings |= {
            "adaptation": describe(self.config.policy),  # "auto" may choose another one
            "seed": str(self.config.seed),
            "the data": digest_samples(samples),
            "the validation data": "" if valid is None else digest_samples(valid),
            "the initial network": digest_module(module),
        }
        return Checkpoint(self.parameters.checkpoint, settings)

    def _check_convergence(self, net: InferenceNet) -> None:
        if isinstance(net, LinearNet) and not net.converged_:
            warnings.warn(
                "The convex solver did not converge. Scale the features, for instance with a "
                "StandardScaler, or lower pretrained_scale.",
                ConvergenceWarning,
                stacklevel=levels_to_caller(),
            )

    def _calibrate(
        self,
        representation: Representation,
        net: InferenceNet,
        train: tuple[LabelledSamples, int],
        samples: Samples,
        valid: Samples | None,
    ) -> tuple[float, NDArray[np.float64] | None]:
        """Temperature and thresholds on validation samples, or on left-out training samples."""
        parameters, task = self.parameters, self.task
        left_out = None
        if valid is not None:
            left_out = LeftOut.of(net.logits(valid.X), valid, np.arange(len(valid)))
        elif (
            isinstance(net, LinearNet)
            and not representation.has_seen_labels
            and task.needs_left_out(parameters.threshold, calibrate=parameters.calibrate)
        ):
            left_out = self._leave_out(net, *train, samples)
        temperature = 1.0
        if left_out is not None and (valid is not None or parameters.calibrate):
            temperature = task.find_temperature(*left_out)
        return temperature, task.find_thresholds(left_out, temperature, parameters.threshold)

    def _leave_out(
        self, net: LinearNet, train: LabelledSamples, n_names: int, samples: Samples
    ) -> LeftOut:
        """Leave out training samples in turn; the last ones, which are names, never."""
        folds = assign_folds(self.task.groups(train.target), content_keys(train.X), _N_FOLDS)
        folds[len(folds) - n_names :] = -1
        logits, rows = predict_left_out(
            net.state_problem(samples),
            folds,
            net.logits(samples.X),
            n_threads=torch.get_num_threads(),
            device=str(net.device),
            all_folds=self.parameters.threshold == PER_LABEL and samples.y.ndim == 2,
            verbose=self.parameters.verbose,
        )
        return LeftOut.of(logits, samples, rows)

    def _calibrate_on(
        self, left_out: LeftOut | None, representation: Representation
    ) -> tuple[float, NDArray[np.float64] | None]:
        """Temperature and thresholds on samples that fits with added samples did not see."""
        # The labels of added samples depend on all others, so these cannot be left out later.
        temperature = 1.0
        if left_out is not None and self._is_calibrated(representation):
            temperature = self.task.find_temperature(*left_out)
        return temperature, self.task.find_thresholds(
            left_out, temperature, self.parameters.threshold
        )

    def _is_calibrated(self, representation: Representation) -> bool:
        is_linear = self.config.is_convex and self.parameters.calibrate
        return is_linear and not representation.has_seen_labels


def _split_like(texts: list[str], X: Any) -> list[str]:
    """Texts as lists of tokens, where those of X are."""
    return list(tokenize_like(texts, X)) if X and isinstance(X[0], TokenizedText) else texts


def _make_linear_bag(design: Design, n_outputs: int) -> LinearBag:
    dtype = torch.from_numpy(design.dense[:0]).dtype
    return LinearBag(design.sparse.shape[1], design.dense.shape[1], n_outputs, dtype)
