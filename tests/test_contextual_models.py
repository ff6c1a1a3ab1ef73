"""Both estimators over a contextual model."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

pytest.importorskip("sentence_transformers", reason="the extra contextual")

import torch
from contextual_toys import (
    CONTRASTIVE,
    DIM,
    MAX_TOKENS,
    N_LAYERS,
    fit,
    label_texts,
    open_library,
    save_tiny,
)
from torch import nn

from sklearn_transfer import (
    ContextualModel,
    ContinuedVectors,
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
    load_pretrained,
    rank_pretrained,
)
from sklearn_transfer.models.sentence_encoder import SentenceEncoder
from sklearn_transfer.training.policies import Contrastive, LinearProbing, Top


@pytest.fixture(scope="module")
def tiny_mpnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("contextual"), architecture="mpnet")


@pytest.fixture
def model(tiny_model: Path) -> ContextualModel:
    """A model of which nothing is kept from another test."""
    model = ContextualModel(tiny_model)
    model.clear_cache()
    return model


@pytest.fixture(scope="module")
def labelled() -> tuple[list[str], np.ndarray]:
    return label_texts()


# ---- features ----


def test_transformer_gives_the_model_s_features(tiny_model: Path, model: ContextualModel, labelled):
    texts, _ = labelled
    for source in (str(tiny_model), tiny_model, model, open_library(tiny_model)):
        embed = PretrainedEmbeddingTransformer(source).fit(texts)
        np.testing.assert_allclose(embed.transform(texts), model.encode(texts), atol=1e-5)
        assert (embed.n_features_out_, embed.coverage_) == (DIM, 1.0)
        assert isinstance(embed.pretrained_, ContextualModel)
    assert len(embed.get_feature_names_out()) == DIM


def test_transformer_beside_vectors(model: ContextualModel, vectors: PretrainedVectors, labelled):
    texts, _ = labelled
    both = PretrainedEmbeddingTransformer([vectors, model], pooling=("mean", "max")).fit(texts)
    alone = PretrainedEmbeddingTransformer(vectors, pooling=("mean", "max")).fit_transform(texts)
    expected = np.concatenate([alone, model.encode(texts)], axis=1)
    np.testing.assert_allclose(both.transform(texts), expected, atol=1e-6)
    assert both.n_features_out_ == 2 * vectors.dim + DIM


def test_components_and_norm_apply(model: ContextualModel, labelled):
    texts, _ = labelled
    embed = PretrainedEmbeddingTransformer(model, remove_components=1, norm="l2").fit(texts)
    found = embed.transform(texts)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found @ embed.components_[0], 0, atol=1e-5)


def test_what_is_not_read_is_reported(tiny_model: Path):
    texts = ["the film was good " * 10, "a film"]
    read = 2 * MAX_TOKENS
    with pytest.warns(UserWarning, match=r"(?s)Only 35% of the tokens.*1 of 2 texts.*12 tokens"):
        embed = PretrainedEmbeddingTransformer(tiny_model).fit(texts)
    assert embed.coverage_ == pytest.approx((read - MAX_TOKENS + 4) / (42 + 4))


def test_a_grid_encodes_each_text_once(model: ContextualModel, labelled):
    texts, labels = labelled
    pipeline = make_pipeline(PretrainedEmbeddingTransformer(model), LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1.0, 10.0, 100.0]}
    GridSearchCV(pipeline, grid, cv=3).fit(texts, labels)
    frozen = FineTunedClassifier(model, adaptation="frozen", random_state=0)
    GridSearchCV(frozen, {"pretrained_scale": [1.0, 3.0]}, cv=3).fit(texts, labels)
    assert model.cache_info().n_encoded == len(set(texts))


# ---- frozen ----


def test_frozen_is_a_linear_model_on_the_features(model: ContextualModel, labelled):
    texts, labels = labelled
    frozen = FineTunedClassifier(model, adaptation="frozen").fit(texts, labels)
    assert frozen.score(texts, labels) > 0.9
    assert frozen.transform(texts).shape == (len(texts), DIM)
    assert frozen.coverage_ == 1
    assert len(pickle.dumps(frozen)) < 50_000
    again = pickle.loads(pickle.dumps(frozen))
    np.testing.assert_array_equal(again.predict_proba(texts), frozen.predict_proba(texts))


def test_in_a_list_it_stands_beside_words(model: ContextualModel, vectors, labelled):
    texts, labels = labelled
    both = FineTunedClassifier([vectors, model]).fit(texts, labels)
    assert both.score(texts, labels) > 0.9
    assert both.transform(texts).shape[1] == vectors.dim + DIM + 1
    alone = FineTunedClassifier([model], adaptation="frozen").fit(texts, labels)
    single = FineTunedClassifier(model, adaptation="frozen").fit(texts, labels)
    np.testing.assert_allclose(alone.predict_proba(texts), single.predict_proba(texts), atol=1e-5)


def test_max_tokens_cuts(model: ContextualModel, labelled):
    texts, labels = labelled
    short = FineTunedClassifier(model, adaptation="frozen", max_tokens=4).fit(texts, labels)
    assert short.pretrained_.max_tokens == 4
    assert short.coverage_ < 1


# ---- trained ----


def moved(classifier: FineTunedClassifier, model: ContextualModel) -> set[str]:
    """The layers of which a parameter is not what it was."""
    before = dict(model.library_model.named_parameters())
    found = set()
    for name, parameter in classifier.module_.encoder.module.named_parameters():
        if not torch.equal(parameter.detach(), before[name].detach()):
            parts = name.split(".")
            layer = parts[parts.index("layer") + 1] if "layer" in parts else "embeddings"
            found.add(layer)
    return found


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("top-1", {"2"}),
        ("top-2", {"1", "2"}),
        (Top(3), {"0", "1", "2"}),
        ("full", {"embeddings", "0", "1", "2"}),
        ("gradual", {"1", "2"}),
        ("discriminative", {"embeddings", "0", "1", "2"}),
    ],
)
def test_layers_that_move(model: ContextualModel, labelled, policy: Any, expected: set[str]):
    classifier = fit(model, labelled, adaptation=policy)
    assert moved(classifier, model) == expected
    rates = classifier.history_[-1]["rates"]
    assert list(rates) == ["embeddings", *(f"layer {i}" for i in range(N_LAYERS)), "head"]
    assert rates["head"] == pytest.approx(0.01)
    if policy != "discriminative":
        assert rates["layer 2"] == pytest.approx(5e-5)


@pytest.mark.parametrize(
    ("policy", "architecture"), [("top-1", "bert"), ("gradual", "bert"), ("top-2", "mpnet")]
)
def test_layers_below_are_computed_once_and_that_changes_nothing(
    tiny_model: Path,
    tiny_mpnet: Path,
    labelled,
    policy: str,
    architecture: str,
    monkeypatch: pytest.MonkeyPatch,
):
    model = ContextualModel(tiny_model if architecture == "bert" else tiny_mpnet)
    once = fit(model, labelled, adaptation=policy, lr=0.05, embedding_lr=0.01)
    with monkeypatch.context() as patch:
        patch.setattr(SentenceEncoder, "n_frozen", lambda self: 0)
        anew = fit(model, labelled, adaptation=policy, lr=0.05, embedding_lr=0.01)
    for one, other in zip(once.history_, anew.history_, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-4)
    np.testing.assert_allclose(
        once.decision_function(labelled[0]), anew.decision_function(labelled[0]), atol=1e-3
    )
    below = dict(model.library_model.named_parameters())
    for name, parameter in once.module_.encoder.module.named_parameters():
        if "relative_attention_bias" in name or "embeddings" in name:
            assert torch.equal(parameter.detach(), below[name].detach())


@pytest.mark.parametrize(
    "policy", ["top-1", "full", "gradual", CONTRASTIVE, LinearProbing(max_probing=3)]
)
def test_fits_learn_repeat_and_pickle(model: ContextualModel, labelled, policy: Any):
    texts, _ = labelled
    options = {"adaptation": policy}
    if policy is not CONTRASTIVE:
        options |= {"lr": 0.05, "embedding_lr": 1e-3, "max_epochs": 5}
    classifier = fit(model, labelled, **options)
    losses = [row["train_loss"] for row in classifier.history_]
    assert policy is CONTRASTIVE or min(losses) < losses[0]
    np.testing.assert_array_equal(
        fit(model, labelled, **options).predict_proba(texts), classifier.predict_proba(texts)
    )
    np.testing.assert_allclose(
        classifier.predict_proba(texts[::-1])[::-1], classifier.predict_proba(texts), atol=1e-5
    )
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    assert classifier.transform(texts).shape == (len(texts), DIM)
    assert clone(classifier).pretrained is model


@pytest.mark.parametrize("policy", ["frozen", "top-1", "full", CONTRASTIVE])
def test_texts_of_very_different_lengths(tiny_model: Path, policy: str):
    # Predicted in batches of 64 tokens.
    options = {"batch_size": 2, "max_epochs": 1} if policy in ("top-1", "full") else {}
    texts = ["the film was good and very good", "bad", "", "a great plot and a great film"] * 6
    labels = np.array(["yes", "no", "no", "yes"] * 6)
    classifier = fit(tiny_model, (texts, labels), adaptation=policy, **options)
    probability = classifier.predict_proba(texts)
    for i, text in enumerate(texts[:4]):
        np.testing.assert_allclose(classifier.predict_proba([text])[0], probability[i], atol=1e-5)
        assert classifier.transform([text]).shape == (1, DIM)


def test_the_model_itself_stays_as_it_was(model: ContextualModel, labelled):
    before = model.encode(labelled[0])
    fit(model, labelled, adaptation="full", embedding_lr=0.01, max_epochs=2)
    fit(model, labelled, adaptation=CONTRASTIVE)
    model.clear_cache()
    np.testing.assert_array_equal(model.encode(labelled[0]), before)


def test_the_pull_keeps_it_near(model: ContextualModel, labelled):
    def distance(l2_sp: float) -> float:
        classifier = fit(model, labelled, embedding_lr=0.01, l2_sp=l2_sp)
        before = dict(model.library_model.named_parameters())
        after = classifier.module_.encoder.module.named_parameters()
        return sum(float((p - before[name]).detach().square().sum()) for name, p in after)

    free, pulled = distance(0), distance(10.0)
    assert 0 < pulled < free


def test_checkpoints_go_on(model: ContextualModel, labelled, tmp_path: Path):
    class Stop(Exception):
        pass

    from skorch.callbacks import Callback

    class StopAfter(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            if len(net.history) == 2 and not (tmp_path / "stopped").exists():
                (tmp_path / "stopped").write_text("")
                raise Stop

    whole = fit(model, labelled, adaptation="top-1", embedding_lr=0.01)
    options = {"adaptation": "top-1", "embedding_lr": 0.01, "checkpoint": tmp_path / "state"}
    with pytest.raises(Stop):
        fit(model, labelled, callbacks=[StopAfter()], **options)
    resumed = fit(model, labelled, **options)
    np.testing.assert_array_equal(
        resumed.predict_proba(labelled[0]), whole.predict_proba(labelled[0])
    )


def test_early_stopping_schedules_and_mixed_precision(model: ContextualModel, labelled):
    classifier = fit(
        model,
        labelled,
        adaptation="top-1",
        early_stopping=True,
        validation_fraction=0.25,
        schedule="linear",
        warmup=0.1,
        max_grad_norm=1.0,
        mixed_precision=True,
        class_weight="balanced",
    )
    assert all("valid_loss" in row for row in classifier.history_)


def test_partial_fit(model: ContextualModel, labelled):
    texts, labels = labelled
    classifier = FineTunedClassifier(model, adaptation="top-1", random_state=0)
    for part in (slice(0, 12), slice(12, 24)):
        classifier.partial_fit(texts[part], labels[part], classes=["no", "yes"])
    assert set(classifier.predict(texts)) <= {"no", "yes"}


def test_indicators(model: ContextualModel, labelled):
    texts, labels = labelled
    indicator = np.stack([labels == "yes", np.arange(24) % 3 == 0], axis=1).astype(int)
    for policy in ("frozen", CONTRASTIVE, "top-1"):
        classifier = fit(model, (texts, indicator), adaptation=policy)
        assert classifier.predict(texts).shape == (24, 2)


def test_auto_compares_and_says_why(model: ContextualModel, labelled):
    texts, labels = labelled
    indicator = np.eye(2, dtype=int)[(labels == "yes").astype(int)]
    classifier = FineTunedClassifier(model, adaptation="auto", random_state=0)
    classifier.fit(texts, indicator)
    assert set(classifier.adaptation_.scores) == {"frozen", "contrastive"}
    assert classifier.adaptation_.reason.startswith("best on 5 folds")
    classifier.fit(texts, labels, X_val=texts[:8], y_val=labels[:8])
    assert set(classifier.adaptation_.scores) == {"frozen", "contrastive"}


def test_auto_with_few_labels_is_the_contrastive_stage(model: ContextualModel, labelled):
    chosen, given = (fit(model, labelled, adaptation=name) for name in ("auto", "contrastive"))
    assert chosen.adaptation_.policy == "contrastive"
    assert chosen.adaptation_.reason == "24 samples are too few to compare policies"
    assert chosen.predict_proba(labelled[0]).tolist() == given.predict_proba(labelled[0]).tolist()


def test_auto_compares_values(model: ContextualModel, labelled):
    values = np.arange(24) / 4.0
    regressor = FineTunedRegressor(model, adaptation="auto", random_state=0)
    regressor.fit(labelled[0], values)
    assert set(regressor.adaptation_.scores) == {"frozen", "contrastive"}


def test_auto_epochs(model: ContextualModel, labelled):
    texts, labels = labelled
    assert FineTunedClassifier(model, adaptation="top-1").fit(texts, labels).n_iter_ == 3


def test_contrastive_on_arrays():
    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = generator.standard_normal((60, 8)).astype(np.float32)
    X[np.arange(60), y] += 2
    module = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8))
    classifier = FineTunedClassifier(
        module, adaptation=Contrastive(n_steps=30, lr=0.01), random_state=0
    ).fit(X[:30], y[:30])
    frozen = FineTunedClassifier(module, adaptation="frozen").fit(X[:30], y[:30])
    assert classifier.score(X[:30], y[:30]) >= frozen.score(X[:30], y[:30])
    assert not np.allclose(classifier.transform(X), frozen.transform(X))
    assert classifier.temperature_ == 1


def test_weights_of_zero_and_of_two(model: ContextualModel, labelled):
    texts, labels = labelled
    weight = np.ones(24)
    weight[20:] = 0
    weighted = FineTunedClassifier(model, adaptation="frozen").fit(texts, labels, weight)
    fewer = FineTunedClassifier(model, adaptation="frozen").fit(texts[:20], labels[:20])
    np.testing.assert_allclose(weighted.predict_proba(texts), fewer.predict_proba(texts), atol=1e-6)


# ---- refused ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "cnn"}, "a contextual model it must stay 'mean'"),
        ({"optimizer": "convex"}, "optimizer='convex' needs a linear model"),
        (
            {"layer_groups": ["no.such.module"], "adaptation": "top-1"},
            "which the pretrained module does not have",
        ),
    ],
)
def test_options_that_do_not_go_with_it(
    model: ContextualModel, labelled, options: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=message):
        FineTunedClassifier(model, **options).fit(*labelled)


def test_token_dropout_has_no_effect(model: ContextualModel, labelled):
    with pytest.warns(UserWarning, match="no effect: token_dropout"):
        fit(model, labelled, adaptation="top-1", token_dropout=0.1, max_epochs=1)


def test_layer_groups_of_its_modules(model: ContextualModel, labelled):
    names = [name for name, _ in model.library_model.named_parameters()]
    top = [name for name in names if ".layer.2." in name]
    groups = [[name for name in names if name not in top], top]
    for policy in (Contrastive(n_steps=2, n_layers=1), "top-1"):
        classifier = FineTunedClassifier(
            model, adaptation=policy, layer_groups=groups, random_state=0
        ).fit(*labelled)
        assert set(classifier.predict(labelled[0])) <= {"no", "yes"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_layers": 0}, "n_layers of at least 1"),
        ({"n_steps": 0}, "n_steps of at least 1"),
        ({"batch_size": 1}, "batch_size of at least 2"),
        ({"lr": 0.0}, "a positive lr"),
        ({"temperature": 0.0}, "a positive temperature"),
        ({"tuned_share": 0.0}, "tuned_share above 0"),
    ],
)
def test_settings_of_the_contrastive_stage(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Contrastive(**settings)


def test_contrastive_needs_an_encoder_and_all_samples(model, vectors, labelled):
    for source in (vectors, [vectors, model]):
        with pytest.raises(ValueError, match="'contrastive' trains an encoder"):
            FineTunedClassifier(source, adaptation="contrastive").fit(*labelled)
    with pytest.raises(ValueError, match="needs all samples at once"):
        FineTunedClassifier(model, adaptation="contrastive").partial_fit(
            *labelled, classes=["no", "yes"]
        )


def test_several_sources_are_not_trained_together(model, vectors, labelled):
    with pytest.raises(ValueError, match="contextual model gives features and stays as it is"):
        FineTunedClassifier([vectors, model], adaptation="gradual").fit(*labelled)


def test_it_is_no_table_of_words(model: ContextualModel, labelled):
    with pytest.raises(TypeError, match="word vectors to train further, got a contextual model"):
        ContinuedVectors(model).fit(labelled[0])


def test_numbers_are_refused(model: ContextualModel):
    with pytest.raises(ValueError, match="reads texts, got a matrix"):
        FineTunedClassifier(model).fit(np.eye(4), [0, 1, 0, 1])


def test_load_pretrained_tells_tables_from_models(tiny_model: Path, tmp_path: Path, model):
    assert isinstance(load_pretrained(tiny_model), ContextualModel)
    model.distill(n_components=4).write(tmp_path / "static", format="model2vec")
    assert isinstance(load_pretrained(tmp_path / "static"), PretrainedVectors)


def test_ranked_beside_vectors(model: ContextualModel, vectors, labelled):
    library = model.library_model
    ranking = rank_pretrained({"words": vectors, "model": model, "library": library}, *labelled)
    rows = {row.name: row for row in ranking.rows}
    assert rows["words"].dim == vectors.dim
    assert rows["model"].dim == rows["library"].dim == DIM
    assert rows["model"].logme == pytest.approx(rows["library"].logme, abs=1e-4)


def test_frozen_features_are_as_long_as_suits_them(model: ContextualModel, labelled):
    for policy, settings, expected in (
        ("frozen", {}, 3.0),
        ("frozen", {"criterion": "squared_hinge"}, 0.6),
        ("frozen", {"pretrained_scale": 2.0}, 2.0),
        (Contrastive(n_steps=1), {}, 3.0),
    ):
        classifier = FineTunedClassifier(model, adaptation=policy, random_state=0, **settings)
        features = classifier.fit(*labelled).transform(labelled[0])
        assert np.sqrt(np.square(features).sum(1).mean()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("policy", "error"), [("top-1", MemoryError), ("full", RuntimeError)])
def test_a_batch_too_large_for_memory_is_trained_in_parts(
    model: ContextualModel, labelled, policy: str, error: type[Exception], monkeypatch
):
    settings = {"adaptation": policy, "batch_size": 8, "embedding_lr": 0.01, "l2_sp": 0.1}
    for module in model.library_model.modules():
        if isinstance(module, torch.nn.Dropout):
            monkeypatch.setattr(module, "p", 0.0)
    whole = fit(model, labelled, **settings)
    real, sizes = SentenceEncoder.forward, []

    def forward(self, ids, *args, **kwargs):
        if torch.is_grad_enabled() and len(ids) > 2:
            raise error("CUDA out of memory.")
        sizes.append(len(ids))
        return real(self, ids, *args, **kwargs)

    monkeypatch.setattr(SentenceEncoder, "forward", forward)
    with pytest.warns(UserWarning, match="batch of 8 samples does not fit into memory") as told:
        parts = fit(model, labelled, **settings)
    assert len(told) == 1
    assert 2 in sizes
    losses = [[row["train_loss"] for row in c.history_] for c in (whole, parts)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    np.testing.assert_allclose(
        whole.decision_function(labelled[0]), parts.decision_function(labelled[0]), atol=1e-3
    )
