"""Charts of a melody's refining and of shares, as Altair charts that a page or a notebook can show.

Colours are left to the theme of whoever shows the chart; nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import altair as alt

    Chart = alt.Chart | alt.LayerChart | alt.FacetChart


def curves(series: Mapping[str, Sequence[float]], *, round_label: str = "round") -> Chart:
    """Named series over the rounds, each told apart by its dash as well as by its colour."""
    import altair as alt

    rows = [
        {"name": name, "round": index, "value": value}
        for name, values in series.items()
        for index, value in enumerate(values)
    ]
    chart: alt.Chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("round:Q", title=round_label, axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=None),
            color=alt.Color("name:N", title=None, sort=list(series), legend=alt.Legend(orient="top")),
            strokeDash=alt.StrokeDash("name:N", title=None, sort=list(series)),
        )
        .properties(height=180)
    )
    return chart


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
