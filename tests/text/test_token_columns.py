from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from sklearn_transfer.text.ngrams import count_tokens
from sklearn_transfer.text.token_columns import TokenColumns
from sklearn_transfer.text.tokens import TokenIds


def test_a_long_text_has_the_columns_of_the_fit() -> None:
    # More n-grams than are counted at a time.
    words = [("abcd"[i % 4 :] + "ab" * (i + 1)) * 2500 for i in range(6)]
    lengths = np.array([60, 2, 0, 3])
    ids = np.random.default_rng(0).integers(0, 6, lengths.sum()).astype(np.int32)
    texts = TokenIds(ids, np.append(0, np.cumsum(lengths)))
    columns = TokenColumns((1, 2), (2, 4), 1.0)
    fitted = columns.fit_transform(words, count_tokens(texts, 6), texts, None, np.ones(4))
    transformed = columns.transform(words, np.arange(6), texts)
    np.testing.assert_allclose(transformed.toarray(), fitted.toarray(), rtol=1e-5)


def test_a_long_text_of_unknown_words_is_counted_in_parts() -> None:
    columns = TokenColumns((1, 1), (2, 4), 1.0)
    texts = TokenIds(np.array([0, 1], dtype=np.int32), np.array([0, 1, 2]))
    columns.fit_transform(["abab", "c"], csr_array(np.eye(2)), texts, None, np.ones(2))
    long, short = (
        columns.transform(
            ["ab" * 10_000] * n,
            np.full(n, -1),
            TokenIds(np.arange(n, dtype=np.int32), np.array([0, n])),
        )
        for n in (40, 1)
    )
    np.testing.assert_array_equal(long.indices, short.indices)
    # The weights of n-grams that occur equally often do not change with their number.
    np.testing.assert_allclose(np.linalg.norm(long.toarray()), np.linalg.norm(short.toarray()))
