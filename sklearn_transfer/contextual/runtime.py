"""Models of sentence-transformers: settings, opening once per process, features of texts."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Hashable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from .._utils.devices import lacks_memory, resolve_device
from .._utils.errors import VectorFormatError, levels_to_caller
from .._utils.hashing import Content, hash_content, hash_stream
from .._utils.memo import ObjectCache
from .._utils.optional import import_optional
from ..vectors.storage.cache import ENCODINGS, find_root
from ..vectors.storage.files import expand_user
from ..vectors.storage.fingerprints import fingerprint_files
from ..vectors.table.tokenizer import check_growth
from .embedding_cache import EmbeddingCache
from .safety import check_folder
from .sequences import SentenceTokenizer, Sequences, batches_by_length

PRECISIONS = ("float32", "float16", "bfloat16")
# Tokens per batch: on a CPU the activations of a batch should fit into its caches.
CPU_TOKENS, _OTHER_TOKENS = 1024, 16384
_DELAY = 2.0  # seconds without a progress bar
_COUNTS = 1 << 20  # bytes: the lengths of a quarter of a million texts
_LONGEST = 1 << 17  # maximum sequence length of a model that declares none
_PROBES = "", "A text of several words, by which the encoder is tried."

# Folders by path, content and settings; opened models by identity and the state of their weights.
_opened: ObjectCache[OpenModel] = ObjectCache(n_recent=2)


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


@dataclass
class OpenModel:
    """A SentenceTransformer, opened from `path` if that is given, and the features of texts."""

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
        place, folder = settings.cache, None
        if place is not None and place != "memory":
            root = find_root() if place == "disk" else expand_user(place).absolute()
            folder = root and root / ENCODINGS / hash_content(json.dumps(key))
        max_bytes = 0 if place is None else settings.cache_bytes
        with self._lock:
            cache = EmbeddingCache(max_bytes, folder, private=place == "disk")
            return self._caches.setdefault((*key, max_bytes, folder), cache)

    def count_cache(self, tokenizer: SentenceTokenizer) -> EmbeddingCache:
        """The numbers of tokens of texts."""
        with self._lock:
            return self._caches.setdefault(("counts", tokenizer.prompt), EmbeddingCache(_COUNTS))

    def run(self, sequences: Sequences, batch_tokens: int | None) -> NDArray[np.float32]:
        """Compute the features of texts, shape (n_texts, dim), in batches of similar length."""
        n_texts = len(sequences)
        features = np.empty((n_texts, self.dim), dtype=np.float32)
        batch_tokens = batch_tokens or (CPU_TOKENS if self.device == "cpu" else _OTHER_TOKENS)
        with tqdm(total=n_texts, desc="texts", delay=_DELAY, leave=False, disable=None) as bar:
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
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"A batch of {len(rows)} texts does not fit into memory and is split. Lower "
                    f"batch_tokens.",
                    UserWarning,
                    stacklevel=levels_to_caller(),
                )
        else:
            yield rows, features[:, : self.dim]
            return
        for half in np.array_split(rows, 2):
            yield from self._forward(sequences, half)

    def check(self, settings: Settings) -> None:
        """Refuse a model whose features differ from those of the library; once per prompt."""
        if settings.prompt in self._checked:
            return
        name = "The SentenceTransformer" if self.path is None else str(self.path)
        given: Any = getattr(self.library, "tokenizer", None)
        if not getattr(given, "is_fast", False):
            raise VectorFormatError(
                f"{name}: expected a model with a fast tokenizer (tokenizer.json), got "
                f"{type(given).__name__}."
            )
        check_growth(given.backend_tokenizer, name)
        tokenizer = self.tokenizer(replace(settings, max_tokens=None))
        options = {} if settings.prompt is None else {"prompt": settings.prompt}
        theirs = self.library.encode(list(_PROBES), show_progress_bar=False, **options)
        if theirs.shape[1] != self.dim:  # before memory is taken for as many as announced
            raise VectorFormatError(
                f"{name}: the configuration announces {self.dim} features, the model gives "
                f"{theirs.shape[1]}."
            )
        ours = self.run(tokenizer.split(_PROBES), settings.batch_tokens)
        tolerance = 1e-4 if self.dtype in ("float32", "float64") else 0.1
        if not np.allclose(ours, theirs, atol=tolerance):
            raise VectorFormatError(
                f"{name}: this model needs more than the tokens of a text (its features differ "
                f"from those of sentence-transformers by {np.abs(ours - theirs).max():.2g})."
            )
        self._checked.add(settings.prompt)


def make_inputs(library: Any, ids: Any, mask: Any, n_prompt: int) -> dict[str, Any]:
    """Make the inputs of a SentenceTransformer of ids and mask, shape (n_texts, length)."""
    inputs = {"input_ids": ids, "attention_mask": mask.long()}
    if "token_type_ids" in library.tokenizer.model_input_names:
        inputs["token_type_ids"] = ids.new_zeros(ids.shape)
    # Some models leave the prompt out of pooling.
    return {**inputs, "prompt_length": n_prompt} if n_prompt else inputs


def open_folder(path: Path, settings: Settings, *, expected: str | None = None) -> OpenModel:
    """Open a folder of the `expected` fingerprint, or return its model that is open already."""
    device = resolve_device(settings.device)
    trusted = settings.trust_remote_code
    files = check_folder(path, trust_remote_code=trusted)
    names = (file.relative_to(path).as_posix() for file in files)
    fingerprint = hash_content(*names, fingerprint_files(files))
    if expected not in (None, fingerprint):
        raise ValueError(
            f"The pickle refers to the contextual model in {path}, which has changed since: "
            f"expected the fingerprint {expected}, found {fingerprint}. Put the old files back, "
            f"or fit again."
        )
    key = (path, fingerprint, settings.precision, device, trusted)
    return _opened.get(
        key, lambda: OpenModel(_load(path, settings, device), fingerprint, device, path)
    )


def _load(path: Path, settings: Settings, device: str) -> Any:
    purpose = f"Opening the contextual model in {path}"
    library = import_optional("sentence_transformers", extra="contextual", purpose=purpose)
    dtype = getattr(import_module("torch"), settings.precision)
    try:
        with ExitStack() as stack:
            logging = import_module("transformers.utils.logging")
            if logging.is_progress_bar_enabled():  # the bar of the weights
                logging.disable_progress_bar()
                stack.callback(logging.enable_progress_bar)
            return library.SentenceTransformer(
                os.fspath(path),
                device=device,
                local_files_only=True,
                trust_remote_code=settings.trust_remote_code,
                model_kwargs={"use_safetensors": True, "dtype": dtype},
            ).eval()
    except Exception as error:  # the library raises errors of all types on damaged files
        raise VectorFormatError(
            f"{path}: sentence-transformers cannot open this model: {type(error).__name__}: {error}"
        ) from error


def wrap_library_model(library: Any, settings: Settings) -> OpenModel:
    """Wrap a SentenceTransformer in evaluation mode, once until its weights change."""
    device = str(library.device) if settings.device == "auto" else resolve_device(settings.device)
    library = library.to(device).eval()
    # torch counts the changes of a tensor in place.
    versions = tuple(p._version for p in library.parameters())  # noqa: SLF001 (no public name)
    key = (id(library), versions, device)  # an OpenModel keeps its library: no id is used twice
    return _opened.get(key, lambda: OpenModel(library, hash_stream(_describe(library)), device))


def _describe(library: Any) -> Iterator[Content]:
    yield repr(library)
    for name, tensor in sorted(library.state_dict().items()):
        yield name
        yield tensor.detach().cpu().float().numpy()
    backend = getattr(library.tokenizer, "backend_tokenizer", None)
    if backend is not None:
        # Truncation and padding are settings of the last call.
        yield json.dumps(json.loads(backend.to_str()) | {"truncation": None, "padding": None})
