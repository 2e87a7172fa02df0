"""Where a request starts in latent space: at draws from the prior, or at a melody of which some is to stay."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from generator.actor_critic import Tokens
from generator.key import find_key, home_shift, parallel, sounding_pitch, transpose
from generator.losses import Floats, Melodies, Targets, Wanted
from generator.models import Models

BEAT = 4  # sixteenths
CONTOUR_WEIGHT = 3.0  # where all is to be kept; grows with the square of the share that is
VARIETY = 0.15  # of the way to the melody's own latent, between the nearest and the farthest start
# Of the actor's move, what planned starts take, from the most moved one to the least: they are near their targets, and
# a whole move costs more of the music than it brings.
PLANNED_SHARES = (0.6, 0.1)
LESS_MOVED = 0.8  # of the actor's move, what the least moved start does not take where all is to be kept


def pitch_curve(tokens: npt.NDArray[np.integer]) -> Floats:
    """The mean pitch of each beat, a rest as the note before it, about the melody's own mean: [N, 256] -> [N, 64]."""
    pitch = sounding_pitch(tokens).astype(np.float64)
    steps = np.arange(pitch.shape[1])
    heard = np.maximum.accumulate(np.where(pitch > 0, steps, -1), axis=1)
    first = (pitch > 0).argmax(1)[:, None]
    filled = np.take_along_axis(pitch, np.where(heard >= 0, heard, first), axis=1)
    beats = filled.reshape(len(tokens), -1, BEAT).mean(2)
    return np.asarray(beats - beats.mean(1, keepdims=True))


def contour_kept(tokens: npt.NDArray[np.integer], original: Tokens) -> Floats:
    """How much of the contour of `original` [256] melodies [N, 256] have: the correlation of their pitch curves.

    -1..1 each, [N]; 1 for the same contour in any key and octave, 0 where they have nothing in common, and where a
    melody stays on one note.
    """
    curves, reference = pitch_curve(tokens), pitch_curve(original[None])[0]
    lengths = np.linalg.norm(curves, axis=1) * np.linalg.norm(reference)
    return np.asarray(curves @ reference / np.maximum(lengths, 1e-9) * (lengths > 1e-9))


class ContourLoss:
    """A melody that a request starts from should be heard in its result: what its contour lacks, 0..2."""

    name = "contour"

    def __init__(self, original: Tokens) -> None:
        self.original = original

    def __call__(self, melodies: Melodies, targets: Wanted) -> Floats:
        return np.asarray(1 - contour_kept(melodies.tokens, self.original))


def from_melody(models: Models, melody: Tokens, targets: Targets, keep: float, count: int, seed: int) -> Tensor:
    """Latents between a melody [256] in the wanted mode and melodies drawn for the targets, [count, z].

    keep 1: the melody's own latent; 0: the draws; between, on the arc from the draw to its own. The first is that near;
    the others are up to `VARIETY` nearer to their draws. The melody is moved into the model's key first; the register,
    fitted afterwards, gives it a key again.
    """
    own = models.encode(at_home(models, in_mode(melody, targets.major))[None])
    nearness = torch.linspace(keep, max(keep - VARIETY, 0.0), count).to(own)
    return toward(models.starts(count, seed, targets.rows(count)), own.expand(count, -1), nearness)


def planned_shares(models: Models, count: int) -> Tensor | None:
    """How much of the actor's move each start takes that was planned for its targets, [count]; None, all of it, where
    the model has no prior that plans."""
    return None if models.prior is None else torch.linspace(*PLANNED_SHARES, count, device=models.device)


def shares(keep: float, count: int) -> Tensor:
    """How much of the actor's move each start takes, [count]: from all of it down to less, the more is to stay."""
    return torch.linspace(1.0, 1.0 - LESS_MOVED * keep, count)


def in_mode(melody: Tokens, major: bool) -> Tokens:
    """A melody [256] in the parallel key of the wanted mode, or as it is where it has that mode already."""
    return melody if find_key(melody).major == major else parallel(melody[None])[0]


def at_home(models: Models, melody: Tokens) -> Tokens:
    """The melody [256] in the key that the model knows, or as it is where the model knows all keys."""
    return transpose(melody, home_shift(melody)) if models.home_key else melody


def toward(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Latents [N, z] a share (0..1, [N]) of the way from `start` to `end`, on the arc between them.

    The straight way would pass nearer the origin than latents of real melodies lie.
    """
    lengths = start.norm(dim=1, keepdim=True) * end.norm(dim=1, keepdim=True)
    cosine = (start * end).sum(1, keepdim=True) / lengths.clamp_min(1e-9)
    angle = cosine.clamp(-0.999, 0.999).acos()
    way = share[:, None] * angle
    mixed: Tensor = ((angle - way).sin() * start + way.sin() * end) / angle.sin()
    return mixed
