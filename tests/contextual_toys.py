"""A tiny sentence encoder with random weights, built by the classes of its library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
)

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.training.policies import Contrastive

WORDS = [
    *("the", "a", "cat", "dog", "sat", "ran", "on", "mat", "film", "plot", "good", "bad"),
    *("great", "awful", "very", "not", "is", "was", "it", "and"),
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
DIM, N_LAYERS, MAX_TOKENS = 16, 3, 12
CONTRASTIVE = Contrastive(n_steps=4)  # a short stage

TEXTS = [
    "the cat sat on the mat",
    "",
    "a good film",
    "the plot was very very bad and awful and not good and it was a bad film",
    "zebra",
    "the cat sat on the mat",
]


def save_tiny(folder: Path, *, seed: int = 0, architecture: str = "bert") -> Path:
    """An encoder of 16 features and 3 layers over twenty words, as sentence-transformers saves it.

    "bert", or "mpnet", in which a module beside the layers acts in each of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = folder / "pieces"
    pieces.mkdir()
    (pieces / "vocab.txt").write_text("\n".join([*SPECIAL, *WORDS, "##s"]))
    make = {"bert": (BertConfig, BertModel), "mpnet": (MPNetConfig, MPNetModel)}[architecture]
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    model = make[1](
        make[0](
            vocab_size=len(SPECIAL) + len(WORDS) + 1,
            hidden_size=DIM,
            num_hidden_layers=N_LAYERS,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=0.5,
            pad_token_id=0,
        )
    )
    torch.set_rng_state(before)
    model.save_pretrained(pieces)
    names = {} if architecture == "bert" else {"model_input_names": ["input_ids", "attention_mask"]}
    tokenizer = BertTokenizerFast(str(pieces / "vocab.txt"), model_max_length=60, **names)
    tokenizer.save_pretrained(pieces)
    transformer = Transformer(str(pieces), max_seq_length=MAX_TOKENS)
    whole = SentenceTransformer(
        modules=[transformer, Pooling(DIM, pooling_mode="mean"), Normalize()], device="cpu"
    )
    saved = folder / "model"
    whole.save(str(saved), create_model_card=False)
    return saved


def make_tokenizer(*, special: bool = True, **settings: Any) -> PreTrainedTokenizerFast:
    """The twenty words at spaces, between [CLS] and [SEP] if `special`."""
    tokens = {token: i for i, token in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        ends = [("[CLS]", tokens["[CLS]"]), ("[SEP]", tokens["[SEP]"])]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=ends
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
        **settings,
    )


def make_library(
    folder: Path,
    model_type: str,
    *,
    pooling: str | tuple[str, ...] = "mean",
    special: bool = True,
    padding_side: str = "right",
    model_max_length: int | None = None,
    seed: int = 0,
    **config: Any,
) -> SentenceTransformer:
    """An opened encoder of any architecture of transformers, over the twenty words.

    Without `special`, the tokenizer adds no special tokens: a text may have no token.
    """
    limit = {"model_max_length": model_max_length} if model_max_length else {}
    wrapped = make_tokenizer(special=special, padding_side=padding_side, **limit)
    n_tokens = len(SPECIAL) + len(WORDS)
    sizes = {"vocab_size": n_tokens, "hidden_size": DIM, "num_hidden_layers": N_LAYERS}
    sizes |= {"num_attention_heads": 2, "initializer_range": 0.5, "pad_token_id": 0}
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **sizes | config))
    torch.set_rng_state(before)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    transformer = Transformer(str(folder))
    transformer.processor = wrapped  # not that of the architecture, which splits in its own way
    modules = [transformer, Pooling(DIM, pooling_mode=pooling)]
    return SentenceTransformer(modules=modules, device="cpu").eval()


def make_router(folder: Path, route: str | None, **options: Any) -> SentenceTransformer:
    """A query encoder of 3 layers and one for documents of 2, with tokenizers of their own."""
    query = make_library(folder / "query", "bert", intermediate_size=32, special=False)
    document = make_library(
        folder / "document", "bert", intermediate_size=32, seed=1, num_hidden_layers=2
    )
    routes = {"query": list(query.children()), "document": list(document.children())}
    module = Router(routes, default_route=route, **options)
    return SentenceTransformer(modules=[module], device="cpu").eval()


def open_library(folder: Path, **options: Any) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True, **options)


def label_texts() -> tuple[list[str], np.ndarray]:
    """Texts with good or bad words, and their labels."""
    generator = np.random.default_rng(0)
    filler = ["the", "a", "film", "plot", "was", "and", "it"]
    texts, labels = [], []
    for i in range(24):
        tone = ["good", "great"] if i % 2 else ["bad", "awful"]
        n_words = int(generator.integers(1, 6))
        texts.append(" ".join([*generator.choice(filler, n_words), *generator.choice(tone, 2)]))
        labels.append("yes" if i % 2 else "no")
    return texts, np.array(labels)


def fit(source: Any, labelled: Any, **options: Any) -> FineTunedClassifier:
    convex = options.get("adaptation") in ("auto", "contrastive", "frozen", CONTRASTIVE)
    usual = {} if convex else {"max_epochs": 3, "batch_size": 8}
    options = {"random_state": 0, **usual, **options}
    return FineTunedClassifier(source, **options).fit(*labelled)
