"""What a visitor has made: pieces to hear again, in other tempos, instruments and parts, before re-training and after.

A take keeps what was composed, which is small. Its sound, some 13 MB, is made when asked for (half a second) and kept
while it is among the last few.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from generator.link import Change, Heard, Recipe

if TYPE_CHECKING:
    from generator.actor_critic import Round
    from generator.compose import Measures, Piece
    from generator.export import Export
    from generator.losses import Targets

KEPT = 4  # sounds of a session: a take before and after, and two others to go back to


class Sound:
    """One way of playing a take: what makes its files, and the FLAC file that plays.

    FLAC is half the size of WAV and made at once. MP3 would be an eighth, but takes a quarter of a second to make; and
    a browser begins to play long before it has the whole file.
    """

    def __init__(self, export: Export) -> None:
        self.export = export

    @cached_property
    def flac(self) -> bytes:
        """Rendered at the first call. Raises AudioError where it cannot be."""
        return self.export.file("flac")

    def render(self) -> None:
        """Work the sound out, unless it is there."""
        _ = self.flac

    @cached_property
    def mark(self) -> int:
        """A number that tells this sound from others: the same sound, the same number."""
        return zlib.crc32(self.flac)


@dataclass(frozen=True, eq=False)
class Take:
    """One composed piece. mood: whose style it is played in; plain: how it sounds untouched; first: the same for the
    start before re-training, with its measures `before`; steps: what re-training did, step by step."""

    recipe: Recipe
    mood: str
    plain: Export
    first: Export
    targets: Targets
    before: Measures
    reached: Measures
    steps: list[Round]

    @classmethod
    def of(cls, recipe: Recipe, piece: Piece, steps: list[Round], stopped: bool = False) -> Take:
        """The take of a composed piece, without its sound. One that was stopped is a piece of so many rounds."""
        from generator.compose import measure

        if stopped:
            recipe = replace(recipe, rounds=max(piece.trace[-1].number, 1))
        plain = replace(piece.export)  # `replace` leaves behind what was worked out
        first = replace(plain, tokens=piece.before)
        before = measure(piece.before)
        return cls(recipe, piece.request.mood, plain, first, piece.targets, before, piece.reached, steps)

    def played(self, heard: Heard, first: bool = False) -> Export:
        """Its files as they are heard. A lead that cannot play this melody is left to the style."""
        export = self.first if first else self.plain
        lead = heard.lead if heard.lead in export.leads else None
        return replace(export, tempo=heard.tempo or export.tempo, lead=lead, parts=heard.parts)

    def again(self, change: Change, seed: int) -> Recipe:
        """The recipe of the same piece once more, but calmer, brighter, denser or sparser."""
        from generator.compose import again

        request = again(self.targets, self.mood, change, self.plain.tokens, seed)
        return replace(self.recipe, seed=seed, targets=request.targets, melody=self.plain.tokens.tobytes(),
                       keep=request.keep, origin=change, rounds=request.rounds).exactly()  # fmt: skip


class Shelf:
    """The last few sounds of a session, and of every take that was asked for a small one."""

    def __init__(self) -> None:
        self._sounds: OrderedDict[tuple[Take, Heard, bool], Sound] = OrderedDict()
        self._small: dict[Take, bytes] = {}

    def put(self, take: Take, heard: Heard, sound: Sound) -> None:
        """Keep a sound that is there already."""
        self._sounds[take, heard, False] = sound

    def sound(self, take: Take, heard: Heard, first: bool = False) -> Sound:
        """How a take sounds when heard so, after re-training or at first; worked out unless it is on the shelf."""
        key = (take, heard, first)
        if key not in self._sounds:
            self._sounds[key] = Sound(take.played(heard, first))
        self._sounds.move_to_end(key)
        while len(self._sounds) > KEPT:
            self._sounds.popitem(last=False)
        return self._sounds[key]

    def small(self, take: Take, heard: Heard) -> bytes:
        """How a take sounded at first, as an MP3 file of some 0.7 MB; made at the first call, and kept."""
        if take not in self._small:
            sound = self._sounds.get((take, heard, False))
            export = sound.export if sound else take.played(heard)
            self._small[take] = export.file("mp3")
        return self._small[take]
