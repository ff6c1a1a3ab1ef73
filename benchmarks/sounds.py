"""What is a pretrained sound model worth where labels are few?

espeak-ng speaks 36 words in 28 voices, twice each, at speeds, pitches and in noise that seed 0
draws; a sample is the log-mel spectrogram of a word. A small encoder, pretrained on the first 18
words, learns the other 18 from 4 labels a word. The test is spoken by 15 voices whose accents and
whose speakers are in no training. Seeds 0, 1, ... draw the labels, the initial weights and the
batches; pretraining is done anew for each. "From scratch" starts from the very weights that
pretraining starts from. Every row trains for as many epochs at the same rate. Accuracy in percent,
differences paired by draw with 95 % intervals of Student's t; nothing is tuned on the test part.

The voices are synthetic: people differ more. Left out where espeak-ng is not installed: apt-get
install -y espeak-ng.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from torch import Tensor, nn

from . import N_THREADS
from .data import DataUnavailable
from .transfer import SCRATCH, TRAINING, SmallCNN, Task, margin_table, measure

PACKAGES = ("skorch",)
N_LABELS = 4  # a word
_WORDS = (
    "apple bridge candle dinner eleven forest guitar hammer island jacket kitchen lemon monday "
    "number orange paper river seven",
    "basket button circle doctor father garden honey january letter morning night open pencil "
    "rabbit silver table water yellow",
)
KNOWN, NEW = (words.split() for words in _WORDS)
# Accent + speaker. After "en-gb", which is the same as "en", espeak-ng 1.51 heeds no speaker.
VOICES = [
    f"{accent}+{speaker}"
    for accent in ("en-us", "en", "en-gb-x-gbclan", "en-gb-x-gbcwmd")
    for speaker in ("m1", "m3", "m5", "m7", "f1", "f3", "f5")
]
TEST_VOICES = [
    f"{accent}+{speaker}"
    for accent in ("en-gb-scotland", "en-029", "en-gb-x-rp")
    for speaker in ("m2", "m4", "m6", "f2", "f4")
]

RATE = 22050  # samples a second, of espeak-ng
N_MELS, N_FRAMES = 40, 80
_WINDOW, _STEP, _FFT = 551, 220, 1024  # 25 and 10 ms
_LOWEST, _HIGHEST = 60.0, 8000.0  # Hz
_FLOOR = 1e-6  # of the loudest energy
_NOISE = 0.1  # standard deviation, of the word's own


class Utterance(NamedTuple):
    """What espeak-ng is asked to say, and how."""

    word: str
    voice: str
    speed: int  # words a minute
    pitch: int  # from 0 to 99


class FrameGRU(nn.Module):
    """Two bidirectional GRUs over the frames of (n, 1, n_mels, n_frames), the mean over frames."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.first = nn.GRU(N_MELS, width, batch_first=True, bidirectional=True)
        self.second = nn.GRU(2 * width, width, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        frames = x[:, 0].transpose(1, 2)
        return self.second(self.first(frames)[0])[0].mean(dim=1)


def make_cnn() -> nn.Module:
    return SmallCNN((2, 5))  # a word is told by when its sounds come, too


ENCODERS: dict[str, Callable[[], nn.Module]] = {"CNN": make_cnn, "GRU": FrameGRU}


def say(utterance: Utterance) -> NDArray[np.float64]:
    """The sound of an utterance, from -1 to 1, as espeak-ng gives it."""
    word, voice, speed, pitch = utterance
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    done = subprocess.run(command, capture_output=True, check=True)
    # The heading of a WAV file that is not sought in: 44 bytes, with a length that is made up.
    return np.frombuffer(done.stdout[44:], dtype="<i2") / 32768


def place(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """The word without the silence around it, in the middle of N_FRAMES frames.

    What is longer is cut at both ends.
    """
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    word = sound[loud[0] : loud[-1] + 1]
    length = (N_FRAMES - 1) * _STEP + _WINDOW
    cut = max(len(word) - length, 0) // 2
    word = word[cut : cut + length]
    before = (length - len(word)) // 2
    return np.pad(word, (before, length - len(word) - before))


@cache
def mel_filters() -> NDArray[np.float64]:
    """Triangles, equally wide in mel = 2595 log10(1 + f / 700): (n_mels, n_frequencies)."""
    lowest, highest = 2595 * np.log10(1 + np.array([_LOWEST, _HIGHEST]) / 700)
    corners = 700 * (10 ** (np.linspace(lowest, highest, N_MELS + 2) / 2595) - 1)
    hertz = np.arange(_FFT // 2 + 1) * RATE / _FFT
    rise = (hertz - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - hertz) / (corners[2:] - corners[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall))


def log_mel(sound: NDArray[np.float64]) -> NDArray[np.float32]:
    """Log energies, from -1 to 1 for 60 dB below the loudest to it: (n_mels, n_frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[::_STEP]
    energies = np.abs(rfft(frames * np.hanning(_WINDOW), _FFT)) ** 2 @ mel_filters().T
    logs = np.log10(np.maximum(energies / energies.max(), _FLOOR))
    return (1 - 2 * logs / np.log10(_FLOOR)).T.astype(np.float32)


def load_words(*, quick: bool = False) -> Task:
    """Spectrograms (n, 1, N_MELS, N_FRAMES) of the known words, and of the new ones.

    Raises
    ------
    DataUnavailable
        If espeak-ng is not installed.
    """
    if shutil.which("espeak-ng") is None:
        raise DataUnavailable("there is no espeak-ng: apt-get install -y espeak-ng")
    rng = np.random.default_rng(0)
    known, new = (KNOWN[:4], NEW[:4]) if quick else (KNOWN, NEW)
    spoken = [(known, VOICES), (new, VOICES), (new, TEST_VOICES)]
    parts = [
        [
            Utterance(word, voice, int(rng.integers(130, 211)), int(rng.integers(30, 71)))
            for word, voice, _ in product(words, voices, range(2))
        ]
        for words, voices in spoken
    ]
    with ThreadPoolExecutor(N_THREADS) as pool:
        sounds = [pool.map(say, part) for part in parts]
        tables = [
            np.stack([log_mel(_in_noise(place(sound), rng)) for sound in part])[:, None]
            for part in sounds
        ]
    labels = [np.array([utterance.word for utterance in part]) for part in parts]
    is_test = np.repeat([False, True], [len(parts[1]), len(parts[2])])
    new_tables, new_labels = np.concatenate(tables[1:]), np.concatenate(labels[1:])
    return Task(tables[0], labels[0], new_tables, new_labels, ~is_test, is_test)


def _in_noise(sound: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return sound + rng.normal(scale=_NOISE * sound.std(), size=len(sound))


def main(*, quick: bool = False, repeats: int | None = None) -> str:
    task = load_words(quick=quick)
    n_epochs, training = (1, {**TRAINING, "max_epochs": 2}) if quick else (20, TRAINING)
    n_draws = repeats or (2 if quick else 10)
    parts = [
        f"{task}. {N_LABELS} labels a word, {n_draws} draws; {n_epochs} epochs of pretraining, "
        f"{training}."
    ]
    for name, make_net in ENCODERS.items():
        found = measure(
            name, task, make_net, [N_LABELS], n_draws, n_epochs=n_epochs, training=training
        )
        parts += [f"{name}:", margin_table(found[N_LABELS], SCRATCH)]
    return "\n\n".join(parts)
