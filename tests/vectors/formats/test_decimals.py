from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_transfer.vectors.formats.decimals import NUMBER, PADDING, parse_fields, parse_plain

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
written = st.one_of(
    floats.map(lambda x: str(np.float32(x))),
    floats.map(repr),
    floats.filter(lambda x: abs(x) < 1e38).map("{:.6g}".format),
    floats.filter(lambda x: abs(x) < 1e38).map("{:+.3e}".format),
    st.from_regex(r"-?[0-9]{1,9}\.?[0-9]{0,12}", fullmatch=True),
    st.from_regex(r"-?[0-9]{0,9}\.[0-9]{1,20}", fullmatch=True),
)


def parse_text(text: bytes) -> np.ndarray | None:
    """Numbers with one space between them, as `text_files` parses a block."""
    characters = np.frombuffer(PADDING + text + b" ", dtype=np.uint8)
    ends = np.flatnonzero(characters == ord(" "))
    starts = np.append(len(PADDING), ends[:-1] + 1)
    return parse_plain(characters, starts, ends)


def bits(numbers: object) -> list[int]:
    return np.asarray(numbers, dtype=np.float32).view(np.uint32).tolist()


@given(st.lists(written, min_size=1), st.integers(0, 200))
def test_every_number_is_what_float_gives_to_the_bit(numbers: list[str], n_plain: int) -> None:
    numbers = numbers + ["-0.123456"] * n_plain
    expected = bits([np.float32(float(number)) for number in numbers])
    assert bits(parse_fields([number.encode() for number in numbers])) == expected
    at_once = parse_text(" ".join(numbers).encode())
    assert at_once is None or bits(at_once) == expected


def test_only_many_unusual_numbers_are_left_to_the_other_way() -> None:
    plain = [b"0.5"] * 99
    assert parse_text(b" ".join([b"1e-3", *plain])) is not None
    assert parse_text(b" ".join([b"1e-3"] * 10 + plain)) is None


@given(st.lists(st.text(alphabet="019.-+e x", max_size=5), min_size=1), st.booleans())
def test_fields_that_are_no_numbers_are_an_error(fields: list[str], plain: bool) -> None:
    text = " ".join(fields + ["0.5"] * (200 * plain)).encode()
    parts = text.split(b" ")
    if all(NUMBER.fullmatch(field) and abs(float(field)) < 3e38 for field in parts):
        assert len(parse_fields(parts)) == len(parts)
    else:
        with pytest.raises(ValueError, match="expected a finite number, found"):
            parse_fields(parts)
        try:
            assert parse_text(text) is None
        except ValueError as error:
            assert "expected a finite number, found" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "number",
    [
        "",
        "-",
        ".",
        "-.",
        "1.2.3",
        "1-2",
        "--1",
        "1e",
        "0x1",
        "1_0",
        "nan",
        "-inf",
        "1\0",
        "٣",
        "1,5",
    ],
)
def test_what_is_no_number_is_named(number: str) -> None:
    with pytest.raises(ValueError, match="expected a finite number, found b"):
        parse_fields([b"1.5", number.encode(), b"2"])


@pytest.mark.parametrize("number", ["1e39", "3.4028236e38", "-1e400"])
def test_what_float32_cannot_hold_is_an_error(number: str) -> None:
    with pytest.raises(ValueError, match=f"found b'{number}'"):
        parse_fields([number.encode()])


def test_the_largest_float32_is_read() -> None:
    largest = np.finfo(np.float32).max
    assert parse_fields([str(largest).encode()]) == largest


@pytest.mark.parametrize("tail", [b"x", b".x", b".9x", b"e", b"e9x"])
def test_a_long_run_of_digits_is_refused_at_once(tail: bytes) -> None:
    # Each of the digits could end one part and begin the next: this took time with their square.
    start = time.perf_counter()
    with pytest.raises(ValueError, match="expected a finite number"):
        parse_fields([b"9" * 200_000 + tail])
    assert time.perf_counter() - start < 5
