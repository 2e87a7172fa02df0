"""What a melody model can do, in figures on held-out windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from generator.musicvae.corpus import BAR, Corpus
from generator.musicvae.lstm_vae import LstmVAE
from generator.musicvae.magenta_training import kl_divergence
from generator.musicvae.model import MelodyVAE
from generator.musicvae.prior import Prior
from generator.musicvae.statistics import note_statistics, overlap

ACTIVE = 0.01  # variance of a latent number's posterior mean from which it counts as used (Burda et al. 2016)


@torch.no_grad()
def reconstruction(model: MelodyVAE | LstmVAE, windows: npt.NDArray[np.uint8], seed: int = 0) -> dict[str, float]:
    """How well windows uint8 [N, 256] come back through the latent.

    "teacher-forced": the likeliest token given the true ones before it; "sampled": a whole melody drawn at
    temperature 1; "greedy": the likeliest tokens; from one sample of the posterior unless named "from the mean".
    step: share of right tokens; onset: the same where a note begins. "always hold" and "commonest bar" are what no
    model at all gets. kl in nats; active: latent numbers in use.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    drawn = generator if device.type == "cpu" else torch.Generator(device).manual_seed(seed)
    sums: dict[str, float] = {}
    means = []
    for part in np.array_split(windows, max(1, len(windows) // 256)):
        tokens = torch.from_numpy(part.astype(np.int64)).to(device)
        mu, sigma = model.encode(tokens)
        z = mu + sigma * torch.randn(mu.shape, generator=generator).to(device)
        guesses = {
            "teacher-forced": model.teacher_forced(z, tokens).argmax(-1),
            "sampled": model.decode(z, 1.0, drawn),
            "greedy from a sample": model.decode(z),
            "greedy from the mean": model.decode(mu),
            "always hold": torch.zeros_like(tokens),
            "commonest bar": torch.from_numpy(commonest_bar(part)).to(device),
        }
        onsets = tokens >= 2
        for name, guess in guesses.items():
            right = guess == tokens
            sums[f"{name}, step"] = sums.get(f"{name}, step", 0) + right.float().mean(1).sum().item()
            each = (right & onsets).sum(1) / onsets.sum(1)
            sums[f"{name}, onset"] = sums.get(f"{name}, onset", 0) + each.sum().item()
        sums["kl"] = sums.get("kl", 0) + kl_divergence(mu, sigma).sum().item()
        means.append(mu.cpu())
    found = {name: total / len(windows) for name, total in sums.items()}
    return found | {"active": float((torch.cat(means).var(0) > ACTIVE).sum())}


def commonest_bar(windows: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Each melody as 16 copies of its own commonest bar: [N, 256]."""
    copies = []
    for window in windows:
        bars, count = np.unique(window.reshape(-1, BAR), axis=0, return_counts=True)
        copies.append(np.tile(bars[count.argmax()], len(window) // BAR))
    return np.array(copies, np.int64)


@torch.no_grad()
def samples(
    model: MelodyVAE | LstmVAE,
    prior: Prior | None,
    held_out: Corpus,
    training: Corpus,
    count: int,
    steps: int,
    seed: int = 0,
) -> dict[str, dict[str, tuple[float, float]]]:
    """Note statistics of new melodies against real ones: source -> statistic -> (mean, overlap area).

    The real ones are drawn by the weights that training draws by, which the prior cannot but follow. "other real" are
    drawn once more: what two samples of so many have in common when nothing is wrong. "training" melodies are what the
    prior learned from: what it would share with held-out tunes if it had learned perfectly.
    """
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    latents = {} if prior is None else {"learned prior": prior.sample(count, generator, steps)}
    device = next(model.parameters()).device
    latents["N(0, I)"] = torch.randn(count, model.config.z, generator=generator).to(device)
    real = note_statistics(held_out.draw(rng, count))
    found = {"real": {name: (float(values.mean()), 1.0) for name, values in real.items()}}
    melodies = {"other real": held_out.draw(rng, count), "training": training.draw(rng, count)}
    melodies |= {source: model.decode(z).cpu().numpy().astype(np.uint8) for source, z in latents.items()}
    for source, tokens in melodies.items():
        drawn = note_statistics(tokens)
        found[source] = {name: (float(drawn[name].mean()), overlap(real[name], drawn[name])) for name in real}
    return found
