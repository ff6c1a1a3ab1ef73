"""Opened models of sentence-transformers: their settings, and the features of texts."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._utils.devices import lacks_memory
from .._utils.errors import VectorFormatError, levels_to_caller
from .._utils.hashing import hash_content
from .._utils.locks import ThreadLock
from .._utils.progress import progress_bar
from ..vectors.storage.cache import ENCODINGS, find_root
from ..vectors.storage.files import expand_user
from ..vectors.table.tokenizer import check_growth, check_ids
from .embedding_cache import EmbeddingCache
from .library_state import find_default_prompt
from .sequences import SentenceTokenizer, Sequences, batches_by_length
from .weights import check_weights
from .windows import Windows, average_windows, check_windows

PRECISIONS = ("float32", "float16", "bfloat16")
# Tokens per batch: on a CPU the activations of a batch should fit into its caches.
CPU_TOKENS, _OTHER_TOKENS = 1024, 16384
_COUNTS = 1 << 20  # bytes: the lengths of a quarter of a million texts
_LONGEST = 1 << 17  # maximum sequence length of a model that declares none
_WHOLE = 1 << 40  # and of texts that are read in windows
# Texts that are encoded together: any, with padding; of one length, where padding changes their
# features; or none, where other texts do, as in models that quantize the states of a batch.
Batching = Literal["padded", "equal lengths", "single"]
_BATCHINGS: tuple[Batching, ...] = ("padded", "equal lengths", "single")
# Texts of different lengths, by which a model is tried.
PROBES = "A", "A text of several words, by which the encoder is tried."
_VERSION = 2  # of the features that are kept: another one, and all are computed again


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parameters of a :class:`ContextualModel` except its source; see there."""

    max_tokens: int | None
    prompt: str | None
    precision: str
    device: str
    batch_tokens: int | None
    cache: str | os.PathLike[str] | None
    cache_bytes: int
    hidden_dtype: str
    trust_remote_code: bool
    pickle_weights: bool
    windows: int | tuple[int, int] | None = None  # also of pickles that have none

    def __post_init__(self) -> None:
        for name, allowed in (("precision", PRECISIONS), ("hidden_dtype", PRECISIONS[:2])):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}.")
        for name in ("max_tokens", "batch_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be a positive number of tokens, got {value}.")
        if self.cache_bytes < 0:
            raise ValueError(f"cache_bytes must not be negative, got {self.cache_bytes}.")
        object.__setattr__(self, "windows", check_windows(self.windows))


@dataclass
class OpenModel:
    """A SentenceTransformer, opened from `path` if that is given, and the features of texts."""

    library: Any
    fingerprint: str
    device: str
    path: Path | None = None
    batching: Batching = "padded"
    _caches: dict[Hashable, EmbeddingCache] = field(default_factory=dict)
    _lock: ThreadLock = field(default_factory=ThreadLock)
    _checked: set[str | None] = field(default_factory=set)
    _warned: bool = False

    @property
    def dtype(self) -> str:
        """Type of the weights."""
        return str(next(self.library.parameters()).dtype).removeprefix("torch.")

    @cached_property
    def dim(self) -> int:
        """The number of features."""
        return len(self.library.encode(PROBES[-1], show_progress_bar=False))

    @property
    def n_layers(self) -> int:
        """The number of layers of the transformer; 0 if its configuration does not say."""
        config = getattr(find_input_module(self.library), "config", None)
        config = getattr(config, "get_text_config", lambda: config)()
        return int(getattr(config, "num_hidden_layers", 0))

    def tokenizer(self, settings: Settings) -> SentenceTokenizer:
        """The tokenizer with the prompt and the maximum length of some settings."""
        library, prompt = self.library, settings.prompt
        if prompt is None:
            prompt = find_default_prompt(library)
        module = find_input_module(library)
        longest = _WHOLE if settings.windows else self._find_limit(module)
        longest = min(longest, settings.max_tokens or longest)
        n_ids = _count_ids(module)
        return SentenceTokenizer(module.tokenizer, self._lock, prompt, longest, n_ids, self._name)

    @staticmethod
    def _find_limit(module: Any) -> int:
        """The maximum sequence length of the model."""
        limits = (
            getattr(module, "max_seq_length", None),
            module.tokenizer.model_max_length,  # a huge number if it is unknown
            *_count_positions(module),
            _LONGEST,
        )
        return int(min(limit for limit in limits if limit and limit > 0))

    def windows(self, settings: Settings) -> Windows | None:
        """The windows in which texts are read under some settings; None if they are truncated."""
        if settings.windows is None:
            return None
        counts = self.tokenizer(settings).count_around()
        limit = self._find_limit(find_input_module(self.library))
        return Windows.of(settings.windows, counts, limit, self._name)

    @property
    def _name(self) -> str:
        return "The SentenceTransformer" if self.path is None else str(self.path)

    def cache(self, settings: Settings) -> EmbeddingCache:
        """The features of texts under some settings, shared by all models that have the same."""
        tokenizer = self.tokenizer(settings)
        # All that changes features. The device and the batches change the seventh digit.
        key = [_VERSION, self.fingerprint, self.dtype, self.dim]
        key += [tokenizer.max_tokens, tokenizer.prompt]
        key += [] if settings.windows is None else [settings.windows]
        place, folder = settings.cache, None
        if place is not None and place != "memory":
            root = find_root() if place == "disk" else expand_user(place).absolute()
            folder = root and root / ENCODINGS / hash_content(json.dumps(key))
        max_bytes = 0 if place is None else settings.cache_bytes
        with self._lock:
            cache = EmbeddingCache(self.dim, max_bytes, folder, private=place == "disk")
            return self._caches.setdefault((*key, max_bytes, folder), cache)

    def count_cache(self, tokenizer: SentenceTokenizer) -> EmbeddingCache:
        """The numbers of tokens of texts."""
        with self._lock:
            cache = EmbeddingCache(1, _COUNTS)
            return self._caches.setdefault(("counts", tokenizer.prompt), cache)

    def run(self, sequences: Sequences, batch_tokens: int | None) -> NDArray[np.float32]:
        """Compute the features of texts, shape (n_texts, dim), in batches of similar length."""
        n_texts = len(sequences)
        features = np.empty((n_texts, self.dim), dtype=np.float32)
        batch_tokens = batch_tokens or (CPU_TOKENS if self.device == "cpu" else _OTHER_TOKENS)
        with progress_bar(n_texts, "texts") as bar:
            for rows in batches_by_length(sequences.lengths, batch_tokens):
                for part, encoded in self._forward(sequences, rows):
                    features[part] = encoded
                    bar.update(len(part))
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"The contextual model gives NaN or infinite features for "
                f"{np.count_nonzero(~finite)} of {n_texts} texts. Is its precision too low?"
            )
        return features

    def run_windows(
        self, sequences: Sequences, windows: Windows, batch_tokens: int | None
    ) -> NDArray[np.float32]:
        """Compute the features of texts of any length, shape (n_texts, dim)."""
        is_long = sequences.lengths > windows.size
        short, long = np.flatnonzero(~is_long), np.flatnonzero(is_long)
        features = np.empty((len(sequences), self.dim), dtype=np.float32)
        if len(short):
            features[short] = self.run(sequences[short], batch_tokens)
        if len(long):
            parts = windows.split(sequences[long])
            features[long] = average_windows((self.run(s, batch_tokens), w) for s, w in parts)
        return features

    def _forward(
        self, sequences: Sequences, rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield rows and their features; a batch that does not fit into memory is split."""
        torch = import_module("torch")
        try:
            ids, mask = self._tensors(sequences[rows])

            def encode(rows: Any, length: int) -> Any:
                return self._encode(ids[rows, :length], mask[rows, :length], sequences.n_prompt)

            with torch.inference_mode():
                features = encode_padded(encode, mask, self.dim, self.batching).cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            if len(rows) == 1 or not lacks_memory(error):
                raise
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"A batch of {len(rows)} texts does not fit into memory and is split. Lower "
                    f"batch_tokens.",
                    UserWarning,
                    stacklevel=levels_to_caller(),
                )
        else:
            yield rows, features
            return
        for half in np.array_split(rows, 2):
            yield from self._forward(sequences, half)

    def _tensors(self, sequences: Sequences) -> tuple[Any, Any]:
        """Padded ids and mask on the device of the model."""
        torch, padded = import_module("torch"), sequences.padded()
        ids, mask = (torch.from_numpy(padded[name]).to(self.device) for name in ("ids", "mask"))
        return ids, mask

    def _encode(self, ids: Any, mask: Any, n_prompt: int) -> Any:
        inputs = make_inputs(self.library, ids, mask, n_prompt)
        return self.library(inputs)["sentence_embedding"]

    def check(self, settings: Settings) -> None:
        """Refuse a model whose features differ from those of the library; once per prompt."""
        # Single texts are compared. Then the batches are chosen that do not change the features.
        if settings.prompt in self._checked:
            return
        name = self._name
        given: Any = getattr(find_input_module(self.library), "tokenizer", None)
        if not getattr(given, "is_fast", False):
            raise VectorFormatError(
                f"{name}: expected a model with a fast tokenizer (tokenizer.json), got "
                f"{type(given).__name__}. A StaticEmbedding is a table: use load_pretrained."
            )
        check_growth(given.backend_tokenizer, name)
        check_ids(given.get_vocab(), name)
        sequences = self.tokenizer(replace(settings, max_tokens=None, windows=None)).split(PROBES)
        read = np.flatnonzero(sequences.lengths)  # the library refuses a text without tokens
        if not self._checked and len(read):
            probe = self._tensors(sequences[read[-1:]])
            check_weights(
                self.library,
                lambda: self._encode(*probe, sequences.n_prompt),
                name,
                must_be_read=self.path is not None,
            )
        before = self.batching
        options = {} if settings.prompt is None else {"prompt": settings.prompt}
        texts = [PROBES[text] for text in read]
        theirs = self.library.encode(texts, batch_size=1, show_progress_bar=False, **options)
        tolerance = 1e-4 if self.dtype in ("float32", "float64") else 0.1
        tolerance *= max(1, np.abs(theirs).max(initial=0))
        sequences = sequences[read].mirrored()  # other texts of the same lengths follow
        alone = self._run_probes(sequences, "single")
        difference = np.abs(alone[: len(read)] - theirs).max(initial=0)
        if difference > tolerance:
            raise VectorFormatError(
                f"{name}: this model needs more than the tokens of a text (its features differ "
                f"from those of sentence-transformers by {difference:.2g})."
            )
        for batching in _BATCHINGS[_BATCHINGS.index(before) :]:
            difference = np.abs(self._run_probes(sequences, batching) - alone).max(initial=0)
            if difference <= tolerance:
                break
        self._checked.add(settings.prompt)

    def _run_probes(self, sequences: Sequences, batching: Batching) -> NDArray[np.float32]:
        self.batching = batching
        return self.run(sequences, CPU_TOKENS)


def find_input_module(library: Any) -> Any:
    """Return the module of a SentenceTransformer that reads tokens; of a router, of its route."""
    module = library[0]
    while hasattr(module, "sub_modules"):
        try:
            route = module._resolve_route(modality="text")  # noqa: SLF001 (no public name)
        except ValueError as error:
            raise VectorFormatError(
                f"The model has a module for each task, and none for texts of any task ({error}) "
                f"Name one: Router(..., default_route=)."
            ) from error
        module = module.sub_modules[route][0]
    return module


def _count_ids(module: Any) -> int:
    """Count the token ids for which a module has vectors; all of int32 if it does not say."""
    n_ids = 1 << 31
    for part in module.modules():
        if hasattr(part, "get_input_embeddings"):
            with suppress(NotImplementedError):
                return int(getattr(part.get_input_embeddings(), "num_embeddings", n_ids))
    return n_ids


def _count_positions(module: Any) -> Iterator[int]:
    """Yield the numbers of tokens for which a module has positions; -1 if there is no limit."""
    yield getattr(getattr(module, "config", None), "max_position_embeddings", -1)
    for part in module.modules():
        table: Any = getattr(part, "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)
        if padding is not None:  # the first token has the position after that of padding
            yield len(table.weight) - padding - 1


def encode_padded(
    encode: Callable[[Any, int], Any], mask: Any, dim: int, batching: Batching
) -> Any:
    """Encode padded texts as float32, shape (n_texts, dim).

    Parameters
    ----------
    encode : callable
        Gives the features of the texts of some rows, each cut to a length: at least `dim`.
    mask : Tensor of bool, shape (n_texts, longest)
        False for padding. The features of a text without tokens are zeros, as those of a text
        without words in word vectors.
    dim : int
        Of more features the first are taken (Matryoshka representations).
    batching : {"padded", "equal lengths", "single"}
        The texts that are encoded together.

    Returns
    -------
    Tensor
    """
    lengths = mask.sum(dim=1)
    features = mask.new_zeros((len(mask), dim), dtype=import_module("torch").float32)
    for length in [mask.shape[1]] if batching == "padded" else lengths.unique().tolist():
        rows = (lengths > 0 if batching == "padded" else lengths == length).nonzero()[:, 0]
        if length and len(rows):
            for part in rows.split(1 if batching == "single" else len(rows)):
                features[part] = encode(part, length)[:, :dim].float()
    return features


def make_inputs(library: Any, ids: Any, mask: Any, n_prompt: int) -> dict[str, Any]:
    """Make the inputs of a SentenceTransformer of ids and mask, shape (n_texts, length)."""
    inputs = {"input_ids": ids, "attention_mask": mask.long(), "modality": "text"}
    if "token_type_ids" in find_input_module(library).tokenizer.model_input_names:
        inputs["token_type_ids"] = ids.new_zeros(ids.shape)
    # Some models leave the prompt out of pooling.
    return {**inputs, "prompt_length": n_prompt} if n_prompt else inputs
