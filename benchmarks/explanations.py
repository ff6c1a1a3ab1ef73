"""Do contributions add up, and are the tokens with the largest ones those that matter?

Completeness: 1,000 test texts of MR, the default model and networks on GloVe 50 d; and 200 of them,
a sentence encoder. The gap is the difference of the logit and of baseline and contributions,
relative to the difference that is explained; see `Explanation.gaps`.

Faithfulness (deletion and insertion, Petsiuk et al. 2018): the default model on GloVe 50 d, and the
probability of the class that it predicts. Deletion removes the tokens of a text in the order of
their contributions, the largest first, in twenty equal steps; insertion adds them to an empty text.
Each figure is the mean of the probability over the steps, averaged over the texts: of deletion the
lower, of insertion the higher is the more faithful order. All methods order the same tokens. LIME
(`LimeTextExplainer`, bow=False) and SHAP (`Explainer` with the masker `Text`, which calls its
partition explainer; a hidden token is left out) have the settings of their libraries, and get
`predict_proba`. "Minus exact" is the mean difference on the same texts, with a 95 % interval.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_transfer import ContextualModel, FineTunedClassifier

from .data import Labelled, load_20newsgroups, load_mr
from .measure import margin, markdown_table, progress
from .sources import minilm_folder
from .tasks import GLOVE

PACKAGES = ("lime", "shap")
N_STEPS = 20
# The tokens of the default pattern, which all methods order.
TOKEN = re.compile(r"\w+|[^\w\s]")
TRAINED: dict[str, Any] = {"max_epochs": 3, "random_state": 0}
KINDS: dict[str, dict[str, Any]] = {
    "the default": {},
    "frozen": {"adaptation": "frozen"},
    "frozen, hidden layer": {"adaptation": "frozen", "hidden_layer_sizes": (50,), **TRAINED},
    "hidden layer": {"hidden_layer_sizes": (50,), **TRAINED},
    "attention": {"encoder": "attention", **TRAINED},
    "CNN": {"encoder": "cnn", **TRAINED},
    "RNN": {"encoder": "rnn", **TRAINED},
}
# A contribution for each token of a text, given the number of the explained class.
Method = Callable[[str, int], NDArray[np.float64]]


def main(*, quick: bool = False) -> str:
    mr = load_mr()
    sets = {
        "MR": (mr, 5 if quick else 200),
        "20 Newsgroups": (load_20newsgroups(), 2 if quick else 50),
    }
    parts = [_completeness(mr, n_train=500 if quick else None, n_texts=50 if quick else 1000)]
    for name, (data, n_texts) in sets.items():
        progress(f"fit on {name}")
        data = data.head(2000) if quick else data
        model = FineTunedClassifier(GLOVE).fit(data.train, data.train_labels)
        parts.append(_faithfulness(name, model, _choose(data.test, n_texts)))
    return "\n\n".join(parts)


def _choose(texts: list[str], n: int) -> list[str]:
    """Texts of at least five tokens, drawn at random."""
    long = [text for text in texts if len(TOKEN.findall(text)) >= 5]
    rows = np.random.default_rng(0).permutation(len(long))[:n]
    return [long[i] for i in rows.tolist()]


def _completeness(data: Labelled, *, n_train: int | None, n_texts: int) -> str:
    texts = _choose(data.test, n_texts)
    rows = []
    sources = {name: (GLOVE, settings) for name, settings in KINDS.items()} | _sentence_encoders()
    for name, (source, settings) in sources.items():
        progress(name)
        is_encoder = source is not GLOVE
        some = texts[: n_texts // 5] if is_encoder else texts
        train = slice(200 if is_encoder else n_train)
        model = FineTunedClassifier(source, **settings)
        model.fit(data.train[train], data.train_labels[train])
        start = perf_counter()
        explanation = model.explain(some)
        seconds = perf_counter() - start
        start = perf_counter()
        model.predict(some)
        predicted = perf_counter() - start
        difference = np.abs(explanation.sums + explanation.baseline - explanation.logits)
        rows.append(
            [
                name,
                explanation.method.replace("_", " "),
                len(some),
                f"{explanation.gaps.max():.2%}",
                f"{difference.max():.1e}",
                f"{seconds:.2f}",
                f"{predicted:.2f}",
            ]
        )
    header = ["model", "method", "texts", "largest gap", "largest difference", "s", "predict s"]
    return markdown_table(header, rows)


def _sentence_encoders() -> dict[str, tuple[Any, dict[str, Any]]]:
    encoder = ContextualModel(minilm_folder())
    return {
        "all-MiniLM-L6-v2, frozen": (encoder, {"adaptation": "frozen"}),
        "all-MiniLM-L6-v2, top-1": (
            encoder,
            {"adaptation": "top-1", "max_epochs": 1, "random_state": 0},
        ),
    }


def _faithfulness(name: str, model: FineTunedClassifier, texts: list[str]) -> str:
    methods = _make_methods(model)
    codes = model.predict_proba(texts).argmax(axis=1).tolist()
    curves: dict[str, NDArray[np.float64]] = {}
    seconds: dict[str, float] = {}
    for method, weigh in methods.items():
        progress(f"{name}, {method}")
        start = perf_counter()
        weights = [weigh(text, code) for text, code in zip(texts, codes, strict=True)]
        seconds[method] = (perf_counter() - start) / len(texts)
        curves[method] = np.array(
            [_areas(model, *sample) for sample in zip(texts, codes, weights, strict=True)]
        )
    ours = curves["exact"]
    rows = [
        [
            method,
            f"{areas[:, 0].mean():.3f}",
            "" if method == "exact" else margin(areas[:, 0] - ours[:, 0], digits=3),
            f"{areas[:, 1].mean():.3f}",
            "" if method == "exact" else margin(areas[:, 1] - ours[:, 1], digits=3),
            f"{1000 * seconds[method]:.1f}",
        ]
        for method, areas in curves.items()
    ]
    header = [
        f"{name}, {len(texts)} texts",
        *("deletion", "minus exact", "insertion", "minus exact", "ms per text"),
    ]
    return markdown_table(header, rows)


def _areas(
    model: FineTunedClassifier, text: str, code: int, weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Mean probability over the steps of deletion and of insertion."""
    spans = [match.span() for match in TOKEN.finditer(text)]
    rank = np.argsort(np.argsort(-weights, kind="stable"), kind="stable")
    counts = np.unique(np.linspace(0, len(spans), N_STEPS + 1).round().astype(int))
    texts = [_keep(text, spans, kept) for n in counts for kept in (rank >= n, rank < n)]
    probability = model.predict_proba(texts)[:, code]
    return float(probability[::2].mean()), float(probability[1::2].mean())


def _keep(text: str, spans: list[tuple[int, int]], kept: NDArray[np.bool_]) -> str:
    """The text without the characters of tokens that are not kept."""
    parts, cursor = [], 0
    for (start, stop), is_kept in zip(spans, kept.tolist(), strict=True):
        parts.append(text[cursor : stop if is_kept else start])
        cursor = stop
    return "".join([*parts, text[cursor:]])


def _make_methods(model: FineTunedClassifier) -> dict[str, Method]:
    rng = np.random.default_rng(0)

    def explain(method: str) -> Method:
        def weigh(text: str, code: int) -> NDArray[np.float64]:
            explanation = model.explain([text], target=model.classes_[code], method=method)
            return explanation.contributions[:, 0]

        return weigh

    return {
        "exact": explain("exact"),
        "occlusion": explain("occlusion"),
        "random order": lambda text, _: rng.random(len(TOKEN.findall(text))),
        "LIME": _lime(model),
        "SHAP": _shap(model),
    }


def _lime(model: FineTunedClassifier) -> Method:
    from lime.lime_text import LimeTextExplainer

    explainer = LimeTextExplainer(
        split_expression=TOKEN.findall, bow=False, random_state=0, class_names=model.classes_
    )

    def weigh(text: str, code: int) -> NDArray[np.float64]:
        n_tokens = len(TOKEN.findall(text))
        found = explainer.explain_instance(
            text, model.predict_proba, labels=(code,), num_features=n_tokens
        )
        weights = np.zeros(n_tokens)
        for token, weight in found.as_map()[code]:
            weights[token] = weight
        return weights

    return weigh


def _shap(model: FineTunedClassifier) -> Method:
    import shap

    def split(text: str, return_offsets_mapping: bool = True) -> dict[str, Any]:
        spans = [match.span() for match in TOKEN.finditer(text)]
        return {"input_ids": [text[a:b] for a, b in spans], "offset_mapping": spans}

    def predict(texts: Any) -> NDArray[np.float64]:
        return model.predict_proba([str(text) for text in texts])

    masker = shap.maskers.Text(split, mask_token="...", collapse_mask_token=True)
    masker.mask_token = ""  # which its constructor does not accept
    explainer = shap.Explainer(predict, masker)

    def weigh(text: str, code: int) -> NDArray[np.float64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return explainer([text], silent=True).values[0][:, code]

    return weigh
