from __future__ import annotations

import gc
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
from spacy_toys import key, write_vocab

from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
    clear_cache,
    load_pretrained,
)
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.origin import Origin
from sklearn_transfer.vectors.table.oov import Subwords
from sklearn_transfer.vectors.table.table import Table


def change(file: Path) -> None:
    """Another value in the last row of a text file."""
    content = file.read_text(encoding="utf-8").rstrip().rsplit(" ", 1)[0]
    file.write_text(content + " 0.5\n", encoding="utf-8")


# ---- opened once ----


def test_the_same_file_is_opened_once(text_file: Path) -> None:
    assert PretrainedVectors.load(text_file) is PretrainedVectors.load(str(text_file))


def test_two_spellings_of_a_path_are_one_file(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute = PretrainedVectors.load(text_file)
    monkeypatch.chdir(text_file.parent)
    assert PretrainedVectors.load("vectors.txt") is absolute


def test_two_estimators_that_name_a_file_share_one_object(text_file: Path) -> None:
    first, second = (
        PretrainedEmbeddingTransformer(str(text_file)).fit(["the cat"]) for _ in range(2)
    )
    assert first.pretrained_ is second.pretrained_


@pytest.mark.parametrize("other", [{"mmap": False}, {"limit": 3}, {"allow_pickle": True}])
def test_other_options_are_another_table(text_file: Path, other: dict[str, object]) -> None:
    assert PretrainedVectors.load(text_file, **other) is not PretrainedVectors.load(text_file)


def test_a_file_that_has_changed_is_opened_anew(text_file: Path) -> None:
    old = PretrainedVectors.load(text_file)
    change(text_file)
    new = PretrainedVectors.load(text_file)
    assert new["</s>"][-1] == 0.5
    assert old["</s>"][-1] != 0.5


def test_the_last_four_tables_stay_open(text_file: Path) -> None:
    opened = [ref(PretrainedVectors.load(text_file, limit=n)) for n in range(1, 6)]
    gc.collect()
    assert [table() is not None for table in opened] == [False, True, True, True, True]


def test_opening_again_makes_a_table_the_last_to_go(text_file: Path) -> None:
    opened = [ref(PretrainedVectors.load(text_file, limit=n)) for n in range(1, 5)]
    PretrainedVectors.load(text_file, limit=1)
    PretrainedVectors.load(text_file, limit=5)
    gc.collect()
    assert [table() is not None for table in opened] == [True, False, True, True]


def test_a_table_that_somebody_holds_is_found_again(text_file: Path) -> None:
    held = PretrainedVectors.load(text_file)
    clear_cache()
    assert PretrainedVectors.load(text_file) is held


def test_a_table_that_nobody_holds_is_let_go(text_file: Path) -> None:
    table = ref(PretrainedVectors.load(text_file))
    clear_cache()
    gc.collect()
    assert table() is None


# ---- pickles ----


def test_the_pickle_of_a_file_is_small_and_holds_no_rows(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).random((2000, 50), dtype=np.float32)
    vectors = PretrainedVectors([f"w{i}" for i in range(2000)], matrix).save(tmp_path / "t")
    assert len(pickle.dumps(vectors)) < 1000


def test_the_pickle_of_a_fitted_estimator_on_a_file_is_under_100_kb(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).random((2000, 50), dtype=np.float32)
    vectors = PretrainedVectors([f"w{i}" for i in range(2000)], matrix).save(tmp_path / "t")
    fitted = PretrainedEmbeddingTransformer(vectors, weighting="idf").fit(["w1 w2", "w3"])
    assert len(pickle.dumps(fitted)) < 100_000


def test_a_pickle_opened_in_the_same_process_is_the_same_object(text_file: Path) -> None:
    vectors = PretrainedVectors.load(text_file, limit=3)
    assert pickle.loads(pickle.dumps(vectors)) is vectors


def test_a_pickle_is_opened_by_another_process(text_file: Path, tmp_path: Path) -> None:
    vectors = PretrainedVectors.load(text_file, limit=3)
    (tmp_path / "pickle").write_bytes(pickle.dumps(vectors))
    script = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')))"
    shown = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "pickle")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == repr(vectors)


WAYS = (
    r"\. Put it back; or open it where it is now, load_pretrained\(path\), before the pickle; or "
    r"give it to the fitted estimator, set_params\(pretrained=path\); or fit again\. A pickle that "
    r"holds the weights needs no file: fit with load_pretrained\(\.\.\., pickle_weights=True\)\.$"
)


def check_missing(content: bytes, error: type[Exception], message: str) -> PretrainedVectors:
    """Open a pickle whose vectors are missing: a warning, and an error when they are used."""
    with pytest.warns(UserWarning, match=message) as warned:
        vectors = pickle.loads(content)
    assert warned[0].filename == __file__
    assert vectors.is_missing
    assert repr(vectors).startswith("<PretrainedVectors 'vectors.txt': not opened, from ")
    for use in (vectors.look_up, vectors.__getitem__, vectors.subset):
        with pytest.raises(error, match=message):
            use(["cat"])
    return vectors


def test_a_pickle_whose_file_is_gone_names_the_ways(text_file: Path) -> None:
    content = pickle.dumps(PretrainedVectors.load(text_file))
    text_file.unlink()
    message = r"pickle refers to the pretrained vectors in .*vectors.txt, which is not there" + WAYS
    check_missing(content, FileNotFoundError, message)


def test_a_pickle_whose_file_has_changed_names_the_ways(text_file: Path) -> None:
    content = pickle.dumps(PretrainedVectors.load(text_file))
    change(text_file)
    message = (
        r"vectors.txt, whose content has changed since: expected the fingerprint [0-9a-f]{32}, "
        r"found [0-9a-f]{32}" + WAYS
    )
    check_missing(content, ValueError, message)


def change_in_the_middle(file: Path) -> None:
    """Change one byte in place, without changing the size and the time of modification."""
    status = file.stat()
    with file.open("r+b") as content:
        content.seek(status.st_size - 9)  # of the mantissa of a number
        byte = content.read(1)[0]
        content.seek(status.st_size - 9)
        content.write(bytes([byte ^ 1]))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("file", ["matrix.npy", "subwords.npy", "text.npy", "vectors.json"])
def test_any_file_of_a_folder_of_ours_decides(
    with_ngrams: PretrainedVectors, tmp_path: Path, file: str, limit: int | None
) -> None:
    with_ngrams.write(tmp_path / "t", format="folder")
    vectors = PretrainedVectors.load(tmp_path / "t", limit=limit)
    content = pickle.dumps(vectors)
    assert PretrainedVectors.load(tmp_path / "t", limit=limit) is vectors
    change_in_the_middle(tmp_path / "t" / file)
    with pytest.warns(UserWarning, match="whose content has changed since"):
        assert pickle.loads(content).is_missing
    if file in ("matrix.npy", "subwords.npy"):  # else the folder is damaged
        assert PretrainedVectors.load(tmp_path / "t", limit=limit) is not vectors


@pytest.mark.usefixtures("later")
def test_open_vectors_whose_file_is_changed_in_place_are_refused(
    vectors: PretrainedVectors, tmp_path: Path
) -> None:
    opened = vectors.save(tmp_path / "t")
    fitted = FineTunedClassifier(opened).fit(["the cat", "on mat"] * 4, [0, 1] * 4)
    change_in_the_middle(tmp_path / "t" / "matrix.npy")
    for use in (opened.look_up, opened.__getitem__, opened.subset, fitted.predict):
        for _ in range(2):
            with pytest.raises(ValueError, match=r"t has been changed in place, .* fit again"):
                use(["cat"])
    change_in_the_middle(tmp_path / "t" / "matrix.npy")  # the old content again
    assert opened.look_up(["cat"])[0].tolist() == [0]


def change_last_number(file: Path) -> None:
    with file.open("r+b") as content:
        content.seek(-1, 2)
        last = content.read(1)[0]
        content.seek(-1, 2)
        content.write(bytes([last ^ 1]))


@pytest.mark.usefixtures("later")
def test_a_fasttext_file_that_is_mapped_and_changed_in_place_is_refused(
    data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "t.bin"
    shutil.copy(data / "fasttext.bin", file)
    opened = PretrainedVectors.load(file)
    read = PretrainedVectors.load(file, mmap=False)
    expected = read.look_up(["steamtrain"], oov="subword")
    change_last_number(file)
    for use in (opened.look_up, opened.__getitem__, lambda _: opened.subwords):
        with pytest.raises(ValueError, match=r"t.bin has been changed in place, .* fit again"):
            use(["cat"])
    assert str(read.look_up(["steamtrain"], oov="subword")) == str(expected)


@pytest.mark.usefixtures("later")
def test_a_spacy_matrix_that_is_mapped_and_changed_in_place_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("msgpack")
    matrix = np.eye(2, dtype=np.float32)
    folder = write_vocab(tmp_path / "t", matrix, {key("cat"): 0, key("dog"): 1}, ["cat", "dog"])
    opened = PretrainedVectors.load(tmp_path / "t")
    change_last_number(folder / "vectors")
    with pytest.raises(ValueError, match=r"t has been changed in place, .* fit again"):
        opened.look_up(["cat"])


@pytest.mark.usefixtures("later")
def test_a_file_that_is_mapped_from_the_cache_may_change(
    vectors: PretrainedVectors, tmp_path: Path
) -> None:
    words = [f"word{i}" for i in range(3000)]
    made = PretrainedVectors(words, np.random.default_rng(0).random((3000, 500)))
    made.write(tmp_path / "t", format="word2vec-binary")
    opened = PretrainedVectors.load(tmp_path / "t")
    expected = opened["word7"].tolist()
    change_in_the_middle(tmp_path / "t")
    assert opened["word7"].tolist() == expected


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("seconds", [-1000, 1000])
def test_a_change_in_place_is_seen_whatever_time_the_file_has(
    vectors: PretrainedVectors, tmp_path: Path, seconds: int
) -> None:
    opened, file = vectors.save(tmp_path / "t"), tmp_path / "t" / "matrix.npy"
    time = file.stat().st_mtime + seconds
    change_in_the_middle(file)
    os.utime(file, (time, time))
    with pytest.raises(ValueError, match=r"t has been changed in place, "):
        opened.look_up(["cat"])


def test_a_pickle_of_a_path_and_a_fingerprint_refers_to_the_file(text_file: Path) -> None:
    vectors = PretrainedVectors.load(text_file)
    origin = Origin(str(text_file), formats.fingerprint(text_file))
    assert (origin.find(), origin.read().dim) == (origin, vectors.dim)
    assert not origin.pickle_weights


@pytest.mark.usefixtures("later")
def test_open_vectors_whose_files_are_replaced_or_gone_stay_usable(
    vectors: PretrainedVectors, tmp_path: Path
) -> None:
    opened = vectors.save(tmp_path / "t")
    expected = opened["cat"].tolist()
    (tmp_path / "t").rename(tmp_path / "moved")
    assert opened["cat"].tolist() == expected
    PretrainedVectors(["cat"], [[7.0]]).save(tmp_path / "t")
    assert opened["cat"].tolist() == expected
    shutil.rmtree(tmp_path / "moved")
    assert opened["cat"].tolist() == expected


@pytest.mark.usefixtures("later")
def test_a_folder_that_has_not_changed_is_read_once(
    with_ngrams: PretrainedVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_ngrams.write(tmp_path / "t", format="folder")
    expected = formats.fingerprint(tmp_path / "t")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the folder was read again")

    monkeypatch.setattr("sklearn_transfer.vectors.storage.fingerprints.hash_stream", refuse)
    assert formats.fingerprint(tmp_path / "t") == expected


def test_vectors_that_are_missing_are_found_when_their_file_is_put_back(
    text_file: Path, tmp_path: Path
) -> None:
    vectors = PretrainedVectors.load(text_file)
    content, expected = pickle.dumps(vectors), vectors["cat"]
    text_file.rename(tmp_path / "moved.txt")
    again = check_missing(content, FileNotFoundError, "which is not there")
    (tmp_path / "moved.txt").rename(text_file)
    np.testing.assert_array_equal(again["cat"], expected)
    assert not again.is_missing


def test_a_pickle_of_vectors_that_are_missing_is_the_same(text_file: Path) -> None:
    content, kept = pickle.dumps(PretrainedVectors.load(text_file)), text_file.read_bytes()
    text_file.unlink()
    missing = pickle.dumps(check_missing(content, FileNotFoundError, "not there"))
    text_file.write_bytes(kept)
    assert len(pickle.loads(missing)) == 12


@pytest.mark.parametrize("limit", [None, 3])
def test_a_pickle_is_opened_from_where_the_content_was_opened(
    text_file: Path, tmp_path: Path, limit: int | None
) -> None:
    content = pickle.dumps(PretrainedVectors.load(text_file, limit=limit))
    text_file.rename(tmp_path / "moved.txt")
    clear_cache()
    moved = PretrainedVectors.load(tmp_path / "moved.txt")
    again = pickle.loads(content)
    assert again.path == moved.path
    assert len(again) == (limit or 12)


def test_a_path_is_given_anew_to_a_fitted_estimator(text_file: Path, tmp_path: Path) -> None:
    fitted = PretrainedEmbeddingTransformer(str(text_file)).fit(["the cat"])
    expected, content = fitted.transform(["the cat sat"]), pickle.dumps(fitted)
    text_file.rename(tmp_path / "moved.txt")
    del fitted
    clear_cache()
    with pytest.warns(UserWarning, match="not there"):
        again = pickle.loads(content)
    with pytest.raises(FileNotFoundError, match=r"set_params\(pretrained=path\)"):
        again.transform(["the cat sat"])
    again.set_params(pretrained=str(tmp_path / "moved.txt"))
    np.testing.assert_array_equal(again.transform(["the cat sat"]), expected)
    assert again.pretrained_.path == str(tmp_path / "moved.txt")
    assert pickle.loads(pickle.dumps(again)).pretrained_.table is again.pretrained_.table


def test_another_content_given_anew_is_not_taken(text_file: Path, tmp_path: Path) -> None:
    content = pickle.dumps(PretrainedEmbeddingTransformer(str(text_file)).fit(["the cat"]))
    text_file.rename(tmp_path / "moved.txt")
    change(tmp_path / "moved.txt")
    clear_cache()
    with pytest.warns(UserWarning, match="not there"):
        again = pickle.loads(content)
    again.set_params(pretrained=str(tmp_path / "moved.txt"))
    with pytest.raises(FileNotFoundError, match="not there"):
        again.transform(["the cat sat"])


def test_parameters_of_a_fitted_estimator_are_set_without_opening(text_file: Path) -> None:
    fitted = PretrainedEmbeddingTransformer(str(text_file)).fit(["the cat"])
    assert fitted.set_params(pretrained="no-such-name").pretrained == "no-such-name"


def test_a_name_is_opened_again_by_its_name(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for environment in ("here", "there"):
        (tmp_path / environment / "toy-4").mkdir(parents=True)
        shutil.copy(text_file, tmp_path / environment / "toy-4" / "toy-4.gz")
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path / "here"))
    content = pickle.dumps(PretrainedVectors.load("toy-4"))
    shutil.rmtree(tmp_path / "here")
    clear_cache()
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path / "there"))
    again = pickle.loads(content)
    assert (again.name, again.path) == ("toy-4", str(tmp_path / "there" / "toy-4" / "toy-4.gz"))


def test_a_name_of_another_content_is_not_taken(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy-4").mkdir()
    file = shutil.copy(text_file, tmp_path / "toy-4" / "toy-4.gz")
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path))
    content = pickle.dumps(PretrainedVectors.load("toy-4"))
    change(file)
    message = r"toy-4.gz, whose content has changed since: .*; and toy-4, whose content has changed"
    with pytest.warns(UserWarning, match=message):
        assert pickle.loads(content).is_missing


def test_a_pickle_may_hold_the_weights(text_file: Path, tiny: Table) -> None:
    vectors = PretrainedVectors.load(text_file, pickle_weights=True)
    assert load_pretrained(text_file, pickle_weights=True) is vectors
    assert load_pretrained(text_file) is not vectors
    content = pickle.dumps(PretrainedEmbeddingTransformer(vectors).fit(["the cat"]))
    text_file.unlink()
    again = pickle.loads(content).pretrained_
    np.testing.assert_array_equal(again.matrix, tiny.matrix)
    assert list(again.words) == list(tiny.words)
    assert (again.name, again.path) == ("vectors.txt", None)


def test_the_encoding_belongs_to_the_pickle(tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_bytes("2 2\ncafé 1 2\ncow 3 4\n".encode("latin-1"))
    vectors = PretrainedVectors.load(file, encoding="latin-1")
    content = pickle.dumps(vectors)
    del vectors
    clear_cache()
    assert "café" in pickle.loads(content)
    assert list(PretrainedVectors.load(file, errors="ignore").words) == ["caf", "cow"]


def test_a_pickle_whose_file_is_put_back_opens(text_file: Path) -> None:
    vectors = PretrainedVectors.load(text_file)
    content, before = pickle.dumps(vectors), text_file.read_bytes()
    change(text_file)
    text_file.write_bytes(before)
    assert pickle.loads(content) is vectors


def test_the_pickle_of_a_table_in_memory_holds_all_of_it(tiny: Table) -> None:
    ngrams = Subwords(np.ones((3, 4), dtype=np.float32), 2, 3)
    vectors = PretrainedVectors.from_table(Table(tiny.words, tiny.matrix, ngrams), name="tiny")
    again = pickle.loads(pickle.dumps(vectors))
    assert repr(again) == repr(vectors)
    assert list(again.words) == list(vectors.words)
    np.testing.assert_array_equal(again.matrix, vectors.matrix)
    np.testing.assert_array_equal(again.subwords.matrix, ngrams.matrix)


def test_a_table_from_a_pickle_is_read_only(vectors: PretrainedVectors) -> None:
    assert not pickle.loads(pickle.dumps(vectors)).matrix.flags.writeable
