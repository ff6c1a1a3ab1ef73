from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec
from gensim.test.utils import datapath
from vector_caches import is_mapped

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.formats.gensim_files import from_keyed_vectors, to_gensim
from sklearn_transfer.vectors.table.table import Table

SENTENCES = [["the", "cat", "sat"], ["the", "dog", "sat"]]

# Files of old versions that gensim itself still opens.
OLD = ["word2vec_old", "word2vec_old_sep", "word2vec_3.3", "old_keyedvectors_320.dat"]


@pytest.fixture(scope="module")
def word2vec() -> Word2Vec:
    return Word2Vec(SENTENCES, vector_size=4, min_count=1, seed=1, workers=1)


@pytest.fixture(scope="module")
def fast_text() -> FastText:
    return FastText(SENTENCES, vector_size=4, min_count=1, bucket=20, seed=1, workers=1)


class Trap:
    """What a stranger may put into a pickle."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('the pickle has run')",))


@pytest.mark.parametrize("file", ["gensim.kv", "word2vec.model", "fasttext.model"])
def test_a_pickle_is_not_opened_unless_asked_for(data: Path, file: str) -> None:
    with pytest.raises(VectorFormatError, match="runs any code that its author put") as caught:
        formats.read(data / file)
    assert "allow_pickle=True" in str(caught.value)
    assert "save_word2vec_format" in str(caught.value)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_trap_does_not_spring(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "t.kv").write_bytes(pickle.dumps(Trap(), protocol=protocol))
    assert formats.detect_format(tmp_path / "t.kv") == "gensim"
    formats.fingerprint(tmp_path / "t.kv")
    with pytest.raises(VectorFormatError, match="runs any code that its author put inside"):
        formats.read(tmp_path / "t.kv")


@pytest.mark.parametrize("mmap", [True, False])
def test_keyed_vectors_are_read(data: Path, tiny: Table, mmap: bool) -> None:
    table = formats.read(data / "gensim.kv", allow_pickle=True, mmap=mmap)
    assert list(table.words) == list(tiny.words)
    np.testing.assert_array_equal(table.matrix, tiny.matrix)


@pytest.mark.parametrize("kind", [Word2Vec, FastText])
def test_models_equal_what_gensim_loads(data: Path, kind: type) -> None:
    path = data / f"{kind.__name__.lower()}.model"
    theirs = kind.load(str(path)).wv
    ours = formats.read(path, allow_pickle=True)
    assert list(ours.words) == theirs.index_to_key
    np.testing.assert_array_equal(ours.matrix, theirs.vectors)
    if kind is FastText:
        np.testing.assert_allclose(ours.subwords.vectors(["catty"])[0], theirs["catty"], rtol=1e-5)
    else:
        assert ours.subwords is None


@pytest.mark.parametrize("file", OLD)
def test_files_of_old_versions_are_read(file: str) -> None:
    theirs = KeyedVectors.load(datapath(file))
    theirs = getattr(theirs, "wv", theirs)
    ours = formats.read(datapath(file), allow_pickle=True)
    assert list(ours.words) == theirs.index_to_key
    np.testing.assert_array_equal(ours.matrix, theirs.vectors)


def test_limit_takes_the_first_words(data: Path, tiny: Table) -> None:
    table = formats.read(data / "gensim.kv", allow_pickle=True, limit=2)
    assert list(table.words) == ["the", "cat"]
    np.testing.assert_array_equal(table.matrix, tiny.matrix[:2])


def save_apart(path: Path, table: Table) -> None:
    """As gensim saves large arrays: beside the file."""
    to_gensim(table).save(str(path), separately=["vectors"])


@pytest.mark.parametrize("mmap", [True, False])
def test_arrays_beside_the_file_are_mapped_unless_asked_not_to(
    tmp_path: Path, tiny: Table, mmap: bool
) -> None:
    save_apart(tmp_path / "t.kv", tiny)
    matrix = formats.read(tmp_path / "t.kv", allow_pickle=True, mmap=mmap).matrix
    np.testing.assert_array_equal(matrix, tiny.matrix)
    assert is_mapped(matrix) == mmap


def test_compressed_files_are_read(tmp_path: Path, tiny: Table) -> None:
    save_apart(tmp_path / "t.kv.gz", tiny)
    table = formats.read(tmp_path / "t.kv.gz", allow_pickle=True)
    np.testing.assert_array_equal(table.matrix, tiny.matrix)


def test_a_missing_or_cut_array_beside_the_file_is_an_error(tmp_path: Path, tiny: Table) -> None:
    save_apart(tmp_path / "t.kv", tiny)
    beside = tmp_path / "t.kv.vectors.npy"
    for damage in (lambda: beside.write_bytes(beside.read_bytes()[:-1]), beside.unlink):
        damage()
        with pytest.raises(VectorFormatError, match=r"t.kv: gensim cannot open it"):
            formats.read(tmp_path / "t.kv", allow_pickle=True)


def test_a_cut_pickle_is_an_error(tmp_path: Path, data: Path) -> None:
    (tmp_path / "t.kv").write_bytes((data / "gensim.kv").read_bytes()[:-100])
    with pytest.raises(VectorFormatError, match=r"t.kv: gensim cannot open it"):
        formats.read(tmp_path / "t.kv", allow_pickle=True)


def test_a_pickle_of_something_else_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.kv").write_bytes(pickle.dumps({"cat": [1, 2]}))
    with pytest.raises(VectorFormatError, match=r"t.kv: gensim cannot open it"):
        formats.read(tmp_path / "t.kv", allow_pickle=True)


@pytest.mark.parametrize("whole", [True, False], ids=["model", "wv"])
def test_the_matrix_of_an_object_is_used_and_not_copied(word2vec: Word2Vec, whole: bool) -> None:
    table = from_keyed_vectors(word2vec if whole else word2vec.wv)
    assert list(table.words) == word2vec.wv.index_to_key
    assert table.matrix.dtype == np.float32
    assert np.shares_memory(table.matrix, word2vec.wv.vectors)


def test_the_ngrams_of_an_object_are_used_and_not_copied(fast_text: FastText) -> None:
    table = from_keyed_vectors(fast_text)
    assert np.shares_memory(table.subwords.matrix, fast_text.wv.vectors_ngrams)
    np.testing.assert_allclose(
        table.subwords.vectors(["unseen"])[0], fast_text.wv["unseen"], rtol=1e-5
    )


def test_fast_text_without_ngrams_has_none() -> None:
    model = FastText(SENTENCES, vector_size=4, min_count=1, max_n=0, bucket=20, workers=1)
    assert from_keyed_vectors(model).subwords is None


def test_float64_vectors_become_float32() -> None:
    vectors = KeyedVectors(2, dtype=np.float64)
    vectors.add_vectors(["a", "b"], np.array([[0.1, 0.2], [0.3, 0.4]]))
    table = from_keyed_vectors(vectors)
    assert table.matrix.dtype == np.float32
    np.testing.assert_array_equal(table.matrix, vectors.vectors.astype(np.float32))


@pytest.mark.parametrize(
    ("keys", "values", "message"),
    [
        (["a", 7], [[1, 2], [3, 4]], "<KeyedVectors>: expected keys that are strings, found 7"),
        (["a", "b"], [[1, 2], [3, np.nan]], "<KeyedVectors>: row 1 .* holds NaN or infinity"),
    ],
)
def test_an_object_that_is_no_table_is_an_error(keys: list, values: list, message: str) -> None:
    vectors = KeyedVectors(2)
    vectors.add_vectors(keys, np.array(values, dtype=np.float32))
    with pytest.raises(VectorFormatError, match=message):
        from_keyed_vectors(vectors)


def test_an_object_with_fewer_rows_than_words_is_an_error() -> None:
    vectors = KeyedVectors(2)
    vectors.add_vectors(["a", "b"], np.ones((2, 2), dtype=np.float32))
    vectors.vectors = vectors.vectors[:1]
    with pytest.raises(VectorFormatError, match="found 2 words and 1 rows"):
        from_keyed_vectors(vectors)


def test_what_is_no_gensim_object_is_named() -> None:
    with pytest.raises(VectorFormatError, match="expected gensim word vectors, found dict"):
        from_keyed_vectors({"cat": [1.0]})


def test_gensim_gets_the_matrix_and_not_a_copy(tiny: Table) -> None:
    vectors = to_gensim(tiny)
    assert np.shares_memory(vectors.vectors, tiny.matrix)
    assert vectors.index_to_key == list(tiny.words)
    np.testing.assert_array_equal(vectors["猫"], tiny.matrix[8])
    assert vectors.most_similar("cat", topn=1)


def test_gensim_opens_what_was_written(tmp_path: Path, tiny: Table) -> None:
    formats.write(tiny, tmp_path / "t.kv", "gensim")
    theirs = KeyedVectors.load(str(tmp_path / "t.kv"))
    assert theirs.index_to_key == list(tiny.words)
    np.testing.assert_array_equal(theirs.vectors, tiny.matrix)
    assert [path.name for path in tmp_path.iterdir()] == ["t.kv"]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_file_that_names_the_others_takes_its_place_last(
    tmp_path: Path, tiny: Table, is_reversed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, iterdir, moved = Path.replace, Path.iterdir, []
    monkeypatch.setattr(Path, "iterdir", lambda p: sorted(iterdir(p), reverse=is_reversed))
    monkeypatch.setattr(Path, "replace", lambda p, to: (moved.append(p.name), replace(p, to))[1])
    large = np.zeros((12, 900_000), dtype=np.float32)  # gensim keeps it apart
    formats.write(Table(tiny.words, large), tmp_path / "t.kv", "gensim")
    assert moved == ["t.kv.vectors.npy", "t.kv"]
    assert is_mapped(formats.read(tmp_path / "t.kv", allow_pickle=True).matrix)


def test_gensim_is_not_imported_for_other_formats(data: Path) -> None:
    code = (
        "import sys; from sklearn_transfer.vectors.formats import formats\n"
        f"for name in ('word2vec.txt', 'word2vec.bin', 'glove.txt', 'fasttext.bin', 'folder'):\n"
        f"    formats.read({str(data)!r} + '/' + name)\n"
        "assert 'gensim' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
