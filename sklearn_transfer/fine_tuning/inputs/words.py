"""Texts that are read by word vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from ..._utils.objects.cloning import VectorsEstimator
from ...contextual.model import ContextualModel
from ...models.random_weights import randomise_encoder
from ...sources import Source, find_tables, load_sources
from ...text.random_vectors import RandomVectors
from ...training.names import Loss
from ...training.policies import Adaptation, Frozen, Full
from ..parameters import Parameters
from ..protocol import Configuration, Kind, Representation
from ..targets.class_names import SENTENCE_TEMPLATES, WORD_TEMPLATES
from ..targets.targets import Task
from .word_bag import make_word_bag
from .word_sequences import WordSequences, make_word_sequences


class Words(Kind):
    """X is texts, whose words have pretrained vectors; or several sources read the texts."""

    input_kind = "words"

    def __init__(self, sources: Sequence[Source | VectorsEstimator], *, is_list: bool) -> None:
        self.sources, self.is_list = list(sources), is_list
        self.has_tables = not all(isinstance(s, ContextualModel) for s in sources)

    @classmethod
    def of(cls, pretrained: Any) -> Self | None:
        """The kind of one or several sources."""
        if isinstance(pretrained, list):
            return cls(pretrained, is_list=True)
        is_table = pretrained is not None and not isinstance(pretrained, ContextualModel)
        return cls([pretrained], is_list=False) if is_table else None

    @property
    def source(self) -> Any:
        """The source, or the list of sources."""
        return self.sources if self.is_list else self.sources[0]

    def check_parameters(self, parameters: Parameters, policy: Adaptation) -> None:
        """Refuse layers that word vectors do not have."""
        if parameters.layer_groups is not None:
            raise ValueError(
                "layer_groups names the layers of a torch module or a contextual model given as "
                "pretrained; word vectors are one layer."
            )

    def is_linear(self, parameters: Parameters, policy: Adaptation) -> bool:
        """True if the model is the bag of words."""
        return parameters.encoder == "mean" and isinstance(policy, Frozen | Full)

    def solver_loss(self, task: Task | type[Task], policy: Adaptation) -> Loss:
        """That of sentence encoders, where only these or also token weights give features."""
        has_encoders = any(isinstance(source, ContextualModel) for source in self.sources)
        is_frozen = isinstance(policy, Frozen) and self.has_tables
        return task.sentence_loss if has_encoders and not is_frozen else task.solver_loss

    def has_fixed_features(self, config: Configuration) -> bool:
        """True if texts are read as a bag of words."""
        return config.is_convex or (config.is_frozen and config.parameters.encoder == "mean")

    def name_templates(self, config: Configuration) -> Sequence[str]:
        """The name alone, whose words are all that word vectors read, for a bag of words."""
        if not self.has_fixed_features(config):
            return ()
        return WORD_TEMPLATES if self.splits_words(config) else SENTENCE_TEMPLATES

    def forms_clusters(self, config: Configuration) -> bool:
        """True if contextual models alone give the features."""
        return not self.splits_words(config)

    def splits_words(self, config: Configuration) -> bool:
        """True if word vectors or token weights need words."""
        return self.has_tables or not config.is_frozen

    def has_token_weights(self, config: Configuration) -> bool:
        """True if the bag of words is not frozen."""
        return config.is_convex and not config.is_frozen

    def reads_sequences(self, config: Configuration) -> bool:
        """True if texts are not read as a bag of words."""
        return not self.has_fixed_features(config)

    def candidates(self, parameters: Parameters, n_samples: int) -> tuple[str, ...]:
        """All policies that differ for one layer of vectors."""
        if parameters.encoder == "mean":
            return ("frozen", "full")
        return ("frozen", "lp-ft", "gradual", "full")

    def open(self, X: Any, max_tokens: int | None) -> Self:
        """The sources, with estimators of vectors fitted on the training texts."""
        sources = [
            source.cut(max_tokens) if max_tokens and isinstance(source, ContextualModel) else source
            for source in load_sources(self.sources, X)
        ]
        return type(self)(sources, is_list=self.is_list)

    def randomise(self, config: Configuration, seed: int) -> dict[str, Any]:
        """Random vectors; for token weights, which are not pretrained, no vectors."""
        if self.has_token_weights(config):
            return {"pretrained_scale": 0.0, "adaptation": "full"}
        sources = [_randomise(source, config.parameters, seed) for source in self.sources]
        oov = config.parameters.oov
        return {
            "pretrained": sources if self.is_list else sources[0],
            "oov": "ignore" if oov == "subword" else oov,  # n-grams are pretrained, too
        }

    def represent(self, config: Configuration) -> Representation:
        """A bag of words where the model is linear or frozen, else sequences of rows."""
        sources = load_sources(self.sources)
        if not self.reads_sequences(config):
            return make_word_bag(sources, config)
        if len(find_tables(sources)) < len(sources):
            raise ValueError(
                "Among several sources a contextual model gives features and stays as it is: use "
                "encoder='mean' with a linear head, or adaptation='frozen'. To train it, give it "
                "alone."
            )
        return WordSequences(make_word_sequences(find_tables(sources), config))


def _randomise(source: Source | VectorsEstimator, parameters: Parameters, seed: int) -> Any:
    if isinstance(source, ContextualModel):
        return randomise_encoder(source, seed)
    return RandomVectors(
        source,
        tokenizer=parameters.tokenizer,
        token_pattern=parameters.token_pattern,
        lowercase=parameters.lowercase,
        random_state=seed,
    )
