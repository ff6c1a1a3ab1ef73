import hashlib

import numpy as np
import pytest

from sklearn_transfer._utils.hashing import hash_content, hash_stream


@pytest.mark.parametrize(
    "part", [b"some content", "some content", memoryview(b"some content")], ids=lambda x: type(x)
)
def test_the_hash_of_one_part_is_its_blake2b(part):
    expected = hashlib.blake2b(b"some content", digest_size=16).hexdigest()
    assert hash_content(part) == hash_stream(iter([part])) == expected


def test_arrays_are_hashed_by_their_values_in_c_order():
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    assert hash_content(array) == hash_content(array.tobytes())
    assert hash_content(array) == hash_content(np.asfortranarray(array))
    assert hash_content(np.zeros((0, 3))) == hash_content(b"")


def test_boundaries_and_empty_parts_count():
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc")]
    assert len({hash_content(*part) for part in parts}) == len(parts)


def test_hashes_never_change_between_versions():
    # Pickles and folders hold them.
    expected = hashlib.blake2b(b"ab\x001 c\x0012 " + bytes(12), digest_size=16).hexdigest()
    assert hash_content("ab", b"c", np.zeros(3, dtype=np.float32)) == expected


def test_every_string_can_be_hashed():
    assert hash_content("\ud800") != hash_content("\ud801")
