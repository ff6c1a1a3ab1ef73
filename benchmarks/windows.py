"""Do windows of long texts pay, against truncation at 128 and 256 tokens?

20 Newsgroups without headers, footers and quotes; all-MiniLM-L6-v2, whose maximum sequence length
is 256 tokens; `FineTunedClassifier(encoder, adaptation="frozen")`, not calibrated. Windows have
128 or 256 tokens and overlap by a quarter. `--limit N` takes N training and half as many test
texts, drawn with seed 0, and writes the result as well; without it, all 18,846 texts are read.
Seconds are those of encoding both parts without a cache. "Long texts" are the test texts of more
than 256 tokens; differences from truncation at 256 tokens have the 95 % interval of paired texts.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sklearn_transfer import ContextualModel, FineTunedClassifier

from .data import load_20newsgroups
from .measure import markdown_table, progress
from .sources import minilm_folder
from .sources_list import some_texts

PACKAGES = ("sentence-transformers", "transformers")
WRITES_PARTS = True
MODELS: dict[str, dict[str, Any]] = {
    "truncated, 128 tokens": {"max_tokens": 128},
    "truncated, 256 tokens": {},
    "windows of 128": {"windows": 128},
    "windows of 256": {"windows": 256},
}
BASELINE = "truncated, 256 tokens"


def main(*, limit: int | None = None) -> str:
    data = load_20newsgroups(headers=False)
    if limit is not None:
        data = some_texts(data, (limit, limit // 2))
    is_right, seconds, shares = {}, {}, {}
    lengths = ContextualModel(minilm_folder()).count_tokens(data.test)
    for name, options in MODELS.items():
        progress(name)
        encoder = ContextualModel(minilm_folder(), cache_bytes=1 << 30, **options)
        encoder.clear_cache()
        encoder.encode(data.test[:8])  # opened and warm
        encoder.clear_cache()
        start = time.perf_counter()
        encoder.encode([*data.train, *data.test])
        seconds[name] = time.perf_counter() - start
        model = FineTunedClassifier(encoder, adaptation="frozen", calibrate=False)
        model.fit(data.train, data.train_labels)
        is_right[name] = model.predict(data.test) == np.asarray(data.test_labels)
        shares[name] = model.coverage_
    is_long = lengths > 256
    rows = []
    for name, right in is_right.items():
        gain = 100 * (right.astype(float) - is_right[BASELINE])
        half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
        versus = "" if name == BASELINE else f"{gain.mean():+.2f} ± {half:.2f}"
        accuracy = [f"{100 * part.mean():.1f}" for part in (right, right[is_long])]
        rows.append([name, *accuracy, versus, f"{shares[name]:.0%}", f"{seconds[name]:.0f}"])
    header = ["texts are", "accuracy", "of long texts", "difference", "tokens read", "seconds"]
    return "\n\n".join(
        [
            f"{len(data.train):,} training and {len(data.test):,} test texts, {is_long.mean():.0%} "
            f"of these with more than 256 tokens.",
            markdown_table(header, rows),
        ]
    )
