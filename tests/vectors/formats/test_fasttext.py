from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gensim.models.fasttext import load_facebook_vectors
from gensim.test.utils import datapath

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import fasttext, formats
from sklearn_transfer.vectors.table.table import Reading

# Real files of fastText and of gensim, version 11, 12 and the first (the last two), within gensim.
REAL = ["crime-and-punishment.bin", "lee_fasttext_new.bin", "toy-model.bin"]
REAL += ["non_ascii_fasttext.bin", "lee_fasttext.bin"]
UNKNOWN = ["steamtrain", "naïvely", "", "猫猫", "x猫"]

# Where the head holds what (bytes).
VERSION, DIM, BUCKET, MIN_N, N_WORDS, N_PRUNED = 4, 8, 40, 44, 68, 84


def write_model(
    path: Path, words: list[bytes], labels: list[bytes], matrix: np.ndarray, *, bucket: int = 0
) -> Path:
    """A supervised model, or one that gensim would not write, after fastText's sources."""
    dim = matrix.shape[1]
    model = 3 if labels else 2
    head = struct.pack("<2i12id", 793712314, 12, dim, 5, 5, 1, 5, 1, 1, model, bucket, 3, 6, 100, 0)
    counts = struct.pack("<3i2q", len(words) + len(labels), len(words), len(labels), 100, -1)
    entries = [word + struct.pack("<xqb", 1, 0) for word in words]
    entries += [label + struct.pack("<xqb", 1, 1) for label in labels]
    rows = struct.pack("<?2q", False, *matrix.shape) + matrix.astype("<f4").tobytes()
    output = struct.pack("<?2q", False, 1, dim) + bytes(4 * dim)
    path.write_bytes(head + counts + b"".join(entries) + rows + output)
    return path


def change(source: Path, path: Path, position: int, format: str, value: float) -> Path:
    content = bytearray(source.read_bytes())
    struct.pack_into(format, content, position, value)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("file", [*REAL, None])
def test_words_and_unknown_words_equal_those_of_gensim(
    data: Path, file: str | None, mmap: bool
) -> None:
    path = Path(datapath(file)) if file else data / "fasttext.bin"
    theirs = load_facebook_vectors(str(path))
    ours = formats.read(path, mmap=mmap)
    assert list(ours.words) == theirs.index_to_key
    np.testing.assert_allclose(ours.matrix, theirs.vectors, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        ours.subwords.vectors(UNKNOWN), [theirs[word] for word in UNKNOWN], rtol=1e-5, atol=1e-6
    )


def test_words_of_many_ngrams_leave_the_others_as_they_are(data: Path, tmp_path: Path) -> None:
    content = (data / "fasttext.bin").read_bytes()
    for word in (b"Paris\0", b"don't\0"):
        content = content.replace(word, word[:1] * 40_000 + b"\0")
    (tmp_path / "m").write_bytes(content)
    before, after = formats.read(data / "fasttext.bin"), formats.read(tmp_path / "m")
    others = np.array([len(word) < 40_000 for word in after.words])
    assert np.count_nonzero(~others) == 2
    np.testing.assert_array_equal(after.matrix[others], before.matrix[others])


def test_limit_takes_the_first_words_and_keeps_the_ngrams(data: Path) -> None:
    whole, head = formats.read(data / "fasttext.bin"), formats.read(data / "fasttext.bin", limit=3)
    assert list(head.words) == list(whole.words)[:3]
    np.testing.assert_array_equal(head.matrix, whole.matrix[:3])
    np.testing.assert_array_equal(head.subwords.matrix, whole.subwords.matrix)


def test_a_supervised_model_gives_its_words_without_the_labels(tmp_path: Path) -> None:
    matrix = np.arange(6).reshape(2, 3)
    path = write_model(tmp_path / "m", [b"cat", b"</s>"], [b"__label__a"], matrix)
    table = formats.read(path)
    assert list(table.words) == ["cat", "</s>"]
    assert table.subwords is None
    np.testing.assert_array_equal(table.matrix, matrix)


def test_words_cut_between_bytes_are_written_as_gensim_writes_them(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", ["猫".encode()[:2], b"a"], [], np.ones((2, 3)))
    assert list(formats.read(path).words) == [r"\xe7\x8c", "a"]


def test_cut_off_at_any_byte_is_an_error(tmp_path: Path, data: Path) -> None:
    content = (data / "fasttext.bin").read_bytes()
    for size in range(4, len(content)):
        (tmp_path / "m").write_bytes(content[:size])
        with pytest.raises(VectorFormatError, match=r"cut off|does not fit|expected a matrix"):
            fasttext.read(tmp_path / "m", Reading())


@pytest.mark.parametrize(
    ("position", "format", "value", "message"),
    [
        (VERSION, "<i", 13, "expected version 11 or 12 of fastText's format, found 13"),
        (DIM, "<i", 5, "expected a matrix of 5 columns"),
        (DIM, "<i", -1, "announces 12 words of -1 dimensions"),
        (DIM, "<i", 0, "announces 12 words of 0 dimensions"),
        (BUCKET, "<i", 17, "expected 12 words and 17 buckets, found 28 rows"),
        (BUCKET, "<i", -1, "and -1 buckets, which does not fit"),
        (MIN_N, "<i", 7, "found n-grams of 7 to 4 characters"),
        (N_WORDS, "<i", 11, "expected 11 words and then the labels, found type 0 for entry 12"),
        (N_WORDS, "<i", 2**31 - 1, "announces 2147483647 words"),
        (N_PRUNED, "<q", 5, "the model is quantised"),
    ],
)
def test_a_head_that_lies_is_found_out(
    tmp_path: Path, data: Path, position: int, format: str, value: int, message: str
) -> None:
    path = change(data / "fasttext.bin", tmp_path / "m", position, format, value)
    with pytest.raises(VectorFormatError, match=message):
        formats.read(path)


def test_a_quantised_model_is_refused_with_advice(tmp_path: Path, data: Path) -> None:
    content = (data / "fasttext.bin").read_bytes()
    flag = content.rindex(struct.pack("<2q", 28, 4)) - 1
    path = change(data / "fasttext.bin", tmp_path / "m", flag, "<?", True)
    with pytest.raises(VectorFormatError, match=r"quantised \(.ftz\).* Use the .bin file"):
        formats.read(path)


def test_values_that_are_not_finite_are_an_error(tmp_path: Path, data: Path) -> None:
    content = (data / "fasttext.bin").read_bytes()
    first = content.rindex(struct.pack("<2q", 28, 4)) + 16
    path = change(data / "fasttext.bin", tmp_path / "m", first, "<f", float("nan"))
    with pytest.raises(VectorFormatError, match=r"row 0 .* holds NaN or infinity"):
        formats.read(path)


def test_rows_are_those_of_the_file_that_the_words_were_read_from(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    path.write_bytes((data / "fasttext.bin").read_bytes())
    expected, memmap = formats.read(path), np.memmap

    def replace_and_map(*arguments: object) -> object:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[:-400] + bytes(400))
        return memmap(*arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(np, "memmap", replace_and_map)
    found = formats.read(path)
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    np.testing.assert_array_equal(found.subwords.matrix, expected.subwords.matrix)


@pytest.mark.parametrize("rows", [10**12, 2**62, 2**63 - 1, -1])
def test_a_matrix_of_more_rows_than_the_file_has_is_refused(
    tmp_path: Path, data: Path, rows: int
) -> None:
    content = (data / "fasttext.bin").read_bytes()
    place = content.rindex(struct.pack("<2q", 28, 4))
    path = change(data / "fasttext.bin", tmp_path / "m", place, "<q", rows)
    with pytest.raises(VectorFormatError, match=f"that are left, found {rows} x 4"):
        formats.read(path)


def test_what_follows_the_model_is_found_out(tmp_path: Path, data: Path) -> None:
    text = (data / "glove.txt").read_bytes()
    (tmp_path / "m").write_bytes((data / "fasttext.bin").read_bytes() + text)
    with pytest.raises(VectorFormatError, match=rf"byte 930: .* found {len(text)} bytes more"):
        formats.read(tmp_path / "m")


def test_a_word_of_too_many_ngrams_is_refused_before_they_are_made(
    tmp_path: Path, data: Path
) -> None:
    content = (data / "fasttext.bin").read_bytes().replace(b"Paris\0", b"P" * 5000 + b"\0")
    (tmp_path / "a").write_bytes(content)
    assert "P" * 5000 in formats.read(tmp_path / "a").words
    path = change(tmp_path / "a", tmp_path / "b", MIN_N + 4, "<i", 5000)
    with pytest.raises(
        VectorFormatError, match=rf"word 6 has 5000 .* thus {5002 * 4998} n-grams of 3"
    ):
        formats.read(path)


def test_the_first_version_may_have_no_ngrams_and_has_words(tmp_path: Path) -> None:
    path, bucket, n_entries = Path(datapath("non_ascii_fasttext.bin")), 32, 56
    change(path, tmp_path / "t", bucket, "<i", 0)
    assert formats.detect_format(tmp_path / "t") == "fasttext"
    (n_words,) = struct.unpack_from("<i", path.read_bytes(), n_entries)
    only_labels = change(path, tmp_path / "t", n_entries + 4, "<i", 0)
    change(only_labels, tmp_path / "t", n_entries + 8, "<i", n_words)
    with pytest.raises(VectorFormatError, match="expected one of the formats"):
        formats.detect_format(tmp_path / "t")


def test_the_first_version_is_recognised_and_damage_named(tmp_path: Path) -> None:
    content = Path(datapath("non_ascii_fasttext.bin")).read_bytes()
    (tmp_path / "t").write_bytes(content[:-1])
    assert formats.detect_format(tmp_path / "t") == "fasttext"
    with pytest.raises(VectorFormatError, match=r"t, byte [0-9]+: expected a matrix of 2 columns"):
        formats.read(tmp_path / "t")
    for position, value in [(0, 0), (24, 9), (32, -1), (56, -1)]:
        with pytest.raises(VectorFormatError, match="expected one of the formats"):
            formats.read(
                change(
                    Path(datapath("non_ascii_fasttext.bin")), tmp_path / "t", position, "<i", value
                )
            )


def test_words_with_invalid_bytes_are_kept_as_asked(tmp_path: Path) -> None:
    file = write_model(tmp_path / "m", [b"caf\xe9", b"cow"], [], np.eye(2, dtype=np.float32))
    words = {
        errors: formats.read(file, errors=errors).words[0]
        for errors in ("strict", "backslashreplace", "replace", "ignore")
    }
    assert words == {
        "strict": r"caf\xe9",
        "backslashreplace": r"caf\xe9",
        "replace": "caf\ufffd",
        "ignore": "caf",
    }


def test_an_encoding_is_refused(tmp_path: Path) -> None:
    file = write_model(tmp_path / "m", [b"caf\xe9", b"cow"], [], np.eye(2, dtype=np.float32))
    with pytest.raises(ValueError, match=r"encoding='iso8859-1' has no effect on.*'fasttext'"):
        formats.read(file, encoding="latin-1")
