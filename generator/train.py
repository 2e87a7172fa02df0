"""All four stages of training, one after the other, from a file of melodies to the files in assets/.

    python -m generator train --data melodies.npz --out runs/first

Each stage leaves its state in the output folder and goes on from it when started again; a finished stage is passed
over. How long each takes on one core is in `generator.musicvae.train.RECIPES` and `ACTOR_MINUTES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generator.actor_critic import ActorCritic
from generator.models import PRIOR_STEPS, Models
from generator.musicvae import train as stages
from generator.musicvae.config import Config
from generator.musicvae.corpus import Corpus, load_corpus
from generator.musicvae.model import MelodyVAE
from generator.musicvae.prior import Prior, PriorConfig
from generator.musicvae.report import reconstruction, samples
from generator.train_actor import train as train_actor
from generator.weights import save_weights

ACTOR_MINUTES = 10.0
START_WINDOWS = 3000  # for the principal components
REAL, STARTS = 20_000, 8192  # latents the actor's stage learns from
REPORT_WINDOWS = 1000
REPORT_EVERY = 500  # steps
AVERAGE = 0.999  # of the prior's weights, a step


def train(data: Path, out: Path, minutes: float | None, seed: int, say: Callable[[str], None]) -> None:
    """Run the stages that `out` does not hold yet. minutes: for each stage, instead of the recipes' own.

    Raises ValueError or FileNotFoundError where the data cannot be used.
    """
    out.mkdir(parents=True, exist_ok=True)
    corpus = load_corpus(data, "train")
    held_out = load_corpus(data, "test").windows
    windows = held_out[np.random.default_rng(seed).permutation(len(held_out))[:REPORT_WINDOWS]]
    trained: dict[str, Any] = {"data": data.name, "seed": seed}
    torch.manual_seed(seed)

    model = MelodyVAE(Config())
    rng = np.random.default_rng(seed)
    recipe = _recipe("bar", minutes)
    first = out / "bar.pt"
    stages.run(model, stages.bar_loss(model, corpus, rng, recipe.batch), recipe, first, _report(say, "bar"))
    recipe, second = _recipe("melody", minutes), out / "melody.pt"
    if not second.exists():
        stages.start_from_components(model, corpus.draw(rng, START_WINDOWS))
    loss = stages.melody_loss(model, corpus, rng, recipe.batch, stages.BETA)
    stages.run(model, loss, recipe, second, _report(say, "melody"))
    model.eval().requires_grad_(False)
    figures = reconstruction(model, windows, seed)
    save_weights(model, "melody", model.config, out / "melody.safetensors", trained | {"test": figures})
    say(json.dumps(figures, indent=1))

    prior = Prior(PriorConfig())
    recipe = _recipe("prior", minutes)
    loss = stages.prior_loss(prior, model, corpus, rng, recipe.batch)
    stages.run(prior, loss, recipe, out / "prior.pt", _report(say, "prior"), AVERAGE)
    prior.eval().requires_grad_(False)
    drawn = samples(model, prior, windows, PRIOR_STEPS, seed)
    save_weights(prior, "prior", prior.config, out / "prior.safetensors", trained | {"samples": drawn})
    say(json.dumps(drawn, indent=1))

    networks = advance(model, prior, corpus, minutes, seed, say)
    save_weights(networks, "actor-critic", networks.config, out / "actor_critic.safetensors", trained)


def advance(
    model: MelodyVAE, prior: Prior, corpus: Corpus, minutes: float | None, seed: int, say: Callable[[str], None]
) -> ActorCritic:
    """The actor's stage alone, for a melody model and a prior that are there."""
    models = Models(model, prior, ActorCritic.for_latent(model.config.z, model.config.bars))
    generator = torch.Generator().manual_seed(seed)
    mu, sigma = stages.latents(model, corpus.draw(np.random.default_rng(seed), REAL))
    real = mu + stages.POSTERIOR_SHARE * sigma * torch.randn(mu.shape, generator=generator)
    starts = torch.cat([prior.sample(256, generator, PRIOR_STEPS) for _ in range(STARTS // 256)])
    return train_actor(
        models.networks, models.decode, real, starts, minutes or ACTOR_MINUTES, seed, _report(say, "actor")
    )


def _recipe(stage: str, minutes: float | None) -> stages.Recipe:
    recipe = stages.RECIPES[stage]
    return recipe if minutes is None else replace(recipe, minutes=minutes)


def _report(say: Callable[[str], None], stage: str) -> stages.Report:
    def report(step: int, seconds: float, figures: dict[str, float]) -> None:
        if step % REPORT_EVERY == 0:
            say(f"{stage} {seconds:.0f} s, step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))

    return report
