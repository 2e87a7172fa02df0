"""A melody and its mood to any of the files people take away, made only when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt

from generator import audio, files, harmony, mastering, melody, styles
from generator.arrange import Parts, arrange
from generator.key import Key

if TYPE_CHECKING:
    import pretty_midi

KINDS = ("mid", "wav", "flac", "mp3", "musicxml", "stems.zip", "png")


@dataclass(frozen=True)
class Export:
    """One piece: tokens uint8 [256]; mood: English name, whose style it is played in; seed of its touch; tempo in
    quarter notes a minute; major: the mode asked for; density: the reference in note onsets a bar, for the picture;
    parts: how much is played; lead: what plays the melody, a key of `styles.LEADS`, by default what the style says.

    `dataclasses.replace` gives the same melody in another tempo, style, parts or lead; `composed`, mood and tempo of
    the first, fills itself in and is kept, so that title and file name say what changed. What several files share
    (chords, arrangement, sound) is worked out once, at first use, and anew for each such change.

    Raises MelodyError, StyleError or another ValueError where something cannot be played, a lead out of range included.
    """

    tokens: melody.Tokens
    mood: str
    seed: int
    tempo: float
    major: bool
    density: float
    parts: Parts = "full"
    renderer: audio.Renderer | None = None
    lead: str | None = None
    composed: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        rows = melody.notes(self.tokens)
        melody.check_qpm(self.tempo)
        styles.style(self.mood)
        if self.lead is not None:
            styles.lead(self.lead, rows)
        if self.parts not in get_args(Parts):
            raise ValueError(f"expected parts among {', '.join(get_args(Parts))}, got {self.parts!r}")
        if self.composed is None:
            object.__setattr__(self, "composed", (self.mood, self.tempo))

    @property
    def leads(self) -> list[str]:
        """The instruments of `styles.LEADS` that can play this melody."""
        rows = melody.notes(self.tokens)
        return [name for name, instrument in styles.LEADS.items() if instrument.plays(rows)]

    @property
    def rendered_by(self) -> str:
        """What makes its sound, in words: "midirenderer with TimGM6mb.sf2"."""
        return str(self.renderer or audio.best_renderer())

    @cached_property
    def key(self) -> Key:
        """The key that the chords are taken from."""
        return harmony.harmony_key(self.tokens, self.major)

    @cached_property
    def chords(self) -> list[harmony.Chord]:
        """One chord a half bar, 32; most bars hold the same one twice."""
        return harmony.infer_chords(self.tokens, self.major, half_bars=True)

    @cached_property
    def title(self) -> files.Title:
        """Names the files and goes into their tags."""
        mood, tempo = self.composed or (self.mood, self.tempo)
        changes = {
            f"{self.mood} style": self.mood != mood,
            f"{self.tempo:.0f} bpm": self.tempo != tempo,
            f"{self.parts} only" if self.parts == "melody" else "with chords": self.parts != "full",
            (self.lead or "").replace("_", " "): self.lead is not None,
        }
        return files.Title(mood, self.seed, self.tempo, self.key, tuple(text for text, so in changes.items() if so))

    @cached_property
    def played(self) -> pretty_midi.PrettyMIDI:
        """The arrangement."""
        style = styles.style(self.mood)
        return arrange(self.tokens, self.chords, self.tempo, style, self.seed, self.parts, self.key, self.lead)

    @cached_property
    def samples(self) -> npt.NDArray[np.float32]:
        """The mastered sound, float [n, 2] at 48 kHz; AudioError if nothing sounds."""
        return mastering.master(audio.performance(self.midi, self.renderer), audio.SAMPLE_RATE)

    @cached_property
    def midi(self) -> bytes:
        """The MIDI file, with title, key and track names."""
        return files.midi_file(self.played, self.title)

    def file(self, kind: str) -> bytes:
        """One file; `kind` among `KINDS`."""
        if kind == "mid":
            return self.midi
        if kind == "wav":
            return files.wav_file(self.samples, self.title)
        if kind == "flac":
            return files.flac_file(self.samples, self.title)
        if kind == "mp3":
            return files.mp3_file(self.samples, self.title)
        if kind == "musicxml":
            return files.musicxml_file(self.tokens, self.chords, self.title, self.played.instruments[0].program)
        if kind == "stems.zip":
            return files.stems_file(self.played, self.title, self.renderer)
        if kind == "png":
            return self._picture()
        raise ValueError(f"no file of kind {kind!r}; there are {', '.join(KINDS)}")

    def files(self, kinds: Iterable[str]) -> dict[str, bytes]:
        """Several files by name: {"maeum-peaceful-7.mid": ...}."""
        return {f"{self.title.file}.{kind}": self.file(kind) for kind in kinds}

    def _picture(self) -> bytes:
        from generator import figures

        heading = f"{self.title.text}: {self.title.key_text}, {self.tempo:.0f} bpm"
        names = [f"{chord.name}\n{chord.numeral}" for chord in self.chords]
        shown = figures.Played(heading, self.tokens, names, self.tempo, self.density, self.played, self.samples)
        return figures.png(figures.picture(shown))
