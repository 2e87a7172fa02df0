"""The nine moods: found by either name, with the values of the reference they were made from."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path

import pytest

import emotion

REFERENCE = Path(__file__).parents[2] / "shared" / "emotion" / "reference.csv"


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table lies outside the repository")
def test_table_is_the_reference() -> None:
    rows = {row["category"]: row for row in csv.DictReader(REFERENCE.read_text(encoding="utf-8").splitlines())}
    nine = emotion.categories()
    assert list(nine) == list(rows)
    for name, each in nine.items():
        row = rows[name]
        assert (each.korean, each.density, each.tempo, each.p_major, each.pitch) == (
            row["korean"],
            *(float(row[column]) for column in ("notes_per_bar", "bpm", "p_major", "pitch_design")),
        )
        assert (each.valence, each.arousal) == (float(row["valence"]), float(row["arousal"]))


@pytest.mark.parametrize(
    "name", ["peaceful", " Peaceful\n", "PEACEFUL", "평화로움", unicodedata.normalize("NFD", "평화로움")]
)
def test_found_by_either_name(name: str) -> None:
    assert emotion.category(name) is emotion.categories()["peaceful"]


@pytest.mark.parametrize("name", ["", "sad", "평화", "../../etc/passwd", "x" * 10_000])
def test_unknown_mood_lists_the_nine(name: str) -> None:
    with pytest.raises(emotion.UnknownMoodError) as caught:
        emotion.category(name)
    message = str(caught.value)
    assert all(each.name in message and each.korean in message for each in emotion.categories().values())
    assert len(message) < 400
    assert isinstance(caught.value, ValueError)


def test_values_are_in_range() -> None:
    for each in emotion.categories().values():
        assert -1 <= each.valence <= 1
        assert -1 <= each.arousal <= 1
        assert 1 <= each.density <= 16
        assert 60 <= each.tempo <= 200
        assert 0 <= each.p_major <= 1
        assert 48 <= each.pitch <= 84
