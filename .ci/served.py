"""Saved models predict the same in an environment without torch and gensim, in another folder.

``python .ci/served.py SERVER``: fit and save with this Python, load and predict with the Python
SERVER, which has none of the packages that train.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from sklearn_transfer import FineTunedClassifier, PretrainedEmbeddingTransformer, PretrainedVectors

TEXTS = ["good film", "a bad film", "good good plot!", "the bad plot"] * 5
UNSEEN = ["a film", "good, good?", "", "the awful naïve zork", "BAD"]

SERVE = """
import importlib.util, json, sys
import numpy as np
from sklearn_transfer import load

there = [name for name in ("torch", "skorch", "gensim") if importlib.util.find_spec(name)]
assert not there, f"expected an environment without {there}"
texts = json.load(open("texts.json"))
for name, method in (("classifier", "predict_proba"), ("features.zip", "transform")):
    found = getattr(load(name), method)(texts)
    assert np.array_equal(found, np.load(f"{name}.npy")), f"{name}: other predictions"
print(f"{len(texts)} texts: equal predictions without torch, skorch and gensim")
"""


def main(server: str) -> None:
    """Fit, save, move, serve."""
    words = ["good", "bad", "film", "plot", "awful"]
    matrix = np.random.default_rng(0).standard_normal((5, 20)).astype(np.float32)
    with tempfile.TemporaryDirectory() as temporary:
        here, there = Path(temporary) / "here", Path(temporary) / "there"
        here.mkdir()
        vectors = PretrainedVectors(words, matrix).save(Path(temporary) / "vectors")
        classifier = FineTunedClassifier(vectors).fit(TEXTS, list("abab") * 5)
        features = PretrainedEmbeddingTransformer(vectors, weighting="idf").fit(TEXTS)
        classifier.save(here / "classifier")
        features.save(here / "features.zip")
        np.save(here / "classifier.npy", classifier.predict_proba(UNSEEN))
        np.save(here / "features.zip.npy", features.transform(UNSEEN))
        (here / "texts.json").write_text(json.dumps(UNSEEN))
        (Path(temporary) / "vectors").rename(Path(temporary) / "gone")
        here.rename(there)
        subprocess.run([server, "-I", "-c", SERVE], check=True, cwd=there)


if __name__ == "__main__":
    main(sys.argv[1])
