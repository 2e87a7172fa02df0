"""The files, each read back by another program's library."""

from __future__ import annotations

import io
import warnings
import zipfile
from functools import cache
from typing import Any
from xml.etree import ElementTree

import music21
import mutagen
import numpy as np
import pretty_midi
import pyloudnorm
import pytest
import soundfile

from generator import audio, files, harmony, key, mastering, melody, styles
from generator.arrange import arrange
from generator.files import Title
from generator.melody import Tokens
from tests.tunes import random_tune

TEMPO = 97.88


def titled(tokens: Tokens) -> Title:
    return Title("peaceful", 7, TEMPO, harmony.harmony_key(tokens))


@cache
def piece() -> tuple[Tokens, list[harmony.Chord], pretty_midi.PrettyMIDI, Title]:
    tokens = random_tune(3)
    chords = harmony.infer_chords(tokens)
    title = titled(tokens)
    return tokens, chords, arrange(tokens, chords, TEMPO, styles.style("peaceful"), 7, key=title.key), title


@cache
def sound() -> audio.Samples:
    _, _, played, title = piece()
    renderer = audio.package_renderer()
    return mastering.master(audio.performance(files.midi_file(played, title), renderer), audio.SAMPLE_RATE)


def quietly_parsed(data: bytes | str, form: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return music21.converter.parseData(data, format=form)


def test_midi_carries_title_tempo_key_and_tracks() -> None:
    _, _, _, title = piece()
    data = files.midi_file(piece()[2], title)
    midi = pretty_midi.PrettyMIDI(io.BytesIO(data))
    assert midi.get_tempo_changes()[1] == pytest.approx([TEMPO], rel=1e-4)
    assert midi.key_signature_changes[0].key_number == title.key.tonic + (0 if title.key.major else 12)
    assert [i.name for i in midi.instruments] == ["Melody", "Chords", "Bass", "Pad"]
    assert not midi.lyrics
    assert b"Peaceful 7" in data
    assert b"mood peaceful, seed 7, 98 bpm" in data


def test_music21_reads_the_midi_as_16_bars_of_four_four() -> None:
    score = quietly_parsed(files.midi_file(piece()[2], piece()[3]), "midi")
    assert score.recurse().getElementsByClass("TimeSignature").first().ratioString == "4/4"
    assert len(score.parts[0].makeMeasures().getElementsByClass("Measure")) == 16


@pytest.mark.parametrize("half_bars", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_musicxml_is_the_melody_with_its_chords(seed: int, half_bars: bool) -> None:
    tokens = random_tune(seed)
    chords, title = harmony.infer_chords(tokens, half_bars=half_bars), titled(tokens)
    score = quietly_parsed(files.musicxml_file(tokens, chords, title).decode(), "musicxml")
    assert score.metadata.bestTitle == "Peaceful 7"
    part = score.parts[0]
    assert len(part.getElementsByClass("Measure")) == 16
    tied = part.stripTies().flatten()
    got = [[n.pitch.midi, n.offset * 4, (n.offset + n.quarterLength) * 4] for n in tied.getElementsByClass("Note")]
    assert got == melody.notes(tokens).tolist()
    symbols = list(tied.getElementsByClass("ChordSymbol"))
    changes = [c for k, c in enumerate(chords) if not k or c != chords[k - 1]]
    assert [s.root().pitchClass for s in symbols] == [c.root for c in changes]
    assert [sorted({p.pitchClass for p in s.pitches}) for s in symbols] == [sorted(c.tones) for c in changes]
    signature = tied.getElementsByClass("KeySignature").first()
    tonic = (signature.sharps * 7 + (0 if title.key.major else 9)) % 12
    assert tonic == title.key.tonic


def test_musicxml_names_the_instrument_that_plays() -> None:
    """MuseScore reports an error in a file whose part has no instrument, and plays what is named there."""
    tokens, chords, _, title = piece()
    found = ElementTree.fromstring(files.musicxml_file(tokens, chords, title, program=71))  # noqa: S314
    part = found.find("part-list/score-part")
    assert part is not None
    assert part.findtext("part-name") == "Melody"
    assert part.findtext("score-instrument/instrument-name") == "Clarinet"
    assert part.findtext("midi-instrument/midi-program") == "72", "MusicXML counts from 1"
    assert found.find(".//transpose") is None, "written as it sounds"


def test_musicxml_in_every_key() -> None:
    tokens = random_tune(3)
    for tonic in range(12):
        for major in (True, False):
            title = Title("dark", 1, 60, key.Key(tonic, major, 1.0))
            moved = key.transpose(tokens, tonic)
            xml = files.musicxml_file(moved, harmony.infer_chords(moved, major), title)
            part = quietly_parsed(xml.decode(), "musicxml").parts[0]
            pitches = [n.pitch.midi for n in part.stripTies().flatten().getElementsByClass("Note")]
            assert pitches == melody.notes(moved)[:, 0].tolist()


def test_wav_has_tags() -> None:
    with soundfile.SoundFile(io.BytesIO(files.wav_file(sound(), piece()[3]))) as file:
        assert (file.title, file.artist) == ("Peaceful 7", "Maeum")
        assert file.comment.startswith("mood peaceful, seed 7")


def test_mp3_has_tags_and_the_same_sound() -> None:
    data = files.mp3_file(sound(), piece()[3])
    found: Any = mutagen.File(io.BytesIO(data))
    assert {frame: str(found[frame]) for frame in ("TIT2", "TPE1", "TCON", "TBPM")} == {
        "TIT2": "Peaceful 7",
        "TPE1": "Maeum",
        "TCON": "peaceful",
        "TBPM": "98",
    }
    assert str(found["COMM::eng"]).startswith("mood peaceful, seed 7")
    assert found.info.bitrate == 192_000
    samples, rate = soundfile.read(io.BytesIO(data))
    assert rate == audio.SAMPLE_RATE
    assert len(samples) / rate == pytest.approx(len(sound()) / rate, abs=0.1)
    assert pyloudnorm.Meter(rate).integrated_loudness(samples) == pytest.approx(-16, abs=1)
    assert mastering.true_peak(samples.astype(np.float32), rate) < -0.5


def test_stems_add_up_to_the_mix() -> None:
    _, _, played, title = piece()
    with zipfile.ZipFile(io.BytesIO(files.stems_file(played, title, audio.package_renderer()))) as file:
        assert file.testzip() is None
        names = file.namelist()
        stems = [soundfile.read(io.BytesIO(file.read(name)))[0] for name in names]
    assert names == [
        f"maeum-peaceful-7/{k}-{part}.wav" for k, part in enumerate(("melody", "chords", "bass", "pad"), 1)
    ]
    assert len({len(s) for s in stems}) == 1
    total = np.sum(stems, axis=0)
    mix = sound()
    length = min(len(mix), len(total)) - 48_000
    total, whole = total[:length], mix[:length].astype(np.float64)
    scale = float((total * whole).sum() / (total * total).sum())
    error = np.sqrt(np.mean((whole - scale * total) ** 2) / np.mean(whole**2))
    assert error < 0.1
    assert max(np.abs(s).max() for s in stems) < 1


def test_same_piece_same_bytes() -> None:
    tokens, chords, played, title = piece()
    assert files.musicxml_file(tokens, chords, title) == files.musicxml_file(tokens, chords, title)
    assert files.midi_file(played, title) == files.midi_file(played, title)
    assert files.mp3_file(sound(), title) == files.mp3_file(sound(), title)


def test_silent_piece_has_no_stems() -> None:
    with pytest.raises(audio.AudioError, match="empty"):
        files.stems_file(pretty_midi.PrettyMIDI(), piece()[3])
