"""Tensors in ``.safetensors`` files: named arrays behind a JSON header, and never code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from ..._utils.errors import VectorFormatError
from .files import open_regular

_DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1"},
    **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1"},
    "BOOL": "|b1",
}
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file, as bytes, with the format's name of its type, such as ``"F32"``."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    content: bytearray

    def to_numpy(self, *, allow_empty: bool = False) -> NDArray[Any]:
        """Return the array, on the same memory; bfloat16 is converted to float32."""
        if allow_empty and self.dtype in _DTYPES and 0 in self.shape:
            return np.zeros(self.shape, _DTYPES[self.dtype])
        if self.dtype not in _DTYPES or 0 in self.shape:
            raise VectorFormatError(
                f"{self.path}: expected values of {', '.join(_DTYPES)} in the tensor "
                f"{self.name!r}, found {self.dtype} of shape {self.shape}."
            )
        array = np.frombuffer(self.content, _DTYPES[self.dtype]).reshape(self.shape)
        if self.dtype == "BF16":  # the upper half of a float32
            return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return array


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by name; raise `VectorFormatError` if it is damaged or cut off."""
    with open_regular(path) as file:
        content = file.read()
    if content.startswith(_LFS):
        raise VectorFormatError(
            f"{path}: expected tensors, found a pointer of Git LFS to them. Fetch the file itself: "
            f"git lfs pull."
        )
    try:
        tensors = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise VectorFormatError(
            f"{path}: the file of tensors is damaged or cut off: {error}"
        ) from error
    return {
        name: Tensor(path, name, tensor["dtype"], tuple(tensor["shape"]), tensor["data"])
        for name, tensor in tensors
    }


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays."""
    # A number, an array without axes, would get one.
    contiguous = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    safetensors.numpy.save_file(contiguous, path)
