"""A plan: what a melody is to be like as a whole, told to the prior before it draws the first bar.

A prior that knows only the bars before has to guess how busy a tune will be and how often it will return, and drifts
to the middle of what it has seen. So a tune's outline is drawn first, from those of real tunes, and its bars follow it.
An outline near a request's targets gives melodies near them, which an actor need not move far.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from generator.key import mean_pitch, mode_lead, sounding_pitch
from generator.musicvae.statistics import LAGS, note_statistics, returning, stepwise, turning

# An outline's numbers. Density in onsets a bar; pitch: the mean MIDI pitch in the model's key, by duration; mode: lead
# of the best major key over the best minor one; those of `note_statistics`; shares of notes that return after k bars;
# contour.
STATISTICS = ("mean interval", "large intervals", "pitch-class entropy", "scale consistency", "groove consistency")
CONTOUR = ("turns", "steps")
RETURNS = tuple(f"{what} {lag}" for lag in LAGS for what in ("lag", "returning"))
NAMES = ("density", "pitch", "mode", *STATISTICS, *RETURNS, *CONTOUR)
DENSITY, PITCH, MODE = 0, 1, 2
# What is told is a little off, in units of the numbers' spread: exact numbers would name one tune, which the prior
# would then write out. Density is told nearly as it is. The pitch may be off by as much as another key mends.
NOISE = np.array([0.05, 0.0, 0.05] + [0.2] * (len(NAMES) - 3))
KEY_REACH = 6  # semitones; the key a melody is played in is free
LEAST_LEAD = 0.05  # of the wanted mode in an outline that is near
NEIGHBOURS = 64  # outlines near a target, of which one is drawn
PART = 8192  # melodies at a time


def outlines(tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """The outlines of melodies in the model's key: tokens [N, 256] -> [N, len(NAMES)], in the numbers' own units."""
    parts = [_outlines(part) for part in np.array_split(tokens, -(-len(tokens) // PART))]
    return np.concatenate(parts)


def _outlines(tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    found = note_statistics(tokens)
    found["pitch"] = mean_pitch(sounding_pitch(tokens))
    found["mode"] = mode_lead(tokens)
    found |= {f"returning {lag}": returning(tokens, lag) for lag in LAGS}
    found |= zip(CONTOUR, (turning(tokens), stepwise(tokens)), strict=True)
    return np.stack([found[name] for name in NAMES], 1).astype(np.float32)


def units(rows: npt.NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Mean and spread that bring outlines [N, P] to zero mean and unit spread, [P] each."""
    mean, spread = rows.mean(0), np.maximum(rows.std(0), 1e-6)
    return torch.from_numpy(mean), torch.from_numpy(spread)


def blurred(plan: Tensor, spread: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Outlines [N, P] as they are told: off by `NOISE` of their spread [P], the pitch evenly by up to `KEY_REACH`."""
    noise = torch.from_numpy(NOISE.astype(np.float32)).to(plan) * spread
    told = plan + noise * torch.randn(plan.shape, generator=generator).to(plan)
    told[:, PITCH] += KEY_REACH * (2 * torch.rand(len(plan), generator=generator).to(plan) - 1)
    return told


def near(table: Tensor, spread: Tensor, wanted: Tensor, generator: torch.Generator) -> Tensor:
    """For each wanted density, pitch and mode, [N, 3], the number of one of the nearest rows of the table [M, P]: [N].

    Which of the nearest is drawn at random. The pitch counts from where another key no longer mends it.
    """
    off = (table[None, :, :MODE] - wanted[:, None, :MODE]).abs()  # [N, M, 2]
    far = off[..., DENSITY] / spread[DENSITY] + (off[..., PITCH] - KEY_REACH).clamp_min(0) / spread[PITCH]
    far = far + 100 * (table[None, :, MODE] * wanted[:, None, MODE] < LEAST_LEAD)
    nearest = far.topk(min(NEIGHBOURS, len(table)), largest=False).indices  # [N, NEIGHBOURS]
    chosen = torch.randint(nearest.shape[1], (len(wanted), 1), generator=generator).to(nearest.device)
    return nearest.gather(1, chosen)[:, 0]
