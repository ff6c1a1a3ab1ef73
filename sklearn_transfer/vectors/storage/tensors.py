"""Tensors in ``.safetensors`` files: named arrays behind a heading in JSON, and never code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.validation import VectorFormatError, import_optional
from .files import check_readable

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # which NumPy lacks: the upper half of a float32
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
}
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies in a file.

    Attributes
    ----------
    path : Path
    name : str
    dtype : str
        As the format calls it: ``"F32"``, ``"BF16"``, ``"I8"``.
    shape : tuple of int
    start : int
        The first byte in the file.
    """

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    def load(self, *, mmap: bool = True) -> NDArray[Any]:
        """The array, in memory or mapped, and read-only where it is mapped.

        Parameters
        ----------
        mmap : bool, default=True
            Map it; bfloat16 becomes float32, and is read.

        Returns
        -------
        ndarray

        Raises
        ------
        VectorFormatError
            If it has no values, or a type that NumPy has no use for.
        """
        if self.dtype not in _DTYPES or 0 in self.shape:
            raise VectorFormatError(
                f"{self.path}: expected values of {', '.join(_DTYPES)} in the tensor "
                f"{self.name!r}, found {self.dtype} of shape {self.shape}."
            )
        # A plain array over the mapping: memmap carries a cost into every slice.
        mapped = np.asarray(
            np.memmap(self.path, _DTYPES[self.dtype], "r", offset=self.start, shape=self.shape)
        )
        if self.dtype == "BF16":
            bits = mapped.astype(np.uint32)
            bits <<= 16
            return bits.view(np.float32)
        return mapped if mmap and mapped.flags.aligned else mapped.copy()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What a file holds; nothing but its heading is read.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    VectorFormatError
        If it is damaged or cut off: the shapes must fill the file exactly.
    MissingDependencyError
        If the library ``safetensors``, of the extra ``static``, is not installed.
    """
    library = import_optional("safetensors", extra="static", purpose=f"Reading {path.name}")
    check_readable(path)
    if path.is_dir():
        raise VectorFormatError(f"{path}: expected a file of tensors, found a folder.")
    with path.open("rb") as file:
        start = file.read(len(_LFS))
        if start == _LFS:
            raise VectorFormatError(
                f"{path}: expected tensors, found a pointer of Git LFS to them. Fetch the file "
                f"itself: git lfs pull."
            )
        try:
            # The library checks that the tensors lie side by side up to the end of the file.
            with library.safe_open(path, framework="numpy") as opened:
                names = list(opened.keys())
        except library.SafetensorError as error:
            raise VectorFormatError(
                f"{path}: the file of tensors is damaged or cut off: {error}"
            ) from error
        first = 8 + int.from_bytes(start[:8], "little")
        file.seek(8)
        heading = json.loads(file.read(first - 8))
    found = {}
    for name in names:
        about = heading[name]
        shape, offsets = tuple(map(int, about["shape"])), about["data_offsets"]
        found[name] = Tensor(path, name, str(about["dtype"]), shape, first + int(offsets[0]))
    return found


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays.

    Parameters
    ----------
    path : Path
    arrays : mapping of str to ndarray

    Raises
    ------
    MissingDependencyError
        If the library ``safetensors``, of the extra ``static``, is not installed.
    """
    library = import_optional("safetensors.numpy", extra="static", purpose=f"Writing {path.name}")
    library.save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path)
