"""What melodies are measured by: features, Fréchet distance, diversity, and intervals of confidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generator.key import home_shift, melodic_intervals, sounding_pitch, transpose
from generator.losses import Floats, Melodies
from generator.musicvae.corpus import Corpus
from generator.musicvae.statistics import LAGS, compass, note_statistics, stepwise, turning

RESAMPLES, FEWER_RESAMPLES = 1000, 200  # for an interval's ends; for a standard deviation


def features(tokens: npt.NDArray[np.integer]) -> dict[str, Floats]:
    """The fixed feature space, by name: melodies [N, 256] -> [N] each.

    `note_statistics` (density, mean and large intervals, pitch-class entropy, scale, groove, share of bars equal to
    the one 1, 2, 4 and 8 before), and: shares of repeated notes and of steps (1 or 2 semitones) among the intervals;
    share of the intervals that turn; range in semitones; share of rests; share of onsets on a beat; spread of the
    time between onsets, in sixteenths; share of the notes that return after 1, 2, 4 and 8 bars; time on chord tones.
    None depends on the key or the octave.
    """
    found = note_statistics(tokens)
    melodies = Melodies(tokens)
    interval = melodic_intervals(tokens)
    known = np.maximum((interval >= 0).sum(1), 1)
    found["repeated notes"] = (interval == 0).sum(1) / known
    found["steps"] = stepwise(tokens)
    onset = tokens >= 2
    found["onsets on a beat"] = onset[:, ::4].sum(1) / np.maximum(onset.sum(1), 1)
    pitch = melodies.sounding
    found["rests"] = (pitch == 0).mean(1)
    found["range"], found["turns"] = compass(tokens), turning(tokens)
    found["spread of durations"] = np.array([_spread_of_durations(melody) for melody in tokens])
    for lag in LAGS:
        found[f"notes returning after {lag}"] = melodies.returning(lag)
    found["chord tones"] = melodies.chord_tones
    return found


def _spread_of_durations(melody: npt.NDArray[np.integer]) -> float:
    """Standard deviation of the sixteenths between onsets."""
    gaps = np.diff(np.flatnonzero(melody >= 2))
    return float(gaps.std()) if len(gaps) else 0.0


@dataclass(frozen=True)
class Space:
    """The feature space, each feature in units of its spread over training melodies: names, mean [F], scale [F]."""

    names: tuple[str, ...]
    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, training: npt.NDArray[np.integer]) -> Space:
        """From training melodies [N, 256]."""
        found = features(training)
        table = np.stack(list(found.values()), 1)
        return cls(tuple(found), table.mean(0), np.maximum(table.std(0), 1e-6))

    def place(self, tokens: npt.NDArray[np.integer]) -> Floats:
        """Melodies [N, 256] as points [N, F]."""
        return np.asarray((np.stack(list(features(tokens).values()), 1) - self.mean) / self.scale)


def frechet(first: Floats, second: Floats) -> float:
    """Fréchet distance between the Gaussians fitted to two sets of points [N, F], [M, F]: squared, as FID is.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); Heusel et al. 2017 (arXiv 1706.08500).
    """
    means = first.mean(0) - second.mean(0)
    c1, c2 = np.cov(first.T), np.cov(second.T)
    # tr (C1 C2)^(1/2) by the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2), which are the same.
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ c2 @ root), 0)).sum()
    return float(max(means @ means + np.trace(c1) + np.trace(c2) - 2 * cross, 0.0))


def pairwise_distance(tokens: npt.NDArray[np.integer]) -> Floats:
    """How different melodies [N, 256] are, each from all others: [N], 0..1.

    Share of the sixteenths at which two of them differ in what sounds (pitch class in the home key, or silence) or in
    whether a note begins: a Hamming distance that a transposition does not change.
    """
    home = transpose(tokens, home_shift(tokens))
    pitch = sounding_pitch(home)
    state = np.where(pitch > 0, pitch % 12 + 1, 0) * 2 + (home >= 2)
    count = len(tokens)
    return np.array([(state != one).mean(1).sum() / max(count - 1, 1) for one in state])


def nearest_real(
    real: Corpus, density: Floats, major: npt.NDArray[np.bool_], seed: int = 0, width: float = 0.25
) -> npt.NDArray[np.int64]:
    """For each target a real melody of its mode and within `width` notes a bar of its density, drawn by weight: [N].

    Where there is none so near, the nearest.
    """
    melodies = Melodies(real.windows)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(density), np.int64)
    for row, (wanted, mode) in enumerate(zip(density, major, strict=True)):
        off = np.abs(melodies.density - wanted) + np.where((melodies.mode > 0) == mode, 0.0, 100.0)
        near = np.flatnonzero(off <= width)
        weight = real.weight[near]
        chosen[row] = rng.choice(near, p=weight / weight.sum()) if len(near) else off.argmin()
    return chosen


Measure = Callable[[npt.NDArray[np.int64]], float]


def interval(measure: Measure, count: int, biased: bool = False) -> tuple[float, float, float]:
    """A figure over all `count` rows, and its 95 % bootstrap interval: `measure` takes the rows' numbers.

    biased: the figure is larger or smaller for rows drawn twice (distances between distributions are), so that only the
    spread of the resampled figures is taken, twice their standard deviation to each side.
    """
    rng = np.random.default_rng(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        resamples = FEWER_RESAMPLES if biased else RESAMPLES
        drawn = [measure(rng.integers(0, count, count)) for _ in range(resamples)]
        whole = measure(np.arange(count))
    if biased:
        spread = 1.96 * float(np.nanstd(drawn))
        return whole, max(whole - spread, 0.0), whole + spread
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return whole, float(low), float(high)
