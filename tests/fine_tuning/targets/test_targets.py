"""Labels to numbers and back, weights, and rows held out."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import coo_array, csr_array, csr_matrix
from scipy.special import expit, softmax
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import compute_class_weight

from sklearn_transfer.fine_tuning.targets.targets import Labels

INDICATOR = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]])
KINDS = {
    "str": ["b", "a", "c", "a"],
    "int": [3, -1, 3, 7],
    "bool": [True, False, True, False],
    "float integers": [2.0, 0.0, 1.0, 2.0],
    "array": np.array(["b", "a", "c", "a"]),
    "object": np.array(["b", "a", "c", "a"], dtype=object),
    "dates": np.array(["2021", "2020", "2022", "2020"], dtype="datetime64[Y]"),
    "pandas": pd.Series(["b", "a", "c", "a"], index=[5, 6, 7, 8]),
    "pandas string": pd.Series(["b", "a", "c", "a"], dtype="string"),
    "pandas category": pd.Series(["b", "a", "c", "a"], dtype="category"),
    "pandas Int64": pd.Series([3, 1, 3, 2], dtype="Int64"),
    "polars": pl.Series(["b", "a", "c", "a"]),
}
every_kind = pytest.mark.parametrize("y", KINDS.values(), ids=KINDS.keys())
TWO, THREE = Labels(np.array([0, 1])), Labels(np.array(["a", "b", "c"]))
MANY = Labels(INDICATOR)


def checked(y):
    return Labels.check(y, [None] * len(KINDS["str"]))


# ---- what labels are ----


@every_kind
def test_every_kind_of_label_becomes_an_array_of_them(y):
    found = checked(y)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == np.asarray(y).tolist()


@every_kind
def test_classes_are_the_sorted_labels(y):
    assert Labels(checked(y)).classes.tolist() == sorted(set(np.asarray(y).tolist()))


@every_kind
def test_codes_lead_back_to_the_labels(y):
    y = checked(y)
    labels = Labels(y)
    assert labels.classes[labels.encode(y)].tolist() == y.tolist()


@every_kind
def test_predictions_are_labels_of_the_same_type(y):
    y = checked(y)
    labels = Labels(y)
    codes = labels.encode(y)
    n = labels.n_outputs
    logits = codes[:, None] - 0.5 if n == 1 else np.eye(n)[codes]
    predicted = labels.predictions(logits)
    assert predicted.dtype == labels.classes.dtype
    assert predicted.tolist() == y.tolist()


def test_codes_are_int64():
    assert THREE.encode(np.array(["c", "a"])).dtype == np.int64


@pytest.mark.parametrize("y", [np.array([[1], [0], [1], [0]]), pd.DataFrame({"y": [1, 0, 1, 0]})])
def test_a_column_is_flattened_with_a_warning(y):
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        found = checked(y)
    assert found.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix, csr_array, coo_array, pd.DataFrame])
def test_an_indicator_matrix_becomes_a_dense_array(kind):
    found = Labels.check(kind(INDICATOR), [None] * 4)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == INDICATOR.tolist()


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "bool", "Float32", "category"])
def test_an_indicator_frame_may_have_columns_of_any_type(dtype):
    frame = pd.DataFrame(INDICATOR, columns=["red", "green", "blue"])
    frame["red"] = frame["red"].astype(bool if dtype == "boolean" else "int8").astype(dtype)
    found = checked(frame)
    assert found.tolist() == INDICATOR.tolist()


def test_an_indicator_frame_of_polars_is_read():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [True, False, True, False], "b": [1, 0, 0, 1]})
    assert checked(frame).tolist() == [[1, 1], [0, 0], [1, 0], [0, 1]]


def test_a_missing_value_in_an_indicator_frame_is_refused():
    frame = pd.DataFrame({"a": pd.array([1, None, 0, 1], dtype="Int64"), "b": [0, 1, 0, 1]})
    with pytest.raises(ValueError, match=r"NaN|NAType"):
        checked(frame)


@pytest.mark.parametrize(
    ("y", "shown"),
    [
        (2 * INDICATOR - 1, "-1, 1"),
        (2 * INDICATOR, "0, 2"),
        (INDICATOR.astype(float) / 1 + 1, "1.0, 2.0"),
        (csr_matrix(3 * INDICATOR), "0, 3"),
        (pd.DataFrame(-INDICATOR), "-1.0, 0.0"),
    ],
)
def test_an_indicator_matrix_of_other_numbers_is_refused(y, shown):
    with pytest.raises(ValueError, match=rf"hold 0 and 1, got the values {shown}. Convert it, for"):
        checked(y)


def test_columns_of_a_frame_name_the_classes():
    frame = pd.DataFrame(INDICATOR, columns=["red", "green", "blue"])
    named = MANY.named(frame)
    assert named.classes.tolist() == ["red", "green", "blue"]
    assert MANY.classes.tolist() == [0, 1, 2]
    assert named.named(frame).classes.tolist() == ["red", "green", "blue"]
    assert named.named(INDICATOR) is named
    with pytest.raises(ValueError, match=r"that were fitted, \['red', 'green', 'blue'\], in that "):
        named.named(frame[["green", "red", "blue"]])


def test_numbers_that_name_columns_are_names():
    numbered = MANY.named(pd.DataFrame(INDICATOR))
    with pytest.raises(ValueError, match=r"that were fitted, \[0, 1, 2\], in that"):
        numbered.named(pd.DataFrame(INDICATOR)[[1, 0, 2]])
    declared = Labels.declare([0, 1, 2], multilabel=True)
    assert declared.named(pd.DataFrame(INDICATOR, columns=list("rgb"))).classes.tolist() == [*"rgb"]


def test_labels_of_one_column_keep_their_names():
    assert THREE.named(pd.DataFrame({"colour": ["a", "b"]})) is THREE


def test_names_of_several_types_stay_as_they_are():
    frame = pd.DataFrame(INDICATOR, columns=["red", 1, 2.5])
    assert MANY.named(frame).classes.tolist() == ["red", 1, 2.5]


def test_declared_columns_keep_their_order():
    assert Labels.declare(["z", "a"], multilabel=True).classes.tolist() == ["z", "a"]


def test_classes_of_an_indicator_matrix_are_its_columns():
    assert (MANY.classes.tolist(), MANY.n_outputs, MANY.multilabel) == ([0, 1, 2], 3, True)


@pytest.mark.parametrize(
    ("labels", "n_outputs"), [(TWO, 1), (THREE, 3), (Labels(INDICATOR[:, :2]), 2)]
)
def test_only_two_classes_share_a_logit(labels, n_outputs):
    assert labels.n_outputs == n_outputs


# ---- what they are not ----


def test_no_labels_are_refused():
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        checked(None)


@pytest.mark.parametrize("y", [["a", "b"], [], INDICATOR[:3]])
def test_another_number_of_labels_than_samples_is_refused(y):
    with pytest.raises(ValueError, match=rf"inconsistent numbers of samples: \[4, {len(y)}\]"):
        checked(y)


@pytest.mark.parametrize(
    ("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
@pytest.mark.parametrize("shape", [(4,), (4, 2)])
def test_numbers_that_are_not_finite_are_refused(value, name, shape):
    y = np.zeros(shape)
    y.flat[1] = value
    with pytest.raises(ValueError, match=f"Input y contains {name}"):
        checked(y)


def test_a_missing_number_of_pandas_is_refused():
    with pytest.raises(ValueError, match="Input y contains NaN"):
        checked(pd.Series([1, None, 2, 1], dtype="Int64"))


def test_nan_among_strings_is_refused():
    with pytest.raises(ValueError, match="contains NaN"):
        checked(np.array(["a", np.nan, "b", "a"], dtype=object))


@pytest.mark.parametrize(
    ("y", "kinds"),
    [
        (np.array(["a", 1, "b", 2], dtype=object), "int, str"),
        (["a", 1, "b", 2], "int, str"),
        ((1, "a", 2, "b"), "int, str"),
        (np.array([1, "a", 2, "b"], dtype=object), "int, str"),
    ],
)
def test_labels_of_several_types_are_refused_with_the_types_and_a_cure(y, kinds):
    with pytest.raises(
        ValueError,
        match=rf"Labels must be of one type, so that they can be sorted; got {kinds}\. Convert "
        r"them, for instance with \[str\(label\) for label in y\]\.",
    ):
        checked(y)


def test_bytes_are_refused_as_bytes():
    with pytest.raises(ValueError, match=r"y holds labels of type bytes_: .* bytes is not support"):
        checked([b"a", b"b", b"a", b"b"])


def test_measurements_are_no_labels():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        checked([0.5, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("y", [[[1, 2], [3, 1], [2, 2], [1, 1]], [[0.5, 0.0]] * 4])
def test_a_matrix_that_is_no_indicator_is_refused(y):
    with pytest.raises(ValueError, match=r"y should be a 1d array, got an array of shape \(4, 2\)"):
        checked(y)


@pytest.mark.parametrize("y", ["abcd", 3])
def test_what_is_no_sequence_is_refused(y):
    with pytest.raises(ValueError, match="Expected array-like"):
        checked(y)


@pytest.mark.parametrize(("y", "shown"), [(["a", "a"], "'a'"), ([7], "7"), ([True, True], "True")])
def test_one_class_is_refused_and_named(y, shown):
    with pytest.raises(ValueError, match=f"at least two classes; the data has one class: {shown}"):
        Labels(np.array(y))


def test_one_column_of_an_indicator_matrix_need_not_have_both_values():
    assert Labels(np.array([[0, 1], [0, 1]])).n_outputs == 2


@pytest.mark.parametrize(
    ("labels", "y", "strange"),
    [
        (THREE, np.array(["a", "z"]), "'z'"),
        (THREE, np.array(["abc"]), "'abc'"),
        (THREE, np.array([1, 2]), "1, 2"),
        (TWO, np.array([0, 2]), "2"),
        (TWO, np.array(["0", "1"]), "'0', '1'"),
        (TWO, np.array(["a"], dtype=object), "'a'"),
    ],
)
def test_labels_that_were_not_fitted_are_refused_and_named(labels, y, strange):
    with pytest.raises(
        ValueError, match=rf"not among the classes of the first fit: array\(\[{strange}\]"
    ):
        labels.encode(y)


@pytest.mark.parametrize(
    ("labels", "y", "expected"),
    [
        (MANY, INDICATOR[:, :2], r"3 columns; got shape \(4, 2\)"),
        (MANY, np.array([0, 1]), r"3 columns; got shape \(2,\)"),
        (THREE, INDICATOR, r"3 classes; got shape \(4, 3\)"),
        (TWO, INDICATOR[:, :2], r"2 classes; got shape \(4, 2\)"),
    ],
)
def test_labels_of_another_kind_than_fitted_are_refused(labels, y, expected):
    with pytest.raises(ValueError, match=f"of the kind that was fitted, with {expected}"):
        labels.encode(y)


# ---- numbers and back ----


def test_an_indicator_matrix_is_encoded_as_float32():
    target = MANY.encode(INDICATOR)
    assert target.dtype == np.float32
    assert target.tolist() == INDICATOR.tolist()


def test_membership_of_labels_is_one_hot():
    target = THREE.encode(np.array(["b", "a", "b"]))
    assert THREE.membership(target).toarray().tolist() == np.eye(3)[[1, 0, 1]].tolist()


def test_membership_of_two_classes_has_two_columns():
    assert TWO.membership(np.array([1, 0])).toarray().tolist() == [[0, 1], [1, 0]]


def test_membership_of_an_indicator_matrix_is_the_matrix():
    assert MANY.membership(MANY.encode(INDICATOR)).toarray().tolist() == INDICATOR.tolist()


def test_the_largest_logit_is_predicted():
    assert THREE.predictions(np.array([[0.1, 0.3, 0.2], [-1, -3, -2.0]])).tolist() == ["b", "a"]


def test_a_positive_logit_is_the_second_of_two_classes():
    assert TWO.predictions(np.array([[-0.1], [0.1], [0.0]])).tolist() == [0, 1, 0]


def test_every_positive_logit_of_an_indicator_is_predicted():
    predicted = MANY.predictions(np.array([[0.1, -0.1, 0.0], [-1.0, 2.0, 3.0]]))
    assert predicted.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert predicted.dtype.kind == "i"


LOGITS = np.concatenate(
    [np.random.default_rng(0).normal(0, 3, (20, 3)), [[0, 0, 0], [900, -900, 0], [-1e4] * 3]]
).astype(np.float32)


def test_probabilities_of_several_classes_are_softmax():
    expected = softmax(LOGITS.astype(np.float64), axis=1)
    np.testing.assert_allclose(THREE.probabilities(LOGITS), expected, rtol=1e-12, atol=1e-300)


def test_probabilities_of_two_classes_are_the_logistic_function_and_the_rest():
    exact = LOGITS[:, :1].astype(np.float64)
    expected = np.concatenate([expit(-exact), expit(exact)], axis=1)
    np.testing.assert_allclose(TWO.probabilities(LOGITS[:, :1]), expected, rtol=1e-12, atol=1e-300)


def test_probabilities_of_an_indicator_are_logistic_functions_of_their_own():
    expected = expit(LOGITS.astype(np.float64))
    np.testing.assert_allclose(MANY.probabilities(LOGITS), expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("labels", [TWO, THREE])
def test_probabilities_sum_to_one_in_float64(labels):
    found = labels.probabilities(LOGITS[:, : labels.n_outputs])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-15)


# ---- weights ----

Y = np.array(["a", "c", "b", "c", "c", "a"])


def test_without_class_weights_sample_weights_stay():
    weight = np.array([1.0, 2, 3, 4, 5, 6])
    assert THREE.weights(THREE.encode(Y), weight, None) is weight


def test_balanced_is_that_of_scikit_learn_where_samples_weigh_one():
    found = THREE.weights(THREE.encode(Y), np.ones(6), "balanced")
    by_class = compute_class_weight("balanced", classes=THREE.classes, y=Y)
    np.testing.assert_allclose(found, by_class[THREE.encode(Y)])


def test_balanced_gives_every_class_the_same_total_of_sample_weights():
    weight = np.array([1.0, 2, 3, 4, 5, 6])
    found = THREE.weights(THREE.encode(Y), weight, "balanced")
    totals = [found[label == Y].sum() for label in "abc"]
    np.testing.assert_allclose(totals, weight.sum() / 3)


def test_balanced_with_a_class_that_does_not_occur_is_finite():
    found = THREE.weights(THREE.encode(np.array(["a", "b"])), np.ones(2), "balanced")
    np.testing.assert_allclose(found, 2 / 3)


def test_a_dict_of_class_weights_multiplies_and_leaves_the_others_at_one():
    found = THREE.weights(THREE.encode(Y), np.arange(1.0, 7), {"a": 10, "c": 0.5})
    np.testing.assert_allclose(found, [10, 1, 3, 2, 2.5, 60])


@pytest.mark.parametrize("weight", [-1.0, np.nan])
def test_class_weights_below_zero_are_refused(weight):
    class_weight = {THREE.classes[0].item(): weight}
    with pytest.raises(ValueError, match=r"class_weight must be finite and not negative, got \{"):
        THREE.weights(THREE.encode(Y), np.ones(len(Y)), class_weight)


def test_class_weights_of_classes_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="not in class_weight"):
        THREE.weights(THREE.encode(Y), np.ones(6), {"z": 2})


def test_sample_weights_are_not_changed():
    weight = np.ones(6)
    THREE.weights(THREE.encode(Y), weight, "balanced")
    assert weight.tolist() == [1] * 6


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2}])
def test_class_weights_of_an_indicator_are_refused_with_a_cure(class_weight):
    with pytest.raises(ValueError, match="not defined for an indicator matrix y; use sample_wei"):
        MANY.weights(MANY.encode(INDICATOR), np.ones(4), class_weight)


# ---- strata and scores ----


def test_classes_are_strata_and_an_indicator_matrix_is_one():
    target = THREE.encode(np.array(["b", "a", "c"]))
    assert THREE.groups(target).tolist() == [1, 0, 2]
    assert THREE.groups(target).dtype == np.int64
    assert MANY.groups(MANY.encode(INDICATOR)).tolist() == [0, 0, 0, 0]


CODES = np.arange(len(LOGITS)) % 3


@pytest.mark.parametrize(
    ("labels", "logits", "target"),
    [(TWO, LOGITS[:, :1], CODES % 2), (THREE, LOGITS, CODES)],
    ids=["two", "three"],
)
def test_the_score_of_classes_is_accuracy_and_the_loss_is_log_loss(labels, logits, target):
    score, loss = labels.evaluate(logits, target)
    right = labels.predictions(logits) == labels.classes[target]
    assert score.tolist() == right.tolist()
    assert score.dtype == np.float64
    expected = labels.probabilities(logits)[np.arange(len(target)), target]
    finite = expected > 1e-300
    np.testing.assert_allclose(loss[finite], -np.log(expected[finite]), rtol=1e-6, atol=1e-15)
    assert np.isfinite(loss).all()


def test_scores_of_an_indicator_are_means_over_its_columns():
    target = (np.arange(LOGITS.size).reshape(LOGITS.shape) % 2).astype(np.float32)
    score, loss = MANY.evaluate(LOGITS, target)
    np.testing.assert_allclose(score, (MANY.predictions(LOGITS) == target).mean(axis=1))
    p = MANY.probabilities(LOGITS[:20])
    expected = -np.log(np.where(target[:20] == 1, p, 1 - p)).mean(axis=1)
    np.testing.assert_allclose(loss[:20], expected, rtol=1e-6)
    assert np.isfinite(loss).all()


def test_the_temperature_lowers_the_loss_of_overconfident_logits():
    target = CODES[:20]
    temperature = THREE.find_temperature(LOGITS[:20], target, np.ones(20))
    _, before = THREE.evaluate(LOGITS[:20], target)
    _, after = THREE.evaluate(LOGITS[:20] / temperature, target)
    assert temperature > 1
    assert after.mean() < before.mean()
