from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer._utils.hashing import hash_content
from sklearn_transfer.vectors.storage import folder
from sklearn_transfer.vectors.table.oov import Subwords
from sklearn_transfer.vectors.table.table import Reading, Table
from sklearn_transfer.vectors.table.tokenizer import TableTokenizer
from sklearn_transfer.vectors.table.vocabulary import Vocabulary


@pytest.fixture
def saved(tmp_path: Path, tiny: Table) -> Path:
    folder.write(tiny, tmp_path / "vectors")
    return tmp_path / "vectors"


def is_mapped(array: np.ndarray) -> bool:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_keeps_everything(tmp_path: Path, tiny: Table, dtype: type, mmap: bool) -> None:
    ngrams = np.arange(20, dtype=np.float32).reshape(5, 4)
    table = Table(tiny.words, tiny.matrix.astype(dtype), Subwords(ngrams, 3, 6))
    folder.write(table, tmp_path / "v")
    found = folder.read(tmp_path / "v", Reading(mmap=mmap))
    assert list(found.words) == list(tiny.words)
    assert found.words.find(["猫", "no"]).tolist() == [8, -1]
    assert found.matrix.dtype == dtype
    np.testing.assert_array_equal(found.matrix, table.matrix)
    np.testing.assert_array_equal(found.subwords.matrix, ngrams)
    assert (found.subwords.min_n, found.subwords.max_n) == (3, 6)


def test_holds_words_that_no_text_format_can(tmp_path: Path) -> None:
    words = ["", "a b\n", "\0", "\ud800"]
    folder.write(Table(Vocabulary(words), np.zeros((4, 2), dtype=np.float32)), tmp_path / "v")
    assert list(folder.read(tmp_path / "v", Reading()).words) == words


@pytest.mark.parametrize("mmap", [True, False])
def test_maps_the_matrix_unless_asked_not_to(saved: Path, mmap: bool) -> None:
    table = folder.read(saved, Reading(mmap=mmap))
    assert is_mapped(table.matrix) == mmap
    assert is_mapped(table.words.arrays()["hashes"]) == mmap


@pytest.mark.parametrize("prompt", ["", "query: "])
def test_keeps_the_tokenizer(tmp_path: Path, tiny: Table, prompt: str) -> None:
    tokenizer = TableTokenizer('{"model": {}}', ["the", "[UNK]"], prompt)
    folder.write(replace(tiny, tokenizer=tokenizer), tmp_path / "v")
    found = folder.read(tmp_path / "v", Reading()).tokenizer
    assert found is not None
    assert (found.content, found.skipped, found.prompt) == (
        tokenizer.content,
        {"the", "[UNK]"},
        prompt,
    )
    for content, message in {
        '["{}", []]': r"tokenizer.json: the content does not agree",
        '["{}"]': r"tokenizer.json: cannot be read: ",
        '["{}", 1]': r"tokenizer.json: cannot be read: ",
        "{": r"tokenizer.json: expected JSON",
    }.items():
        (tmp_path / "v" / "tokenizer.json").write_text(content)
        with pytest.raises(VectorFormatError, match=message):
            folder.read(tmp_path / "v", Reading())


def test_limit_takes_the_first_words(saved: Path, tiny: Table) -> None:
    table = folder.read(saved, Reading(limit=3))
    assert list(table.words) == ["the", "cat", "sat"]
    np.testing.assert_array_equal(table.matrix, tiny.matrix[:3])


def test_reads_the_folder_of_version_1(data: Path, tiny: Table) -> None:
    table = folder.read(data / "folder", Reading(mmap=False))
    assert list(table.words) == list(tiny.words)
    np.testing.assert_array_equal(table.matrix, tiny.matrix)


def test_a_newer_version_says_to_upgrade(saved: Path) -> None:
    file = saved / "vectors.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 4}))
    with pytest.raises(VectorFormatError, match=r"has version 4 .* Upgrade: git pull"):
        folder.read(saved, Reading())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected JSON"),
        ("{", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[]", "expected an object with 'format': 'sklearn_transfer.vectors'"),
        ('{"format": "other"}', "expected an object with 'format'"),
        ('{"format": "sklearn_transfer.vectors"}', "expected a version number, found None"),
        ('{"format": "sklearn_transfer.vectors", "version": 1}', "agree with its own digest"),
    ],
)
def test_damaged_metadata_are_an_error(saved: Path, content: str, message: str) -> None:
    (saved / "vectors.json").write_text(content)
    with pytest.raises(VectorFormatError, match=message):
        folder.read(saved, Reading())


@pytest.mark.parametrize("key", ["n_words", "dim", "dtype", "digests", "digest"])
def test_no_entry_of_the_metadata_can_be_changed(saved: Path, key: str) -> None:
    file = saved / "vectors.json"
    about = json.loads(file.read_text())
    about[key] = {"n_words": 11, "dim": 3, "dtype": "<f2", "digests": {}, "digest": "0"}[key]
    file.write_text(json.dumps(about))
    with pytest.raises(VectorFormatError, match="does not agree with its own digest"):
        folder.read(saved, Reading())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_words": "many"}, "missing or damaged"),
        ({"digests": None}, "missing or damaged"),
        ({"dtype": "<f8"}, "expected a dtype of '<f4', '<f2'"),
        ({"dim": 0}, "and dim >= 1, found '<f4', 12 and 0"),
    ],
)
def test_metadata_that_agree_with_their_digest_are_checked_all_the_same(
    saved: Path, change: dict[str, object], message: str
) -> None:
    about = {**folder.read_metadata(saved), **change}
    about["digest"] = hash_content(json.dumps(about, sort_keys=True))
    (saved / "vectors.json").write_text(json.dumps(about))
    with pytest.raises(VectorFormatError, match=message):
        folder.read(saved, Reading())


@pytest.mark.parametrize("name", ["text", "offsets", "hashes", "order", "matrix"])
def test_a_missing_or_cut_array_is_named(saved: Path, name: str) -> None:
    file = saved / f"{name}.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(VectorFormatError, match=f"{name}.npy: cannot be opened"):
        folder.read(saved, Reading())
    file.unlink()
    with pytest.raises(VectorFormatError, match=f"{name}.npy: cannot be opened"):
        folder.read(saved, Reading())


@pytest.mark.parametrize("name", ["text", "offsets", "hashes", "order"])
def test_a_changed_vocabulary_is_found_out_at_every_opening(saved: Path, name: str) -> None:
    array = np.load(saved / f"{name}.npy")
    array[-1] ^= array.dtype.type(1)
    np.save(saved / f"{name}.npy", array)
    with pytest.raises(VectorFormatError, match=f"{name}.npy: .* does not agree with its digest"):
        folder.read(saved, Reading())


def test_a_changed_matrix_is_found_out_when_it_is_read(saved: Path, tiny: Table) -> None:
    np.save(saved / "matrix.npy", -tiny.matrix)
    with pytest.raises(VectorFormatError, match=r"matrix.npy: .* does not agree with its digest"):
        folder.read(saved, Reading(mmap=False))


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((12, 5), dtype=np.float32),
        np.zeros((11, 4), dtype=np.float32),
        np.zeros((12, 4), dtype=np.float64),
        np.zeros((12, 4), dtype=np.float16),
        np.zeros((12, 4), dtype=np.float32, order="F"),
        np.zeros((12, 4), dtype=">f4"),
        np.zeros(48, dtype=np.float32),
    ],
)
def test_an_array_of_another_shape_or_type_is_an_error(saved: Path, matrix: np.ndarray) -> None:
    np.save(saved / "matrix.npy", matrix)
    with pytest.raises(VectorFormatError, match=r"matrix.npy: expected <f4 of shape \(12, 4\)"):
        folder.read(saved, Reading())


def test_a_pickle_inside_is_not_opened(saved: Path) -> None:
    np.save(saved / "matrix.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(VectorFormatError, match=r"matrix.npy: cannot be opened"):
        folder.read(saved, Reading())


def test_replaces_a_folder_of_ours_while_it_is_mapped(saved: Path, tiny: Table) -> None:
    before = folder.read(saved, Reading())
    folder.write(Table(tiny.words, -tiny.matrix), saved)
    np.testing.assert_array_equal(before.matrix, tiny.matrix)
    np.testing.assert_array_equal(folder.read(saved, Reading()).matrix, -tiny.matrix)
    assert [path.name for path in saved.parent.iterdir()] == ["vectors"]


def test_fills_an_empty_folder(tmp_path: Path, tiny: Table) -> None:
    (tmp_path / "v").mkdir()
    folder.write(tiny, tmp_path / "v")
    assert len(folder.read(tmp_path / "v", Reading()).words) == 12


def test_a_folder_with_anything_else_is_left_alone(saved: Path, tiny: Table) -> None:
    (saved / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"is not overwritten. Choose a new folder"):
        folder.write(tiny, saved)
    assert (saved / "thesis.tex").read_text() == "years of work"


def test_a_file_is_left_alone(tmp_path: Path, tiny: Table) -> None:
    (tmp_path / "v").write_text("text")
    with pytest.raises(FileExistsError, match="is not overwritten"):
        folder.write(tiny, tmp_path / "v")


def test_a_failure_leaves_the_old_folder_and_no_rubbish(
    saved: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        folder.write(Table(tiny.words, -tiny.matrix), saved)
    assert [path.name for path in saved.parent.iterdir()] == ["vectors"]
    np.testing.assert_array_equal(folder.read(saved, Reading()).matrix, tiny.matrix)


def test_a_folder_that_is_nowhere_cannot_be_filled(tmp_path: Path, tiny: Table) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        folder.write(tiny, tmp_path / "no" / "v")


def sign(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays of a folder, and metadata that agree with them."""
    about = folder.read_metadata(path)
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
        about["digests"][name] = hash_content(array)
    about["digest"] = hash_content(json.dumps(about, sort_keys=True))
    (path / "vectors.json").write_text(json.dumps(about))


def crafted(name: str, array: np.ndarray) -> np.ndarray:
    """An array of the same type and length that no vocabulary has."""
    array = array.copy()
    match name:
        case "text":
            array[-3:] = 0xFF
        case "text cut within a character":
            array[-3:] = 0xA9
        case "offsets beyond the text":
            array[-1] = 2**60
        case "offsets that decrease":
            array[[3, 4]] = array[[4, 3]]
        case "offsets that begin late":
            array[0] = 1
        case "order below":
            array[0] = -1
        case "order beyond":
            array[0] = len(array)
        case "hashes that decrease":
            array = array[::-1].copy()
        case "hashes that are all equal":
            array[:] = 1
    return array


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        *("text", "text cut within a character"),
        *("offsets beyond the text", "offsets that decrease", "offsets that begin late"),
        *("order below", "order beyond", "hashes that decrease", "hashes that are all equal"),
    ],
)
def test_a_crafted_vocabulary_is_refused_though_its_digests_agree(
    name: str, mmap: bool, saved: Path
) -> None:
    part = name.split()[0]
    array = crafted(name, np.load(saved / f"{part}.npy"))
    sign(saved, **{part: array})
    with pytest.raises(VectorFormatError, match="vectors: the words are damaged: "):
        folder.read(saved, Reading(mmap=mmap))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"n_words": float("inf")}, "missing or damaged"),
        ({"min_n": float("inf")}, "missing or damaged"),
        ({"min_n": 3, "max_n": 10**9}, "of at most 1000 characters, found 5 rows"),
        ({"min_n": 6, "max_n": 3}, "found 5 rows for n-grams of 6 to 3"),
        ({"min_n": -1, "max_n": 3}, "found 5 rows for n-grams of -1 to 3"),
    ],
)
def test_crafted_ngrams_are_refused(
    entries: dict[str, float], message: str, tmp_path: Path, tiny: Table
) -> None:
    path = tmp_path / "v"
    subwords = Subwords(np.ones((5, 4), dtype=np.float32), 3, 6)
    folder.write(Table(tiny.words, tiny.matrix, subwords), path)
    about = {**folder.read_metadata(path), **entries}
    about["digest"] = hash_content(json.dumps(about, sort_keys=True))
    (path / "vectors.json").write_text(json.dumps(about))
    with pytest.raises(VectorFormatError, match=message):
        folder.read(path, Reading())


def test_crafted_factors_and_ngram_rows_are_refused(tmp_path: Path, tiny: Table) -> None:
    path, infinite = tmp_path / "v", np.full((5, 4), np.inf, dtype=np.float32)
    subwords = Subwords(np.ones((5, 4), dtype=np.float32), 3, 6)
    scales = np.ones(len(tiny.words), dtype=np.float32)
    folder.write(Table(tiny.words, tiny.matrix, subwords, scales=scales), path)
    sign(path, subwords=infinite)
    with pytest.raises(VectorFormatError, match=r"subwords.npy: row 0 .* NaN or infinity"):
        folder.read(path, Reading(mmap=False))
    folder.write(Table(tiny.words, tiny.matrix, scales=scales), path)
    sign(path, scales=scales * np.nan)
    with pytest.raises(VectorFormatError, match=r"scales.npy: row 0 .* NaN or infinity"):
        folder.read(path, Reading())


def test_the_index_of_an_older_folder_is_not_used(data: Path, tiny: Table) -> None:
    found = folder.read(data / "folder", Reading())
    assert found.words.find(list(tiny.words)).tolist() == list(range(len(tiny.words)))


@pytest.mark.parametrize(
    "name", ["vectors.json", "text.npy", "offsets.npy", "hashes.npy", "order.npy", "matrix.npy"]
)
def test_damage_is_found_or_does_no_harm(saved: Path, tiny: Table, survive, name: str) -> None:
    for table in survive(saved / name, saved, mmap=False):
        assert list(table.words) == list(tiny.words)
        np.testing.assert_array_equal(table.matrix, tiny.matrix)


@pytest.mark.parametrize("mmap", [True, False])
def test_keeps_shared_rows_factors_and_small_numbers(tmp_path: Path, mmap: bool) -> None:
    matrix = np.array([[1, -127], [5, 0]], dtype=np.int8)
    rows = np.array([1, 0, 1], dtype=np.int32)
    scales = np.array([0.5, 2, 1], dtype=np.float32)
    folder.write(Table(Vocabulary("abc"), matrix, rows=rows, scales=scales), tmp_path / "v")
    found = folder.read(tmp_path / "v", Reading(mmap=mmap))
    assert found.matrix.dtype == np.int8
    assert found.vectors(slice(None)).tolist() == [[2.5, 0], [2, -254], [5, 0]]
    assert folder.read(tmp_path / "v", Reading(limit=2)).vectors(slice(None)).tolist() == [
        [2.5, 0],
        [2, -254],
    ]


@pytest.mark.parametrize("name", ["rows", "scales"])
def test_damaged_rows_and_factors_are_found_also_when_mapped(tmp_path: Path, name: str) -> None:
    rows, scales = np.array([1, 0], dtype=np.int32), np.ones(2, dtype=np.float32)
    table = Table(Vocabulary("ab"), np.eye(2, dtype=np.float32), rows=rows, scales=scales)
    folder.write(table, tmp_path / "v")
    file = tmp_path / "v" / f"{name}.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(VectorFormatError, match=rf"{name}\.npy: the content does not agree"):
        folder.read(tmp_path / "v", Reading())


def test_version_1_is_read(data: Path) -> None:
    assert json.loads((data / "folder" / "vectors.json").read_text())["version"] == 1
    assert len(folder.read(data / "folder", Reading()).words) == 12


def test_a_folder_that_is_replaced_while_it_is_read_gives_no_mixture(
    saved: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    map_array = folder.map_array

    def late(file: Path) -> np.ndarray:
        if file.name == "matrix.npy":  # all of the words have been read
            folder.write(Table(tiny.words.take(np.arange(12)[::-1]), -tiny.matrix), saved)
        return map_array(file)

    monkeypatch.setattr(folder, "map_array", late)
    with pytest.raises(VectorFormatError, match="changed while it was read; open it again"):
        folder.read(saved, Reading())
