"""Pictures of a run, drawn by matplotlib without pyplot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import emotion
from generator.evaluation.rivals import FULL, LESS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

    from generator.evaluation.figures import Figures

MAJOR, MINOR = "#c98a2b", "#1b6f6a"
INK, GREY = "#333333", "#9aa7b1"


def control(figures: Figures) -> Picture:
    """Requested against obtained, density above and mean pitch below, a column for each method."""
    from matplotlib.figure import Figure as Picture

    methods = [name for name in figures.outcomes if not name.startswith(LESS)]
    picture = Picture(figsize=(2.5 * len(methods), 5.6), layout="constrained")
    axes = picture.subplots(2, len(methods), squeeze=False)
    targets = figures.plan.targets.of(figures.wanted)
    for column, method in enumerate(methods):
        melodies = figures.melodies(method)
        rows = (
            (targets.density, melodies.density, (0.0, 12.0), "notes a bar"),
            (targets.pitch, melodies.pitch, (50.0, 88.0), "mean pitch"),
        )
        for row, (wanted, obtained, limits, what) in enumerate(rows):
            place = axes[row, column]
            place.plot(limits, limits, color=GREY, linewidth=0.8)
            for mode, colour, marker, label in ((True, MAJOR, "o", "major"), (False, MINOR, "^", "minor")):
                asked = targets.major == mode
                place.scatter(
                    wanted[asked],
                    obtained[asked],
                    s=9,
                    color=colour,
                    marker=marker,
                    alpha=0.6,
                    linewidth=0,
                    label=label,
                )
            place.set(xlim=(wanted.min() - 0.5, wanted.max() + 0.5), ylim=limits)
            if row == 0:
                place.set_title(method, fontsize=10)
            if column == 0:
                place.set_ylabel(f"obtained {what}")
            place.set_xlabel(f"requested {what}")
    axes[0, 0].legend(fontsize=8, loc="upper left")
    return picture


def copying(figures: Figures) -> Picture:
    """How many melodies share a run of at least so many intervals with a training tune."""
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(9, 3.4), layout="constrained")
    for place, (rhythm, title) in zip(
        picture.subplots(1, 2, sharey=True), ((False, "intervals"), (True, "intervals and durations")), strict=True
    ):
        for method, colour, style, label in (
            (None, INK, "-", "held-out real tunes"),
            ("prior sample", GREY, ":", "prior samples"),
            (FULL, MAJOR, "--", "actor-critic re-training"),
        ):
            runs = np.sort(figures.runs(method, rhythm))
            lengths = np.arange(runs.max() + 2)
            share = [(runs >= length).mean() for length in lengths]
            place.plot(lengths, share, color=colour, linestyle=style, label=label)
        place.set(xlabel=f"longest shared run, {title}", ylim=(0, 1.02))
    picture.axes[0].set_ylabel("share of melodies")
    picture.axes[0].legend(fontsize=8)
    return picture


def confusion(figures: Figures) -> Picture:
    """Which mood the classifier took the pieces of each for."""
    from matplotlib.figure import Figure as Picture

    names = list(emotion.categories())
    picture = Picture(figsize=(5.6, 4.8), layout="constrained")
    place = picture.subplots()
    shares = figures.told.confusion
    place.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(shares > 0):
        share = shares[row, column]
        place.text(
            column, row, f"{share:.0%}", ha="center", va="center", fontsize=8, color="white" if share > 0.5 else INK
        )
    place.set_xticks(range(len(names)), names, rotation=45, ha="right")
    place.set_yticks(range(len(names)), names)
    place.set(xlabel="taken for", ylabel="made for")
    return picture
