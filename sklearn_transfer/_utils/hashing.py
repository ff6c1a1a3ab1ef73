"""The one hash of content: BLAKE2b with 128 bits.

Measured on one core: BLAKE2b 1.03 GB/s, SHA-256 with the processor's instructions 1.16 GB/s and
without them a third of that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Content = str | bytes | memoryview | NDArray[Any]


def hash_content(*parts: Content) -> str:
    """Hash strings, bytes and the values of arrays in C order to 32 hexadecimal digits.

    Parameters
    ----------
    *parts : str, bytes, memoryview or ndarray
        Boundaries between parts count; the hash of a single part is its BLAKE2b.

    Returns
    -------
    str

    Examples
    --------
    >>> hash_content("ab", "c") == hash_content("a", "bc")
    False
    """
    return hash_stream(parts)


def hash_stream(parts: Iterable[Content]) -> str:
    """Hash parts that are made one at a time. See :func:`hash_content`."""
    digest = hashlib.blake2b(digest_size=16)
    for i, part in enumerate(parts):
        if isinstance(part, str):
            part = part.encode(errors="surrogatepass")
        elif isinstance(part, np.ndarray):
            part = np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
        if i:
            digest.update(b"\0%d " % len(part))
        digest.update(part)
    return digest.hexdigest()
