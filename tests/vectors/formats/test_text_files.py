from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats, text_files
from sklearn_transfer.vectors.table.table import Reading, Table
from sklearn_transfer.vectors.table.vocabulary import Vocabulary

READERS = {"word2vec-text": text_files.read_word2vec, "glove": text_files.read_glove}

WORD2VEC = b"3 2\ncat 0.5 -1\ndog 0.25 2e-3\ncow 1 0\n"
GLOVE = WORD2VEC.partition(b"\n")[2]
VALUES = np.array([[0.5, -1], [0.25, 2e-3], [1, 0]], dtype=np.float32)

# What a word in a text file can be: any character but whitespace and NUL.
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\v\f\r \0"))
tables = st.integers(2, 4).flatmap(
    lambda dim: st.dictionaries(
        words.filter(lambda word: not word.startswith("\ufeff")),
        st.lists(
            st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=dim, max_size=dim
        ),
        min_size=1,
    )
)


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read(path: Path, content: bytes, **options: str) -> Table:
    return formats.read(save(path, content), **options)


@pytest.mark.parametrize("format", READERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=tables)
def test_what_was_written_is_read_to_the_bit(
    tmp_path: Path, format: str, rows: dict[str, list[float]]
) -> None:
    matrix = np.array(list(rows.values()), dtype=np.float32)
    formats.write(Table(Vocabulary(rows), matrix), tmp_path / "t", format)
    found = READERS[format](tmp_path / "t", Reading())
    assert list(found.words) == list(rows)
    assert found.matrix.view(np.uint32).tolist() == matrix.view(np.uint32).tolist()


@pytest.mark.parametrize("file", ["word2vec.txt", "word2vec.txt.gz", "fasttext.vec"])
def test_equals_what_gensim_reads(data: Path, file: str) -> None:
    theirs = KeyedVectors.load_word2vec_format(str(data / file))
    ours = formats.read(data / file)
    assert list(ours.words) == theirs.index_to_key
    np.testing.assert_array_equal(ours.matrix, theirs.vectors)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("format", READERS)
def test_a_file_of_many_blocks_is_read(tmp_path: Path, format: str, suffix: str) -> None:
    matrix = np.random.default_rng(0).standard_normal((10_000, 3)).astype(np.float32)
    words = [f"w{i}" for i in range(len(matrix))]
    words[7777:7779] = ["New York", "naïve"] if format == "glove" else ["NewYork", "naïve"]
    formats.write(Table(Vocabulary(words), matrix), tmp_path / f"t{suffix}", format)
    table = formats.read(tmp_path / f"t{suffix}")
    assert list(table.words) == words
    np.testing.assert_array_equal(table.matrix, matrix)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b" ", b"\t"),
        lambda text: text.replace(b"\n", b" \n"),
        lambda text: text.replace(b"0.25 ", b"0.25 \t "),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.removesuffix(b"\n"),
        lambda text: text + b"\n \n\n",
    ],
    ids=["crlf", "tabs", "trailing", "several", "bom", "no-last-newline", "blank-end"],
)
@pytest.mark.parametrize("text", [WORD2VEC, GLOVE], ids=["word2vec", "glove"])
def test_harmless_differences_are_read_alike(tmp_path: Path, text: bytes, change) -> None:
    table = read(tmp_path / "t", change(text))
    assert list(table.words) == ["cat", "dog", "cow"]
    np.testing.assert_array_equal(table.matrix, VALUES)


@pytest.mark.parametrize("text", [WORD2VEC, GLOVE], ids=["word2vec", "glove"])
def test_a_word_may_contain_spaces(tmp_path: Path, text: bytes) -> None:
    table = read(tmp_path / "t", text.replace(b"dog", b". . at\xc2\xa0home"))
    assert list(table.words) == ["cat", ". . at\xa0home", "cow"]
    np.testing.assert_array_equal(table.matrix, VALUES)


@pytest.mark.parametrize("number", ["1e-05", "12.5", "-7", "+.5", "0.123456789012", "-0.0", "3."])
def test_a_number_of_another_form_among_many_is_read_to_the_bit(
    tmp_path: Path, number: str
) -> None:
    lines = [b"word%d 0.25 -1.5" % i for i in range(40)]
    lines[20] = b"word20 %b -1.5" % number.encode()
    row = read(tmp_path / "t", b"\n".join(lines)).matrix[20]
    expected = np.array([float(number), -1.5], dtype=np.float32)
    assert row.view(np.uint32).tolist() == expected.view(np.uint32).tolist()


@pytest.mark.parametrize(
    "number", ["1e", "-", "", "1-2", "-1.5-", "--1.5", "0.1:", "a.5", "1..2", "0.12345678x1"]
)
def test_what_is_no_number_among_many_is_named_with_its_line(tmp_path: Path, number: str) -> None:
    lines = [b"word%d 0.25 -1.5" % i for i in range(40)]
    lines[20] = b"word20 %b -1.5" % number.encode()
    with pytest.raises(VectorFormatError, match="line 21: expected a"):
        read(tmp_path / "t", b"\n".join(lines))


@pytest.mark.parametrize("header", [b"2 300\n", b""], ids=["word2vec", "glove"])
def test_values_of_a_single_digit_fill_as_few_bytes_as_a_file_may_have(
    tmp_path: Path, header: bytes
) -> None:
    rows = b"a" + b" 1" * 300 + b"\nb" + b" 0" * 300 + b"\n"
    table = read(tmp_path / "t", header + rows)
    assert table.matrix.tolist() == [[1.0] * 300, [0.0] * 300]


@pytest.mark.parametrize("length", [60, 61])
def test_a_long_line_is_quoted_in_part(tmp_path: Path, length: int) -> None:
    line = b"cat 1 2 ".ljust(length, b"x")
    with pytest.raises(VectorFormatError, match="line 3: expected") as caught:
        read(tmp_path / "t", b"2 2\ndog 3 4\n" + line + b"\n")
    quote = line if length == 60 else line[:40] + b"..." + line[-20:]
    assert str(caught.value).endswith(f", in {quote!r}.")


def test_a_word_may_be_a_number(tmp_path: Path) -> None:
    assert read(tmp_path / "t", GLOVE.replace(b"cat", b"1999")).words[0] == "1999"


@pytest.mark.parametrize("header", [True, False], ids=["word2vec", "glove"])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b" 2e-3", b"", "expected a word and 2 values, found 2 fields, in b'dog 0.25'"),
        (b"2e-3", b"2e-3 7", "expected a word and 2 values, found 4 fields"),
        (b"\ncow", b" cow", "expected a word and 2 values, found 6 fields"),
        (b"dog 0.25 2e-3", b"", "expected a word and 2 values, found 0 fields"),
        (b"0.25", b"O.25", "expected a finite number, found b'O.25', in b'dog O.25 2e-3'"),
        (b"0.25", b"0.2\x005", r"expected a finite number, found b'0.2\\x005'"),
        (b"0.25", b"nan", "expected a finite number, found b'nan'"),
        (b"0.25", b"-inf", "expected a finite number, found b'-inf'"),
        (b"0.25", b"1e99", "expected a finite number, found b'1e99'"),
        (b"dog", b"d\xffg", r"expected a word in UTF-8, found b'd\\xffg'. Name the enc"),
        (b"dog", b"d\0g", r"expected a word, found a NUL byte, in b'd\\x00g"),
    ],
    ids=[
        "short",
        "long",
        "joined",
        "blank",
        "letter",
        "nul",
        "nan",
        "inf",
        "huge",
        "utf8",
        "nulword",
    ],
)
def test_a_damaged_line_is_named(
    tmp_path: Path, header: bool, old: bytes, new: bytes, message: str
) -> None:
    text = (WORD2VEC if header else GLOVE).replace(old, new)
    with pytest.raises(VectorFormatError, match=f"t, line {2 + header}: {message}"):
        READERS["word2vec-text" if header else "glove"](save(tmp_path / "t", text), Reading())


def test_a_damaged_line_is_named_in_any_block(tmp_path: Path) -> None:
    lines = [b"word%d 0.5 1.5" % i for i in range(50_000)]
    lines[43_210] = b"word43210 0.5"
    with pytest.raises(VectorFormatError, match="line 43211: expected a word and 2 values"):
        read(tmp_path / "t", b"\n".join(lines))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"4 2", "the header announces 4 words, the file holds 3"),
        (b"2 2", "the header announces 2 words, the file holds more"),
        (b"0 2", "announces 0 words of 2 dimensions, which does not fit a file of 37 bytes"),
        (b"3 0", "announces 3 words of 0 dimensions"),
        (b"1000000000000 300", "announces 1000000000000 words of 300 dimensions, which does not"),
        (b"3 1000000000000", "announces 3 words of 1000000000000 dimensions"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_header_that_lies_is_found_out(
    tmp_path: Path, header: bytes, message: str, suffix: str
) -> None:
    text = header + WORD2VEC[3:]
    content = gzip.compress(text) if suffix else text
    with pytest.raises(VectorFormatError, match=f"line 1: .*{message}"):
        text_files.read_word2vec(save(tmp_path / "t", content), Reading())


def test_a_wrong_dimension_in_the_header_is_named_with_the_first_line(tmp_path: Path) -> None:
    with pytest.raises(VectorFormatError, match="line 2: expected a word and 3 values"):
        read(tmp_path / "t", b"3 3" + WORD2VEC[3:])


def test_a_file_without_its_header_is_no_word2vec_text(tmp_path: Path) -> None:
    with pytest.raises(VectorFormatError, match="line 1: expected 'n_words dim'"):
        text_files.read_word2vec(save(tmp_path / "t", GLOVE), Reading())


def test_repeated_words_give_the_first_row_and_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"t: 1 repeated word\(s\)"):
        table = read(tmp_path / "t", WORD2VEC.replace(b"cow", b"cat"))
    assert list(table.words) == ["cat", "dog"]
    np.testing.assert_array_equal(table.matrix, VALUES[:2])


@pytest.mark.parametrize("text", [WORD2VEC, GLOVE], ids=["word2vec", "glove"])
@pytest.mark.parametrize("limit", [1, 2, 3, 99])
def test_limit_takes_the_first_words(tmp_path: Path, text: bytes, limit: int) -> None:
    table = formats.read(save(tmp_path / "t", text), limit=limit)
    assert list(table.words) == ["cat", "dog", "cow"][:limit]
    np.testing.assert_array_equal(table.matrix, VALUES[:limit])


def test_a_cut_gzip_file_is_an_error(tmp_path: Path, data: Path) -> None:
    content = (data / "word2vec.txt.gz").read_bytes()
    with pytest.raises(VectorFormatError, match="the gzip data are damaged or cut off"):
        read(tmp_path / "t", content[:-20])


@pytest.mark.parametrize("word", ["New York", "a\tb", "a\nb", "a\0b", "\ud800"])
@pytest.mark.parametrize("format", ["word2vec-text", "glove"])
def test_a_word_that_does_not_fit_is_named_before_anything_is_written(
    tmp_path: Path, format: str, word: str
) -> None:
    if (format, word) == ("glove", "New York"):
        word = "Catch 22"  # would be read as a value too many
    table = Table(Vocabulary(["fine", word]), np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="cannot hold the word") as caught:
        formats.write(table, tmp_path / "t", format)
    assert repr(word) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_glove_holds_words_with_single_spaces(tmp_path: Path) -> None:
    table = Table(Vocabulary(["New York", ". . ."]), np.ones((2, 2), dtype=np.float32))
    formats.write(table, tmp_path / "t", "glove")
    assert list(formats.read(tmp_path / "t").words) == ["New York", ". . ."]


@pytest.mark.parametrize(
    ("words", "dim", "message"),
    [
        (["\ufeffa"], 2, "cannot begin with the word"),
        (["a"], 1, "needs at least 2 dimensions, got 1"),
        ([], 2, "cannot hold a table without words"),
    ],
)
def test_glove_refuses_what_could_not_be_read_again(
    tmp_path: Path, words: list[str], dim: int, message: str
) -> None:
    table = Table(Vocabulary(words), np.zeros((len(words), dim), dtype=np.float32))
    with pytest.raises(ValueError, match=message):
        formats.write(table, tmp_path / "t", "glove")


def test_gensim_reads_what_was_written(tmp_path: Path, tiny: Table) -> None:
    formats.write(tiny, tmp_path / "t", "word2vec-text")
    theirs = KeyedVectors.load_word2vec_format(str(tmp_path / "t"))
    assert theirs.index_to_key == list(tiny.words)
    np.testing.assert_array_equal(theirs.vectors, tiny.matrix)


# ---- encodings ----

LATIN = "café 0.5 -1\nnaïve 0.25 2e-3\ncow 1 2\n".encode("latin-1")


@pytest.mark.parametrize("header", [b"3 2\n", b""], ids=["word2vec", "glove"])
@pytest.mark.parametrize("line", [b"", b"  "], ids=["fast", "plain"])
def test_words_of_another_encoding(tmp_path: Path, header: bytes, line: bytes) -> None:
    content = header + LATIN.replace(b"\ncow ", b"\ncow " + line)
    table = read(tmp_path / "t", content, encoding="latin-1")
    assert list(table.words) == ["café", "naïve", "cow"]
    assert table.matrix.tolist()[0] == [0.5, -1]


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ("replace", ["caf\ufffd", "na\ufffdve", "cow"]),
        ("ignore", ["caf", "nave", "cow"]),
        ("backslashreplace", [r"caf\xe9", r"na\xefve", "cow"]),
    ],
)
@pytest.mark.parametrize("header", [b"3 2\n", b""], ids=["word2vec", "glove"])
def test_invalid_words_are_kept_on_demand(
    tmp_path: Path, header: bytes, errors: str, words: list[str]
) -> None:
    assert list(read(tmp_path / "t", header + LATIN, errors=errors).words) == words


def test_an_invalid_word_names_itself_and_the_parameters(tmp_path: Path) -> None:
    with pytest.raises(
        VectorFormatError,
        match=r"line 1: expected a word in UTF-8, found b'caf\\xe9'. Name the encoding of the file"
        r", PretrainedVectors.load\(path, encoding='latin-1'\) for instance; or pass "
        r"errors='replace'",
    ):
        read(tmp_path / "t", LATIN)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "no-such-codec", "rot13", "base64"])
def test_an_encoding_without_ascii_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(ValueError, match=f"codec of Python that contains ASCII.*got '{encoding}'"):
        read(tmp_path / "t", LATIN, encoding=encoding)


def test_errors_that_give_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"errors must be one of .*, got 'surrogateescape'"):
        read(tmp_path / "t", LATIN, errors="surrogateescape")
