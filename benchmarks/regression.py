"""How well does FineTunedRegressor predict the valence of tweets?

Tweets with the mean valence that people gave them (VADER, Hutto & Gilbert 2014), five folds,
KFold(5, shuffle=True, random_state=0). The rivals are TF-IDF + Ridge and
PretrainedEmbeddingTransformer + Ridge, alpha chosen by three-fold cross-validation inside the
training part. Ours is FineTunedRegressor with the sources and no other argument. R2 and Spearman's
rank correlation are means over the folds; the last column is the mean difference of R2 to the best
rival with a 95 % interval over the folds.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from sklearn_transfer import FineTunedRegressor, PretrainedEmbeddingTransformer

from .data import load_vader
from .measure import margin, markdown_table, progress
from .sources import spacy_words, wordllama_words
from .tasks import GLOVE, RIVALS, words_of

PACKAGES = ("skorch",)
ALPHAS = [0.03, 0.1, 0.3, 1, 3, 10, 30]


def with_ridge(features: Any) -> Any:
    return GridSearchCV(make_pipeline(features, Ridge()), {"ridge__alpha": ALPHAS}, cv=3)


def main(*, quick: bool = False) -> str:
    texts, y = load_vader()
    values = np.array(y)
    sources = {
        "GloVe 50 d": GLOVE,
        "GloVe + WordLlama": [GLOVE, wordllama_words()],
        "GloVe + spaCy 300 d": [GLOVE, spacy_words(words_of(texts))],
    }
    rivals = {
        f"TF-IDF {name} + Ridge": with_ridge(TfidfVectorizer(sublinear_tf=True, **settings))
        for name, settings in RIVALS.items()
    } | {
        f"{name}, frozen + Ridge": with_ridge(PretrainedEmbeddingTransformer(source))
        for name, source in sources.items()
    }
    ours = {f"ours: {name}": FineTunedRegressor(source) for name, source in sources.items()}
    folds = list(KFold(5, shuffle=True, random_state=0).split(texts))[: 2 if quick else 5]
    scores: dict[str, list[list[float]]] = {}
    for name, model in (rivals | ours).items():
        progress(name)
        for train, test in folds:
            start = perf_counter()
            model.fit([texts[i] for i in train], values[train])
            seconds = perf_counter() - start
            predicted = model.predict([texts[i] for i in test])
            rank = spearmanr(values[test], predicted).statistic
            scores.setdefault(name, []).append([r2_score(values[test], predicted), rank, seconds])
    table = {name: np.array(rows) for name, rows in scores.items()}
    best = max(rivals, key=lambda name: float(table[name][:, 0].mean()))
    return markdown_table(
        ["model", "R2", "rank correlation", "fit s", "R2 above the best rival"],
        [
            [
                name,
                f"{rows[:, 0].mean():.3f}",
                f"{rows[:, 1].mean():.3f}",
                f"{np.median(rows[:, 2]):.2f}",
                margin(rows[:, 0] - table[best][:, 0], digits=3) if name in ours else "",
            ]
            for name, rows in table.items()
        ],
    )
