"""Which tunes are near duplicates, and a split that keeps them together.

Two tunes are near duplicates where some 8 bars of one have the pitches of some 8 bars of the other on every beat, in
any transposition: no 8 bars of a test tune then stand in a training tune, even with other passing notes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from generator.key import sounding_pitch
from generator.musicvae.corpus import SPLITS

BAR, BEAT, PASSAGE = 16, 4, 8
FEWEST_CHANGES = 8  # of pitch from beat to beat; a passage that moves less is compared step by step
SHARES = (0.05, 0.05)  # of the windows, for valid and for test
TRAIN, VALID, TEST = SPLITS["train"], SPLITS["valid"], SPLITS["test"]


def passages(windows: npt.NDArray[np.uint8]) -> npt.NDArray[np.void]:
    """What identifies each 8-bar passage in any transposition: windows [N, 256] -> 9 keys each, [N, 9]."""
    count = windows.shape[1] // BAR - PASSAGE + 1
    keys = []
    for bar in range(count):
        part = windows[:, bar * BAR : (bar + PASSAGE) * BAR]
        pitch = sounding_pitch(part)
        first = np.take_along_axis(pitch, (pitch > 0).argmax(1)[:, None], 1)
        steps = np.where(pitch > 0, pitch - first, 100).astype(np.int8)
        onsets = np.where(part >= 2, steps, 101).astype(np.int8)
        beats = steps[:, ::BEAT]
        still = (beats[:, 1:] != beats[:, :-1]).sum(1) < FEWEST_CHANGES
        full = np.where(still[:, None], onsets, 0).astype(np.int8)
        rows = np.ascontiguousarray(np.concatenate([beats, full], 1))
        keys.append(rows.view(np.dtype((np.void, rows.shape[1])))[:, 0])
    return np.stack(keys, 1)


def clusters(windows: npt.NDArray[np.uint8], tune: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """A number for each window: the lowest tune number of its cluster. windows [N, 256], tune [N] -> int32 [N]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, passage = np.unique(passages(windows), return_inverse=True)
    passage = passage.reshape(len(windows), -1)
    tunes, member = np.unique(tune, return_inverse=True)
    owner = np.repeat(member, passage.shape[1])
    size = len(tunes) + int(passage.max()) + 1
    links = coo_array((np.ones(owner.size, bool), (owner, len(tunes) + passage.ravel())), shape=(size, size))
    _, label = connected_components(links, directed=False)
    lowest = np.full(label.max() + 1, np.iinfo(np.int32).max, np.int64)
    np.minimum.at(lowest, label[: len(tunes)], tunes)
    return np.asarray(lowest[label[member]], np.int32)


def split(cluster: npt.NDArray[np.integer], seed: int) -> npt.NDArray[np.uint8]:
    """0 train, 1 valid, 2 test for each window [N], whole clusters at a time; each split gets at least one.

    Raises ValueError where there are fewer than three clusters.
    """
    names, member, size = np.unique(cluster, return_inverse=True, return_counts=True)
    if len(names) < 3:
        raise ValueError(
            f"expected at least 3 unrelated tunes, one each for training, validation and test; found {len(names)}"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(size[order] > SHARES[0] * len(cluster), kind="stable")]  # a huge cluster is for training
    chosen = np.full(len(names), TRAIN, np.uint8)
    place = 0
    for which, share in zip((VALID, TEST), SHARES, strict=True):
        taken = 0
        while (not taken or taken < share * len(cluster)) and place < len(names) - (2 if which == VALID else 1):
            if taken and taken + size[order[place]] > 2 * share * len(cluster):
                break
            chosen[order[place]] = which
            taken += size[order[place]]
            place += 1
    return chosen[member]
