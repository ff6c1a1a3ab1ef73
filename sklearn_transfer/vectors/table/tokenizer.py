"""Tokenizers of tables whose words are sub-word tokens: ``tokenizer.json`` of Hugging Face."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import prod
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..._utils.errors import VectorFormatError
from ..._utils.hashing import hash_content
from ..._utils.optional import import_optional

_BATCH = 1024  # texts that are split at once
# Known tokenizers double a text at most a few times. A chain of replacements makes it longer
# exponentially, and the library ends the process when memory runs out.
_MAX_GROWTH = 64
# The library lists all ids without a token whenever a tokenizer is copied or saved.
_MAX_UNUSED_IDS = 1 << 20


@contextmanager
def _catch_library_errors(message: str) -> Iterator[None]:
    """Turn errors of the library, bare exceptions and panics, into a `VectorFormatError`."""
    try:
        yield
    except ImportError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise VectorFormatError(f"{message}: {error}") from error


def check_ids(vocabulary: Mapping[str, int], name: str) -> None:
    """Raise `VectorFormatError` if the ids of tokens leave out far too many numbers."""
    largest, allowed = max(vocabulary.values(), default=0), len(vocabulary) + _MAX_UNUSED_IDS
    if largest > allowed:
        raise VectorFormatError(
            f"{name}: expected token ids up to {allowed} for {len(vocabulary)} tokens, found "
            f"{largest}."
        )


def check_growth(tokenizer: Any, name: str) -> None:
    """Raise `VectorFormatError` if the normalizers of a library tokenizer may make texts huge."""
    normalizer = tokenizer.normalizer
    growth = 1 if normalizer is None else _growth(json.loads(normalizer.__getstate__()))
    if growth > _MAX_GROWTH:
        raise VectorFormatError(
            f"{name}: expected normalizers that make a text at most {_MAX_GROWTH} times as long, "
            f"found some that make it up to {growth} times as long."
        )


def _growth(normalizer: dict[str, Any]) -> int:
    """Return how many times as long a text may become, at most."""
    match normalizer["type"]:
        case "Sequence":
            return prod(map(_growth, normalizer["normalizers"]))
        case "Replace":
            content, literal = normalizer["content"], normalizer["pattern"].get("String")
            # A regular expression may match between any two characters, and so does an empty text.
            return -(-len(content) // len(literal)) or 1 if literal else len(content) + 1
        case "Prepend":
            return len(normalizer["prepend"]) + 1
        case "ByteLevel":
            return 2
        case "Precompiled":  # of a trie and texts, which replace characters of up to three bytes
            chars = b64decode(normalizer["precompiled_charsmap"])
            texts = chars[4 + int.from_bytes(chars[:4], "little") :].split(b"\0")
            return max(1, *(-(-len(text) // 3) for text in texts))
    return 1


class TableTokenizer:
    """Splits texts into the tokens of a table.

    Parameters
    ----------
    content : str
        Content of a ``tokenizer.json``, which never holds code.
    skipped : iterable of str, default=()
        Tokens that are left out, such as the one for unknown text.
    prompt : str, default=""
        Prepended to every text.

    Notes
    -----
    Splitting texts needs the library ``tokenizers`` (extra ``static``). Tokenizers with the same
    content are equal, so that texts are split once for all tables that share one.
    """

    def __init__(self, content: str, skipped: Sequence[str] = (), prompt: str = "") -> None:
        self.content, self.skipped, self.prompt = content, frozenset(skipped), prompt

    @property
    def parts(self) -> tuple[Any, ...]:
        """The arguments that make an equal tokenizer."""
        skipped = sorted(self.skipped)
        return (self.content, skipped, self.prompt) if self.prompt else (self.content, skipped)

    @cached_property
    def digest(self) -> str:
        """Hash of the content, the skipped tokens and the prompt, 32 hexadecimal digits."""
        return hash_content(json.dumps(self.parts))

    @cached_property
    def _tokenizer(self) -> Any:
        library = import_optional(
            "tokenizers", extra="static", purpose="Splitting texts into the tokens of these vectors"
        )
        with _catch_library_errors("The tokenizer of these vectors cannot be opened"):
            tokenizer = library.Tokenizer.from_str(self.content)
        check_growth(tokenizer, "The tokenizer of these vectors")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def names(self) -> dict[int, str]:
        """The token of each id, in the order of the ids."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        check_ids(vocabulary, "The tokenizer of these vectors")
        return {id_: token for token, id_ in sorted(vocabulary.items(), key=itemgetter(1))}

    def check(self, path: Path) -> dict[int, str]:
        """Parse the tokenizer of a file, and return its tokens by their ids, in order."""
        with _catch_library_errors(f"{path}: no tokenizer.json"):
            names = self.names
            n_tokens = self._tokenizer.get_vocab_size(with_added_tokens=True)
        if not names:
            raise VectorFormatError(f"{path}: expected a tokenizer with tokens, found none.")
        if len(names) < n_tokens:
            raise VectorFormatError(
                f"{path}: expected an id for each token, found {len(names)} for {n_tokens} tokens."
            )
        return names

    @property
    def unknown(self) -> str | None:
        """The token for unknown text, if there is one."""
        model = self._tokenizer.model
        if hasattr(model, "unk_token"):
            token: str | None = model.unk_token
            return token if self._tokenizer.token_to_id(token or "") is not None else None
        # The library does not expose it for a Unigram model.
        return self.names.get(json.loads(self._tokenizer.to_str())["model"].get("unk_id"))

    def skipping(self, tokens: Sequence[str]) -> TableTokenizer:
        """Return a tokenizer that leaves out these tokens, and shares the parsed content."""
        other = TableTokenizer(self.content, tokens, self.prompt)
        parsed = ("_tokenizer", "names")
        other.__dict__ |= {name: self.__dict__[name] for name in parsed if name in self.__dict__}
        return other

    def split_all(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """Split texts into tokens, without special ones; `VectorFormatError` if it cannot."""
        names = self.names
        skipped = {id_ for id_, token in names.items() if token in self.skipped}
        for start in range(0, len(texts), _BATCH):
            # The library accepts no lone surrogates.
            batch = [
                (self.prompt + text).encode(errors="replace").decode()
                for text in texts[start : start + _BATCH]
            ]
            with _catch_library_errors("The tokenizer of these vectors cannot split a text"):
                encoded = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            # Not their `tokens`: for unknown text some models return the text itself.
            for ids in (encoding.ids for encoding in encoded):
                yield [names[id_] for id_ in ids if id_ in names and id_ not in skipped]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TableTokenizer) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return TableTokenizer, self.parts
