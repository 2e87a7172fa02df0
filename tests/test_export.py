"""All files of one piece, by one object."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import pretty_midi
import pytest
import soundfile

from generator import audio, melody
from generator.export import KINDS, Export
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
        assert file.title == "Dark 12"
        assert file.frames / file.samplerate > 256 * 15 / 103 - 4


def test_chords_and_key_are_the_mode_asked_for() -> None:
    assert exported().key.major is False
    assert len(exported().chords) == 16


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
