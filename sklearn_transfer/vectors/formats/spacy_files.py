"""spaCy's vector tables: hashed words that share rows, read without spaCy.

A vocab folder holds ``vectors`` (a NumPy matrix), ``key2row`` (a MessagePack map from the 64-bit
keys of words to rows) and ``strings.json`` (all strings that a pipeline knows, as words or not).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.validation import VectorFormatError, levels_to_caller
from ..storage.files import open_member
from ..storage.mapping import map_array
from ..table.table import Matrix, Reading, Table
from ..table.vocabulary import Vocabulary, pack, ragged_arange

_MATRIX, _MAP, _STRINGS, _SETTINGS = "vectors", "key2row", "strings.json", "vectors.cfg"
_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

# spaCy numbers the names of its attributes, parts of speech, entities and dependencies. Where
# such a name is a word ("number", "mark", "DATE"), that is its key, and strings.json lacks it.
_ATTRIBUTES = (
    "ID ORTH LOWER NORM SHAPE PREFIX SUFFIX LENGTH CLUSTER LEMMA POS TAG DEP ENT_IOB ENT_TYPE HEAD "
    "SENT_START SPACY PROB LANG ADJ ADP ADV AUX CONJ CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT "
    "SCONJ SYM VERB X EOL SPACE"
)
_LABELS = (
    "PERSON NORP FACILITY ORG GPE LOC PRODUCT EVENT WORK_OF_ART LANGUAGE LAW DATE TIME PERCENT "
    "MONEY QUANTITY ORDINAL CARDINAL acomp advcl advmod agent amod appos attr aux auxpass cc ccomp "
    "complm conj cop csubj csubjpass dep det dobj expl hmod hyph infmod intj iobj mark meta neg "
    "nmod nn npadvmod nsubj nsubjpass num number oprd obj obl parataxis partmod pcomp pobj poss "
    "possessive preconj prep prt punct quantmod relcl rcmod root xcomp acl ENT_KB_ID MORPH ENT_ID "
    "IDX _"
)
_NUMBERED = dict(zip(_ATTRIBUTES.split(), count(64), strict=False)) | dict(
    zip(_LABELS.split(), count(380), strict=False)
)

# MessagePack: a first byte below 0x80 is the number itself, these announce numbers of 1 to 8 bytes.
_NUMBERS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_WIDTHS = bytes(1 if byte < 0x80 else 1 + _NUMBERS.get(byte, -1) for byte in range(256))
_MAPS = {0xDE: 2, 0xDF: 4}  # bytes of the number of entries of a larger map

_FACTOR, _SHIFT, _SEED = 0xC6A4A7935BD1E995, 47, 1  # of MurmurHash64A, and spaCy's seed


def files(path: Path) -> list[Path]:
    """The files of a table in a folder; empty unless there is one.

    Parameters
    ----------
    path : Path
        A vocab folder, the folder of a pipeline, or a package that holds one pipeline.

    Returns
    -------
    list of Path
        The matrix, then those that are there of the map, the strings and the settings.
    """
    candidates = [path, path / "vocab"]
    found = next((folder for folder in candidates if _is_vocab(folder)), None)
    if found is None:
        inner = [file.parent for file in sorted(path.glob(f"*/vocab/{_MATRIX}"))]
        inner = [folder for folder in inner if _is_vocab(folder)]
        if len(inner) != 1:
            return []
        found = inner[0]
    names = (_MATRIX, _MAP, _STRINGS, _SETTINGS)
    return [found / name for name in names if (found / name).is_file()]


def _is_vocab(folder: Path) -> bool:
    return (folder / _MATRIX).is_file() and any(
        (folder / name).is_file() for name in (_MAP, _SETTINGS)
    )


def read(path: Path, options: Reading) -> Table:
    """Read a table of spaCy 2 or 3.

    Parameters
    ----------
    path : Path
        See :func:`files`.
    options : Reading
        With ``mmap=True`` the matrix is mapped.

    Returns
    -------
    Table
        The strings whose key is in the map, in the order of the map, which is that of frequency
        where a table was pruned; words may share rows.

    Raises
    ------
    VectorFormatError
        If a file is missing or damaged, a row is not in the matrix, there are no vectors (the
        pipelines called ``sm``), or these are of floret mode.

    Warns
    -----
    UserWarning
        If keys belong to no string; says how many.
    """
    folder = files(path)[0].parent
    _check_mode(folder / _SETTINGS)
    keys, rows = _read_map(folder / _MAP)
    matrix = _read_matrix(folder / _MATRIX, mapped=options.mmap)
    if rows.max() >= len(matrix):
        raise VectorFormatError(
            f"{folder / _MAP}: expected rows from 0 to {len(matrix) - 1} as in {_MATRIX}, found "
            f"{rows.max()}."
        )
    words, entry = _match(folder, keys)
    row = rows[entry].astype(np.int32)
    plain = len(row) == len(matrix) and bool((row == np.arange(len(row))).all())
    table = Table.from_rows(words, matrix, folder, rows=None if plain else row)
    return table.head(options.limit)


def _check_mode(file: Path) -> None:
    """Refuse all but tables of words; spaCy 2 wrote no settings and had no other."""
    if not file.is_file():
        return
    settings = _read_json(file)
    mode = settings.get("mode", "default") if isinstance(settings, dict) else settings
    if mode == "floret":
        raise VectorFormatError(
            f"{file}: the vectors are of floret mode: rows of hashed n-grams and no words, which "
            f"this package does not read. Choose a pipeline whose vectors are of default mode, or "
            f"train with fastText and give its .bin file."
        )
    if mode != "default":
        raise VectorFormatError(f"{file}: expected the mode 'default', found {mode!r:.60}.")


def _read_json(file: Path) -> Any:
    try:
        with open_member(file) as content:
            return json.loads(content.read())
    except (*_MISSING, ValueError, RecursionError) as error:
        raise VectorFormatError(f"{file}: expected JSON, found: {error}") from error


def _read_matrix(file: Path, *, mapped: bool) -> Matrix:
    matrix = map_array(file)
    if matrix.dtype.kind != "f" or matrix.ndim != 2 or 0 in matrix.shape:
        raise VectorFormatError(
            f"{file}: expected a matrix of floats, found {matrix.dtype} of shape {matrix.shape}."
        )
    dtype = matrix.dtype.newbyteorder("=")
    if dtype not in (np.float32, np.float16):
        dtype = np.dtype(np.float32)
    with np.errstate(over="ignore"):  # from_rows finds what is not finite
        return np.array(matrix, dtype, order="C", copy=None if mapped else True)


def _read_map(file: Path) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The keys, all different, and their rows, each shape (n_keys,): a MessagePack map."""
    with open_member(file) as content:
        packed = content.read()
    first = packed[0] if packed else 0
    start = 1 + _MAPS.get(first, 0)
    if not (0x80 <= first < 0x90 or first in _MAPS) or start > len(packed):
        raise VectorFormatError(f"{file}: expected a MessagePack map, found {packed[:8]!r}.")
    n_entries = first & 0x0F if start == 1 else int.from_bytes(packed[1:start], "big")
    if n_entries == 0:
        raise VectorFormatError(
            f"{file}: the table is empty, as in spaCy's small pipelines (..._sm). Choose one with "
            f"vectors (..._md, ..._lg)."
        )
    if 2 * n_entries > len(packed) - start:
        raise VectorFormatError(
            f"{file}: the head announces {n_entries} entries, which does not fit a file of "
            f"{len(packed)} bytes."
        )
    starts = np.fromiter(_steps(file, packed, start, 2 * n_entries), np.int64, 2 * n_entries)
    end = int(starts[-1]) + _WIDTHS[packed[starts[-1]]]
    if end != len(packed):
        raise VectorFormatError(
            f"{file}, byte {end}: expected the end after {n_entries} entries, found "
            f"{len(packed) - end} more bytes."
        )
    values = _numbers(np.frombuffer(packed, dtype=np.uint8), starts)
    keys, rows = values[::2], values[1::2]
    ordered = np.sort(keys)
    repeated = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(repeated):
        raise VectorFormatError(f"{file}: the key {ordered[repeated[0]]} occurs twice.")
    return keys, rows


def _steps(file: Path, packed: bytes, at: int, n_numbers: int) -> Iterator[int]:
    """Where each of the numbers begins that follow each other."""
    size, widths = len(packed), _WIDTHS
    for i in range(n_numbers):
        width = widths[packed[at]] if at < size else 0
        if not width or at + width > size:
            raise VectorFormatError(
                f"{file}, byte {at}: expected an unsigned number in MessagePack, number {i + 1} of "
                f"{n_numbers}, found {packed[at : at + 9]!r}."
            )
        yield at
        at += width


def _numbers(packed: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The unsigned numbers that begin at some places, all of one width at a time."""
    kinds = packed[starts]
    values = kinds.astype(np.uint64)
    for kind, width in _NUMBERS.items():
        here = np.flatnonzero(kinds == kind)
        content = packed[starts[here, None] + np.arange(1, width + 1)]
        values[here] = content.view(f">u{width}")[:, 0]
    return values


def _match(folder: Path, keys: NDArray[np.uint64]) -> tuple[Vocabulary, NDArray[np.int64]]:
    """The words in the order of their keys in the map, and the place of each there."""
    strings = _read_json(folder / _STRINGS)
    if not isinstance(strings, list) or not set(map(type, strings)) <= {str}:
        raise VectorFormatError(f"{folder / _STRINGS}: expected a list of strings.")
    small = set(keys[keys < 512].tolist())
    numbered = {word: number for word, number in _NUMBERED.items() if number in small}
    text, offsets = pack([*numbered, *strings])
    hashes = murmur_hashes(text, offsets)
    # A numbered word has no other key, wherever it is listed.
    other = np.isin(hashes[len(numbered) :], hashes[: len(numbered)])
    hashes[: len(numbered)] = list(numbered.values())
    order = np.argsort(keys)
    slot = np.minimum(np.searchsorted(keys[order], hashes), len(keys) - 1)
    matches = keys[order[slot]] == hashes
    matches[len(numbered) :] &= ~other
    known = np.flatnonzero(matches)
    entry = order[slot[known]]
    words = Vocabulary.from_arrays(text, offsets).take(known)
    uses = np.bincount(entry, minlength=len(keys))
    if uses.max() > 1:  # that a string is listed twice means nothing
        words, kept = Vocabulary.distinct(words)
        entry = entry[kept]
    n_strange = np.count_nonzero(uses == 0)
    if n_strange == len(keys):
        raise VectorFormatError(
            f"{folder / _STRINGS}: expected the words whose keys are in {_MAP}, found none of "
            f"{len(keys)}; the files do not belong together."
        )
    if n_strange:
        warnings.warn(
            f"{folder / _MAP}: {n_strange} of {len(keys)} keys are without a string in {_STRINGS}; "
            f"their vectors are left out.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )
    in_order = np.argsort(entry, kind="stable")
    return words.take(in_order), entry[in_order]


def murmur_hashes(text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """MurmurHash64A (Appleby 2008) of packed words, by which spaCy keeps strings.

    Parameters
    ----------
    text : ndarray of uint8, shape (n_bytes,)
    offsets : ndarray of int64, shape (n_words + 1,)
        Words as :func:`pack` gives them.

    Returns
    -------
    ndarray of uint64, shape (n_words,)
    """
    factor, shift = np.uint64(_FACTOR), np.uint64(_SHIFT)
    lengths = np.diff(offsets)
    by_length = np.argsort(lengths, kind="stable")
    hashes = np.empty(len(lengths), dtype=np.uint64)
    # Words of one length take the same steps, a block of eight bytes at a time.
    for members in np.split(by_length, np.flatnonzero(np.diff(lengths[by_length])) + 1):
        if not len(members):
            continue
        length = int(lengths[members[0]])
        padded = np.zeros((len(members), -(-length // 8) * 8), dtype=np.uint8)
        bytes_ = text[ragged_arange(offsets[members], lengths[members])]
        padded[:, :length] = bytes_.reshape(len(members), length)
        blocks = padded.view("<u8").astype(np.uint64).T
        h = np.full(len(members), _SEED ^ (length * _FACTOR % 2**64), dtype=np.uint64)
        for block in blocks[: length // 8]:
            k = block * factor
            h = (h ^ ((k ^ (k >> shift)) * factor)) * factor
        for tail in blocks[length // 8 :]:
            h = (h ^ tail) * factor
        h = (h ^ (h >> shift)) * factor
        hashes[members] = h ^ (h >> shift)
    return hashes
