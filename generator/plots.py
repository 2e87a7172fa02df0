"""Charts of the mood plane, of shares and of a melody's refining, for a page or a notebook to show.

Colours are left to the theme of whoever shows the chart, where Altair lets it; nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import hypot
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

    Chart = alt.Chart | alt.LayerChart | alt.FacetChart


VALENCE, AROUSAL = (-0.95, 1.0), (-0.8, 0.7)  # What the plane shows of -1..1: all nine moods, and some air.
TAP = "tap"  # The name of the plane's selection.
GRID = 0.1  # Between the places where a tap can land; a tap this near to a mood is that mood.

Place = tuple[float, float]


def plane(
    moods: Mapping[str, tuple[str, Place]], here: Place | None, titles: tuple[str, str], ink: str = "black"
) -> Chart:
    """The moods in the valence-arousal plane, and a cross where the visitor is.

    moods: by name, what to write beside it and its (valence, arousal). titles: of the two axes. ink: of all writing.
    The selection `tap` has the `name` of the mood nearest to the tap, or "" between them, `valence` and `arousal`.
    """
    import altair as alt

    places = [place for _, place in moods.values()]
    rows: list[dict[str, Any]] = [
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
    x = alt.X("valence:Q", title=titles[0], scale=alt.Scale(domain=VALENCE), axis=alt.Axis(labels=False, ticks=False))
    y = alt.Y("arousal:Q", title=titles[1], scale=alt.Scale(domain=AROUSAL), axis=alt.Axis(labels=False, ticks=False))
    tap = alt.selection_point(name=TAP, fields=["name", "valence", "arousal"], nearest=True, toggle=False)
    targets = alt.Chart(alt.Data(values=rows + between)).mark_point(opacity=0, size=60).encode(x=x, y=y).add_params(tap)
    dots = alt.Chart(alt.Data(values=rows)).mark_circle(size=110, opacity=0.9).encode(x=x, y=y)
    names = (
        alt.Chart(alt.Data(values=rows))
        .mark_text(align="left", dx=9, fontSize=13, color=ink)
        .encode(x=x, y=y, text="label:N")
    )
    cross = [] if here is None else [{"valence": here[0], "arousal": here[1]}]
    marker = (
        alt.Chart(alt.Data(values=cross))
        .mark_point(shape="cross", size=260, filled=True, color=ink, opacity=1)
        .encode(x=x, y=y)
    )
    return alt.layer(dots, names, marker, targets).properties(height=330)


def curves(series: Mapping[str, Sequence[float]]) -> str:
    """Named series side by side, each with its first and last value, as HTML in the colours of what it stands in.

    Drawn anew several times a second while a melody is refined, where a chart library would keep a phone busy.
    """
    curves = "".join(_curve(name, values) for name, values in series.items())
    return f'<div style="display: flex; gap: 1.5rem; flex-wrap: wrap">{curves}</div>'


def _curve(name: str, values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    span = high - low or 1.0
    right = max(len(values) - 1, 1)
    points = " ".join(f"{100 * i / right:.1f},{28 - 26 * (value - low) / span:.1f}" for i, value in enumerate(values))
    return f"""<div style="flex: 1; min-width: 6.5rem">
<div style="font-size: 0.875rem">{escape(name)} <b>{values[0]:.2f} → {values[-1]:.2f}</b></div>
<svg viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true" style="width: 100%; height: 48px">
<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="2" vector-effect="non-scaling-stroke"/>
</svg></div>"""


def shares(values: Mapping[str, float]) -> Chart:
    """Named shares (0..1) as bars, the largest first, each with its name and per cent before it."""
    import altair as alt

    ranked = sorted(values.items(), key=lambda item: -item[1])
    rows = [{"name": f"{name} {share:.0%}", "share": share} for name, share in ranked]
    axis = alt.Axis(labelLimit=150, labelFontSize=13, ticks=False, domain=False)
    chart: alt.Chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(cornerRadius=2)
        .encode(
            y=alt.Y("name:N", sort=None, title=None, axis=axis),
            x=alt.X("share:Q", scale=alt.Scale(domain=[0, 1]), axis=None),
        )
        .properties(height=24 * len(rows))
    )
    return chart
