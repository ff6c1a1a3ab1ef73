"""ContextualModel: a sentence encoder of sentence-transformers, opened on first use."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.devices import resolve_device
from .._utils.errors import VectorFormatError
from .._utils.texts import check_texts
from ..vectors import hub
from ..vectors.catalog import locate
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.storage.cache import ENCODINGS, find_root
from .distillation import Lexicon
from .embedding_cache import Encodings, EncodingsInfo
from .runtime import OpenModel, open_model, pack_model, unpack_model, wrap_model
from .safety import check_folder, digest_model, is_library_model
from .sequences import Padding, Sequences

_MEMORY = 256 << 20  # bytes
_COUNTS = 1 << 20  # bytes: a quarter of a million texts
_PRECISIONS = ("float32", "float16", "bfloat16")
# Where a model knows no bounds.
_LONGEST = 1 << 17
_PROBES = "", "A text of several words, by which the encoder is tried."

_opening = threading.RLock()


class ContextualModel:
    """A pretrained sentence encoder: a text's features depend on all of its words.

    Any model of sentence-transformers. It never changes and is opened on first use, once in a
    process: clones and estimators that name the same model share it, and the features of each
    distinct text are computed once and kept.

    Parameters
    ----------
    source : str, path or SentenceTransformer
        A name of the Hugging Face hub (``"sentence-transformers/all-MiniLM-L6-v2"``,
        ``"hf://org/name@revision"``; what lies in the hub's local cache is used without asking), a
        folder, or an opened model, which must not be trained any more; it is put in evaluation
        mode and, if `device` is named, moved there.
    max_tokens : int, default=None
        What is longer is cut off. None is the model's own maximum, which cannot be exceeded.
    prompt : str, default=None
        Put before every text. None is the model's own default, mostly none.
    precision : {"float32", "float16", "bfloat16"}, default="float32"
        Of weights and computations; features are float32. An opened model keeps its own.
    device : str, default="auto"
        "auto" is CUDA, else MPS, else the CPU.
    batch_tokens : int, default=None
        Tokens that are encoded at a time, padding included; None is 1,024 on a CPU, whose caches
        larger batches leave, and 16,384 elsewhere. Halved where memory does not suffice.
    cache : {"memory", "disk"}, path or None, default="memory"
        Where features are kept: in the process; on disk as well, in the cache folder of the
        platform (see :func:`cache_info`) or in a folder; or nowhere. Processes that share a folder
        share the work.
    cache_bytes : int, default=268_435_456
        Of the features in memory at most.
    hidden_dtype : {"float32", "float16"}, default="float32"
        In fine-tuning, how the states below the lowest layer that is trained are kept.
    trust_remote_code : bool, default=False
        Let a model in a folder bring Python code of its own, which runs whatever its author put
        inside. From a hub no code is downloaded.
    pickle_weights : bool, default=False
        Whether a pickle holds the weights; otherwise the name on the hub, or the folder's path, and
        the fingerprint, if it has been opened.

    Attributes
    ----------
    dim : int
        Number of features.
    n_layers : int
        Layers of the encoder.
    fingerprint : str
        Of weights, configuration and vocabulary.

    See Also
    --------
    PretrainedEmbeddingTransformer : Its features, in a pipeline.
    FineTunedClassifier : Trains it further.

    Notes
    -----
    Texts are split first, all at once, and batched by their number of tokens. Only weights in
    safetensors are opened: other formats are pickles.

    Examples
    --------
    Nothing is looked for before it is needed:

    >>> from sklearn_transfer import ContextualModel
    >>> ContextualModel("sentence-transformers/all-MiniLM-L6-v2", max_tokens=128)
    <ContextualModel 'sentence-transformers/all-MiniLM-L6-v2', not opened>
    """

    def __init__(
        self,
        source: Any,
        *,
        max_tokens: int | None = None,
        prompt: str | None = None,
        precision: str = "float32",
        device: str = "auto",
        batch_tokens: int | None = None,
        cache: str | os.PathLike[str] | None = "memory",
        cache_bytes: int = _MEMORY,
        hidden_dtype: str = "float32",
        trust_remote_code: bool = False,
        pickle_weights: bool = False,
    ) -> None:
        if precision not in _PRECISIONS:
            raise ValueError(f"precision must be one of {_PRECISIONS}, got {precision!r}.")
        if hidden_dtype not in _PRECISIONS[:2]:
            raise ValueError(
                f"hidden_dtype must be one of {_PRECISIONS[:2]}, got {hidden_dtype!r}."
            )
        if not isinstance(source, str | os.PathLike) and not is_library_model(source):
            raise TypeError(
                f"source must be a name, a folder or a SentenceTransformer, got "
                f"{type(source).__name__}: {source!r:.80}"
            )
        for name, value in (("max_tokens", max_tokens), ("batch_tokens", batch_tokens)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be a positive number of tokens, got {value}.")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes must not be negative, got {cache_bytes}.")
        if is_library_model(source) and precision != "float32":
            raise ValueError(
                f"precision={precision!r} is for models that are opened here; a "
                f"SentenceTransformer keeps its own: convert it first, for instance with .half()."
            )
        self.source, self._max_tokens, self.prompt = source, max_tokens, prompt
        self.precision, self.device, self.batch_tokens = precision, device, batch_tokens
        self.cache, self.cache_bytes = cache, cache_bytes
        self.hidden_dtype = hidden_dtype
        self.trust_remote_code, self.pickle_weights = trust_remote_code, pickle_weights
        self._expected: str | None = None  # the fingerprint that a pickle refers to
        self._held: OpenModel | None = None

    # ---- what it knows of itself ----

    @property
    def dim(self) -> int:
        """Number of features."""
        return self._model.dim

    @property
    def fingerprint(self) -> str:
        """Equal where weights, configuration and vocabulary are."""
        return self._model.fingerprint

    @property
    def max_tokens(self) -> int:
        """What of a text is longer is cut off, in tokens, special ones included."""
        return self._find_max_tokens(self._max_tokens)

    def _find_max_tokens(self, wanted: int | None) -> int:
        library = self.library_model
        config = getattr(library[0], "config", None)
        limits = (
            wanted,
            library.max_seq_length,
            library.tokenizer.model_max_length,
            getattr(config, "max_position_embeddings", None),
        )  # the third is a huge number where it is not known
        return int(min(limit for limit in (*limits, _LONGEST) if limit))

    @property
    def n_layers(self) -> int:
        """Layers of the encoder."""
        config = getattr(self.library_model[0], "config", None)
        config = getattr(config, "get_text_config", lambda: config)()
        return int(getattr(config, "num_hidden_layers", 0))

    @property
    def library_model(self) -> Any:
        """The model of the library, as it was opened; to be read, not changed."""
        return self._model.library

    @property
    def padding(self) -> Padding:
        """How texts of several lengths are put side by side."""
        tokenizer = self._tokenizer
        return Padding(int(tokenizer.pad_token_id or 0), tokenizer.padding_side == "left")

    # ---- texts to features ----

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The features of texts; each distinct text is encoded once, as long as it is kept.

        Parameters
        ----------
        texts : sequence of str, length n_texts

        Returns
        -------
        ndarray of float32, shape (n_texts, dim)
            What ``SentenceTransformer.encode`` gives.

        Warns
        -----
        UserWarning
            If a batch was too large for the memory, once.
        """
        texts = check_texts(texts, estimator=type(self).__name__)
        return self._encodings.get(texts, lambda missing: self.run(self.split(missing)))

    def split(self, texts: Sequence[str]) -> Sequences:
        """Texts to the model's tokens.

        Parameters
        ----------
        texts : sequence of str, length n_texts

        Returns
        -------
        Sequences
        """
        return self._split(texts, self.max_tokens)

    def _split(self, texts: Sequence[str], longest: int) -> Sequences:
        prompt, tokenizer = self._prompt, self._tokenizer
        # A lone surrogate is no character that the library could be given.
        whole = [(prompt + text).encode(errors="replace").decode() for text in texts]
        with self._model.splitting:  # the length at which texts are cut is set in the tokenizer
            found = tokenizer(
                whole, truncation=True, max_length=longest, padding=False, verbose=False
            )
        lengths = np.array([len(ids) for ids in found["input_ids"]], dtype=np.int64)
        n_special = tokenizer.num_special_tokens_to_add()
        n_tokens = lengths.copy()
        for text in np.flatnonzero(lengths >= longest).tolist():
            rest = found.encodings[text].overflowing
            n_tokens[text] += sum(len(part.ids) - n_special for part in rest)
        ids = np.concatenate([np.array(ids, dtype=np.int32) for ids in found["input_ids"]])
        return Sequences(ids, np.cumsum(lengths) - lengths, lengths, n_tokens, self.padding)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """How many tokens each text has, those beyond `max_tokens` too; counts are kept."""
        counts = self._kept(f"counts {self._prompt!r}", _COUNTS)
        found = counts.get(texts, lambda new: self.split(new).n_tokens[:, None].astype(np.float32))
        return found[:, 0].astype(np.int64)

    def cut(self, max_tokens: int) -> ContextualModel:
        """The same model, which reads at most so many tokens of a text."""
        if max_tokens >= self.max_tokens:
            return self
        other = ContextualModel(self.source, max_tokens=max_tokens, **self._settings)
        other._expected, other._held = self._expected, self._held
        return other

    def run(self, sequences: Sequences, *, prompted: bool = True) -> NDArray[np.float32]:
        """The features of texts that are split, shape (n_texts, dim); nothing is kept."""
        n_prompt = self.n_prompt if prompted else 0
        return self._model.run(sequences, self.batch_tokens, n_prompt)

    def distill(
        self, words: Sequence[str] | None = None, *, n_components: int | None = 256
    ) -> PretrainedVectors:
        """Make static vectors of it: each token is encoded once, alone.

        Parameters
        ----------
        words : sequence of str, default=None
            None: the tokens of the model's own tokenizer, with which texts are then split (extra
            ``static``). Words, the most frequent first; or texts, whose words are taken, in lower
            case.
        n_components : int, default=256
            Dimensions that are kept, by a principal component analysis; None keeps all.

        Returns
        -------
        PretrainedVectors
            In memory; `scales` hold the weights of the tokens.

        Raises
        ------
        ValueError
            If there is no word, or `n_components` is not positive.

        Notes
        -----
        The method of Model2Vec (Tulkens & van Dongen 2024 [1]_): tokens through the encoder,
        principal components, weights ``a / (a + p)`` with ``a = 1e-4`` (Arora et al. 2017). Where
        no texts tell how frequent a token is, ``p`` is by Zipf's law that of its place.

        References
        ----------
        .. [1] Tulkens & van Dongen, "Model2Vec: fast state-of-the-art static embeddings", 2024
           (github.com/MinishLab/model2vec).
        """
        if n_components is not None and n_components < 1:
            raise ValueError(f"n_components must be a positive number or None, got {n_components}.")
        if words is None:
            lexicon = Lexicon.of_tokenizer(self._tokenizer.backend_tokenizer.to_str())
            around = self._special_tokens()
            alone = Sequences.alone(lexicon.ids, *around, self.padding)  # type: ignore[arg-type]
            matrix = self.run(alone, prompted=False)
        else:
            lexicon = Lexicon.of_words(words)
            matrix = self.encode(lexicon.words)
        table = lexicon.table(matrix, n_components)
        return PretrainedVectors.from_table(table, name=f"distilled from {self._name}")

    def cache_info(self) -> EncodingsInfo:
        """What is kept of the texts that this process has encoded, and how often it was of use.

        Returns
        -------
        EncodingsInfo
            With the attributes `n_texts`, `n_bytes`, `n_hits`, `n_encoded`, `folder` and
            `n_bytes_on_disk`.
        """
        return self._encodings.info()

    def clear_cache(self) -> None:
        """Let go of the features that are kept, in memory and on disk."""
        self._encodings.clear()

    def _special_tokens(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids that begin every text, without a prompt, and those that end it."""
        with self._model.splitting:
            inner = self._tokenizer("a", add_special_tokens=False)["input_ids"]
            whole = self._tokenizer("a")["input_ids"]
        before = next(
            i for i in range(len(whole)) if whole[i : i + len(inner)] == inner or not inner
        )
        ids = np.array(whole, dtype=np.int32)
        return ids[:before], ids[before + len(inner) :]

    @property
    def n_prompt(self) -> int:
        """Tokens of the prompt, with what begins a text; 0 without one."""
        if not self._prompt:
            return 0
        n_special = int(self._tokenizer.num_special_tokens_to_add())
        with self._model.splitting:
            found = self._tokenizer(self._prompt)["input_ids"]
        return len(found) - min(1, n_special)

    # ---- what is opened ----

    @property
    def _name(self) -> str:
        if isinstance(self.source, str | os.PathLike):
            return repr(os.fspath(self.source))
        return "of a SentenceTransformer"

    @property
    def _tokenizer(self) -> Any:
        return self.library_model.tokenizer

    @property
    def _prompt(self) -> str:
        if self.prompt is not None:
            return self.prompt
        library = self.library_model
        return str(library.prompts.get(library.default_prompt_name or "", "") or "")

    @property
    def _encodings(self) -> Encodings:
        folder = self._folder(self._model)
        max_bytes = 0 if self.cache is None else self.cache_bytes
        settings = f"{folder} {self.max_tokens} {self._prompt!r} {max_bytes}"
        return self._kept(settings, max_bytes, folder)

    def _kept(self, settings: str, max_bytes: int, folder: Path | None = None) -> Encodings:
        """What is kept by these settings, for all who have opened the model."""
        with _opening:
            return self._model.encodings.setdefault(settings, Encodings(max_bytes, folder))

    def _folder(self, model: OpenModel) -> Path | None:
        """Where features are kept on disk: another one for all that changes them."""
        if self.cache is None or self.cache == "memory":
            return None
        root = find_root() if self.cache == "disk" else Path(self.cache).expanduser().absolute()
        if root is None:
            return None
        # Not the device, nor the batches: what they change is below the sixth digit.
        settings = [model.fingerprint, self.max_tokens, self._prompt, self.precision]
        digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16).hexdigest()
        return root / ENCODINGS / digest

    @property
    def _model(self) -> OpenModel:
        with _opening:
            if self._held is None:
                self._held = self._open()
            return self._held

    def _open(self) -> OpenModel:
        if not isinstance(self.source, str | os.PathLike):
            device = self.source.device if self.device == "auto" else resolve_device(self.device)
            model = wrap_model(self.source, str(device))
            self._check(model, "The SentenceTransformer")
            return model
        device = resolve_device(self.device)
        path = locate(self.source)
        files = check_folder(path, trust_remote_code=self.trust_remote_code)
        fingerprint = digest_model(path, files)
        if self._expected not in (None, fingerprint):
            raise ValueError(
                f"The pickle refers to the contextual model in {path}, which has changed since: "
                f"expected the fingerprint {self._expected}, found {fingerprint}. Put the old "
                f"files back, or fit again."
            )
        model = open_model(
            path,
            fingerprint,
            precision=self.precision,
            device=device,
            trust_remote_code=self.trust_remote_code,
        )
        self._check(model, str(path))
        return model

    def _check(self, model: OpenModel, name: str) -> None:
        """Refuse a model that is not fed by the tokens of texts alone; once a process."""
        if self.prompt in model.checked:
            return
        tokenizer = getattr(model.library, "tokenizer", None)
        if not getattr(tokenizer, "is_fast", False):
            raise VectorFormatError(
                f"{name}: expected a model with a fast tokenizer (tokenizer.json), found "
                f"{type(tokenizer).__name__}."
            )
        self._held = model
        try:
            whole = self._split(_PROBES, self._find_max_tokens(None))
            ours = self.run(whole)
        finally:
            self._held = None
        options = {} if self.prompt is None else {"prompt": self.prompt}
        theirs = model.library.encode(list(_PROBES), show_progress_bar=False, **options)
        tolerance = 1e-4 if next(model.library.parameters()).element_size() == 4 else 0.1
        if not np.allclose(ours, theirs, atol=tolerance):
            raise VectorFormatError(
                f"{name}: this model needs more than the tokens of a text (its features differ "
                f"from those that sentence-transformers finds by "
                f"{np.abs(ours - theirs).max():.2g})."
            )
        model.checked.add(self.prompt)

    # ---- shared, not copied ----

    def __sklearn_clone__(self) -> ContextualModel:
        return self

    def __copy__(self) -> ContextualModel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ContextualModel:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        settings = {**self._settings, "max_tokens": self._max_tokens}
        source, expected = self.source, None
        if isinstance(source, str | os.PathLike):
            if self.pickle_weights:
                source = pack_model(self.library_model)
            elif self._held is not None:
                expected = self.fingerprint
                if not (isinstance(source, str) and hub.parse(source)):
                    source = os.fspath(locate(source))
        else:
            source = pack_model(source)
        return _unpickle, (source, settings, expected)

    @property
    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTINGS}

    def __repr__(self) -> str:
        if self._held is None:
            return f"<ContextualModel {self._name}, not opened>"
        return (
            f"<ContextualModel {self._name}: {self.n_layers} layers, {self.dim} features, "
            f"{self.max_tokens} tokens, {self._held.dtype}, {self._held.device}>"
        )


_SETTINGS = (
    *("prompt", "precision", "device", "batch_tokens", "cache", "cache_bytes", "hidden_dtype"),
    *("trust_remote_code", "pickle_weights"),
)


def _unpickle(source: Any, settings: dict[str, Any], expected: str | None) -> ContextualModel:
    model = ContextualModel(unpack_model(source), **settings)
    model._expected = expected
    return model
