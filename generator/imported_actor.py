"""An actor and a critic for an imported model: `python -m generator train-actor --model NAME`.

The critic's realism needs latents of real melodies. They are the posterior's, of tunes from a file of melodies, moved
into random keys; without a file, of melodies that the default model writes, and realism then means "like those". How
many are encoded and decoded is a matter of time, since Magenta's full-size encoder takes a second a melody on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generator.actor_critic import Tokens
from generator.key import transpose
from generator.models import ENCODE_BATCH, Device, Models, actor_file, default_models, fingerprint, untrained_models
from generator.musicvae.corpus import load_corpus
from generator.train_actor import draw_targets, train
from generator.weights import save_weights

MINUTES = 20.0
REAL, STARTS = 20_000, 8192
ENCODE_SHARE = 0.3  # of the minutes, at most
SAMPLES = 8  # of the posterior of each melody, where few could be encoded

Say = Callable[[str], None]


def train_imported(
    name: str, data: Path | None, out: Path | None, minutes: float | None, seed: int, device: Device, say: Say
) -> Path:
    """Train and write the file, in the models' folder unless `out` names another. Returns where it is.

    minutes: of training; encoding and decoding melodies comes first and takes up to .6 as long again. Raises ValueError
    for a model that is not there or data that cannot be used, CheckpointError for damaged weights.
    """
    models, minutes = untrained_models(name, device), minutes or MINUTES
    if data is None:
        say("real latents: of melodies that the default model writes; --data FILE takes tunes instead")
        melodies = _written(seed)
    else:
        melodies = _read(data, seed)
    begun = time.monotonic()
    real = _latents(models, melodies, ENCODE_SHARE * 60 * minutes, seed)
    spent = time.monotonic() - begun
    say(f"{len(real)} latents of real melodies after {spent:.0f} s")
    starts = models.starts(STARTS, seed)

    def report(step: int, seconds: float, figures: dict[str, float]) -> None:
        said = ", ".join(f"{k} {v:.3f}" for k, v in figures.items())
        say(f"actor {spent + seconds:.0f} s, step {step}: {said}")

    asked = draw_targets(np.random.default_rng(seed), STARTS)
    networks = train(models.networks, models.decode, real, starts, asked, minutes, seed, report)
    out = out or actor_file(name)
    out.parent.mkdir(parents=True, exist_ok=True)
    trained = {"model": name, "weights": fingerprint(models.melody), "data": data.name if data else "default model"}
    save_weights(networks, "actor-critic", networks.config, out, trained | {"seed": seed, "minutes": minutes})
    return out


def _written(seed: int) -> Iterator[Tokens]:
    """Melodies of the default model, uint8 [32, 256] at a time."""
    models = default_models()
    while True:
        yield models.decode(models.starts(ENCODE_BATCH, seed))
        seed += 1


def _read(data: Path, seed: int) -> Iterator[Tokens]:
    """Melodies of a file, uint8 [32, 256] at a time."""
    corpus, rng = load_corpus(data, "train", home_key=False), np.random.default_rng(seed)
    while True:
        yield corpus.draw(rng, ENCODE_BATCH)


def _latents(models: Models, melodies: Iterator[Tokens], seconds: float, seed: int) -> Tensor:
    """Samples of the posteriors of as many melodies, moved into random keys, as the time allows: [N, z]."""
    begun, rng = time.monotonic(), np.random.default_rng(seed)
    parts: list[tuple[Tensor, Tensor]] = []
    while not parts or (time.monotonic() - begun < seconds and len(parts) * ENCODE_BATCH < REAL):
        batch = next(melodies)
        parts.append(models.posterior(transpose(batch, rng.integers(-5, 7, len(batch)))))
    mu, sigma = (torch.cat(each) for each in zip(*parts, strict=True))
    times = max(1, min(SAMPLES, REAL // len(mu)))
    noise = torch.randn(times * len(mu), mu.shape[1], generator=torch.Generator().manual_seed(seed))
    return mu.repeat(times, 1) + sigma.repeat(times, 1) * noise.to(mu.device)
