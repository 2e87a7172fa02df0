"""Melody windows for training and measuring: 16 bars of the 90-token grid, moved into one key.

The file is an npz with `windows` uint8 [N, 256], `split` (0 train, 1 valid, 2 test) and `cluster` (near-duplicate
tunes share one number, and one split).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from generator.key import home_shift, transpose

SPLITS = {"train": 0, "valid": 1, "test": 2}
STEPS = 256
BAR = 16
TOKENS = 90


@dataclass(frozen=True)
class Corpus:
    """Windows of one split, and how often training should draw each.

    windows uint8 [N, 256]; weight float64 [N], summing to 1.
    """

    windows: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.float64]

    def draw(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.uint8]:
        """`count` windows by weight, uint8 [count, 256]."""
        return self.windows[rng.choice(len(self.windows), size=count, p=self.weight)]


def load_corpus(path: Path, split: str, home_key: bool = True) -> Corpus:
    """Read one split ("train", "valid" or "test"); home_key: move every window to C major or A minor.

    A window's weight is one over the square root of its cluster's size: overlapping windows of one long string
    quartet would otherwise outnumber a hundred dances, and clusters weighed alike would show each dance of a single
    window hundreds of times as often as each bar of a quartet.

    Raises FileNotFoundError, or ValueError where the file does not hold such arrays.
    """
    with np.load(path, allow_pickle=False) as data:
        missing = {"windows", "split", "cluster"} - set(data.files)
        if missing:
            raise ValueError(
                f"{path}: expected arrays windows, split and cluster; {', '.join(sorted(missing))} missing"
            )
        chosen = data["split"] == SPLITS[split]
        windows, cluster = data["windows"][chosen], data["cluster"][chosen]
    if windows.ndim != 2 or windows.shape[1] != STEPS or windows.dtype != np.uint8 or (windows >= TOKENS).any():
        raise ValueError(f"{path}: expected windows uint8 [N, {STEPS}] of tokens below {TOKENS}")
    _, member, size = np.unique(cluster, return_inverse=True, return_counts=True)
    weight = 1.0 / np.sqrt(size[member])
    if home_key:
        windows = transpose(windows, home_shift(windows))
    return Corpus(windows, weight / weight.sum())
