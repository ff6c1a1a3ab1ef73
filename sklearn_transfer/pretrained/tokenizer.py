"""The tokenizer of a table whose words are pieces of such: Hugging Face's ``tokenizer.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from .._validation import VectorFormatError, import_optional

# Texts that are split at once.
_BATCH = 1024


class TableTokenizer:
    """Splits texts into the tokens of a table.

    Parameters
    ----------
    content : str
        A ``tokenizer.json``: data, never code.
    skipped : iterable of str, default=()
        Tokens that are left out, as that for what is unknown.

    Attributes
    ----------
    content : str
    skipped : frozenset of str
    digest : str
        32 hexadecimal digits: equal where the tokenizers are.

    Notes
    -----
    The library ``tokenizers`` (extra ``static``) is needed when texts are split. Equal ones compare
    equal, so that texts are split once for all tables that share a tokenizer.
    """

    def __init__(self, content: str, skipped: Sequence[str] = ()) -> None:
        self.content, self.skipped = content, frozenset(skipped)

    @cached_property
    def digest(self) -> str:
        """Equal where the tokenizers are."""
        whole = json.dumps([self.content, sorted(self.skipped)])
        return hashlib.blake2b(whole.encode(errors="surrogatepass"), digest_size=16).hexdigest()

    @cached_property
    def _tokenizer(self) -> Any:
        library = import_optional(
            "tokenizers", extra="static", purpose="Splitting texts into the tokens of these vectors"
        )
        tokenizer = library.Tokenizer.from_str(self.content)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _token(self) -> dict[int, str]:
        """Of an id; the fast form of what the library returns has ids alone."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return {i: token for token, i in vocabulary.items()}

    def check(self, path: Path) -> list[str]:
        """The tokens in the order of their ids, of which none may be missing.

        Parameters
        ----------
        path : Path
            The file, for the messages.

        Returns
        -------
        list of str

        Raises
        ------
        VectorFormatError
            If it is no tokenizer, or its ids are not 0, 1, ...
        MissingDependencyError
            If the library is not installed.
        """
        try:
            vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        except ImportError:
            raise
        except BaseException as error:  # the library's own are bare Exception, and its panics
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise VectorFormatError(f"{path}: no tokenizer.json: {error}") from error
        tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        if [vocabulary[token] for token in tokens] != list(range(len(tokens))):
            raise VectorFormatError(f"{path}: expected tokens with the ids 0, 1, ... without gaps.")
        return tokens

    def split_all(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """The tokens of each text, without special ones."""
        for start in range(0, len(texts), _BATCH):
            # A lone surrogate is no character that the library could be given.
            batch = [
                text.encode(errors="replace").decode() for text in texts[start : start + _BATCH]
            ]
            for found in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                tokens = map(self._token.__getitem__, found.ids)
                yield [token for token in tokens if token not in self.skipped]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TableTokenizer) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return TableTokenizer, (self.content, sorted(self.skipped))
