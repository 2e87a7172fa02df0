"""docs/evaluation.md, written from the figures of a run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

import emotion
from generator.evaluation import plots
from generator.evaluation.figures import PRIOR, SPACE_FROM, Estimate, Figures
from generator.evaluation.measures import RESAMPLES
from generator.evaluation.rivals import CMA_POPULATION, CMA_SIGMA, FULL, GRADIENT_RATE, GRADIENT_STEPS, LESS
from generator.evaluation.run import ABLATED, ENCODED, JOINT, SAME, SAME_TARGETS
from generator.losses import Melodies

WORST_SHOWN = 6  # features with the least overlap


def write(figures: Figures, out: Path, command: str, model: str) -> Path:
    """Write the report and its pictures into a folder; returns the report's path."""
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in (("control", plots.control), ("copying", plots.copying), ("confusion", plots.confusion)):
        picture(figures).savefig(out / f"evaluation-{name}.png", dpi=90)
    report = out / "evaluation.md"
    report.write_text("\n".join([*_opening(figures, command, model), *_tables(figures), *_method(figures)]) + "\n")
    return report


def _opening(figures: Figures, command: str, model: str) -> list[str]:
    targets = len(figures.wanted)
    median = figures.control(FULL)["seconds, median"][0]
    own = f"{FULL} ends by its own rule (median {median:.2f} s)"
    return [
        "# The method against its rivals",
        "",
        "All figures come from one run of one command, which wrote this page:",
        "",
        f"    {command}",
        "",
        f"{targets} joint random targets: density 2 to 9 notes a bar, mean pitch 58 to 80, major or minor, 16 bars. "
        "Every method had the same targets, the same seeds and the same computing time a piece, "
        f"{figures.seconds:.2f} s on one core; {own}, and one prior sample takes what it takes. A machine of "
        f"{os.cpu_count()} cores, model {model!r}. Brackets are 95 % bootstrap intervals over the targets.",
        "",
    ]


def _tables(figures: Figures) -> list[str]:
    methods = [name for name in figures.outcomes if not name.startswith(LESS)]
    control = {name: figures.control(name) for name in methods}
    music = {name: figures.music(name) for name in methods} | {"other matched tunes": figures.music(None)}
    lines = ["## Control", "", "![Requested against obtained](evaluation-control.png)", ""]
    lines += _table(control, {"density r": 3, "density error": 2, "pitch r": 3, "pitch error": 2, "mode right": 3})
    lines += ["", "Errors in notes a bar and in semitones; r is Pearson's. Time of a piece in seconds:", ""]
    lines += _table(control, {"seconds, median": 2, "seconds, 95 %": 2})
    lines += ["", "## Music", ""]
    lines += _table(music, {"chord tones": 3, "Fréchet, matched": 2, "Fréchet, as they come": 2, "overlap": 3})
    real = Melodies(figures.real)
    lines += [
        "",
        f"Chord tones: share of the sounding time; held-out tunes of the targets' densities and modes have "
        f"{real.chord_tones.mean():.3f}. Fréchet distance to those matched tunes, and to held-out tunes as they come; "
        "overlap: area that the distributions share with the matched tunes', mean over the features. The features in "
        f"which the pieces of {FULL} are least like matched tunes, and the same for prior samples:",
        "",
        *_worst(figures),
        "",
        "## Diversity",
        "",
        f"Mean distance between the pieces for one target ({SAME_TARGETS} targets), as a share of prior samples':",
        "",
    ]
    varied = {name: {"share of the prior's": figures.diversity(name)} for name in methods}
    lines += _table(varied, {"share of the prior's": 3})
    lines += ["", "## What each part brings", "", *_parts(figures)]
    lines += [
        "",
        "## Copying",
        "",
        "![Runs shared with training tunes](evaluation-copying.png)",
        "",
        *_copying(figures),
    ]
    return [*lines, "", "## The nine moods", "", *_moods(figures), ""]


def _parts(figures: Figures) -> list[str]:
    count = min(ABLATED, len(figures.wanted))
    rows = {FULL: figures.control(FULL, count) | figures.music(FULL, count)}
    rows |= {name: figures.control(name) | figures.music(name) for name in figures.outcomes if name.startswith(LESS)}
    columns = {"density error": 2, "pitch error": 2, "mode right": 3, "chord tones": 3, "Fréchet, matched": 2}
    return [
        f"The method less a part, on the first {count} of the targets; distances are larger for fewer targets, so they "
        "compare within this table only. The method without re-training is the actor alone, above.",
        "",
        *_table(rows, columns | {"seconds, median": 2, "seconds, 95 %": 2}),
    ]


def _worst(figures: Figures) -> list[str]:
    ours, prior = figures.areas(FULL), figures.areas(PRIOR)
    worst = sorted(ours, key=lambda name: ours[name])[:WORST_SHOWN]
    rows = [f"| {name} | {ours[name]:.2f} | {prior[name]:.2f} |" for name in worst]
    return [f"| feature | {FULL} | {PRIOR} |", "|---|---|---|", *rows]


def _copying(figures: Figures) -> list[str]:
    sources = {"held-out real tunes": None} | {name: name for name in figures.outcomes if not name.startswith(LESS)}
    rows = []
    for label, method in sources.items():
        cells = []
        for rhythm in (False, True):
            runs = figures.runs(method, rhythm)
            median, high = np.percentile(runs, [50, 95])
            cells += [f"{median:.0f}", f"{high:.0f}", f"{runs.max()}"]
        rows.append(f"| {label} | {' | '.join(cells)} |")
    return [
        "Longest run of melodic intervals that a piece shares with any training tune, in any key; beside it with equal "
        "durations. Held-out tunes are of the targets' densities, and of other origin than all training tunes.",
        "",
        "| | intervals: median | 95 % | most | with durations: median | 95 % | most |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def _moods(figures: Figures) -> list[str]:
    table, told, names = figures.of_moods, figures.told, list(emotion.categories())
    per_mood = len(told.right) // len(names)
    hardest = sorted(told.pairs, key=lambda pair: told.pairs[pair])[:3]
    pairs = ", ".join(f"{names[a]} and {names[b]} {told.pairs[a, b]:.2f}" for a, b in hardest)
    return [
        "| " + " | ".join(table[0]) + " |",
        "|" + "---|" * len(table[0]),
        *("| " + " | ".join(row.values()) + " |" for row in table),
        "",
        "Spread as one standard deviation. A classifier from notes alone (linear discriminants on the features below, "
        "mean pitch and the lead of the major key; tempo and accompaniment are not shown to it), trained on half of "
        f"the seeds, names the mood of {told.right.mean():.3f} of the other half ({per_mood} pieces a mood; by chance "
        f"{1 / len(names):.2f}). Two moods at a time: worst {pairs}; mean {np.mean(list(told.pairs.values())):.3f}.",
        "",
        "![Which mood pieces were taken for](evaluation-confusion.png)",
    ]


def _method(figures: Figures) -> list[str]:
    same = int((figures.plan.group == SAME).sum()) // SAME_TARGETS
    return [
        "## How it was measured",
        "",
        "- Every method proposes latents. All are decoded, moved to the key within six semitones that brings the mean "
        "pitch nearest the reference, judged by the same exact losses and the same realism, and the best is kept: "
        "every method uses the key, so that none must move the register by more than the key leaves over.",
        "- Prior sample, best of N, attribute vectors and CMA-ES begin with draws from the learned prior as they come; "
        "the other methods with draws that are planned for the targets (`generator/musicvae/plan.py`), which is part "
        "of the method: best of N planned samples shows what plans bring alone, and the row without plans what the "
        "rest brings without them. Attribute vectors: differences of the mean latents of the halves "
        f"of {ENCODED} encoded training melodies with more and with less of an attribute (MusicVAE, section 5.5), "
        "scaled to the target by regression, from further draws while there is time. CMA-ES: PyPI cma, diagonal, in "
        f"units of the latents' spread, sigma {CMA_SIGMA}, population {CMA_POPULATION}, from the best of the first "
        "draws. Gradient: Adam in z on value, realism and length of the move by the critic as trained in advance, rate "
        f"{GRADIENT_RATE}, decoded every {GRADIENT_STEPS} steps. Actor alone: as trained in advance, on further draws.",
        "- Without realism and without value: that part has no weight at the request (networks trained in advance are "
        "the same). Without pre-training: fresh networks.",
        f"- Feature space, {len(figures.space.names)} features in units of their spread over {SPACE_FROM} training "
        f"melodies: {', '.join(figures.space.names)}. The Fréchet distance is that of the fitted Gaussians, squared as "
        "in FID. It is never 0 for samples of this size: the row of other matched tunes is what to compare with.",
        "- Matched tunes: for each target a window of the test split of its mode, within a quarter of a note a bar of "
        "its density where there is one, drawn by the weights of training.",
        "- Distance of two pieces: share of the sixteenths at which they differ in what sounds (in the home key) or "
        f"in whether a note begins; {same} pieces a target.",
        "- Copying: exact search of all runs of intervals among all training windows.",
        f"- Intervals: {RESAMPLES:,} resamples of the {int((figures.plan.group == JOINT).sum())} targets; for "
        "distances between distributions and overlaps twice the resampled standard deviation to each side.",
        "- Nothing was tuned on the test split: the losses' constants come from the training split, the method's "
        "settings from other random targets. The rivals' settings were set beforehand and not tuned.",
    ]


def _table(rows: dict[str, dict[str, Estimate]], columns: dict[str, int]) -> list[str]:
    """Rows by method, columns by measure with their decimals; the method itself in bold."""
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name, found in rows.items():
        cells = [_cell(found[column], decimals) for column, decimals in columns.items()]
        lines.append(f"| {f'**{name}**' if name == FULL else name} | " + " | ".join(cells) + " |")
    return lines


def _cell(estimate: Estimate, decimals: int) -> str:
    value, low, high = (f"{number:.{decimals}f}" for number in estimate)
    return f"{value} [{low}, {high}]"
