"""What a melody should be like for a target: exact losses of decoded melodies, each one a small class.

Every loss takes `Melodies` (a batch on the token grid) and `Targets`, and gives one number a melody, at least 0 and 0
where nothing is left to wish. They need no gradient: the critic's value learns them. To add a loss, write a class with
a `name` and a call, and put it, with its weight, into `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from generator.harmony import CHORD_QUALITIES, chords_of
from generator.key import mean_pitch, melodic_intervals, mode_lead, sounding_pitch
from generator.musicvae.statistics import LAGS, returning, turning
from generator.spectrum import step_energy

Floats = npt.NDArray[np.float64]

BAR = 16
BARS = 16
# A note's loss by its role in its bar's chord: "a small loss for chord tones and a large one for the others".
ROLE_LOSS = {"root": 0.0, "third": 0.1, "fifth": 0.1, "other": 1.0}
# Nothing is left to wish of what three real melodies in four keep to (roles), or nine in ten (the others): asking for
# more makes tunes alike, and unlike real ones. Quantiles of the training melodies, to two digits.
ROLES_ENOUGH = 0.39
EVEN_WINDOWS = 1.5  # notes; how far a window strays from its melody's mean
FEWEST_RETURNS = 0.12  # share of notes
WIDEST_INTERVAL = 3.5  # semitones, the mean
MOST_TURNS = 0.51  # share of moves; the median, since what the prior draws turns more often than real melodies do
BEAT_WEIGHT = np.array([2.0, 1.0, 1.0, 1.0] * 4)  # a sixteenth on a quarter's beat counts twice
MODE_MARGIN = 0.05  # lead of the best key of the wanted mode, in correlation, from which nothing is left to wish


@dataclass(frozen=True)
class Targets:
    """What is asked for: density in note onsets a bar, mean pitch in MIDI numbers weighed by duration, mode, and the
    tempo in quarter notes a minute it will be played at."""

    density: float
    pitch: float
    major: bool
    tempo: float = 120.0

    def __post_init__(self) -> None:
        for name, low, high in (("density", 1.0, 12.0), ("pitch", 48.0, 90.0), ("tempo", 40.0, 220.0)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"target {name} must lie from {low:g} to {high:g}, not {value:g}")

    def rows(self, count: int) -> TargetRows:
        """The same target for each of `count` melodies."""
        return TargetRows(np.full(count, self.density), np.full(count, self.pitch), np.full(count, self.major))


@dataclass(frozen=True)
class TargetRows:
    """A target for each melody of a batch: arrays [N]."""

    density: Floats
    pitch: Floats
    major: npt.NDArray[np.bool_]

    def of(self, index: npt.NDArray[np.integer]) -> TargetRows:
        """Some of the rows."""
        return TargetRows(self.density[index], self.pitch[index], self.major[index])

    def lowered(self, semitones: npt.NDArray[np.integer]) -> TargetRows:
        """The same targets for melodies that will be played so many semitones higher, [N]."""
        return TargetRows(self.density, self.pitch - semitones, self.major)

    def table(self) -> npt.NDArray[np.float32]:
        """Density, pitch and mode (1 major, -1 minor) a row, [N, 3]."""
        return np.stack([self.density, self.pitch, np.where(self.major, 1.0, -1.0)], 1).astype(np.float32)


Wanted = Targets | TargetRows


class Melodies:
    """A batch of melodies, tokens uint8 [N, 256], and what the losses measure of them, each worked out once."""

    def __init__(self, tokens: npt.NDArray[np.integer]) -> None:
        if tokens.ndim != 2 or tokens.shape[1] != BARS * BAR:
            raise ValueError(f"expected melodies [N, {BARS * BAR}], got {list(tokens.shape)}")
        self.tokens = tokens

    def rows(self, index: npt.NDArray[np.integer]) -> Melodies:
        """Some of the melodies, with what is worked out already."""
        chosen = Melodies(self.tokens[index])
        measured = {name: value for name, value in vars(self).items() if name != "tokens"}
        vars(chosen).update({name: value[index] for name, value in measured.items()})
        return chosen

    @cached_property
    def sounding(self) -> npt.NDArray[np.int16]:
        """MIDI pitch at each step, 0 in silence: [N, 256]."""
        return sounding_pitch(self.tokens)

    @cached_property
    def density(self) -> Floats:
        """Note onsets a bar: [N]."""
        return np.asarray((self.tokens >= 2).sum(1) / BARS)

    @cached_property
    def pitch(self) -> Floats:
        """Mean MIDI pitch, weighed by duration: [N]; 0 for a silent melody."""
        return mean_pitch(self.sounding)

    @cached_property
    def mode(self) -> Floats:
        """Lead of the best major key over the best minor one, in correlation with the key profiles: [N], > 0 major."""
        return mode_lead(self.tokens)

    @cached_property
    def interval(self) -> Floats:
        """Mean interval between neighbouring notes in semitones: [N]."""
        intervals = melodic_intervals(self.tokens)
        known = intervals >= 0
        return np.asarray(np.where(known, intervals, 0).sum(1) / np.maximum(known.sum(1), 1))

    @cached_property
    def turns(self) -> Floats:
        """Share of changes of direction among neighbouring moves: [N], 0..1."""
        return turning(self.tokens)

    @cached_property
    def returns(self) -> Floats:
        """Share of the notes that stood at the same place 1, 2, 4 or 8 bars before, for the best of these lags: [N]."""
        return np.asarray(np.max([self.returning(lag) for lag in LAGS], axis=0))

    def returning(self, lag: int) -> Floats:
        """Share of the notes that stood at the same place `lag` bars before: [N]."""
        return returning(self.tokens, lag)

    @cached_property
    def window_notes(self) -> Floats:
        """The spectrogram's energy in each bar, in held notes: [N, 16]."""
        energy = step_energy(self.tokens, equal_loudness=True)
        return np.asarray(energy.reshape(-1, BARS, BAR).sum(2), float)

    @cached_property
    def roles(self) -> npt.NDArray[np.int8]:
        """What each step's note is in its bar's chord, an index into `ROLE_LOSS`; -1 in silence: [N, 256]."""
        root, quality = chords_of(self.tokens)  # [N, 16] each
        table = np.full((len(CHORD_QUALITIES), 12), len(ROLE_LOSS) - 1, np.int8)
        for row, tones in enumerate(CHORD_QUALITIES.values()):
            table[row, list(tones[:3])] = (0, 1, 2)
        interval = (self.sounding.reshape(-1, BARS, BAR) - root[:, :, None]) % 12
        roles = table[quality[:, :, None], interval].reshape(self.tokens.shape)
        return np.where(self.sounding > 0, roles, -1).astype(np.int8)

    @cached_property
    def role_loss(self) -> Floats:
        """Mean of `ROLE_LOSS` over the sounding sixteenths, on the beat twice: [N], 0..1."""
        loss = np.array([*ROLE_LOSS.values(), 0.0])[self.roles]  # -1, silence, is the last
        weight = (self.roles >= 0) * np.tile(BEAT_WEIGHT, BARS)
        return np.asarray((loss * weight).sum(1) / np.maximum(weight.sum(1), 1))

    @cached_property
    def chord_tones(self) -> Floats:
        """Share of the sounding time on a root, third or fifth: [N], 0..1."""
        sounding = (self.roles >= 0).sum(1)
        other = (self.roles == len(ROLE_LOSS) - 1).sum(1)
        return np.asarray((sounding - other) / np.maximum(sounding, 1))


class Loss(Protocol):
    """One thing a melody should be like."""

    name: str

    def __call__(self, melodies: Melodies, targets: Wanted) -> Floats:
        """One number >= 0 a melody, [N]."""
        ...


class PitchLoss:
    """Chord tones and register.

    By how much `role_loss` (0..1) exceeds `ROLES_ENOUGH`, plus the distance of the mean pitch from the reference in
    octaves.
    """

    name = "pitch"

    def __call__(self, melodies: Melodies, targets: Wanted) -> Floats:
        return np.asarray(
            np.maximum(melodies.role_loss - ROLES_ENOUGH, 0) + np.abs(melodies.pitch - targets.pitch) / 12
        )


class DensityLoss:
    """Neither crowded nor missing: note onsets a bar against the reference, and the energy of each window.

    In notes a bar: the distance of the mean onsets from the reference, plus a quarter of how much further than
    `EVEN_WINDOWS` the windows' energy strays from its own mean.
    """

    name = "density"

    def __call__(self, melodies: Melodies, targets: Wanted) -> Floats:
        windows = melodies.window_notes
        spread = np.abs(windows - windows.mean(1, keepdims=True)).mean(1)
        distance = np.abs(melodies.density - targets.density)
        return np.asarray(distance + 0.25 * np.maximum(spread - EVEN_WINDOWS, 0))


class ModeLoss:
    """Major or minor: what the best key of the wanted mode lacks of leading the other mode's by `MODE_MARGIN`."""

    name = "mode"

    def __call__(self, melodies: Melodies, targets: Wanted) -> Floats:
        lead = np.where(targets.major, melodies.mode, -melodies.mode)
        return np.asarray(np.maximum(MODE_MARGIN - lead, 0) / MODE_MARGIN)


class StructureLoss:
    """What makes notes a tune: bars that return, steps rather than leaps, and a line rather than a zigzag.

    What `returns` lacks of `FEWEST_RETURNS`, as a share of it, plus the semitones by which the mean interval exceeds
    `WIDEST_INTERVAL`, plus by how much `turns` exceeds `MOST_TURNS`, in fifths.
    """

    name = "structure"

    def __call__(self, melodies: Melodies, targets: Wanted) -> Floats:
        missing = np.maximum(FEWEST_RETURNS - melodies.returns, 0) / FEWEST_RETURNS
        leaping = np.maximum(melodies.interval - WIDEST_INTERVAL, 0)
        return np.asarray(missing + leaping + 5 * np.maximum(melodies.turns - MOST_TURNS, 0))


# Weights bring the losses to one scale: half a note a bar, a quarter of an octave, the mode's margin, and a mean
# interval a semitone too wide are alike.
Weighed = tuple[Loss, float]
LOSSES: tuple[Weighed, ...] = (
    (PitchLoss(), 2.0),
    (DensityLoss(), 1.0),
    (ModeLoss(), 0.5),
    (StructureLoss(), 0.5),
)


def exact_losses(melodies: Melodies, targets: Wanted, losses: Sequence[Weighed] = LOSSES) -> npt.NDArray[np.float32]:
    """All losses of decoded melodies, unweighed, in the order given: [N, losses]."""
    return np.stack([loss(melodies, targets) for loss, _ in losses], 1).astype(np.float32)
