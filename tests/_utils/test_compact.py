import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_transfer._utils.compact import Compact, Packed, opened, pack, unpack

N = 5000


def sparse_weights(dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    weights = np.rint(rng.laplace(size=(N // 10, 10)) * 200) / 8192 + 0.0
    weights[rng.random(weights.shape) < 0.5] = 0
    return weights.astype(dtype)


def draw(low: int, high: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, N, dtype=dtype)


CASES = {
    "rounded weights": (sparse_weights("float32"), "fixed", 0.3),
    "rounded weights, float64": (sparse_weights("float64"), "fixed", 0.2),
    "sorted keys": (np.sort(draw(0, 2**34, "int64")), "sorted", 0.5),
    "small integers": (draw(-3000, 3000, "int64"), "integers", 0.26),
    "idf": (np.log(draw(1, 100, "int64")).astype("float32"), "palette", 0.4),
    "NaN and -0.0": (np.where(draw(0, 2, "int64"), np.nan, -0.0), "palette", 0.1),
    "zeros": (np.zeros((N, 2), dtype="float32"), "fixed", 0.04),
    "random numbers": (np.random.default_rng(0).normal(size=N), "plain", 1),
    "large unsigned": (draw(0, 2**64 - 1, "uint64"), "plain", 1),
    "booleans": (draw(0, 2, "int64") > 0, "plain", 1),
    "strings": (np.array(["a", "bc"]), "plain", 1),
    "few numbers": (np.arange(5), "plain", 1),
}


def assert_same(one: np.ndarray, other: np.ndarray) -> None:
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(("array", "coding", "share"), CASES.values(), ids=CASES)
def test_each_coding_gives_the_same_bits(array, coding: str, share: float):
    packed = pack(array)
    assert packed.settings["coding"] == coding
    assert packed.nbytes <= share * array.nbytes
    assert_same(unpack(Packed(json.loads(json.dumps(packed.settings)), packed.arrays)), array)


KINDS = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint64"]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(KINDS).flatmap(lambda kind: arrays(kind, 40)), st.booleans(), st.booleans())
def test_any_numbers_come_back(numbers, is_sorted: bool, is_matrix: bool):
    array = np.tile(numbers, 30)
    array = np.sort(array) if is_sorted else array
    array = array.reshape(-1, 4) if is_matrix else array
    assert_same(unpack(pack(array)), array)


@settings(max_examples=30, deadline=None)
@given(st.floats(width=32, allow_nan=False), st.integers(-150, 120), st.sampled_from(KINDS[:3]))
def test_any_rounded_numbers_come_back(number, exponent: int, dtype: str):
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        array = (np.rint(np.linspace(-9, 9, 1200) * number) * 2.0**exponent).astype(dtype)
    assert_same(unpack(pack(array)), array)


def test_a_pickle_holds_the_packed_array():
    weights = CASES["rounded weights"][0]
    content = pickle.dumps({"weights": Compact(weights)})
    assert len(content) < 0.4 * weights.nbytes
    assert_same(opened(pickle.loads(content)["weights"]), weights)


def test_a_copy_does_not_pack():
    weights = CASES["rounded weights"][0]
    copied = copy.deepcopy(Compact(weights))
    assert_same(opened(copied), weights)
    assert not np.shares_memory(opened(copied), weights)


def damaged(array: np.ndarray, **changes):
    packed = pack(array)
    names = changes.pop("without", ())
    arrays = {name: a[:-1] if name in names else a for name, a in packed.arrays.items()}
    return Packed({**packed.settings, **changes}, arrays)


WEIGHTS, IDF = CASES["rounded weights"][0], CASES["idf"][0]


@pytest.mark.parametrize(
    "packed",
    [
        damaged(WEIGHTS, shape=[10**12, 10]),
        damaged(WEIGHTS, shape=[-1, -1]),
        damaged(WEIGHTS, shape=[N - 10]),
        damaged(WEIGHTS, shape="many"),
        damaged(WEIGHTS, coding="pickle"),
        damaged(WEIGHTS, dtype="object"),
        damaged(WEIGHTS, dtype="no type"),
        damaged(WEIGHTS, exponent="x"),
        damaged(WEIGHTS, tiers=["int8"]),
        damaged(WEIGHTS, tiers=[]),
        damaged(WEIGHTS, tiers=["zero", "int8", "none"]),
        damaged(WEIGHTS, without=["int8"]),
        damaged(WEIGHTS, without=["is zero"]),
        damaged(IDF, without=["palette", "int8"]),
        damaged(IDF, dtype="<f8"),
        Packed({"coding": "palette"}, {}),
        Packed({"coding": "plain"}, {}),
        Packed({}, {}),
    ],
    ids=map(str, range(18)),
)
def test_parts_that_do_not_belong_together(packed: Packed):
    with pytest.raises(ValueError, match="Expected the parts of a packed array, got"):
        unpack(packed)
