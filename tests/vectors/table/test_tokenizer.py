from __future__ import annotations

import base64
import copy
import json
import pickle
import sys
from pathlib import Path

import pytest

pytest.importorskip("tokenizers", reason="the extra static")

from static_toys import TOKENIZERS, word_level, word_piece
from tokenizers import Tokenizer, models

from sklearn_transfer import MissingDependencyError
from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.table.tokenizer import TableTokenizer


def table_tokenizer(tokenizer: Tokenizer, skipped: tuple[str, ...] = ()) -> TableTokenizer:
    return TableTokenizer(tokenizer.to_str(), skipped)


@pytest.mark.parametrize(
    ("name", "unknown"),
    [("WordLevel", "[UNK]"), ("WordPiece", "[UNK]"), ("BPE", "<unk>"), ("Unigram", "<unk>")],
)
def test_the_token_for_the_unknown_is_found_in_every_model(name: str, unknown: str) -> None:
    tokenizer = table_tokenizer(TOKENIZERS[name]())
    assert tokenizer.unknown == unknown
    (tokens,) = tokenizer.split_all(["\u732b"])
    assert tokens[-1] == unknown
    (left,) = tokenizer.skipping([unknown]).split_all(["\u732b"])
    assert unknown not in left


@pytest.mark.parametrize(
    "model",
    [
        models.BPE({"a": 0}, []),
        models.Unigram([("a", 0.0)]),
        models.BPE({"a": 0}, [], unk_token="?"),
    ],
)
def test_there_need_be_no_such_token(model: models.Model) -> None:
    assert table_tokenizer(Tokenizer(model)).unknown is None


def test_many_texts_are_split_in_order() -> None:
    tokenizer = table_tokenizer(word_level())
    texts = ["cat " * (i % 5) for i in range(3000)]
    assert list(tokenizer.split_all(texts)) == [["cat"] * (i % 5) for i in range(3000)]


def test_a_lone_surrogate_is_no_error() -> None:
    assert list(table_tokenizer(word_level()).split_all(["cat \ud800 sat"])) == [
        ["cat", "[UNK]", "sat"]
    ]


def test_a_text_that_cannot_be_split_is_an_error_of_the_file() -> None:
    tokenizer = table_tokenizer(Tokenizer(models.WordLevel({"cat": 0}, unk_token="[UNK]")))
    with pytest.raises(VectorFormatError, match="cannot split a text: WordLevel error: Missing"):
        list(tokenizer.split_all(["dog"]))


def test_equal_tokenizers_are_one_key_and_survive_a_pickle() -> None:
    one, other = (
        table_tokenizer(word_piece(), ("[UNK]",)),
        table_tokenizer(word_piece(), ("[UNK]",)),
    )
    list(one.split_all(["cat"]))
    for same in (other, pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert same == one
        assert hash(same) == hash(one)
    assert one != one.skipping([])
    assert one != table_tokenizer(word_level(), ("[UNK]",))


def test_a_prompt_precedes_each_text_and_survives_a_pickle() -> None:
    content = word_level().to_str()
    one, plain = TableTokenizer(content, ["[UNK]"], "sat "), TableTokenizer(content, ["[UNK]"])
    for same in (one, pickle.loads(pickle.dumps(one)), one.skipping(["[UNK]"])):
        assert same == one != plain
        assert list(same.split_all(["cat zork", ""])) == [["sat", "cat"], ["sat"]]
    assert list(pickle.loads(pickle.dumps(plain)).split_all(["cat"])) == [["cat"]]


def test_tokens_are_named_in_the_order_of_their_ids() -> None:
    tokenizer = Tokenizer(models.WordLevel({"c": 1, "a": 2, "b": 0}, unk_token="b"))
    names = table_tokenizer(tokenizer).check(Path("t.json"))
    assert list(names.items()) == [(0, "b"), (1, "c"), (2, "a")]


def test_texts_are_neither_truncated_nor_padded() -> None:
    tokenizer = word_level()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9, pad_token="cat")
    assert list(table_tokenizer(tokenizer).split_all(["cat sat cat", "sat"])) == [
        ["cat", "sat", "cat"],
        ["sat"],
    ]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = table_tokenizer(word_level())
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match="which is not installed: pip install tok"):
        tokenizer.check(Path("t.json"))
    with pytest.raises(
        MissingDependencyError,
        match=r"^Splitting texts into the tokens of these vectors needs the package 'tokenizers', "
        r'which is not installed: pip install tokenizers; .*: pip install -e "\.\[static\]"\.$',
    ):
        list(tokenizer.split_all(["cat"]))


# ---- attacks ----


def charsmap(text: bytes) -> str:
    """A table of replacements, without a trie, that holds one text."""
    return base64.b64encode((0).to_bytes(4, "little") + text + b"\0").decode()


CHAINS: dict[str, list[dict[str, object]]] = {
    "texts": [{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 40,
    "expressions": [{"type": "Replace", "pattern": {"Regex": "a?"}, "content": "a"}] * 40,
    "a huge text": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10**6}],
    "beginnings": [{"type": "Prepend", "prepend": "a" * 9}] * 40,
    "bytes": [{"type": "ByteLevel"}] * 40,
    "a table": [{"type": "Precompiled", "precompiled_charsmap": charsmap(b"a" * 10**6)}],
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("nested", [False, True])
def test_a_chain_of_normalizers_is_refused_before_it_runs(name: str, nested: bool) -> None:
    parts = CHAINS[name]
    if nested:
        parts = [{"type": "Sequence", "normalizers": parts}]
    content = json.loads(word_level().to_str())
    content["normalizer"] = {"type": "Sequence", "normalizers": parts}
    tokenizer = TableTokenizer(json.dumps(content))
    with pytest.raises(VectorFormatError, match=r"t.json: .*expected normalizers that make a text"):
        tokenizer.check(Path("t.json"))
    with pytest.raises(VectorFormatError, match="expected normalizers that make a text at most 64"):
        list(tokenizer.split_all(["a" * 100]))


def test_the_normalizers_of_known_models_are_no_chain() -> None:
    replace = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}
    quotes = {"type": "Replace", "pattern": {"String": "``"}, "content": '"'}
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    start = {"type": "Prepend", "prepend": "\u2581"}
    parts = [{"type": "NFKC"}, quotes, quotes, space, start, replace, replace]
    content = json.loads(word_level().to_str())
    content["normalizer"] = {"type": "Sequence", "normalizers": parts}
    assert TableTokenizer(json.dumps(content)).check(Path("t.json"))


def test_crafted_content_is_an_error_when_it_is_used() -> None:
    with pytest.raises(VectorFormatError, match="tokenizer of these vectors cannot be opened"):
        list(TableTokenizer('{"model": {}}').split_all(["cat"]))


@pytest.mark.parametrize("largest", [2_000_000, 2**31, 2**32 - 1])
def test_ids_far_beyond_the_number_of_tokens_are_refused_at_once(
    largest: int, tmp_path: Path
) -> None:
    for make in (word_level, word_piece):
        content = json.loads(make().to_str())
        content["model"]["vocab"]["film"] = largest
        with pytest.raises(VectorFormatError, match=rf"{tmp_path}.*token ids up to .*{largest}"):
            TableTokenizer(json.dumps(content)).check(tmp_path)
