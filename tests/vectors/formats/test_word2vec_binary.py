from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import KeyedVectors

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats, word2vec_binary
from sklearn_transfer.vectors.table.table import Reading, Table
from sklearn_transfer.vectors.table.vocabulary import Vocabulary

FILES = ["word2vec.bin", "word2vec_gensim.bin"]  # with and without a newline after each row


def read(path: Path, content: bytes, **options: Any) -> Table:
    path.write_bytes(content)
    return word2vec_binary.read(path, Reading(**options))


@pytest.mark.parametrize("file", FILES)
def test_equals_what_gensim_reads(data: Path, file: str) -> None:
    theirs = KeyedVectors.load_word2vec_format(str(data / file), binary=True)
    ours = formats.read(data / file)
    assert list(ours.words) == theirs.index_to_key
    np.testing.assert_array_equal(ours.matrix, theirs.vectors)


@pytest.mark.parametrize("newline", [b"\n", b""])
def test_a_file_of_many_blocks_is_read(tmp_path: Path, newline: bytes) -> None:
    matrix = np.random.default_rng(0).random((40_000, 5), dtype=np.float32)
    words = [f"w{i}" for i in range(len(matrix))]
    rows = [
        b"%b %b%b" % (word.encode(), row.tobytes(), newline)
        for word, row in zip(words, matrix, strict=True)
    ]
    for limit in (None, 12_000, 20_001, 33_333):
        table = read(tmp_path / "t", b"40000 5\n" + b"".join(rows), limit=limit)
        assert list(table.words) == words[:limit]
        np.testing.assert_array_equal(table.matrix, matrix[:limit])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_was_written_is_read_to_the_bit(
    tmp_path: Path, tiny: Table, suffix: str, dtype: type
) -> None:
    table = Table(tiny.words, tiny.matrix.astype(dtype))
    formats.write(table, tmp_path / f"t{suffix}", "word2vec-binary")
    found = formats.read(tmp_path / f"t{suffix}")
    assert list(found.words) == list(tiny.words)
    np.testing.assert_array_equal(found.matrix, table.matrix.astype(np.float32))


def test_gensim_reads_what_was_written(tmp_path: Path, tiny: Table) -> None:
    formats.write(tiny, tmp_path / "t", "word2vec-binary")
    theirs = KeyedVectors.load_word2vec_format(str(tmp_path / "t"), binary=True)
    assert theirs.index_to_key == list(tiny.words)
    np.testing.assert_array_equal(theirs.vectors, tiny.matrix)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("limit", [1, 5, 12, 99])
def test_limit_takes_the_first_words(data: Path, tiny: Table, file: str, limit: int) -> None:
    table = formats.read(data / file, limit=limit)
    assert list(table.words) == list(tiny.words)[:limit]
    np.testing.assert_array_equal(table.matrix, tiny.matrix[:limit])


@pytest.mark.parametrize("file", FILES)
def test_cut_off_at_any_byte_is_an_error(tmp_path: Path, data: Path, file: str) -> None:
    content = (data / file).read_bytes()
    # The newline after the last row is not missed.
    for size in range(len(content) - (file == "word2vec.bin")):
        with pytest.raises(VectorFormatError, match=r"expected|does not fit"):
            read(tmp_path / "t", content[:size])


def test_a_row_that_is_cut_off_is_named(tmp_path: Path, data: Path) -> None:
    content = (data / "word2vec.bin").read_bytes().replace(b"12 4\n", b"10 4\n")
    with pytest.raises(VectorFormatError, match="row 9 of 10: expected a word, a space and 16 b"):
        read(tmp_path / "t", content[: content.index("猫".encode()) + 15] + b"\n" * 3)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"11 4", "the header announces 11 words, the file holds more"),
        (b"13 4", "row 13 of 13: expected a word"),
        (b"12 3", "row 2: expected a newline after the values|expected a word in UTF-8"),
        (b"0 4", "announces 0 words of 4 dimensions, which does not fit a file"),
        (b"1000000000000 4", "announces 1000000000000 words of 4 dimensions, which does not fit"),
        (b"12", "line 1: expected 'n_words dim'"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_header_that_lies_is_found_out(
    tmp_path: Path, data: Path, header: bytes, message: str, compress
) -> None:
    content = (data / "word2vec.bin").read_bytes().replace(b"12 4", header)
    with pytest.raises(VectorFormatError, match=message):
        read(tmp_path / "t", compress(content))


@pytest.mark.parametrize("word", [b"m\xfft", b"m\0t", b"m\nt"])
def test_a_word_that_is_no_word_is_named_by_row(tmp_path: Path, data: Path, word: bytes) -> None:
    content = (data / "word2vec.bin").read_bytes().replace(b"mat", word)
    with pytest.raises(VectorFormatError, match="row 5: expected a word in UTF-8, found b'm"):
        read(tmp_path / "t", content)


def test_a_long_word_is_named_by_its_beginning(tmp_path: Path, data: Path) -> None:
    content = (data / "word2vec.bin").read_bytes().replace(b"mat", b"\0" + b"m" * 100)
    with pytest.raises(VectorFormatError, match=r"row 5: .* found b'\\x00m{59}'\."):
        read(tmp_path / "t", content)


def test_words_of_another_encoding(tmp_path: Path, data: Path) -> None:
    content = (data / "word2vec.bin").read_bytes().replace(b"mat", b"m\xe4t")
    assert read(tmp_path / "t", content, encoding="Latin-1").words[4] == "mät"
    assert read(tmp_path / "u", content, errors="ignore").words[4] == "mt"
    with pytest.raises(VectorFormatError, match=r"row 5: .*found b'm\\xe4t'.*errors='replace'"):
        read(tmp_path / "t", content)


def test_a_missing_newline_between_rows_is_an_error(tmp_path: Path, data: Path) -> None:
    content = (data / "word2vec.bin").read_bytes().replace(b"\nsat", b"sat")
    with pytest.raises(VectorFormatError, match="row 2: expected a newline after the values"):
        read(tmp_path / "t", content)


def test_values_that_are_not_finite_are_an_error(tmp_path: Path, tiny: Table) -> None:
    matrix = tiny.matrix.copy()
    matrix[3, 1] = np.nan
    formats.write(Table(tiny.words, matrix), tmp_path / "t", "word2vec-binary")
    with pytest.raises(VectorFormatError, match=r"row 3 .* holds NaN or infinity"):
        word2vec_binary.read(tmp_path / "t", Reading())


def test_a_file_without_any_space_is_given_up_early(tmp_path: Path) -> None:
    with pytest.raises(VectorFormatError, match=r"row 1 of 10: .* found 1[0-9]{6} bytes\."):
        read(tmp_path / "t", b"10 4\n" + b"x" * (4 << 20))


@pytest.mark.parametrize("word", ["New York", "a\nb", "a\0b", "\ud800"])
def test_a_word_that_does_not_fit_is_named_before_anything_is_written(
    tmp_path: Path, word: str
) -> None:
    table = Table(Vocabulary(["fine", word]), np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="binary format cannot hold the word") as caught:
        formats.write(table, tmp_path / "t", "word2vec-binary")
    assert repr(word) in str(caught.value)
    assert list(tmp_path.iterdir()) == []
