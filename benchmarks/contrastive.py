"""Which contrastive stage, and how much of its weights, suits a few labels?

The sweep behind the defaults of `Contrastive` and of the head of sentence encoders: seven sets
(MR, R8, questions, 77 intents, tweets of two authors, Chinese reviews, four newsgroups), 2 to 64
labels per class, all-MiniLM-L6-v2. Training parts alone: labelled texts are drawn from a pool of
200 texts per class (70 of an intent), and accuracy is measured on 500 other texts (770 of the
intents); texts have their first 130 words. Draw d has the seed 1000 + d. Differences are in points
to logistic regression (C = 10) on the frozen features of the same draw, averaged over draws, then
sizes, then sets; "worst" is the lowest mean of a set at one size.

Stage: 40 steps of the supervised contrastive loss, temperature 0.1, learning rate 5e-5, the highest
six layers, without dropout ("base"), unless the row says otherwise; the default has 20 steps at
1e-4. cos is the squared error of cosines (`share` of the pretrained cosine in the target), proto is
cross-entropy against trained class vectors. Features: tuned; both (tuned and frozen ones); or the
share of the tuned weights in their average with the pretrained ones. Head: logistic regression
(C = 10) or the squared hinge (C = 1, features centred and scaled to the norm 0.6). "names": the
name of each class, and "This text is about NAME." are samples of the stage and the head, on the
five sets whose classes have names.

On an H200 (14 processes) a quarter of the cells takes three minutes; on two cores, all take a day.
No cell begins after `--minutes`; cells come in the order of draws, so what is missing is the last
draws.
"""

from __future__ import annotations

import copy
import json
import os
import random
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch.nn import functional as F

from . import N_THREADS
from .data import find_shared, read_jsonl
from .few_sentences import load_tutorial
from .measure import in_processes, markdown_table, progress
from .sources import minilm_folder

PACKAGES = ("transformers",)
SIZES, N_DRAWS, MOST_DRAWS = (8, 2, 16, 4, 64), 3, 4  # most draws: of eight labels
POOL, HELD_OUT, N_WORDS, N_TOKENS = 200, 500, 130, 128
INTENTS = "banking77"
N_JOBS = 14 if torch.cuda.is_available() else 1
NAMES = {
    "mr": {"neg": "negative", "pos": "positive"},
    "trec6": {
        "ABBR": "abbreviation",
        "DESC": "description",
        "ENTY": "entity",
        "HUM": "person",
        "LOC": "location",
        "NUM": "number",
    },
    "news4": {
        "alt.atheism": "atheism",
        "comp.graphics": "computer graphics",
        "sci.med": "medicine",
        "soc.religion.christian": "christianity",
    },
    "r8": {
        "acq": "acquisitions",
        "crude": "crude oil",
        "earn": "earnings",
        "grain": "grain",
        "interest": "interest rates",
        "money-fx": "foreign exchange",
        "ship": "shipping",
        "trade": "trade",
    },
}
SETS = ("mr", "r8", "trec6", INTENTS, "election_tweets2016", "waimai10k", "news4")
Texts = list[tuple[str, str]]  # text, label
Cell = tuple[str, int, int]  # set, labels per class, draw
Row = tuple[Cell, str, str, float]  # cell, stage, features, accuracy


@dataclass(frozen=True)
class Stage:
    """Settings of a stage; `n_layers` of None trains all, with the embeddings."""

    loss: str = "supcon"
    share: float = 0.0
    lr: float = 5e-5
    n_steps: int = 40
    n_layers: int | None = 6
    batch_size: int = 64
    temperature: float = 0.1
    names: bool = False
    dropout: bool = False
    averages: tuple[float, ...] = (0.5,)
    both: bool = False


A = Stage()
DEFAULT = replace(A, n_steps=20, lr=1e-4)
MANY = (0.35, 0.5, 0.65, 0.8)
STAGES = {
    "default": replace(DEFAULT, averages=MANY, both=True),
    "base": replace(A, averages=MANY, both=True),
    "10 steps, lr 2e-4": replace(A, n_steps=10, lr=2e-4),
    "dropout": replace(A, dropout=True),
    "20 steps": replace(A, n_steps=20, averages=(0.5, 0.8)),
    "80 steps": replace(A, n_steps=80),
    "lr 1e-4": replace(A, lr=1e-4, averages=(0.35, 0.5)),
    "T .05": replace(A, temperature=0.05),
    "T .2": replace(A, temperature=0.2),
    "all layers": replace(A, n_layers=None),
    "cos": replace(A, loss="cos", averages=(0.5, 0.65), both=True),
    "proto": replace(A, loss="proto"),
    "20 steps of cos, lr 1e-4, share .5, 4 layers, dropout": Stage(
        loss="cos", share=0.5, lr=1e-4, n_steps=20, n_layers=4, dropout=True, averages=()
    ),
    "default, names": replace(DEFAULT, names=True, averages=MANY, both=True),
    "base, names": replace(A, names=True, averages=MANY, both=True),
    "dropout, names": replace(A, dropout=True, names=True),
}


def load_sets() -> dict[str, dict[str, Texts]]:
    """A pool to draw from, and texts held out, of the training part of each set."""
    sets: dict[str, dict[str, Texts]] = {}
    for name in SETS:
        if name == "news4":
            data = load_tutorial()
            rows = list(zip(data.train, data.train_labels, strict=True))
        else:
            files = read_jsonl(find_shared(name))
            rows = [(r["text"], r["label"]) for r in files if r["split"] != "test"]
            random.Random(0).shuffle(rows)
        order = np.random.default_rng(0).permutation(len(rows)).tolist()
        n_held_out = 770 if name == INTENTS else HELD_OUT
        held_out, rest = order[:n_held_out], order[n_held_out:]
        by_label: dict[str, list[int]] = defaultdict(list)
        for row in rest:
            by_label[rows[row][1]].append(row)
        limit = 70 if name == INTENTS else POOL
        pool = [row for label in sorted(by_label) for row in by_label[label][:limit]]
        sets[name] = {
            part: [(_shorten(rows[i][0], name), rows[i][1]) for i in chosen]
            for part, chosen in (("pool", pool), ("held", held_out))
        }
    return sets


def _shorten(text: str, name: str) -> str:
    return text[:N_WORDS] if name == "waimai10k" else " ".join(text.split()[:N_WORDS])


class Encoder:
    """The sentence encoder, and its stage."""

    def __init__(self, folder: Path, device: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.device, self.tokenizer = device, AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()

    def split(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(list(texts), truncation=True, max_length=N_TOKENS)[
            "input_ids"
        ]
        return ids

    def forward(self, model: Any, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        length = max(map(len, ids))
        tokens, mask = (
            torch.zeros(len(ids), length, dtype=torch.long),
            torch.zeros(len(ids), length),
        )
        for i, row in enumerate(ids):
            tokens[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        tokens, mask = tokens.to(self.device), mask.to(self.device)
        states = model(input_ids=tokens, attention_mask=mask).last_hidden_state
        return F.normalize((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=1)

    @torch.no_grad()
    def encode(self, model: Any, ids: Sequence[Sequence[int]]) -> np.ndarray:
        order = np.argsort([len(row) for row in ids])
        parts = [
            self.forward(model.eval(), [ids[j] for j in order[start : start + 256]])
            for start in range(0, len(ids), 256)
        ]
        features = torch.cat(parts).cpu().numpy()
        return features[np.argsort(order)]

    def tune(
        self,
        ids: Sequence[Sequence[int]],
        y: np.ndarray,
        frozen: np.ndarray,
        stage: Stage,
        seed: int,
    ) -> Any:
        torch.manual_seed(seed)
        rng, n_classes = np.random.default_rng(seed), int(y.max()) + 1
        model = copy.deepcopy(self.model).train(stage.dropout)
        if stage.n_layers is not None:
            for part in (model.embeddings, *model.encoder.layer[: -stage.n_layers]):
                part.requires_grad_(False).eval()
        weights = [
            p for name, p in model.named_parameters() if p.requires_grad and "pooler" not in name
        ]
        means = np.stack([frozen[y == c].mean(0) for c in range(n_classes)])
        centres = torch.nn.Parameter(torch.tensor(means, device=self.device))
        groups: list[dict[str, Any]] = [{"params": weights, "lr": stage.lr}]
        if stage.loss == "proto":
            groups.append({"params": [centres], "lr": 1e-3, "weight_decay": 0.0})
        optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
        rates = [group["lr"] for group in groups]
        before, codes = (torch.tensor(a, device=self.device) for a in (frozen, y))
        for step in range(stage.n_steps):
            done = (step + 0.5) / stage.n_steps
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (done / 0.1 if done < 0.1 else 1 - done)
            rows = draw_rows(y, n_classes, stage.batch_size, rng)
            chosen = torch.tensor(rows, device=self.device)
            encoded = self.forward(model, [ids[row] for row in rows])
            loss = find_loss(stage, encoded, codes[chosen], before[chosen], centres)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
        return model.eval()

    def average(self, model: Any, share: float) -> Any:
        mixed = copy.deepcopy(model)
        with torch.no_grad():
            for mine, theirs in zip(mixed.parameters(), self.model.parameters(), strict=True):
                mine.lerp_(theirs, 1 - share)
        return mixed


def draw_rows(y: np.ndarray, n_classes: int, size: int, rng: np.random.Generator) -> np.ndarray:
    if len(y) <= size:
        return np.arange(len(y))
    classes = rng.permutation(n_classes)[: size // 2]
    each = max(size // len(classes), 2)
    return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:each] for c in classes])


def find_loss(
    stage: Stage, z: torch.Tensor, y: torch.Tensor, before: torch.Tensor, centres: torch.Tensor
) -> torch.Tensor:
    if stage.loss == "proto":
        return F.cross_entropy(z @ F.normalize(centres, dim=1).T / stage.temperature, y)
    itself = torch.eye(len(y), dtype=torch.bool, device=z.device)
    same, cosine, was = y[:, None] == y, z @ z.T, before @ before.T
    if stage.loss == "cos":
        error = (cosine - same.float().lerp(was, stage.share)).square()
        parts = (same & ~itself, ~same)
        return sum((error * part).sum() / part.sum().clamp_min(1) for part in parts)  # type: ignore[return-value]
    others = (cosine / stage.temperature).masked_fill(itself, -1e4).log_softmax(1)
    pairs = (same & ~itself).float()
    has_pair = pairs.sum(1) > 0
    loss = -((others * pairs).sum(1) / pairs.sum(1).clamp_min(1))[has_pair].mean()
    drift = (cosine - was).square()[~itself].mean()
    return (1 - stage.share) * loss + 10 * stage.share * drift


def fit_logistic(train: np.ndarray, y: np.ndarray, test: np.ndarray, goal: np.ndarray) -> float:
    """Accuracy in percent of logistic regression."""
    logistic = LogisticRegression(C=10, max_iter=200, tol=1e-3).fit(train, y)
    return 100 * float((logistic.predict(test) == goal).mean())


def fit_hinge(train: np.ndarray, y: np.ndarray, test: np.ndarray, goal: np.ndarray) -> float:
    """Accuracy in percent of the squared hinge."""
    mean = train.mean(0)
    factor = 0.6 / np.sqrt(np.square(train - mean).sum(1).mean())
    hinge = LinearSVC(C=1, max_iter=3000).fit((train - mean) * factor, y)
    return 100 * float((hinge.predict((test - mean) * factor) == goal).mean())


FROZEN = "frozen"
HEADS = {fit_logistic: FROZEN, fit_hinge: "frozen, hinge"}


def cells(*, quick: bool) -> list[Cell]:
    """The cells, the first draws of all sets and sizes first."""
    if quick:
        return [("mr", 2, 0)]
    return [
        (name, size, d)
        for d in range(MOST_DRAWS)
        for size in SIZES
        for name in SETS
        if (d < N_DRAWS or size == SIZES[0]) and (name, size) != (INTENTS, 64)
    ]


@cache
def open_encoder() -> tuple[Encoder, dict[str, dict[str, Texts]]]:
    """The encoder and the sets of a process."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(N_THREADS)
    return Encoder(minilm_folder(), "cuda" if torch.cuda.is_available() else "cpu"), load_sets()


def measure_cell(cell: Cell) -> list[Row]:
    """All rows of a cell."""
    encoder, sets = open_encoder()
    name, size, seed = cell
    (pool, pool_labels), (held, held_labels) = (
        map(np.array, zip(*sets[name][part], strict=True)) for part in ("pool", "held")
    )
    classes = np.unique(pool_labels)
    rng = np.random.default_rng(1000 + seed)
    drawn = np.concatenate(
        [rng.permutation(np.flatnonzero(pool_labels == c))[:size] for c in classes]
    )
    y, goal = (np.searchsorted(classes, a) for a in (pool_labels[drawn], held_labels))
    test = encoder.split(held)
    test_frozen = encoder.encode(encoder.model, test)
    samples = {False: (encoder.split(pool[drawn]), y)}
    if name in NAMES or name == INTENTS:
        spelled = [NAMES[name][c] if name in NAMES else c.replace("_", " ") for c in classes]
        extra = encoder.split([*spelled, *(f"This text is about {word}." for word in spelled)])
        codes = np.concatenate([y, np.tile(np.arange(len(classes)), 2)])
        samples[True] = (samples[False][0] + extra, codes)
    frozen = {key: encoder.encode(encoder.model, ids) for key, (ids, _) in samples.items()}
    found: list[Row] = []
    for key, (_, codes) in samples.items():
        stage_name = "frozen, names" if key else "frozen"
        for head in (fit_logistic, fit_hinge):
            accuracy = head(frozen[key], codes, test_frozen, goal)
            found.append((cell, stage_name, HEADS[head], accuracy))
    for stage_name, stage in STAGES.items():
        if stage.names not in samples:
            continue
        ids, codes = samples[stage.names]
        model = encoder.tune(ids, codes, frozen[stage.names], stage, seed)
        features = {"tuned": [encoder.encode(model, part) for part in (ids, test)]}
        if stage.both:
            pairs = zip((frozen[stage.names], test_frozen), features["tuned"], strict=True)
            features["both"] = [np.concatenate(pair, axis=1) / np.sqrt(2) for pair in pairs]
        for share in stage.averages:
            mixed = encoder.average(model, share)
            features[f"{share}"] = [encoder.encode(mixed, part) for part in (ids, test)]
        for kind, (train, held_out) in features.items():
            found.append((cell, stage_name, kind, fit_logistic(train, codes, held_out, goal)))
            if kind == "0.5" and stage_name.startswith("default"):
                hinge = fit_hinge(train, codes, held_out, goal)
                found.append((cell, stage_name, f"{kind}, hinge", hinge))
    return found


def main(*, quick: bool = False, jobs: int = N_JOBS, minutes: float = 1440.0) -> str:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    minilm_folder(), load_sets()  # what is missing is downloaded once
    found: list[Row] = []
    waiting = cells(quick=quick)
    for rows in in_processes(measure_cell, waiting, n_jobs=jobs, minutes=minutes):
        found += rows
        for cell, *row in rows:
            progress(json.dumps([*cell, *row]))
    n_found = len({row[0] for row in found})
    return f"{n_found} of {len(waiting)} cells.\n\n{report(found)}"


def report(rows: Sequence[Row]) -> str:
    """Differences to logistic regression on frozen features, the largest average first."""
    accuracy: dict[tuple[str, str], dict[Cell, float]] = defaultdict(dict)
    for cell, stage, kind, value in rows:
        accuracy[stage, kind][cell] = value
    base = accuracy["frozen", FROZEN]
    first = [f"{np.mean([v for c, v in base.items() if c[0] == s] or np.nan):.1f}" for s in SETS]
    titles = ["accuracy, logistic regression on frozen", *first]
    parts = [markdown_table(["", *SETS], [titles])]
    for has_names in (False, True):
        for is_hinge in (False, True):
            chosen = {
                (stage, kind): values
                for (stage, kind), values in accuracy.items()
                if stage.endswith("names") == has_names and kind.endswith("hinge") == is_hinge
            }
            title = f"With{'' if has_names else 'out'} class names"
            parts.append(f"{title}{', squared hinge' if is_hinge else ''}:")
            parts.append(_tabulate(chosen, base))
    return "\n\n".join(parts)


def _tabulate(accuracy: dict[tuple[str, str], dict[Cell, float]], base: dict[Cell, float]) -> str:
    """Average differences by set and by size, the largest first."""
    table = []
    for (stage, kind), values in accuracy.items():
        gains: dict[tuple[str, int], list[float]] = defaultdict(list)
        for cell, value in values.items():
            gains[cell[:2]].append(value - base[cell])
        means = {key: float(np.mean(each)) for key, each in gains.items()}
        sets = [[m for (s, _), m in means.items() if s == each] for each in SETS]
        sizes = [[m for (_, n), m in means.items() if n == each] for each in sorted(SIZES)]
        average = float(np.mean([np.mean(each) for each in sets if each]))
        worst, where = min((m, f"{s}, {n}") for (s, n), m in means.items())
        columns = [f"{np.mean(each):+.1f}" if each else "" for each in (*sets, *sizes)]
        row = [stage, kind, f"{average:+.2f}", *columns, f"{worst:+.1f} ({where})"]
        table.append((average, row))
    header = ["stage", "features", "average", *SETS, *map(str, sorted(SIZES)), "worst"]
    return markdown_table(header, [row for _, row in sorted(table, key=lambda pair: -pair[0])])
