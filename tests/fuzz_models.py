"""Damaged model files, for ``fuzzing.py``: the rooms of `fuzz_rooms.py` for all kinds of models."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import fuzz_rooms
import numpy as np
import safetensors.numpy
from fuzz_limits import Wrong
from fuzz_rooms import TEXTS, Files, Room
from tiny_files import save_tree

from sklearn_transfer._utils.errors import ModelFormatError, VectorFormatError
from sklearn_transfer._utils.hashing import hash_content
from sklearn_transfer._utils.objects.memo import clear_memos
from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors

TRAINING = ["good film", "a bad film", "good good plot", "the bad plot"]


def _vectors() -> PretrainedVectors:
    return PretrainedVectors(["good", "bad", "film"], np.eye(3, dtype=np.float32))


class ModelFiles(Room):
    """A model file, as a folder."""

    refusals = (ModelFormatError, FileNotFoundError)
    parameters: ClassVar[dict[str, Any]] = {}

    def fit(self, folder: Path) -> Any:
        """The model; `folder` keeps what it refers to."""
        from sklearn_transfer import FineTunedClassifier

        return FineTunedClassifier(_vectors(), **self.parameters).fit(TRAINING, list("abab"))

    def make(self, folder: Path) -> None:
        model = self.fit(folder.parent / "pretrained")
        model.save(folder / "model")
        self.expected = self.result(model)

    def mutant(self, i: int) -> tuple[Files, list[str], bool]:
        tree, done, signed = super().mutant(i)
        rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode()), i, 1])
        if i % 4 == 3:  # valid JSON with other entries
            about = json.loads(self.tree["model/config.json"])
            for _ in range(int(rng.integers(1, 4))):
                _exchange({name: about[name] for name in ("models", "sources")}, rng)
            content = json.dumps(about).encode()
            tree, done = self.sign({**self.tree, "model/config.json": content}), ["exchanged"]
        elif i % 8 == 1:  # valid tensors with other values
            name = "model/tensors.safetensors"
            tree = self.sign({**self.tree, name: _alter_tensors(self.tree[name], rng)})
            done = ["altered"]
        return tree, done, signed

    def sign(self, tree: Files) -> Files:
        signed = dict(tree)
        with contextlib.suppress(Exception):
            about = json.loads(signed["model/config.json"])
            for source in about["sources"]:
                folder = f"model/{source['folder']}/"
                if f"{folder}vectors.json" in signed:
                    _sign_vectors(signed, folder)
                    source["fingerprint"] = _fingerprint(signed, folder)
                else:
                    source["fingerprint"] = _fingerprint_encoder(signed, folder)
            for name in about["files"]:
                content = signed[f"model/{name}"]
                if isinstance(content, bytes) and not name.endswith(".npy"):
                    about["files"][name] = hash_content(content)
            about.pop("digest", None)
            about["digest"] = hash_content(json.dumps(about, sort_keys=True))
            signed["model/config.json"] = json.dumps(about).encode()
        return signed

    def open(self, work: Path, *, signed: bool) -> bool:
        from sklearn_transfer import load

        clear_memos()
        model = load(work / "model")
        with np.errstate(all="ignore"):
            found = self.result(model)
        if not signed and not np.array_equal(found, self.expected):
            raise Wrong("other predictions")
        return True

    method = "predict_proba"

    def result(self, model: Any) -> Any:
        """What the model predicts."""
        return getattr(model, self.method)(TEXTS)


class ModelArchives(ModelFiles):
    """The same as a zip; none is signed."""

    def make(self, folder: Path) -> None:
        super().make(folder)
        from sklearn_transfer import load

        load(folder / "model").save(folder / "model.zip")
        shutil.rmtree(folder / "model")

    def mutant(self, i: int) -> tuple[Files, list[str], bool]:
        tree, done, _ = Room.mutant(self, i)
        return tree, done, False

    def sign(self, tree: Files) -> Files:
        return tree

    def open(self, work: Path, *, signed: bool) -> bool:
        (work / "model.zip").rename(work / "model") if (work / "model.zip").exists() else None
        return super().open(work, signed=signed)


class Networks(ModelFiles):
    """A network with a reader."""

    parameters: ClassVar[dict[str, Any]] = {
        **{"encoder": "cnn", "encoder_params": {"filters": 2, "widths": (1, 2)}},
        **{"hidden_layer_sizes": (3,), "max_epochs": 1, "random_state": 0, "device": "cpu"},
    }


class Regressors(ModelFiles):
    """A linear regressor of two targets."""

    method = "predict"

    def fit(self, folder: Path) -> Any:
        from sklearn_transfer import FineTunedRegressor

        return FineTunedRegressor(_vectors()).fit(TRAINING, np.arange(8.0).reshape(4, 2))


class SeveralLabels(ModelFiles):
    """A linear model of independent labels on two tables."""

    def fit(self, folder: Path) -> Any:
        from sklearn_transfer import FineTunedClassifier

        other = PretrainedVectors(["plot", "cat"], np.eye(2, dtype=np.float32))
        y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
        return FineTunedClassifier([_vectors(), other], weighting="sif").fit(TRAINING, y)


class NumericFeatures(ModelFiles):
    """A network on numbers."""

    def fit(self, folder: Path) -> Any:
        from sklearn_transfer import FineTunedClassifier

        X = np.arange(16, dtype=np.float64).reshape(8, 2)
        model = FineTunedClassifier(hidden_layer_sizes=(2,), max_epochs=1, random_state=0)
        return model.fit(X, [0, 1] * 4)

    def result(self, model: Any) -> Any:
        return model.predict_proba(np.array([[0.5, 1.0], [3.0, -1.0]]))


class StaticFeatures(ModelFiles):
    """Frozen static features."""

    method = "transform"

    def fit(self, folder: Path) -> Any:
        from sklearn_transfer import PretrainedEmbeddingTransformer

        model = PretrainedEmbeddingTransformer(
            _vectors(), weighting="sif", pooling=("mean", "max"), remove_components=1
        )
        return model.fit([*TEXTS, "good bad"])


class Continued(ModelFiles):
    """Word vectors whose training went on."""

    def fit(self, folder: Path) -> Any:
        from sklearn_transfer import ContinuedVectors

        model = ContinuedVectors(_vectors(), epochs=1, min_count=1, random_state=0)
        return model.fit(TRAINING)

    def result(self, model: Any) -> Any:
        vectors = model.vectors_
        words = [word for word in ("good", "bad", "plot") if word in vectors]
        return vectors[words]


class SentenceEncoders(ModelFiles):
    """A linear model on a frozen sentence encoder, which is in the file."""

    # The encoder is opened by the first prediction, with the error of any other folder.
    refusals = (*ModelFiles.refusals, VectorFormatError)
    parameters: ClassVar[dict[str, Any]] = {"adaptation": "frozen", "device": "cpu"}

    def fit(self, folder: Path) -> Any:
        from contextual_toys import save_tiny

        from sklearn_transfer import ContextualModel, FineTunedClassifier

        encoder = ContextualModel(save_tiny(folder), cache=None)
        model = FineTunedClassifier(encoder, random_state=0, **self.parameters)
        return model.fit(TRAINING, list("abab"))


class TunedEncoders(SentenceEncoders):
    """An encoder whose highest layer was trained."""

    parameters: ClassVar[dict[str, Any]] = {
        **{"adaptation": "top-1", "max_epochs": 1, "batch_size": 4, "device": "cpu"},
    }


class Pipelines(ModelFiles):
    """A pipeline with a step of scikit-learn."""

    def make(self, folder: Path) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        from sklearn_transfer import PretrainedEmbeddingTransformer, save

        model = make_pipeline(PretrainedEmbeddingTransformer(_vectors()), LogisticRegression())
        model.fit(TRAINING, list("abab"))
        save(model, folder / "model")
        self.expected = model.predict_proba(TEXTS)

    def open(self, work: Path, *, signed: bool) -> bool:
        from sklearn.exceptions import NotFittedError

        try:
            return super().open(work, signed=signed)
        except NotFittedError:  # a step without its state is an estimator, too
            if not signed:
                raise
            return False


_VALUES: list[Any] = [
    *(None, True, 0, -1, 3, 2**31, 2**63, 1e300, "", "a", "frozen", "cnn", [], {}, [0], ["a"]),
    *({"tuple": [1, 2]}, {"float": "nan"}, {"source": 0}, {"array": "pretrained"}, {"dict": []}),
    *({"object": "Vocabulary", "state": {}}, {"tuple": [2**40]}, {"path": "x"}),
]


def _exchange(about: Any, rng: np.random.Generator) -> None:
    """Replace, remove or swap an entry of JSON at a random place."""
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                visit(node[key])

    visit(about)
    (node, key), (other, name) = (places[int(rng.integers(len(places)))] for _ in range(2))
    how = rng.random()
    if how < 0.2:
        del node[key]
    elif how < 0.6:
        node[key] = copy.deepcopy(other[name])
    else:
        node[key] = copy.deepcopy(_VALUES[int(rng.integers(len(_VALUES)))])


def _alter_tensors(content: Any, rng: np.random.Generator) -> bytes:
    """Replace values of a tensor, cut it, or give it another type."""
    arrays = safetensors.numpy.load(content)
    if not arrays:  # of a model whose arrays are all vectors
        return bytes(content)
    name = sorted(arrays)[int(rng.integers(len(arrays)))]
    array, how = arrays[name], rng.random()
    if how < 0.6 and array.size:
        values = np.array([0, 1, -1, 2, 7, 2**31 - 1, 2**62, -(2**62)])
        with np.errstate(all="ignore"):
            array.ravel()[int(rng.integers(array.size))] = rng.choice(values).astype(array.dtype)
    elif how < 0.8:
        arrays[name] = array[: max(len(array) - 1, 0)] if array.ndim else array.reshape(1)
    else:
        other = ["int64", "int32", "float32", "uint8", "bool"][int(rng.integers(5))]
        with np.errstate(all="ignore"):
            arrays[name] = array.astype(other)
    return bytes(safetensors.numpy.save(arrays))


def _sign_vectors(tree: Files, folder: str) -> None:
    about = json.loads(tree[f"{folder}vectors.json"])  # type: ignore[arg-type]
    for part in about["digests"]:
        content = tree.get(f"{folder}{part}.npy")
        if isinstance(content, bytes):
            with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
                about["digests"][part] = hash_content(np.load(io.BytesIO(content)))
    about.pop("digest", None)
    about["digest"] = hash_content(json.dumps(about, sort_keys=True))
    tree[f"{folder}vectors.json"] = json.dumps(about).encode()


def _fingerprint(tree: Files, folder: str) -> str:
    """The fingerprint of small vectors, as `fingerprint_files` computes it."""
    contents = [tree[name] for name in sorted(tree) if name.startswith(folder)]
    parts = [part for c in contents if isinstance(c, bytes) for part in (b"%d" % len(c), c)]
    return hash_content(*(part for part in parts if part))


def _fingerprint_encoder(tree: Files, folder: str) -> str:
    """The fingerprint of the folder of a sentence encoder."""
    from sklearn_transfer.contextual.opening import fingerprint_folder

    files = {
        name.removeprefix(folder): content
        for name, content in tree.items()
        if name.startswith(folder)
    }
    settings: Any = SimpleNamespace(trust_remote_code=False)
    with tempfile.TemporaryDirectory() as place:
        save_tree(files, Path(place) / "encoder")
        return fingerprint_folder(Path(place) / "encoder", settings)


ROOMS: dict[str, Callable[[str, Path, int], Room]] = {
    **fuzz_rooms.ROOMS,
    "linear models": ModelFiles,
    "zipped models": ModelArchives,
    "networks": Networks,
    "static features": StaticFeatures,
    "regressors": Regressors,
    "several labels": SeveralLabels,
    "numeric features": NumericFeatures,
    "continued vectors": Continued,
    "sentence encoders": SentenceEncoders,
    "tuned encoders": TunedEncoders,
    "pipelines": Pipelines,
}
