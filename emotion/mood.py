"""Seven expressions to valence and arousal to nine moods.

Step one is published: each expression has a place in the valence-arousal plane (Russell and Mehrabian 1977), and a
face lies at their mean, weighed by its probabilities. Step two is a design, not a measurement: landmarks carry the
plane of faces onto the plane of moods, and the nearer a mood, the more of it. docs/mood-map.md tells why and how.
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

# Design: (valence, arousal) of a kind of face, and the mood that it should sound like. The places are those where the
# networks put real faces of that kind. Faces at rest are calm, and a smile is read by its strength: the stronger, the
# livelier. A face that is a little of everything is mysterious, not gloomy.
LANDMARKS: tuple[tuple[float, float, str], ...] = (
    # at rest
    (0.00, 0.00, "peaceful"),
    (-0.06, 0.06, "peaceful"),
    (-0.14, 0.05, "peaceful"),
    # from a faint smile to a broad one
    (-0.11, 0.13, "clear"),
    (0.11, 0.10, "clear"),
    (0.22, 0.15, "clear"),
    (0.36, 0.24, "refreshing"),
    (0.46, 0.30, "refreshing"),
    (0.58, 0.40, "bright"),
    (0.68, 0.43, "bright"),
    (0.80, 0.50, "lively"),
    # hard to tell, or mildly surprised
    (-0.24, 0.00, "mysterious"),
    (-0.23, 0.17, "mysterious"),
    (-0.05, 0.25, "mysterious"),
    (0.14, 0.30, "mysterious"),
    # surprised
    (0.40, 0.60, "lively"),
    (0.26, 0.47, "lively"),
    (0.05, 0.60, "intense"),
    # angry or afraid
    (-0.24, 0.34, "intense"),
    (-0.40, 0.45, "intense"),
    (-0.60, 0.60, "intense"),
    # disgusted, or sad and angry or afraid at once
    (-0.38, 0.18, "dark"),
    (-0.50, 0.20, "dark"),
    (-0.60, 0.35, "dark"),
    # sad
    (-0.36, -0.02, "gloomy"),
    (-0.36, -0.14, "gloomy"),
    (-0.48, 0.00, "gloomy"),
    (-0.63, -0.27, "gloomy"),
)
# Both in units of the plane. Design: as wide as the landmarks are apart, so that the map is smooth and still turns from
# peaceful to lively within a smile; and about the distance between neighbouring moods, so that a mixture is heard.
LANDMARK_WIDTH = 0.06
MOOD_WIDTH = 0.2

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
    targets = [(nine[name].valence, nine[name].arousal) for *_, name in LANDMARKS]
    return np.array([face for *face, _ in LANDMARKS]), np.array(targets)
