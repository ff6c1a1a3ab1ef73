from __future__ import annotations

import pickle
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tokenizers", reason="the extra static")
pytest.importorskip("safetensors", reason="the extra static")
pytest.importorskip("huggingface_hub", reason="the extra static")

import huggingface_hub
from static_toys import numbers, save_model, save_modules, word_level

from sklearn_transfer import (
    ContextualModel,
    MissingDependencyError,
    PretrainedVectors,
    load_pretrained,
)
from sklearn_transfer.vectors import hub
from sklearn_transfer.vectors.catalog import locate

COMMIT, OTHER = "a" * 40, "b" * 40
_real = huggingface_hub.snapshot_download


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is asked of the network, which there is none of."""
    calls: list[dict[str, Any]] = []

    def download(repository: str, **options: Any) -> str:
        if options["local_files_only"]:
            return str(_real(repository, **options))
        calls.append({"repository": repository, **options})
        raise OSError("no network in tests")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return calls


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's client; the working folder is empty, too."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def lay_out(cache: Path, name: str, source: Path, commit: str = COMMIT, ref: str = "main") -> Path:
    """Put a folder into a cache as the client does: links to blobs, in a folder of the commit."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    (repository / "refs" / ref).write_text(commit)
    for file in source.rglob("*"):
        if file.is_file():
            blob = repository / "blobs" / f"{abs(hash((commit, str(file)))):x}"
            blob.write_bytes(file.read_bytes())
            link = snapshot / file.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)
    return snapshot


def model(folder: Path, dim: int = 3) -> Path:
    return save_model(folder, word_level(), {"embeddings": numbers(8, dim)})


# ---- names ----


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("org/name", ("org/name", None)),
        ("minishlab/potion-base-8M", ("minishlab/potion-base-8M", None)),
        ("org/model-v1.5", ("org/model-v1.5", None)),
        ("hf://org/name", ("org/name", None)),
        ("hf://org/name@v1.0", ("org/name", "v1.0")),
        ("hf://org/name@refs/pr/1", ("org/name", "refs/pr/1")),
        ("hf://org/vectors.bin", ("org/vectors.bin", None)),
    ],
)
def test_names_are_told_from_paths(source: str, name: tuple[str, str | None]) -> None:
    assert hub.parse(source) == name


@pytest.mark.parametrize(
    "source",
    [
        "name",
        "a/b/c",
        "./name",
        "../name",
        "~/name",
        "/org/name",
        "org/",
        "org/vectors.txt",
        "org/vectors.BIN",
        "org/vectors.txt.gz",
        "org/name@v1",
        "org/n\u00e4me",
        "a\\b/c",
    ],
)
def test_what_looks_like_a_path_is_none(source: str) -> None:
    assert hub.parse(source) is None


def test_a_file_that_is_missing_from_a_folder_is_not_asked_of_the_hub(
    cache: Path, asked: list[Any]
) -> None:
    Path("vectors").mkdir()
    with pytest.raises(FileNotFoundError, match="expected a file or a folder"):
        locate("vectors/mine")
    assert locate("vectors") == Path("vectors").resolve()
    assert not asked


@pytest.mark.parametrize("source", ["hf://", "hf://name", "hf://a/b/c", "hf://a/b@", "hf://../a"])
def test_no_name_behind_the_prefix_is_an_error(source: str) -> None:
    with pytest.raises(ValueError, match=r"hf://org/name@revision, got 'hf://"):
        locate(source)


# ---- the cache ----


@pytest.mark.parametrize("source", ["org/name", "hf://org/name", f"hf://org/name@{COMMIT}"])
def test_what_lies_in_the_cache_is_used_without_asking(
    cache: Path, tmp_path: Path, source: str, asked: list[Any]
) -> None:
    snapshot = lay_out(cache, "org/name", model(tmp_path / "m"))
    vectors = load_pretrained(source)
    assert (vectors.path, vectors.name) == (str(snapshot), source)
    assert load_pretrained(source) is vectors
    assert not asked


def test_a_revision_is_another_model(cache: Path, tmp_path: Path) -> None:
    lay_out(cache, "org/name", model(tmp_path / "m"))
    lay_out(cache, "org/name", model(tmp_path / "n", 5), OTHER, "v2")
    assert load_pretrained("org/name").dim == 3
    assert load_pretrained("hf://org/name@v2").dim == 5


def test_a_model_in_a_subfolder_is_found(cache: Path, tmp_path: Path) -> None:
    matrix = {"embedding.weight": numbers(8, 3)}
    save_model(tmp_path / "m" / "0_StaticEmbedding", word_level(), matrix)
    save_modules(tmp_path / "m", ("StaticEmbedding", "0_StaticEmbedding"))
    lay_out(cache, "org/name", tmp_path / "m")
    assert len(load_pretrained("org/name")) == 8


def test_a_folder_of_ours_may_lie_on_the_hub(cache: Path, tmp_path: Path, folder: Path) -> None:
    lay_out(cache, "org/name", folder)
    assert len(load_pretrained("org/name")) == 12


def test_a_fasttext_model_is_the_file_in_it(cache: Path, tmp_path: Path, data: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.bin").write_bytes((data / "fasttext.bin").read_bytes())
    snapshot = lay_out(cache, "org/name", tmp_path / "m")
    vectors = load_pretrained("org/name")
    assert vectors.path == str(snapshot / "model.bin")
    assert vectors.subwords is not None


def test_a_folder_here_goes_before_the_hub(cache: Path, tmp_path: Path) -> None:
    lay_out(cache, "org/name", model(tmp_path / "m"))
    model(Path("org") / "name", 5)
    assert load_pretrained("org/name").dim == 5
    assert load_pretrained("hf://org/name").dim == 3


# ---- the network ----


def test_what_is_not_there_is_downloaded_and_only_what_is_read(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(repository: str, **options: Any) -> str:
        if options["local_files_only"]:
            return str(_real(repository, **options))
        for file, wanted in {
            "model.safetensors": True,
            "tokenizer.json": True,
            "1_Pooling/config.json": True,
            "vocab.txt": True,
            "pytorch_model.bin": False,
            "modeling.py": False,
        }.items():
            patterns = options["allow_patterns"]
            assert any(fnmatch(file, pattern) for pattern in patterns) == wanted
        assert options["revision"] == "v1"
        folder = model(tmp_path / "m")
        return str(lay_out(Path(options["cache_dir"]), repository, folder, ref="v1"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load_pretrained("hf://org/name@v1").dim == 3


def test_what_is_there_in_part_is_completed(cache: Path, tmp_path: Path, asked: list[Any]) -> None:
    (model(tmp_path / "m") / "model.safetensors").unlink()
    lay_out(cache, "org/name", tmp_path / "m")
    with pytest.raises(FileNotFoundError):
        locate("org/name")
    assert [call["repository"] for call in asked] == ["org/name"]


def test_where_nothing_is_the_places_are_named(cache: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        PretrainedVectors.load("hf://org/name@v1")
    assert str(caught.value) == (
        f"No pretrained vectors called 'org/name' at the revision 'v1': not a path (looked from "
        f"{Path.cwd()}), not in {cache}, and the hub says: no network in tests."
    )


@pytest.mark.parametrize("value", ["1", "true"])
def test_offline_the_hub_is_not_asked(
    cache: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(FileNotFoundError, match=r"not in .*hub, and HF_HUB_OFFLINE is set\.$"):
        locate("org/name")
    assert not asked


def test_a_repository_of_something_else_says_what_was_expected(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    snapshot = lay_out(cache, "org/name", tmp_path / "m")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(snapshot))
    with pytest.raises(FileNotFoundError, match=r"the hub has no model.safetensors with tokenizer"):
        locate("org/name")


def test_a_missing_library_names_the_extra(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError) as caught:
        locate("org/name")
    assert str(caught.value) == (
        "Looking up 'org/name', which is no path here, on the Hugging Face hub needs the package "
        "'huggingface_hub', which is not installed: pip install huggingface-hub; or, in a clone of "
        'sklearn-transfer, all packages of this extra: pip install -e ".[static]".'
    )


def test_a_contextual_model_in_the_cache(cache: Path, tmp_path: Path, asked: list[Any]) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra contextual")
    from contextual_toys import TEXTS, save_tiny

    lay_out(cache, "org/encoder", save_tiny(tmp_path / "encoder"))
    for name in ("org/encoder", "hf://org/encoder@main"):
        found = load_pretrained(name)
        assert isinstance(found, ContextualModel)
        assert found.encode(TEXTS).shape == (len(TEXTS), 16)
    assert not asked


# ---- copies that are incomplete ----


def lay_out_transformer(cache: Path, folder: Path) -> Path:
    """What `AutoModel` and `AutoTokenizer` download of a sentence encoder."""
    pytest.importorskip("sentence_transformers", reason="the extra contextual")
    from contextual_toys import save_tiny

    save_tiny(folder)
    (folder / "part").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / "part" / name).write_bytes((folder / "model" / name).read_bytes())
    return lay_out(cache, "org/encoder", folder / "part")


def completing(folder: Path) -> Any:
    """A hub that has the whole of the model."""

    def download(repository: str, **options: Any) -> str:
        if options["local_files_only"]:
            return str(_real(repository, **options))
        snapshot = Path(_real(repository, **options | {"local_files_only": True}))
        for file in folder.rglob("*.json"):
            target = snapshot / file.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
        return str(snapshot)

    return download


def test_a_transformer_without_its_modules_is_completed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = lay_out_transformer(cache, tmp_path / "toys")
    whole = tmp_path / "toys" / "model"
    monkeypatch.setattr(huggingface_hub, "snapshot_download", completing(whole))
    assert locate("org/encoder") == snapshot
    assert (snapshot / "modules.json").exists()
    texts = ["the cat", "a good film"]
    found = load_pretrained("org/encoder").encode(texts)
    assert found.tolist() == ContextualModel(whole).encode(texts).tolist()


def test_offline_a_transformer_without_its_modules_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    snapshot = lay_out_transformer(cache, tmp_path / "toys")
    with pytest.raises(FileNotFoundError, match=r"incomplete.*the hub says: no network in tests"):
        load_pretrained("org/encoder")
    assert len(asked) == 1
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = r"may be incomplete: expected modules.json.*HF_HUB_OFFLINE is set. Connect"
    with pytest.raises(FileNotFoundError, match=message):
        ContextualModel("org/encoder").encode(["a cat"])
    assert len(asked) == 1
    assert ContextualModel(snapshot).encode(["a cat"]).shape == (1, 16)
    # The note of the library that the hub has no such file.
    note = cache / "models--org--encoder" / ".no_exist" / COMMIT / "modules.json"
    note.parent.mkdir(parents=True)
    note.touch()
    assert locate("org/encoder") == snapshot


def test_a_repository_without_modules_is_asked_once(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = lay_out_transformer(cache, tmp_path / "toys")
    noted = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", completing(tmp_path / "toys" / "part")
    )
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **_: noted.append(a))
    assert locate("org/encoder") == snapshot
    assert noted == [("org/encoder", "modules.json")]


def test_a_module_that_is_missing_is_completed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = lay_out_transformer(cache, tmp_path / "toys")
    whole = tmp_path / "toys" / "model"
    (snapshot / "modules.json").write_bytes((whole / "modules.json").read_bytes())
    with pytest.raises(FileNotFoundError, match="may be incomplete"):
        locate("org/encoder")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", completing(whole))
    assert locate("org/encoder") == snapshot
    assert (snapshot / "1_Pooling" / "config.json").exists()


def test_the_folder_of_sentence_transformers(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    home = tmp_path / "home"
    snapshot = lay_out(home, "org/name", model(tmp_path / "m"))
    with pytest.raises(FileNotFoundError):
        locate("org/name")
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(home))
    assert locate("org/name") == snapshot
    other = lay_out(cache, "org/other", model(tmp_path / "n"))
    assert locate("org/other") == other
    with pytest.raises(FileNotFoundError, match=f"not in {home} or {cache}"):
        locate("org/neither")
    assert asked[-1]["cache_dir"] == str(home)


# ---- short names ----


def test_a_short_name_is_one_of_sentence_transformers(
    cache: Path, tmp_path: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gensim import downloader

    def refuse(name: str, return_path: bool = False) -> str:
        raise ValueError(f"Incorrect model/corpus name: {name}")

    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path / "gensim-data"))
    monkeypatch.setattr(downloader, "load", refuse)
    with pytest.raises(FileNotFoundError, match="No pretrained vectors called 'all-tiny-L3'"):
        locate("all-tiny-L3")
    assert [call["repository"] for call in asked] == ["sentence-transformers/all-tiny-L3"]
    monkeypatch.setattr(downloader, "load", lambda *_, **__: pytest.fail("asked the network"))
    snapshot = lay_out(cache, "sentence-transformers/all-tiny-L3", model(tmp_path / "m"))
    assert locate("all-tiny-L3") == snapshot
    assert len(load_pretrained("all-tiny-L3")) == 8
    assert len(asked) == 1


def test_a_short_name_of_an_encoder_in_a_pickle(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra contextual")
    from contextual_toys import TEXTS, save_tiny

    lay_out(cache, "sentence-transformers/all-tiny-L3", save_tiny(tmp_path / "encoder"))
    found = load_pretrained("all-tiny-L3")
    features = found.encode(TEXTS)
    again = pickle.loads(pickle.dumps(found))
    assert again.source == "sentence-transformers/all-tiny-L3"
    assert again.encode(TEXTS).tolist() == features.tolist()
