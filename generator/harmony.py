"""Chords under a melody on the token grid: one a bar or one a half bar, for many melodies at once.

A hidden Markov model over the chords of the melody's key, solved by Viterbi's algorithm. How well a chord fits a
stretch is the melody's pitch classes there, weighed by duration and beat; how well it follows another is Piston's table
of usual root progressions (Harmony, 1941); phrases of four bars want a cadence. note_seq's `infer_chords_for_sequence`
takes .6 to .8 s a melody (measured) and knows no cadences; the losses need thousands of melodies a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from generator.key import Key, key_correlations, pitch_class_durations, sounding_pitch

Floats = npt.NDArray[np.float64]

BARS = 16
STEPS_PER_BAR = 16
# Suffix of the chord symbol -> semitones above the root: root, third, fifth, seventh.
CHORD_QUALITIES: dict[str, tuple[int, ...]] = {"": (0, 4, 7), "m": (0, 3, 7), "dim": (0, 3, 6), "7": (0, 4, 7, 10)}
_QUALITY_INDEX = {quality: index for index, quality in enumerate(CHORD_QUALITIES)}

# The chords of a key: Roman numeral, semitones of the root above the tonic, quality, degree (1..7) for the progression
# table, and how much rarer than the key's own triads it is (in units of one full bar that fits).
_MAJOR = (
    ("I", 0, "", 1, -0.05), ("ii", 2, "m", 2, 0.0), ("iii", 4, "m", 3, 0.15), ("IV", 5, "", 4, 0.0),
    ("V", 7, "", 5, 0.0), ("vi", 9, "m", 6, 0.0), ("vii°", 11, "dim", 7, 0.3), ("V7", 7, "7", 5, 0.02),
    ("V7/V", 2, "7", 2, 0.3), ("V7/ii", 9, "7", 6, 0.35), ("V7/vi", 4, "7", 3, 0.35),
    ("V7/IV", 0, "7", 1, 0.4), ("♭VII", 10, "", 4, 0.4),
    ("iv", 5, "m", 4, 0.4),
)  # fmt: skip
_MINOR = (
    ("i", 0, "m", 1, -0.05), ("ii°", 2, "dim", 2, 0.25), ("III", 3, "", 3, 0.1), ("iv", 5, "m", 4, 0.0),
    ("v", 7, "m", 5, 0.15), ("V", 7, "", 5, 0.0), ("VI", 8, "", 6, 0.0), ("VII", 10, "", 7, 0.05),
    ("vii°", 11, "dim", 7, 0.3), ("V7", 7, "7", 5, 0.02), ("V7/III", 10, "7", 7, 0.3), ("V7/iv", 0, "7", 1, 0.4),
    ("IV", 5, "", 4, 0.35), ("♭II", 1, "", 2, 0.4),
)  # fmt: skip
# Piston's table: what a degree is followed by usually, sometimes, less often. All else is rare.
_FOLLOWS = {
    1: ((4, 5), (6,), (2, 3)),
    2: ((5,), (4, 6), (1, 3)),
    3: ((6,), (4,), (1, 2, 5)),
    4: ((5,), (1, 2), (3, 6)),
    5: ((1,), (4, 6), (2, 3)),
    6: ((2, 5), (3, 4), (1,)),
    7: ((1, 3), (6,), (2, 4, 5)),
}
_STEP_COST = (0.0, 0.08, 0.16, 0.3)  # usually, sometimes, less often, rare
_REPEAT_COST = 0.15  # the same chord again in the next bar
_SECONDARY_COST = 0.25  # a secondary dominant that goes anywhere but to its own tonic
_MID_BAR_COST = 0.2  # a change inside a bar, on top of its step
# What phrases of four bars end on (bars counted from 0): an authentic cadence closes the piece and, more gently, its
# first half; bars 4 and 12 may rest on the tonic, the dominant or the subdominant.
_CADENCES = {
    0: {"I": 0.4},
    3: {"I": 0.1, "V": 0.15, "IV": 0.05},
    6: {"V": 0.1, "V7": 0.1, "IV": 0.05},
    7: {"I": 0.25, "V": 0.25},
    11: {"I": 0.1, "V": 0.15, "IV": 0.05},
    14: {"V": 0.25, "V7": 0.35, "IV": 0.1},
    15: {"I": 0.8},
}
_LEADING_BARS = (6, 14)  # before the closes of bars 8 and 16
# How a note fits a chord, by the chord tone it is or the semitones to the nearest one.
_FIT = {"root": 1.0, "third": 1.0, "fifth": 1.0, "seventh": 0.7, "above": -0.9, "other": -0.4}
# A sixteenth's weight by its place in the bar: the downbeat and the third beat carry the harmony.
_BEAT_WEIGHT = np.array([2.0, 1.5, 1.0, 1.0, 1.2, 1.0, 1.0, 1.0, 1.6, 1.2, 1.0, 1.0, 1.2, 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Chord:
    """A chord: `root` 0..11 (0 = C), `quality` a key of `CHORD_QUALITIES`, `name` like "F#m" spelled in the key of the
    piece, `numeral` like "V7/ii"."""

    root: int
    quality: str
    name: str
    numeral: str

    @property
    def tones(self) -> tuple[int, ...]:
        """Pitch classes 0..11: root, third, fifth and, in a seventh chord, seventh."""
        return tuple((self.root + tone) % 12 for tone in CHORD_QUALITIES[self.quality])

    def __str__(self) -> str:
        return self.name


def chords_of(
    tokens: npt.NDArray[np.integer], major: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """A chord for each bar of many melodies: tokens [N, 256] -> root [N, 16], 0..11, and quality [N, 16], an index into
    `CHORD_QUALITIES`. `major` [N]: the mode asked for; by default that of the best key."""
    tonics, modes = _keys(tokens, major)
    states = _best_paths(tokens, tonics, modes, BARS)
    roots, qualities = np.zeros(states.shape, np.int8), np.zeros(states.shape, np.int8)
    for mode, chords in ((True, _MAJOR), (False, _MINOR)):
        rows = modes == mode
        steps = np.array([semitones for _, semitones, *_ in chords])
        kinds = np.array([_QUALITY_INDEX[quality] for _, _, quality, *_ in chords])
        roots[rows] = (steps[states[rows]] + tonics[rows, None]) % 12
        qualities[rows] = kinds[states[rows]]
    return roots, qualities


def infer_chords(tokens: npt.NDArray[np.integer], major: bool | None = None, half_bars: bool = False) -> list[Chord]:
    """The chords of one melody, tokens [256]: 16, one a bar, or 32 with `half_bars` (the two of a bar differ only where
    the melody asks for it). `major`: the mode asked for; by default that of the melody's key."""
    key = harmony_key(tokens, major)
    tonics, modes = np.array([key.tonic]), np.array([key.major])
    states = _best_paths(tokens[None], tonics, modes, BARS * 2 if half_bars else BARS)
    vocabulary = _MAJOR if key.major else _MINOR
    chords = []
    for state in states[0]:
        numeral, semitones, quality, *_ = vocabulary[state]
        root = (key.tonic + semitones) % 12
        chords.append(Chord(root, quality, spell(root, key) + quality, numeral))
    return chords


def by_bar(chords: Sequence[Chord]) -> list[str]:
    """Each bar's chords in words, of 16 or 32 chords: ["C (I)", "F (IV) G7 (V7)"]."""
    parts = len(chords) // BARS
    bars = [chords[start : start + parts] for start in range(0, len(chords), parts)]
    return [" ".join(f"{chord.name} ({chord.numeral})" for chord in dict.fromkeys(bar)) for bar in bars]


def harmony_key(tokens: npt.NDArray[np.integer], major: bool | None = None) -> Key:
    """The key that the chords of one melody, tokens [256], are taken from: the best one of the mode asked for."""
    tonics, modes = _keys(tokens[None], None if major is None else np.array([major]))
    correlations = key_correlations(pitch_class_durations(tokens))
    tonic, mode = int(tonics[0]), bool(modes[0])
    return Key(tonic, mode, float(correlations[tonic if mode else tonic + 12]))


def tonic_name(key: Key) -> str:
    """The tonic as musicians write it, with at most six accidentals in its signature: "Db" major, "C#" minor."""
    flats, sharps = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"), {1: "C#", 8: "G#"}
    return flats[key.tonic] if key.major else sharps.get(key.tonic, flats[key.tonic])


def spell(pitch_class: int, key: Key) -> str:
    """A pitch class 0..11 as written in a key: 8 is "Ab" in C minor and "G#" in A minor."""
    tonic = tonic_name(key)
    degree = (0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6)[(pitch_class - key.tonic) % 12]
    letter = ("CDEFGAB".index(tonic[0]) + degree) % 7
    accidentals = (pitch_class - (0, 2, 4, 5, 7, 9, 11)[letter] + 6) % 12 - 6
    return "CDEFGAB"[letter] + ("#" * accidentals if accidentals >= 0 else "b" * -accidentals)


def _keys(
    tokens: npt.NDArray[np.integer], major: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Tonic [N], 0..11, and mode [N], True for major, of each melody, in the mode asked for if any."""
    correlations = key_correlations(pitch_class_durations(tokens))
    if major is not None:
        wrong = np.repeat(np.stack([~major, major], 1), 12, axis=1)
        correlations = np.where(wrong, -2.0, correlations)
    best = correlations.argmax(-1)
    return best % 12, best < 12


def _best_paths(
    tokens: npt.NDArray[np.integer], tonics: npt.NDArray[np.int64], modes: npt.NDArray[np.bool_], segments: int
) -> npt.NDArray[np.int64]:
    """Viterbi's best chord for each of 16 or 32 stretches: [N, segments], an index into the mode's chords."""
    weights = _pitch_class_weights(tokens, tonics, segments)
    states = np.zeros((len(tokens), segments), np.int64)
    for major in (True, False):
        rows = np.flatnonzero(modes == major)
        fit, between, within, cadence = _model(major)
        score = weights[rows] @ fit.T + _bonus(cadence, segments // BARS)
        back = np.zeros((segments, len(rows), fit.shape[0]), np.int8)
        best = score[:, 0]
        for t in range(1, segments):
            arriving = best[:, :, None] - (between if t % (segments // BARS) == 0 else within)
            back[t] = arriving.argmax(1)
            best = arriving.max(1) + score[:, t]
        state = best.argmax(1)
        for t in range(segments - 1, -1, -1):
            states[rows, t] = state
            state = back[t, np.arange(len(rows)), state].astype(np.int64)
    return states


def _bonus(cadence: Floats, parts: int) -> Floats:
    """Bonus [16 * parts, S] of each stretch for cadences [16, S]: a bar's is shared by its parts, but the chord that
    leads to a close is wanted in the bar's last one, and the piece's own close is wanted whole in its last one."""
    bonus = np.repeat(cadence / parts, parts, axis=0)
    for bar in _LEADING_BARS:
        bonus[bar * parts : (bar + 1) * parts] = 0.0
        bonus[(bar + 1) * parts - 1] = cadence[bar]
    bonus[-1] = cadence[-1]
    return bonus


def _pitch_class_weights(tokens: npt.NDArray[np.integer], tonics: npt.NDArray[np.int64], segments: int) -> Floats:
    """How much of each stretch each pitch class above the tonic takes: [N, segments, 12]; a full bar sums to 1."""
    pitch = sounding_pitch(tokens).astype(np.int64)
    count = len(tokens)
    degree = (pitch - tonics[:, None]) % 12
    segment = np.arange(count)[:, None] * segments + np.arange(tokens.shape[1]) // (tokens.shape[1] // segments)
    weight = np.where(pitch > 0, np.tile(_BEAT_WEIGHT / _BEAT_WEIGHT.sum(), BARS), 0.0)
    flat = np.bincount((segment * 12 + degree).ravel(), weight.ravel(), minlength=count * segments * 12)
    return np.asarray(flat.reshape(count, segments, 12), np.float64)


@lru_cache(maxsize=2)
def _model(major: bool) -> tuple[Floats, Floats, Floats, Floats]:
    """Of a mode's S chords: fit [S, 12] to each pitch class above the tonic; cost [S, S] from one chord to the next
    across a bar line and inside a bar; bonus [16, S] for a cadence."""
    chords = _MAJOR if major else _MINOR
    size = len(chords)
    fit, between, cadence = np.zeros((size, 12)), np.zeros((size, size)), np.zeros((BARS, size))
    for row, (numeral, root, quality, degree, rarity) in enumerate(chords):
        tones = [(root + tone) % 12 for tone in CHORD_QUALITIES[quality]]
        for pitch_class in range(12):
            if pitch_class in tones:
                role = ("root", "third", "fifth", "seventh")[tones.index(pitch_class)]
            else:
                role = "above" if (pitch_class - 1) % 12 in tones else "other"
            fit[row, pitch_class] = _FIT[role]
        for column, (_, next_root, _, next_degree, _) in enumerate(chords):
            ranks = [next_degree in degrees for degrees in _FOLLOWS[degree]]
            cost = _STEP_COST[ranks.index(True) if True in ranks else 3]
            if "V7/" in numeral:
                cost = 0.0 if (root + 5) % 12 == next_root else _SECONDARY_COST
            between[row, column] = cost + chords[column][4]
        between[row, row] = _REPEAT_COST + rarity
        for bar, wanted in _CADENCES.items():
            cadence[bar, row] = wanted.get(numeral.upper() if numeral in ("i", "iv") else numeral, 0.0)
    within = between + _MID_BAR_COST
    np.fill_diagonal(within, 0.0)
    return fit, between, within, cadence
