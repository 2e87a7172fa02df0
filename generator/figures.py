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
COLOURS = {"Melody": "#1b6f6a", "Chords": "#c98a2b", "Bass": "#7a4fa3", "Pad": "#9aa7b1", "Drums": "#333333"}
GAP = 0.015  # bars between a note and the next
DRUM_ROW = 1.8  # semitones from one drum's row to the next, under the notes


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
    spans = [_span(played.piece) for played in pieces]
    span = min(low for low, _ in spans), max(high for _, high in spans)
    for index, played in enumerate(pieces):
        row, column = divmod(index, 3)
        above, below = axes[2 * row, column], axes[2 * row + 1, column]
        draw_roll(above, played, span)
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


def draw_roll(axes: Axes, played: Played, span: tuple[int, int] | None = None) -> None:
    """The piano roll over 16 bars: every part's notes, the melody in front, drums in rows of their own below, chord
    names above. `span`: lowest and highest pitch of a scale that pieces share; there is no room for names then."""
    bar = 240.0 / played.tempo  # seconds
    low, high = span or _span(played.piece)
    floor = low - 2.0
    for track in played.piece.instruments:
        if track.name == "Melody":
            continue
        rows: dict[int, float] = {pitch: pitch for pitch in _pitches(track)}
        if track.is_drum:
            rows = {drum: low - 3 - DRUM_ROW * place for place, drum in enumerate(sorted(rows, reverse=True))}
            floor = min(rows.values(), default=floor) - 1
        bars = [((note.start / bar), (note.end - note.start) / bar, rows[note.pitch]) for note in track.notes]
        _rectangles(axes, bars, COLOURS[track.name], 0.8 if track.is_drum else 0.45, track.name)
    lead = [(start / 16, (end - start) / 16, pitch) for pitch, start, end in melody.notes(played.tokens).tolist()]
    _rectangles(axes, lead, COLOURS["Melody"], 1.0, "Melody")
    axes.set_ylim(low - 3 - 3 * DRUM_ROW if span else floor, high + (3 if span else 7))
    octaves = [pitch for pitch in range(24, 109, 12) if low - 2 <= pitch <= high + 2]
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    axes.set_ylabel("pitch")
    if not span:
        width = BARS / len(played.chords)
        for index, name in enumerate(played.chords):
            if not index or name != played.chords[index - 1] or index * width % 1 == 0:
                axes.text(index * width + 0.06, high + 2.0, name.replace("b", "♭").replace("#", "♯"), fontsize=8)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, ncols=5, frameon=False)
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


def _span(piece: pretty_midi.PrettyMIDI) -> tuple[int, int]:
    """The lowest and the highest note of a piece but for drums."""
    pitches = [pitch for track in piece.instruments if not track.is_drum for pitch in _pitches(track)]
    return min(pitches, default=48), max(pitches, default=72)


def _pitches(track: pretty_midi.Instrument) -> list[int]:
    return [note.pitch for note in track.notes]


def _rectangles(axes: Axes, bars: list[tuple[float, float, float]], colour: str, opacity: float, name: str) -> None:
    """Notes as (start in bars, length in bars, pitch); a gap keeps repeated ones apart."""
    from matplotlib.collections import PolyCollection

    boxes = [(x, x + max(width - GAP, GAP), y - 0.55, y + 0.55) for x, width, y in bars]
    shapes = [[(x, low), (end, low), (end, high), (x, high)] for x, end, low, high in boxes]
    axes.add_collection(PolyCollection(shapes, facecolor=colour, alpha=opacity, linewidth=0, label=name))


def _bar_axis(axes: Axes) -> None:
    axes.set_xlim(0, BARS)
    axes.set_xticks(np.arange(BARS) + 0.5, [str(bar + 1) for bar in range(BARS)])
    axes.tick_params(axis="x", length=0)
    for bar in range(1, BARS):
        axes.axvline(bar, color="grey", linewidth=1.0 if bar % 4 == 0 else 0.4, alpha=0.6)
    axes.set_xlabel("bar")
