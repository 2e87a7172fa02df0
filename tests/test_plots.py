"""Charts as data: what a tap can hit, what a reader is told."""

from __future__ import annotations

import re
from math import hypot
from typing import Any

import emotion
from generator import plots


def plane(here: tuple[float, float] | None = None) -> dict[str, Any]:
    moods = {each.name: (each.korean, (each.valence, each.arousal)) for each in emotion.categories().values()}
    return plots.plane(moods, here, ("unpleasant", "pleasant", "calm", "excited"), dict.fromkeys(moods, "teal"))


def marks(chart: dict[str, Any], kind: str) -> list[list[dict[str, Any]]]:
    """The rows of each layer of that kind of mark."""
    return [layer["data"]["values"] for layer in chart["layer"] if layer["mark"]["type"] == kind]


def test_charts_are_valid_vega_lite() -> None:
    # Altair knows the schema; Streamlit brings it along.
    from altair import Chart, LayerChart

    LayerChart.from_dict(plane((0.5, -0.25)))
    Chart.from_dict(plots.shares({"sad": 0.25, "happy": 0.75}))


def test_every_mood_is_inside_the_plane_and_has_its_name() -> None:
    halos, rows = marks(plane(), "circle")
    assert halos == rows
    assert {row["name"] for row in rows} == set(emotion.categories())
    assert all(plots.VALENCE[0] < row["valence"] < plots.VALENCE[1] for row in rows)
    assert all(plots.AROUSAL[0] < row["arousal"] < plots.AROUSAL[1] for row in rows)
    written = [row["label"] for layer in marks(plane(), "text") for row in layer]
    ends = ["unpleasant", "pleasant", "calm", "excited"]
    assert sorted(written) == sorted(ends + [each.korean for each in emotion.categories().values()])


def test_a_tap_on_a_mood_hits_that_mood_and_a_tap_elsewhere_none() -> None:
    targets = plane()["layer"][-1]["data"]["values"]
    named = [row for row in targets if row["name"]]
    between = [row for row in targets if not row["name"]]
    assert len(named) == 9
    assert len(between) > 100
    for mood in named:
        near = min(hypot(mood["valence"] - row["valence"], mood["arousal"] - row["arousal"]) for row in between)
        assert near >= plots.GRID - 0.01  # A finger has room.


def test_the_ring_stands_where_the_visitor_is_and_nowhere_without_one() -> None:
    assert marks(plane((0.5, -0.25)), "point")[0] == [{"valence": 0.5, "arousal": -0.25}]
    assert marks(plane(), "point")[0] == []


def test_shares_are_told_largest_first_with_their_per_cent() -> None:
    chart = plots.shares({"sad": 0.25, "happy": 0.75})
    assert [row["name"] for row in chart["data"]["values"]] == ["happy 75%", "sad 25%"]


def test_curves_fall_where_the_values_fall_and_names_are_escaped() -> None:
    html = plots.curves({"loss <b>": [4.0, 2.0, 1.0], "still": [0.5, 0.5], "one": [1.0]})
    assert "loss &lt;b&gt;" in html
    assert "4.00 → 1.00" in html
    lines = re.findall(r"polygon\((.*?), 100% 100%, 0% 100%\)", html)
    heights = [[float(point.split()[1].rstrip("%")) for point in line.split(", ")] for line in lines]
    assert heights[0] == sorted(heights[0])  # Down the page is down in value.
    assert heights[0][0] < heights[0][1] < heights[0][2]
    assert [len(line) for line in heights] == [3, 2, 2]  # One round is a level line.
    assert "svg" not in html
