"""A tiny sentence encoder with random weights, built by the classes of its library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast, MPNetConfig, MPNetModel

WORDS = [
    *("the", "a", "cat", "dog", "sat", "ran", "on", "mat", "film", "plot", "good", "bad"),
    *("great", "awful", "very", "not", "is", "was", "it", "and"),
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
DIM, N_LAYERS, MAX_TOKENS = 16, 3, 12

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


def open_library(folder: Path, **options: Any) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True, **options)
