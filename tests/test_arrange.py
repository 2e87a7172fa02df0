"""The arrangement of every mood: melody untouched, ranges, dissonances, voice leading; and styles that are wrong."""

from __future__ import annotations

import copy
import io
import tomllib
from functools import cache
from typing import Any

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator import harmony, melody, styles, voicing
from generator.arrange import Parts, arrange
from generator.melody import Tokens
from generator.styles import Style, StyleError
from tests.tunes import random_tune

MOODS = tuple(styles.styles())
TEMPO = 110.0
STEP = 15 / TEMPO


@cache
def played(
    mood: str, seed: int, parts: Parts = "full", half_bars: bool = False
) -> tuple[Tokens, list[harmony.Chord], pretty_midi.PrettyMIDI]:
    """A tune and its arrangement after writing it to MIDI and reading it back."""
    tokens = random_tune(seed)
    chords = harmony.infer_chords(tokens, half_bars=half_bars)
    out = io.BytesIO()
    arrange(tokens, chords, TEMPO, styles.style(mood), seed, parts, harmony.harmony_key(tokens)).write(out)
    return tokens, chords, pretty_midi.PrettyMIDI(io.BytesIO(out.getvalue()))


CASES = [pytest.param(mood, seed, id=f"{mood}-{seed}") for mood in MOODS for seed in range(4)]


def track(midi: pretty_midi.PrettyMIDI, name: str) -> pretty_midi.Instrument:
    return next(i for i in midi.instruments if i.name == name)


@pytest.mark.parametrize(("mood", "seed"), CASES)
@pytest.mark.parametrize("parts", ["melody", "chords", "full"])
def test_melody_track_is_the_tokens(mood: str, seed: int, parts: Parts) -> None:
    tokens, _, midi = played(mood, seed, parts)
    got = sorted([n.pitch, round(n.start / STEP), round(n.end / STEP)] for n in track(midi, "Melody").notes)
    assert got == sorted(melody.notes(tokens).tolist())


def test_melody_is_read_back_from_the_file_as_tokens() -> None:
    """Magenta's reader, too, finds the tokens in a full arrangement."""
    tokens = np.zeros(256, np.uint8)
    tokens[::4] = [41, 43, 45, 46] * 16
    for mood in ("peaceful", "lively", "dark"):
        out = io.BytesIO()
        arrange(tokens, harmony.infer_chords(tokens), 97.88, styles.style(mood), 3).write(out)
        assert tokens.tolist() in [m.tolist() for m in melody.midi_to_melodies(out.getvalue())]


@pytest.mark.parametrize(("mood", "seed"), CASES)
def test_parts_are_what_was_asked_for(mood: str, seed: int) -> None:
    style = styles.style(mood)
    full = ["Melody", "Chords", "Bass"] + ["Pad"] * bool(style.pad) + ["Drums"] * bool(style.drums)
    assert [i.name for i in played(mood, seed)[2].instruments] == full
    assert [i.name for i in played(mood, seed, "chords")[2].instruments] == ["Melody", "Chords", "Bass"]
    assert [i.name for i in played(mood, seed, "melody")[2].instruments] == ["Melody"]


@pytest.mark.parametrize(("mood", "seed"), CASES)
def test_every_note_lies_in_its_instruments_range_and_in_the_16_bars(mood: str, seed: int) -> None:
    _, _, midi = played(mood, seed)
    ranges = {i["program"]: (i["low"], i["high"]) for i in table()["instruments"].values()}
    for instrument in midi.instruments:
        low, high = (35, 81) if instrument.is_drum else ranges[instrument.program]
        assert all(low <= note.pitch <= high for note in instrument.notes), instrument.name
        assert all(1 <= note.velocity <= 127 and note.end > note.start >= 0 for note in instrument.notes)
        assert max(note.end for note in instrument.notes) <= 256 * STEP + 1e-3
    assert midi.time_signature_changes[0].numerator == 4
    assert midi.get_tempo_changes()[1] == pytest.approx([TEMPO], rel=1e-4)
    assert len(midi.key_signature_changes) == 1


@pytest.mark.parametrize("half_bars", [False, True])
@pytest.mark.parametrize(("mood", "seed"), CASES)
def test_no_held_dissonant_seconds_on_strong_beats(mood: str, seed: int, half_bars: bool) -> None:
    """Of the strong beats on which the melody sounds: the share where a tone of another part makes a minor second or
    ninth, or a close major second, with it for longer than an eighth. Measured from the MIDI file."""
    tokens, _, midi = played(mood, seed, half_bars=half_bars)
    others = [(n.pitch, n.start / STEP, n.end / STEP) for i in midi.instruments[1:] if not i.is_drum for n in i.notes]
    beats = held = 0
    for pitch, start, end in melody.notes(tokens).tolist():
        for beat in range(-(-start // 8) * 8, end, 8):
            beats += 1
            held += any(
                (abs(other - pitch) % 12 == 1 or abs(other - pitch) == 2)
                and first < beat + 0.5
                and last > beat
                and min(last, end) - max(first, start) > 2.2
                for other, first, last in others
            )
    assert beats > 15
    assert held / beats < 0.03


@pytest.mark.parametrize(("mood", "seed"), CASES)
def test_harmony_tones_belong_to_the_chord(mood: str, seed: int) -> None:
    _, chords, midi = played(mood, seed)
    for name in ("Chords", "Bass"):
        for note in track(midi, name).notes:
            chord = chords[round(note.start / STEP) // 16]
            assert note.pitch % 12 in chord.tones


@pytest.mark.parametrize(("mood", "seed"), CASES)
def test_the_ending_closes(mood: str, seed: int) -> None:
    """In the last bar the chord is struck once and held to the end."""
    _, _, midi = played(mood, seed)
    last = [n for n in track(midi, "Chords").notes if n.start > 239.5 * STEP]
    assert last
    assert all(n.start < 240.5 * STEP and n.end > 255 * STEP for n in last)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from(MOODS))
def test_voices_move_without_leaps(seed: int, half_bars: bool, mood: str) -> None:
    tokens = random_tune(seed)
    part = styles.style(mood).chords
    voices = voicing.voice(harmony.infer_chords(tokens, half_bars=half_bars), melody.notes(tokens), part.low, part.high)
    assert voices.min() >= part.low
    assert voices.max() <= part.high
    assert np.all(np.diff(voices, axis=1) > 0)
    moves = np.abs(np.diff(voices, axis=0))
    assert moves.mean() < 3.5, "on average no more than a minor third"
    assert np.mean(moves > 7) < 0.05, "hardly ever over a fifth"


def test_same_seed_same_piece_and_another_seed_another_touch() -> None:
    def events(seed: int) -> list[tuple[float, float, int, int]]:
        tokens = random_tune(1)
        midi = arrange(tokens, harmony.infer_chords(tokens), TEMPO, styles.style("bright"), seed)
        return [(n.start, n.end, n.pitch, n.velocity) for i in midi.instruments for n in i.notes]

    assert events(1) == events(1)
    assert events(1) != events(2)
    assert sorted(e[2] for e in events(1)) == sorted(e[2] for e in events(2))


def test_phrases_swell() -> None:
    """Over many pieces, the middle of a phrase is played stronger than its ends."""
    strengths = np.zeros(4)
    tokens = np.zeros(256, np.uint8)
    tokens[::8] = 41
    for seed in range(20):
        notes = arrange(tokens, harmony.infer_chords(tokens), TEMPO, styles.style("dark"), seed).instruments[0].notes
        strengths += np.array([n.velocity for n in notes]).reshape(4, 4, 2).mean((0, 2))
    assert min(strengths[1:3]) > max(strengths[0], strengths[3])


def test_every_mood_sounds_different() -> None:
    """No two moods share their instruments and patterns."""
    looks = {
        (s.melody[0].name, s.chords.instrument.name, s.chords.hits, s.bass.hits, s.drums and s.drums.lines)
        for s in styles.styles().values()
    }
    assert len(looks) == 9


def test_melody_out_of_the_first_instruments_range_goes_to_the_next() -> None:
    tokens = np.zeros(256, np.uint8)
    tokens[0] = 30 - 19
    midi = arrange(tokens, harmony.infer_chords(tokens), TEMPO, styles.style("bright"), 0)
    assert midi.instruments[0].program == 0


@pytest.mark.parametrize("tokens", [np.zeros(256, np.uint8), np.full(256, 2, np.uint8), np.full(256, 89, np.uint8)])
def test_extreme_melodies_are_arranged(tokens: Tokens) -> None:
    for mood in MOODS:
        midi = arrange(tokens, harmony.infer_chords(tokens), TEMPO, styles.style(mood), 0)
        assert len(midi.instruments[0].notes) == len(melody.notes(tokens))


def test_wrong_arguments_are_refused() -> None:
    tokens = random_tune(0)
    chords = harmony.infer_chords(tokens)
    with pytest.raises(melody.MelodyError, match="16 or 32 chords"):
        arrange(tokens, chords[:7], TEMPO, styles.style("bright"), 0)
    with pytest.raises(melody.MelodyError, match="tempo"):
        arrange(tokens, chords, 0, styles.style("bright"), 0)
    with pytest.raises(StyleError, match=r"no style 'sleepy'.*intense"):
        styles.style("sleepy")


@cache
def table() -> dict[str, Any]:
    return tomllib.loads(styles.TABLE.read_text(encoding="utf-8"))


WRONG = {
    "unknown instrument": (("melody",), ["kazoo"], "no instrument 'kazoo'"),
    "articulation": (("articulation",), 0.1, "articulation must be"),
    "velocity": (("velocity",), 200, "velocity must be"),
    "volume": (("chords", "volume"), 0, "volume must be"),
    "range": (("chords", "low"), 5, "plays"),
    "register": (("chords", "low"), 66, "16 semitones"),
    "hit past the bar": (("chords", "hits"), [[12, "0", 8]], "does not fit"),
    "no such voice": (("chords", "hits"), [[0, "3", 8]], "does not fit"),
    "no such tone": (("bass", "hits"), [[0, "ninth", 8]], "does not fit"),
    "melody instrument without loudness": (("melody",), ["choir"], "needs a loudness"),
    "drum line": (("drums", "kick"), "x...", "is not 16"),
    "bass missing": (("bass",), None, "bass is missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_style_is_refused_with_its_place(name: str) -> None:
    path, value, message = WRONG[name]
    wrong = copy.deepcopy(table())
    target = wrong["styles"]["bright"]
    for key in path[:-1]:
        target = target[key]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    with pytest.raises(StyleError, match=message) as caught:
        styles.read_styles(wrong)
    assert "bright" in str(caught.value)


def test_styles_are_the_nine_moods_in_order() -> None:
    import emotion

    assert tuple(emotion.categories()) == MOODS
    assert all(isinstance(s, Style) for s in styles.styles().values())
