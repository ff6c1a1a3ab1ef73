"""Which contrastive stage, and which head on its features, suits a few labels?

The sweep behind the defaults of `Contrastive` and of the head of sentence encoders: seven sets
(MR, R8, questions, 77 intents, tweets of two authors, Chinese reviews, four newsgroups), 2 to 64
labels per class, all-MiniLM-L6-v2. Training parts alone: labelled texts are drawn from a pool of
200 texts per class (70 of an intent), and accuracy is measured on 500 other texts (770 of the
intents); texts have their first 130 words. Draw d has the seed 1000 + d. Rows are differences in
points to logistic regression (C = 10) on the frozen features of the same draw, averaged over draws,
then sizes, then sets; "worst" is the lowest mean of a set at one size.

Stage: loss cos (squared error of cosines; `share` of the pretrained cosine in the target), supcon
(supervised contrastive loss, temperature 0.1 or 0.05) or proto (cross-entropy against trained class
vectors), with dropout or without. Features: tuned; both (tuned and frozen ones); or 0.5 (weights
averaged with the pretrained ones). Head: lr (logistic regression, C = 10) or svc (squared hinge,
C = 1, features centred and scaled to the norm 0.6). "names": the name of each class, and "This text
is about NAME." are samples of the stage and the head, on the five sets whose classes have names.

On an accelerator (12 processes) it takes eight minutes, on two cores a day. A machine without the
data gets them in a folder: `--prepare FOLDER` writes it, `--folder FOLDER` reads it. A run ends
after `--minutes`; cells come in the order of draws, so what is missing is the last draws.
"""

from __future__ import annotations

import copy
import gzip
import json
import multiprocessing
import os
import queue
import random
import shutil
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch.nn import functional as F

from .data import find_shared, read_jsonl
from .few_sentences import load_tutorial
from .measure import cuda_name, markdown_table, progress
from .sources import minilm_folder

PACKAGES = ("transformers",)
SIZES, N_DRAWS, MOST_DRAWS = (8, 2, 16, 4, 64), 2, 3  # most draws: of eight labels
POOL, HELD_OUT, N_WORDS, N_TOKENS = 200, 500, 130, 128
INTENTS = "banking77"
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


@dataclass(frozen=True)
class Stage:
    """Settings of a stage; `n_layers` of None trains all, with the embeddings."""

    loss: str = "cos"
    share: float = 0.0
    lr: float = 5e-5
    n_steps: int = 40
    n_layers: int | None = None
    batch_size: int = 64
    temperature: float = 0.1
    names: bool = False
    dropout: bool = True
    averages: tuple[float, ...] = ()


A = Stage(averages=(0.5,))
STAGES = {
    "20 steps of cos, lr 1e-4, share .5, 4 layers": Stage(
        share=0.5, lr=1e-4, n_steps=20, n_layers=4
    ),
    "cos": A,
    "cos, share .25": replace(A, share=0.25, averages=()),
    "cos, share .5": replace(A, share=0.5, averages=()),
    "cos, lr 1e-4": replace(A, lr=1e-4),
    "cos, lr 2e-5": replace(A, lr=2e-5, averages=()),
    "cos, 80 steps": replace(A, n_steps=80),
    "cos, 20 steps": replace(A, n_steps=20, averages=()),
    "cos, 4 layers": replace(A, n_layers=4, averages=()),
    "cos, batch 128": replace(A, batch_size=128, averages=()),
    "cos, names": replace(A, names=True),
    "cos, share .25, names": replace(A, share=0.25, names=True, averages=()),
    "supcon": replace(A, loss="supcon"),
    "supcon, lr 1e-4": replace(A, loss="supcon", lr=1e-4),
    "supcon, share .25": replace(A, loss="supcon", share=0.25, averages=()),
    "supcon, T .05": replace(A, loss="supcon", temperature=0.05, averages=()),
    "supcon, names": replace(A, loss="supcon", names=True),
    "supcon, no dropout": replace(A, loss="supcon", dropout=False),
    "supcon, no dropout, names": replace(A, loss="supcon", dropout=False, names=True),
    "proto": replace(A, loss="proto"),
    "proto, T .05": replace(A, loss="proto", temperature=0.05, averages=()),
    "proto, names": replace(A, loss="proto", names=True, averages=()),
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


def prepare_folder(folder: Path) -> str:
    """Write the texts, and the weights in half precision, for another machine."""
    from safetensors.torch import load_file, save_file

    source, target = minilm_folder(), folder / "minilm"
    target.mkdir(parents=True)
    with gzip.open(folder / "data.json.gz", "wt", encoding="utf-8") as file:
        json.dump(load_sets(), file)
    for path in source.glob("*.*"):
        if path.suffix in (".json", ".txt"):
            shutil.copy(path, target)
    weights = load_file(source / "model.safetensors")
    half = {key: t.half() if t.is_floating_point() else t for key, t in weights.items()}
    save_file(half, target / "model.safetensors", metadata={"format": "pt"})
    return f"Written: {folder}."


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


def fit_heads(
    train: np.ndarray, y: np.ndarray, test: np.ndarray, goal: np.ndarray
) -> Iterator[tuple[str, float]]:
    logistic = LogisticRegression(C=10, max_iter=200, tol=1e-3).fit(train, y)
    yield "lr", 100 * float((logistic.predict(test) == goal).mean())
    mean = train.mean(0)
    factor = 0.6 / np.sqrt(np.square(train - mean).sum(1).mean())
    hinge = LinearSVC(C=1, max_iter=3000).fit((train - mean) * factor, y)
    yield "svc", 100 * float((hinge.predict((test - mean) * factor) == goal).mean())


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


def rows_of_cell(
    encoder: Encoder, sets: dict[str, dict[str, Texts]], cell: Cell, deadline: float
) -> Iterator[tuple[Cell, str, str, float]]:
    """Cell, stage, features and head, accuracy."""
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
    for key, (_, codes) in samples.items():
        for head, accuracy in fit_heads(frozen[key], codes, test_frozen, goal):
            yield cell, "frozen, names" if key else "frozen", f"frozen, {head}", accuracy
    for stage_name, stage in STAGES.items():
        if stage.names not in samples or time.time() > deadline:
            continue
        ids, codes = samples[stage.names]
        model = encoder.tune(ids, codes, frozen[stage.names], stage, seed)
        features = {"tuned": [encoder.encode(model, part) for part in (ids, test)]}
        pairs = zip((frozen[stage.names], test_frozen), features["tuned"], strict=True)
        features["both"] = [np.concatenate(pair, axis=1) / np.sqrt(2) for pair in pairs]
        for share in stage.averages:
            mixed = encoder.average(model, share)
            features[f"{share}"] = [encoder.encode(mixed, part) for part in (ids, test)]
        for kind, (train, held_out) in features.items():
            for head, accuracy in fit_heads(train, codes, held_out, goal):
                yield cell, stage_name, f"{kind}, {head}", accuracy


def work(folder: str | None, jobs: Any, results: Any, deadline: float) -> None:
    """A process: cells until there are none, or no time is left."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sets, model = open_folder(folder)
    encoder = Encoder(model, "cuda" if cuda_name() else "cpu")
    while time.time() < deadline:
        try:
            cell = jobs.get(timeout=1)
        except queue.Empty:
            break
        for row in rows_of_cell(encoder, sets, cell, deadline):
            results.put(row)
    results.put(None)


def open_folder(folder: str | None) -> tuple[dict[str, dict[str, Texts]], Path]:
    if folder is None:
        return load_sets(), minilm_folder()
    with gzip.open(Path(folder) / "data.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file), Path(folder) / "minilm"


def main(
    *,
    quick: bool = False,
    jobs: int | None = None,
    minutes: float = 1440.0,
    folder: str | None = None,
    prepare: str | None = None,
) -> str:
    if prepare is not None:
        return prepare_folder(Path(prepare))
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    if folder is None:
        open_folder(None)  # downloads what is missing, once
    context = multiprocessing.get_context("spawn")
    n_jobs = jobs or (12 if cuda_name() else 1)
    waiting, results = context.Queue(), context.Queue()
    for cell in cells(quick=quick):
        waiting.put(cell)
    arguments = (folder, waiting, results, time.time() + 60 * minutes)
    workers = [context.Process(target=work, args=arguments, daemon=True) for _ in range(n_jobs)]
    for worker in workers:
        worker.start()
    found: list[tuple[Cell, str, str, float]] = []
    n_open = n_jobs
    while n_open and (any(worker.is_alive() for worker in workers) or not results.empty()):
        try:
            row = results.get(timeout=5)
        except queue.Empty:
            continue
        if row is None:
            n_open -= 1
        else:
            found.append(row)
            progress(" ".join(map(str, (*row[0], *row[1:]))))
    return report(found)


def report(rows: Sequence[tuple[Cell, str, str, float]]) -> str:
    """Differences to logistic regression on frozen features, the largest average first."""
    accuracy: dict[tuple[str, str], dict[Cell, float]] = defaultdict(dict)
    for cell, stage, kind, value in rows:
        accuracy[stage, kind][tuple(cell)] = value  # type: ignore[index]
    base = accuracy["frozen", "frozen, lr"]
    parts = []
    for has_names in (False, True):
        table = []
        for (stage, kind), values in accuracy.items():
            gains: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
            for cell, value in values.items():
                gains[cell[0]][cell[1]].append(value - base[cell])
            means = {s: {n: np.mean(g) for n, g in by.items()} for s, by in gains.items()}
            per_set = {s: np.mean(list(by.values())) for s, by in means.items()}
            worst, where = min((m, f"{s}, {n}") for s, by in means.items() for n, m in by.items())
            average = float(np.mean(list(per_set.values())))
            cells_ = [f"{per_set[s]:+.1f}" if s in per_set else "" for s in SETS]
            if stage.endswith("names") == has_names:
                row = [stage, kind, f"{average:+.2f}", *cells_, f"{worst:+.1f} ({where})"]
                table.append((average, row))
        header = ["stage", "features, head", "average", *SETS, "worst"]
        ordered = [row for _, row in sorted(table, key=lambda pair: -pair[0])]
        title = "With class names:" if has_names else "Without class names:"
        parts += [title, markdown_table(header, ordered)]
    first = [f"{np.mean([v for c, v in base.items() if c[0] == s]):.1f}" for s in SETS]
    first_table = markdown_table(["", *SETS], [["accuracy, logistic regression on frozen", *first]])
    return "\n\n".join([first_table, *parts])
