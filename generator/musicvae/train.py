"""Training the melody model in three stages: a bar, 16 bars, the prior.

Trained all at once the model does not start to learn. So the bar comes first: its reader and the core decoder, on
single bars. Then the 16 bars: the encoder and the conductor start from the principal components of the bar embeddings
(z = 16 x 32 keeps .961 of held-out onsets, as many as components of all 16 bars together) and train end to end on the
evidence lower bound. Last the prior over the posterior's latents (`prior.py`), on a model that no longer moves.

A run writes `state.pt` (weights, optimiser, time spent) every minute and goes on from it; the rate falls over the
run's minutes, so a run's length is part of its recipe.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generator.musicvae.corpus import BAR, STEPS, TOKENS, Corpus
from generator.musicvae.magenta_training import kl_divergence
from generator.musicvae.model import MelodyVAE
from generator.musicvae.prior import Prior

NOISE = 0.1  # on the bar embedding in the first stage: keeps the space of bars smooth
CLIP = 1.0  # global norm of the gradient, as in MusicVAE
SAVE_SECONDS = 60.0
POSTERIOR_SHARE = 0.25  # of the posterior's spread, in the latents that the prior learns

Report = Callable[[int, float, dict[str, float]], None]  # (step, seconds, figures)
Loss = Callable[[int, float], tuple[Tensor, dict[str, float]]]  # (step, share of the run done) -> loss, figures


@dataclass(frozen=True)
class Recipe:
    """One stage: minutes on one core, windows (or bars) a step, peak learning rate."""

    minutes: float
    batch: int
    rate: float


RECIPES = {
    "bar": Recipe(minutes=15, batch=192, rate=4e-3),
    "melody": Recipe(minutes=35, batch=32, rate=1e-3),
    "prior": Recipe(minutes=40, batch=128, rate=1e-3),
}
BETA = 0.3  # weight of the KL; .5 gave .80 instead of .88 of the onsets from a sample, for 42 nats less


def rate_factor(share: float) -> float:
    """The learning rate's factor when `share` of the run is done: 1 for half of it, then a cosine down to .01."""
    return 1.0 if share < 0.5 else max(0.01, math.cos(math.pi * (share - 0.5)))


def draw_bars(corpus: Corpus, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Single bars and the token before each: int64 [count, 16] and one-hot [count, 16, 90] (zeros before a melody)."""
    windows = corpus.draw(rng, count)
    padded = np.concatenate([np.full((count, 1), TOKENS, np.uint8), windows], 1)
    place = rng.integers(0, STEPS // BAR, count)[:, None] * BAR + np.arange(BAR + 1)
    bars = torch.from_numpy(np.take_along_axis(padded, place, 1).astype(np.int64))
    return bars[:, 1:], F.one_hot(bars[:, :-1], TOKENS + 1)[..., :TOKENS].float()


def token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over a melody's steps and averaged over melodies."""
    return F.cross_entropy(logits.flatten(0, 1), tokens.flatten()) * tokens.shape[1]


def onset_accuracy(logits: Tensor, tokens: Tensor) -> float:
    """Share of the steps where a note begins at which the likeliest token is that note."""
    onsets = tokens >= 2
    return float((logits.argmax(-1) == tokens)[onsets].float().mean())


def bar_loss(model: MelodyVAE, corpus: Corpus, rng: np.random.Generator, batch: int) -> Loss:
    """First stage: a bar through its noisy embedding and back."""

    def loss(step: int, share: float) -> tuple[Tensor, dict[str, float]]:
        bars, previous = draw_bars(corpus, rng, batch)
        embedding = model.bar_embeddings(bars).float()
        logits = model.bar_logits(embedding + NOISE * torch.randn_like(embedding), previous)
        reconstruction = token_loss(logits, bars)
        return reconstruction, {"nats": reconstruction.item(), "onset": onset_accuracy(logits, bars)}

    return loss


def melody_loss(model: MelodyVAE, corpus: Corpus, rng: np.random.Generator, batch: int, beta: float) -> Loss:
    """Second stage: the evidence lower bound of whole windows, beta rising over the run's first tenth."""

    def loss(step: int, share: float) -> tuple[Tensor, dict[str, float]]:
        tokens = torch.from_numpy(corpus.draw(rng, batch).astype(np.int64))
        mu, sigma = model.encode(tokens)
        logits = model.teacher_forced(mu + sigma * torch.randn_like(mu), tokens)
        reconstruction, kl = token_loss(logits, tokens), kl_divergence(mu, sigma).mean()
        total = reconstruction + beta * min(1.0, 10 * share) * kl
        return total, {"nats": reconstruction.item(), "kl": kl.item(), "onset": onset_accuracy(logits, tokens)}

    return loss


@torch.no_grad()
def start_from_components(model: MelodyVAE, windows: npt.NDArray[np.uint8]) -> None:
    """Set encoder and conductor so that z holds the principal components of the bar embeddings, scaled to unit spread.

    windows uint8 [N, 256], some thousands. The posterior starts with a standard deviation of .2.
    """
    bars = torch.from_numpy(windows.astype(np.int64)).view(-1, BAR)
    embeddings = torch.cat([model.bar_embeddings(part) for part in torch.split(bars, 16384)])  # [N * 16, width]
    mean = embeddings.mean(0)
    _, spread, axes = torch.linalg.svd(embeddings - mean, full_matrices=False)
    z_bar = model.config.z_bar
    axes, scale = axes[:z_bar], spread[:z_bar] / math.sqrt(len(embeddings))  # [z_bar, width], [z_bar]
    identity = torch.eye(model.config.width)
    encoder, conductor = model.encoder, model.conductor
    for layer, weight, bias in (
        (encoder.enter, identity, torch.zeros_like(mean)),
        (
            encoder.leave,
            torch.cat([axes / scale[:, None], torch.zeros_like(axes)]),
            torch.cat([-(axes @ mean) / scale, torch.full_like(scale, math.log(math.expm1(0.2)))]),
        ),
        (conductor.enter, (axes * scale[:, None]).T, mean),
        (conductor.leave, identity, torch.zeros_like(mean)),
    ):
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


@torch.no_grad()
def latents(model: MelodyVAE, windows: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """mu and sigma of many windows, uint8 [N, 256] -> [N, z] each.

    Overlapping windows and returning bars share bars: each distinct one is read once.
    """
    distinct, place = np.unique(windows.reshape(-1, BAR), axis=0, return_inverse=True)
    bars = torch.from_numpy(distinct.astype(np.int64))
    embeddings = torch.cat([model.bar_embeddings(part) for part in torch.split(bars, 4096)])
    places = torch.from_numpy(place.reshape(len(windows), -1))
    parts = [model.posterior(embeddings[part]) for part in torch.split(places, 1024)]
    return torch.cat([mu for mu, _ in parts]), torch.cat([sigma for _, sigma in parts])


def prior_loss(prior: Prior, model: MelodyVAE, corpus: Corpus, rng: np.random.Generator, batch: int) -> Loss:
    """Third stage: the flow that carries noise to latents of real melodies.

    They are drawn close to the posterior's mean: there a bar that returns has the very latent that it had before. Each
    number is measured in its posterior's standard deviations, so that the flow learns most where the decoder listens.
    """
    mu, sigma = latents(model, corpus.windows)
    with torch.no_grad():
        prior.mean.copy_(mu.mean(0))
        units = sigma.mean(0)
        prior.scale.copy_(units * (mu.var(0) / units**2).mean().sqrt())

    def loss(step: int, share: float) -> tuple[Tensor, dict[str, float]]:
        chosen = torch.from_numpy(rng.choice(len(mu), size=batch, p=corpus.weight))
        z = mu[chosen] + POSTERIOR_SHARE * sigma[chosen] * torch.randn(batch, mu.shape[1])
        flow = prior.loss(z)
        return flow, {"flow": flow.item()}

    return loss


def run(
    module: nn.Module,
    loss: Loss,
    recipe: Recipe,
    state_file: Path,
    report: Report,
    average: float = 0.0,
) -> None:
    """Train `module`'s free weights until the recipe's minutes are over, going on from `state_file` if it is there.

    average: decay of an exponential average of the weights, which then replaces them (0: none).
    """
    weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=recipe.rate, weight_decay=0.0)
    averaged = [weight.detach().clone() for weight in weights]
    spent, step = 0.0, 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        averaged, spent, step = state["averaged"], state["spent"], state["step"]
    begun = saved = time.monotonic()
    total, before = recipe.minutes * 60, spent
    while spent < total:
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, (step + 1) / 50) * rate_factor(spent / total)
        with torch.autocast("cpu", torch.bfloat16):
            value, figures = loss(step, spent / total)
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, CLIP)
        optimiser.step()
        step += 1
        if average:
            with torch.no_grad():
                torch._foreach_lerp_(averaged, list[Tensor](weights), 1 - min(average, step / (step + 10)))
        spent = before + time.monotonic() - begun
        if step % 100 == 0:
            report(step, spent, figures)
        if time.monotonic() - saved > SAVE_SECONDS or spent >= total:
            saved = time.monotonic()
            state = {"module": module.state_dict(), "optimiser": optimiser.state_dict()}
            state |= {"averaged": averaged, "spent": spent, "step": step}
            part = state_file.with_suffix(".part")
            torch.save(state, part)
            part.replace(state_file)
    if average:
        with torch.no_grad():
            for weight, mean in zip(weights, averaged, strict=True):
                weight.copy_(mean)
