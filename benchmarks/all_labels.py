"""With all labels, is the default ever worse than the best TF-IDF, and what does it cost?

The best of three rivals, TfidfVectorizer(sublinear_tf=True) + LinearSVC(C=1), is chosen per set on
the test. MR, election tweets and waimai10k: mean of ten folds, StratifiedKFold(10, shuffle=True,
random_state=0); the others have one split. Ours is FineTunedClassifier("glove-wiki-gigaword-50")
and no other argument; with several sources, the list of them and no other argument. For Chinese,
the vectors are those of characters (Tencent AI Lab, 200 d), with and without tokenizer=list, and
TF-IDF is that of characters. LinearSVC has random_state 0. Every model of a set has a process of
its own and starts from raw texts. Seconds are of one fit, GloVe opened in the first; the other
sources are read before the clock starts. "x 1-2-grams" is the fit time relative to that of TF-IDF
1-2-grams, of Chinese that of characters 1-2. With --rivals, fastText and the trainer of model2vec
are there too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from statistics import mean, median
from typing import Any

from sklearn_transfer import FineTunedClassifier

from . import training
from .data import Labelled, find_character_vectors
from .measure import in_fresh_process, markdown_table, progress
from .sources import spacy_words, wordllama_words
from .tasks import CHARACTER_RIVALS, GLOVE, RIVALS, TextSet, load_sets, make_rival, words_of
from .training import _time_estimator
from .wheels import WheelUnavailable

PACKAGES = ("skorch", "fasttext-community", "model2vec")
_ONCE = 30  # seconds: what takes longer is measured once
_OURS = "ours: GloVe 50 d"

Model = Callable[[list[Labelled]], list[dict[str, float]]]


def rival(name: str, splits: list[Labelled]) -> list[dict[str, float]]:
    return [_time_estimator(make_rival(name), split) for split in splits]


def ours(extra: tuple[str, ...], splits: list[Labelled]) -> list[dict[str, float]]:
    first = splits[0]
    sources: list[Any] = [GLOVE]
    if "spacy" in extra:
        sources.append(spacy_words(words_of([*first.train, *first.test])))
    if "wordllama" in extra:
        sources.append(wordllama_words())
    pretrained = sources if extra else GLOVE
    return [_time_estimator(FineTunedClassifier(pretrained), split) for split in splits]


def characters(tokenizer: Any, splits: list[Labelled]) -> list[dict[str, float]]:
    vectors = str(find_character_vectors())
    return [
        _time_estimator(FineTunedClassifier(vectors, tokenizer=tokenizer), split)
        for split in splits
    ]


def other(name: str, splits: list[Labelled]) -> list[dict[str, float]]:
    return [getattr(training, name)(split) for split in splits]


MODELS: dict[str, Model] = {
    **{f"TF-IDF {name}": partial(rival, name) for name in RIVALS},
    _OURS: partial(ours, ()),
    "ours: GloVe + WordLlama 256 d": partial(ours, ("wordllama",)),
    "ours: GloVe + spaCy 300 d": partial(ours, ("spacy",)),
    "ours: GloVe + spaCy + WordLlama": partial(ours, ("spacy", "wordllama")),
}
CHARACTER_MODELS: dict[str, Model] = {
    **{f"TF-IDF {name}": partial(rival, name) for name in CHARACTER_RIVALS},
    "ours: characters, tokenizer=list": partial(characters, list),
    "ours: characters, no tokenizer": partial(characters, None),
}
OTHERS: dict[str, Model] = {
    "fastText, its defaults": partial(other, "fasttext_defaults"),
    "fastText, 25 epochs, 1-2-grams, lr 1": partial(other, "fasttext_tuned"),
    "model2vec trainer, WordLlama": partial(other, "model2vec"),
}


def models_of(texts: TextSet, *, rivals: bool) -> dict[str, Model]:
    """The models of a set; the fourth is ours with one source."""
    if texts.is_chinese:
        return CHARACTER_MODELS
    return {**MODELS, **OTHERS} if rivals else MODELS


def main(*, quick: bool = False, repeats: int = 3, rivals: bool = False, skip: str = "") -> str:
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars of model2vec
    repeats = 1 if quick else repeats
    rows: list[list[str]] = []
    gains: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    notes: dict[str, None] = {}
    found: list[float] = []  # of one source
    for set_name, texts in load_sets(quick=quick, skip=skip).items():
        figures = {}
        for name, model in models_of(texts, rivals=rivals).items():
            progress(f"{set_name}: {name}")
            try:
                figures[name] = _measure(model, texts.splits, repeats)
            except (ImportError, WheelUnavailable) as error:
                notes[f"{name}: left out, {error}."] = None
        tfidfs = [f"TF-IDF {name}" for name in texts.rivals]
        best = max(tfidfs, key=lambda name: figures[name]["accuracy"])
        for name, row in figures.items():
            gain = 100 * (row["accuracy"] - figures[best]["accuracy"])
            ratio = row["fit"] / figures[tfidfs[1]]["fit"]
            gains.setdefault(name, []).append(gain)
            ratios.setdefault(name, []).append(ratio)
            said = "best rival" if name == best else f"{gain:+.2f}"
            times = [f"{row['fit']:.2f}", f"{ratio:.2f}", f"{row['predict']:.2f}"]
            if name in (_OURS, "ours: characters, tokenizer=list"):
                found.append(gain)
            rows.append([set_name, name, f"{100 * row['accuracy']:.2f}", said, *times])
    for label, of in (("mean of the sets", mean), ("worst of the sets", min)):
        for name, values in gains.items():
            if not name.startswith("TF-IDF"):
                ratio = mean(ratios[name]) if of is mean else max(ratios[name])
                rows.append([label, name, "", f"{of(values):+.2f}", "", f"{ratio:.2f}", ""])
    header = ["set", "model", "accuracy", "above best rival", "fit s", "x 1-2-grams", "predict s"]
    return "\n\n".join(
        [
            f"Seconds: medians of {repeats} runs (one, where a fit takes more than {_ONCE} s), or "
            f"of the folds.",
            markdown_table(header, rows),
            f"One source: worst {min(found):+.2f} (target -0.3), at least one point above on "
            f"{sum(gain >= 1 for gain in found)} of {len(found)}, mean {mean(found):+.2f} "
            f"(target +1).",
            *notes,
        ]
    )


def _measure(model: Model, splits: list[Labelled], repeats: int) -> dict[str, float]:
    """Mean accuracy and median seconds over the splits or, where there is one, the repeats."""
    done, _ = in_fresh_process(model, splits)
    while len(splits) == 1 and len(done) < repeats and done[0]["fit"] <= _ONCE:
        done += in_fresh_process(model, splits)[0]
    seconds = {name: median(row[name] for row in done) for name in ("fit", "predict")}
    return {"accuracy": mean(row["accuracy"] for row in done), **seconds}
