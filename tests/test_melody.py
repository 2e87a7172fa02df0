"""The token grid against Magenta's recorded numbers, the MIDI round trip, and MIDI files that are no melody."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from note_seq.protobuf import music_pb2

from generator import melody
from generator.melody import MelodyError, Tokens

FIXTURES = Path(__file__).resolve().parents[2] / "shared" / "musicvae" / "fixtures" / "data"
recorded = pytest.mark.skipif(not FIXTURES.is_dir(), reason="Magenta's recorded numbers are not at ../shared")
# fmt: off
CASES = [
    "plain16", "plain18", "long24", "repeat", "short8", "offset_bars", "pickup", "gap_1bar", "gap_under", "poly",
    "two_tracks", "drums_mixed", "out_of_range", "zero_velocity", "offgrid", "half_steps", "tiny_notes",
    "overlap", "same_pitch", "tempo90", "tempo_change", "tempo_change_inside", "three_four", "sig_change",
    "two_two", "six_eight", "no_sig_no_tempo", "late_first_note_off", "max_bars", "empty", "cut_total_time",
]
MIDI_CASES = [
    "plain18", "poly", "two_tracks", "drums_mixed", "tempo90", "tempo_change", "three_four", "offgrid",
    "gap_1bar", "sig_change",
]
# fmt: on


def load() -> dict[str, Any]:
    return dict(json.loads((FIXTURES / "data.json").read_text()))


def windows(melodies: list[Tokens]) -> list[list[int]]:
    assert all(m.dtype == np.uint8 and m.shape == (256,) for m in melodies)
    return sorted(m.tolist() for m in melodies)


@recorded
def test_all_recorded_cases_are_named_here() -> None:
    data = load()
    assert sorted(data["cases"]) == sorted(CASES)
    assert sorted(data["midi"]) == sorted(MIDI_CASES)
    assert len(data["decode"]) == 10


@recorded
@pytest.mark.parametrize("name", CASES)
def test_sequence_gives_magentas_windows(name: str) -> None:
    case = load()["cases"][name]
    sequence = music_pb2.NoteSequence(total_time=case["total_time"])
    for pitch, start, end, velocity, instrument, program, is_drum in case["notes"]:
        sequence.notes.add(
            pitch=pitch,
            start_time=start,
            end_time=end,
            velocity=velocity,
            instrument=instrument,
            program=program,
            is_drum=bool(is_drum),
        )
    for time, qpm in case["tempos"]:
        sequence.tempos.add(time=time, qpm=qpm)
    for time, numerator, denominator in case["time_signatures"]:
        sequence.time_signatures.add(time=time, numerator=numerator, denominator=denominator)
    assert windows(melody.sequence_to_melodies(sequence)) == sorted(case["slices_sorted"])


@recorded
@pytest.mark.parametrize("name", MIDI_CASES)
def test_midi_file_gives_magentas_windows(name: str) -> None:
    expected = sorted(load()["midi"][name]["slices_sorted"])
    path = FIXTURES / f"{name}.mid"
    if not expected:
        with pytest.raises(MelodyError, match="16 bars of 4/4"):
            melody.midi_to_melodies(path)
        return
    assert windows(melody.midi_to_melodies(path)) == expected
    assert windows(melody.midi_to_melodies(path.read_bytes())) == expected


@recorded
@pytest.mark.parametrize("index", range(10))
def test_tokens_give_magentas_notes(index: int) -> None:
    case = load()["decode"][index]
    sequence = melody.tokens_to_sequence(case["tokens"])
    got = [[n.pitch, n.start_time, n.end_time, n.velocity, n.instrument, n.program] for n in sequence.notes]
    assert got == case["notes"]
    assert sequence.total_time == case["total_time"]
    assert [t.qpm for t in sequence.tempos] == case["qpm"]
    assert sequence.ticks_per_quarter == case["ticks_per_quarter"]


@st.composite
def canonical_melodies(draw: st.DrawFn) -> Tokens:
    """The melodies for which tokens -> MIDI -> tokens is the identity. Any 256 tokens with
    - an onset in the first bar (a reader starts at the bar of the first note),
    - a note off only while a note sounds (others mean nothing),
    - no silence of 16 sixteenths or more between notes (a reader ends the melody there),
    - a last note that sounds into bar 16 (a reader keeps whole bars up to its end).
    """
    tokens = np.zeros(256, np.uint8)
    step = draw(st.integers(0, 15))
    while True:
        tokens[step] = draw(st.integers(2, 89))
        length = draw(st.integers(1, 40) | st.sampled_from([1, 2, 4, 16]))
        rest = draw(st.just(0) | st.integers(1, 15))
        end = step + length
        if end > 240:
            if rest and end < 256:
                tokens[end] = 1
            if end >= 256 or not draw(st.booleans()):
                return tokens
            rest = min(rest, 255 - end)
        elif rest:
            tokens[end] = 1
        step = end + rest


@settings(max_examples=120, deadline=None)
@given(canonical_melodies(), st.floats(20, 300))
def test_round_trip_through_midi(tokens: Tokens, qpm: float) -> None:
    assert windows(melody.sequence_to_melodies(melody.tokens_to_sequence(tokens, qpm))) == [tokens.tolist()]
    assert windows(melody.midi_to_melodies(melody.tokens_to_midi(tokens, qpm))) == [tokens.tolist()]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 89), min_size=256, max_size=256), st.floats(20, 300))
def test_any_tokens_keep_their_notes_in_midi(tokens: list[int], qpm: float) -> None:
    """Whatever the tokens, the MIDI file holds exactly the notes of the grid, at the tempo asked for."""
    midi = pretty_midi.PrettyMIDI(io.BytesIO(melody.tokens_to_midi(tokens, qpm)))
    assert midi.get_tempo_changes()[1][0] == pytest.approx(qpm, rel=1e-4)
    step = 15 / midi.get_tempo_changes()[1][0]
    got = [[n.pitch, round(n.start / step, 3), round(n.end / step, 3)] for i in midi.instruments for n in i.notes]
    assert sorted(got) == sorted(melody.notes(tokens).tolist())


def test_notes_follow_the_grid() -> None:
    tokens = np.zeros(256, np.uint8)
    tokens[[0, 4, 6, 10, 12, 14]] = [1, 41, 43, 1, 1, 45]  # two notes off mean nothing
    assert melody.notes(tokens).tolist() == [[60, 4, 6], [62, 6, 10], [64, 14, 256]]
    assert melody.notes(np.zeros(256, np.uint8)).shape == (0, 3)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros(255, np.uint8), "256 whole numbers"),
        (np.zeros((1, 256), np.uint8), "256 whole numbers"),
        (np.zeros(256, np.float32), "256 whole numbers"),
        (np.full(256, 90), "0 to 89"),
        (np.full(256, -1), "0 to 89"),
    ],
)
def test_tokens_off_the_grid_are_refused(tokens: Any, message: str) -> None:
    for use in (melody.notes, melody.tokens_to_midi, melody.tokens_to_sequence):
        with pytest.raises(MelodyError, match=message):
            use(tokens)


@pytest.mark.parametrize("qpm", [0, -1, 5000, float("nan"), float("inf")])
def test_tempo_out_of_range_is_refused(qpm: float) -> None:
    with pytest.raises(MelodyError, match="tempo"):
        melody.tokens_to_midi(np.zeros(256, np.uint8), qpm)


def song(bars: int = 16, signature: tuple[int, int] = (4, 4), pitch: int = 60, channel: int = 0) -> mido.MidiFile:
    """Quarter notes, one after the other."""
    file = mido.MidiFile(ticks_per_beat=220)
    track = file.add_track()
    track.append(mido.MetaMessage("time_signature", numerator=signature[0], denominator=signature[1]))
    for k in range(bars * 4):
        track.append(mido.Message("note_on", note=pitch + k % 5, velocity=80, channel=channel))
        track.append(mido.Message("note_off", note=pitch + k % 5, time=220, channel=channel))
    return file


def saved(file: mido.MidiFile) -> bytes:
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def lasting(ticks: int) -> bytes:
    file = mido.MidiFile(ticks_per_beat=220)
    file.add_track().extend([mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=ticks)])
    return saved(file)


def with_tracks(count: int) -> bytes:
    file = song()
    file.tracks *= count
    return saved(file)


def busy(notes: int) -> bytes:
    file = mido.MidiFile(ticks_per_beat=220)
    track = file.add_track()
    for _ in range(notes):
        track.append(mido.Message("note_on", note=60, velocity=1))
        track.append(mido.Message("note_on", note=60, velocity=0, time=1))
    return saved(file)


def restless(changes: int) -> bytes:
    file = song()
    for k in range(changes):
        file.tracks[0].insert(0, mido.MetaMessage("set_tempo", tempo=500_000 + k, time=1))
    return saved(file)


GIGABYTE_TRACK = saved(song())[:18] + struct.pack(">I", 10**9) + saved(song())[22:]
BAD_FILES = {
    "empty": (b"", "no MIDI file", "no_midi"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "no MIDI file", "no_midi"),
    "cut short": (saved(song())[:200], "damaged or cut short", "damaged"),
    "header only": (saved(song())[:14], "damaged or cut short", "damaged"),
    "track claims 1 GB": (GIGABYTE_TRACK, "damaged or cut short", "damaged"),
    "header claims 60,000 tracks": (
        saved(song())[:10] + b"\xea\x60" + saved(song())[12:],
        "damaged or cut short",
        "damaged",
    ),
    "100 tracks": (with_tracks(100), "64 tracks", "too_much"),
    "too large": (b"MThd" + bytes(melody.MAX_BYTES), "bytes", "too_much"),
    "no notes": (saved(song(bars=0)), "no notes", "no_notes"),
    "drums only": (saved(song(channel=9)), "only drums", "drums"),
    "off the keys": (saved(song(pitch=5)), "only drums or notes off", "drums"),
    "8 bars": (saved(song(bars=8)), "has 8 bars", "short"),
    "3/4": (saved(song(signature=(3, 4))), "time signature is 3/4", "meter"),
    "no such metre": (
        saved(song()).replace(b"\xff\x58\x04\x04\x02", b"\xff\x58\x04\x04\xff"),
        "Export it again",
        "damaged",
    ),
    "a fortnight": (lasting(2**28 - 1), "ticks", "too_much"),
    "hours": (lasting(9_000_000), "seconds", "too_much"),
    "too many notes": (busy(melody.MAX_NOTES + 1), "notes", "too_much"),
    "too many changes": (restless(melody.MAX_TIME_CHANGES), "changes of tempo", "too_much"),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.timeout(30)
def test_bad_midi_is_refused_with_a_reason(name: str) -> None:
    data, message, fault = BAD_FILES[name]
    with pytest.raises(MelodyError, match=message) as caught:
        melody.midi_to_melodies(data)
    assert caught.value.fault == fault
    assert any(advice in str(caught.value) for advice in ("Choose", "Export"))


def test_missing_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(MelodyError, match=r"none\.mid.*Name an existing MIDI file"):
        melody.midi_to_melodies(tmp_path / "none.mid")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_midi_never_gives_another_error(data: st.DataObject) -> None:
    """A good file with bytes changed either still reads or raises MelodyError."""
    midi = bytearray(saved(song()))
    for _ in range(data.draw(st.integers(1, 8))):
        midi[data.draw(st.integers(0, len(midi) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = melody.midi_to_melodies(bytes(midi))
    except MelodyError:
        return
    assert windows(found)


def test_import_is_light() -> None:
    """The page imports this at its start; note_seq alone takes over a second."""
    code = "import sys, generator.melody; print([m for m in ('note_seq', 'pretty_midi', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
