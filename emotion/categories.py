"""The nine categories of mood, read from assets/categories.csv.

The table says which of its columns are measured and which are design. Names are English ("peaceful") and Korean
("평화로움"); both find a category.
"""

from __future__ import annotations

import csv
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from .errors import UnknownMoodError

TABLE = Path(__file__).resolve().parent.parent / "assets" / "categories.csv"


@dataclass(frozen=True)
class Category:
    """One mood. Measured unless said otherwise; the head of the table has the sources.

    name, korean: "peaceful", "평화로움"
    valence, arousal: place in the plane, -1..1 each
    density: note onsets a bar of 4/4 at `tempo`
    tempo: beats a minute
    p_major: probability of a major key, 0..1
    pitch: mean MIDI pitch of the melody; a design choice, not a measurement
    """

    name: str
    korean: str
    valence: float
    arousal: float
    density: float
    tempo: float
    p_major: float
    pitch: float


@cache
def categories() -> MappingProxyType[str, Category]:
    """The nine by English name, in the table's order."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    rows = [
        Category(
            name=row["category"],
            korean=unicodedata.normalize("NFC", row["korean"]),
            valence=float(row["valence"]),
            arousal=float(row["arousal"]),
            density=float(row["notes_per_bar"]),
            tempo=float(row["bpm"]),
            p_major=float(row["p_major"]),
            pitch=float(row["pitch_design"]),
        )
        for row in csv.DictReader(lines)
    ]
    return MappingProxyType({row.name: row for row in rows})


def category(name: str) -> Category:
    """The category with this English or Korean name; case and surrounding spaces do not matter.

    Raises UnknownMoodError, which lists the nine.
    """
    # Korean typed on some systems comes decomposed into letters; NFC joins them.
    wanted = unicodedata.normalize("NFC", name).strip().lower()
    for each in categories().values():
        if wanted in (each.name, each.korean):
            return each
    known = ", ".join(f"{each.name} ({each.korean})" for each in categories().values())
    raise UnknownMoodError(f"There is no mood {name[:40]!r}. The nine are: {known}.")
