"""Note statistics of melodies, and how far two sets of melodies overlap in them.

The features are those of Yang and Lerch 2018 ("On the evaluation of generative models in music") and Wu and Yang 2020
(2008.01307) that a melody on the grid has. Overlap is the area common to two normalised histograms on one grid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from generator.key import home_shift, melodic_intervals, pitch_class_durations, transpose

Floats = npt.NDArray[np.float64]

BAR = 16
LAGS = (1, 2, 4, 8)
BINS = 20
C_MAJOR = np.isin(np.arange(12), (0, 2, 4, 5, 7, 9, 11))


def note_statistics(tokens: npt.NDArray[np.integer]) -> dict[str, Floats]:
    """Statistics by name, one number a melody: tokens [N, 256] -> [N] each.

    density: onsets a bar. mean interval: semitones between neighbouring notes. large intervals: share over 7
    semitones. pitch-class entropy: bits. scale consistency: share of sounding time in the best-fitting key's scale.
    groove consistency: 1 minus the mean difference of neighbouring bars' onset patterns. lag k: share of bars that
    equal the one k before, note for note.
    """
    count = len(tokens)
    onsets = tokens >= 2
    intervals = melodic_intervals(tokens)
    known = np.maximum((intervals >= 0).sum(1), 1)
    found: dict[str, Floats] = {"density": onsets.sum(1) / (tokens.shape[1] / BAR)}
    found["mean interval"] = np.where(intervals >= 0, intervals, 0).sum(1) / known
    found["large intervals"] = (intervals > 7).sum(1) / known
    durations = pitch_class_durations(tokens).astype(np.float64)
    share = durations / np.maximum(durations.sum(1, keepdims=True), 1)
    found["pitch-class entropy"] = -(share * np.log2(np.maximum(share, 1e-12))).sum(1)
    at_home = pitch_class_durations(transpose(tokens, home_shift(tokens)))
    found["scale consistency"] = at_home[:, C_MAJOR].sum(1) / np.maximum(at_home.sum(1), 1)
    bars = onsets.reshape(count, -1, BAR)
    found["groove consistency"] = 1 - (bars[:, 1:] != bars[:, :-1]).mean((1, 2))
    by_bar = tokens.reshape(count, -1, BAR)
    for lag in LAGS:
        found[f"lag {lag}"] = (by_bar[:, lag:] == by_bar[:, :-lag]).all(2).mean(1)
    return found


def returning(tokens: npt.NDArray[np.integer], lag: int) -> Floats:
    """Share of the notes that stood at the same place `lag` bars before: tokens [N, 256] -> [N]."""
    bars = tokens.reshape(len(tokens), -1, BAR)
    onset = bars[:, lag:] >= 2
    again = onset & (bars[:, lag:] == bars[:, :-lag])
    return np.asarray(again.sum((1, 2)) / np.maximum(onset.sum((1, 2)), 1))


def turning(tokens: npt.NDArray[np.integer]) -> Floats:
    """Share of a melody's changes of direction among its pairs of neighbouring moves: tokens [N, 256] -> [N]."""
    shares = []
    for melody in tokens:
        moves = np.sign(np.diff(melody[melody >= 2].astype(int)))
        moves = moves[moves != 0]
        shares.append(float((moves[1:] != moves[:-1]).mean()) if len(moves) > 1 else 0.0)
    return np.array(shares)


def stepwise(tokens: npt.NDArray[np.integer]) -> Floats:
    """Share of steps, of 1 or 2 semitones, among a melody's intervals: tokens [N, 256] -> [N]."""
    interval = melodic_intervals(tokens)
    return np.asarray(((interval == 1) | (interval == 2)).sum(1) / np.maximum((interval >= 0).sum(1), 1))


def compass(tokens: npt.NDArray[np.integer]) -> Floats:
    """Semitones from a melody's lowest to its highest note: tokens [N, 256] -> [N]."""
    notes = tokens.astype(int)
    highest, lowest = notes.max(1), np.where(notes >= 2, notes, 127).min(1)
    return np.asarray(np.maximum(highest - lowest, 0), float)


def overlap(first: Floats, second: Floats) -> float:
    """Area common to the two samples' histograms, 0..1, on 20 bins from their common 1st to 99th percentile."""
    both = np.concatenate([first, second])
    low, high = np.percentile(both, [1, 99])
    edges = np.linspace(low, max(high, low + 1e-9), BINS + 1)
    shares = [np.histogram(np.clip(each, low, high), edges)[0] / len(each) for each in (first, second)]
    return float(np.minimum(*shares).sum())
