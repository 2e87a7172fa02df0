"""Training the melody model in three stages: a bar, 16 bars, the prior.

Trained all at once the model does not start to learn. So the bar comes first: its reader and the core decoder, on
single bars. Then the 16 bars: the encoder and the conductor start from the principal components of the bar embeddings
(z = 16 x 32 keeps .961 of held-out onsets, as many as components of all 16 bars together) and train end to end on the
evidence lower bound. Last the prior over the posterior's latents (`prior.py`), on a model that no longer moves.

`loop.py` runs a stage. Each loss has its counterpart on held-out melodies, always the same ones with the same noise.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generator.key import home_shift, parallel, transpose
from generator.musicvae import plan
from generator.musicvae.corpus import BAR, STEPS, TOKENS, Corpus
from generator.musicvae.loop import Figures, Loss, Recipe, Validate
from generator.musicvae.magenta_training import kl_divergence
from generator.musicvae.model import MelodyVAE
from generator.musicvae.prior import Prior

NOISE = 0.1  # on the bar embedding in the first stage: keeps the space of bars smooth
POSTERIOR_SHARE = 0.2  # of the posterior's spread, in the latents that the prior learns
SWAPPED = 0.2  # share of the melodies that the prior learns in their parallel mode
HELD_OUT = {"bar": 2000, "melody": 400, "prior": 1000}  # bars or windows that a validation takes

RECIPES = {
    "bar": Recipe(minutes=15, batch=192, rate=4e-3),
    "melody": Recipe(minutes=35, batch=32, rate=1e-3),
    "prior": Recipe(minutes=40, batch=128, rate=1e-3),
}
BETA = 0.15  # weight of the KL; .3 gave .90 instead of .96 of the onsets from a sample, for 45 nats less


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


def device(module: nn.Module) -> torch.device:
    """Where a module's weights are."""
    return next(module.parameters()).device


def bar_loss(model: MelodyVAE, corpus: Corpus, rng: np.random.Generator, batch: int) -> Loss:
    """First stage: a bar through its noisy embedding and back. Encoder and conductor play no part yet."""

    def loss(step: int, share: float) -> tuple[Tensor, Figures]:
        bars, previous = (each.to(device(model)) for each in draw_bars(corpus, rng, batch))
        embedding = model.bar_embeddings(bars).float()
        logits = model.bar_logits(embedding + NOISE * torch.randn_like(embedding), previous)
        reconstruction = token_loss(logits, bars)
        return reconstruction, {"nats": reconstruction.item(), "onset": onset_accuracy(logits, bars)}

    return loss


def bar_validation(model: MelodyVAE, corpus: Corpus) -> Validate:
    """Nats of held-out bars through their embeddings, without noise."""
    bars, previous = draw_bars(corpus, np.random.default_rng(0), HELD_OUT["bar"])

    def validate() -> tuple[float, Figures]:
        tokens = bars.to(device(model))
        logits = model.bar_logits(model.bar_embeddings(tokens).float(), previous.to(device(model)))
        nats = token_loss(logits, tokens).item()
        return nats, {"nats": nats, "onset": onset_accuracy(logits, tokens)}

    return validate


def melody_loss(
    model: MelodyVAE, corpus: Corpus, rng: np.random.Generator, batch: int, beta: float, warm_up: bool = True
) -> Loss:
    """Second stage: the evidence lower bound of whole windows. warm_up: beta rises over the run's first tenth."""

    def loss(step: int, share: float) -> tuple[Tensor, Figures]:
        tokens = torch.from_numpy(corpus.draw(rng, batch).astype(np.int64)).to(device(model))
        mu, sigma = model.encode(tokens)
        logits = model.teacher_forced(mu + sigma * torch.randn_like(mu), tokens)
        reconstruction, kl = token_loss(logits, tokens), kl_divergence(mu, sigma).mean()
        total = reconstruction + beta * (min(1.0, 10 * share) if warm_up else 1.0) * kl
        return total, {"nats": reconstruction.item(), "kl": kl.item(), "onset": onset_accuracy(logits, tokens)}

    return loss


def melody_validation(model: MelodyVAE, corpus: Corpus, beta: float) -> Validate:
    """The evidence lower bound of held-out windows, in nats, from one sample of each posterior."""
    windows = torch.from_numpy(corpus.draw(np.random.default_rng(0), HELD_OUT["melody"]).astype(np.int64))
    noise = torch.randn(len(windows), model.config.z, generator=torch.Generator().manual_seed(0))

    def validate() -> tuple[float, Figures]:
        tokens = windows.to(device(model))
        mu, sigma = model.encode(tokens)
        logits = model.teacher_forced(mu + sigma * noise.to(device(model)), tokens)
        nats, kl = token_loss(logits, tokens).item(), kl_divergence(mu, sigma).mean().item()
        step = float((logits.argmax(-1) == tokens).float().mean())
        return nats + beta * kl, {"nats": nats, "kl": kl, "onset": onset_accuracy(logits, tokens), "step": step}

    return validate


@torch.no_grad()
def start_from_components(model: MelodyVAE, windows: npt.NDArray[np.uint8]) -> None:
    """Set encoder and conductor so that z holds the principal components of the bar embeddings, scaled to unit spread.

    windows uint8 [N, 256], some thousands. The posterior starts with a standard deviation of .2.
    """
    bars = torch.from_numpy(windows.astype(np.int64)).view(-1, BAR).to(device(model))
    embeddings = torch.cat([model.bar_embeddings(part) for part in torch.split(bars, 16384)])  # [N * 16, width]
    mean = embeddings.mean(0)
    _, spread, axes = torch.linalg.svd(embeddings - mean, full_matrices=False)
    z_bar = model.config.z_bar
    axes, scale = axes[:z_bar], spread[:z_bar] / math.sqrt(len(embeddings))  # [z_bar, width], [z_bar]
    identity = torch.eye(model.config.width, device=bars.device)
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
    bars = torch.from_numpy(distinct.astype(np.int64)).to(device(model))
    embeddings = torch.cat([model.bar_embeddings(part) for part in torch.split(bars, 4096)])
    places = torch.from_numpy(place.reshape(len(windows), -1)).to(bars.device)
    parts = [model.posterior(embeddings[part]) for part in torch.split(places, 1024)]
    return torch.cat([mu for mu, _ in parts]), torch.cat([sigma for _, sigma in parts])


def near_mean(mu: Tensor, sigma: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Latents drawn close to the posterior's mean, [N, z]: with `POSTERIOR_SHARE` of its spread."""
    return mu + POSTERIOR_SHARE * sigma * torch.randn(mu.shape, generator=generator).to(mu.device)


@torch.no_grad()
def start_prior(prior: Prior, mu: Tensor, sigma: Tensor, outlines: npt.NDArray[np.float32], corpus: Corpus) -> None:
    """Set the units in which the prior measures latents and plans, and the plans that it keeps.

    A latent's number is measured in its posterior's standard deviations, so that the flow learns most where the decoder
    listens.
    """
    prior.mean.copy_(mu.mean(0))
    each = sigma.mean(0)
    prior.scale.copy_(each * (mu.var(0) / each**2).mean().sqrt())
    kept = np.random.default_rng(0).choice(len(outlines), prior.config.outlines, p=corpus.weight)
    for own, found in zip((prior.plan_mean, prior.plan_scale), plan.units(outlines[kept]), strict=True):
        own.copy_(found)
    prior.table.copy_(torch.from_numpy(outlines[kept]))


def prior_loss(prior: Prior, model: MelodyVAE, corpus: Corpus, rng: np.random.Generator, batch: int) -> Loss:
    """Third stage: the flow that carries noise to the bars of real melodies' latents, each after its plan.

    They are drawn close to the posterior's mean: there a bar that returns has the very latent that it had before. Some
    are in the other mode of their tonic: more tunes, and the plan's mode is heard apart from all else.
    """
    mu, sigma = latents(model, corpus.windows)
    outlines = plan.outlines(corpus.windows)
    start_prior(prior, mu, sigma, outlines, corpus)
    swapped = parallel(corpus.windows)
    swapped = transpose(swapped, home_shift(swapped))
    mu, sigma = (torch.cat(both) for both in zip((mu, sigma), latents(model, swapped), strict=True))
    plans = torch.from_numpy(np.concatenate([outlines, plan.outlines(swapped)])).to(mu)
    weight = np.concatenate([(1 - SWAPPED) * corpus.weight, SWAPPED * corpus.weight])

    def loss(step: int, share: float) -> tuple[Tensor, Figures]:
        chosen = torch.from_numpy(rng.choice(len(mu), size=batch, p=weight))
        flow = prior.loss(near_mean(mu[chosen], sigma[chosen]), plans[chosen])
        return flow, {"flow": flow.item()}

    return loss


def prior_validation(prior: Prior, model: MelodyVAE, corpus: Corpus) -> Validate:
    """The flow's loss on latents of held-out windows, with the same noise and times at every call."""
    windows = corpus.draw(np.random.default_rng(0), HELD_OUT["prior"])
    mu, sigma = latents(model, windows)
    z = near_mean(mu, sigma, torch.Generator().manual_seed(0))
    plans = torch.from_numpy(plan.outlines(windows)).to(z)

    def validate() -> tuple[float, Figures]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            flow = prior.loss(z, plans).item()
        return flow, {"flow": flow}

    return validate
