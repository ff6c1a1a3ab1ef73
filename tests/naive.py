"""What a file says, read in the plainest way: what the package's readers are compared with.

None of these checks anything: they are asked about files that the package has accepted.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from spacy_toys import key

from sklearn_transfer.vectors.formats.spacy_files import NUMBERED

Rows = list[tuple[str, np.ndarray]]


def content_of(path: Path) -> bytes:
    """The bytes of a file, decompressed."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if content.startswith(b"BZh"):
        return bz2.decompress(content)
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (name,) = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
            return archive.read(name)
    return content


def _lines(content: bytes) -> list[bytes]:
    lines = [line.rstrip() for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _text(lines: list[bytes], dim: int) -> Rows:
    rows = []
    for line in lines:
        word, *values = line.rsplit(None, dim)
        if len(values) < dim:  # the word is empty
            assert line[:1].isspace()
            word, values = b"", [word, *values]
        assert len(values) == dim
        numbers = np.array([float(value) for value in values], dtype=np.float32)
        rows.append((word.decode(), numbers))
    return rows


def read_word2vec(path: Path, _: int) -> Rows:
    header, *lines = _lines(content_of(path))
    n_words, dim = map(int, header.split())
    assert len(lines) == n_words
    return _text(lines, dim)


def read_glove(path: Path, dim: int) -> Rows:
    return _text(_lines(content_of(path)), dim)


def read_binary(path: Path, _: int) -> Rows:
    header, _, content = content_of(path).partition(b"\n")
    n_words, dim = map(int, header.removeprefix(b"\xef\xbb\xbf").split())
    rows: Rows = []
    newline = 0
    position = 0
    for _ in range(n_words):
        end = content.index(b" ", position)
        word = content[position:end].decode()
        rows.append((word, np.frombuffer(content, "<f4", dim, end + 1)))
        position = end + 1 + 4 * dim
        if len(rows) == 1:
            newline = int(content[position : position + 1] == b"\n")
        position += newline
    assert position in (len(content), len(content) + 1)
    return rows


def read_fasttext(path: Path, _: int) -> Rows:
    content = path.read_bytes()
    head = struct.unpack_from("<2i12id3i2q", content)
    version, dim, model, bucket, min_n, max_n = head[1], head[2], *head[9:13]
    n_entries, n_words = head[15:17]
    words, position = [], struct.calcsize("<2i12id3i2q")
    for _ in range(n_entries):
        end = content.index(b"\0", position)
        words.append(content[position:end].decode(errors="backslashreplace"))
        position = end + 10
    matrix = np.frombuffer(content, "<f4", (n_words + bucket) * dim, position + 17)
    matrix = matrix.reshape(-1, dim)
    if version == 11 and model == 3:
        max_n = 0
    rows: Rows = []
    for i, word in enumerate(words[:n_words]):
        ngrams = _ngrams(f"<{word}>", max(min_n, 1), max_n) if bucket else []
        used = [n_words + _fnv1a(ngram) % bucket for ngram in ngrams]
        with np.errstate(all="ignore"):
            rows.append((word, matrix[[i, *used]].mean(axis=0, dtype=np.float64)))
    return rows


def _ngrams(word: str, min_n: int, max_n: int) -> list[str]:
    starts = range(len(word))
    found = [word[i : i + n] for n in range(min_n, min(max_n, len(word)) + 1) for i in starts]
    whole = []
    for k, ngram in enumerate(found):
        start = k % len(word)
        n = min_n + k // len(word)
        edge = start == 0 or start + n == len(word)
        if len(ngram) == n and not (n == 1 and edge):
            whole.append(ngram)
    return whole


def _fnv1a(ngram: str) -> int:
    value = 2166136261
    for byte in ngram.encode():
        value = ((value ^ (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF) * 16777619
        value &= 0xFFFFFFFF
    return value


def read_wheel(path: Path, _: int) -> Rows:
    import pyarrow.parquet

    (index,), (matrix,) = path.glob("*_index.parquet"), path.glob("*_emb.npy")
    words = pyarrow.parquet.read_table(index, use_threads=False).column(0).to_pylist()
    words = [word.decode() if isinstance(word, bytes) else word for word in words]
    return list(zip(words, np.load(matrix), strict=True))


def read_folder(path: Path, _: int) -> Rows:
    arrays = {file.stem: np.load(file) for file in path.glob("*.npy")}
    digests = json.loads((path / "vectors.json").read_text(encoding="utf-8"))["digests"]
    text, offsets = arrays["text"].tobytes(), arrays["offsets"].tolist()
    words = [text[start:stop].decode("utf-8", "surrogatepass") for start, stop in pairwise(offsets)]
    vectors = arrays["matrix"].astype(np.float32)
    if "rows" in digests:
        vectors = vectors[arrays["rows"]]
    if "scales" in digests:
        with np.errstate(all="ignore"):  # a mapped matrix may hold anything
            vectors = vectors * arrays["scales"][:, None]
    return list(zip(words, vectors, strict=True))


def read_static(path: Path, _: int) -> Rows:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    inner = path / "0_StaticEmbedding" if (path / "0_StaticEmbedding").exists() else path
    tensors = load_file(inner / "model.safetensors")
    vocabulary = Tokenizer.from_file(str(inner / "tokenizer.json")).get_vocab()
    matrix = tensors["embeddings" if "embeddings" in tensors else "embedding.weight"]
    rows: Rows = []
    for token, i in sorted(vocabulary.items(), key=lambda item: item[1]):
        vector = matrix[tensors["mapping"][i] if "mapping" in tensors else i].astype(np.float32)
        if "weights" in tensors:
            vector = vector * tensors["weights"][i].astype(np.float32)
        rows.append((token, vector))
    return rows


def read_parquet(path: Path, _: int) -> Rows:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path, use_threads=False)
    words = next(c for c in table.columns if not pyarrow.types.is_nested(c.type))
    vectors = next(c for c in table.columns if pyarrow.types.is_nested(c.type))
    numbers = [np.array(vector, dtype=np.float32) for vector in vectors.to_pylist()]
    return list(zip(words.to_pylist(), numbers, strict=True))


def read_spacy(path: Path, _: int) -> Rows:
    matrix, packed = np.load(path / "vectors"), (path / "key2row").read_bytes()
    at = {0xDE: 3, 0xDF: 5}.get(packed[0], 1)
    numbers = []
    while at < len(packed):
        width = 0 if packed[at] < 0x80 else 1 << (packed[at] - 0xCC)
        number = packed[at + 1 : at + 1 + width] or packed[at : at + 1]
        numbers.append(int.from_bytes(number, "big"))
        at += 1 + width
    row_of = dict(zip(numbers[::2], numbers[1::2], strict=True))
    strings = json.loads((path / "strings.json").read_bytes())
    numbered = {number: word for word, number in NUMBERED.items() if number in row_of}
    others = [word for word in reversed(strings) if word not in numbered.values()]
    word_of = {key(word): word for word in others} | numbered
    return [(word_of[k], matrix[row]) for k, row in row_of.items() if k in word_of]


READERS: dict[str, Callable[[Path, int], Rows]] = {
    "word2vec-text": read_word2vec,
    "word2vec-binary": read_binary,
    "glove": read_glove,
    "fasttext": read_fasttext,
    "kumo": read_wheel,
    "folder": read_folder,
    "static": read_static,
    "parquet": read_parquet,
    "spacy": read_spacy,
}


def read(path: Path, kind: str, dim: int) -> dict[str, np.ndarray] | None:
    """The first row of each word; None of a format that nothing here reads."""
    if kind not in READERS:
        return None
    rows: dict[str, np.ndarray] = {}
    for word, values in READERS[kind](path, dim):
        rows.setdefault(word, values)
    return rows
