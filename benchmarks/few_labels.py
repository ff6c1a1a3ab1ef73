"""How much do the pretrained vectors help where labels are few, and does the curve ever cross?

Labels a class are drawn from the training part with seeds 0, 1, ... (all of a class that has fewer;
draws of one seed are nested), and every model of a draw sees the same; the whole test part is
predicted (of MR, election tweets and waimai10k, the first of ten folds). Ours is
FineTunedClassifier("glove-wiki-gigaword-50") and no other argument; for Chinese, vectors of
characters and tokenizer=list, where TF-IDF is that of characters. The rival is the best in the mean
of three TfidfVectorizer(sublinear_tf=True) + LinearSVC(C=1), chosen per set and size on the test;
TF-IDF knows the draw alone. Differences are paired by draw, with 95 % intervals of Student's t.
"All" is one fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.metrics import accuracy_score
from sklearn.svm import LinearSVC

from sklearn_transfer import FineTunedClassifier

from .data import Labelled
from .measure import margin, markdown_table, progress
from .tasks import CHARACTER_RIVALS, RIVALS, TextSet, draw, draw_split, load_sets

PACKAGES = ("skorch", "matplotlib")
PICTURE = Path(__file__).parent / "results" / "few_labels.png"
_ALL_DRAWS = 64  # labels a class up to which all draws are made; half of them above


class CountedTfidf:
    """TF-IDF + LinearSVC for many draws from the same texts, which are counted once."""

    def __init__(self, split: Labelled, options: dict[str, Any]) -> None:
        counter = CountVectorizer(dtype=np.float64, **options)
        self._train = counter.fit_transform(split.train)
        self._test = counter.transform(split.test)
        self._labels = np.asarray(split.train_labels)
        self._test_labels = split.test_labels

    def accuracy(self, rows: NDArray[np.int64]) -> float:
        """What a TfidfVectorizer that is fitted on these rows alone reaches."""
        counts = self._train[rows]
        seen = np.flatnonzero(counts.getnnz(axis=0))
        weigh = TfidfTransformer(sublinear_tf=True)
        model = LinearSVC(C=1, random_state=0)
        model.fit(weigh.fit_transform(counts[:, seen]), self._labels[rows])
        return float(model.score(weigh.transform(self._test[:, seen]), self._test_labels))


def sizes_of(split: Labelled) -> list[int | None]:
    """8, 16, 32, ... while half of the classes have more, then all."""
    _, counts = np.unique(split.train_labels, return_counts=True)
    sizes: list[int | None] = []
    size = 8
    while size < np.median(counts):
        sizes.append(size)
        size *= 2
    return [*sizes, None]


def measure(
    name: str, texts: TextSet, repeats: int, quick: bool
) -> dict[int | None, NDArray[np.float64]]:
    """For each size the accuracies in percent, shape (n_draws, 1 + n_rivals), ours first."""
    progress(f"{name}: counting")
    split = texts.splits[0]
    rivals = [CountedTfidf(split, options) for options in texts.rivals.values()]
    tokenizer = list if texts.is_chinese else None
    found = {}
    for size in [8, 32, None] if quick else sizes_of(split):
        many = size is not None and size <= _ALL_DRAWS
        n_draws = repeats if many else 1 if size is None else max(2, repeats // 2)
        rows = []
        for seed in range(n_draws):
            part = draw_split(split, size, seed)
            model = FineTunedClassifier(texts.vectors, tokenizer=tokenizer)
            model.fit(part.train, part.train_labels)
            ours = float(accuracy_score(split.test_labels, model.predict(split.test)))
            drawn = draw(split.train_labels, size, seed)
            rows.append([ours, *(rival.accuracy(drawn) for rival in rivals)])
        found[size] = 100 * np.array(rows)
        progress(f"{name}, {size or 'all'}: {found[size].mean(axis=0).round(1).tolist()}")
    return found


def main(*, quick: bool = False, repeats: int = 10, skip: str = "") -> str:
    if quick:
        repeats = min(repeats, 3)
    sets = load_sets(quick=quick, skip=skip)
    curves = {name: measure(name, texts, repeats, quick) for name, texts in sets.items()}
    rows, won, crossed = [], {8: [0, 0], 32: [0, 0]}, []
    for name, curve in curves.items():
        for size, figures in curve.items():
            means = figures.mean(axis=0)
            best = 1 + int(means[1:].argmax())
            gain = figures[:, 0] - figures[:, best]
            wins, n_draws = int((gain > 0).sum()), len(gain)
            if size in won:
                won[size][0] += wins
                won[size][1] += n_draws
            if gain.mean() <= 0:
                crossed.append(f"{name} at {size or 'all'} ({gain.mean():+.2f})")
            each = [f"{mean:.1f}" for mean in means]
            rows.append(
                [
                    name,
                    size or "all",
                    *each,
                    list(sets[name].rivals)[best - 1],
                    margin(gain),
                    f"{gain.min():+.2f}",
                    f"{wins} of {n_draws}",
                ]
            )
    columns = [f"{a} / {b}" for a, b in zip(RIVALS, CHARACTER_RIVALS, strict=True)]
    header = ["set", "labels a class", "ours", *columns, "best rival", "ours above it"]
    header += ["worst draw", "draws won"]
    if not quick:
        draw_curves(curves)
    shares = [f"{wins} of {n} with {size} a class" for size, (wins, n) in won.items()]
    wins, n = (sum(column) for column in zip(*won.values(), strict=True))
    return "\n\n".join(
        [
            f"{repeats} draws to {_ALL_DRAWS} labels a class, half as many above; accuracy in "
            f"percent, mean over the draws.",
            markdown_table(header, rows),
            f"Single draws won against the best rival: {', '.join(shares)}, {wins / n:.1%} "
            f"together (target 95 %). Not above it in the mean: {', '.join(crossed) or 'nowhere'}.",
            f"The curves: `{PICTURE.name}` beside this file.",
        ]
    )


def draw_curves(curves: dict[str, dict[int | None, NDArray[np.float64]]]) -> None:
    """Save accuracy against labels a class; bands span the draws of ours."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    n_rows = -(-len(curves) // 4)
    figure, panels = plt.subplots(
        n_rows, 4, figsize=(18, 4 * n_rows), layout="constrained", squeeze=False
    )
    styles = [("#c03028", "-", "o"), ("#222222", "--", "s"), ("#777777", "-.", "^")]
    styles.append(("#aaaaaa", ":", "v"))
    for axes, (name, curve) in zip(panels.flat, curves.items(), strict=False):
        sizes = [size for size in curve if size is not None]
        ticks = [*sizes, 2 * sizes[-1]]  # all stands one step further to the right
        columns = [f"{a} / {b}" for a, b in zip(RIVALS, CHARACTER_RIVALS, strict=True)]
        labels = ["ours, defaults", *(f"TF-IDF {rival} + LinearSVC" for rival in columns)]
        for column, (label, (color, line, marker)) in enumerate(zip(labels, styles, strict=True)):
            means = [figures[:, column].mean() for figures in curve.values()]
            axes.plot(ticks, means, line, color=color, marker=marker, ms=4, label=label)
        low, high = (
            [getattr(figures[:, 0], end)() for figures in curve.values()] for end in ("min", "max")
        )
        axes.fill_between(ticks, low, high, color=styles[0][0], alpha=0.15, lw=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [*map(str, sizes), "all"], minor=False)
        axes.set_title(name)
        axes.grid(alpha=0.3)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy on the test part, %")
    for axes in panels.flat[len(curves) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("labels a class")
    panels[0, 0].legend()
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)
    plt.close(figure)
