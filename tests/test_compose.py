"""The whole path, as a user of the library and of the command line meets it."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import torch

import emotion
from generator.__main__ import main
from generator.compose import Piece, Request, compose
from generator.melody import notes


@pytest.fixture(scope="module")
def pieces() -> dict[str, Piece]:
    """One piece for each of the nine."""
    torch.set_num_threads(1)
    return {mood: compose(Request.for_moods({mood: 1.0}, seed=3)) for mood in emotion.categories()}


def test_every_mood_gives_sixteen_bars_that_other_programs_open(pieces: dict[str, Piece]) -> None:
    from music21 import converter, meter

    for mood, piece in pieces.items():
        midi = pretty_midi.PrettyMIDI(io.BytesIO(piece.midi))
        assert [(each.numerator, each.denominator) for each in midi.time_signature_changes] == [(4, 4)], mood
        bars = midi.get_end_time() * piece.tempo / 60 / 4
        assert 15 < bars <= 16.2, mood
        assert len(midi.instruments) >= 2
        score = converter.parse(piece.midi, format="midi")
        assert score.recurse().getElementsByClass(meter.TimeSignature)[0].ratioString == "4/4"
        assert 15 * 4 < score.duration.quarterLength <= 16.2 * 4


def test_the_melody_track_is_the_decoded_melody(pieces: dict[str, Piece]) -> None:
    for piece in pieces.values():
        midi = pretty_midi.PrettyMIDI(io.BytesIO(piece.midi))
        track = next(each for each in midi.instruments if each.name == "Melody")
        played = sorted((round(note.start * piece.tempo / 15), note.pitch) for note in track.notes)
        assert played == [(start, pitch) for pitch, start, _ in notes(piece.tokens).tolist()]


def test_every_mood_sounds(pieces: dict[str, Piece]) -> None:
    for mood, piece in pieces.items():
        with wave.open(io.BytesIO(piece.wav)) as sound:
            seconds = sound.getnframes() / sound.getframerate()
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        assert seconds >= 15 * 4 * 60 / piece.tempo, mood
        assert np.abs(samples).max() > 3000, mood


def test_every_mood_comes_near_its_targets(pieces: dict[str, Piece]) -> None:
    for mood, piece in pieces.items():
        assert piece.reached.density == pytest.approx(piece.targets.density, abs=0.75), mood
        assert piece.reached.pitch == pytest.approx(piece.targets.pitch, abs=1.5), mood
        assert piece.reached.major == piece.targets.major, mood
        assert len(piece.chords) == 32


def test_a_seed_gives_the_same_piece_again(pieces: dict[str, Piece]) -> None:
    again = compose(Request.for_moods({"clear": 1.0}, seed=3))
    assert again.midi == pieces["clear"].midi
    assert again.wav == pieces["clear"].wav
    assert compose(Request.for_moods({"clear": 1.0}, seed=4)).midi != again.midi


def test_a_mixture_lies_between_its_moods() -> None:
    alone = {name: Request.for_moods({name: 1}, 0).targets for name in ("gloomy", "lively")}
    mixed = Request.for_moods({"gloomy": 1, "발랄함": 3}, 0)
    expected = (alone["gloomy"].density + 3 * alone["lively"].density) / 4
    assert mixed.targets.density == pytest.approx(expected)
    assert mixed.mood == "lively"


@pytest.mark.parametrize("weights", [{}, {"clear": 0.0}, {"clear": 2.0, "dark": -1.0}])
def test_mixtures_without_a_mood_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least one mood"):
        Request.for_moods(weights, 0)


def test_the_command_line_writes_files_and_says_what_was_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compose", "--mood", "평화로움", "--seed", "7", "--out", str(tmp_path / "new")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "maeum-peaceful-7.mid",
        "maeum-peaceful-7.wav",
    ]
    said = capsys.readouterr().out
    for words in ("target", "reached", "notes a bar", "mean pitch", "major", "chords"):
        assert words in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mood", "hungry"], "The nine are: intense"),
        (["--mood", "clear=much"], "expected a number after clear="),
        (["--mood", "clear", "--seed", "-3"], "a seed is a whole number from 0"),
    ],
)
def test_the_command_line_says_what_was_wrong(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compose", *arguments, "--out", str(tmp_path / "new")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_damaged_weights_stop_the_command_with_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from generator import models

    (tmp_path / "melody.safetensors").write_bytes(b"damaged")
    loader = models.default_models
    monkeypatch.setattr(models, "default_models", lambda device: loader(tmp_path, device))
    assert main(["compose", "--mood", "clear", "--out", str(tmp_path / "out")]) == 1
    assert "melody.safetensors: expected a whole safetensors file" in capsys.readouterr().err
