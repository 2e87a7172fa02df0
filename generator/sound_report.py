"""What the sound of all nine moods measures: `python -m generator.sound_report --pieces 20`.

It prints the table and the sentences of docs/sound.md. Every figure is taken from the finished files by outside
tools: loudness by pyloudnorm, true peak by oversampling, tempo, onsets and key by librosa, dissonances and ranges from
the MIDI file, MIDI and MusicXML read by music21.
`--data` takes melodies that lie near each mood's targets from an npz of windows instead of composing them, which is
several times faster and measures arrangement and sound alone; `--keep` keeps composed melodies in an npz, to measure
them again without composing.
"""

from __future__ import annotations

import argparse
import io
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import emotion
from generator import audio, key, mastering, melody, styles, voicing
from generator.export import Export

WINDOW = 0.25  # seconds; four of them in a row under `QUIET` make a silent second
QUIET = 0.003  # of full scale, -50 dBFS
HELD = 2.2  # sixteenths: longer than an eighth, with room for a player's touch
RATE = 22_050  # Hz, librosa's own
RENDERS = 3  # of each piece; the fastest counts, for other processes only ever add
HEAD = """\
| mood | highest true peak, dBTP | tempo heard within 4 % or an octave | mode heard \
| onsets heard a second (melody's target) | rendering, s for 32 s, mean (most) |
|---|---|---|---|---|---|"""
COUNTED = ("tempo_right", "mode_right", "mode_rated", "melody", "read", "silent", "outside")
# Share of segments that hold each degree, in the Kostka-Payne corpus (Temperley, Music and Probability, 2007, p. 85).
# The ratings in `generator.key` take some minor chroma for its parallel major, for a sounding tonic has the major third
# among its overtones; these shares take some major chroma for minor. The mean of both correlations did best.
POLYPHONIC_PROFILES = (
    np.array([0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400]),
    np.array([0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330]),
)


@dataclass(frozen=True)
class Sound:
    """One piece. loudness in LUFS, peak in dBTP; silent: it has a silent second; melody: the MIDI file's melody is the
    tokens; outside: notes outside their instrument's range; seconds: share of strong beats with a held dissonant
    second; tempo: bpm heard; tempo_right: within 4 % of the target or an octave of it; onsets: a second, heard;
    mode_right: the key heard has the mode asked for; mode_rated: the same by Krumhansl and Kessler's ratings; read:
    music21 reads MIDI and MusicXML without a warning."""

    loudness: float
    peak: float
    silent: bool
    melody: bool
    outside: int
    seconds: float
    tempo: float
    tempo_right: bool
    onsets: float
    mode_right: bool
    mode_rated: bool
    read: bool


def export(tokens: melody.Tokens, mood: emotion.Category, seed: int) -> Export:
    """One melody, tokens uint8 [256], in one mood's style and tempo, rendered by what pip installs."""
    renderer = audio.package_renderer()
    return Export(tokens, mood.name, seed, mood.tempo, mood.p_major >= 0.5, mood.density, renderer=renderer)


def measure(tokens: melody.Tokens, mood: emotion.Category, seed: int) -> Sound:
    """Arrange, render and measure one melody, tokens uint8 [256], in one mood's style and tempo."""
    import pretty_midi

    piece = export(tokens, mood, seed)
    data, score = piece.midi, piece.file("musicxml")
    midi = pretty_midi.PrettyMIDI(io.BytesIO(data))
    return Sound(
        **_heard(piece.file("wav"), mood.tempo, piece.key),
        melody=_melody_kept(midi, tokens, mood.tempo),
        outside=_outside(midi),
        seconds=_held_seconds(midi, tokens, mood.tempo),
        read=_read(data, "midi") and _read(score.decode(), "musicxml"),
    )


def render_time(tokens: melody.Tokens, mood: emotion.Category, seed: int) -> float:
    """Seconds of processor time from the MIDI file to the WAV file, scaled to 32 s of music."""
    midi, spent = export(tokens, mood, seed).midi, []
    for _ in range(RENDERS):
        begun = time.process_time()
        audio.render(midi, audio.package_renderer())
        spent.append(time.process_time() - begun)
    return min(spent) * 32 / (16 * 240 / mood.tempo)


def _read(data: bytes | str, form: str) -> bool:
    """Whether music21 reads a file's data without a warning."""
    import music21

    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        music21.converter.parseData(data, format=form)
    return not raised


def _heard(wav: bytes, tempo: float, home: key.Key) -> dict[str, Any]:
    import librosa
    import pyloudnorm
    import soundfile
    import soxr

    samples, rate = soundfile.read(io.BytesIO(wav))
    level = np.abs(samples[: int(16 * 240 / tempo * rate)]).max(1)  # without the tail, which fades
    size = int(WINDOW * rate)
    quiet = level[: len(level) // size * size].reshape(-1, size).max(1) < QUIET
    mono = soxr.resample(samples.mean(1), rate, RATE)
    strength = librosa.onset.onset_strength(y=mono, sr=RATE)
    heard = float(np.atleast_1d(librosa.feature.tempo(onset_envelope=strength, sr=RATE))[0])
    onsets = librosa.onset.onset_detect(onset_envelope=strength, sr=RATE)
    chroma = librosa.feature.chroma_cqt(y=mono, sr=RATE).mean(1)
    rated = key.key_correlations(chroma)
    both = rated + key.key_correlations(chroma, POLYPHONIC_PROFILES)
    return {
        "loudness": float(pyloudnorm.Meter(rate).integrated_loudness(samples)),
        "peak": mastering.true_peak(samples.astype(np.float32), rate),
        "silent": bool((np.convolve(quiet, np.ones(round(1 / WINDOW))) >= round(1 / WINDOW)).any()),
        "tempo": heard,
        "tempo_right": min(abs(heard / tempo / octave - 1) for octave in (0.5, 1, 2)) < 0.04,
        "onsets": len(onsets) / (16 * 240 / tempo),
        "mode_right": bool((both.argmax() < 12) == home.major),
        "mode_rated": bool((rated.argmax() < 12) == home.major),
    }


def _melody_kept(midi: Any, tokens: melody.Tokens, tempo: float) -> bool:
    step = 15 / tempo
    got = sorted((n.pitch, round(n.start / step), round(n.end / step)) for n in midi.instruments[0].notes)
    return got == sorted(map(tuple, melody.notes(tokens).tolist()))


def _outside(midi: Any) -> int:
    players = [i for s in styles.styles().values() for i in (*s.melody, s.chords.instrument, s.bass.instrument)]
    players += [s.pad.instrument for s in styles.styles().values() if s.pad]
    ranges = {player.program: (player.low, player.high) for player in players}
    count = 0
    for track in midi.instruments:
        low, high = (35, 81) if track.is_drum else ranges[track.program]
        count += sum(not low <= note.pitch <= high for note in track.notes)
    return count


def _held_seconds(midi: Any, tokens: melody.Tokens, tempo: float) -> float:
    step = 15 / tempo
    others = [(n.pitch, n.start / step, n.end / step) for i in midi.instruments[1:] if not i.is_drum for n in i.notes]
    beats = held = 0
    for pitch, start, end in melody.notes(tokens).tolist():
        for beat in range(-(-start // 8) * 8, end, 8):
            beats += 1
            held += any(
                voicing.clashes(other, pitch)
                and first < beat + 0.5
                and last > beat
                and min(last, end) - max(first, start) > HELD
                for other, first, last in others
            )
    return held / max(beats, 1)


def composed(mood: emotion.Category, seeds: Iterable[int], keep: Path | None = None) -> Iterator[melody.Tokens]:
    """Melodies composed for the mood; those in the npz `keep` are taken from there, others added."""
    from generator.compose import Request, find
    from generator.models import default_models

    kept: dict[str, melody.Tokens] = {}
    if keep and keep.exists():
        with np.load(keep, allow_pickle=False) as data:
            kept = dict(data)
    for seed in seeds:
        name = f"{mood.name}-{seed}"
        if name not in kept:
            kept[name] = find(Request.for_moods({mood.name: 1.0}, seed), None, default_models()).tokens
            if keep:
                np.savez_compressed(keep, allow_pickle=False, **kept)
        yield kept[name]


def taken(mood: emotion.Category, count: int, windows: npt.NDArray[np.uint8]) -> Iterator[melody.Tokens]:
    """Melodies near the mood's targets, out of windows [n, 256]; not all from one tune."""
    density, mean = (windows >= 2).sum(1) / 16, key.mean_pitch(key.sounding_pitch(windows))
    major = key.mode_lead(windows) > 0
    far = np.abs(density - mood.density) + np.abs(mean - mood.pitch) / 4 + 2.0 * (major != (mood.p_major >= 0.5))
    yield from windows[np.argsort(far)[: count * 6 : 6]]


def draw_sheet(path: Path, seed: int, keep: Path | None = None) -> None:
    """Compose one piece for each mood and write their piano rolls and spectrograms, side by side, as a PNG."""
    from generator import figures

    pieces = []
    for mood in emotion.categories().values():
        tokens = next(composed(mood, [seed], keep))
        piece = export(tokens, mood, seed)
        title = f"{mood.name.capitalize()}, {piece.title.key_text}"
        names = [chord.name for chord in piece.chords]
        pieces.append(figures.Played(title, tokens, names, mood.tempo, mood.density, piece.played, piece.samples))
    path.write_bytes(figures.png(figures.sheet(pieces), 75))


def main() -> None:
    """Print a table with one line a mood, and what holds for all pieces."""
    parser = argparse.ArgumentParser(prog="python -m generator.sound_report", description=__doc__)
    parser.add_argument("--pieces", type=int, default=3, help="for each mood (default 3)")
    parser.add_argument("--data", type=Path, help="npz with windows and split, to take melodies from")
    parser.add_argument("--keep", type=Path, help="npz for composed melodies: taken from there, or added")
    parser.add_argument("--sheet", type=Path, help="write a picture of the nine moods to this PNG file, and stop")
    parser.add_argument("--seed", type=int, default=7, help="of the picture's pieces (default 7)")
    args = parser.parse_args()
    if args.sheet:
        draw_sheet(args.sheet, args.seed, args.keep)
        return
    windows = None
    if args.data:
        with np.load(args.data, allow_pickle=False) as data:
            windows = data["windows"][data["split"] > 0]
    print(HEAD)
    wanted, found, everything = [], [], []
    for mood in emotion.categories().values():
        some = composed(mood, range(args.pieces), args.keep) if windows is None else taken(mood, args.pieces, windows)
        tunes = list(enumerate(some))
        sounds = [measure(tokens, mood, seed) for seed, tokens in tunes]
        renders = [render_time(tokens, mood, seed) for seed, tokens in tunes]
        everything += sounds
        wanted.append(mood.density * mood.tempo / 240)
        found.append(float(np.mean([sound.onsets for sound in sounds])))
        print(row(mood.name, sounds, renders, wanted[-1]), flush=True)
    print(f"\n{summary(everything, float(np.corrcoef(wanted, found)[0, 1]))}")


def row(name: str, sounds: Sequence[Sound], renders: Sequence[float], wanted: float) -> str:
    """A mood's line of the table. renders: seconds for 32 s of music; wanted: onsets a second of its melody."""
    cells = (
        name,
        f"{max(sound.peak for sound in sounds):.2f}",
        f"{sum(sound.tempo_right for sound in sounds)} of {len(sounds)}",
        f"{sum(sound.mode_right for sound in sounds)} of {len(sounds)}",
        f"{np.mean([sound.onsets for sound in sounds]):.2f} ({wanted:.2f})",
        f"{short(float(np.mean(renders)))} ({short(max(renders))})",
    )
    return f"| {' | '.join(cells)} |"


def summary(sounds: Sequence[Sound], correlation: float) -> str:
    """What holds for all pieces, in sentences; correlation: of onsets heard with onsets wanted, over the moods."""
    loudness = [sound.loudness for sound in sounds]
    count = {name: sum(getattr(sound, name) for sound in sounds) for name in COUNTED}
    return (
        f"Of {len(sounds)} pieces: loudness {min(loudness):.2f} to {max(loudness):.2f} LUFS; true peak at most "
        f"{max(sound.peak for sound in sounds):.2f} dBTP; tempo heard in {count['tempo_right']}, mode in "
        f"{count['mode_right']} (by Krumhansl and Kessler's ratings alone {count['mode_rated']}); the MIDI file's "
        f"melody is the tokens in {count['melody']}; music21 reads MIDI and MusicXML without a warning in "
        f"{count['read']}; a second before the tail is silent in {count['silent']}; {count['outside']} notes outside "
        f"their instrument's range; held dissonant seconds on "
        f"{short(max(sound.seconds for sound in sounds), 3)} of a piece's strong beats at most. "
        f"Onsets heard correlate {short(correlation, 3)} with the onsets asked for over the moods."
    )


def short(value: float, digits: int = 2) -> str:
    """Like ".62"."""
    return f"{value:.{digits}f}".removeprefix("0")


if __name__ == "__main__":
    main()
