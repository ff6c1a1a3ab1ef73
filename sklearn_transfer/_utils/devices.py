"""Devices: the CPU or an accelerator, and errors for lack of memory."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any


def resolve_device(device: str) -> str:
    """Return the torch device of a name, "auto" included; raise ValueError if it is unusable."""
    torch = importlib.import_module("torch")  # word vectors need no torch
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device).cpu()  # "meta" has no values
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"device={device!r} cannot be used: {_summarise(error)} Expected 'auto' or a device of "
            f"this machine: {', '.join(map(repr, _list_devices(torch)))}."
        ) from error
    return device


def _list_devices(torch: Any) -> list[str]:
    """The devices that can be used here."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def _summarise(error: BaseException) -> str:
    """The first sentence of an error of torch, which may list all backends and operators."""
    sentence = str(error).splitlines()[0].partition(". ")[0].rstrip(".")
    return sentence + "."


def device_or_cpu(device: Any) -> str:
    """Return the name of a device, or "cpu" if the device is not available."""
    try:
        return resolve_device(str(device))
    except ValueError:
        return "cpu"


def lacks_memory(error: BaseException) -> bool:
    """Return True for an out-of-memory error of any device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        sign in text for sign in ("out of memory", "not enough memory", "can't allocate memory")
    )


def _use_one_thread() -> None:
    """Compute with one thread in a forked process: the threads of OpenMP exist in its parent."""
    torch = sys.modules.get("torch")
    if hasattr(torch, "set_num_threads"):
        torch.set_num_threads(1)  # type: ignore[union-attr]


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_use_one_thread)
