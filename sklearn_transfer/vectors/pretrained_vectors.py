"""PretrainedVectors: words and a read-only matrix, shared and memory-mapped."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .._utils.errors import levels_to_caller
from .._utils.objects.memo import ObjectCache
from .._utils.objects.pickling import PickledOnly
from .._utils.texts import check_texts
from .catalog import locate
from .formats import formats
from .formats.gensim_files import from_keyed_vectors, to_gensim
from .origin import MappedFiles, Origin, remember_place
from .storage.files import exists, expand_user
from .storage.fitted_subwords import open_subwords
from .table import compression, lookup
from .table.description import describe_table
from .table.difference import Difference
from .table.lookup import OutOfVocabulary
from .table.oov import Subwords
from .table.table import Matrix, Reading, Table, check_finite
from .table.tokenizer import TableTokenizer
from .table.vocabulary import Vocabulary, as_list_of_words

_opened: ObjectCache[PretrainedVectors] = ObjectCache(n_recent=4)


class PretrainedVectors(PickledOnly):
    """A table of pretrained word vectors.

    A table is immutable, and therefore shared instead of copied: :func:`copy.deepcopy` and
    :func:`sklearn.base.clone` return the same object, and estimators that name the same file share
    one object. The pickle of a table from a file contains the name or path, and the fingerprint of
    the file.

    Parameters
    ----------
    words : sequence of str, length n_words
        Distinct words.
    matrix : array-like of shape (n_words, dim)
        Vectors of the words. Matrices of float32 and float16 are not copied; other numbers become
        float32.
    name : str, default=None
        Name for display.

    Attributes
    ----------
    words : Vocabulary, length n_words
        A sequence of str.
    matrix : ndarray of float32, float16 or int8, shape (n_rows, dim)
        Read-only; memory-mapped if it comes from a file that allows it.
    rows : ndarray of int32, shape (n_words,), or None
        The row of each word, if words share rows. With None, word ``i`` has row ``i``.
    scales : ndarray of float32, shape (n_words,), or None
        The vector of word ``i`` is ``scales[i] * matrix[rows[i]]``. With None, all scales are 1.
    tokenizer : TableTokenizer or None
        Tokenizer of the vectors, if the words are sub-word tokens (Model2Vec and other distilled
        models).
    name : str or None
    dim : int
    cased : bool
        True if more than 1 % of the words have an upper-case letter.
    subwords : Subwords or None
        The n-gram rows of a fastText model.
    path : str or None
        The file or folder of the table.

    See Also
    --------
    PretrainedEmbeddingTransformer : Transform texts to features with such a table.

    Examples
    --------
    >>> from sklearn_transfer import PretrainedVectors
    >>> vectors = PretrainedVectors(["cat", "dog"], [[1.0, 0.0], [0.8, 0.6]], name="pets")
    >>> vectors
    <PretrainedVectors 'pets': 2 words x 2, float32, in memory>
    >>> vectors["dog"]
    array([0.8, 0.6], dtype=float32)
    >>> "cow" in vectors, len(vectors), vectors[["dog", "cat"]].shape
    (False, 2, (2, 2))
    """

    __slots__ = (
        "__weakref__",
        "_base",
        "_change",
        "_files",
        "_fitted",
        "_held",
        "_name",
        "_origin",
    )

    _fitted: Subwords | None
    _name: str | None
    _origin: Origin | None
    _held: Table | None  # None: of a pickle whose file has not been found yet
    _base: PretrainedVectors | None  # the vectors from which these were trained
    _change: Difference | None  # from the base, which has not been found yet

    def __init__(self, words: Sequence[str], matrix: ArrayLike, *, name: str | None = None) -> None:
        rows = np.asarray(matrix)
        if rows.dtype not in (np.float32, np.float16):
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32)
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise ValueError(
                f"matrix must have shape (n_words, dim) with dim >= 1, got shape {rows.shape}."
            )
        listed = words if isinstance(words, Vocabulary) else as_list_of_words(words)
        if len(listed) != len(rows):
            raise ValueError(
                f"words and matrix must belong together: got {len(listed)} words and {len(rows)} "
                f"rows."
            )
        check_finite(rows, name or "matrix")
        vocabulary = listed if isinstance(listed, Vocabulary) else Vocabulary(listed)
        self.__setstate__((Table(vocabulary, np.ascontiguousarray(rows)), name, None))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        table, self._name, self._origin, self._base, self._change = (*state, None, None)[:5]
        self._fitted = None
        self._files: MappedFiles | None = None
        if table is not None:
            self._files = MappedFiles(self._origin, table) if self._origin else None
            # A view, so that the caller's array keeps its flags.
            matrix = table.matrix.view()
            matrix.flags.writeable = False
            table = replace(table, matrix=matrix)
        self._held = table

    @classmethod
    def from_table(
        cls, table: Table | None, name: str | None = None, origin: Origin | None = None
    ) -> PretrainedVectors:
        """Wrap a table, which comes from a file if there is an `origin`; None if it is missing."""
        vectors = cls.__new__(cls)
        vectors.__setstate__((table, name, origin))
        return vectors

    @classmethod
    def continued(
        cls,
        base: PretrainedVectors,
        name: str | None,
        table: Table | None = None,
        change: Difference | None = None,
    ) -> PretrainedVectors:
        """Wrap a table that was trained from `base`, or, in a pickle, its difference to `base`."""
        vectors = cls.__new__(cls)
        vectors.__setstate__((table, name, None, base, change))
        if change is not None and not base.is_missing:
            len(vectors)  # makes the table
        return vectors

    @classmethod
    def load(  # noqa: PLR0913 (the options of all formats)
        cls,
        source: str | os.PathLike[str],
        *,
        allow_pickle: bool = False,
        mmap: bool = True,
        limit: int | None = None,
        encoding: str = "utf-8",
        errors: str = "strict",
        pickle_weights: bool = False,
    ) -> PretrainedVectors:
        """Open vectors by path or name. A process opens the same file once.

        A file of 4 MB or more that cannot be memory-mapped is converted at the first opening,
        unless there is a `limit`. Later openings map the converted table from the cache: see
        :func:`sklearn_transfer.cache_info`. The conversion warns about repeated words. The first
        opening hashes the whole content of a file, at about 1 GB per second; the hash is kept as
        long as the file does not change.

        Parameters
        ----------
        source : str or path
            A file, a folder or a name. The format is detected by the content.

            - Files: word2vec text and binary, GloVe text, fastText ``.vec`` and ``.bin`` (all but
              the last also compressed by gzip, bzip2 or zip), gensim ``.kv`` and ``.model``, and
              Parquet (a column of words, and one column of lists or many of numbers; extra
              ``parquet``).
            - Folders: from :meth:`save`, of a Model2Vec model, of the package wordllama, of a spaCy
              pipeline or its ``vocab`` (extra ``spacy``), or of a sentence-transformers model with
              the only module ``StaticEmbedding`` (and ``Normalize``).
            - Names: see :func:`sklearn_transfer.load_pretrained`.
        allow_pickle : bool, default=False
            Whether to open the formats of gensim. They are pickles, and opening a pickle runs any
            code that its author put inside. Open them only from a source that you trust.
        mmap : bool, default=True
            Whether to memory-map the matrix, if the format allows it, instead of reading it.
        limit : int, default=None
            Maximum number of words. The first words are taken; in most files, these are the most
            frequent.
        encoding : str, default="utf-8"
            Encoding of the words in text files and word2vec binary files: a codec of Python that
            contains ASCII, such as ``"latin-1"``. The words of other formats are UTF-8.
        errors : {"strict", "ignore", "replace", "backslashreplace"}, default="strict"
            Handling of bytes that are invalid in this encoding, as in :meth:`bytes.decode`.
            ``"strict"`` raises an error that names the word. In fastText ``.bin`` files, which
            contain words cut between bytes, ``"strict"`` is ``"backslashreplace"``, as in gensim.
        pickle_weights : bool, default=False
            Whether to include the table in a pickle. Otherwise a pickle contains the name or path,
            and the fingerprint. The table of such a pickle is opened from the path, from another
            path that the process has opened with the same content, or by the name.

        Returns
        -------
        PretrainedVectors

        Raises
        ------
        FileNotFoundError
            If the source does not exist; the message lists the searched places.
        VectorFormatError
            If the file is damaged, of another format, or a pickle without `allow_pickle`.
        ValueError
            If the format does not use a given `encoding` or `errors`.
        MissingDependencyError
            If a library for the format is not installed; the message names the extra.

        Notes
        -----
        A static model has its own tokenizer, which splits texts if the model is the only source.
        The mean of all tokens equals that of the library that wrote the model: Model2Vec leaves out
        the token for unknown text, sentence-transformers does not. For a model that normalises the
        vectors of texts, use ``PretrainedEmbeddingTransformer(norm="l2")``.
        """
        path, options = locate(source), Reading(allow_pickle, mmap, limit, encoding, errors)
        name = source if isinstance(source, str) and not exists(expand_user(source)) else None
        fingerprint = formats.fingerprint(path)
        return cls._open(Origin(str(path), fingerprint, options, name, pickle_weights))

    @classmethod
    def open(cls, origin: Origin) -> PretrainedVectors:
        """Open the content of an origin, wherever it is found."""
        return cls._open(origin.find())

    @classmethod
    def _open(cls, origin: Origin) -> PretrainedVectors:
        name = origin.name or Path(origin.path).name
        opened = _opened.get(origin, lambda: cls.from_table(origin.read(), name, origin))
        remember_place(origin.fingerprint, origin.path)
        return opened

    @property
    def is_missing(self) -> bool:
        """True for vectors from a pickle whose file has not been found yet."""
        return self._held is None

    @property
    def _table(self) -> Table:
        if self._base is not None and self._change is not None:
            table = self._change.apply(self._base.table)
            self.__setstate__((table, self._name, None, self._base))
        if self._held is None:
            self._origin = self._origin.find()  # type: ignore[union-attr]
            self._held = self._open(self._origin).table
            self._files = MappedFiles(self._origin, self._held)
        return self._held

    @classmethod
    def from_gensim(cls, model: Any, *, name: str | None = None) -> PretrainedVectors:
        """Wrap a gensim ``KeyedVectors``, ``Word2Vec`` or ``FastText``, without copying rows."""
        return cls.from_table(from_keyed_vectors(model), name or type(model).__name__)

    def to_gensim(self) -> Any:
        """Convert the vectors to a gensim ``KeyedVectors``."""
        return to_gensim(self.table)

    def save(self, folder: str | os.PathLike[str]) -> PretrainedVectors:
        """Write a folder that opens memory-mapped in milliseconds, and open it.

        Parameters
        ----------
        folder : str or path
            A folder that does not exist, is empty, or was written by `save`. It is replaced
            atomically.

        Returns
        -------
        PretrainedVectors
            The table, opened from the folder.
        """
        self.write(folder, format="folder")
        return type(self).load(Path(folder))

    def write(self, path: str | os.PathLike[str], *, format: str) -> None:
        """Write a file or folder for other programs.

        Parameters
        ----------
        path : str or path
            The file or folder. With the suffix ``.gz``, text and binary formats are compressed by
            gzip.
        format : {"word2vec-text", "word2vec-binary", "glove", "gensim", "parquet", "folder", \
"model2vec", "sentence-transformers"}
            ``"parquet"`` has the columns ``word`` and ``vector``, a list of fixed size.
            ``"model2vec"`` and ``"sentence-transformers"`` are folders for
            ``model2vec.StaticModel.from_pretrained`` and ``SentenceTransformer`` (extra
            ``static``).

        Raises
        ------
        ValueError
            If the format is unknown, or cannot express a word; the message names the word.
        FileExistsError
            If the format is a folder, and `path` contains files that this package did not write.
        MissingDependencyError
            If the format needs an extra that is not installed: ``parquet`` or ``static``.

        Notes
        -----
        Only ``"folder"`` keeps n-gram rows. ``"folder"`` and ``"model2vec"`` keep shared rows,
        scales, float16 and int8; ``"parquet"`` keeps float16. Otherwise vectors become float32.

        In the formats ``"model2vec"`` and ``"sentence-transformers"``, a table without a tokenizer
        gets one. It splits texts into whole words, as the estimators do by default, and lower-cases
        them unless the table is cased. model2vec leaves out unknown words; in sentence-transformers
        they count as zeros.
        """
        formats.write(self.table, Path(path), format)

    @property
    def origin(self) -> Origin | None:
        """The file or folder, with its fingerprint and the options for opening it."""
        return self._origin

    @property
    def table(self) -> Table:
        """The parts of the table; an error if the file was changed in place."""
        if self._files is not None:
            self._files.check()
        return self._table

    @property
    def words(self) -> Vocabulary:
        """The words, in their order."""
        return self._table.words

    @property
    def matrix(self) -> Matrix:
        """The vectors, read-only, shape (n_rows, dim)."""
        return self.table.matrix

    @property
    def rows(self) -> NDArray[np.int32] | None:
        """The row of each word, shape (n_words,), if words share rows."""
        return self._table.rows

    @property
    def scales(self) -> NDArray[np.float32] | None:
        """The scale of the row of each word, shape (n_words,)."""
        return self._table.scales

    @property
    def tokenizer(self) -> TableTokenizer | None:
        """The tokenizer, if the words are sub-word tokens."""
        return self._table.tokenizer

    @property
    def subwords(self) -> Subwords | None:
        """The n-gram rows of a fastText model."""
        return self.table.subwords

    @property
    def name(self) -> str | None:
        """The name for display, or by which the table was opened."""
        return self._name

    @property
    def path(self) -> str | None:
        """The file or folder of the table."""
        return self._origin.path if self._origin else None

    @property
    def dim(self) -> int:
        """The dimension of the vectors."""
        return self._table.dim

    @property
    def cased(self) -> bool:
        """True if more than 1 % of the words have an upper-case letter."""
        return self._table.cased

    def knows(
        self, words: Sequence[str], *, fold_case: bool = False, are_tokens: bool = False
    ) -> NDArray[np.bool_]:
        """Mark the words that have a vector, shape (n,). See :meth:`look_up`."""
        return lookup.knows(self.table, words, fold_case=fold_case, are_tokens=are_tokens)

    def look_up(
        self,
        words: Sequence[str],
        *,
        fold_case: bool = False,
        oov: OutOfVocabulary = "ignore",
        are_tokens: bool = False,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Look up the vectors of many words.

        Parameters
        ----------
        words : sequence of str, length n
            If the table has a tokenizer, the vector of a word is the mean of the vectors of its
            tokens.
        fold_case : bool, default=False
            Whether to look up the lower-cased form of words that the table does not contain.
        oov : {"ignore", "subword", "hash"}, default="ignore"
            Vectors of out-of-vocabulary words: none ("ignore"); the mean of their n-gram rows,
            zeros for words without n-grams ("subword"); or a random vector that is the same in
            every process ("hash"). For a table without n-gram rows, "subword" fits such rows to the
            words of the table on first use, and caches them.
        are_tokens : bool, default=False
            Whether the words are tokens of the tokenizer of the table, which are not split again.

        Returns
        -------
        index : ndarray of int64, shape (n,)
            The row of each word in `vectors`; -1 for a word without a vector.
        vectors : ndarray of float32, shape (n_vectors, dim)

        Notes
        -----
        The fitted n-gram rows are a bag-of-subwords model (Zhao, Mudgal & Liang 2018) of 3 to 6
        characters. A table made by :meth:`subset`, :meth:`reduce` or :meth:`astype` has a model of
        its own. A table with a tokenizer splits unknown words and needs no model, so "subword"
        equals "ignore".
        """
        predict: Callable[[list[str]], NDArray[np.float32]] | None = None
        if oov == "hash":
            predict = partial(lookup.predict_by_hash, self.table)
        elif oov == "subword" and (self.tokenizer is None or self.subwords is not None):
            predict = self._predict_by_subwords
        return lookup.look_up(
            self.table, words, fold_case=fold_case, are_tokens=are_tokens, predict=predict
        )

    def _predict_by_subwords(self, words: list[str]) -> NDArray[np.float32]:
        """Return the means of n-gram rows, those of the table or fitted ones: shape (n, dim)."""
        if self.subwords is not None:
            return self.subwords.vectors(words)
        if self._fitted is None:
            origin = self._origin
            content = None
            if origin is not None:
                options = origin.options
                content = f"{options.identify(origin.fingerprint)} {options.limit}"
            self._fitted = open_subwords(self.table, self.name or "PretrainedVectors", content)
        return self._fitted.vectors(words)

    def subset(
        self, words: Sequence[str] | None = None, *, texts: Iterable[str] | None = None
    ) -> PretrainedVectors:
        """Return a table of the given words, in their order, without unknown and repeated words.

        Parameters
        ----------
        words : sequence of str, default=None
            Words to keep.
        texts : iterable of str, default=None
            Instead of `words`: keep all words of these texts, and their lower-cased forms. Texts
            are split as the estimators do by default, or by the tokenizer of the table.

        Returns
        -------
        PretrainedVectors
            In memory. With ``oov="subword"``, n-gram rows are fitted to the words of the subset
            alone, unless the table has n-gram rows.

        Raises
        ------
        ValueError
            Unless exactly one of `words` and `texts` is given.
        """
        if (words is None) == (texts is None):
            raise ValueError("subset needs either words or texts, got both or neither.")
        if words is None:
            words = compression.find_words(check_texts(texts, estimator="subset"), self.tokenizer)
        position = self.words.find(list(dict.fromkeys(as_list_of_words(words))))
        return self.from_table(self.table.take(position[position >= 0]), self.name)

    def reduce(self, n_components: int, *, n_removed: int = 0) -> PretrainedVectors:
        """Project the vectors on their principal components.

        Parameters
        ----------
        n_components : int
            Number of components that are kept.
        n_removed : int, default=0
            Number of first components that are removed. They reflect word frequency rather than
            meaning (all-but-the-top, Mu & Viswanath 2018, algorithm 1, with dim / 100).

        Returns
        -------
        PretrainedVectors
            In memory, float32, centred, with `n_components` dimensions. N-gram rows are projected,
            too. Words share rows as before, unless the table has `scales`.

        Raises
        ------
        ValueError
            Unless ``1 <= n_components <= dim - n_removed`` and ``n_removed >= 0``.
        """
        return self.from_table(compression.reduce(self.table, n_components, n_removed), self.name)

    def astype(self, dtype: DTypeLike) -> PretrainedVectors:
        """Convert the matrix to another type.

        Parameters
        ----------
        dtype : {"float32", "float16", "int8"}
            For "int8", each row is divided by 1/127 of its largest absolute value and rounded. The
            divisors are kept in `scales`. Only rows that are looked up are converted to float32.

        Returns
        -------
        PretrainedVectors
            In memory; the same object if the matrix has this type. N-gram rows are not converted.

        Raises
        ------
        ValueError
            If the type is not allowed, or cannot represent a value.
        """
        table = compression.cast(self.table, dtype, self.name or "matrix")
        return self if table is self._table else self.from_table(table, self.name)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.words

    @overload
    def __getitem__(self, word: str) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, word: list[str]) -> NDArray[np.float32]: ...
    def __getitem__(self, word: str | list[str]) -> NDArray[np.float32]:
        """Return the float32 vector of a word, shape (dim,), or of a list of words, (n, dim)."""
        if not isinstance(word, str | list):
            # With a KeyError NumPy does not treat this as a sequence of rows, so that tables can be
            # candidates of a search.
            raise KeyError(f"{word!r} is no word: index by a str or a list of str.")
        wanted = [word] if isinstance(word, str) else word
        position = self.words.find(wanted)
        if (position < 0).any():
            missing = [w for w, place in zip(wanted, position, strict=True) if place < 0]
            raise KeyError(f"not among the words of {self!r}: {', '.join(map(repr, missing[:5]))}")
        vectors = self.table.vectors(position)
        return vectors[0] if isinstance(word, str) else vectors

    def __repr__(self) -> str:
        where = f"from {self.path}" if self.path else "in memory"
        name = f" {self.name!r}" if self.name else ""
        if self.is_missing:
            return f"<PretrainedVectors{name}: not opened, {where}>"
        size = f"{len(self)} words x {self.dim}, {self.matrix.dtype}"
        return f"<PretrainedVectors{name}: {size}, {where}>"

    def _repr_html_(self) -> str:
        return describe_table(None if self.is_missing else self.table, self.name, self.path)

    def __deepcopy__(self, memo: dict[int, Any]) -> PretrainedVectors:
        return self

    def __copy__(self) -> PretrainedVectors:
        return self

    __sklearn_clone__ = __copy__

    def _how_to_save(self) -> str:
        return "vectors.save(folder), and open it by load_pretrained(folder)"

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if self._base is not None:
            change = self._change or Difference.between(self._base.table, self.table)
            return self.continued, (self._base, self._name, None, change)
        if self._origin is None or self._origin.pickle_weights:
            return self.from_table, (self.table, self._name)
        return self._reopen, (tuple(self._origin), self._name)

    @classmethod
    def _reopen(cls, origin: tuple[Any, ...], name: str | None) -> PretrainedVectors:
        """Open the content that a pickle refers to; if it is missing, warn, and look on use."""
        expected = Origin(*origin)
        try:
            return cls._open(expected.find())
        except (FileNotFoundError, ValueError) as error:
            warnings.warn(str(error), UserWarning, stacklevel=levels_to_caller())
        return cls.from_table(None, name, expected)
