"""A fit that was stopped goes on from its last epoch."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tempfile
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from skorch.history import History
from torch import Tensor

_FILE = "fit.checkpoint"
_MAGIC = b"sklearn_transfer checkpoint 2\n"
_DIGEST = hashlib.sha256().digest_size


class Checkpoint:
    """The state of a fit in a folder.

    Parameters
    ----------
    folder : path
        Made where it is missing.
    settings : mapping of str to str
        What the fit depends on; another fit's checkpoint is refused.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, str]) -> None:
        self.file = Path(folder) / _FILE
        self.settings = dict(settings)

    def write(self, net: Any) -> None:
        """Write the state after an epoch; the file is the old one or the new one, never a part."""
        state = {
            "settings": self.settings,
            "history": json.dumps(list(net.history)),
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "average": net._average,
            "rates": list(net._rates),
            "callbacks": {name: _plain_state(callback) for name, callback in net.callbacks_},
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.file.parent, prefix="unfinished-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(payload).digest() + payload)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def restore(self, net: Any) -> None:
        """Put a net in the state that was written, if any.

        Parameters
        ----------
        net : TransferNet

        Raises
        ------
        ValueError
            If the file is damaged, or of a fit with other data or settings.
        """
        for leftover in self.file.parent.glob("unfinished-*"):
            leftover.unlink(missing_ok=True)  # of a process that was killed while writing
        state = _read(self.file)
        if state is None:
            return
        there = state["settings"]
        for name in [*self.settings, *there]:
            if there.get(name) != self.settings.get(name):
                raise ValueError(
                    f"The checkpoint {self.file} is of another fit: {name} was {there.get(name)}, "
                    f"and is {self.settings.get(name)}. Fit with the same data and parameters, "
                    f"name another folder, or remove this one to start anew."
                )
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history = History(json.loads(state["history"]))
        device = torch.device(net.device)
        net._rates = state["rates"]  # those that the optimizer was given
        net._average = {name: tensor.to(device) for name, tensor in state["average"].items()}
        for name, callback in net.callbacks_:
            vars(callback).update(state["callbacks"].get(name, {}))


def stored_seed(folder: str | os.PathLike[str]) -> int | None:
    """The seed of the fit in a folder, if there is one."""
    state = _read(Path(folder) / _FILE)
    return None if state is None else int(state["settings"]["seed"])


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    payload = content[len(_MAGIC) + _DIGEST :]
    digest = content[len(_MAGIC) : len(_MAGIC) + _DIGEST]
    if not content.startswith(_MAGIC) or hashlib.sha256(payload).digest() != digest:
        raise ValueError(
            f"The checkpoint {file} is damaged, or no checkpoint. Remove it to start anew."
        )
    try:
        state: dict[str, Any] = torch.load(
            io.BytesIO(payload), weights_only=True, map_location="cpu"
        )
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(
            f"The checkpoint {file} holds something else than the state of a fit; nothing of it "
            f"was run. Remove it to start anew."
        ) from error
    return state


def _plain_state(callback: Any) -> dict[str, Any]:
    """What a callback has learned, as far as it is numbers, texts and tensors."""
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
