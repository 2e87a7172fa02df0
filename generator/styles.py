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

TABLE = Path(__file__).resolve().parent.parent / "assets" / "styles.toml"
BAR = 16
TONES = ("root", "third", "fifth")
T = TypeVar("T")


class StyleError(ValueError):
    """A style that cannot be played or is not known; the message says which, what was expected and what came."""


@dataclass(frozen=True)
class Instrument:
    """A General MIDI instrument: program 0..127, playing range low..high in MIDI pitch, both included."""

    name: str
    program: int
    low: int
    high: int

    def __post_init__(self) -> None:
        if not (0 <= self.program <= 127 and 0 <= self.low < self.high <= 127):
            raise StyleError(f"instrument {self.name}: expected program, low < high in 0..127, got {self}")


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
    return read_styles(tomllib.loads(TABLE.read_text(encoding="utf-8")))


def read_styles(table: Mapping[str, Any]) -> dict[str, Style]:
    """The styles of a parsed styles.toml; StyleError where it is wrong."""
    instruments = {name: Instrument(name, **fields) for name, fields in table["instruments"].items()}
    return {name: _style(name, fields, instruments, table["sounds"]) for name, fields in table["styles"].items()}


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

    def part(kind: str) -> Part | None:
        if kind not in fields:
            return None
        source, place = fields[kind], f".{kind}"
        player = instrument(place, source.get("instrument"))
        low, high = source.get("low", player.low), source.get("high", player.high)
        if not player.low <= low < high <= player.high:
            raise StyleError(
                f"styles.toml, {name}{place}: {player.name} plays {player.low}..{player.high}, not {low}..{high}"
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
        return Part(kind, player, volume, pan, source.get("enter", 0), low, high, hits)

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
        melody=tuple(instrument("", key) for key in get("", fields, "melody", bool, "a list of instruments")),
        articulation=get("", fields, "articulation", lambda v: 0.6 <= v <= 1, "0.6..1"),
        velocity=get("", fields, "velocity", lambda v: 20 <= v <= 110, "20..110"),
        swell=get("", fields, "swell", lambda v: 0 <= v <= 17, "0..17"),
        human=get("", fields, "human", lambda v: 0 <= v <= 10, "0..10"),
        chords=needed("chords"),
        bass=needed("bass"),
        pad=part("pad"),
        drums=drums(),
    )
