"""Charts of the mood plane, of shares and of a melody's refining, for a page or a notebook to show.

Charts are Vega-Lite specifications, written out as they are: a library that builds and checks them takes longer than
the rest of the page. Colours are left to the theme of whoever shows the chart; nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import hypot
from typing import Any

Chart = dict[str, Any]  # a Vega-Lite specification

# What the plane shows: all nine moods of -1..1, and beside them room for their names, on a narrow phone too.
VALENCE, AROUSAL = (-1.1, 1.15), (-0.8, 0.7)
TAP = "tap"  # The name of the plane's selection.
GRID = 0.1  # Between the places where a tap can land; a tap this near to a mood is that mood.

Place = tuple[float, float]

# Where the plane's four ends are written: left, right, bottom, top.
ENDS: tuple[tuple[Place, Chart], ...] = (
    ((VALENCE[0], 0), {"dy": -9}),
    ((VALENCE[1], 0), {"dy": -9, "align": "right"}),
    ((0, AROUSAL[0]), {"dx": 6, "dy": -6}),
    ((0, AROUSAL[1]), {"dx": 6, "dy": 8}),
)
PLACE: Chart = {
    axis: {"field": name, "type": "quantitative", "scale": {"domain": list(limits)}, "axis": None}
    for axis, name, limits in (("x", "valence", VALENCE), ("y", "arousal", AROUSAL))
}


def plane(
    moods: Mapping[str, tuple[str, Place]],
    here: Place | None,
    ends: tuple[str, str, str, str],
    colours: Mapping[str, str],
    ink: str = "black",
) -> Chart:
    """The moods in the valence-arousal plane, and a ring where the visitor is.

    moods: by name, what to write beside it and its (valence, arousal). ends: what lies left, right, at the bottom and
    at the top. colours: of the moods' dots, by name. ink: of all writing.
    The selection `tap` has the `name` of the mood nearest to the tap, or "" between them, `valence` and `arousal`.
    """
    places = [place for _, place in moods.values()]
    rows: list[dict[str, Any]] = [
        {"name": name, "label": label, "valence": place[0], "arousal": place[1], "colour": colours[name]}
        for name, (label, place) in moods.items()
    ]
    across, up = ([low + GRID * i for i in range(round((high - low) / GRID) + 1)] for low, high in (VALENCE, AROUSAL))
    between = [
        {"name": "", "label": "", "valence": round(v, 2), "arousal": round(a, 2)}
        for v in across
        for a in up
        if all(hypot(v - valence, a - arousal) > GRID for valence, arousal in places)
    ]
    ring = [] if here is None else [{"valence": here[0], "arousal": here[1]}]
    tap = {"type": "point", "fields": ["name", "valence", "arousal"], "nearest": True, "toggle": False}
    thin: Chart = {"type": "rule", "color": ink, "opacity": 0.15}
    dots = PLACE | {"color": {"field": "colour", "type": "nominal", "scale": None}}
    # Names stand on the outer side of their dots, where no line crosses them.
    left, right = ([row for row in rows if (row["valence"] < 0) == outer] for outer in (True, False))
    return {
        "height": 330,
        # Read aloud, the chart is its description: not each of its hundreds of places.
        "config": {"mark": {"aria": False}},
        "layer": [
            {"data": {"values": [{"valence": 0}]}, "mark": thin, "encoding": {"x": PLACE["x"]}},
            {"data": {"values": [{"arousal": 0}]}, "mark": thin, "encoding": {"y": PLACE["y"]}},
            *(
                _words([{"valence": at[0], "arousal": at[1], "label": end}], ink, opacity=0.75, fontSize=13, **style)
                for end, (at, style) in zip(ends, ENDS, strict=True)
            ),
            *(
                {
                    "data": {"values": rows},
                    "mark": {"type": "circle", "size": size, "opacity": opacity},
                    "encoding": dots,
                }
                for size, opacity in ((1000, 0.16), (130, 1))
            ),
            _words(left, ink, fontSize=13, align="right", dx=-16),
            _words(right, ink, fontSize=13, dx=16),
            {
                "data": {"values": ring},
                "mark": {"type": "point", "size": 340, "strokeWidth": 2.5, "color": ink, "opacity": 1},
                "encoding": PLACE,
            },
            {
                "data": {"values": rows + between},
                "params": [{"name": TAP, "select": tap}],
                "mark": {"type": "point", "opacity": 0, "size": 60, "cursor": "pointer"},
                "encoding": PLACE,
            },
        ],
    }


def _words(rows: list[dict[str, Any]], ink: str, **style: object) -> Chart:
    """The labels of rows at their places."""
    mark = {"type": "text", "color": ink, "align": "left"} | style
    return {"data": {"values": rows}, "mark": mark, "encoding": PLACE | {"text": {"field": "label", "type": "nominal"}}}


def curves(series: Mapping[str, Sequence[float]]) -> str:
    """Named series side by side, each with its first and last value, as HTML in the colours of what it stands in.

    Drawn anew several times a second while a melody is refined, where a chart library would keep a phone busy; and by
    clipped boxes, since Streamlit takes drawings (SVG) out of HTML.
    """
    curves = "".join(_curve(name, values) for name, values in series.items())
    return f'<div style="display: flex; gap: 1rem; flex-wrap: wrap">{curves}</div>'


def _curve(name: str, values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    span = high - low or 1.0
    right = max(len(values) - 1, 1)
    points = [(100 * i / right, 90 - 85 * (value - low) / span) for i, value in enumerate(values)]
    if len(points) == 1:
        points.append((100.0, points[0][1]))
    top = ", ".join(f"{x:.1f}% {y:.1f}%" for x, y in points)
    back = ", ".join(f"{x:.1f}% calc({y:.1f}% + 2px)" for x, y in reversed(points))
    box = "position: absolute; inset: 0; background: currentColor; clip-path: polygon"
    return f"""<div style="flex: 1; min-width: 6rem">
<div style="font-size: 0.875rem">{escape(name)}<br><b>{values[0]:.2f} → {values[-1]:.2f}</b></div>
<div style="position: relative; height: 48px" aria-hidden="true">
<div style="{box}({top}, {back})"></div>
<div style="{box}({top}, 100% 100%, 0% 100%); opacity: 0.15"></div>
</div></div>"""


def shares(values: Mapping[str, float], ink: str = "black") -> Chart:
    """Named shares (0..1) as bars, the largest first, each with its name and per cent before it in that ink."""
    ranked = sorted(values.items(), key=lambda item: -item[1])
    rows = [{"name": f"{name} {share:.0%}", "share": share} for name, share in ranked]
    names = {"labelLimit": 150, "labelFontSize": 13, "labelColor": ink, "ticks": False, "domain": False}
    return {
        "height": 24 * len(rows),
        "config": {"mark": {"aria": False}},
        "data": {"values": rows},
        "mark": {"type": "bar", "cornerRadius": 2},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": names},
            "x": {"field": "share", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": None},
        },
    }
