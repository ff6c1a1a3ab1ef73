"""Models of sentence-transformers as a process opens them: each once."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._utils.devices import device_or_cpu, lacks_memory
from .._utils.errors import VectorFormatError, levels_to_caller
from .._utils.memo import ObjectCache
from .._utils.optional import import_optional
from .embedding_cache import Encodings
from .sequences import Sequences, batches_by_length

_EXTRA = "contextual"

# Tokens of a batch: on a CPU what is computed of them should stay in its caches.
CPU_TOKENS, _OTHER_TOKENS = 1024, 16384
_PATIENCE = 2.0  # seconds without a progress bar


class _Key(NamedTuple):
    """What tells opened models apart."""

    path: str
    fingerprint: str
    precision: str
    device: str
    trust_remote_code: bool


@dataclass
class OpenModel:
    """A model of the library, and the features that it has given.

    Attributes
    ----------
    library : SentenceTransformer
    fingerprint : str
    device : str
    encodings : dict of str to Encodings
        By the settings that decide what a text's features are.
    splitting : RLock
        Held while the tokenizer is used, which has a state.
    checked : set of str or None
        The prompts with which its features were found to be those of the library.
    """

    library: Any
    fingerprint: str
    device: str
    encodings: dict[str, Encodings] = field(default_factory=dict)
    splitting: threading.RLock = field(default_factory=threading.RLock)
    checked: set[str | None] = field(default_factory=set)
    _told: bool = False

    @property
    def dtype(self) -> str:
        """That of the weights."""
        return str(next(self.library.parameters()).dtype).removeprefix("torch.")

    @property
    def dim(self) -> int:
        """Number of features."""
        return int(self.library.get_embedding_dimension())

    def run(
        self, sequences: Sequences, batch_tokens: int | None, n_prompt: int
    ) -> NDArray[np.float32]:
        """The features of texts, in batches of similar length; a bar after two seconds.

        Parameters
        ----------
        sequences : Sequences, length n_texts
        batch_tokens : int or None
            Tokens of a batch, padding included; None is what suits the device.
        n_prompt : int
            See :func:`inputs_of`.

        Returns
        -------
        ndarray of float32, shape (n_texts, dim)

        Raises
        ------
        ValueError
            If they are not finite.

        Warns
        -----
        UserWarning
            If a batch does not fit into memory, once: it is halved.
        """
        from tqdm import tqdm

        features = np.empty((len(sequences), self.dim), dtype=np.float32)
        bar = tqdm(total=len(sequences), desc="texts", delay=_PATIENCE, leave=False, disable=None)
        with bar:
            together = batch_tokens or (CPU_TOKENS if self.device == "cpu" else _OTHER_TOKENS)
            for rows in batches_by_length(sequences.lengths, together):
                for part, found in self._forward(sequences, rows, n_prompt):
                    features[part] = found
                    bar.update(len(part))
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"The contextual model gives NaN or infinite features for "
                f"{np.count_nonzero(~finite)} of {len(sequences)} texts. Is its precision too low?"
            )
        return features

    def _forward(
        self, sequences: Sequences, rows: NDArray[np.int64], n_prompt: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Rows and their features; a batch is halved where memory does not suffice."""
        torch = import_module("torch")
        try:
            padded = sequences[rows].padded()
            ids, mask = (torch.from_numpy(padded[n]).to(self.device) for n in ("ids", "mask"))
            with torch.inference_mode():
                found = self.library(inputs_of(self.library, ids, mask, n_prompt))
                features = found["sentence_embedding"].float().cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            if len(rows) == 1 or not lacks_memory(error):
                raise
            self._tell(len(rows))
        else:
            yield rows, features[:, : self.dim]
            return
        for half in np.array_split(rows, 2):
            yield from self._forward(sequences, half, n_prompt)

    def _tell(self, n_texts: int) -> None:
        if not self._told:
            self._told = True
            warnings.warn(
                f"A batch of {n_texts} texts does not fit into memory; it is halved. Lower "
                f"batch_tokens.",
                UserWarning,
                stacklevel=levels_to_caller(),
            )


_opened: ObjectCache[OpenModel] = ObjectCache(n_recent=2)


def open_model(
    path: Path, fingerprint: str, *, precision: str, device: str, trust_remote_code: bool
) -> OpenModel:
    """Open a folder, or give what was opened of it before.

    Parameters
    ----------
    path : Path
    fingerprint : str
        Of its files.
    precision : {"float32", "float16", "bfloat16"}
    device : str
    trust_remote_code : bool

    Returns
    -------
    OpenModel

    Raises
    ------
    VectorFormatError
        If the library cannot open it.
    MissingDependencyError
        If the library, of the extra ``contextual``, is not installed.
    """
    key = _Key(os.fspath(path), fingerprint, precision, device, trust_remote_code)
    return _opened.get(key, lambda: _read(path, key))


def _read(path: Path, key: _Key) -> OpenModel:
    purpose = f"Opening the contextual model in {path}"
    library = import_optional("sentence_transformers", extra=_EXTRA, purpose=purpose)
    torch = import_module("torch")
    try:
        with _silence():
            opened = library.SentenceTransformer(
                os.fspath(path),
                device=key.device,
                local_files_only=True,
                trust_remote_code=key.trust_remote_code,
                model_kwargs={"use_safetensors": True, "dtype": getattr(torch, key.precision)},
            )
    except Exception as error:  # of the library, which raises all kinds on damaged files
        raise VectorFormatError(
            f"{path}: sentence-transformers cannot open this model: {type(error).__name__}: {error}"
        ) from error
    return OpenModel(opened.eval(), key.fingerprint, key.device)


def wrap_model(library: Any, device: str) -> OpenModel:
    """A model that was opened by its library.

    Parameters
    ----------
    library : SentenceTransformer
        It is moved to the device, and put in evaluation mode.
    device : str

    Returns
    -------
    OpenModel
        Its fingerprint is of all weights, the modules and the tokenizer.
    """
    library = library.to(device).eval()
    digest = hashlib.blake2b(repr(library).encode(), digest_size=16)
    for name, tensor in sorted(library.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().data)
    backend = getattr(library.tokenizer, "backend_tokenizer", None)
    digest.update(b"" if backend is None else backend.to_str().encode())
    return OpenModel(library, digest.hexdigest(), device)


class Packed(NamedTuple):
    """A model that lay on an accelerator, so that it can be opened without one.

    Attributes
    ----------
    device : str
    stored : bytes
    """

    device: str
    stored: bytes


def pack_model(library: Any) -> Any:
    """What a pickle holds of a model: itself, or `Packed`."""
    device = str(library.device)
    if device == "cpu":
        return library
    stored = io.BytesIO()
    import_module("torch").save(library, stored)
    return Packed(device, stored.getvalue())


def unpack_model(packed: Any) -> Any:
    """The model in a pickle, on its device or, where that is not there, on the CPU."""
    if not isinstance(packed, Packed):
        return packed
    device = device_or_cpu(packed.device)
    return (
        import_module("torch")
        .load(io.BytesIO(packed.stored), map_location=device, weights_only=False)
        .to(device)
    )


def inputs_of(library: Any, ids: Any, mask: Any, n_prompt: int) -> dict[str, Any]:
    """What the modules of the library are called with.

    Parameters
    ----------
    library : SentenceTransformer
    ids : Tensor of int64, shape (n_texts, length)
    mask : Tensor of bool, shape (n_texts, length)
    n_prompt : int
        Tokens that each text begins with, and that some models do not pool.

    Returns
    -------
    dict of Tensor
    """
    found = {"input_ids": ids, "attention_mask": mask.long()}
    if "token_type_ids" in library.tokenizer.model_input_names:
        found["token_type_ids"] = ids.new_zeros(ids.shape)
    return {**found, "prompt_length": n_prompt} if n_prompt else found


@contextmanager
def _silence() -> Iterator[None]:
    """Without the bar that the library shows while it loads weights."""
    logging = import_optional(
        "transformers.utils.logging", extra=_EXTRA, purpose="A contextual model"
    )
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
