"""Checkpoints: an interrupted fit resumes from its last epoch."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from skorch.history import History
from torch import Tensor

from .._utils.atomic import write_atomically
from .._utils.hashing import hash_content

_FILE = "fit.checkpoint"
_MAGIC = b"sklearn_transfer checkpoint 3\n"
_DIGEST = 32  # hexadecimal digits


class Checkpoint:
    """The state of a fit in a folder.

    Parameters
    ----------
    folder, settings : path, mapping of str to str
        Settings are all that determines the result; the checkpoint of another fit is rejected.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, str]) -> None:
        self.file = Path(folder) / _FILE
        self.settings = dict(settings)

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
        for leftover in self.file.parent.glob(f".{self.file.name}.*"):
            shutil.rmtree(leftover, ignore_errors=True)  # of a process that was killed
        state = _read(self.file)
        if state is None:
            return
        stored = state["settings"]
        for name in [*self.settings, *stored]:
            if stored.get(name) != self.settings.get(name):
                raise ValueError(
                    f"The checkpoint {self.file} is of another fit: {name} was {stored.get(name)}, "
                    f"and is {self.settings.get(name)}. Fit with the same data and parameters, "
                    f"name another folder, or remove this one to start anew."
                )
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history = History(json.loads(state["history"]))
        net.rates_.applied = state["rates"]
        for name, callback in net.callbacks_:
            vars(callback).update(state["callbacks"].get(name, {}))


def stored_seed(folder: str | os.PathLike[str]) -> int | None:
    """Read the seed of the fit in a folder; None without a checkpoint."""
    state = _read(Path(folder) / _FILE)
    return None if state is None else int(state["settings"]["seed"])


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
