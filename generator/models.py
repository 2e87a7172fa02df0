"""The networks that compose, loaded once: melody model, its prior, actor and critic.

"default" is the set that ships. Others are what `python -m generator import` has taken in, with an actor that
`python -m generator train-actor` has made for it, and folders that `python -m generator train` has filled.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from generator.actor_critic import ActorCritic, ActorCriticConfig, Tokens
from generator.losses import TargetRows
from generator.musicvae.config import Config
from generator.musicvae.errors import CheckpointError
from generator.musicvae.importer import imported_models, models_folder
from generator.musicvae.lstm_store import load_lstm
from generator.musicvae.lstm_vae import LstmVAE
from generator.musicvae.model import MelodyVAE
from generator.musicvae.prior import Prior, PriorConfig
from generator.weights import load_weights, trained_with

ASSETS = Path(__file__).resolve().parent.parent / "assets"
DEFAULT = "default"
MELODY, PRIOR, ACTOR_CRITIC = "melody.safetensors", "prior.safetensors", "actor_critic.safetensors"
PRIOR_STEPS = 12  # of the flow, for each bar; more take longer, leap more and return less
ENCODE_BATCH = 32  # Magenta's encoder takes 20 MB a melody

MelodyModel = MelodyVAE | LstmVAE
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Models:
    """Read-only and shared by all requests. prior: None where latents are drawn from N(0, I)."""

    melody: MelodyModel
    prior: Prior | None
    networks: ActorCritic
    name: str = DEFAULT

    @property
    def home_key(self) -> bool:
        """Whether the model knows melodies in one key only, C major or A minor (`generator.key.home_shift`)."""
        return isinstance(self.melody, MelodyVAE)

    @property
    def device(self) -> torch.device:
        """Where the latents belong."""
        return next(self.melody.parameters()).device

    def decode(self, z: Tensor, temperature: float = 0.0, seed: int = 0) -> Tokens:
        """The likeliest melody of each latent, in the model's key: [N, z] -> uint8 [N, 256].

        With a temperature it is drawn. The same seed gives the same noise, so that what a latent decodes to changes
        with the latent alone.
        """
        noise = torch.Generator(z.device).manual_seed(seed) if temperature else None
        tokens: Tokens = self.melody.decode(z, temperature, noise).cpu().numpy().astype(np.uint8)
        return tokens

    @torch.no_grad()
    def posterior(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents of melodies in the model's key: uint8 [N, 256] -> [N, z] each."""
        parts = torch.split(torch.from_numpy(tokens.astype(np.int64)).to(self.device), ENCODE_BATCH)
        means, deviations = zip(*(self.melody.encode(part) for part in parts), strict=True)
        return torch.cat(means), torch.cat(deviations)

    def encode(self, tokens: Tokens) -> Tensor:
        """The posterior's mean: uint8 [N, 256] -> [N, z]. Where `home_key` is set, move the melodies there first."""
        return self.posterior(tokens)[0]

    def starts(self, count: int, seed: int, wanted: TargetRows | None = None) -> Tensor:
        """Latents drawn from the learned prior, or from N(0, I) where there is none, [count, z].

        wanted: targets, one a latent; the learned prior plans its melodies near them.
        """
        generator = torch.Generator().manual_seed(seed)
        if self.prior is None:
            return torch.randn(count, self.melody.config.z, generator=generator).to(self.device)
        asked = None if wanted is None else torch.from_numpy(wanted.table()).to(self.device)
        return self.prior.sample(count, generator, PRIOR_STEPS, asked)

    def to(self, device: Device) -> Models:
        """Move the networks. "auto": to the GPU where there is one. Raises ValueError where "cuda" is not there."""
        chosen = choose_device(device)
        for module in (self.melody, self.prior, self.networks):
            if module is not None:
                module.to(chosen)
        return self


def choose_device(device: Device) -> Literal["cpu", "cuda"]:
    """What "auto" is on this machine. Raises ValueError for "cuda" where there is no GPU."""
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise ValueError("device cuda: PyTorch finds no GPU on this machine; leave --device out, or take cpu")
    return "cuda" if there and device != "cpu" else "cpu"


def default_models(assets: Path = ASSETS, device: Device = "auto") -> Models:
    """The networks that ship. Raises CheckpointError where a file is missing or damaged."""
    return _shipped(assets, device)


def models_there() -> list[str]:
    """Names that `load_models` knows: "default", then imported models, with an actor of their own or not yet."""
    return [DEFAULT, *sorted(set(imported_models()) - {DEFAULT})]


def load_models(name: str = DEFAULT, device: Device = "auto") -> Models:
    """The networks of a name in `models_there()`, or of a folder that `python -m generator train` has filled.

    Kept in memory: the default and the last other one. Raises ValueError for a name that is not there, CheckpointError
    for files that cannot be used and for an imported model that has no actor yet.
    """
    if name == DEFAULT:
        return default_models(device=device)
    if (Path(name) / MELODY).is_file():
        files = tuple(Path(name) / file for file in (MELODY, PRIOR, ACTOR_CRITIC))
    else:
        files = (imported_file(name), actor_file(name))
    changed = tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in files)
    return _other(name, files, changed, device)


def untrained_models(name: str, device: Device = "auto") -> Models:
    """An imported model with an actor and a critic that know nothing yet. Raises as `load_models`."""
    file = imported_file(name)
    model = load_lstm(file)
    if (model.config.tokens, model.config.bar, model.config.bars) != (90, 16, 16):
        sizes = f"{model.config.bars} bars of {model.config.bar} steps, {model.config.tokens} tokens"
        raise CheckpointError(file.name, "a model of 16 bars of 16 steps, 90 tokens", sizes)
    return Models(model, None, ActorCritic.for_latent(model.config.z, bars=1), name).to(device)


def imported_file(name: str) -> Path:
    """Where the weights of an imported model lie. Raises ValueError, with the names that are there."""
    there = imported_models()
    if name not in there or name == DEFAULT:
        raise ValueError(
            f"no model is called {name!r}. There are: {', '.join(models_there())}. "
            "Take others in with: python -m generator import NAME_OR_PATH"
        )
    return there[name]


def actor_file(name: str) -> Path:
    """Where the actor and critic of an imported model lie."""
    return models_folder() / "actors" / f"{name}.safetensors"


@lru_cache(maxsize=1)
def _shipped(assets: Path, device: Device) -> Models:
    return _folder(assets, DEFAULT).to(device)


@lru_cache(maxsize=1)  # a full-size imported model takes 700 MB
def _other(name: str, files: tuple[Path, ...], changed: tuple[int, ...], device: Device) -> Models:
    """A model that does not ship. changed: when its files were; another time, another model."""
    if len(files) == 3:
        return _folder(files[0].parent, name).to(device)
    actor = files[1]
    remedy = f"train one with: python -m generator train-actor --model {name}"
    if not actor.is_file():
        raise CheckpointError(name, "an actor for this model, which composes with it", f"none; {remedy}")
    untrained = untrained_models(name, device)
    networks = load_weights(actor, "actor-critic", ActorCriticConfig, ActorCritic)
    if trained_with(actor).get("weights") != fingerprint(untrained.melody):
        raise CheckpointError(actor.name, f"an actor trained with the weights of {name}", f"another's; {remedy}")
    return Models(untrained.melody, None, networks, name).to(device)


def fingerprint(model: MelodyModel) -> str:
    """What tells a model's weights from others' of its sizes: a checksum of its biases, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for _, parameter in sorted(model.named_parameters()):
        if parameter.ndim == 1:
            digest.update(parameter.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _folder(folder: Path, name: str) -> Models:
    """The three files of `python -m generator train`."""
    models = Models(
        load_weights(folder / MELODY, "melody", Config, MelodyVAE),
        load_weights(folder / PRIOR, "prior", PriorConfig, Prior),
        load_weights(folder / ACTOR_CRITIC, "actor-critic", ActorCriticConfig, ActorCritic),
        name,
    )
    lengths = [models.melody.config.z, models.prior.mean.numel() if models.prior else 0, models.networks.config.z]
    if len(set(lengths)) > 1:
        found = f"latents of {', '.join(map(str, lengths))}"
        raise CheckpointError(folder, f"one length of latent in {MELODY}, {PRIOR} and {ACTOR_CRITIC}", found)
    return models
