"""Run benchmarks, one question each: ``python -m benchmarks [NAME ...]``.

The Markdown goes to stdout and, of a run on all texts, to ``benchmarks/results/NAME.md``.
"""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any

from . import (
    ablation,
    adaptation,
    all_labels,
    characters,
    class_names,
    continued,
    contrastive,
    distilled,
    embedding,
    encoded,
    encoders,
    epochs,
    explanations,
    exports,
    few_labels,
    few_sentences,
    fuzz,
    imagenet,
    images,
    multilabel,
    opening,
    out_of_scope,
    pickled,
    probabilities,
    regression,
    resume,
    scaling,
    shared_memory,
    sharing,
    shipping,
    smaller,
    solvers,
    sounds,
    sources_list,
    top_layers,
    training,
    unknown_words,
    unlabelled,
    upstream,
    windows,
)
from .data import LOADERS, DataUnavailable
from .measure import cuda_name, describe_machine
from .tasks import QUICK

SCRIPTS = {
    "embedding": embedding,
    "training": training,
    "sharing": sharing,
    "smaller": smaller,
    "shared_memory": shared_memory,
    "opening": opening,
    "pickled": pickled,
    "all_labels": all_labels,
    "few_labels": few_labels,
    "characters": characters,
    "continued": continued,
    "unknown_words": unknown_words,
    "class_names": class_names,
    "unlabelled": unlabelled,
    "probabilities": probabilities,
    "multilabel": multilabel,
    "out_of_scope": out_of_scope,
    "regression": regression,
    "images": images,
    "imagenet": imagenet,
    "sounds": sounds,
    "scaling": scaling,
    "solvers": solvers,
    "encoded": encoded,
    "few_sentences": few_sentences,
    "sources_list": sources_list,
    "windows": windows,
    "contrastive": contrastive,
    "top_layers": top_layers,
    "distilled": distilled,
    "ablation": ablation,
    "encoders": encoders,
    "epochs": epochs,
    "resume": resume,
    "adaptation": adaptation,
    "explanations": explanations,
    "fuzz": fuzz,
    "upstream": upstream,
    "shipping": shipping,
    "exports": exports,
}
ON_CUDA = (contrastive, few_sentences)
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCRIPTS)}; all")
    parser.add_argument("--limit", type=int, help="try on so many texts; nothing is written")
    parser.add_argument("--repeats", type=int, help="of every measurement")
    parser.add_argument(
        "--data",
        choices=sorted({*LOADERS, *few_sentences.SETS}),
        help="of training (default: 20newsgroups) or few_sentences (default: all)",
    )
    parser.add_argument(
        "--recipe-epochs", type=int, help="of plain skorch, in training; default: 1"
    )
    parser.add_argument(
        "--skip",
        help="rows whose name holds one of these, a,b,c; where a script has rows to skip",
        default=None,
    )
    parser.add_argument(
        "--quick", action="store_true", help="try, on little data; nothing is written"
    )
    parser.add_argument(
        "--rivals", action="store_true", help="fastText and model2vec too, in all_labels"
    )
    parser.add_argument(
        "--full", action="store_true", default=None, help="all texts, in sources_list"
    )
    parser.add_argument("--jobs", type=int, help="processes of fuzz, contrastive, few_sentences")
    parser.add_argument("--minutes", type=float, help="of fuzz, contrastive, few_sentences")
    parser.add_argument("--rows", help="file in which few_sentences keeps its results")
    options = parser.parse_args()
    if options.quick and options.limit is None:
        options.limit = QUICK
    options.quick = options.limit is not None
    unknown = set(options.names) - set(SCRIPTS)
    if unknown:
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}: {', '.join(SCRIPTS)}")

    for name in options.names or SCRIPTS:
        script: Any = SCRIPTS[name]
        known = inspect.signature(script.main).parameters
        given = {
            key: value for key, value in vars(options).items() if key in known and value is not None
        }
        try:
            body = script.main(**given)
        except DataUnavailable as error:
            print(f"## {name}\n\nLeft out: {error}\n", flush=True)
            continue
        question, _, how = (script.__doc__ or "").partition("\n\n")
        machine = describe_machine(script.PACKAGES)
        text = "\n\n".join([f"## {question}", how.strip(), body, machine]) + "\n"
        print(text, flush=True)
        is_part = options.quick and not getattr(script, "WRITES_PARTS", False)
        if not is_part:
            suffix = f"-{options.data}" if "data" in known and options.data else ""
            suffix += "-cuda" if script in ON_CUDA and cuda_name() else ""
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{name}{suffix}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
