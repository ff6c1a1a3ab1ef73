from __future__ import annotations

import json
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

from contextual_toys import DIM, TEXTS, make_router, open_library, save_tiny
from safetensors.numpy import load_file, save_file
from sentence_transformers.sentence_transformer.modules import Dense

from sklearn_transfer import ContextualModel, VectorFormatError, load_pretrained
from sklearn_transfer.contextual.safety import (
    catch_library_errors,
    check_folder,
    is_contextual_folder,
    is_library_model,
)


def test_a_folder_with_a_pickle_is_not_opened(tiny_model: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(VectorFormatError, match=r"a pickle, which runs whatever.*save_pretrained"):
        ContextualModel(folder).encode(TEXTS)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(VectorFormatError, match="expected weights in safetensors"):
        ContextualModel(folder).encode(TEXTS)


def test_a_pickle_in_the_folder_of_a_module(tiny_model: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "1_Pooling" / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "1_Pooling" / "decoy.safetensors").write_bytes(b"no weights")
    with pytest.raises(VectorFormatError, match=r"1_Pooling/pytorch_model.bin: a pickle"):
        ContextualModel(folder).encode(TEXTS)


def test_pickles_that_are_no_part_of_it_are_let_be(tiny_model: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "pytorch_model.bin").write_bytes(b"beside safetensors, which are opened")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "optimizer.pt").write_bytes(b"of no module")
    assert ContextualModel(folder).encode(TEXTS).shape == (len(TEXTS), DIM)


def test_adapters_and_paths_that_lead_out(tiny_model: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "evil"}')
    with pytest.raises(VectorFormatError, match=r"an adapter \(LoRA\), whose base model, 'evil'"):
        ContextualModel(folder).encode(TEXTS)
    (folder / "adapter_config.json").unlink()
    modules = folder / "modules.json"
    modules.write_text(modules.read_text().replace("1_Pooling", "../1_Pooling"))
    with pytest.raises(VectorFormatError, match="leads out of the folder"):
        ContextualModel(folder).encode(TEXTS)


def test_the_folder_of_an_adapter_has_a_message_of_its_own(tmp_path: Path):
    # As peft saves it, and as sentence-transformers does.
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    message = r"\(LoRA\), whose base model, 'org/base', lies.*pretrained=SentenceTransformer\('"
    with pytest.raises(VectorFormatError, match=message):
        load_pretrained(tmp_path).encode(TEXTS)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    modules = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(VectorFormatError, match=message):
        load_pretrained(tmp_path).encode(TEXTS)


def test_modules_of_a_router_are_checked_as_others_are(tmp_path: Path):
    folder = tmp_path / "model"
    make_router(tmp_path / "toys", "query").save(str(folder), create_model_card=False)
    assert ContextualModel(folder).encode(TEXTS).shape == (len(TEXTS), DIM)
    file = folder / "router_config.json"
    content = file.read_text()
    file.write_text(content.replace('"sentence_transformers.', '"evil.', 1))
    with pytest.raises(VectorFormatError, match=r"code of its own \(modules.json: evil"):
        ContextualModel(folder).encode(TEXTS)
    file.write_text(content.replace('"query_0', '"../query_0'))
    with pytest.raises(VectorFormatError, match="leads out of the folder"):
        ContextualModel(folder).encode(TEXTS)
    file.write_text(content)
    weights = next(folder.glob("query_0*/model.safetensors"))
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(VectorFormatError, match="a pickle, which runs"):
        ContextualModel(folder).encode(TEXTS)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("modules.json", "sentence_transformers.", "evil.", "modules.json: evil"),
        ("config.json", "{", '{"auto_map": {"AutoModel": "x.Y"},', "config.json: auto_map"),
        (
            "sentence_bert_config.json",
            "{",
            '{"model_kwargs": {"attn_implementation": "evil/kernel"},',
            "sentence_bert_config.json: attn_implementation",
        ),
        ("config.json", "{", '{"allow_all_kernels": true,', "config.json: allow_all_kernels"),
    ],
)
def test_a_folder_with_code_is_not_opened_unless_asked(
    tiny_model: Path, tmp_path: Path, file: str, old: str, new: str, message: str
):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(VectorFormatError, match=rf"code of its own \({message}"):
        ContextualModel(folder).encode(TEXTS)


def test_any_change_of_the_weights_is_another_model(tmp_path: Path):
    folder = save_tiny(tmp_path)
    before = ContextualModel(folder).fingerprint
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    for place in (-1, -20_001):
        content[place] ^= 1
        weights.write_bytes(content)
        found = ContextualModel(folder).fingerprint
        assert found != before
        before = found
    (folder / "config_sentence_transformers.json").write_text("{}")
    assert ContextualModel(folder).fingerprint != before


def test_files_that_no_library_reads_change_nothing(tmp_path: Path):
    folder = save_tiny(tmp_path)
    model = ContextualModel(folder)
    before, content = model.fingerprint, pickle.dumps(model)
    for name in ("notes.txt", "eval_results.json", "trainer_state.json", "data_config.json"):
        (folder / name).write_text("{}")
    (folder / "1_Pooling" / "notes.txt").write_text("")
    (folder / "optimizer.safetensors").write_bytes(b"")
    assert ContextualModel(folder).fingerprint == before
    assert pickle.loads(content).encode(TEXTS).shape == (len(TEXTS), DIM)


def test_shards_are_part_of_the_model(tmp_path: Path):
    folder = save_tiny(tmp_path)
    (folder / "model.safetensors").rename(folder / "part-1.safetensors")
    weights = load_file(folder / "part-1.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "part-1.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    model = ContextualModel(folder)
    before = model.encode(TEXTS)
    save_file({name: 2 * w for name, w in weights.items()}, folder / "part-1.safetensors")
    again = ContextualModel(folder)
    assert again.fingerprint != model.fingerprint
    assert not np.allclose(again.encode(TEXTS), before)


# ---- attacks ----


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "1_Pooling/config.json", "any"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_would_block_for_ever_is_refused(
    name: str, kind: str, tiny_model: Path, tmp_path: Path
):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    with pytest.raises(VectorFormatError, match=r"expected (a regular file|the folder of)"):
        check_folder(folder, trust_remote_code=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "5"),
        ("config.json", "null"),
        ("config.json", '"text"'),
        ("config.json", '{"model_type": "bert", "a": ' + "[" * 900 + "]" * 900 + "}"),
        ("modules.json", "5"),
        ("modules.json", '{"type": 1}'),
        ("modules.json", "[[]]"),
        ("modules.json", '[{"type": "sentence_transformers.x", "path": "%s"}]' % ("n" * 300)),
        ("modules.json", '[{"type": "sentence_transformers.x", "path": "%s"}]' % ("猫" * 90)),
        ("modules.json", r'[{"type": "sentence_transformers.x", "path": "a\u0000b"}]'),
        ("modules.json", r'[{"type": "sentence_transformers.x", "path": "a\ud800"}]'),
        ("sentence_bert_config.json", "[" * 100_000),
        ("sentence_bert_config.json", "[0," * 2_000_000),
    ],
)
def test_crafted_json_gives_the_promised_error_or_is_checked(
    name: str, content: str, tiny_model: Path, tmp_path: Path
):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / name).write_text(content)
    try:
        assert check_folder(folder, trust_remote_code=False)
    except VectorFormatError as error:
        assert str(folder) in str(error)  # noqa: PT017  # either outcome is right


@pytest.mark.parametrize("announced", [DIM - 3, 10**12, 2**63 - 1])
def test_the_features_count_and_not_how_many_are_announced(
    announced: int, tiny_model: Path, tmp_path: Path
):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    content = (folder / "1_Pooling/config.json").read_text()
    assert f": {DIM}" in content
    (folder / "1_Pooling/config.json").write_text(content.replace(f": {DIM}", f": {announced}"))
    encoded = ContextualModel(folder).encode(TEXTS)
    np.testing.assert_array_equal(encoded, ContextualModel(tiny_model).encode(TEXTS))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("sentence_bert_config.json", '"last_hidden_state"', '"last_hidden_stage"'),
        ("sentence_bert_config.json", '"token_embeddings"', '"token_embedding"'),
    ],
)
def test_a_model_that_opens_and_fails_gives_the_promised_error(
    file: str, old: str, new: str, tiny_model: Path, tmp_path: Path
):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    content = (folder / file).read_text()
    assert old in content
    (folder / file).write_text(content.replace(old, new))
    with pytest.raises(VectorFormatError, match=r"model: "):
        ContextualModel(folder).encode(TEXTS)


@pytest.mark.parametrize("number", [25, 26, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("token", ["zebra", "[PAD]"])
def test_a_token_without_a_vector_is_refused_by_name(
    token: str, number: int, tiny_model: Path, tmp_path: Path
):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"][token] = number
    for added in content["added_tokens"]:
        added["id"] = content["model"]["vocab"][added["content"]]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    model = ContextualModel(folder)
    if number == 25:
        texts = ["the zebra", "the cat"]
        np.testing.assert_allclose(model.encode(texts)[1], model.encode(texts[1:])[0], atol=1e-6)
        return
    pattern = rf"model: expected token ids .*{number}"
    for use in (model.encode, model.split, model.count_tokens, lambda _: model.distill()):
        with pytest.raises(VectorFormatError, match=pattern):
            use(["the zebra", "the cat"])


def test_an_opened_model_with_the_tokenizer_of_another(tiny_model: Path):
    library = open_library(tiny_model)
    library.tokenizer.add_tokens(["zebra"])
    model = ContextualModel(library)
    assert model.encode(["the cat"]).shape == (1, DIM)
    with pytest.raises(VectorFormatError, match=r"SentenceTransformer: expected .*26.*'zebra'"):
        model.encode(["the zebra"])


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        ("config.json", "num_hidden_layers", 10**5),
        ("config.json", "num_hidden_layers", 2**63),
        ("config.json", "num_labels", 10**8),
        ("config.json", "num_local_experts", 10**6),
        ("config.json", "intermediate_size", 10**7),
        ("config.json", "vocab_size", 10**7),
        ("config.json", "depths", [2, 10**6]),
        ("2_Dense/config.json", "in_features", 10**9),
    ],
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_they_are_built(
    file: str, name: str, value: int, tmp_path: Path
):
    library = open_library(save_tiny(tmp_path / "tiny"))
    library[2] = Dense(DIM, 4)
    library.save(str(tmp_path / "model"), create_model_card=False)
    config = tmp_path / "model" / file
    ContextualModel(tmp_path / "model").encode(TEXTS)
    config.write_text(json.dumps(json.loads(config.read_text()) | {name: value}))
    start = time.process_time()
    with pytest.raises(VectorFormatError, match=rf"{file}: expected '{name}' to be at most"):
        ContextualModel(tmp_path / "model").encode(TEXTS)
    assert time.process_time() - start < 1


# ---- folders that are recognised ----


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, False),
        ({"config.json": {"model_type": "bert"}}, True),
        ({"config.json": {"model_type": "model2vec"}}, False),
        ({"config.json": {"model_type": 3}}, False),
        ({"config.json": [1]}, False),
        ({"adapter_config.json": {}}, True),
        ({"modules.json": [], "config.json": {"model_type": "bert"}}, False),
        ({"modules.json": [{"type": "sentence_transformers.models.Transformer"}]}, True),
        ({"modules.json": [{"type": "sentence_transformers.models.StaticEmbedding"}]}, False),
    ],
    ids=str,
)
def test_a_contextual_folder_is_told_by_its_configuration(
    files: dict[str, object], expected: bool, tmp_path: Path
):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert is_contextual_folder(tmp_path) is expected


def test_a_folder_that_is_not_contextual_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "model2vec"}')
    for path in (tmp_path, tmp_path / "missing", tmp_path / "config.json"):
        with pytest.raises(VectorFormatError, match=r"expected the folder of a contextual model"):
            check_folder(path, trust_remote_code=False)


def test_only_objects_of_the_library_are_library_models(tiny_model: Path):
    class SentenceTransformer:
        """Of another module."""

    assert is_library_model(open_library(tiny_model))
    assert not is_library_model(SentenceTransformer())
    assert not is_library_model(str(tiny_model))


def test_the_files_of_a_model_are_those_that_are_read_in_order(tiny_model: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    for name in ("notes.txt", "own.py", "1_Pooling/other.json", "README.md"):
        (folder / name).write_text("{}")
    files = check_folder(folder, trust_remote_code=False)
    assert files == sorted(files)
    names = {file.relative_to(folder).as_posix() for file in files}
    assert {"config.json", "modules.json", "model.safetensors", "1_Pooling/config.json"} <= names
    assert not names & {"notes.txt", "own.py", "1_Pooling/other.json", "README.md"}
    trusted = {
        file.relative_to(folder).as_posix() for file in check_folder(folder, trust_remote_code=True)
    }
    assert trusted == names | {"notes.txt", "own.py", "1_Pooling/other.json"}


# ---- errors of the library ----


class PanicException(BaseException):
    """An error that is no `Exception`."""


@pytest.mark.parametrize("error", [ValueError("bad"), PanicException("bad"), KeyError("bad")])
def test_errors_of_all_types_name_the_folder(error: BaseException):
    message = r"^folder: this model cannot be used: .*bad"
    with pytest.raises(VectorFormatError, match=message), catch_library_errors(Path("folder")):
        raise error


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (Path("folder"), KeyboardInterrupt()),
        (Path("folder"), SystemExit()),
        (Path("folder"), MemoryError()),
        (Path("folder"), RuntimeError("CUDA out of memory")),
        (Path("folder"), ImportError("no such package")),
        (Path("folder"), VectorFormatError("mine")),
        (None, ValueError("of an opened model")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_that_are_not_of_the_folder_come_through(path: Path | None, error: BaseException):
    with pytest.raises(type(error)) as caught, catch_library_errors(path):
        raise error
    assert caught.value is error
