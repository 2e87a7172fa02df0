"""The played piece: a melody on the token grid, with chords, bass, pad and drums as its mood's style says.

The melody track is the melody: rounded to sixteenths, its notes are the tokens' notes. The other parts keep to their
chords and their instruments' ranges, and leave out or exchange a tone that would hold a dissonant second against the
melody. What people call touch (small shifts in time and strength) is drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from generator import melody, styles, voicing
from generator.harmony import Chord
from generator.key import Key
from generator.styles import TONES, Drums, Instrument, Part, Style

if TYPE_CHECKING:
    import pretty_midi

Parts = Literal["melody", "chords", "full"]
Notes = npt.NDArray[np.int64]

BAR = 16
BARS = 16
DRUM_LENGTH = 1.0  # sixteenths
EARLIEST_END = 0.55  # of a sixteenth: rounding to the grid must not see that a note is played shorter
MELODY_VOLUME, CENTRE, REVERB = 100, 64, 56  # MIDI controllers 7, 10 and 91
_BEAT_ACCENT = {0: 6, 8: 3}  # velocity on the first and third beat
_SOFT_DRUM, _STRONG_DRUM = 52, 84


def arrange(
    tokens: npt.ArrayLike,
    chords: Sequence[Chord],
    tempo: float,
    style: Style,
    seed: int,
    parts: Parts = "full",
    key: Key | None = None,
    lead: str | None = None,
) -> pretty_midi.PrettyMIDI:
    """The piece: tokens uint8 [256]; chords 16 (one a bar) or 32; tempo in quarter notes a minute; `key` for the key
    signature. `parts`: the melody alone, with chords and bass, or full with pad and drums too. `lead`: what plays the
    melody, a key of `styles.LEADS`, by default what the style says; StyleError where the melody leaves its range.

    Tracks are named Melody, Chords, Bass, Pad and Drums. The same arguments give the same piece, note for note.
    """
    import pretty_midi

    if len(chords) not in (BARS, 2 * BARS):
        raise melody.MelodyError(f"expected {BARS} or {2 * BARS} chords for {BARS} bars, got {len(chords)}")
    rows, step = melody.notes(tokens), 15.0 / melody.check_qpm(tempo)
    midi = pretty_midi.PrettyMIDI(resolution=480, initial_tempo=tempo)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0.0))
    if key is not None:
        midi.key_signature_changes.append(pretty_midi.KeySignature(key.tonic + (0 if key.major else 12), 0.0))
    touch = _Touch(style, seed, step)
    own = next((i for i in style.melody if i.plays(rows)), style.melody[-1])
    player = styles.lead(lead, rows) if lead else own
    volume, others = _balance(style.melody[0], player)
    midi.instruments.append(_track("Melody", player, volume, CENTRE, touch.melody(rows)))
    if parts in ("chords", "full"):
        midi.instruments.append(_part(style.chords, chords, rows, touch))
        midi.instruments.append(_part(style.bass, chords, rows, touch))
    if parts == "full" and style.pad:
        midi.instruments.append(_part(style.pad, chords, rows, touch))
    if parts == "full" and style.drums:
        midi.instruments.append(_drums(style.drums, touch))
    for track in midi.instruments[1:]:
        track.control_changes[0].value = max(1, round(track.control_changes[0].value * others))
    return midi


def _balance(usual: Instrument, player: Instrument) -> tuple[int, float]:
    """The melody's volume when `player` plays it in place of the style's first choice, and a factor for the volume of
    all other parts, so that the melody stands out as much as before. A volume's decibels are 40 log10."""
    louder = (usual.loudness or 0.0) - (player.loudness or 0.0)
    volume = MELODY_VOLUME * 10 ** (louder / 40)
    return min(127, round(volume)), min(1.0, 127 / volume)


class _Touch:
    """How a player strikes: velocity with the phrase, accents on the beat, and what no player repeats exactly."""

    def __init__(self, style: Style, seed: int, step: float) -> None:
        self.style, self.step = style, step
        self.random = np.random.default_rng([seed, sum(map(ord, style.name))])

    def velocity(self, step: int, offset: int = 0) -> int:
        """At a step of the piece: rising to the middle of each phrase of four bars, and a little to the third one."""
        bar = step / BAR
        phrase = np.sin(np.pi * (bar % 4) / 4) + 0.4 * np.sin(np.pi * bar / BARS)
        value = self.style.velocity + offset + self.style.swell * phrase / 1.4 + _BEAT_ACCENT.get(step % BAR, 0)
        return int(np.clip(round(value + self.random.normal(0, self.style.human)), 20, 127))

    def late(self, step: int) -> float:
        """Seconds of an onset at a step: the grid, give or take; never before the piece begins."""
        shift = float(np.clip(self.random.normal(0, self.style.human / 100), -0.12, 0.12))
        return max(0.0, (step + shift) * self.step)

    def melody(self, rows: Notes) -> list[pretty_midi.Note]:
        """The melody's notes; ends lie within the last sixteenth, and before the next onset."""
        import pretty_midi

        starts = [self.late(start) for start in rows[:, 1].tolist()]
        limits = [*starts, np.inf][1:]
        notes = []
        for (pitch, start, end), onset, limit in zip(rows.tolist(), starts, limits, strict=True):
            stop = min((end - 1 + max(self.style.articulation, EARLIEST_END)) * self.step, limit)
            notes.append(pretty_midi.Note(self.velocity(start), pitch, onset, stop))
        return notes


def _track(
    name: str, instrument: Instrument | None, volume: int, pan: int, notes: list[pretty_midi.Note]
) -> pretty_midi.Instrument:
    """A track for an instrument, or for the drum kit if None."""
    import pretty_midi

    track = pretty_midi.Instrument(instrument.program if instrument else 0, instrument is None, name)
    track.control_changes = [pretty_midi.ControlChange(*c, 0.0) for c in ((7, volume), (10, pan), (91, REVERB))]
    track.notes = sorted(notes, key=lambda note: (note.start, note.pitch))
    last: dict[int, pretty_midi.Note] = {}
    for note in track.notes:  # a note off belongs to a pitch: a note struck again must have ended before
        if note.pitch in last:
            last[note.pitch].end = min(last[note.pitch].end, note.start)
        last[note.pitch] = note
    return track


def _part(part: Part, chords: Sequence[Chord], rows: Notes, touch: _Touch) -> pretty_midi.Instrument:
    """Chords, pad or bass: each hit of each bar, cut where the chord changes, clear of the melody."""
    import pretty_midi

    voices = None if part.name == "bass" else voicing.voice(chords, rows, part.low, part.high)
    root = _Bass(part)
    notes = []
    for position, step, what, length in _hits(part, chords):
        chord = chords[position]
        if voices is None:
            pitches = root.pitch(chord, what, rows, step, step + length)
        else:
            pitches = [int(voices[position, int(voice)]) for voice in what]
            pitches = _clear(pitches, voices[position].tolist(), chord, part, rows, step, step + length)
        onset = touch.late(step)
        end = (step + length) * touch.step - 0.02 * touch.step
        notes += [pretty_midi.Note(touch.velocity(step, -4), pitch, onset, end) for pitch in pitches]
    return _track(part.name.capitalize(), part.instrument, part.volume, part.pan, notes)


def _hits(part: Part, chords: Sequence[Chord]) -> Iterator[tuple[int, int, str, int]]:
    """Each hit of the piece: index of its chord, step, what, length. The last bar holds its first hit to the end."""
    per_chord = BAR * BARS // len(chords)
    for bar in range(part.enter, BARS):
        last = bar == BARS - 1
        hits = (
            [(0, part.hits[0].what if part.name == "bass" else "012", BAR)]
            if last
            else [(hit.step, hit.what, hit.length) for hit in part.hits]
        )
        for step, what, length in hits:
            start, end = bar * BAR + step, bar * BAR + step + length
            while start < end:
                position = start // per_chord
                stop = position + 1
                while stop < len(chords) and chords[stop] == chords[position]:
                    stop += 1
                cut = min(end, stop * per_chord)
                yield position, start, what, cut - start
                start = cut


def _clear(
    pitches: list[int], voices: list[int], chord: Chord, part: Part, rows: Notes, start: int, end: int
) -> list[int]:
    """The pitches without those that clash with the melody for longer than an eighth; if none is left, the nearest
    chord tone in the part's range that does not clash, or silence."""
    sounding = voicing.sounding_at(rows, start, end)
    kept = [pitch for pitch in pitches if not any(voicing.clashes(pitch, m) for m in sounding)]
    if kept or not pitches:
        return kept
    tones = [pitch for pitch in range(part.low, part.high + 1) if pitch % 12 in chord.tones]
    free = [pitch for pitch in tones if not any(voicing.clashes(pitch, m) for m in sounding)]
    return [min(free, key=lambda pitch: (abs(pitch - voices[1]), pitch))] if free else []


class _Bass:
    """The bass line: the tone asked for, in the octave nearest to the last note and to the low middle of the range."""

    def __init__(self, part: Part) -> None:
        self.low, self.high = part.low, min(part.high, part.low + 19)
        self.home = self.low + 8
        self.last = self.home

    def pitch(self, chord: Chord, tone: str, rows: Notes, start: int, end: int) -> list[int]:
        """One pitch, or none if every chord tone would clash with the melody."""
        sounding = voicing.sounding_at(rows, start, end)
        asked = chord.tones[TONES.index(tone)]
        for pitch_class in dict.fromkeys((asked, chord.tones[0], chord.tones[2], chord.tones[1])):
            octaves = range(self.low + (pitch_class - self.low) % 12, self.high + 1, 12)
            free = [pitch for pitch in octaves if not any(voicing.clashes(pitch, m) for m in sounding)]
            if free:
                self.last = min(free, key=lambda pitch: abs(pitch - self.last) + 0.5 * abs(pitch - self.home))
                return [self.last]
        return []


def _drums(drums: Drums, touch: _Touch) -> pretty_midi.Instrument:
    """The bar of drums from its first bar on; the last bar keeps its first stroke only."""
    import pretty_midi

    notes = []
    for bar in range(drums.enter, BARS):
        for sound, line in drums.lines:
            for step, stroke in enumerate(line if bar < BARS - 1 else line[:1]):
                if stroke != ".":
                    offset = (_STRONG_DRUM if stroke == "x" else _SOFT_DRUM) - touch.style.velocity
                    at = bar * BAR + step
                    onset = touch.late(at)
                    length = DRUM_LENGTH * touch.step
                    notes.append(pretty_midi.Note(touch.velocity(at, offset), sound, onset, onset + length))
    return _track("Drums", None, drums.volume, CENTRE, notes)
