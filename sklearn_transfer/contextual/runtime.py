"""Opened models of sentence-transformers, and the features that they have computed."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from .._utils.devices import lacks_memory
from .._utils.errors import VectorFormatError, levels_to_caller
from .._utils.hashing import hash_content
from .embedding_cache import EmbeddingCache
from .sequences import Sequences, batches_by_length
from .settings import Settings
from .tokenization import SentenceTokenizer

# Tokens per batch: on a CPU the activations of a batch should fit into its caches.
CPU_TOKENS, _OTHER_TOKENS = 1024, 16384
_DELAY = 2.0  # seconds without a progress bar
_COUNTS = 1 << 20  # bytes: the lengths of a quarter of a million texts
# Maximum sequence length of a model that declares none.
_LONGEST = 1 << 17
_PROBES = "", "A text of several words, by which the encoder is tried."


@dataclass
class OpenModel:
    """A model of the library and the features of texts that it has computed.

    Attributes
    ----------
    library : SentenceTransformer
    fingerprint : str
    device : str
    path : Path or None
        The folder from which it was opened.
    """

    library: Any
    fingerprint: str
    device: str
    path: Path | None = None
    _caches: dict[Hashable, EmbeddingCache] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _checked: set[str | None] = field(default_factory=set)
    _warned: bool = False

    @property
    def dtype(self) -> str:
        """Type of the weights."""
        return str(next(self.library.parameters()).dtype).removeprefix("torch.")

    @property
    def dim(self) -> int:
        """The number of features."""
        return int(self.library.get_embedding_dimension())

    @property
    def n_layers(self) -> int:
        """The number of layers of the transformer; 0 if its configuration does not say."""
        config = getattr(self.library[0], "config", None)
        config = getattr(config, "get_text_config", lambda: config)()
        return int(getattr(config, "num_hidden_layers", 0))

    def tokenizer(self, settings: Settings) -> SentenceTokenizer:
        """The tokenizer with the prompt and the maximum length of some settings."""
        library = self.library
        prompt = settings.prompt
        if prompt is None:
            prompt = str(library.prompts.get(library.default_prompt_name or "", "") or "")
        limits = (
            settings.max_tokens,
            library.max_seq_length,
            library.tokenizer.model_max_length,  # a huge number if it is unknown
            getattr(getattr(library[0], "config", None), "max_position_embeddings", None),
            _LONGEST,
        )
        longest = int(min(limit for limit in limits if limit))
        return SentenceTokenizer(library.tokenizer, self._lock, prompt, longest)

    def cache(self, settings: Settings) -> EmbeddingCache:
        """The features of texts under some settings, shared by all models that have the same."""
        tokenizer = self.tokenizer(settings)
        # All that changes features. The device and the batches change the seventh digit.
        key = [self.fingerprint, self.dtype, self.dim, tokenizer.max_tokens, tokenizer.prompt]
        folder = settings.cache_folder
        if folder is not None:
            folder /= hash_content(json.dumps(key))
        return self._shared_cache((*key, settings.memory, folder), settings.memory, folder)

    def count_cache(self, tokenizer: SentenceTokenizer) -> EmbeddingCache:
        """The numbers of tokens of texts."""
        return self._shared_cache(("counts", tokenizer.prompt), _COUNTS)

    def _shared_cache(
        self, key: Hashable, max_bytes: int, folder: Path | None = None
    ) -> EmbeddingCache:
        with self._lock:
            return self._caches.setdefault(key, EmbeddingCache(max_bytes, folder))

    def run(self, sequences: Sequences, batch_tokens: int | None) -> NDArray[np.float32]:
        """Compute the features of texts, shape (n_texts, dim), in batches of similar length."""
        features = np.empty((len(sequences), self.dim), dtype=np.float32)
        bar = tqdm(total=len(sequences), desc="texts", delay=_DELAY, leave=False, disable=None)
        with bar:
            batch_tokens = batch_tokens or (CPU_TOKENS if self.device == "cpu" else _OTHER_TOKENS)
            for rows in batches_by_length(sequences.lengths, batch_tokens):
                for part, encoded in self._forward(sequences, rows):
                    features[part] = encoded
                    bar.update(len(part))
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"The contextual model gives NaN or infinite features for "
                f"{np.count_nonzero(~finite)} of {len(sequences)} texts. Is its precision too low?"
            )
        return features

    def _forward(
        self, sequences: Sequences, rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield rows and their features; a batch that does not fit into memory is split."""
        torch = import_module("torch")
        try:
            padded = sequences[rows].padded()
            ids, mask = (torch.from_numpy(padded[n]).to(self.device) for n in ("ids", "mask"))
            with torch.inference_mode():
                outputs = self.library(make_inputs(self.library, ids, mask, sequences.n_prompt))
                features = outputs["sentence_embedding"].float().cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            if len(rows) == 1 or not lacks_memory(error):
                raise
            self._warn(len(rows))
        else:
            yield rows, features[:, : self.dim]
            return
        for half in np.array_split(rows, 2):
            yield from self._forward(sequences, half)

    def _warn(self, n_texts: int) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"A batch of {n_texts} texts does not fit into memory and is split. Lower "
                f"batch_tokens.",
                UserWarning,
                stacklevel=levels_to_caller(),
            )

    def check(self, settings: Settings) -> None:
        """Refuse a model whose features differ from those of the library; once per prompt."""
        if settings.prompt in self._checked:
            return
        name = "The SentenceTransformer" if self.path is None else str(self.path)
        given = getattr(self.library, "tokenizer", None)
        if not getattr(given, "is_fast", False):
            raise VectorFormatError(
                f"{name}: expected a model with a fast tokenizer (tokenizer.json), got "
                f"{type(given).__name__}."
            )
        tokenizer = self.tokenizer(replace(settings, max_tokens=None))
        ours = self.run(tokenizer.split(_PROBES), settings.batch_tokens)
        options = {} if settings.prompt is None else {"prompt": settings.prompt}
        theirs = self.library.encode(list(_PROBES), show_progress_bar=False, **options)
        tolerance = 1e-4 if self.dtype in ("float32", "float64") else 0.1
        if not np.allclose(ours, theirs, atol=tolerance):
            raise VectorFormatError(
                f"{name}: this model needs more than the tokens of a text (its features differ "
                f"from those of sentence-transformers by {np.abs(ours - theirs).max():.2g})."
            )
        self._checked.add(settings.prompt)


def make_inputs(library: Any, ids: Any, mask: Any, n_prompt: int) -> dict[str, Any]:
    """Make the inputs of the modules of the library.

    Parameters
    ----------
    library : SentenceTransformer
    ids : Tensor of int64, shape (n_texts, length)
    mask : Tensor of bool, shape (n_texts, length)
    n_prompt : int
        The number of leading tokens that some models leave out of pooling.

    Returns
    -------
    dict of Tensor
    """
    inputs = {"input_ids": ids, "attention_mask": mask.long()}
    if "token_type_ids" in library.tokenizer.model_input_names:
        inputs["token_type_ids"] = ids.new_zeros(ids.shape)
    return {**inputs, "prompt_length": n_prompt} if n_prompt else inputs
