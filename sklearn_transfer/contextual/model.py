"""ContextualModel: a sentence encoder of sentence-transformers, opened on first use."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.devices import device_or_cpu
from .._utils.display.tables import html_properties
from .._utils.locks import ThreadLock
from .._utils.objects.pickling import PickledOnly
from .._utils.objects.state import State
from .._utils.texts import check_texts
from ..vectors.catalog import find_hub_name, locate
from ..vectors.origin import find_content, remember_place
from ..vectors.pretrained_vectors import PretrainedVectors
from .distillation import distill_tokens, distill_words
from .embedding_cache import EmbeddingCacheInfo
from .opening import fingerprint_folder, open_folder, wrap_library_model
from .remote_code import RemoteCode
from .runtime import Batching, OpenModel, Settings
from .safety import catch_library_errors, check_folder, is_library_model
from .sequences import SentenceTokenizer, Sequences

_MEMORY = 256 << 20  # bytes

_opening = ThreadLock()


class ContextualModel(PickledOnly):
    """A pretrained sentence encoder of sentence-transformers.

    A model is immutable and opened on first use, once per process. Clones and estimators that name
    the same model share it. The features of each distinct text are computed once and cached.

    Parameters
    ----------
    source : str, path or SentenceTransformer
        A name, a folder or an opened model.

        - Names refer to the Hugging Face hub: ``"sentence-transformers/all-MiniLM-L6-v2"``, in
          short ``"all-MiniLM-L6-v2"``, or ``"hf://org/name@revision"``. A complete model in the
          local cache of the hub, or in ``SENTENCE_TRANSFORMERS_HOME``, is used without network.
        - An opened model must not be trained further. It is put in evaluation mode and, if `device`
          is named, moved to that device.
    max_tokens : int, default=None
        Maximum sequence length in tokens; longer texts are truncated. None is the maximum of the
        model, which cannot be exceeded. With `windows`, the maximum length of a text; None reads
        whole texts.
    windows : int or tuple of int (size, step), default=None
        Read longer texts in overlapping windows of at most `size` tokens, special tokens included.
        Each window begins `step` tokens after the previous one. With an int, the step is three
        quarters of the tokens of a text that fit into a window. None truncates texts. A model with
        windows cannot be trained.
    prompt : str, default=None
        Prefix of every text. None is the default prompt of the model; most models have none.
    precision : {"float32", "float16", "bfloat16"}, default="float32"
        Type of weights and computations; features are float32. An opened model keeps its own type.
    device : str, default="auto"
        "auto" is CUDA, else MPS, else the CPU.
    batch_tokens : int, default=None
        Maximum size of a batch in tokens, padding included. None is 1,024 on a CPU, so that a batch
        fits into the CPU caches, and 16,384 elsewhere. A batch that does not fit into memory is
        split.
    cache : {"memory", "disk"}, path or None, default="memory"
        Cache of the features: in memory, also on disk in the cache folder of the platform (see
        :func:`cache_info`), also in another folder, or none. Processes that share a folder share
        the work.
    cache_bytes : int, default=268_435_456
        Maximum size of the cached features in memory, in bytes.
    hidden_dtype : {"float32", "float16"}, default="float32"
        Type of the states below the lowest trainable layer, which fine-tuning keeps in memory.
    trust_remote_code : bool, default=False
        Whether to run Python code in the folder of a model. No code is downloaded from a hub.
    pickle_weights : bool, default=False
        Whether to include the weights in a pickle. Otherwise a pickle contains the name on the hub
        or the path of the folder, and the fingerprint if the model has been opened.

    Attributes
    ----------
    settings : Settings
        The parameters except `source`.
    dim, n_layers : int
        The number of features, and the number of layers of the encoder.
    fingerprint : str
        Hash of weights, configuration and vocabulary.

    See Also
    --------
    PretrainedEmbeddingTransformer : Features of a sentence encoder in a pipeline.
    FineTunedClassifier : Trains a sentence encoder for labels.

    Notes
    -----
    All texts are tokenized first, and batched by their length. Padding follows the text. When a
    model is opened, the features of single texts are compared with those of a batch. If padding
    or other texts change the features, texts of equal length, or single texts, are encoded at a
    time. Weights are read from safetensors only, because other formats are pickles.

    Examples
    --------
    The model is opened on first use:

    >>> from sklearn_transfer import ContextualModel
    >>> ContextualModel("sentence-transformers/all-MiniLM-L6-v2", max_tokens=128)
    <ContextualModel 'sentence-transformers/all-MiniLM-L6-v2', not opened>
    """

    def __init__(  # noqa: PLR0913 (public constructor)
        self,
        source: Any,
        *,
        max_tokens: int | None = None,
        windows: int | tuple[int, int] | None = None,
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
        self.settings = Settings(
            max_tokens=max_tokens,
            prompt=prompt,
            precision=precision,
            device=device,
            batch_tokens=batch_tokens,
            cache=cache,
            cache_bytes=cache_bytes,
            hidden_dtype=hidden_dtype,
            trust_remote_code=trust_remote_code,
            pickle_weights=pickle_weights,
            windows=windows,
        )
        self.source = source
        if not isinstance(source, str | os.PathLike):
            if not is_library_model(source):
                raise TypeError(
                    f"source must be a name, a folder or a SentenceTransformer, got "
                    f"{type(source).__name__}: {source!r:.80}"
                )
            if precision != "float32":
                raise ValueError(
                    f"precision={precision!r} is for models that are opened here; a "
                    f"SentenceTransformer keeps its own: convert it first, for instance with "
                    f".half()."
                )
        self._expected: str | None = None  # the fingerprint in a pickle
        self._held: OpenModel | None = None

    @property
    def dim(self) -> int:
        """The number of features."""
        return self._model.dim

    @property
    def fingerprint(self) -> str:
        """Hash of weights, configuration and vocabulary."""
        return self._model.fingerprint

    @property
    def max_tokens(self) -> int:
        """Maximum length of a text in tokens, special tokens included."""
        return self.tokenizer.max_tokens

    @property
    def n_layers(self) -> int:
        """The number of layers of the encoder."""
        return self._model.n_layers

    @property
    def batching(self) -> Batching:
        """The texts that are encoded together without an effect on their features."""
        return self._model.batching

    @property
    def library_model(self) -> Any:
        """The SentenceTransformer; it must not be changed."""
        return self._model.library

    @cached_property
    def folder(self) -> Path:
        """The folder of a name or path; a name is downloaded if it is not in the local cache."""
        # That of a model from a pickle is found by its content.
        if self._expected is None:
            return locate(self.source)
        source = os.fspath(self.source)
        is_name = isinstance(self.source, str) and find_hub_name(self.source) is not None
        return find_content(
            self._expected,
            [] if is_name else [source],
            [source] if is_name else [],
            fingerprint=lambda path: fingerprint_folder(path, self.settings),
            kind="contextual model",
        )

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Compute the features of texts, or read them from the cache.

        Parameters
        ----------
        texts : sequence of str, length n_texts

        Returns
        -------
        ndarray of float32, shape (n_texts, dim)
            Equal to ``SentenceTransformer.encode`` on single texts; zeros for a text without
            tokens. For a text that is longer than a window, the mean of its windows, weighted by
            their number of tokens and scaled to their average norm.

        Warns
        -----
        UserWarning
            Once, if a batch does not fit into memory.
        """
        texts = check_texts(texts, estimator=type(self).__name__)
        cache = self._model.cache(self.settings)
        return cache.get(texts, lambda missing: self._run(self.split(missing), in_windows=True))

    def split(self, texts: Sequence[str]) -> Sequences:
        """Tokenize texts, each truncated to `max_tokens`."""
        return self.tokenizer.split(texts)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count the tokens of texts without truncation; counts are cached."""
        counts = self._model.count_cache(self.tokenizer).get(
            texts, lambda new: self.split(new).n_tokens[:, None].astype(np.float32)
        )
        return counts[:, 0].astype(np.int64)

    def cut(self, max_tokens: int) -> ContextualModel:
        """Return the same model with a lower maximum sequence length."""
        if max_tokens >= self.max_tokens:
            return self
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, settings=replace(self.settings, max_tokens=max_tokens))
        return other

    def distill(
        self, words: Sequence[str] | None = None, *, n_components: int | None = 256
    ) -> PretrainedVectors:
        """Make static vectors by encoding each token or word on its own.

        Parameters
        ----------
        words : sequence of str, default=None
            Words, the most frequent first, or texts, which are split into lower-cased words. None
            takes the tokens of the tokenizer of the model; this tokenizer then splits texts (extra
            ``static``).
        n_components : int, default=256
            Number of principal components that are kept; None keeps all dimensions.

        Returns
        -------
        PretrainedVectors
            In memory; `scales` has the weights of the tokens.

        Raises
        ------
        ValueError
            If there is no word, or `n_components` is not positive.

        Notes
        -----
        The method is that of Model2Vec (Tulkens & van Dongen 2024 [1]_): encoded tokens are reduced
        to principal components, and weighted by ``a / (a + p)`` with ``a = 1e-4`` (Arora et al.
        2017). Without texts, the frequency ``p`` of a token is derived from its rank by Zipf's law.

        References
        ----------
        .. [1] Tulkens & van Dongen, "Model2Vec: fast state-of-the-art static embeddings", 2024
           (github.com/MinishLab/model2vec).
        """
        if n_components is not None and n_components < 1:
            raise ValueError(f"n_components must be a positive number or None, got {n_components}.")
        if words is None:
            tokenizer = self.tokenizer
            table = distill_tokens(
                tokenizer.content, lambda ids: self._run(tokenizer.split_alone(ids)), n_components
            )
        else:
            table = distill_words(words, self.encode, n_components)
        return PretrainedVectors.from_table(table, name=f"distilled from {self._name}")

    def cache_info(self) -> EmbeddingCacheInfo:
        """Describe the cached features and their use.

        Returns
        -------
        EmbeddingCacheInfo
            With the attributes `n_texts`, `n_bytes`, `n_hits`, `n_encoded`, `folder` and
            `n_bytes_on_disk`.
        """
        return self._model.cache(self.settings).info()

    def clear_cache(self) -> None:
        """Remove the cached features, in memory and on disk."""
        self._model.cache(self.settings).clear()

    def _run(self, sequences: Sequences, *, in_windows: bool = False) -> NDArray[np.float32]:
        windows = self._model.windows(self.settings) if in_windows else None
        if windows is None:
            return self._model.run(sequences, self.settings.batch_tokens)
        return self._model.run_windows(sequences, windows, self.settings.batch_tokens)

    def check_trainable(self) -> None:
        """Raise a ValueError if texts are read in windows."""
        if self.settings.windows is not None:
            raise ValueError(
                f"{self!r} reads long texts in windows, and cannot be trained. Set "
                f"adaptation='frozen', or leave windows out to train it on truncated texts."
            )

    @property
    def tokenizer(self) -> SentenceTokenizer:
        """The tokenizer with the prompt and the maximum length of the settings."""
        return self._model.tokenizer(self.settings)

    @property
    def _model(self) -> OpenModel:
        with _opening:
            if self._held is None:
                if isinstance(self.source, str | os.PathLike):
                    if self._expected is not None:
                        self.__dict__.pop("folder", None)  # its content is compared again
                    model = open_folder(self.folder, self.settings)
                else:
                    model = wrap_library_model(self.source, self.settings)
                with catch_library_errors(model.path):
                    model.check(self.settings)
                model.windows(self.settings)  # a ValueError if they do not suit the model
                self._held = model
            return self._held

    @property
    def is_missing(self) -> bool:
        """True for a model from a pickle whose folder has not been found yet."""
        if self._expected is None or self._held is not None:
            return False
        try:
            _ = self.folder
        except (FileNotFoundError, ValueError):
            return True
        return False

    def remember(self) -> None:
        """Make the place of the content known to the process, for pickles that refer to it."""
        remember_place(fingerprint_folder(self.folder, self.settings), self.folder)

    def __sklearn_clone__(self) -> ContextualModel:  # shared, not copied
        return self

    __copy__ = __sklearn_clone__

    def __deepcopy__(self, memo: dict[int, Any]) -> ContextualModel:
        return self

    def _is_for_pickle_only(self) -> bool:
        return self.settings.pickle_weights or not isinstance(self.source, str | os.PathLike)

    def _how_to_save(self) -> str:
        return "model.library_model.save_pretrained(folder), and open it by load_pretrained(folder)"

    def __getstate__(self) -> dict[str, Any]:
        source, expected, device, code = self.source, self._expected, None, None
        is_library = not isinstance(source, str | os.PathLike)
        if is_library or self.settings.pickle_weights:
            source = source if is_library else self.library_model
            code = RemoteCode.of(source)
            device = str(source.device)
            if device != "cpu":  # so that the pickle opens without an accelerator
                source = copy.deepcopy(source).to("cpu")
        elif self._held is not None:
            expected = self.fingerprint
            source = find_hub_name(source) or os.fspath(self.folder)
        state = {"code": code, "source": source, "settings": self.settings, "_expected": expected}
        return state | {"device": device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device, _ = state.pop("device"), state.pop("code")
        self.__dict__.update(state, _held=None)
        if device is not None:
            self.source.to(device_or_cpu(device))

    def plain_settings(self) -> dict[str, Any]:
        """Return the settings as plain values, for a model file; code is not trusted there."""
        cache = self.settings.cache
        plain = {**vars(self.settings), "trust_remote_code": False, "pickle_weights": False}
        return {**plain, "cache": cache if cache is None else os.fspath(cache)}

    def to_reference(self) -> dict[str, Any]:
        """Return the name or path and the fingerprint, as entries of a model file."""
        if not isinstance(self.source, str | os.PathLike):
            raise ValueError(
                f"vectors='reference' needs a model with a name or folder, got {self!r}. Use "
                f"vectors='all'."
            )
        source = find_hub_name(self.source) or os.fspath(self.folder)
        settings = self.plain_settings()
        return {"source": source, "fingerprint": self.fingerprint, "settings": settings}

    @classmethod
    def from_reference(cls, state: State) -> ContextualModel:
        """Make the model that a model file refers to; an error if it is not there."""
        made = cls(state.of("source", str), **_read_settings(state))
        made._expected = state.of("fingerprint", str)
        _ = made.folder
        return made

    def write(self, folder: Path) -> None:
        """Write the files that sentence-transformers reads into a new folder."""
        if RemoteCode.of(self.library_model).files:
            raise ValueError(
                f"A model file has no code, which {self!r} brings. Use vectors='reference'."
            )
        if isinstance(self.source, str | os.PathLike):
            for file in check_folder(self.folder, trust_remote_code=False):
                target = folder / file.relative_to(self.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
            return
        self.library_model.save(str(folder), create_model_card=False)

    @classmethod
    def from_folder(cls, folder: Path, state: State, *, stays: bool) -> ContextualModel:
        """Make a model of a folder in a model file; one that does not stay is opened now."""
        made = cls(folder, **{**_read_settings(state), "pickle_weights": not stays})
        if not stays:
            _ = made.library_model
        return made

    @property
    def _name(self) -> str:
        if isinstance(self.source, str | os.PathLike):
            return repr(os.fspath(self.source))
        return "of a SentenceTransformer"

    @property
    def _length(self) -> str:
        """The maximum sequence length, in words."""
        windows = self.settings.windows
        if windows is None:
            return f"{self.max_tokens:,} tokens"
        size = windows[0] if isinstance(windows, tuple) else windows
        return f"windows of {size:,} tokens"

    def __repr__(self) -> str:
        if self._held is None:
            return f"<ContextualModel {self._name}, not opened>"
        return (
            f"<ContextualModel {self._name}: {self.n_layers} layers, {self.dim} features, "
            f"{self._length}, {self._held.dtype}, {self._held.device}>"
        )

    def _repr_html_(self) -> str:
        properties = [("model", self._name.strip("'"))]
        if self._held is None:
            properties.append(("state", "not opened"))
        else:
            properties += [
                ("layers", str(self.n_layers)),
                ("features", str(self.dim)),
                ("maximum length", self._length),
                ("type", self._held.dtype),
                ("device", self._held.device),
            ]
        return html_properties(properties, title=type(self).__name__)


def _read_settings(state: State) -> dict[str, Any]:
    """Settings from a model file."""
    given = State("settings", state.of("settings", dict))
    return {
        "max_tokens": given.optional("max_tokens", int),
        "prompt": given.optional("prompt", str),
        "precision": given.of("precision", str),
        "device": given.of("device", str),
        "batch_tokens": given.optional("batch_tokens", int),
        "cache": given.optional("cache", str),
        "cache_bytes": given.integer("cache_bytes"),
        "hidden_dtype": given.of("hidden_dtype", str),
        # Files of earlier versions have none.
        "windows": given.optional("windows", int, list, tuple) if "windows" in given else None,
    }
