from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sklearn_transfer import FineTunedClassifier, PretrainedEmbeddingTransformer, PretrainedVectors
from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.table.lookup import knows, look_up, predict_by_hash
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.tokenizer import TableTokenizer
from sklearn_transfer.vectors.table.vocabulary import Vocabulary

PIECES = ["[UNK]", "film", "good", "bad", "play", "##ing", "##s", "!"]


def word_piece(pieces: list[str] = PIECES) -> str:
    """A lower-casing WordPiece tokenizer, as that of BERT."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return str(tokenizer.to_str())


@pytest.fixture
def rows() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(len(PIECES), 3)).astype(np.float32)


@pytest.fixture
def pieces(rows: NDArray[np.float32]) -> PretrainedVectors:
    tokenizer = TableTokenizer(word_piece(), ["[UNK]"])
    return PretrainedVectors.from_table(Table(Vocabulary(PIECES), rows, tokenizer=tokenizer))


def test_the_transformer_splits_as_the_table_does(
    pieces: PretrainedVectors, rows: NDArray[np.float32]
) -> None:
    embed = PretrainedEmbeddingTransformer(pieces)
    features = embed.fit_transform(["Playing a film!", "zork"])
    np.testing.assert_allclose(features[0], rows[[4, 5, 1, 7]].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(features[1], 0)
    assert embed.coverage_ == 1


def test_the_first_word_of_a_table_has_a_vector() -> None:
    vectors = PretrainedVectors(["the", "cat"], np.eye(2))
    assert vectors.knows(["the", "The", "cat"]).tolist() == [True, False, True]
    index, rows = vectors.look_up(["zork", "the"])
    assert index.tolist() == [-1, 0]
    assert rows.tolist() == [[1, 0]]


def test_words_without_a_vector_follow_the_others_in_lower_case_if_case_is_folded() -> None:
    table = Table(Vocabulary(["the", "cat"]), np.eye(2, dtype=np.float32))
    words = ["Zork", "cat", "Foo", "The", "zork"]
    assert knows(table, words).tolist() == [False, True, False, False, False]
    assert knows(table, words, fold_case=True).tolist() == [False, True, False, True, False]
    asked = []

    def predict(unknown: list[str]) -> NDArray[np.float32]:
        asked.append(unknown)
        return np.array([[2 + i, 0] for i in range(len(unknown))], dtype=np.float32)

    for fold_case in (False, True):
        index, rows = look_up(table, words, fold_case=fold_case, are_tokens=False, predict=predict)
        found = [[2, 0], [0, 1], [3, 0], [1, 0] if fold_case else [4, 0], [4 + (not fold_case), 0]]
        assert rows[index].tolist() == found
    assert asked == [["Zork", "Foo", "The", "zork"], ["zork", "foo", "zork"]]


def test_hashed_words_have_the_scale_of_the_table_and_one_in_an_empty_table() -> None:
    words = [f"w{i}" for i in range(500)]
    for n, scale in ((3, 0.25), (2500, 4.0), (0, 1.0)):
        matrix = np.tile(np.array([1, -1] * 8, dtype=np.float32) * np.float32(scale), (n, 1))
        table = Table(Vocabulary(map(str, range(n))), matrix)
        hashed = predict_by_hash(table, words)
        assert hashed.shape == (500, 16)
        assert np.sqrt(np.mean(hashed**2)) == pytest.approx(scale, rel=0.05)
        np.testing.assert_array_equal(hashed[:2], predict_by_hash(table, words[:2]))


def test_the_first_token_of_a_tokenizer_has_a_vector(rows: NDArray[np.float32]) -> None:
    names = ["film", *(name for name in PIECES if name != "film")]
    tokenizer = TableTokenizer(word_piece(names), ["[UNK]"])
    vectors = PretrainedVectors.from_table(Table(Vocabulary(names), rows, tokenizer=tokenizer))
    assert vectors.knows(["film", "zork"]).tolist() == [True, False]
    index, found = vectors.look_up(["zork", "films"])
    assert index.tolist() == [-1, 0]
    np.testing.assert_allclose(found, [rows[[0, 6]].mean(axis=0)], rtol=1e-6)


@pytest.mark.parametrize("params", [{"tokenizer": str.split}, {"token_pattern": r"\w+"}])
def test_with_other_tokens_a_word_is_the_mean_of_its_pieces(
    pieces: PretrainedVectors, rows: NDArray[np.float32], params: dict[str, object]
) -> None:
    embed = PretrainedEmbeddingTransformer(pieces, **params)
    features = embed.fit_transform(["playing films zork"])
    expected = (rows[[4, 5]].mean(axis=0) + rows[[1, 6]].mean(axis=0)) / 2
    np.testing.assert_allclose(features[0], expected, rtol=1e-6)
    assert embed.coverage_ == pytest.approx(2 / 3)


def test_beside_a_table_of_words_texts_are_split_into_words(
    pieces: PretrainedVectors, rows: NDArray[np.float32]
) -> None:
    words = PretrainedVectors(["playing", "a"], [[1.0, 2.0], [3.0, 4.0]])
    features = PretrainedEmbeddingTransformer([words, pieces]).fit_transform(["Playing!"])
    np.testing.assert_allclose(features[0], [1, 2, *rows[[4, 5]].mean(axis=0)], rtol=1e-6)


def test_lowercase_true_is_heeded() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    cased = Tokenizer(models.WordLevel({"Film": 0, "film": 1}, unk_token=None))
    cased.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = TableTokenizer(cased.to_str())
    matrix = np.eye(2, dtype=np.float32)
    table = PretrainedVectors.from_table(
        Table(Vocabulary(["Film", "film"]), matrix, tokenizer=tokenizer)
    )
    embed = PretrainedEmbeddingTransformer(table)
    assert embed.fit_transform(["Film"]).tolist() == [[1, 0]]
    assert embed.set_params(lowercase=True).fit_transform(["Film"]).tolist() == [[0, 1]]


@pytest.mark.parametrize("encoder", ["mean", "cnn"])
def test_the_classifier_takes_words_from_their_pieces(
    pieces: PretrainedVectors, encoder: str
) -> None:
    texts, y = ["good playing film", "bad film", "good plays", "bad bad"] * 3, [1, 0, 1, 0] * 3
    params = {} if encoder == "mean" else {"encoder": encoder, "max_epochs": 2}
    model = FineTunedClassifier(pieces, random_state=0, **params).fit(texts, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))


def test_a_subset_of_texts_holds_their_pieces(pieces: PretrainedVectors) -> None:
    assert list(pieces.subset(texts=["Films are good", "zork"]).words) == ["film", "##s", "good"]


def test_the_folder_holds_the_tokenizer(pieces: PretrainedVectors, tmp_path: Path) -> None:
    opened = pieces.save(tmp_path / "folder")
    assert opened.tokenizer == pieces.tokenizer
    np.testing.assert_array_equal(
        PretrainedEmbeddingTransformer(opened).fit_transform(["Playing films!"]),
        PretrainedEmbeddingTransformer(pieces).fit_transform(["Playing films!"]),
    )
    (tmp_path / "folder" / "tokenizer.json").write_text('["other", []]')
    with pytest.raises(VectorFormatError, match=r"tokenizer.json: the content does not agree"):
        PretrainedVectors.load(tmp_path / "folder", mmap=False)
