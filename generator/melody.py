"""Melodies on the 90-token grid: 16 bars of 4/4 in sixteenths, to and from NoteSequence and MIDI.

A melody is uint8 [256]. Token 0: no event (the note holds, or silence goes on); 1: note off; 2..89: note on of MIDI
pitch 21..108 (token = pitch - 19). Reading follows `OneHotMelodyConverter` of MusicVAE's `hierdec-mel_16bar` (Magenta,
Apache-2.0; Roberts et al. 2018), which is not part of note_seq: note_seq splits at tempo and time changes and
quantises; the search for melodies is here, linear in the number of notes because files come from strangers.
"""

from __future__ import annotations

import io
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pretty_midi

Tokens = npt.NDArray[np.uint8]

STEPS = 256  # sixteenths in a melody
STEPS_PER_BAR = 16
STEPS_PER_QUARTER = 4
NO_EVENT, NOTE_OFF, FIRST_NOTE = 0, 1, 2
FEWEST_NOTES = 2  # of a melody to start from: one note has no contour
MIN_PITCH, MAX_PITCH = 21, 108
PITCH_OFFSET = MIN_PITCH - FIRST_NOTE  # pitch = token + 19
VELOCITY = 80
TICKS_PER_QUARTER = 220
MAX_MELODY_STEPS = 100 * STEPS_PER_BAR  # a longer melody is cut here, as in Magenta

# Limits for MIDI from strangers: the worst file inside them is read in about two seconds.
MAX_BYTES = 400_000
MAX_TRACKS = 64
HEADER_BYTES, TRACK_BYTES = 14, 8  # of the file, and of each track at least
MAX_NOTES = 40_000
MAX_SECONDS = 3600.0
MAX_TICKS = 10_000_000  # pretty_midi keeps a number for each tick of the file
MAX_TIME_CHANGES = 500  # tempo and time signature changes; each splits the piece
QPM_RANGE = (10.0, 400.0)


# What can be wrong with a MIDI file: it is none; it is broken; it holds more than the limits; no notes, drums alone, no
# 4/4, no 16 bars at a stretch, or melodies of less than two notes.
Fault = Literal["no_midi", "damaged", "too_much", "no_notes", "drums", "meter", "short", "bare", "other"]


class MelodyError(ValueError):
    """A melody or a MIDI file that cannot be used; the message says what was expected, what came and what to do.

    fault, came: the same for whoever says it in other words, such as "short" and {"bars": 12}.
    """

    def __init__(self, message: str, fault: Fault = "other", **came: object) -> None:
        super().__init__(message)
        self.fault, self.came = fault, came


def check_tokens(tokens: npt.ArrayLike) -> Tokens:
    """The melody as uint8 [256]; MelodyError unless it is 256 whole numbers from 0 to 89."""
    array = np.asarray(tokens)
    if array.shape != (STEPS,) or not np.issubdtype(array.dtype, np.integer):
        raise MelodyError(f"a melody is {STEPS} whole numbers, one a sixteenth; got {array.dtype} {array.shape}")
    if array.min() < 0 or array.max() > MAX_PITCH - PITCH_OFFSET:
        raise MelodyError(f"melody tokens go from 0 to {MAX_PITCH - PITCH_OFFSET}; got {array.min()} to {array.max()}")
    return array.astype(np.uint8)


def notes(tokens: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The notes of a melody: int [n, 3] of MIDI pitch, first step and the step after the last, in order of time.

    An onset ends the note that sounds; a note off with nothing sounding means nothing; the end ends all.
    """
    array = check_tokens(tokens)
    events = np.flatnonzero(array)
    ends = np.append(events[1:], STEPS)
    on = array[events] >= FIRST_NOTE
    return np.stack([array[events[on]].astype(np.int64) + PITCH_OFFSET, events[on], ends[on]], axis=1)


def check_qpm(qpm: float) -> float:
    """The tempo as a float; MelodyError unless it lies within `QPM_RANGE`."""
    if not QPM_RANGE[0] <= qpm <= QPM_RANGE[1]:
        raise MelodyError(f"a tempo goes from {QPM_RANGE[0]:g} to {QPM_RANGE[1]:g} quarter notes a minute; got {qpm}")
    return float(qpm)


def tokens_to_sequence(tokens: npt.ArrayLike, qpm: float = 120.0) -> Any:
    """A `note_seq.NoteSequence` of the melody, uint8 [256], at `qpm` quarter notes a minute; velocity 80, program 0."""
    from note_seq.protobuf import music_pb2

    rows, step = notes(tokens), 60.0 / check_qpm(qpm) / STEPS_PER_QUARTER
    sequence = music_pb2.NoteSequence(ticks_per_quarter=TICKS_PER_QUARTER)
    sequence.tempos.add(qpm=qpm)
    for pitch, start, end in rows.tolist():
        sequence.notes.add(pitch=pitch, velocity=VELOCITY, start_time=start * step, end_time=end * step)
    if len(rows):
        sequence.total_time = float(rows[-1, 2] * step)
    return sequence


def tokens_to_midi(tokens: npt.ArrayLike, qpm: float = 120.0) -> bytes:
    """A MIDI file of the melody alone, uint8 [256]: one piano track named "Melody", 4/4, one tempo."""
    import pretty_midi

    rows, step = notes(tokens), 60.0 / check_qpm(qpm) / STEPS_PER_QUARTER
    midi = pretty_midi.PrettyMIDI(resolution=TICKS_PER_QUARTER, initial_tempo=qpm)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0.0))
    track = pretty_midi.Instrument(program=0, name="Melody")
    track.notes = [pretty_midi.Note(VELOCITY, pitch, start * step, end * step) for pitch, start, end in rows.tolist()]
    midi.instruments.append(track)
    out = io.BytesIO()
    midi.write(out)
    return out.getvalue()


def sequence_to_melodies(sequence: Any) -> list[Tokens]:
    """Every 16-bar melody of a `note_seq.NoteSequence`, uint8 [256] each, without repeats, in order of appearance.

    A window starts at each bar of a melody of 16 bars or more; the list is empty if there is none. A melody is the
    highest line of one instrument in a stretch of one tempo and of bars of 16 sixteenths, until a bar of silence.
    (Magenta keeps five windows at random; here all are kept.)
    """
    windows: dict[bytes, Tokens] = {}
    for part in _parts(sequence):
        for melody in _melodies(part):
            for end in range(STEPS, len(melody) + 1, STEPS_PER_BAR):
                window = melody[end - STEPS : end].copy()
                onsets = np.flatnonzero(window >= FIRST_NOTE)
                window[: onsets[0] if len(onsets) else STEPS] = NO_EVENT
                windows.setdefault(window.tobytes(), window)
    return list(windows.values())


def midi_to_melodies(midi: bytes | str | os.PathLike[str]) -> list[Tokens]:
    """Every 16-bar melody of a MIDI file, given as its bytes or its path; see `sequence_to_melodies`. Never empty.

    MelodyError if it is no MIDI file, is over the limits at the top of this module, or holds no 16 bars of melody.
    """
    from note_seq import midi_io

    data = midi if isinstance(midi, bytes) else _read(Path(midi))
    parsed = _parse(data)
    try:
        sequence = midi_io.midi_to_note_sequence(parsed)
    except midi_io.MIDIConversionError as error:
        raise MelodyError(
            f"this MIDI file holds something that music cannot: {error}. Export it again", "damaged"
        ) from error
    found = sequence_to_melodies(sequence)
    if not found:
        raise _why_none(sequence)
    return found


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise MelodyError(f"cannot read {path}: {error.strerror or error}. Name an existing MIDI file") from error


def _parse(data: bytes) -> pretty_midi.PrettyMIDI:
    """The MIDI file, within all limits."""
    import mido
    import pretty_midi

    if len(data) > MAX_BYTES:
        raise MelodyError(
            f"a MIDI file may have {MAX_BYTES:,} bytes, this one has more. Export the melody track alone", "too_much"
        )
    if len(data) < HEADER_BYTES or data[:4] != b"MThd":
        raise MelodyError(
            "this is no MIDI file (it does not begin with MThd). Choose a .mid file of a melody", "no_midi"
        )
    tracks = int.from_bytes(data[10:12], "big")
    if HEADER_BYTES + TRACK_BYTES * tracks > len(data):
        raise MelodyError(
            f"this MIDI file is damaged or cut short ({tracks} tracks do not fit into it). Export it again", "damaged"
        )
    if tracks > MAX_TRACKS:
        raise MelodyError(
            f"a MIDI file may have {MAX_TRACKS} tracks, this one claims {tracks}. Export the melody alone", "too_much"
        )
    try:
        file = mido.MidiFile(file=io.BytesIO(data), charset="latin1")
        ticks = max((sum(message.time for message in track) for track in file.tracks), default=0)
        if ticks <= MAX_TICKS:
            midi = pretty_midi.PrettyMIDI(mido_object=file)
    except Exception as error:  # mido and pretty_midi raise a dozen kinds on broken files, EOFError and IndexError too
        reason = f"{type(error).__name__} {error}".strip()
        raise MelodyError(f"this MIDI file is damaged or cut short ({reason}). Export it again", "damaged") from error
    if ticks > MAX_TICKS:
        raise MelodyError(
            f"a MIDI file may last {MAX_TICKS:,} ticks, this one has {ticks:,}. Export the melody alone", "too_much"
        )
    count = sum(len(track.notes) for track in midi.instruments)
    changes = len(midi.time_signature_changes) + len(midi.get_tempo_changes()[0])
    for what, limit, came in (
        ("notes", MAX_NOTES, count),
        ("seconds", MAX_SECONDS, midi.get_end_time()),
        ("changes of tempo and time signature", MAX_TIME_CHANGES, changes),
    ):
        if came > limit:
            raise MelodyError(
                f"a MIDI file may have {limit:,.0f} {what}, this one has {came:,.0f}. Export the melody alone",
                "too_much",
            )
    return midi


def _parts(sequence: Any) -> list[Any]:
    """The stretches of one tempo and one time signature with 16 sixteenths a bar, quantised."""
    from note_seq import sequences_lib as lib

    no_grid = (
        lib.BadTimeSignatureError,
        lib.MultipleTimeSignatureError,
        lib.MultipleTempoError,
        lib.NegativeTimeError,
    )
    parts = []
    for part in lib.split_note_sequence_on_time_changes(sequence):
        try:
            quantised = lib.quantize_note_sequence(part, STEPS_PER_QUARTER)
        except no_grid:
            continue  # this stretch holds no melody; the others may
        if lib.steps_per_bar_in_quantized_sequence(quantised) == STEPS_PER_BAR:
            parts.append(quantised)
    return parts


def _melodies(part: Any) -> list[Tokens]:
    """All melodies of a quantised part, whole bars each, at most 100 bars."""
    lines: dict[int, list[tuple[int, int, int, bool]]] = defaultdict(list)
    for note in part.notes:
        if MIN_PITCH <= note.pitch <= MAX_PITCH:
            silent = note.is_drum or not note.velocity
            lines[note.instrument].append((note.quantized_start_step, -note.pitch, note.quantized_end_step, silent))
    melodies = []
    for line in lines.values():
        line.sort()
        search_start, position = 0, 0
        while position < len(line):
            melody, length = _next_melody(line, position, search_start)
            if melody is None:
                break
            melodies.append(melody)
            search_start += length
            while position < len(line) and line[position][0] < search_start:
                position += 1
    return melodies


def _next_melody(line: list[tuple[int, int, int, bool]], position: int, search_start: int) -> tuple[Tokens | None, int]:
    """The melody that begins with note `position`, in whole bars (cut at 100), and how many steps it takes from
    `search_start` on. Notes are (start, -pitch, end, silent); silent ones (drums, velocity 0) set where the melody
    begins, as in Magenta, but do not sound."""
    begin = line[position][0] - (line[position][0] - search_start) % STEPS_PER_BAR
    kept: list[tuple[int, int, int]] = []  # onset, token, end
    for index in range(position, len(line)):
        start, minus_pitch, end, silent = line[index]
        if silent or (kept and start == kept[-1][0]):
            continue  # at one step the highest note, which comes first, stays
        if kept and start - kept[-1][2] >= STEPS_PER_BAR:
            break
        kept.append((start, -minus_pitch - PITCH_OFFSET, end))
    if not kept:
        return None, 0
    last_end = kept[-1][2] - begin
    length = last_end + -last_end % STEPS_PER_BAR
    # Only the first 100 bars are built: an end may be hours away.
    events = np.zeros(min(length, MAX_MELODY_STEPS) + 1, np.uint8)
    for (onset, token, end), following in zip(kept, [*(k[0] for k in kept[1:]), begin + length], strict=True):
        if onset - begin >= MAX_MELODY_STEPS:
            break
        events[onset - begin] = token
        if end < following and end - begin < len(events):
            events[end - begin] = NOTE_OFF  # an earlier note cut by a new onset has none
    return events[:-1], begin - search_start + length


def _why_none(sequence: Any) -> MelodyError:
    """Why a file within the limits gave no melody."""
    fault: Fault
    need = f"{STEPS // STEPS_PER_BAR} bars of 4/4 with a single melody line and no bar of silence in it"
    playable = [n for n in sequence.notes if not n.is_drum and n.velocity and MIN_PITCH <= n.pitch <= MAX_PITCH]
    if not playable:
        came: dict[str, object] = {}
        if sequence.notes:
            fault, but = "drums", "it has only drums or notes off the piano's keys"
        else:
            fault, but = "no_notes", "it has no notes"
    elif not (parts := _parts(sequence)):
        signatures = ", ".join(sorted({f"{s.numerator}/{s.denominator}" for s in sequence.time_signatures}))
        fault, but, came = "meter", f"its time signature is {signatures}", {"meter": signatures}
    else:
        longest = max((len(m) // STEPS_PER_BAR for part in parts for m in _melodies(part)), default=0)
        fault, but, came = "short", f"the longest melody at one tempo has {longest} bars", {"bars": longest}
    todo = "Choose another file, or export 16 bars of the melody alone"
    return MelodyError(f"this MIDI file must hold {need}, but {but}. {todo}", fault, **came)
