"""How each mood is played: the styles of assets/styles.toml, checked when read.

The file's head says what its fields mean. A mistake in it raises StyleError with the place and what was expected.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

TABLE = Path(__file__).resolve().parent.parent / "assets" / "styles.toml"
BAR = 16
TONES = ("root", "third", "fifth")
T = TypeVar("T")


class StyleError(ValueError):
    """A style that cannot be played or is not known; the message says which, what was expected and what came."""


@dataclass(frozen=True)
class Instrument:
    """A General MIDI instrument: program 0..127, playing range low..high in MIDI pitch, both included; loudness in LUFS
    of one that plays melodies, to set instruments against each other."""

    name: str
    program: int
    low: int
    high: int
    loudness: float | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.program <= 127 and 0 <= self.low < self.high <= 127):
            raise StyleError(f"instrument {self.name}: expected program, low < high in 0..127, got {self}")

    def plays(self, notes: npt.NDArray[np.int64]) -> bool:
        """Whether all of a melody's notes [n, 3] (pitch, first step, end) lie in its range."""
        return not len(notes) or bool(self.low <= notes[:, 0].min() and notes[:, 0].max() <= self.high)


@dataclass(frozen=True)
class Hit:
    """An attack in a bar: its first sixteenth 0..15, its length in sixteenths, which voices or which chord tone."""

    step: int
    what: str
    length: int


@dataclass(frozen=True)
class Part:
    """One accompanying part: from bar `enter` (from 0) on, `hits` in each bar; `low`..`high` is where it plays."""

    name: str
    instrument: Instrument
    volume: int
    pan: int
    enter: int
    low: int
    high: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Drums:
    """A bar of drums from bar `enter` on: (General MIDI drum note, 16 characters: x strong, o soft, . nothing)."""

    volume: int
    enter: int
    lines: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Style:
    """How one mood is played. `melody`: instruments in order of preference, the last one holds every note of the grid.
    articulation 0.6..1 of a note's last sixteenth; velocity, swell, human in MIDI velocity."""

    name: str
    melody: tuple[Instrument, ...]
    articulation: float
    velocity: int
    swell: int
    human: float
    chords: Part
    bass: Part
    pad: Part | None
    drums: Drums | None


def style(name: str) -> Style:
    """The style of a mood by its English name; StyleError if there is none."""
    known = styles()
    if name not in known:
        raise StyleError(f"no style {name!r}; the styles are {', '.join(known)}")
    return known[name]


@cache
def styles() -> Mapping[str, Style]:
    """All styles by name, in the file's order."""
    return read_styles(_table())


def lead(key: str, notes: npt.NDArray[np.int64]) -> Instrument:
    """The instrument of `LEADS` for a melody's notes [n, 3]; StyleError if there is none of that name, or if the melody
    leaves its range: notes are not moved to suit an instrument."""
    if key not in LEADS:
        raise StyleError(f"no melody instrument {key!r}; there are {', '.join(LEADS)}")
    chosen = LEADS[key]
    if not chosen.plays(notes):
        able = ", ".join(name for name, instrument in LEADS.items() if instrument.plays(notes))
        raise StyleError(
            f"expected a melody within MIDI pitch {chosen.low}..{chosen.high}, the range of {key}, but this one goes "
            f"from {notes[:, 0].min()} to {notes[:, 0].max()}; choose among {able}"
        )
    return chosen


def read_styles(table: Mapping[str, Any]) -> dict[str, Style]:
    """The styles of a parsed styles.toml; StyleError where it is wrong."""
    instruments = _instruments(table)
    return {name: _style(name, fields, instruments, table["sounds"]) for name, fields in table["styles"].items()}


def read_leads(table: Mapping[str, Any]) -> dict[str, Instrument]:
    """The instruments to choose for the melody, of a parsed styles.toml; StyleError where one is unknown."""
    instruments = _instruments(table)
    for name in table["leads"]:
        if name not in instruments or instruments[name].loudness is None:
            raise StyleError(f"styles.toml, leads: {name!r} is no instrument with a loudness")
    return {name: instruments[name] for name in table["leads"]}


@cache
def louder(soundfont: str) -> Mapping[int | None, float]:
    """How much louder, in LU, a soundfont (its file's name without .sf2) plays each program (None: the drum kit) than
    the one for which the styles' volumes are set. Empty for a soundfont that was not measured."""
    measured = _table()["soundfonts"].get(soundfont, {})
    instruments = _instruments(_table())
    return {None if name == "drums" else instruments[name].program: value for name, value in measured.items()}


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def _instruments(table: Mapping[str, Any]) -> dict[str, Instrument]:
    return {name: Instrument(name, **fields) for name, fields in table["instruments"].items()}


def _style(
    name: str, fields: Mapping[str, Any], instruments: Mapping[str, Instrument], sounds: Mapping[str, int]
) -> Style:
    def get(place: str, source: Mapping[str, Any], field: str, fits: Callable[[Any], bool], need: str) -> Any:
        if field not in source or not fits(source[field]):
            raise StyleError(f"styles.toml, {name}{place}: {field} must be {need}, not {source.get(field)!r}")
        return source[field]

    def instrument(place: str, key: Any) -> Instrument:
        if key not in instruments:
            raise StyleError(f"styles.toml, {name}{place}: no instrument {key!r}; there are {', '.join(instruments)}")
        return instruments[key]

    def player(key: str) -> Instrument:
        found = instrument("", key)
        if found.loudness is None:
            raise StyleError(f"styles.toml, {name}: {key} plays the melody and needs a loudness")
        return found

    def part(kind: str) -> Part | None:
        if kind not in fields:
            return None
        source, place = fields[kind], f".{kind}"
        band = instrument(place, source.get("instrument"))
        low, high = source.get("low", band.low), source.get("high", band.high)
        if not band.low <= low < high <= band.high:
            raise StyleError(
                f"styles.toml, {name}{place}: {band.name} plays {band.low}..{band.high}, not {low}..{high}"
            )
        if kind != "bass" and high - low < 16:
            raise StyleError(f"styles.toml, {name}{place}: three voices need 16 semitones, not {low}..{high}")
        hits = tuple(Hit(*hit) for hit in get(place, source, "hits", bool, "a list of [sixteenth, what, length]"))
        for hit in hits:
            right = hit.what in TONES if kind == "bass" else hit.what and set(hit.what) <= set("012")
            if not (0 <= hit.step < BAR and 1 <= hit.length <= BAR - hit.step and right):
                raise StyleError(f"styles.toml, {name}{place}: {hit} does not fit a bar of {BAR} sixteenths")
        volume = get(place, source, "volume", lambda v: 0 < v <= 127, "1..127")
        pan = get(place, source, "pan", lambda v: 0 <= v <= 127, "0..127")
        return Part(kind, band, volume, pan, source.get("enter", 0), low, high, hits)

    def drums() -> Drums | None:
        if "drums" not in fields:
            return None
        source = dict(fields["drums"])
        volume = get(".drums", source, "volume", lambda v: 0 < v <= 127, "1..127")
        enter = source.pop("enter", 0)
        del source["volume"]
        for sound, line in source.items():
            if sound not in sounds or len(line) != BAR or set(line) - set("xo."):
                raise StyleError(f"styles.toml, {name}.drums: {sound} = {line!r} is not {BAR} of x, o and .")
        return Drums(volume, enter, tuple((sounds[sound], line) for sound, line in source.items()))

    def needed(kind: str) -> Part:
        found = part(kind)
        if found is None:
            raise StyleError(f"styles.toml, {name}: {kind} is missing")
        return found

    return Style(
        name=name,
        melody=tuple(player(key) for key in get("", fields, "melody", bool, "a list of instruments")),
        articulation=get("", fields, "articulation", lambda v: 0.6 <= v <= 1, "0.6..1"),
        velocity=get("", fields, "velocity", lambda v: 20 <= v <= 110, "20..110"),
        swell=get("", fields, "swell", lambda v: 0 <= v <= 17, "0..17"),
        human=get("", fields, "human", lambda v: 0 <= v <= 10, "0..10"),
        chords=needed("chords"),
        bass=needed("bass"),
        pad=part("pad"),
        drums=drums(),
    )


LEADS: Mapping[str, Instrument] = read_leads(_table())
"""What the melody may be played on instead of its style's own instrument, by key."""
