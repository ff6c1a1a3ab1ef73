from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from pathlib import Path
from weakref import ref

import numpy as np
import pytest

from sklearn_transfer import PretrainedEmbeddingTransformer, PretrainedVectors, clear_cache
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


def test_a_pickle_whose_file_is_gone_says_so(text_file: Path) -> None:
    content = pickle.dumps(PretrainedVectors.load(text_file))
    text_file.unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"pickle refers to the pretrained vectors in .*vectors.txt, which is not there. Put "
        r"the file back, or pickle an estimator whose vectors are in memory",
    ):
        pickle.loads(content)


def test_a_pickle_whose_file_has_changed_says_so(text_file: Path) -> None:
    content = pickle.dumps(PretrainedVectors.load(text_file))
    change(text_file)
    with pytest.raises(
        ValueError,
        match=r"vectors.txt, which have changed since: expected the fingerprint [0-9a-f]{32}, "
        r"found [0-9a-f]{32}. Put the old file back, or fit again",
    ):
        pickle.loads(content)


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
