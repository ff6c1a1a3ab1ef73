"""The tokenizer of a table whose words are pieces of such: Hugging Face's ``tokenizer.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..._utils.validation import VectorFormatError, import_optional

# Texts that are split at once.
_BATCH = 1024


@contextmanager
def _errors_of_library(what: str) -> Iterator[None]:
    """Errors of the library: they are bare `Exception`, and its panics not even that."""
    try:
        yield
    except ImportError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise VectorFormatError(f"{what}: {error}") from error


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
    def names(self) -> dict[int, str]:
        """The token of each id, in the order of the ids."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return {id_: token for token, id_ in sorted(vocabulary.items(), key=itemgetter(1))}

    def check(self, path: Path) -> dict[int, str]:
        """The tokens by their ids, in the order of the ids, which may have gaps.

        Parameters
        ----------
        path : Path
            The file, for the messages.

        Returns
        -------
        dict of int to str

        Raises
        ------
        VectorFormatError
            If it is no tokenizer, has no tokens, or tokens that share an id.
        MissingDependencyError
            If the library is not installed.
        """
        with _errors_of_library(f"{path}: no tokenizer.json"):
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
        """The token that stands for what the tokenizer does not know."""
        model = self._tokenizer.model
        if hasattr(model, "unk_token"):
            token: str | None = model.unk_token
            return token if self._tokenizer.token_to_id(token or "") is not None else None
        # The library does not tell that of a Unigram model.
        return self.names.get(json.loads(self._tokenizer.to_str())["model"].get("unk_id"))

    def skipping(self, tokens: Sequence[str]) -> TableTokenizer:
        """The same tokenizer, which leaves out these tokens; what was made of it is shared."""
        other = TableTokenizer(self.content, tokens)
        made = ("_tokenizer", "names")
        other.__dict__ |= {name: self.__dict__[name] for name in made if name in self.__dict__}
        return other

    def split_all(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """The tokens of each text, without special ones.

        Parameters
        ----------
        texts : sequence of str

        Yields
        ------
        list of str

        Raises
        ------
        VectorFormatError
            If the tokenizer cannot split a text, as one of words that lacks the token for others.
        """
        names = self.names
        skipped = {id_ for id_, token in names.items() if token in self.skipped}
        for start in range(0, len(texts), _BATCH):
            # A lone surrogate is no character that the library could be given.
            batch = [
                text.encode(errors="replace").decode() for text in texts[start : start + _BATCH]
            ]
            with _errors_of_library("The tokenizer of these vectors cannot split a text"):
                encoded = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            # Not their `tokens`: of some models these are the text, where that is unknown.
            for ids in (found.ids for found in encoded):
                yield [names[id_] for id_ in ids if id_ not in skipped]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TableTokenizer) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return TableTokenizer, (self.content, sorted(self.skipped))
