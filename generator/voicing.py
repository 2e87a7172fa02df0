"""Three voices for each chord, led without leaps and kept clear of the melody.

All ways to set a chord's three tones within a register are scored against the melody over them; the path with the
least movement from chord to chord (and the fewest clashes) is found by dynamic programming.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import permutations

import numpy as np
import numpy.typing as npt

from generator.harmony import Chord

LONG = 2  # sixteenths; a dissonance that lasts no longer is a passing one
_SPREAD = 16  # semitones from the lowest voice to the highest, at most
_CLASH_COST = 6.0  # in semitones of movement
_ABOVE_COST = 1.0  # for each semitone that a voice lies above the melody's lowest note there


def clashes(pitch: int, melody: int) -> bool:
    """Whether two pitches make a dissonant second: a minor second or ninth at any distance, a major second close by."""
    distance = abs(pitch - melody)
    return distance % 12 == 1 or distance == 2


def sounding_at(notes: npt.NDArray[np.int64], start: float, end: float) -> list[int]:
    """Melody pitches of `notes` [n, 3] (pitch, first step, end) that sound longer than an eighth in start..end."""
    overlap = np.minimum(notes[:, 2], end) - np.maximum(notes[:, 1], start)
    return [int(pitch) for pitch in notes[overlap > LONG, 0]]


def voice(chords: Sequence[Chord], notes: npt.NDArray[np.int64], low: int, high: int) -> npt.NDArray[np.int64]:
    """Pitches [len(chords), 3], lowest first, within low..high, under the melody `notes` [n, 3] over 256 steps.

    Every chord lasts 256 / len(chords) steps. low..high must hold 16 semitones.
    """
    length = 256 // len(chords)
    options = [_settings(chord.tones, low, high) for chord in chords]
    own = [
        _cost(choices, notes, position * length, (position + 1) * length) for position, choices in enumerate(options)
    ]
    total, back = own[0] + 0.1 * np.abs(options[0].mean(1) - (low + high) / 2), []
    for position in range(1, len(chords)):
        moved = np.abs(options[position][None, :, :] - options[position - 1][:, None, :])
        # The square makes one leap dearer than several steps.
        arriving = total[:, None] + moved.sum(2) + 0.2 * np.square(moved).sum(2)
        back.append(arriving.argmin(0))
        total = arriving.min(0) + own[position]
    state = int(total.argmin())
    path = [state]
    for pointers in reversed(back):
        state = int(pointers[state])
        path.append(state)
    return np.stack([choices[state] for choices, state in zip(options, reversed(path), strict=True)])


@lru_cache(maxsize=512)
def _settings(tones: tuple[int, ...], low: int, high: int) -> npt.NDArray[np.int64]:
    """All settings of three chord tones in low..high, [options, 3], ascending. Of a seventh chord the fifth is left
    out: it is the tone least missed."""
    three = tones[:3] if len(tones) == 3 else (tones[0], tones[1], tones[3])
    found = []
    for order in permutations(three):
        for bottom in range(low + (order[0] - low) % 12, high + 1, 12):
            pitches = [bottom]
            for tone in order[1:]:
                pitches.append(pitches[-1] + (tone - pitches[-1]) % 12)
            if pitches[-1] <= high and pitches[-1] - bottom <= _SPREAD:
                found.append(pitches)
    return np.array(found)


def _cost(
    choices: npt.NDArray[np.int64], notes: npt.NDArray[np.int64], start: int, end: int
) -> npt.NDArray[np.float64]:
    """What a setting costs against the melody over it: [options]."""
    melody = sounding_at(notes, start, end)
    cost = np.zeros(len(choices))
    for pitch in melody:
        distance = np.abs(choices - pitch)
        cost += _CLASH_COST * ((distance % 12 == 1) | (distance == 2)).sum(1)
    if melody:
        cost += _ABOVE_COST * np.maximum(choices[:, 2] - min(melody), 0)
    return cost
