"""The finished sound of every mood, measured by outside tools, and the pictures of it.

`python -m generator.sound_report --pieces 20` measures the same for many seeds.
"""

from __future__ import annotations

import io
from functools import cache

import matplotlib.image
import numpy as np
import pytest

import emotion
from generator import audio, figures, harmony, mastering, melody, styles
from generator.arrange import arrange
from generator.figures import Played
from generator.files import Title, midi_file
from generator.sound_report import HEAD, Sound, measure, row, summary
from tests.tunes import random_tune

MOODS = tuple(emotion.categories().values())


@cache
def sound_of(name: str) -> Sound:
    """A tune of the density, mode and register that the mood asks for, in the mood's sound."""
    mood = emotion.category(name)
    rng = np.random.default_rng(1)
    onsets = np.sort(rng.choice(128, round(mood.density * 16), replace=False)) * 2
    onsets[0] = 0
    scale = np.array([0, 2, 4, 5, 7, 9, 11] if mood.p_major >= 0.5 else [0, 2, 3, 5, 7, 8, 10])
    steps = np.clip(np.cumsum(rng.integers(-2, 3, len(onsets))), -5, 7)
    tokens = np.zeros(256, np.uint8)
    tokens[onsets] = round(mood.pitch) - 19 + scale[steps % 7] + 12 * (steps // 7)
    return measure(tokens, mood, seed=1)


@pytest.mark.parametrize("name", [mood.name for mood in MOODS])
def test_every_moods_sound_meets_its_figures(name: str) -> None:
    sound = sound_of(name)
    assert sound.loudness == pytest.approx(-16, abs=1)
    assert sound.peak <= -1.0
    assert not sound.silent
    assert sound.melody
    assert sound.outside == 0
    assert sound.seconds < 0.03


def test_tempo_is_heard() -> None:
    """librosa finds the tempo or an octave of it for nearly all moods."""
    assert sum(sound_of(mood.name).tempo_right for mood in MOODS) >= 7


def test_busier_moods_sound_busier() -> None:
    """Onsets heard against the onsets a second that the moods ask of their melodies."""
    wanted = [mood.density * mood.tempo / 240 for mood in MOODS]
    heard = [sound_of(mood.name).onsets for mood in MOODS]
    assert np.corrcoef(wanted, heard)[0, 1] > 0.9


@cache
def played() -> Played:
    tokens = random_tune(4)
    home, chords = harmony.harmony_key(tokens), harmony.infer_chords(tokens)
    piece = arrange(tokens, chords, 100, styles.style("dark"), 1, key=home)
    midi = midi_file(piece, Title("dark", 1, 100, home))
    samples = mastering.master(audio.performance(midi, audio.package_renderer()), audio.SAMPLE_RATE)
    return Played("Dark 1", tokens, [chord.name for chord in chords], 100, 4.7, piece, samples)


def test_piano_roll_shows_every_note_chord_and_bar() -> None:
    above, below = figures.picture(played()).axes[:2]
    drawn = {c.get_label(): len(c.get_paths()) for c in above.collections}
    assert drawn == {track.name: len(track.notes) for track in played().piece.instruments}
    assert list(drawn) == ["Chords", "Bass", "Pad", "Drums", "Melody"]
    drums = [path.get_extents() for c in above.collections if c.get_label() == "Drums" for path in c.get_paths()]
    notes = [path.get_extents() for c in above.collections if c.get_label() != "Drums" for path in c.get_paths()]
    assert max(box.ymax for box in drums) < min(box.ymin for box in notes), "in rows of their own"
    assert above.get_ylim()[0] < min(box.ymin for box in drums)
    names = [text.get_text().replace("♭", "b").replace("♯", "#") for text in above.texts]
    assert names == list(played().chords)
    lines = {round(float(line.get_xdata()[0]), 3) for line in above.lines}  # type: ignore[arg-type, index]
    assert lines == set(range(1, 16))
    assert len(below.images) == 1


def test_spectrogram_shows_density_windows_and_reference() -> None:
    scale = figures.picture(played()).axes[2]
    stairs = scale.patches[0]
    counts = np.bincount(melody.notes(played().tokens)[:, 1] // 16, minlength=16)
    assert np.array_equal(stairs.get_data().values, counts)  # type: ignore[attr-defined]
    references = [line for line in scale.lines if line.get_label() == "reference"]
    assert [float(line.get_ydata()[0]) for line in references] == [4.7]  # type: ignore[arg-type, index]


def test_picture_is_a_png_of_something() -> None:
    pixels = matplotlib.image.imread(io.BytesIO(figures.png(figures.picture(played()), 50)))
    assert pixels.shape[0] > 300
    assert pixels.shape[1] > 600
    assert pixels[..., :3].std() > 0.1


def test_sheet_leaves_the_rest_of_its_last_row_empty() -> None:
    figure = figures.sheet([played()] * 4)
    visible = [axes for axes in figure.axes if axes.axison]
    assert len(visible) == 4 * 3


def test_the_report_is_a_table_and_sentences_to_paste() -> None:
    good = Sound(-16.0, -2.5, False, True, 0, 0.0, 100.0, True, 2.0, True, True, True)
    poor = Sound(-16.4, -1.5, True, False, 3, 0.02, 130.0, False, 3.0, False, True, False)
    line = row("dark", [good, poor], [0.4, 0.5], 2.014)
    assert line == "| dark | -1.50 | 1 of 2 | 1 of 2 | 2.50 (2.01) | .45 (.50) |"
    assert {text.count("|") for text in [*HEAD.splitlines(), line]} == {7}
    said = summary([good, poor], 0.9571)
    for words in ("-16.40 to -16.00 LUFS", "at most -1.50 dBTP", "tempo heard in 1, mode in 1", "silent in 1; 3 notes"):
        assert words in said
    assert "seconds on .020" in said
    assert "correlate .957" in said
