"""How fast do raw texts become vectors, next to gensim's loop and to model2vec?

The training texts of 20 Newsgroups, one process, each measurement in a process of its own with the
model opened and warm. Ours is measured on texts that the process has not split before, and again
on the same texts, which its token cache then knows. gensim loops over `get_mean_vector` with the
same tokens and the same GloVe. model2vec encodes with the WordLlama weights; its default reads at
most 512 tokens of a text. Ours reads every token. One more row gives ours the whole words of the
WordLlama table, to show what 256 dimensions cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from sklearn_transfer import PretrainedEmbeddingTransformer, PretrainedVectors, load_pretrained

from .data import load_20newsgroups
from .measure import in_fresh_process, markdown_table, medians, progress
from .wheels import WheelUnavailable, read_wordllama

GLOVE = "glove-wiki-gigaword-50"
PACKAGES = ("gensim", "model2vec", "tokenizers")
TARGETS = {"model2vec encode, defaults": 2.5, "gensim get_mean_vector, a loop": 8.0}
_WARM_UP = ["A few words to warm up with.", "And a few more."]
_TOKEN = re.compile(r"(?u)\b\w+\b")


def ours(texts: list[str]) -> dict[str, float]:
    return _time_ours(load_pretrained(GLOVE), texts)


def ours_256(texts: list[str]) -> dict[str, float]:
    return _time_ours(_whole_words_of_wordllama(), texts)


def _time_ours(vectors: PretrainedVectors, texts: list[str]) -> dict[str, float]:
    embed = PretrainedEmbeddingTransformer(vectors).fit(_WARM_UP)
    embed.transform(_WARM_UP)
    fresh = _seconds(lambda: embed.transform(texts))
    return {"dim": vectors.dim, "s": fresh, "again": _seconds(lambda: embed.transform(texts))}


def _whole_words_of_wordllama() -> PretrainedVectors:
    """Rows of tokens that begin a word and are made of letters and digits."""
    from tokenizers import Tokenizer

    matrix, tokenizer = read_wordllama()
    whole = {
        token[1:]: code
        for token, code in Tokenizer.from_str(tokenizer).get_vocab().items()
        if token[0] == "▁" and _TOKEN.fullmatch(token[1:])
    }
    return PretrainedVectors(list(whole), matrix[list(whole.values())], name="WordLlama words")


def gensim_loop(texts: list[str]) -> dict[str, float]:
    vectors = load_pretrained(GLOVE)
    keyed = vectors.to_gensim()

    def embed(some: list[str]) -> np.ndarray[Any, Any]:
        rows = np.zeros((len(some), keyed.vector_size), dtype=np.float32)
        for row, text in zip(rows, some, strict=True):
            tokens = _TOKEN.findall(text.lower())
            if tokens:  # it raises where there are none
                row[:] = keyed.get_mean_vector(tokens, pre_normalize=False)
        return rows

    embed(_WARM_UP)
    seconds = _seconds(lambda: embed(texts))
    some = texts[:200]
    same = PretrainedEmbeddingTransformer(vectors).fit_transform(some)
    np.testing.assert_allclose(embed(some), same, atol=1e-4)
    return {"dim": vectors.dim, "s": seconds}


def model2vec(texts: list[str]) -> dict[str, float]:
    return _time_model2vec(texts, {})


def model2vec_all_tokens(texts: list[str]) -> dict[str, float]:
    return _time_model2vec(texts, {"max_length": None})


def _time_model2vec(texts: list[str], options: dict[str, Any]) -> dict[str, float]:
    from model2vec import StaticModel
    from tokenizers import Tokenizer

    matrix, tokenizer = read_wordllama()
    model = StaticModel(matrix, Tokenizer.from_str(tokenizer))
    model.encode(_WARM_UP, **options)
    return {"dim": model.dim, "s": _seconds(lambda: model.encode(texts, **options))}


def _seconds(call: Callable[[], Any]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


ROWS: dict[str, Callable[[list[str]], dict[str, float]]] = {
    "PretrainedEmbeddingTransformer, GloVe": ours,
    "PretrainedEmbeddingTransformer, words of WordLlama": ours_256,
    "gensim get_mean_vector, a loop": gensim_loop,
    "model2vec encode, defaults": model2vec,
    "model2vec encode, all tokens": model2vec_all_tokens,
}


def main(*, limit: int | None = None, repeats: int = 5) -> str:
    data = load_20newsgroups().head(limit)
    texts, n_bytes = data.train, sum(len(text.encode()) for text in data.train)
    measured: dict[str, dict[str, float]] = {}
    notes = []
    # Round by round, so that a busy minute of the machine hits all alike.
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ROWS}
    for repeat in range(repeats):
        for name, function in ROWS.items():
            progress(f"{name}, {repeat + 1} of {repeats}")
            try:
                runs[name].append(in_fresh_process(function, texts)[0])
            except (ImportError, WheelUnavailable) as error:
                if repeat == 0:
                    notes.append(f"{name}: left out, {error}.")
    for name, figures in runs.items():
        if figures:
            measured[name] = medians(figures)
    base = measured[next(iter(ROWS))]["s"]
    rows = []
    for name, row in measured.items():
        rows.append(_row(name, row["dim"], row["s"], len(texts), base))
        if "again" in row:
            rows.append(_row(f"{name}, again", row["dim"], row["again"], len(texts), base))
    notes += [
        f"Ours is {measured[name]['s'] / base:.1f} times as fast as {name} (target {target:g})."
        for name, target in TARGETS.items()
        if name in measured
    ]
    table = markdown_table(["", "dim", "seconds", "texts/s", "time of ours"], rows)
    about = (
        f"{len(texts):,} texts, {n_bytes / 1e6:.1f} MB, {data.source}. Medians of {repeats} "
        f"repeats. The model is open before the clock starts."
    )
    return "\n\n".join([about, table, *notes])


def _row(name: str, dim: float, seconds: float, n_texts: int, base: float) -> list[str]:
    rate = f"{n_texts / seconds:,.0f}"
    return [name, f"{dim:.0f}", f"{seconds:.3f}", rate, f"x {seconds / base:.2f}"]
