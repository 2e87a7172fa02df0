"""Seven expressions to valence and arousal to nine moods.

Step one is published: each expression has a place in the valence-arousal plane (Russell and Mehrabian 1977), and a
face lies at their mean, weighed by its probabilities. Step two is a design, not a measurement: landmarks carry the
plane of faces onto the plane of moods, and the nearer a mood, the more of it. docs/moods.md tells why and how.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .categories import categories

# (valence, arousal), -1..1. Russell and Mehrabian 1977, J. Research in Personality 11.
EXPRESSION_PLACES: dict[str, tuple[float, float]] = {
    "angry": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happy": (0.81, 0.51),
    "sad": (-0.63, -0.27),
    "surprise": (0.40, 0.67),
    "neutral": (0.0, 0.0),
}

# Design: what a face of this kind should sound like, as a place among the moods. What is missing to 1 is neutral.
# A smile is read by its strength: a faint one is calm, a broad one lively. A face at rest is calm, and one that the
# networks are not sure of, mostly neutral with a little of all the rest, is mysterious rather than gloomy.
LANDMARKS: tuple[tuple[dict[str, float], str | tuple[str, str]], ...] = (
    ({}, ("clear", "mysterious")),
    ({"happy": 0.25}, "peaceful"),
    ({"happy": 0.45}, "clear"),
    ({"happy": 0.62}, "refreshing"),
    ({"happy": 0.82}, "bright"),
    ({"happy": 1.0}, "lively"),
    ({"happy": 0.6, "surprise": 0.4}, "lively"),
    ({"surprise": 0.4}, "mysterious"),
    ({"surprise": 1.0}, ("lively", "intense")),
    ({"sad": 0.2, "fear": 0.1, "angry": 0.1}, "mysterious"),
    ({"sad": 0.3}, ("mysterious", "gloomy")),
    ({"sad": 0.55}, "gloomy"),
    ({"sad": 1.0}, "gloomy"),
    ({"sad": 0.4, "angry": 0.2, "fear": 0.1}, "dark"),
    ({"sad": 0.5, "fear": 0.5}, "dark"),
    ({"disgust": 0.6}, "dark"),
    ({"disgust": 1.0}, "dark"),
    ({"angry": 0.5}, "intense"),
    ({"angry": 1.0}, "intense"),
    ({"fear": 0.5, "surprise": 0.3}, "intense"),
    ({"fear": 1.0}, ("intense", "dark")),
)
# Both in units of the plane. Design: as wide as the landmarks are apart, so that the map is smooth and still turns from
# peaceful to lively within a smile; and about the distance between neighbouring moods, so that a mixture is heard.
LANDMARK_WIDTH = 0.09
MOOD_WIDTH = 0.22

Point = tuple[float, float]


def place(expressions: Mapping[str, float]) -> Point:
    """(valence, arousal) of a face, -1..1 each: the mean of the expressions' places.

    expressions: probabilities of the seven by name; they need not sum to 1. Raises ValueError if one is missing,
    negative or not finite, or if all are 0.
    """
    p = np.array([expressions.get(name, np.nan) for name in EXPRESSION_PLACES], np.float64)
    if not (np.all(p >= 0) and 0 < p.sum() < np.inf):
        raise ValueError(f"Expected probabilities of {', '.join(EXPRESSION_PLACES)}, none negative, some above 0; "
                         f"got {dict(expressions)}.")  # fmt: skip
    valence, arousal = p / p.sum() @ np.array(list(EXPRESSION_PLACES.values()))
    return float(valence), float(arousal)


def among_moods(face: Point) -> Point:
    """Carry a face's place to its place among the moods: the mean of the landmarks, the nearer the heavier."""
    places, targets = _landmarks()
    squares = ((places - np.array(face)) ** 2).sum(axis=1)
    # Less the smallest, so that far outside the plane the nearest landmark still counts.
    weights = np.exp(-(squares - squares.min()) / (2 * LANDMARK_WIDTH**2))
    valence, arousal = weights @ targets / weights.sum()
    return float(valence), float(arousal)


def moods_at(point: Point) -> dict[str, float]:
    """Probabilities of the nine moods at a place among them, summing to 1: a Gaussian of each one's distance."""
    nine = categories()
    places = np.array([(each.valence, each.arousal) for each in nine.values()])
    squares = ((places - np.array(point)) ** 2).sum(axis=1)
    weights = np.exp(-(squares - squares.min()) / (2 * MOOD_WIDTH**2))
    return dict(zip(nine, (weights / weights.sum()).tolist(), strict=True))


def moods(expressions: Mapping[str, float]) -> dict[str, float]:
    """Probabilities of the nine moods for a face, summing to 1. Raises ValueError as `place` does."""
    return moods_at(among_moods(place(expressions)))


def strongest(distribution: Mapping[str, float]) -> dict[str, float]:
    """The two or three strongest moods of a distribution, strongest first, scaled to sum to 1, to compose for.

    The third is kept if it is at least half as strong as the first.
    """
    first, second, third = sorted(distribution.items(), key=lambda item: (-item[1], item[0]))[:3]
    kept = [first, second] + ([third] if third[1] >= first[1] / 2 else [])
    total = sum(value for _, value in kept)
    return {name: value / total for name, value in kept}


@cache
def _landmarks() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The landmarks' places among faces and among moods, (n, 2) each."""
    nine = categories()

    def target(names: str | tuple[str, str]) -> NDArray[np.float64]:
        both = (names,) if isinstance(names, str) else names
        middle: NDArray[np.float64] = np.array([(nine[name].valence, nine[name].arousal) for name in both]).mean(axis=0)
        return middle

    places = [
        place(dict.fromkeys(EXPRESSION_PLACES, 0.0) | {"neutral": 1 - sum(mix.values())} | mix) for mix, _ in LANDMARKS
    ]
    return np.array(places), np.array([target(names) for _, names in LANDMARKS])
