from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_transfer.vectors.formats.decimals import NUMBER, parse

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
written = st.one_of(
    floats.map(lambda x: str(np.float32(x))),
    floats.map(repr),
    floats.filter(lambda x: abs(x) < 1e38).map("{:.6g}".format),
    floats.filter(lambda x: abs(x) < 1e38).map("{:+.3e}".format),
    st.from_regex(r"-?[0-9]{1,9}\.?[0-9]{0,12}", fullmatch=True),
    st.from_regex(r"-?[0-9]{0,9}\.[0-9]{1,20}", fullmatch=True),
)


def bits(numbers: object) -> list[int]:
    return np.asarray(numbers, dtype=np.float32).view(np.uint32).tolist()


@given(st.lists(written, min_size=1))
def test_every_number_is_what_float_gives_to_the_bit(numbers: list[str]) -> None:
    expected = [np.float32(float(number)) for number in numbers]
    assert bits(parse(" ".join(numbers).encode(), len(numbers))) == bits(expected)


@given(st.lists(st.text(alphabet="019.-+e x", max_size=5), min_size=1))
def test_what_float_would_not_read_is_an_error(fields: list[str]) -> None:
    text = " ".join(fields).encode()
    n_fields = text.count(b" ") + 1
    if all(NUMBER.fullmatch(field) and abs(float(field)) < 3e38 for field in text.split(b" ")):
        assert len(parse(text, n_fields)) == n_fields
    else:
        with pytest.raises(ValueError, match="expected a finite number, found"):
            parse(text, n_fields)


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
        parse(f"1.5 {number} 2".encode(), 3)


@pytest.mark.parametrize("number", ["1e39", "3.4028236e38", "-1e400"])
def test_what_float32_cannot_hold_is_an_error(number: str) -> None:
    with pytest.raises(ValueError, match=f"found b'{number}'"):
        parse(number.encode(), 1)


def test_the_largest_float32_is_read() -> None:
    largest = np.finfo(np.float32).max
    assert parse(str(largest).encode(), 1) == largest


@pytest.mark.parametrize("n_numbers", [1, 3])
def test_another_count_is_an_error(n_numbers: int) -> None:
    with pytest.raises(ValueError, match=f"expected {n_numbers} values, found 2"):
        parse(b"1 2", n_numbers)


@pytest.mark.parametrize("tail", [b"x", b".x", b".9x", b"e", b"e9x"])
def test_a_long_run_of_digits_is_refused_at_once(tail: bytes) -> None:
    # Each of the digits could end one part and begin the next: this took time with their square.
    start = time.perf_counter()
    with pytest.raises(ValueError, match="expected a finite number"):
        parse(b"9" * 200_000 + tail, 1)
    assert time.perf_counter() - start < 5
