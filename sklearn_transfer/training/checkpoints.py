"""Checkpoints: an interrupted fit resumes from its last epoch."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from skorch.history import History
from torch import Tensor

from .._utils.atomic import remove_remains, temporary_folder, write_atomically
from .._utils.hashing import hash_content

_SEED = "fit.seed"
_MAGIC = b"sklearn_transfer checkpoint 3\n"
_DIGEST = 32  # hexadecimal digits
_SEED_DIGITS = 10  # of 32 bits


class Checkpoint:
    """The state of a fit, in a file of its own in a folder.

    Parameters
    ----------
    folder : path
        Fits of other data or parameters may have their files there.
    settings : mapping of str to str
        All that determines the result. Their hash is the name of the file.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, str]) -> None:
        self.settings = dict(settings)
        fingerprint = hash_content(*(part for pair in settings.items() for part in pair))
        self.file = Path(folder) / f"fit-{fingerprint}.checkpoint"

    def write(self, net: Any) -> None:
        """Write the state after an epoch; an interrupted write leaves the old file."""
        state = {
            "settings": self.settings,
            "history": json.dumps(list(net.history)),
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "rates": net.rates_.applied,
            "callbacks": {name: _plain_state(callback) for name, callback in net.callbacks_},
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(self.file) as file:
            file.write(_MAGIC + hash_content(payload).encode() + payload)

    def restore(self, net: Any) -> None:
        """Restore a net; a damaged file, or one of another fit, is a ValueError."""
        remove_remains(self.file)
        state = _read(self.file)
        if state is None:
            return
        if state["settings"] != self.settings:
            raise ValueError(
                f"The checkpoint {self.file} is of another fit: it was renamed. Remove it to start "
                f"anew."
            )
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history = History(json.loads(state["history"]))
        net.rates_.applied = state["rates"]
        for name, callback in net.callbacks_:
            vars(callback).update(state["callbacks"].get(name, {}))


def claim_seed(folder: str | os.PathLike[str], seed: int) -> int:
    """Return the seed of the fits in a folder; the first process writes `seed`."""
    file = Path(folder) / _SEED
    remove_remains(file)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(file) as temporary:
            new = temporary / _SEED
            new.write_text(str(seed))
            try:
                file.hardlink_to(new)
            except FileExistsError:
                pass  # another process was faster
            except OSError:  # a file system without links
                new.replace(file)
    with file.open("rb") as content:
        digits = content.read(_SEED_DIGITS + 1)
    if not (digits.isdigit() and len(digits) <= _SEED_DIGITS):
        raise ValueError(
            f"Expected a seed in the file {file}, got {digits!r}. Remove it to start anew."
        )
    return int(digits)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    payload = content[len(_MAGIC) + _DIGEST :]
    digest = content[len(_MAGIC) : len(_MAGIC) + _DIGEST]
    if not content.startswith(_MAGIC) or hash_content(payload).encode() != digest:
        raise ValueError(
            f"The checkpoint {file} is damaged, or no checkpoint. Remove it to start anew."
        )
    try:
        state: dict[str, Any] = torch.load(
            io.BytesIO(payload), weights_only=True, map_location="cpu"
        )
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(
            f"Expected the state of a fit in the checkpoint {file}, got other objects; none of "
            f"them was loaded. Remove it to start anew."
        ) from error
    return state


def _plain_state(callback: Any) -> dict[str, Any]:
    """The fitted attributes of a callback that are numbers, strings or tensors."""
    return {
        name: _as_plain(value)
        for name, value in vars(callback).items()
        if name.endswith("_") and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, Real | str | Tensor)


def _as_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _as_plain(part) for name, part in value.items()}
    if isinstance(value, Real) and not isinstance(value, bool | int):
        return float(value)
    return value
