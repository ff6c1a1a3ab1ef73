"""spaCy folders that are built here, by a MurmurHash and a MessagePack of the tests' own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from spacy_toys import key, murmur64a, packed_map, write_vocab
from vector_caches import is_mapped

from sklearn_transfer import PretrainedVectors, VectorFormatError, cache_info
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.formats.spacy_files import murmur_hashes
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.vocabulary import pack

FILES = ["vectors", "key2row", "strings.json", "vectors.cfg"]


@pytest.fixture
def row_of(tiny: Table) -> dict[str, int]:
    """The 12 words, of which the last six share the rows of the first six."""
    return {word: i % 6 for i, word in enumerate(tiny.words)}


@pytest.fixture
def package(tmp_path: Path, tiny: Table, row_of: dict[str, int]) -> Path:
    """A package with one pipeline, whose strings are sorted and more than the words."""
    pipeline = tmp_path / "package" / "xx_tiny_md-1.0"
    strings = sorted([*tiny.words, "ROOT", "nobody", "\t", "ein längeres Wort"])
    entries = {key(word): row for word, row in row_of.items()}
    write_vocab(pipeline / "vocab", tiny.matrix[:6], entries, strings)
    (pipeline / "config.cfg").write_text("[nlp]\n")
    (tmp_path / "package" / "__init__.py").write_text("raise RuntimeError('code was run')\n")
    return tmp_path / "package"


@pytest.fixture
def vocab(package: Path) -> Path:
    return package / "xx_tiny_md-1.0" / "vocab"


def test_the_hash_is_that_of_a_byte_at_a_time() -> None:
    words = ["", "a", "猫", "naïve", "12345678", "123456789", "x" * 15, "y" * 16, "z" * 999, "\0"]
    assert murmur_hashes(*pack(words)).tolist() == [murmur64a(word.encode()) for word in words]


def test_the_hash_is_the_published_one() -> None:
    # hash_string("coffee"), as spaCy's documentation prints it.
    assert murmur_hashes(*pack(["coffee"])).tolist() == [3197928453018144401]
    assert murmur_hashes(*pack([])).shape == (0,)


def test_words_share_rows(package: Path, tiny: Table, row_of: dict[str, int]) -> None:
    table = formats.read(package)
    assert list(table.words) == list(tiny.words)
    assert table.rows is not None
    assert table.rows.tolist() == list(row_of.values())
    np.testing.assert_array_equal(table.matrix, tiny.matrix[:6])


@pytest.mark.parametrize("inner", [".", "xx_tiny_md-1.0", "xx_tiny_md-1.0/vocab"])
def test_a_package_a_pipeline_and_a_vocab_are_one_table(package: Path, inner: str) -> None:
    assert formats.detect_format(package / inner) == "spacy"
    assert list(formats.read(package / inner).words) == list(formats.read(package).words)
    assert formats.fingerprint(package / inner) == formats.fingerprint(package)


def test_vectors_are_found_by_word(package: Path, tiny: Table) -> None:
    vectors = PretrainedVectors.load(package)
    np.testing.assert_array_equal(vectors["don't"], tiny.matrix[3])
    assert "nobody" not in vectors


def test_words_come_in_the_order_of_the_map(vocab: Path, tiny: Table) -> None:
    entries = {key(word): 0 for word in reversed(list(tiny.words))}
    (vocab / "key2row").write_bytes(packed_map(entries))
    assert list(formats.read(vocab).words) == list(reversed(list(tiny.words)))


def test_a_limit_takes_the_first_words(vocab: Path, tiny: Table) -> None:
    assert list(formats.read(vocab, limit=7).words) == list(tiny.words)[:7]


def test_a_row_a_word_in_order_is_a_plain_table(tmp_path: Path, tiny: Table) -> None:
    entries = {key(word): i for i, word in enumerate(tiny.words)}
    table = formats.read(write_vocab(tmp_path / "v", tiny.matrix, entries, list(tiny.words)))
    assert table.rows is None
    np.testing.assert_array_equal(table.matrix, tiny.matrix)


def test_without_settings_the_mode_is_the_default(vocab: Path, tiny: Table) -> None:
    (vocab / "vectors.cfg").unlink()
    assert list(formats.read(vocab).words) == list(tiny.words)


def test_the_matrix_is_mapped_on_request(vocab: Path) -> None:
    mapped, read = formats.read(vocab).matrix, formats.read(vocab, mmap=False).matrix
    assert is_mapped(mapped)
    assert not is_mapped(read)
    np.testing.assert_array_equal(mapped, read)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_other_floats_become_float32_but_for_float16(
    vocab: Path, tiny: Table, dtype: str, order: str
) -> None:
    stored = np.asarray(tiny.matrix[:6].astype(dtype), order=order)
    with (vocab / "vectors").open("wb") as file:
        np.save(file, stored)
    table = formats.read(vocab)
    assert table.matrix.dtype == (np.float16 if dtype == "<f2" else np.float32)
    assert table.matrix.flags.c_contiguous
    np.testing.assert_array_equal(table.matrix, stored)


@pytest.mark.parametrize(("head", "n"), [("fix", 12), ("de", 12), ("de", 300), ("df", 70_000)])
def test_maps_of_all_sizes_are_read(tmp_path: Path, head: str, n: int) -> None:
    words = [f"w{i}" for i in range(n)]
    entries = {key(word): i for i, word in enumerate(words)}
    matrix = np.arange(n, dtype=np.float32)[:, None]
    folder = write_vocab(tmp_path / "v", matrix, entries, words[::-1])
    (folder / "key2row").write_bytes(packed_map(entries, head))
    table = formats.read(folder)
    assert list(table.words) == words
    assert table.rows is None


def test_words_that_spacy_numbers_have_their_number_as_key(tmp_path: Path) -> None:
    entries = {432: 0, 391: 1, key("date"): 2, 101: 3}
    folder = write_vocab(tmp_path / "v", np.eye(4, dtype=np.float32), entries, ["date"])
    assert list(formats.read(folder).words) == ["number", "DATE", "date", "X"]


def test_the_number_of_a_word_goes_before_its_hash(tmp_path: Path) -> None:
    entries = {key("number"): 0, 432: 1, key("a"): 2}
    folder = write_vocab(tmp_path / "v", np.eye(3, dtype=np.float32), entries, ["number", "a"])
    with pytest.warns(UserWarning, match="1 of 3 keys are without a string"):
        table = formats.read(folder)
    assert dict(zip(table.words, table.rows.tolist(), strict=True)) == {"number": 1, "a": 2}


def test_a_string_that_is_listed_twice_is_one_word(vocab: Path, tiny: Table) -> None:
    strings = json.loads((vocab / "strings.json").read_text())
    (vocab / "strings.json").write_text(json.dumps(strings + strings[:5]))
    assert list(formats.read(vocab).words) == list(tiny.words)


def test_keys_without_a_string_are_left_out_with_a_warning(vocab: Path, tiny: Table) -> None:
    (vocab / "strings.json").write_text(json.dumps(list(tiny.words)[2:]))
    with pytest.warns(UserWarning, match=r"key2row: 2 of 12 keys are without a string in strings"):
        table = formats.read(vocab)
    assert list(table.words) == list(tiny.words)[2:]


@pytest.mark.parametrize("name", FILES)
def test_all_files_are_in_the_fingerprint(package: Path, vocab: Path, name: str) -> None:
    before = formats.fingerprint(package)
    with (vocab / name).open("ab") as file:
        file.write(b"!")
    assert formats.fingerprint(package) != before


def test_a_table_is_converted_once_and_keeps_its_rows(package: Path, vocab: Path) -> None:
    with (vocab / "vectors").open("r+b") as file:
        matrix = np.load(file)
        file.seek(0)
        np.save(file, np.tile(matrix, (1, 50_000)))
    first, second = formats.read(package), formats.read(package)
    assert cache_info().n_tables == 1
    assert second.rows.tolist() == first.rows.tolist()
    (vocab / "strings.json").write_text("[]")  # the words are part of the content
    with pytest.raises(VectorFormatError, match="the files do not belong together"):
        formats.read(package)


def test_it_survives_our_own_folder(package: Path, tmp_path: Path, row_of: dict[str, int]) -> None:
    saved = PretrainedVectors.load(package).save(tmp_path / "saved")
    assert saved.rows.tolist() == list(row_of.values())
    assert saved.matrix.shape == (6, 4)


def test_two_pipelines_in_a_folder_are_not_chosen_from(package: Path) -> None:
    shutil.copytree(package / "xx_tiny_md-1.0", package / "xx_other_md-1.0")
    with pytest.raises(VectorFormatError, match="or with one spaCy pipeline inside"):
        formats.read(package)


@pytest.mark.parametrize("left", FILES)
def test_one_file_makes_no_vocab(package: Path, vocab: Path, left: str) -> None:
    for name in set(FILES) - {left}:
        (vocab / name).unlink()
    for folder in (vocab, package):
        with pytest.raises(VectorFormatError, match="expected a folder of vectors, with"):
            formats.read(folder)


def test_floret_is_refused_with_the_cure(vocab: Path) -> None:
    (vocab / "vectors.cfg").write_text('{"mode": "floret", "minn": 3}')
    (vocab / "key2row").unlink()
    with pytest.raises(VectorFormatError, match=r"vectors.cfg: .*floret mode.*of default mode"):
        formats.read(vocab)


def test_a_pipeline_without_vectors_is_refused_with_the_cure(vocab: Path) -> None:
    (vocab / "key2row").write_bytes(b"\x80")
    with (vocab / "vectors").open("wb") as file:
        np.save(file, np.zeros((0, 0), dtype=np.float32))
    with pytest.raises(VectorFormatError, match=r"key2row: the table is empty.*\.\.\._md"):
        formats.read(vocab)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vectors.cfg", b'{"mode": "other"}', "vectors.cfg: expected the mode 'default', found 'o"),
        ("vectors.cfg", b"{", "vectors.cfg: expected JSON, found"),
        ("vectors.cfg", b"[]", r"vectors.cfg: expected the mode 'default', found \[\]"),
        ("strings.json", b'["a", 1]', "strings.json: expected a list of strings"),
        ("strings.json", b"[" * 100_000, "strings.json: expected JSON, found"),
        (
            "strings.json",
            b'["other"]',
            "strings.json: expected the words whose keys",
        ),
        (
            "key2row",
            b"",
            "key2row: expected a MessagePack map .* found: Unpack failed",
        ),
        ("key2row", b"\xdf\0", "key2row: expected a MessagePack map"),
        (
            "key2row",
            b"\xdf" + b"\xff" * 4 + b"\1\1",
            "key2row: .*4294967295 exceeds",
        ),
        (
            "key2row",
            b"\x81\xa1x\0",
            "key2row: expected a MessagePack map of unsigned numbers, found: another type",
        ),
        ("key2row", b"\x81\1\xcd\1", "key2row: .*incomplete input"),
        ("key2row", b"\x81\xff\0", "key2row: expected a MessagePack map of unsigned numbers"),
        ("key2row", b"\x92\1\0", "key2row: expected a MessagePack map of unsigned numbers"),
        (
            "key2row",
            b"\x81\1\0\0",
            "key2row: .*extra data",
        ),
        ("key2row", b"\x82\1\0\1\0", "key2row: the key 1 occurs twice"),
        ("key2row", b"\x84\2\0\2\0\1\0\1\0", "key2row: the key 1 occurs twice"),
        ("key2row", b"\x81\1\6", "key2row: expected rows from 0 to 5, found 6 to 6"),
        ("vectors", b"no array", "vectors: expected a NumPy array, found b'no arr'"),
    ],
)
def test_what_is_wrong_is_named(vocab: Path, name: str, content: bytes, message: str) -> None:
    (vocab / name).write_bytes(content)
    with pytest.raises(VectorFormatError, match=message):
        formats.read(vocab)


@pytest.mark.parametrize("matrix", [np.zeros(6), np.zeros((6, 4), dtype=int), np.zeros((6, 0))])
def test_what_is_no_matrix_of_floats_is_an_error(vocab: Path, matrix: np.ndarray) -> None:
    with (vocab / "vectors").open("wb") as file:
        np.save(file, matrix)
    with pytest.raises(VectorFormatError, match=r"vectors: (expected a matrix|cannot be opened)"):
        formats.read(vocab)


def test_values_that_are_not_finite_are_an_error(vocab: Path) -> None:
    with (vocab / "vectors").open("wb") as file:
        np.save(file, np.full((6, 4), np.nan, dtype=np.float32))
    with pytest.raises(VectorFormatError, match=r"row 0 .* holds NaN or infinity"):
        formats.read(vocab)


@pytest.mark.parametrize("name", ["strings.json", "key2row"])
def test_a_missing_file_is_named(vocab: Path, name: str) -> None:
    (vocab / name).unlink()
    with pytest.raises(VectorFormatError, match=f"{name}: "):
        formats.read(vocab)


@pytest.mark.parametrize("name", FILES)
def test_damage_is_an_error_or_another_table(vocab: Path, survive, name: str) -> None:
    for table in survive(vocab / name, vocab):
        assert table.matrix.ndim == 2
