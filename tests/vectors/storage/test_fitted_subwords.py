from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sklearn_transfer import PretrainedVectors, cache_info, clear_cache
from sklearn_transfer._utils.objects.memo import clear_memos
from sklearn_transfer.vectors.storage import cache
from sklearn_transfer.vectors.table.subword_fit import fit_subwords
from sklearn_transfer.vectors.table.table import Table

UNKNOWN = ["cats", "猫猫", "naïveté", "\ud800x", "", "x" * 300]


@pytest.fixture(scope="module")
def wide(tiny: Table) -> Table:
    """A table of more than 1 MB, whose model is kept: 12 words in 24,000 dimensions."""
    return Table(tiny.words, np.tile(tiny.matrix, (1, 6_000)))


def fresh(table: Table, name: str = "tiny") -> PretrainedVectors:
    """Another object with the same content, as in another process."""
    return PretrainedVectors(list(table.words), table.matrix, name=name)


def predict(vectors: PretrainedVectors) -> NDArray[np.float32]:
    return vectors.look_up(UNKNOWN, oov="subword")[1]


def models(cache_folder: Path) -> dict[str, int]:
    """The fitted models in a cache: name of the folder to the time of its metadata."""
    files = (cache_folder / cache.MODELS).glob("*/vectors.json")
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


def test_equal_tables_share_a_model_that_is_fitted_once(wide: Table, cache_folder: Path) -> None:
    expected, before = predict(fresh(wide)), models(cache_folder)
    assert len(before) == 1
    np.testing.assert_array_equal(predict(fresh(wide, "other name")), expected)
    np.testing.assert_array_equal(expected, fit_subwords(wide).vectors(UNKNOWN))
    assert models(cache_folder) == before


def test_another_value_or_word_is_another_model(wide: Table, cache_folder: Path) -> None:
    predict(fresh(wide))
    for place in (0, 5, -1):  # each row counts
        matrix = wide.matrix.copy()
        matrix[place, place] += 1
        predict(PretrainedVectors(list(wide.words), matrix))
    predict(PretrainedVectors([*list(wide.words)[:-1], "last"], wide.matrix))
    assert len(models(cache_folder)) == 5


def test_a_file_has_a_model_per_limit(wide_files: Path, cache_folder: Path) -> None:
    for limit in (None, None, 8):
        predict(PretrainedVectors.load(wide_files / "word2vec.bin", limit=limit))
        clear_memos()
    assert len(models(cache_folder)) == 2


def test_a_pickle_holds_no_model_and_finds_it_again(wide: Table, cache_folder: Path) -> None:
    vectors, size = fresh(wide), len(pickle.dumps(fresh(wide)))
    expected, before = predict(vectors), models(cache_folder)
    assert len(pickle.dumps(vectors)) == size
    np.testing.assert_array_equal(predict(pickle.loads(pickle.dumps(vectors))), expected)
    assert models(cache_folder) == before


def test_models_of_small_tables_are_not_kept(tiny: Table) -> None:
    predict(fresh(tiny))
    assert cache_info().n_models == 0


def test_no_model_is_fitted_if_every_word_is_known(wide: Table) -> None:
    assert fresh(wide).look_up(["cat"], oov="subword")[0].tolist() == [0]
    assert cache_info().n_models == 0


PROCESS = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from sklearn_transfer import PretrainedVectors
    save = np.save
    def slowly(*args, **kwargs):
        Path(sys.argv[1], str(time.time_ns())).touch()
        time.sleep(0.1)
        return save(*args, **kwargs)
    np.save = slowly
    vectors = PretrainedVectors([f"word{i}" for i in range(600)], np.eye(600))
    print(vectors.look_up(["wordy"], oov="subword")[1].sum())
"""


def test_several_processes_at_once_fit_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate(timeout=120)[0] for process in processes}
    assert len(outputs) == 1
    assert float(outputs.pop()) > 0
    assert len(list(tmp_path.iterdir())) == 6  # the arrays of one folder


@pytest.mark.parametrize("name", ["vectors.json", "subwords.npy", "offsets.npy"])
def test_a_damaged_model_is_fitted_again(name: str, wide: Table, cache_folder: Path) -> None:
    expected, before = predict(fresh(wide)), models(cache_folder)
    (damaged,) = cache_folder.glob(f"{cache.MODELS}/*/{name}")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    np.testing.assert_array_equal(predict(fresh(wide)), expected)
    assert models(cache_folder).keys() == before.keys()
    assert models(cache_folder) != before


def test_a_full_disk_is_a_warning(
    wide: Table, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", save)
    with pytest.warns(
        UserWarning,
        match=r"tiny: the n-gram model for oov='subword' cannot be kept in .*No space left on "
        r"device.*fitted again in each process; set SKLEARN_TRANSFER_CACHE to a folder with room",
    ):
        predicted = predict(fresh(wide))
    np.testing.assert_array_equal(predicted, fit_subwords(wide).vectors(UNKNOWN))
    left = [path.name for path in (cache_folder / cache.MODELS).iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []


def test_a_cache_that_cannot_be_written_is_a_warning(
    wide: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "taken"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        predicted = predict(fresh(wide))
    np.testing.assert_array_equal(predicted, fit_subwords(wide).vectors(UNKNOWN))


def test_info_counts_models_and_clearing_removes_them(wide: Table) -> None:
    vectors = fresh(wide)
    expected, info = predict(vectors), cache_info()
    assert (info.n_tables, info.n_models) == (0, 1)
    assert info.n_bytes > 1000
    clear_cache()
    assert cache_info().n_models == 0
    np.testing.assert_array_equal(predict(vectors), expected)
