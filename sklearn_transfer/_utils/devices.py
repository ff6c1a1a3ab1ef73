"""Where computing happens: the CPU or an accelerator, and what its memory cannot hold."""

from __future__ import annotations

import importlib
from typing import Any


def resolve_device(device: str) -> str:
    """The device of a name.

    Parameters
    ----------
    device : str
        "auto" is CUDA, else MPS, else the CPU.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the name is unknown, or the device is not there.
    """
    torch = importlib.import_module("torch")  # not where only words are embedded
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
    """The name of a device or, where it is not there, "cpu"."""
    try:
        return resolve_device(str(device))
    except ValueError:
        return "cpu"


def lacks_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, of any device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        sign in text for sign in ("out of memory", "not enough memory", "can't allocate memory")
    )
