"""All files of one piece, by one object."""

from __future__ import annotations

import copy
import dataclasses
import io
import subprocess
import sys
import zipfile
from typing import Any

import music21
import numpy as np
import pretty_midi
import pytest
import soundfile

from generator import audio, mastering, melody, styles
from generator.export import KINDS, Export
from generator.styles import StyleError
from tests.tunes import random_tune


def exported(**more: object) -> Export:
    options: dict[str, object] = {"renderer": audio.package_renderer(), **more}
    return Export(random_tune(2), "dark", 12, 103.0, False, 4.7, **options)  # type: ignore[arg-type]


def test_every_kind_of_file_is_named_and_is_what_its_name_says() -> None:
    found = exported().files(KINDS)
    assert list(found) == [f"maeum-dark-12.{kind}" for kind in KINDS]
    starts = {
        "mid": b"MThd",
        "wav": b"RIFF",
        "flac": b"fLaC",
        "mp3": b"ID3",
        "musicxml": b"<?xml",
        "stems.zip": b"PK",
        "png": b"\x89PNG",
    }
    assert all(found[f"maeum-dark-12.{kind}"].startswith(start) for kind, start in starts.items())
    with zipfile.ZipFile(io.BytesIO(found["maeum-dark-12.stems.zip"])) as file:
        assert len(file.namelist()) == 5


@pytest.mark.parametrize(("parts", "tracks"), [("melody", 1), ("chords", 3), ("full", 5)])
def test_the_visitor_chooses_how_much_is_played(parts: str, tracks: int) -> None:
    made = exported(parts=parts)
    midi = pretty_midi.PrettyMIDI(io.BytesIO(made.file("mid")))
    assert len(midi.instruments) == tracks
    lead = [note.pitch for note in midi.instruments[0].notes]
    assert lead == melody.notes(made.tokens)[:, 0].tolist()
    with soundfile.SoundFile(io.BytesIO(made.file("wav"))) as file:
        assert file.title == {"melody": "Dark 12 (melody only)", "chords": "Dark 12 (with chords)"}.get(
            parts, "Dark 12"
        )
        assert file.frames / file.samplerate > 256 * 15 / 103 - 4


def wide_tune(low: int, high: int) -> melody.Tokens:
    tokens = np.zeros(256, np.uint8)
    tokens[::4] = np.linspace(low - 19, high - 19, 64).astype(np.uint8)
    return tokens


def tempo_written(musicxml: bytes) -> float:
    score = music21.converter.parseData(musicxml.decode(), format="musicxml")
    mark: Any = next(iter(score.recurse().getElementsByClass("MetronomeMark")))
    return float(mark.number)


def test_a_changed_piece_is_made_anew_from_the_same_melody() -> None:
    first = exported()
    before = first.files(("mid", "wav", "musicxml", "png"))
    changed = dataclasses.replace(first, tempo=126.0, mood="bright", parts="chords", lead="piano")
    after = changed.files(("mid", "wav", "musicxml", "png"))
    assert next(iter(after)) == "maeum-dark-12-bright-style-126-bpm-with-chords-piano.mid"
    assert changed.title.text == "Dark 12 (bright style, 126 bpm, with chords, piano)"
    midi = pretty_midi.PrettyMIDI(io.BytesIO(changed.midi))
    assert midi.get_tempo_changes()[1] == pytest.approx([126], rel=1e-4)
    assert [(track.name, track.program) for track in midi.instruments] == [("Melody", 0), ("Chords", 25), ("Bass", 32)]
    step = 15 / 126
    got = [[n.pitch, round(n.start / step), round(n.end / step)] for n in midi.instruments[0].notes]
    assert got == melody.notes(first.tokens).tolist()
    assert tempo_written(after[f"{changed.title.file}.musicxml"]) == 126
    assert tempo_written(before["maeum-dark-12.musicxml"]) == 103
    shorter = len(changed.samples) / len(first.samples)
    assert shorter == pytest.approx(103 / 126, rel=0.08)
    assert before["maeum-dark-12.png"] != after[f"{changed.title.file}.png"]
    assert first.files(("mid", "wav")) == {name: before[name] for name in ("maeum-dark-12.mid", "maeum-dark-12.wav")}


def test_changes_of_changes_are_told_against_the_piece_as_composed() -> None:
    twice = dataclasses.replace(dataclasses.replace(exported(), tempo=60.0), mood="clear", parts="melody")
    assert twice.title.file == "maeum-dark-12-clear-style-60-bpm-melody-only"
    assert dataclasses.replace(twice, tempo=103.0, mood="dark", parts="full").title == exported().title


@pytest.mark.parametrize("lead", styles.LEADS)
def test_the_melody_is_played_by_what_was_chosen(lead: str) -> None:
    """And it stands out as much as before: its loudness above the other parts stays within 3 LU."""

    def above(piece: Export) -> float:
        alone, others = copy.copy(piece.played), copy.copy(piece.played)
        alone.instruments, others.instruments = piece.played.instruments[:1], piece.played.instruments[1:]
        levels = []
        for part in (alone, others):
            out = io.BytesIO()
            part.write(out)
            levels.append(mastering.loudness(audio.performance(out.getvalue(), piece.renderer), audio.SAMPLE_RATE))
        return levels[0] - levels[1]

    usual = Export(wide_tune(60, 83), "dark", 1, 103.0, False, 4.7, renderer=audio.package_renderer())
    chosen = dataclasses.replace(usual, lead=lead)
    assert chosen.played.instruments[0].program == styles.LEADS[lead].program
    assert above(chosen) == pytest.approx(above(usual), abs=3)


def test_a_lead_that_cannot_reach_is_refused_and_not_offered() -> None:
    low = Export(wide_tune(48, 72), "dark", 12, 103.0, False, 4.7)
    assert low.leads == ["piano", "nylon_guitar", "cello"]
    with pytest.raises(StyleError, match=r"60..96, the range of flute.* 48 to 72; choose among piano, nylon_guitar, c"):
        dataclasses.replace(low, lead="flute")
    assert Export(wide_tune(21, 108), "dark", 12, 103.0, False, 4.7).leads == ["piano"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lead": "kazoo"}, "no melody instrument 'kazoo'; there are piano"),
        ({"mood": "sleepy"}, "no style 'sleepy'"),
        ({"parts": "drums"}, "parts among melody, chords, full, got 'drums'"),
        ({"tempo": 0.0}, "tempo"),
    ],
)
def test_a_change_that_cannot_be_played_is_refused_at_once(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(exported(), **change)


def test_chords_and_key_are_the_mode_asked_for() -> None:
    assert exported().key.major is False
    assert len(exported().chords) == 32


def test_it_says_what_makes_its_sound() -> None:
    assert exported().rendered_by == "midirenderer with TimGM6mb.sf2"
    assert exported(renderer=None).rendered_by == str(audio.best_renderer())


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no file of kind 'doc'; there are mid, wav"):
        exported().file("doc")


def test_import_is_light() -> None:
    code = (
        "import sys, generator.export; heavy = ('note_seq', 'pretty_midi', 'torch', 'music21', 'librosa', 'scipy', "
        "'matplotlib'); print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
