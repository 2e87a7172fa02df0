"""Charts of a melody, of its refining and of the mood plane, as Altair charts that a page or a notebook can show.

note_seq.plot_sequence breaks with the current bokeh, so the piano roll is drawn here. Colours are left to the theme of
whoever shows the chart; nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.melody import STEPS_PER_BAR, Tokens, notes

if TYPE_CHECKING:
    import altair as alt

    Chart = alt.Chart | alt.LayerChart | alt.FacetChart

BARS = 16
ACCENT = "#3d7a78"


def piano_roll(
    tokens: Tokens, chords: Sequence[str] = (), *, bar_label: str = "bar", pitch_label: str = "pitch"
) -> Chart:
    """The melody's notes over 16 bars, with a chord name above each bar where there are any.

    tokens: [256]. chords: one name a bar, or as many as divide the 16 bars evenly.
    """
    import altair as alt

    rows: list[dict[str, Any]] = [
        {"start": start / STEPS_PER_BAR, "end": end / STEPS_PER_BAR, "low": pitch - 0.45, "high": pitch + 0.45}
        for pitch, start, end in notes(tokens).tolist()
    ]
    low = min((row["low"] for row in rows), default=60) - 1.5
    high = max((row["high"] for row in rows), default=60) + 2.5
    octaves = [pitch for pitch in range(int(low) + 1, int(high) + 1) if pitch % 12 in (0, 7)]
    bar_axis = alt.Axis(
        values=list(range(BARS + 1)),
        labelExpr=f"datum.value < {BARS} ? datum.value + 1 : ''",
        labelAlign="left",
        grid=True,
        title=bar_label,
    )
    # Names of C and G only: enough to read a register without crowding a phone.
    names = "(datum.value % 12 == 0 ? 'C' : 'G') + (floor(datum.value / 12) - 1)"
    pitch_axis = alt.Axis(values=octaves, labelExpr=names, title=pitch_label)
    base = alt.Chart(alt.Data(values=rows)).mark_rect(cornerRadius=2, color=ACCENT)
    roll = base.encode(
        x=alt.X("start:Q", scale=alt.Scale(domain=[0, BARS], nice=False), axis=bar_axis),
        x2="end:Q",
        y=alt.Y("low:Q", scale=alt.Scale(domain=[low, high], nice=False, zero=False), axis=pitch_axis),
        y2="high:Q",
    )
    width = BARS / len(chords) if chords else 0.0
    above = [
        # Neighbours in two rows, or long names would run into each other on a phone.
        {"at": (index + 0.5) * width, "name": name, "y": high - 0.6 - 1.2 * (index % 2)}
        for index, name in enumerate(chords)
    ]
    names_above = (
        alt.Chart(alt.Data(values=above))
        .mark_text(fontSize=11, fontWeight="bold")
        .encode(x=alt.X("at:Q"), y=alt.Y("y:Q"), text="name:N")
    )
    return alt.layer(roll, names_above).properties(height=230)


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
    """Named shares (0..1) as bars, the largest first, each with its per cent written beside it."""
    import altair as alt

    rows = [{"name": name, "share": share} for name, share in sorted(values.items(), key=lambda item: -item[1])]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=120, ticks=False, domain=False)),
        x=alt.X("share:Q", scale=alt.Scale(domain=[0, 1.15]), axis=None),
    )
    bars = base.mark_bar(cornerRadius=2, color=ACCENT)
    return alt.layer(
        bars, base.mark_text(align="left", dx=4).encode(text=alt.Text("share:Q", format=".0%"))
    ).properties(height=24 * len(rows))
