"""The key of a melody on the token grid: Krumhansl and Schmuckler's key finding, many melodies at once.

A melody's notes, weighed by how long they sound, give twelve numbers, one a pitch class. They are correlated with
the ratings that listeners gave to the twelve tones of a major and of a minor key (Krumhansl and Kessler 1982), in all
twelve transpositions; the best of the 24 is the key (Krumhansl 1990, chapter 4). note_seq and music21 find keys too,
one melody at a time and in milliseconds; training, the losses and the search need thousands a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Probe-tone ratings, C major and C minor (Krumhansl and Kessler 1982, as printed in Krumhansl 1990, p. 30).
MAJOR_PROFILE = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR_PROFILE = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
MAJOR_DEGREES, MINOR_DEGREES = (4, 9, 11), (3, 8, 10)  # third, sixth and seventh, in semitones above the tonic
PITCH_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


@dataclass(frozen=True)
class Key:
    """A key: tonic 0..11 (0 = C) and mode; `strength` is the correlation with its profile, -1..1."""

    tonic: int
    major: bool
    strength: float

    def __str__(self) -> str:
        return f"{PITCH_NAMES[self.tonic]} {'major' if self.major else 'minor'}"


def sounding_pitch(tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.int16]:
    """The MIDI pitch that sounds at each step, 0 where none does.

    tokens: integers [..., T] of the 90-token grid (0 hold, 1 note off, 2..89 MIDI 21..108). Returns int16 [..., T].
    """
    steps = np.arange(tokens.shape[-1])
    last_event = np.maximum.accumulate(np.where(tokens > 0, steps, -1), axis=-1)
    event = np.take_along_axis(tokens, np.maximum(last_event, 0), axis=-1)
    return np.where((last_event >= 0) & (event >= 2), event.astype(np.int16) + 19, 0).astype(np.int16)


def mean_pitch(sounding: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Mean MIDI pitch, weighed by duration, of what `sounding_pitch` gives, [N, T] -> [N]; 0 for a silent melody."""
    return np.asarray(sounding.sum(1) / np.maximum((sounding > 0).sum(1), 1))


def melodic_intervals(tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.int16]:
    """Semitones, without direction, from the note before to the one that begins at each step: tokens [N, T] -> [N, T].

    -1 where no note begins, and at the first note.
    """
    onset = tokens >= 2
    last = np.maximum.accumulate(np.where(onset, np.arange(tokens.shape[1]), -1), axis=1)
    before = np.concatenate([np.full((len(tokens), 1), -1), last[:, :-1]], axis=1)
    from_token = np.take_along_axis(tokens, np.maximum(before, 0), axis=1).astype(np.int16)
    return np.where(onset & (before >= 0), np.abs(tokens.astype(np.int16) - from_token), -1).astype(np.int16)


def pitch_class_durations(tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Sixteenths each pitch class sounds: tokens [..., T] -> float32 [..., 12], index 0 = C."""
    pitch = sounding_pitch(tokens)
    pitch_class = np.where(pitch > 0, pitch % 12, 12)
    return np.stack([(pitch_class == c).sum(-1) for c in range(12)], -1).astype(np.float32)


def key_correlations(
    durations: npt.NDArray[np.floating],
    profiles_on_c: Sequence[npt.NDArray[np.float64]] = (MAJOR_PROFILE, MINOR_PROFILE),
) -> npt.NDArray[np.float64]:
    """Correlation with the 24 key profiles: durations [..., 12] -> [..., 24], 0..11 major on C..B, 12..23 minor.

    A melody with all twelve equal (or silent) correlates 0 with every key.
    """
    profiles = np.stack([np.roll(profile, k) for profile in profiles_on_c for k in range(12)])
    profiles = profiles - profiles.mean(1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    centred = durations - durations.mean(-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.asarray((centred / np.maximum(norm, 1e-9)) @ profiles.T)


def mode_lead(tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Lead of the best major key over the best minor one, in correlation: tokens [N, T] -> [N], > 0 major."""
    correlations = key_correlations(pitch_class_durations(tokens))
    return np.asarray(correlations[:, :12].max(1) - correlations[:, 12:].max(1))


def parallel(tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Melodies in the other mode of their tonic: third, sixth and seventh degree a semitone down or up.

    tokens [N, T] -> [N, T]. What a musician does to play a tune in minor: no note moves by more, and the contour stays.
    """
    best = key_correlations(pitch_class_durations(tokens)).argmax(1)
    major = (best < 12)[:, None]
    degree = (tokens.astype(int) + 19 - best[:, None] % 12) % 12
    moved = np.where(major, np.isin(degree, MAJOR_DEGREES), np.isin(degree, MINOR_DEGREES)) & (tokens >= 2)
    other = np.clip(tokens.astype(int) + np.where(major, -1, 1), 2, 89)
    return np.where(moved, other, tokens).astype(np.uint8)


def find_key(tokens: npt.NDArray[np.integer]) -> Key:
    """The key of one melody, tokens [T]."""
    correlations = key_correlations(pitch_class_durations(tokens))
    best = int(correlations.argmax())
    return Key(tonic=best % 12, major=best < 12, strength=float(correlations[best]))


def home_shift(tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.int16]:
    """Semitones, -6..5, that move each melody to the model's home: C major, or its relative A minor.

    tokens [..., T] -> int16 [...]. The relative keys share one set of notes, so the model has one scale to learn and a
    major tune taken for its relative minor still lands on it.
    """
    best = key_correlations(pitch_class_durations(tokens)).argmax(-1)
    major_tonic = np.where(best < 12, best, best - 12 + 3) % 12
    return np.asarray((-major_tonic + 6) % 12 - 6, np.int16)


def transpose(tokens: npt.NDArray[np.integer], semitones: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Move every note on: tokens [..., T], semitones [...] (one a melody) -> uint8 [..., T].

    A note that would leave the grid (MIDI 21..108) goes to the same pitch class an octave inside it.
    """
    shift = np.asarray(semitones)[..., None]
    moved = tokens.astype(np.int16) + shift
    moved = np.where(moved < 2, moved + 12 * -(-(2 - moved) // 12), moved)
    moved = np.where(moved > 89, moved - 12 * -(-(moved - 89) // 12), moved)
    return np.where(tokens >= 2, moved, tokens).astype(np.uint8)
