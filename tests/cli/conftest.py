"""Small vectors, data as they are, a model file, and the command line in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sklearn_transfer import FineTunedClassifier, PretrainedVectors
from sklearn_transfer.cli.program import program

GOOD, BAD = ["good", "great", "superb", "lovely"], ["bad", "awful", "poor", "dull"]
OTHERS = ["film", "plot", "a", "the"]

Run = Callable[..., Result]


def make_rows() -> list[tuple[str, str]]:
    """24 texts and their labels."""
    rows = []
    for noun in ("film", "plot", "scene"):
        for good, bad in zip(GOOD, BAD, strict=True):
            rows += [(f"a {good} {noun}", "pos"), (f"a {bad} {noun}", "neg")]
    return rows


@pytest.fixture(scope="session")
def vectors() -> PretrainedVectors:
    matrix = [[1.0, 0.1]] * 4 + [[-1.0, 0.1]] * 4 + [[0.0, 1.0]] * 4
    return PretrainedVectors(GOOD + BAD + OTHERS, matrix)


@pytest.fixture(scope="session")
def vectors_file(vectors: PretrainedVectors, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vectors") / "small.txt"
    vectors.write(path, format="word2vec-text")
    return str(path)


@pytest.fixture(scope="session")
def saved_model(vectors: PretrainedVectors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts, labels = zip(*make_rows(), strict=True)
    model = FineTunedClassifier(vectors, random_state=0).fit(list(texts), list(labels))
    path = tmp_path_factory.mktemp("models") / "model.zip"
    model.save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of the commands, with a clean file, one as files are, and new texts."""
    monkeypatch.chdir(tmp_path)
    clean = "text,label\n" + "".join(f"{text},{label}\n" for text, label in make_rows())
    Path("clean.csv").write_text(clean, encoding="utf-8")
    Path("new.csv").write_text("id,text\n7,superb acting\n8,\n9,how awful\n", encoding="utf-8")
    faults = b",pos\na good film,\n" + "caf\xe9,pos\n".encode("latin-1")
    repeated = b"a good film,pos\na dull plot,pos\n"
    Path("reviews.csv").write_bytes(b"\xef\xbb\xbf" + clean.encode() + faults + repeated)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Run a command in the folder and check its exit code."""

    def call(*arguments: object, code: int = 0, given: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(program, list(map(str, arguments)), input=given)
        assert result.exit_code == code, result.output
        assert not code or result.stderr.strip().count("\n") == result.stderr.count("Note: ")
        return result

    return call
