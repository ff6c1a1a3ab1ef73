"""Vector tables of spaCy: hashed words that share rows, read without spaCy.

A vocab folder holds ``vectors`` (a NumPy matrix), ``key2row`` (a MessagePack map from the 64-bit
keys of words to rows) and ``strings.json`` (all strings of a pipeline, words and others). The words
of the table are the strings whose key is in the map, in the order of the map, which is the order of
frequency if the table was pruned.
"""

from __future__ import annotations

import warnings
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..._utils.errors import VectorFormatError, levels_to_caller
from ..._utils.optional import import_optional
from ..storage.files import map_array, open_regular, read_json
from ..table.table import Reading, Table, as_float_matrix, check_rows
from ..table.vocabulary import Vocabulary, pack, ragged_arange

_MATRIX, _MAP, _STRINGS, _SETTINGS = "vectors", "key2row", "strings.json", "vectors.cfg"

# spaCy numbers the names of its attributes, parts of speech, entities and dependencies. If such a
# name is a word ("number", "mark", "DATE"), the number is its key, and strings.json lacks it.
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
NUMBERED = dict(zip(_ATTRIBUTES.split(), count(64), strict=False)) | dict(
    zip(_LABELS.split(), count(380), strict=False)
)

_FACTOR, _SHIFT, _SEED = 0xC6A4A7935BD1E995, 47, 1  # of MurmurHash64A, and spaCy's seed


def list_files(path: Path) -> list[Path]:
    """Return the files of a table in a vocab folder, pipeline or package of one; empty if none."""
    candidates = [path, path / "vocab"]
    vocab = next((folder for folder in candidates if _is_vocab(folder)), None)
    if vocab is None:
        inner = [file.parent for file in sorted(path.glob(f"*/vocab/{_MATRIX}"))]
        inner = [folder for folder in inner if _is_vocab(folder)]
        if len(inner) != 1:
            return []
        vocab = inner[0]
    names = (_MATRIX, _MAP, _STRINGS, _SETTINGS)
    return [vocab / name for name in names if (vocab / name).is_file()]


def _is_vocab(folder: Path) -> bool:
    return (folder / _MATRIX).is_file() and any(
        (folder / name).is_file() for name in (_MAP, _SETTINGS)
    )


def read(path: Path, options: Reading) -> Table:
    """Read a table of spaCy 2 or 3; words may share rows."""
    folder = list_files(path)[0].parent
    _check_mode(folder / _SETTINGS)
    keys, rows = _read_map(folder / _MAP)
    mapped = map_array(folder / _MATRIX)
    matrix = as_float_matrix(mapped if options.mmap else mapped.copy(), folder / _MATRIX)
    check_rows(rows, len(matrix), folder / _MAP)
    words, entry = _match(folder, keys)
    row = rows[entry].astype(np.int32)
    is_plain = len(row) == len(matrix) and bool((row == np.arange(len(row))).all())
    table = Table.from_rows(words, matrix, folder, rows=None if is_plain else row)
    return table.head(options.limit)


def _check_mode(file: Path) -> None:
    """Raise an error for tables without words; spaCy 2 wrote no settings and had none."""
    if not file.is_file():
        return
    settings = read_json(file)
    mode = settings.get("mode", "default") if isinstance(settings, dict) else settings
    if mode == "floret":
        raise VectorFormatError(
            f"{file}: the vectors are of floret mode: rows of hashed n-grams and no words, which "
            f"this package does not read. Choose a pipeline with vectors of default mode, or a "
            f"fastText .bin file."
        )
    if mode != "default":
        raise VectorFormatError(f"{file}: expected the mode 'default', found {mode!r:.60}.")


def _read_map(file: Path) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Read a MessagePack map: the keys, all different, and their rows, each shape (n_keys,)."""
    library = import_optional("msgpack", extra="spacy", purpose=f"Reading {file}")
    with open_regular(file) as content:
        packed = content.read()
    try:
        pairs = library.unpackb(packed, strict_map_key=False, object_pairs_hook=tuple)
        numbers = [number for pair in pairs for number in pair]
        if not isinstance(pairs, tuple) or not set(map(type, numbers)) <= {int}:
            raise TypeError("another type")
        values = np.array(numbers, dtype=np.uint64)
    except (ValueError, TypeError, OverflowError) as error:
        raise VectorFormatError(
            f"{file}: expected a MessagePack map of unsigned numbers, found: {error}"
        ) from error
    if not pairs:
        raise VectorFormatError(
            f"{file}: the table is empty, as in spaCy's small pipelines (..._sm). Choose one with "
            f"vectors (..._md, ..._lg)."
        )
    keys, rows = values[::2], values[1::2]
    ordered = np.sort(keys)
    repeated = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(repeated):
        raise VectorFormatError(f"{file}: the key {ordered[repeated[0]]} occurs twice.")
    return keys, rows


def _match(folder: Path, keys: NDArray[np.uint64]) -> tuple[Vocabulary, NDArray[np.int64]]:
    """Return the words in the order of their keys in the map, and the place of each in it."""
    strings = read_json(folder / _STRINGS, max_bytes=None)
    if not isinstance(strings, list) or not set(map(type, strings)) <= {str}:
        raise VectorFormatError(f"{folder / _STRINGS}: expected a list of strings.")
    small = set(keys[keys < 512].tolist())
    numbered = {word: number for word, number in NUMBERED.items() if number in small}
    text, offsets = pack([*numbered, *strings])
    hashes = murmur_hashes(text, offsets)
    # A numbered word has no other key, even if it is listed.
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
    if uses.max() > 1:  # a string may be listed twice
        words, kept = Vocabulary.distinct(words)
        entry = entry[kept]
    n_missing = np.count_nonzero(uses == 0)
    if n_missing == len(keys):
        raise VectorFormatError(
            f"{folder / _STRINGS}: expected the words whose keys are in {_MAP}, found none of "
            f"{len(keys)}; the files do not belong together."
        )
    if n_missing:
        warnings.warn(
            f"{folder / _MAP}: {n_missing} of {len(keys)} keys are without a string in {_STRINGS}; "
            f"their vectors are not read.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )
    in_order = np.argsort(entry, kind="stable")
    return words.take(in_order), entry[in_order]


def murmur_hashes(text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Compute MurmurHash64A (Appleby 2008) of packed words: spaCy's keys, shape (n_words,)."""
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
