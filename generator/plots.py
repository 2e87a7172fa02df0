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

VALENCE, AROUSAL = (-0.95, 1.0), (-0.8, 0.7)  # What the plane shows of -1..1: all nine moods, and some air.
TAP = "tap"  # The name of the plane's selection.
GRID = 0.1  # Between the places where a tap can land; a tap this near to a mood is that mood.

Place = tuple[float, float]


def plane(
    moods: Mapping[str, tuple[str, Place]], here: Place | None, titles: tuple[str, str], ink: str = "black"
) -> Chart:
    """The moods in the valence-arousal plane, and a ring where the visitor is.

    moods: by name, what to write beside it and its (valence, arousal). titles: of the two axes. ink: of all writing.
    The selection `tap` has the `name` of the mood nearest to the tap, or "" between them, `valence` and `arousal`.
    """
    places = [place for _, place in moods.values()]
    rows = [
        {"name": name, "label": label, "valence": place[0], "arousal": place[1]}
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
    x, y = _axis("valence", titles[0], VALENCE), _axis("arousal", titles[1], AROUSAL)
    place: Chart = {"x": x, "y": y}
    thin: Chart = {"type": "rule", "color": ink, "opacity": 0.15}
    return {
        "height": 330,
        "layer": [
            {"data": {"values": [{"valence": 0}]}, "mark": thin, "encoding": {"x": x}},
            {"data": {"values": [{"arousal": 0}]}, "mark": thin, "encoding": {"y": y}},
            {"data": {"values": rows}, "mark": {"type": "circle", "size": 110, "opacity": 0.9}, "encoding": place},
            {
                "data": {"values": rows},
                "mark": {"type": "text", "align": "left", "dx": 14, "fontSize": 13, "color": ink},
                "encoding": place | {"text": {"field": "label", "type": "nominal"}},
            },
            {
                "data": {"values": ring},
                "mark": {"type": "point", "size": 420, "strokeWidth": 2.5, "color": ink, "opacity": 1},
                "encoding": place,
            },
            {
                "data": {"values": rows + between},
                "params": [{"name": TAP, "select": tap}],
                "mark": {"type": "point", "opacity": 0, "size": 60},
                "encoding": place,
            },
        ],
    }


def _axis(name: str, title: str, limits: tuple[float, float]) -> Chart:
    plain = {"labels": False, "ticks": False, "grid": False, "domain": False}
    return {"field": name, "type": "quantitative", "title": title, "scale": {"domain": list(limits)}, "axis": plain}


def curves(series: Mapping[str, Sequence[float]]) -> str:
    """Named series side by side, each with its first and last value, as HTML in the colours of what it stands in.

    Drawn anew several times a second while a melody is refined, where a chart library would keep a phone busy; and by
    clipped boxes, since Streamlit takes drawings (SVG) out of HTML.
    """
    curves = "".join(_curve(name, values) for name, values in series.items())
    return f'<div style="display: flex; gap: 1.5rem; flex-wrap: wrap">{curves}</div>'


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
    return f"""<div style="flex: 1; min-width: 6.5rem">
<div style="font-size: 0.875rem">{escape(name)} <b>{values[0]:.2f} → {values[-1]:.2f}</b></div>
<div style="position: relative; height: 48px" aria-hidden="true">
<div style="{box}({top}, {back})"></div>
<div style="{box}({top}, 100% 100%, 0% 100%); opacity: 0.15"></div>
</div></div>"""


def shares(values: Mapping[str, float]) -> Chart:
    """Named shares (0..1) as bars, the largest first, each with its name and per cent before it."""
    ranked = sorted(values.items(), key=lambda item: -item[1])
    rows = [{"name": f"{name} {share:.0%}", "share": share} for name, share in ranked]
    names = {"labelLimit": 150, "labelFontSize": 13, "ticks": False, "domain": False}
    return {
        "height": 24 * len(rows),
        "data": {"values": rows},
        "mark": {"type": "bar", "cornerRadius": 2},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": names},
            "x": {"field": "share", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": None},
        },
    }
