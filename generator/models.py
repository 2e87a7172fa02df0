"""The networks that compose, loaded once: melody model, its prior, actor and critic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generator.actor_critic import ActorCritic, ActorCriticConfig, Tokens
from generator.musicvae.config import Config
from generator.musicvae.model import MelodyVAE
from generator.musicvae.prior import Prior, PriorConfig
from generator.weights import load_weights

ASSETS = Path(__file__).resolve().parent.parent / "assets"
PRIOR_STEPS = 16  # of the flow; more change the statistics of its melodies by less than their spread


@dataclass(frozen=True)
class Models:
    """Read-only and shared by all requests."""

    melody: MelodyVAE
    prior: Prior
    networks: ActorCritic

    def decode(self, z: Tensor) -> Tokens:
        """The likeliest melody of each latent, in the model's key: [N, z] -> uint8 [N, 256]."""
        tokens: Tokens = self.melody.decode(z).cpu().numpy().astype(np.uint8)
        return tokens

    def starts(self, count: int, seed: int) -> Tensor:
        """Latents drawn from the learned prior, [count, z]."""
        return self.prior.sample(count, torch.Generator().manual_seed(seed), PRIOR_STEPS)


@lru_cache(maxsize=1)
def default_models(assets: Path = ASSETS) -> Models:
    """The networks that ship. Raises CheckpointError where a file is missing or damaged."""
    models = Models(
        load_weights(assets / "melody.safetensors", "melody", Config, MelodyVAE),
        load_weights(assets / "prior.safetensors", "prior", PriorConfig, Prior),
        load_weights(assets / "actor_critic.safetensors", "actor-critic", ActorCriticConfig, ActorCritic),
    )
    if torch.cuda.is_available():
        for module in (models.melody, models.prior, models.networks):
            module.to("cuda")
    return models
