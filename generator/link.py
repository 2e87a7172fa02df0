"""What a piece is made from, small enough for a web address, so that a link gives the same piece to whoever opens it.

    to_query(Recipe({"peaceful": 1.0}, seed=7), Heard(parts="melody"))
    # {"mood": "peaceful:100", "seed": "7", "parts": "melody"}

A link comes from a stranger: it is read within limits, and a LinkError says what was expected. Numbers are rounded as
they are written; `exactly` rounds a recipe, so that what is composed is what its link says.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np

import emotion
from generator import melody
from generator.arrange import Parts
from generator.losses import Targets

if TYPE_CHECKING:
    from generator.compose import Request

Change = Literal["calmer", "brighter", "denser", "sparser"]
Origin = Literal["new", "own"] | Change
T = TypeVar("T", bound=str)

ORIGINS: tuple[Origin, ...] = ("new", "own", *get_args(Change))
SEED_LIMIT = 1_000_000
ROUNDS = (1, 30)  # More bring nothing that can be heard, and others wait.
TEMPERATURES = (0.0, 1.0)
TEMPOS = (40, 220)  # quarter notes a minute
MAX_CHARACTERS = 600  # of one part of a link; a melody takes some 200
NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)  # of a model or an instrument


class LinkError(ValueError):
    """A link that makes no sense; the message says what was expected and what came."""


@dataclass(frozen=True)
class Recipe:
    """What a piece is composed from.

    moods: weights of moods by English name; seed: 0..999,999; melody: the 256 tokens that it starts from, if any, and
    keep, how much of their contour stays, 0..1; targets: instead of the moods' own; origin: how it came about, for its
    title; rounds, temperature: of re-training and decoding; model: its name.
    """

    moods: Mapping[str, float]
    seed: int
    melody: bytes | None = None
    keep: float = 0.5
    targets: Targets | None = None
    origin: Origin = "new"
    rounds: int = 10  # as `generator.actor_critic.Effort` has it, which would import PyTorch
    temperature: float = 0.0
    model: str = "default"

    def request(self) -> Request:
        """The request to compose. Imports PyTorch, which takes seconds the first time."""
        from generator.compose import Request

        start = None if self.melody is None else np.frombuffer(self.melody, np.uint8)
        request = Request.for_moods(self.moods, self.seed, melody=start, keep=self.keep)
        targets = self.targets or request.targets
        return replace(request, targets=targets, rounds=self.rounds, temperature=self.temperature)

    def exactly(self) -> Recipe:
        """The recipe as its link gives it."""
        return from_query(to_query(self, Heard()))[0]


@dataclass(frozen=True)
class Heard:
    """How a piece is played where that is not left to its mood: tempo in quarter notes a minute, the melody's
    instrument (of `generator.styles.LEADS`), and how much of the arrangement plays."""

    tempo: int | None = None
    lead: str | None = None
    parts: Parts = "full"


PLAIN, UNTOUCHED = Recipe({}, 0), Heard()


def to_query(recipe: Recipe, heard: Heard) -> dict[str, str]:
    """The parts of a link by name; what is as usual is left out."""
    query = {"mood": write_mix(recipe.moods), "seed": str(recipe.seed)}
    if recipe.melody is not None:
        query |= {"melody": write_melody(recipe.melody), "keep": f"{recipe.keep:.0%}".rstrip("%")}
    if recipe.targets is not None:
        query["targets"] = write_targets(recipe.targets)
    if recipe.temperature != PLAIN.temperature:
        query["temperature"] = f"{recipe.temperature:.2f}"
    usual = {**vars(PLAIN), **vars(UNTOUCHED)}
    for name, value in (vars(recipe) | vars(heard)).items():
        if name in ("origin", "rounds", "model", "tempo", "lead", "parts") and value != usual[name]:
            query[name] = str(value)
    return query


def from_query(query: Mapping[str, str]) -> tuple[Recipe, Heard]:
    """The recipe in a link and how it is heard. LinkError where any part makes no sense; names of models and
    instruments are not looked up."""

    def part(name: str) -> str | None:
        text = query.get(name)
        if text is not None and len(text) > MAX_CHARACTERS:
            raise LinkError(f"{name}: at most {MAX_CHARACTERS} characters expected, got {len(text)}")
        return text

    def whole(name: str, low: int, high: int, usual: int) -> int:
        return int(read_number(name, text, low, high, 0)) if (text := part(name)) is not None else usual

    def choice(name: str, choices: tuple[T, ...], usual: T) -> T:
        text = part(name) or usual
        for each in choices:
            if each == text:
                return each
        raise LinkError(f"{name}: one of {', '.join(choices)} expected, got {text[:40]!r}")

    def named(name: str) -> str | None:
        text = part(name)
        if text is not None and not NAME.fullmatch(text):
            raise LinkError(f"{name}: a name expected, got {text[:40]!r}")
        return text

    own, targets = part("melody"), part("targets")
    recipe = Recipe(
        moods=read_mix(part("mood") or ""),
        seed=whole("seed", 0, SEED_LIMIT - 1, -1),
        melody=None if own is None else read_melody(own),
        keep=whole("keep", 0, 100, round(100 * PLAIN.keep)) / 100,
        targets=None if targets is None else read_targets(targets),
        origin=choice("origin", ORIGINS, PLAIN.origin),
        rounds=whole("rounds", *ROUNDS, PLAIN.rounds),
        temperature=read_number("temperature", part("temperature") or "0", *TEMPERATURES),
        model=named("model") or PLAIN.model,
    )
    if recipe.seed < 0:
        raise LinkError("seed: the number of the tune expected, got none")
    tempo = whole("tempo", *TEMPOS, 0) or None
    return recipe, Heard(tempo, named("lead"), choice("parts", get_args(Parts), UNTOUCHED.parts))


def read_number(name: str, text: str, low: float, high: float, decimals: int = 2) -> float:
    """A number from low to high, written plainly: no sign, no exponent, no NaN."""
    form = r"\d{1,9}" + (rf"(\.\d{{1,{decimals}}})?" if decimals else "")
    if not re.fullmatch(form, text, re.ASCII) or not low <= float(text) <= high:
        kind = "number" if decimals else "whole number"
        raise LinkError(f"{name}: a {kind} from {low:g} to {high:g} expected, got {text[:40]!r}")
    return float(text)


def write_mix(moods: Mapping[str, float]) -> str:
    """A mix of moods in whole per cent: 'peaceful:70,clear:30'."""
    return ",".join(f"{name}:{weight:.0%}".rstrip("%") for name, weight in moods.items() if round(weight, 2) > 0)


def read_mix(text: str) -> dict[str, float]:
    """The mix of moods in a link; a name alone stands for itself."""
    moods: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition(":")
        try:
            mood = emotion.category(name).name
        except emotion.UnknownMoodError as error:
            raise LinkError(f"mood: {error}") from error
        moods[mood] = read_number("mood", share or "100", 1, 100, 0) / 100
    return moods


def write_targets(targets: Targets) -> str:
    """'5.40,70.20,major,98': notes a bar, mean pitch, mode, tempo."""
    mode = "major" if targets.major else "minor"
    return f"{targets.density:.2f},{targets.pitch:.2f},{mode},{targets.tempo:.1f}"


def read_targets(text: str) -> Targets:
    """The targets in a link."""
    parts = text.split(",")
    if len(parts) != 4 or parts[2] not in ("major", "minor"):
        raise LinkError(f"targets: notes a bar, mean pitch, major or minor, tempo expected, got {text[:60]!r}")
    density, pitch, tempo = (read_number("targets", part, 0, 1000) for part in (parts[0], parts[1], parts[3]))
    try:
        return Targets(density, pitch, parts[2] == "major", tempo)
    except ValueError as error:
        raise LinkError(f"targets: {error}") from error


def write_melody(tokens: bytes) -> str:
    """A melody's 256 tokens, packed and in letters that an address may have."""
    return base64.urlsafe_b64encode(zlib.compress(tokens, 9)).decode().rstrip("=")


def read_melody(text: str) -> bytes:
    """The 256 tokens of the melody in a link. What would unpack to more is not unpacked."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        tokens = unpacker.decompress(packed, melody.STEPS + 1)
        if not unpacker.eof:
            raise LinkError(f"melody: {melody.STEPS} packed tokens expected, got more, or not all of them")
        if len(melody.notes(np.frombuffer(tokens, np.uint8))) < melody.FEWEST_NOTES:
            raise LinkError(f"melody: at least {melody.FEWEST_NOTES} notes expected")
        return tokens
    except (ValueError, zlib.error) as error:  # binascii.Error and MelodyError are ValueErrors
        raise error if isinstance(error, LinkError) else LinkError(f"melody: {error}") from error
