"""Models that bring code, in pickles that are opened elsewhere."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

from contextual_toys import TEXTS, save_tiny
from transformers import dynamic_module_utils

from sklearn_transfer import ContextualModel, FineTunedClassifier
from sklearn_transfer.contextual.remote_code import RemoteCode

CODE = """
from transformers import BertConfig, BertModel

from .tiny_scale import SCALE


class TinyConfig(BertConfig):
    model_type = "tiny"


class TinyModel(BertModel):
    config_class = TinyConfig

    def forward(self, *args, **kwargs):
        outputs = super().forward(*args, **kwargs)
        outputs.last_hidden_state = outputs.last_hidden_state * SCALE + 1
        return outputs
"""

OPEN = """
import pickle, sys
import numpy as np
model, fitted, texts, features, labels = pickle.load(open(sys.argv[1], "rb"))
np.testing.assert_allclose(model.encode(texts), features, atol=1e-5)
assert fitted.predict(texts).tolist() == labels
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with code in two files; what transformers copies lies in a folder of the test."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        monkeypatch.delitem(sys.modules, name)  # of another test
    folder = save_tiny(tmp_path)
    (folder / "tiny_scale.py").write_text("SCALE = 2.0")
    (folder / "tiny_code.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "tiny_code.TinyConfig", "AutoModel": "tiny_code.TinyModel"}
    config |= {"model_type": "tiny", "architectures": ["TinyModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_pickle_is_opened_in_another_process_without_the_folder(
    folder: Path, tmp_path: Path
) -> None:
    model = ContextualModel(folder, trust_remote_code=True, pickle_weights=True)
    features = model.encode(TEXTS)
    fitted = FineTunedClassifier(model, adaptation="top-1", max_epochs=1, random_state=0)
    labels = fitted.fit(TEXTS, [0, 1] * 3).predict(TEXTS).tolist()
    content = pickle.dumps((model, fitted, TEXTS, features, labels))
    (tmp_path / "pickle").write_bytes(content)
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "modules")
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "elsewhere")}
    run = [sys.executable, "-c", OPEN, str(tmp_path / "pickle")]
    subprocess.run(run, env=environment, check=True, timeout=120, cwd=Path(__file__).parents[2])


def test_the_code_is_that_of_the_model_and_what_it_imports(folder: Path) -> None:
    model = ContextualModel(folder, trust_remote_code=True)
    files = RemoteCode.of(model.library_model).files
    names = {Path(name).name: content for name, content in files.items()}
    assert names == {"__init__.py": "", "tiny_code.py": CODE, "tiny_scale.py": "SCALE = 2.0"}
    restored = pickle.loads(pickle.dumps(RemoteCode(files)))
    assert restored.files == files


def test_other_models_bring_none(tiny_model: Path) -> None:
    assert RemoteCode.of(ContextualModel(tiny_model).library_model).files == {}


def test_features_of_code_that_is_trusted(folder: Path) -> None:
    model = ContextualModel(folder, trust_remote_code=True)
    before = model.encode(TEXTS)
    (folder / "tiny_scale.py").write_text("SCALE = 3.0")
    again = ContextualModel(folder, trust_remote_code=True)
    assert again.fingerprint != model.fingerprint
    assert not np.allclose(again.encode(TEXTS), before)
