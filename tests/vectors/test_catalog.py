from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from gensim import downloader

from sklearn_transfer import MissingDependencyError, PretrainedVectors, load_pretrained
from sklearn_transfer.vectors import catalog
from sklearn_transfer.vectors.catalog import locate
from sklearn_transfer.vectors.table.table import Table

NAME = "glove-wiki-gigaword-50"


@pytest.fixture(autouse=True)
def gensim_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of gensim-data, and no network."""

    def load(name: str, return_path: bool = False) -> str:
        raise OSError("no network in tests")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path / "gensim-data"))
    monkeypatch.setattr(downloader, "load", load)
    return tmp_path / "gensim-data"


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.PACKAGED, NAME, ("package_that_is_nowhere", "data", "glove"))


@pytest.fixture
def wheel(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny files of tests/data, in a package that must not run."""
    package = tmp_path / "site" / "glove_that_must_not_run"
    shutil.copytree(data / "wheel", package / "data")
    (package / "__init__.py").write_text("raise SystemExit('the package has run')")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setitem(catalog.PACKAGED, NAME, (package.name, "data", "glove"))
    return package


NAMES = (
    "conceptnet-numberbatch-17-06-300, fasttext-wiki-news-subwords-300, glove-twitter-100, "
    "glove-twitter-200, glove-twitter-25, glove-twitter-50, glove-wiki-gigaword-100, "
    "glove-wiki-gigaword-200, glove-wiki-gigaword-300, glove-wiki-gigaword-50, "
    "tokenlearn-static-model, word2vec-google-news-300, word2vec-ruscorpora-300, wordllama"
)


def add(folder: Path, name: str, data: Path) -> Path:
    """Put a model into a folder as gensim's downloader does."""
    (folder / name).mkdir(parents=True)
    return Path(shutil.copy(data / "word2vec.txt.gz", folder / name / f"{name}.gz"))


# ---- paths ----


@pytest.mark.parametrize(
    "name", ["n" * 300, "~nobody-of-that-name", "~nobody-of-that-name/x", "\0"]
)
def test_a_name_that_is_no_path_gives_the_promised_error(name: str) -> None:
    for load in (locate, PretrainedVectors.load, load_pretrained):
        with pytest.raises(FileNotFoundError, match="No pretrained vectors"):
            load(name)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_made_absolute(data: Path, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    monkeypatch.chdir(data)
    assert locate(kind("glove.txt")) == (data / "glove.txt").resolve()


def test_the_tilde_is_the_home_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shutil.copy(data / "glove.txt", tmp_path)
    assert locate("~/glove.txt") == (tmp_path / "glove.txt").resolve()


def test_a_file_here_goes_before_a_name(
    wheel: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(data / "glove.txt", tmp_path / NAME)
    assert locate(NAME) == (tmp_path / NAME).resolve()


@pytest.mark.parametrize(
    "source", ["no/such/vectors", "vectors.txt", "./vectors", Path("vectors"), "~/vectors.bin"]
)
def test_a_path_where_nothing_is_names_the_folder_looked_from(
    source: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        locate(source)
    assert str(caught.value) == (
        f"No pretrained vectors at {str(source)!r}: expected a file or a folder "
        f"(looked from {tmp_path})."
    )


def test_a_path_is_never_asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloader, "load", lambda *_, **__: pytest.fail("asked the network"))
    with pytest.raises(FileNotFoundError, match="expected a file or a folder"):
        locate("no-such-vectors.txt")


# ---- the wheel ----


def test_the_wheel_is_found_without_running_the_package(wheel: Path) -> None:
    assert locate(NAME) == wheel / "data"
    assert wheel.name not in sys.modules


def test_the_wheel_is_read_under_its_name(wheel: Path, tiny: Table) -> None:
    pytest.importorskip("pyarrow", reason="the extra glove")
    vectors = load_pretrained(NAME)
    assert (vectors.name, vectors.path) == (NAME, str(wheel / "data"))
    np.testing.assert_array_equal(vectors.matrix, tiny.matrix)


def test_the_wheel_goes_before_the_folder_of_gensim(
    wheel: Path, gensim_folder: Path, data: Path
) -> None:
    add(gensim_folder, NAME, data)
    assert locate(NAME) == wheel / "data"


def test_a_package_without_its_files_is_as_none(
    wheel: Path, gensim_folder: Path, data: Path
) -> None:
    shutil.rmtree(wheel / "data")
    path = add(gensim_folder, NAME, data)
    assert locate(NAME) == path


def test_without_the_wheel_the_extra_and_all_places_are_named(
    no_wheel: None, gensim_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingDependencyError) as caught:
        locate(NAME)
    assert str(caught.value) == (
        f"The vectors '{NAME}' come with the package 'package_that_is_nowhere', which is not "
        f"installed: pip install package-that-is-nowhere; or, in a clone of sklearn-transfer, all "
        f'packages of this extra: pip install -e ".[glove]". Elsewhere: not a path (looked from '
        f"{tmp_path}), not in {gensim_folder}, and gensim's downloader says: no network in tests."
    )


@pytest.mark.parametrize("name", ["wordllama", "tokenlearn-static-model"])
def test_a_package_that_no_extra_brings_is_named_as_it_is_installed(
    gensim_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    package, folder, extra = catalog.PACKAGED[name]
    assert extra is None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(catalog.PACKAGED, name, ("package_that_is_nowhere", folder, extra))
    with pytest.raises(MissingDependencyError) as caught:
        locate(name)
    assert str(caught.value) == (
        f"The vectors '{name}' come with the package 'package_that_is_nowhere', which is not "
        f"installed: pip install {name}. Elsewhere: not a path (looked from {tmp_path}), not in "
        f"{gensim_folder}."
    )
    (tmp_path / "site" / f"{package}_that_must_not_run" / folder).mkdir(parents=True)
    (tmp_path / "site" / f"{package}_that_must_not_run" / "__init__.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path / "site")
    place = (f"{package}_that_must_not_run", folder, extra)
    monkeypatch.setitem(catalog.PACKAGED, name, place)
    assert locate(name) == tmp_path / "site" / f"{package}_that_must_not_run" / folder


# ---- gensim-data ----


def test_the_folder_of_gensim_is_looked_into(gensim_folder: Path, data: Path, tiny: Table) -> None:
    path = add(gensim_folder, "some-model-4", data)
    vectors = PretrainedVectors.load("some-model-4")
    assert (vectors.name, vectors.path) == ("some-model-4", str(path))
    np.testing.assert_array_equal(vectors.matrix, tiny.matrix)


def test_without_the_variable_the_folder_is_in_the_home_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GENSIM_DATA_DIR")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    path = add(tmp_path / "gensim-data", "some-model-4", data)
    assert locate("some-model-4") == path


def test_a_name_that_is_nowhere_is_downloaded_by_gensim(
    gensim_folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str, return_path: bool = False) -> str:
        assert return_path  # else gensim reads all of it
        return str(add(gensim_folder, name, data))

    monkeypatch.setattr(downloader, "load", load)
    vectors = load_pretrained("new-model-4")
    assert vectors.path == str(gensim_folder / "new-model-4" / "new-model-4.gz")


def test_what_was_downloaded_is_not_asked_for_again(
    gensim_folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(gensim_folder, "new-model-4", data)
    monkeypatch.setattr(downloader, "load", lambda *_, **__: pytest.fail("asked the network"))
    assert locate("new-model-4").exists()


def test_the_wheel_that_is_missing_can_be_downloaded(
    no_wheel: None, gensim_folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloader, "load", lambda name, **_: str(add(gensim_folder, name, data)))
    assert locate(NAME) == gensim_folder / NAME / f"{NAME}.gz"


@pytest.mark.parametrize("kind", [ValueError, OSError, Exception])
def test_what_the_downloader_says_is_passed_on_with_the_places(
    gensim_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def load(name: str, return_path: bool = False) -> str:
        raise kind(f"Incorrect model/corpus name: {name}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(downloader, "load", load)
    with pytest.raises(FileNotFoundError) as caught:
        locate("no-such-model")
    assert str(caught.value) == (
        f"No pretrained vectors called 'no-such-model': not a path (looked from {tmp_path}), not "
        f"in {gensim_folder}, and gensim's downloader says: Incorrect model/corpus name: "
        f"no-such-model. Names are {NAMES}; org/name on the Hugging Face hub; and paths."
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("glove-wiki-gigaword-5", NAME),
        ("GloVe-Wiki-Gigaword-50", NAME),
        ("glove_wiki_gigaword_300", "glove-wiki-gigaword-300"),
        ("word2vec-google-news", "word2vec-google-news-300"),
        ("word-llama", "wordllama"),
    ],
)
def test_a_misspelled_name_is_asked_back(gensim_folder: Path, name: str, meant: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"no network in tests\. Did you mean '{meant}'\?"):
        locate(name)


@pytest.mark.parametrize(
    ("name", "meant"), [("vectors.tx", "vectors.txt"), ("Vectors.TXT.gz", "vectors.txt.gz")]
)
def test_a_misspelled_path_is_asked_back(tmp_path: Path, name: str, meant: str) -> None:
    for file in ("vectors.txt", "vectors.txt.gz", "other"):
        (tmp_path / file).touch()
    with pytest.raises(FileNotFoundError, match=rf"\)\. Did you mean '{meant}'\?$"):
        locate(tmp_path / name)
