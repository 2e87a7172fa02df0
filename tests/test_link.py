"""Links carry everything that a piece is made from, and nothing that a stranger writes into one does harm."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import emotion
from generator.link import Heard, LinkError, Recipe, from_query, read_melody, to_query, write_melody
from generator.losses import Targets

MOODS = sorted(emotion.categories())
PLAIN = {"mood": "peaceful", "seed": "7"}

tokens = (
    some.lists(some.integers(0, 89), min_size=256, max_size=256).filter(lambda t: sum(n > 1 for n in t) > 1).map(bytes)
)
percents = some.integers(0, 100).map(lambda share: share / 100)
targets = some.builds(
    Targets,
    density=some.integers(100, 1200).map(lambda n: n / 100),
    pitch=some.integers(4800, 9000).map(lambda n: n / 100),
    major=some.booleans(),
    tempo=some.integers(400, 2200).map(lambda n: n / 10),
)
recipes = some.builds(
    Recipe,
    moods=some.dictionaries(some.sampled_from(MOODS), some.integers(1, 100).map(lambda n: n / 100), min_size=1),
    seed=some.integers(0, 999_999),
    melody=some.none() | tokens,
    targets=some.none() | targets,
    origin=some.sampled_from(["new", "own", "calmer", "brighter", "denser", "sparser"]),
    rounds=some.integers(1, 30),
    temperature=percents,
    model=some.sampled_from(["default", "hierdec-mel_16bar", "my_own.model"]),
)
heards = some.builds(
    Heard,
    tempo=some.none() | some.integers(40, 220),
    lead=some.none() | some.sampled_from(["flute", "steel_guitar"]),
    parts=some.sampled_from(["melody", "chords", "full"]),
)


@given(recipe=recipes, heard=heards, keep=percents)
def test_a_link_gives_back_what_was_put_in(recipe: Recipe, heard: Heard, keep: float) -> None:
    if recipe.melody is not None:
        recipe = replace(recipe, keep=keep)
    assert from_query(to_query(recipe, heard)) == (recipe, heard)
    assert recipe.exactly() == recipe


def test_a_melody_is_what_it_was() -> None:
    melody = bytes(range(64)) * 4
    assert read_melody(write_melody(melody)) == melody


def test_what_is_as_usual_is_left_out() -> None:
    assert to_query(Recipe({"peaceful": 1.0}, 7), Heard()) == {"mood": "peaceful:100", "seed": "7"}
    assert from_query(PLAIN) == (Recipe({"peaceful": 1.0}, 7), Heard())


def test_a_melody_of_music_takes_few_characters() -> None:
    rng = np.random.default_rng(0)
    melody = np.zeros(256, np.uint8)
    melody[rng.choice(256, 96, replace=False)] = rng.choice([1, 41, 43, 45, 46, 48, 50, 52, 53, 55], 96)
    assert len(write_melody(melody.tobytes())) < 250


def test_what_is_usual_is_what_composing_does_by_itself() -> None:
    from generator.compose import Request

    (plain, own) = Recipe({"dark": 1.0}, 3).request(), Request.for_moods({"dark": 1.0}, 3)
    assert vars(plain) == vars(own)


def test_exactly_rounds_as_the_link_does() -> None:
    recipe = Recipe({"clear": 0.123456, "dark": 0.004}, 1, targets=Targets(5.123456, 70.98765, True, 120.123))
    rounded = recipe.exactly()
    assert rounded.moods == {"clear": 0.12}
    assert rounded.targets == Targets(5.12, 70.99, True, 120.1)
    assert rounded.exactly() == rounded


def pack(data: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(data, 9)).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello there",
        "한국어",
        "AAAA",
        pack(b""),
        pack(bytes(255)),
        pack(bytes(256)),
        pack(bytes(257)),
        pack(bytes(10_000_000))[:600],
        pack(b"\xff" * 256),
        pack(bytes(range(64)) * 4)[:-8],
    ],
)
def test_what_is_no_melody_is_refused(text: str) -> None:
    with pytest.raises(LinkError, match="melody"):
        read_melody(text)


@pytest.mark.parametrize(
    "part",
    [
        {"mood": "hungry"},
        {"mood": ""},
        {"mood": "peaceful:0"},
        {"mood": "peaceful:" + "9" * 5000},
        {"mood": "peaceful," * 300},
        {"seed": "x"},
        {"seed": "-1"},
        {"seed": "1.5"},
        {"seed": "1000000"},
        {"seed": "٧"},
        {"melody": pack(bytes(300))},
        {"melody": "A" * 5000},
        {"keep": "101"},
        {"targets": "5,70,major"},
        {"targets": "5,70,dorian,98"},
        {"targets": "500,70,major,98"},
        {"targets": "5,nan,major,98"},
        {"rounds": "0"},
        {"rounds": "31"},
        {"temperature": "1.01"},
        {"temperature": "1e-1"},
        {"model": "../../etc/passwd"},
        {"model": ""},
        {"origin": "stolen"},
        {"tempo": "39"},
        {"lead": "a b"},
        {"parts": "drums"},
    ],
)
def test_a_part_that_makes_no_sense_is_named(part: dict[str, str]) -> None:
    (name,) = part
    with pytest.raises(LinkError, match=name):
        from_query(PLAIN | part)


def test_a_link_without_a_tune_is_refused() -> None:
    with pytest.raises(LinkError, match="seed"):
        from_query({"mood": "peaceful"})


@given(some.dictionaries(some.sampled_from([*to_query(Recipe({"dark": 1}, 1, bytes(range(64)) * 4), Heard()), "targets",
                                            "tempo", "lead", "parts", "rounds", "temperature", "model", "origin"]),
                         some.text(max_size=40)))  # fmt: skip
def test_any_text_is_read_or_refused(query: dict[str, str]) -> None:
    try:
        read: Any = from_query(query)
    except LinkError:
        return
    assert from_query(to_query(*read)) == read
