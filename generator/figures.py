"""Pictures of a piece: the piano roll with chords and bars, and the spectrogram with density over it.

Drawn by matplotlib without pyplot, so that any thread of a page may draw; the command line's `--plot` and the page's
download share them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from generator import melody
from generator.audio import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    import pretty_midi
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BARS = 16
RATE = 24_000  # Hz, of the spectrogram: half the sound's own
FLOOR = -70  # dB under the loudest band
COLOURS = {"Melody": "#1b6f6a", "Chords": "#c98a2b", "Bass": "#7a4fa3", "Pad": "#9aa7b1"}


@dataclass(frozen=True)
class Played:
    """What the pictures show. tokens uint8 [256]; chords: 16 or 32 names, with their Roman
    numerals in a second line; tempo in quarter notes a minute; density:
    the reference in note onsets a bar; piece: the arrangement; samples: its sound, float [n, 2] at 48 kHz."""

    title: str
    tokens: npt.ArrayLike
    chords: Sequence[str]
    tempo: float
    density: float
    piece: pretty_midi.PrettyMIDI
    samples: Samples


def picture(played: Played) -> Figure:
    """Piano roll above, spectrogram below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    figure.suptitle(played.title)
    draw_roll(above, played)
    draw_spectrogram(below, played)
    above.tick_params(labelbottom=False)
    above.set_xlabel("")
    return figure


def sheet(pieces: Sequence[Played]) -> Figure:
    """Many pieces side by side, three a row, for comparing moods; all with the same scales."""
    from matplotlib.figure import Figure

    rows = -(-len(pieces) // 3)
    figure = Figure(figsize=(19, 5.4 * rows), layout="constrained")
    axes = figure.subplots(2 * rows, 3, squeeze=False, height_ratios=(3, 2) * rows)
    most = 1.25 * max(int(_onsets_by_bar(played.tokens).max(initial=1)) for played in pieces)
    for index, played in enumerate(pieces):
        row, column = divmod(index, 3)
        above, below = axes[2 * row, column], axes[2 * row + 1, column]
        draw_roll(above, played, names=False)
        above.set_ylim(26, 100)
        above.set_yticks(range(36, 100, 12), [f"C{octave}" for octave in range(2, 8)])
        above.set_xlabel("")
        above.set_title(f"{played.title}, {played.tempo:.0f} bpm")
        draw_spectrogram(below, played, most)
    for empty in axes.reshape(rows, 2, 3).transpose(0, 2, 1).reshape(-1, 2)[len(pieces) :].ravel():
        empty.set_axis_off()
    return figure


def png(figure: Figure, dots: int = 110) -> bytes:
    """The picture as a PNG file, `dots` an inch."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dots)
    return out.getvalue()


def draw_roll(axes: Axes, played: Played, names: bool = True) -> None:
    """The piano roll over 16 bars: every part's notes, the melody in front; chord names above if `names`."""
    bar = 240.0 / played.tempo  # seconds
    for track in played.piece.instruments:
        if track.is_drum or track.name == "Melody":
            continue
        bars = [((note.start / bar), (note.end - note.start) / bar, note.pitch) for note in track.notes]
        _rectangles(axes, bars, COLOURS.get(track.name, "grey"), 0.45, track.name)
    lead = [(start / 16, (end - start) / 16, pitch) for pitch, start, end in melody.notes(played.tokens).tolist()]
    _rectangles(axes, lead, COLOURS["Melody"], 1.0, "Melody")
    pitches = [pitch for track in played.piece.instruments if not track.is_drum for pitch in _pitches(track)]
    low, high = (min(pitches), max(pitches)) if pitches else (48, 72)
    axes.set_ylim(low - 2, high + (7 if names else 3))
    octaves = [pitch for pitch in range(24, 109, 12) if low - 2 <= pitch <= high + 2]
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    axes.set_ylabel("pitch")
    if names:
        width = BARS / len(played.chords)
        for index, name in enumerate(played.chords):
            if not index or name != played.chords[index - 1] or index * width % 1 == 0:
                axes.text(index * width + 0.06, high + 2.0, name.replace("b", "♭").replace("#", "♯"), fontsize=8)
        axes.legend(loc="lower right", fontsize=8, ncols=4, framealpha=0.9)
    _bar_axis(axes)


def draw_spectrogram(axes: Axes, played: Played, most: float | None = None) -> None:
    """The mel spectrogram in dB, and over it the melody's note onsets in each bar against the reference; `most`: top
    of that scale in notes a bar."""
    import librosa
    import soxr

    mono = np.asarray(soxr.resample(played.samples.mean(1), SAMPLE_RATE, RATE), np.float32)
    hop = 512
    power = librosa.feature.melspectrogram(y=mono, sr=RATE, n_fft=2048, hop_length=hop, n_mels=96, fmin=40, fmax=10_000)
    decibels = librosa.power_to_db(power, ref=np.max, top_db=-FLOOR)
    seconds_a_bar = 240.0 / played.tempo
    end = decibels.shape[1] * hop / RATE / seconds_a_bar
    axes.imshow(decibels, origin="lower", aspect="auto", extent=(0, end, 0, 96), cmap="magma", vmin=FLOOR, vmax=0)
    hertz = librosa.mel_frequencies(n_mels=96, fmin=40, fmax=10_000)
    ticks = [100, 500, 1000, 2500, 5000]
    axes.set_yticks([float(np.interp(tick, hertz, np.arange(96))) for tick in ticks], [str(tick) for tick in ticks])
    axes.set_ylabel("Hz")
    windows = _onsets_by_bar(played.tokens)
    scale: Any = axes.twinx()
    scale.stairs(windows, np.arange(BARS + 1), color="white", linewidth=1.8, label="notes in the bar")
    scale.axhline(played.density, color="#5fd3cb", linestyle="--", linewidth=1.8, label="reference")
    scale.set_ylim(0, most or max(float(windows.max(initial=0)), played.density) * 1.6)
    scale.set_ylabel("notes a bar")
    scale.legend(loc="upper right", fontsize=8, ncols=2, framealpha=0.8, labelcolor="white", facecolor="#333")
    _bar_axis(axes)


def _onsets_by_bar(tokens: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.bincount(melody.notes(tokens)[:, 1] // 16, minlength=BARS)


def _pitches(track: pretty_midi.Instrument) -> list[int]:
    return [note.pitch for note in track.notes]


def _rectangles(axes: Axes, bars: list[tuple[float, float, int]], colour: str, opacity: float, name: str) -> None:
    """Notes as (start in bars, length in bars, pitch)."""
    from matplotlib.collections import PolyCollection

    shapes = [[(x, y - 0.45), (x + width, y - 0.45), (x + width, y + 0.45), (x, y + 0.45)] for x, width, y in bars]
    axes.add_collection(
        PolyCollection(shapes, facecolor=colour, alpha=opacity, linewidth=0.3, edgecolor="w", label=name)
    )


def _bar_axis(axes: Axes) -> None:
    axes.set_xlim(0, BARS)
    axes.set_xticks(np.arange(BARS) + 0.5, [str(bar + 1) for bar in range(BARS)])
    axes.tick_params(axis="x", length=0)
    for bar in range(1, BARS):
        axes.axvline(bar, color="grey", linewidth=1.0 if bar % 4 == 0 else 0.4, alpha=0.6)
    axes.set_xlabel("bar")
