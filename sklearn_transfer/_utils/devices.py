"""Devices: the CPU or an accelerator, and errors for lack of memory."""

from __future__ import annotations

import importlib
from typing import Any


def resolve_device(device: str) -> str:
    """Return the torch device of a name, "auto" included; raise ValueError if it is unusable."""
    torch = importlib.import_module("torch")  # word vectors need no torch
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={device!r} cannot be used: {str(error).splitlines()[0]} "
            f"Use 'auto', 'cpu', or a device that torch can reach."
        ) from error
    return device


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
