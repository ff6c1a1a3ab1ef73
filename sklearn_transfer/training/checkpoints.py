"""Checkpoints: an interrupted fit resumes from its last epoch."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from pickletools import genops
from typing import Any

import torch
from skorch.history import History
from torch import Tensor

from .._utils.atomic import remove_remains, temporary_folder, write_atomically
from .._utils.hashing import hash_content
from ..vectors.storage.files import exists, open_regular

_SEED = "fit.seed"
_MAGIC = b"sklearn_transfer checkpoint 3\n"
_DIGEST = 32  # hexadecimal digits
_SEED_DIGITS = 10  # of 32 bits
_STATE: dict[str, type] = {
    **{"settings": dict, "history": str, "module": dict, "optimizer": dict},
    **{"rates": object, "callbacks": dict},
}


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
        try:
            net.module_.load_state_dict(state["module"])
            net.optimizer_.load_state_dict(state["optimizer"])
            net.history = History(json.loads(state["history"]))
            net.rates_.applied = state["rates"]
            for name, callback in net.callbacks_:
                vars(callback).update(state["callbacks"].get(name, {}))
        except Exception as error:  # of all types: the settings of a crafted file may agree
            raise ValueError(
                f"The checkpoint {self.file} does not fit the model: {error!r:.200}. Remove it to "
                f"start anew."
            ) from error


def claim_seed(folder: str | os.PathLike[str], seed: int) -> int:
    """Return the seed of the fits in a folder; the first process writes `seed`."""
    file = Path(folder) / _SEED
    remove_remains(file)
    if not exists(file):
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
    with open_regular(file) as content:
        digits = content.read(_SEED_DIGITS + 1)
    if not (digits.isdigit() and len(digits) <= _SEED_DIGITS):
        raise ValueError(
            f"Expected a seed in the file {file}, got {digits!r}. Remove it to start anew."
        )
    return int(digits)


def _read(file: Path) -> dict[str, Any] | None:
    if not exists(file):
        return None
    with open_regular(file) as opened:
        content = opened.read()
    payload = content[len(_MAGIC) + _DIGEST :]
    digest = content[len(_MAGIC) : len(_MAGIC) + _DIGEST]
    if not content.startswith(_MAGIC) or hash_content(payload).encode() != digest:
        raise ValueError(
            f"The checkpoint {file} is damaged, or no checkpoint. Remove it to start anew."
        )
    try:
        _check_size(payload)
        state: dict[str, Any] = torch.load(
            io.BytesIO(payload), weights_only=True, map_location="cpu"
        )
        _check_tensors(state, len(payload))
        is_state = state.keys() >= _STATE.keys()
        is_state = is_state and all(isinstance(state[name], _STATE[name]) for name in _STATE)
        int(state["settings"]["seed"])
    except Exception as error:  # of all types: the digest of a crafted file may agree
        raise _foreign(file) from error
    if not is_state:
        raise _foreign(file)
    return state


def _foreign(file: Path) -> ValueError:
    return ValueError(
        f"Expected the state of a fit in the checkpoint {file}, got other objects; none of "
        f"them was loaded. Remove it to start anew."
    )


def _check_size(payload: bytes) -> None:
    """Raise `ValueError` for an archive that would take more memory than its own size."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > len(payload):
            raise ValueError("the archive is compressed")
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        # An array of any size, of a few bytes; torch allows it.
        if any("bytearray" in str(value) for _, value, _ in genops(archive.read(pickled))):
            raise ValueError("the archive holds a bytearray")


def _check_tensors(state: Any, size: int) -> None:
    """Raise `ValueError` for a tensor that is larger than its file: a view that repeats numbers."""
    if isinstance(state, Tensor) and state.numel() * state.element_size() > size:
        raise ValueError(f"a tensor of shape {tuple(state.shape)}")
    if isinstance(state, Mapping | list | tuple):
        for part in state.values() if isinstance(state, Mapping) else state:
            _check_tensors(part, size)


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
