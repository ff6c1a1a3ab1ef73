"""PretrainedEmbeddingTransformer: what is its own beside the common promises."""

import pickle
import re
from collections import Counter
from itertools import product

import joblib
import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_transfer import PretrainedEmbeddingTransformer, PretrainedVectors
from sklearn_transfer.vectors.table.oov import Subwords, hashed_vectors
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.vocabulary import Vocabulary

TRAIN = [
    "The cat sat on the mat",
    "In Paris a dog sat",
    "the Dog and the CAT, in paris: zork!",
    "a cat, a cat, a naïve cat",
    "",
    "zork quux",
    "mat on mat",
]
TEST = ["A mat in Paris", "CAT dog Zork unseen", "", "?!", "the the the The", "paris Naïve cat"]
WORDS = ["the", "cat", "sat", "on", "mat", "in", "a", "dog", "and", "naïve", "paris"]
POOLINGS = {"mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min}


def make_vectors(words):
    """With n-gram rows, so that every policy for unknown words is possible."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((len(words), 6)).astype(np.float32)
    ngrams = Subwords(rng.standard_normal((20, 6)).astype(np.float32), 2, 3)
    return PretrainedVectors.from_table(Table(Vocabulary(words), matrix, ngrams))


UNCASED = make_vectors(WORDS)
CASED = make_vectors([*WORDS, "The", "Paris"])
PLAIN = PretrainedVectors(WORDS, UNCASED.matrix)
TABLES = {"uncased": UNCASED, "cased": CASED}


def fit(vectors=UNCASED, **params):
    return PretrainedEmbeddingTransformer(vectors, **params).fit(TRAIN)


class Naive:
    """The same features, a text and a word at a time."""

    def __init__(self, vectors, weighting=None, lowercase="auto", oov="ignore"):
        self.vectors, self.oov, self.weighting = vectors, oov, weighting
        self.folds = lowercase == "auto" and vectors.cased
        self.lowers = not vectors.cased if lowercase == "auto" else lowercase
        texts = [self.split(text) for text in TRAIN]
        self.n_texts = len(texts)
        self.count = Counter(word for text in texts for word in text)
        self.df = Counter(word for text in texts for word in set(text))

    def split(self, text):
        return re.findall(r"\w+", text.lower() if self.lowers else text)

    def vector(self, word):
        candidates = [word, word.lower()] if self.folds else [word]
        for candidate in candidates:
            if candidate in list(self.vectors.words):
                return self.vectors[candidate].astype(np.float64)
        if self.oov == "hash":
            scale = float(np.sqrt(np.mean(self.vectors.matrix**2)))
            return hashed_vectors(candidates[-1:], self.vectors.dim, scale=scale)[0]
        if self.oov == "subword":
            return self.vectors.subwords.vectors(candidates[-1:])[0]
        return None

    def weight(self, word):
        if self.folds and word not in self.count:
            word = word.lower()
        if self.weighting == "idf":
            return np.log((1 + self.n_texts) / (1 + self.df[word])) + 1
        if self.weighting == "sif":
            return 1e-3 / (1e-3 + self.count[word] / self.count.total())
        return 1.0

    def __call__(self, texts, pooling="mean"):
        rows = []
        for text in texts:
            found = [
                self.weight(word) * vector
                for word in self.split(text)
                if (vector := self.vector(word)) is not None
            ]
            pooled = POOLINGS[pooling](found, axis=0) if found else np.zeros(self.vectors.dim)
            rows.append(pooled)
        return np.array(rows)


# ---- the features ----


@pytest.mark.parametrize("oov", ["ignore", "subword", "hash"])
@pytest.mark.parametrize("lowercase", ["auto", True, False])
@pytest.mark.parametrize("table", TABLES)
def test_features_are_those_of_a_loop_over_texts_and_words(table, lowercase, oov):
    for weighting, pooling in product([None, "idf", "sif"], POOLINGS):
        params = {"weighting": weighting, "lowercase": lowercase, "oov": oov}
        found = fit(TABLES[table], pooling=pooling, **params).transform(TEST)
        expected = Naive(TABLES[table], **params)(TEST, pooling)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=str(params))


@pytest.mark.parametrize("params", [{}, {"weighting": "sif", "remove_components": 2}])
def test_fit_transform_is_fit_and_transform(params):
    model = PretrainedEmbeddingTransformer(UNCASED, **params)
    np.testing.assert_array_equal(model.fit_transform(TRAIN), fit(**params).transform(TRAIN))


@pytest.mark.parametrize("kind", [tuple, list])
def test_several_poolings_are_concatenated(kind):
    both = fit(pooling=kind(["max", "mean"])).transform(TEST)
    one, other = (fit(pooling=how).transform(TEST) for how in ("max", "mean"))
    np.testing.assert_array_equal(both, np.concatenate([one, other], axis=1))


def test_a_text_without_a_known_word_is_zero():
    params = {"weighting": "idf", "norm": "l2", "remove_components": 1, "pooling": ("mean", "min")}
    assert not fit(**params).transform(["", "?!", "zork"]).any()


def test_a_half_precision_table_gives_float32():
    assert fit(PLAIN.astype("float16")).transform(TEST).dtype == np.float32


@pytest.mark.parametrize("norm", [None, "l2"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_have_the_dtype_asked_for(dtype, norm):
    model = fit(dtype=dtype, norm=norm, weighting="idf", remove_components=1)
    assert model.transform(TEST).dtype == dtype
    assert model.fit_transform(TRAIN).dtype == dtype


def test_norm_scales_each_text_to_length_one():
    found, plain = fit(norm="l2").transform(TEST), fit().transform(TEST)
    known = plain.any(axis=1)
    np.testing.assert_allclose(np.linalg.norm(found[known], axis=1), 1, rtol=1e-6)
    lengths = np.linalg.norm(plain[known], axis=1, keepdims=True)
    np.testing.assert_allclose(found[known], plain[known] / lengths, rtol=1e-5)


@pytest.mark.parametrize("params", [{}, {"pooling": ("mean", "max", "min")}])
def test_there_are_as_many_names_as_features(params):
    model = fit(**params)
    n_features = model.transform(TEST).shape[1]
    assert n_features == model.n_features_out_ == len(model.get_feature_names_out())


def test_names_of_features_are_those_of_the_class_with_numbers():
    names = fit(pooling=("mean", "max")).get_feature_names_out()
    assert names.tolist() == [f"pretrainedembeddingtransformer{i}" for i in range(12)]


# ---- case ----


def test_a_cased_table_is_asked_for_the_exact_form_first():
    found = fit(CASED).transform(["Paris", "paris"])
    np.testing.assert_array_equal(found, CASED[["Paris", "paris"]])


def test_a_cased_table_is_asked_for_the_lower_form_then():
    np.testing.assert_array_equal(fit(CASED).transform(["CAT", "Dog"]), CASED[["cat", "dog"]])


def test_an_uncased_table_is_asked_for_lower_case_at_once():
    np.testing.assert_array_equal(fit(UNCASED).transform(["PARIS"]), UNCASED[["paris"]])


def test_without_lowercase_only_the_exact_form_counts():
    assert not fit(CASED, lowercase=False).transform(["CAT"]).any()


def test_with_lowercase_cased_words_are_never_met():
    np.testing.assert_array_equal(fit(CASED, lowercase=True).transform(["Paris"]), CASED[["paris"]])


# ---- tokens ----


@pytest.mark.filterwarnings("ignore:Only .* have a pretrained vector")
def test_a_tokenizer_decides_what_tokens_are():
    model = fit(tokenizer=lambda text: text.split("|"))
    np.testing.assert_array_equal(
        model.transform(["cat|mat", "cat mat"]), [UNCASED[["cat", "mat"]].mean(axis=0), [0] * 6]
    )


def test_tokens_of_a_tokenizer_are_lower_cased_as_the_table_is():
    np.testing.assert_array_equal(fit(tokenizer=str.split).transform(["CAT"]), UNCASED[["cat"]])


def test_a_token_pattern_decides_what_tokens_are():
    found = fit(token_pattern=r"[a-z]+").transform(["cat2mat"])
    np.testing.assert_array_equal(found, [UNCASED[["cat", "mat"]].mean(axis=0)])


def test_a_pattern_that_does_not_compile_is_refused():
    with pytest.raises(ValueError, match=r"token_pattern must be a regular expression, got '\('"):
        fit(token_pattern="(")


def test_a_tokenizer_that_gives_no_strings_is_refused_with_a_cure():
    with pytest.raises(
        TypeError, match=r"The tokenizer must return strings, got int: 1. For spaCy"
    ):
        fit(tokenizer=lambda text: [1])


# ---- what is learned ----


@pytest.mark.parametrize(
    ("vectors", "params", "known"),
    [
        (UNCASED, {}, 28),  # all but zork, zork, quux
        (UNCASED, {"lowercase": False}, 23),  # nor The, In, Paris, Dog, CAT
        (CASED, {"lowercase": False}, 25),  # which has The and Paris
        (CASED, {}, 28),
        (UNCASED, {"oov": "hash"}, 28),
    ],
)
def test_coverage_is_the_share_of_tokens_with_a_pretrained_vector(vectors, params, known):
    assert fit(vectors, **params).coverage_ == pytest.approx(known / 31)


def test_texts_of_another_language_are_noticed():
    texts = ["le chat et le chien", "le chat dort", "the cat"]
    model = PretrainedEmbeddingTransformer(UNCASED)
    with pytest.warns(
        UserWarning,
        match=r"Only 20% of the tokens .* without one: 'le', 'chat', 'et', 'chien', 'dort'\. Are",
    ):
        model.fit(texts)
    assert model.coverage_ == 0.2


def test_words_that_get_a_vector_anyway_are_no_reason_to_warn():
    model = PretrainedEmbeddingTransformer(UNCASED, oov="hash").fit(["le chat", "the cat", "le"])
    assert model.coverage_ == pytest.approx(2 / 5)


def test_coverage_is_a_plain_float():
    assert type(fit().coverage_) is float


def test_coverage_of_texts_without_tokens_is_zero():
    assert PretrainedEmbeddingTransformer(UNCASED).fit(["", "?"]).coverage_ == 0


def test_idf_is_that_of_tfidf_vectorizer():
    ours = fit(weighting="idf")
    theirs = TfidfVectorizer(token_pattern=r"\b\w+\b").fit(TRAIN)
    expected = dict(zip(theirs.get_feature_names_out(), theirs.idf_, strict=True))
    assert dict(zip(ours.vocabulary_, ours.idf_, strict=True)) == pytest.approx(expected)


def test_the_vocabulary_holds_all_training_tokens_in_their_order():
    expected = dict.fromkeys(re.findall(r"\w+", " ".join(TRAIN).lower()))
    for weighting in ("idf", "sif"):
        assert list(fit(weighting=weighting).vocabulary_) == list(expected)


def arora(texts, vectors, n_components):
    """Algorithm 1 of Arora et al. 2017: weighted means, then without their common directions."""
    embedded = Naive(vectors, weighting="sif")(texts)
    u = np.linalg.svd(Naive(vectors, weighting="sif")(TRAIN), full_matrices=False)[2]
    for direction in u[:n_components]:
        embedded = embedded - np.outer(embedded @ direction, direction)
    return embedded


@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_sif_and_components_are_the_algorithm_of_arora(n_components):
    model = fit(weighting="sif", remove_components=n_components)
    for texts in (TRAIN, TEST):
        expected = arora(texts, UNCASED, n_components)
        np.testing.assert_allclose(model.transform(texts), expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", ("mean", "max")])
def test_components_are_orthonormal_directions_of_the_features(pooling):
    model = fit(remove_components=2, pooling=pooling)
    assert model.components_.shape == (2, model.n_features_out_)
    assert model.components_.dtype == np.float32
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(2), atol=1e-6)


def test_without_components_none_are_learned():
    assert fit().components_.shape == (0, 6)


@pytest.mark.parametrize(("n_texts", "wanted", "n"), [(2, 5, 2), (7, 50, 6)])
def test_there_are_no_more_components_than_texts_or_features(n_texts, wanted, n):
    model = PretrainedEmbeddingTransformer(UNCASED, remove_components=wanted)
    assert model.fit(TRAIN[:n_texts]).components_.shape == (n, 6)


def test_transform_learns_nothing():
    model = fit(weighting="idf", remove_components=1)
    before = pickle.dumps(model)
    model.transform(["wholly new texts", "zork"])
    assert pickle.dumps(model) == before


def test_weights_that_were_not_learned_are_attribute_errors_that_say_how():
    with pytest.raises(AttributeError, match="vocabulary_ is learned with weighting='idf' or"):
        _ = fit().vocabulary_
    with pytest.raises(AttributeError, match="idf_ is learned with weighting='idf', not None"):
        _ = fit().idf_
    with pytest.raises(AttributeError, match="idf_ is learned with weighting='idf', not 'sif'"):
        _ = fit(weighting="sif").idf_


@pytest.mark.parametrize("name", ["vocabulary_", "idf_"])
def test_weights_before_fit_are_not_fitted(name):
    model = PretrainedEmbeddingTransformer(UNCASED, weighting="idf")
    assert not hasattr(model, name)
    with pytest.raises(NotFittedError):
        getattr(model, name)


# ---- parameters that are refused ----


@pytest.mark.parametrize("pooling", [(), [], ("mean", "median"), ("mean", None), "median", 3])
def test_poolings_that_are_none_are_refused_with_those_that_are(pooling):
    with pytest.raises(ValueError, match=r"'pooling' parameter .*must be .*mean.*[gG]ot "):
        fit(pooling=pooling)


@pytest.mark.parametrize(
    "params",
    [
        {"weighting": "tfidf"},
        {"remove_components": -1},
        {"remove_components": 1.5},
        {"norm": "l1"},
        {"tokenizer": "jieba"},
        {"token_pattern": None},
        {"lowercase": "yes"},
        {"oov": "zero"},
        {"dtype": "float16"},
        {"n_jobs": 1.5},
    ],
    ids=lambda params: next(iter(params)),
)
def test_values_that_are_not_allowed_are_refused_by_name(params):
    (name,) = params
    with pytest.raises(ValueError, match=f"The '{name}' parameter of PretrainedEmbeddingTransfor"):
        fit(**params)


def test_subword_without_ngram_rows_predicts_from_the_words_of_the_table():
    word = "".join(PLAIN.words[:2]) + "s"
    found = fit(PLAIN, oov="subword").transform([word])
    np.testing.assert_array_equal(found, PLAIN.look_up([word], oov="subword")[1])
    assert found.any()


def test_a_failed_fit_leaves_an_estimator_unfitted():
    model = PretrainedEmbeddingTransformer(UNCASED)
    with pytest.raises(TypeError, match="at position 1"):
        model.fit(["a", None])
    with pytest.raises(NotFittedError):
        model.transform(TEST)


# ---- sources ----


def test_vectors_are_opened_in_fit_and_not_before(tmp_path):
    PretrainedEmbeddingTransformer(str(tmp_path / "nowhere.txt"))
    with pytest.raises(FileNotFoundError, match=r"No pretrained vectors at '.*nowhere.txt'"):
        fit(str(tmp_path / "nowhere.txt"))


def test_a_path_gives_what_the_object_gives(tmp_path):
    saved = PLAIN.save(tmp_path / "t")
    np.testing.assert_array_equal(
        fit(str(tmp_path / "t")).transform(TEST), fit(PLAIN).transform(TEST)
    )
    assert fit(tmp_path / "t").pretrained_ is saved


@pytest.mark.parametrize("kind", [Word2Vec, FastText])
def test_a_gensim_model_is_used_and_not_copied(kind):
    sentences = [text.lower().split() for text in TRAIN]
    model = kind(sentences, vector_size=4, min_count=1, seed=1, workers=1)
    fitted = fit(model)
    assert np.shares_memory(fitted.pretrained_.matrix, model.wv.vectors)
    np.testing.assert_array_equal(fitted.transform(["cat"])[0], model.wv["cat"])


@pytest.mark.filterwarnings("ignore:Only .* have a pretrained vector")
def test_a_clone_does_not_copy_gensim_vectors():
    keyed = KeyedVectors(2)
    keyed.add_vectors(["cat", "mat"], np.eye(2, dtype=np.float32))
    copied = clone(PretrainedEmbeddingTransformer(keyed))
    assert copied.pretrained is keyed
    assert np.shares_memory(copied.fit(TRAIN).pretrained_.matrix, keyed.vectors)


@pytest.mark.filterwarnings("ignore:Only .* have a pretrained vector")
def test_the_pickle_of_a_fitted_transformer_on_a_file_is_under_100_kb(tmp_path):
    words = [f"w{i}" for i in range(5000)]
    PretrainedVectors(words, np.zeros((5000, 20))).save(tmp_path / "t")
    model = PretrainedEmbeddingTransformer(
        tmp_path / "t", weighting="sif", remove_components=2, pooling=("mean", "max")
    ).fit(TRAIN)
    assert len(pickle.dumps(model)) < 100_000


# ---- processes ----

SHARED = {"weighting": "idf", "remove_components": 1, "norm": "l2", "pooling": ("mean", "max")}


def test_two_processes_give_what_one_gives():
    one, two = (fit(n_jobs=n, **SHARED).transform(TEST) for n in (1, 2))
    np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n_texts", [1, 2, 5])
@pytest.mark.parametrize("n_jobs", [3, -1])
def test_any_split_of_the_texts_gives_the_same(n_jobs, n_texts):
    expected = fit(**SHARED).transform(TEST[:n_texts])
    with joblib.parallel_config("threading"):
        found = fit(n_jobs=n_jobs, **SHARED).transform(TEST[:n_texts])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
