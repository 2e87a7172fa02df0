"""Does a melody copy a training tune? The longest run of intervals that both have.

Runs are compared in any key, since intervals have none. All runs of n intervals of all queries are looked up at once
among those of the training melodies, for n = 1, 2, 3 and so on; only places where the shorter run matched are looked
at again, so that few are left after the first steps. Runs are compared by 64-bit hashes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FACTOR = np.uint64(0x9E3779B97F4A7C15)
MIX = np.uint64(0xBF58476D1CE4E5B9)
SHIFT = np.uint64(29)
LONGEST_GAP = 32  # sixteenths between onsets; longer ones count as equal

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


def symbols(tokens: npt.NDArray[np.integer], rhythm: bool) -> tuple[Hashes, Places]:
    """All melodies' intervals in one row, and how many follow in the same melody at each, itself included.

    tokens [N, 256] -> two arrays of the total number of intervals. With `rhythm` an interval is also told apart by the
    sixteenths between the two onsets.
    """
    rows, steps = np.nonzero(tokens >= 2)
    pitch = tokens[rows, steps].astype(np.int64)
    same = rows[1:] == rows[:-1]
    code = np.diff(pitch)[same] + 128
    if rhythm:
        code = code * (LONGEST_GAP + 1) + np.minimum(np.diff(steps)[same], LONGEST_GAP)
    owner = rows[1:][same]
    counts = np.bincount(owner, minlength=len(tokens))
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return (code.astype(np.uint64) + np.uint64(1)) * MIX, np.asarray(np.repeat(counts, counts) - place)


def longest_shared_runs(
    queries: npt.NDArray[np.integer], training: npt.NDArray[np.integer], rhythm: bool = False
) -> npt.NDArray[np.int64]:
    """The longest run of intervals that each query [N, 256] shares with any training melody [M, 256]: [N]."""
    known, known_left = symbols(training, rhythm)
    asked, asked_left = symbols(queries, rhythm)
    rows, _ = np.nonzero(queries >= 2)
    owner = rows[1:][rows[1:] == rows[:-1]]
    longest = np.zeros(len(queries), np.int64)
    at, here = np.arange(len(known)), np.arange(len(asked))  # where runs begin that still match
    hash_at, hash_here = np.zeros(len(at), np.uint64), np.zeros(len(here), np.uint64)
    for length in range(1, queries.shape[1]):
        fits, fits_here = known_left[at] >= length, asked_left[here] >= length
        at, hash_at, here, hash_here = at[fits], hash_at[fits], here[fits_here], hash_here[fits_here]
        hash_at, hash_here = (
            _longer(h, s[p + length - 1]) for h, s, p in ((hash_at, known, at), (hash_here, asked, here))
        )
        runs = np.unique(hash_here)
        if not len(runs) or not len(at):
            break
        found = _among(hash_at, runs)
        at, hash_at = at[found], hash_at[found]
        shared = _among(hash_here, np.unique(hash_at))
        here, hash_here = here[shared], hash_here[shared]
        if not len(here):
            break
        longest[owner[here]] = length
    return longest


def _longer(hashes: Hashes, symbol: Hashes) -> Hashes:
    """Hashes of runs with one more interval at the end."""
    mixed = (hashes * FACTOR) ^ symbol
    return (mixed ^ (mixed >> SHIFT)) * MIX


def _among(values: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Which values are among the sorted known ones."""
    if not len(known):
        return np.zeros(len(values), bool)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.asarray(known[place] == values)
