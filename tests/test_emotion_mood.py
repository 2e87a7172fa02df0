"""The map from seven expressions to nine moods: its properties, and what real faces become."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emotion
from emotion.mood import EXPRESSION_PLACES, among_moods, moods, moods_at, place, strongest
from emotion.recognizer import EXPRESSIONS, Embedded
from tests.emotion_pictures import AT_REST, SAD, SMILING, astronaut, encoded, faces, hopper

NAMES = list(EXPRESSION_PLACES)
CALM = {"peaceful", "clear", "refreshing"}


@st.composite
def expressions(draw: st.DrawFn) -> dict[str, float]:
    weights = draw(st.lists(st.floats(0, 1), min_size=7, max_size=7).filter(lambda w: sum(w) > 1e-3))
    return {name: weight / sum(weights) for name, weight in zip(NAMES, weights, strict=True)}


points = st.tuples(st.floats(-1, 1), st.floats(-1, 1))


def mix(**probabilities: float) -> dict[str, float]:
    """These expressions, the rest neutral."""
    return dict.fromkeys(NAMES, 0.0) | {"neutral": 1 - sum(probabilities.values())} | probabilities


def top(distribution: dict[str, float]) -> str:
    return max(distribution, key=distribution.__getitem__)


@given(expressions())
def test_a_proper_distribution(face: dict[str, float]) -> None:
    result = moods(face)
    assert list(result) == list(emotion.categories())
    assert math.isclose(sum(result.values()), 1, abs_tol=1e-9)
    assert all(0 <= value <= 1 for value in result.values())


@given(expressions(), st.randoms(use_true_random=False), st.floats(0.01, 100))
def test_order_and_scale_of_the_seven_do_not_matter(face: dict[str, float], random: object, scale: float) -> None:
    names = list(face)
    random.shuffle(names)  # type: ignore[attr-defined]
    again = moods({name: scale * face[name] for name in names})
    assert again == pytest.approx(moods(face), abs=1e-9)


@given(expressions(), expressions(), st.floats(0, 1))
def test_continuous(face: dict[str, float], other: dict[str, float], share: float) -> None:
    # A step of .001 in the expressions moves no mood by more than .05.
    def between(part: float) -> dict[str, float]:
        return {name: (1 - part) * face[name] + part * other[name] for name in NAMES}

    here, there = moods(between(share)), moods(between(min(share + 0.001, 1)))
    assert max(abs(here[name] - there[name]) for name in here) < 0.05


@given(expressions())
def test_place_lies_among_the_expressions(face: dict[str, float]) -> None:
    valence, arousal = place(face)
    xs, ys = zip(*EXPRESSION_PLACES.values(), strict=True)
    assert min(xs) - 1e-9 <= valence <= max(xs) + 1e-9
    assert min(ys) - 1e-9 <= arousal <= max(ys) + 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_a_certain_expression_lies_at_its_own_place(name: str) -> None:
    assert place(mix(neutral=0.0) | {name: 1.0}) == pytest.approx(EXPRESSION_PLACES[name])


@given(points)
def test_nearer_means_more(point: tuple[float, float]) -> None:
    nine = emotion.categories().values()
    distances = {each.name: math.dist(point, (each.valence, each.arousal)) for each in nine}
    result = moods_at(point)
    ordered = sorted(result, key=distances.__getitem__)
    for nearer, farther in pairwise(ordered):
        assert result[nearer] >= result[farther] - 1e-12


@given(st.permutations(list(emotion.categories())))
def test_symmetric_between_two_moods(names: list[str]) -> None:
    # Midway between two moods both are equally strong; mirrored about the middle they change places.
    a, b = (emotion.categories()[name] for name in names[:2])
    middle = ((a.valence + b.valence) / 2, (a.arousal + b.arousal) / 2)
    assert moods_at(middle)[a.name] == pytest.approx(moods_at(middle)[b.name], abs=1e-9)
    off, back = (
        moods_at((middle[0] + sign * (a.valence - middle[0]) / 3, middle[1] + sign * (a.arousal - middle[1]) / 3))
        for sign in (1, -1)
    )
    assert off[a.name] / (off[a.name] + off[b.name]) == pytest.approx(back[b.name] / (back[a.name] + back[b.name]))


@given(expressions())
def test_strongest_two_or_three(face: dict[str, float]) -> None:
    everything = moods(face)
    chosen = strongest(everything)
    assert len(chosen) in (2, 3)
    assert math.isclose(sum(chosen.values()), 1, abs_tol=1e-9)
    assert list(chosen.values()) == sorted(chosen.values(), reverse=True)
    assert min(everything[name] for name in chosen) >= max(
        (everything[name] for name in everything if name not in chosen and len(chosen) == 3), default=0
    )
    assert top(everything) in chosen


@pytest.mark.parametrize(
    "bad",
    [{}, {"happy": 1.0}, dict.fromkeys(NAMES, 0.0), mix(happy=-1.0), mix(happy=math.nan), mix(sad=math.inf)],
)
def test_what_is_no_distribution_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Expected probabilities of angry"):
        moods(bad)


@pytest.mark.parametrize("share", np.linspace(0, 1, 21))
def test_the_stronger_the_smile_the_livelier(share: float) -> None:
    calmer, livelier = (among_moods(place(mix(happy=part))) for part in (share, min(share + 0.05, 1)))
    assert livelier[1] >= calmer[1] - 1e-9


def test_kinds_of_faces() -> None:
    assert top(moods(mix())) in CALM
    assert top(moods(mix(sad=0.15, angry=0.08, fear=0.05))) in CALM  # what networks see in a plain face
    for faint in (0.1, 0.2, 0.3, 0.4, 0.5):
        assert top(moods(mix(happy=faint))) in CALM
    for broad in (0.7, 0.8, 0.9, 1.0):
        assert top(moods(mix(happy=broad))) in {"bright", "lively"}
    for sad in (0.5, 0.7, 1.0):
        assert top(moods(mix(sad=sad))) == "gloomy"
    assert top(moods(mix(angry=0.8))) == "intense"
    assert top(moods(mix(disgust=0.7))) == "dark"
    assert top(moods(mix(surprise=0.5))) == "mysterious"
    for sad in np.linspace(0, 0.3, 13):
        assert top(moods(mix(sad=float(sad)))) not in {"gloomy", "dark"}


@pytest.fixture(scope="module")
def of_real_faces() -> list[dict[str, float]]:
    """The expressions of 100 photographed faces."""
    model = Embedded()
    return [dict(zip(EXPRESSIONS, model.expressions(face).tolist(), strict=True)) for face in faces()]


def test_ordinary_faces_reach_all_nine(of_real_faces: list[dict[str, float]]) -> None:
    found = [top(moods(face)) for face in of_real_faces]
    assert set(found) == set(emotion.categories())
    assert max(found.count(name) for name in found) <= 25  # and none swallows the others


def test_smiles_rest_and_sadness_of_real_faces(of_real_faces: list[dict[str, float]]) -> None:
    by_kind = [[top(moods(of_real_faces[i])) for i in kind] for kind in (SMILING, AT_REST, SAD)]
    assert set(by_kind[0]) <= {"bright", "lively", "refreshing"}
    assert sum(mood in {"bright", "lively"} for mood in by_kind[0]) >= 0.9 * len(SMILING)
    assert "gloomy" not in by_kind[1]
    assert set(by_kind[2]) == {"gloomy"}


def test_photographs_of_a_smile_and_of_a_face_at_rest() -> None:
    smile, rest = emotion.read(encoded(astronaut())), emotion.read(encoded(hopper()))
    assert smile.mood in {"bright", "lively"}
    assert rest.mood in CALM
    assert rest.moods["gloomy"] < 0.05
    assert smile.valence > 0.5
    assert abs(rest.valence) < 0.25
