"""Magenta's loss and training step for `LstmVAE`, number for number (magenta/models/music_vae, base_model and train).

Free bits are one budget for the whole sequence, in bits; beta is 0 at step 0 and `max_beta` from step 1 on where
`beta_rate` is 0; Adam is TensorFlow's, whose epsilon is not scaled by the second moment's correction (Kingma and Ba
2015, end of section 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generator.musicvae.lstm_vae import LstmVAE

NORM_TO_ZERO = 1e4  # a gradient as long as this, or NaN, is replaced by zeros


@dataclass(frozen=True)
class Hyper:
    """Magenta's hyperparameters for the 16-bar melody models. free_bits in bits; learning rates an update."""

    free_bits: float = 256.0
    max_beta: float = 0.2
    beta_rate: float = 0.0
    grad_clip: float = 1.0
    learning_rate: float = 1e-3
    decay_rate: float = 0.9999
    min_learning_rate: float = 1e-5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"training: {name} must be a number from 0 upwards, not {value!r}")
        if not (self.grad_clip > 0 and self.beta_rate <= 1 and self.decay_rate <= 1):
            raise ValueError("training: grad_clip must be above 0, beta_rate and decay_rate at most 1")

    def beta(self, step: int) -> float:
        """Weight of the KL term at a step, counted from 0."""
        return float((1.0 - _power(self.beta_rate, step)) * self.max_beta)

    def rate(self, step: int) -> float:
        """Learning rate at a step, counted from 0."""
        decay = _power(self.decay_rate, step)
        return float((self.learning_rate - self.min_learning_rate) * decay + self.min_learning_rate)


def _power(base: float, step: int) -> float:
    """base ** step in float32, as Magenta computes it: .9999 rounded there is 5e-5 off after 3,000 steps."""
    return float(np.float32(base) ** np.float32(step))


@dataclass(frozen=True)
class Losses:
    """Of one batch. reconstruction, kl [B]: nats a melody, kl before free bits; kl_cost [B]: what lies above them;
    loss: their weighted mean, a scalar."""

    reconstruction: Tensor
    kl: Tensor
    kl_cost: Tensor
    loss: Tensor


def kl_divergence(mu: Tensor, sigma: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) in nats, summed over the latent: [B, z] -> [B]."""
    return 0.5 * (sigma.square() + mu.square() - 1.0 - 2.0 * sigma.log()).sum(1)


def losses(model: LstmVAE, tokens: Tensor, noise: Tensor, hyper: Hyper, step: int) -> Losses:
    """tokens int64 [B, steps]; noise [B, z], the N(0, 1) numbers of the posterior sample; step: updates made so far."""
    mu, sigma = model.encode(tokens)
    logits = model.teacher_forced(mu + sigma * noise, tokens)
    reconstruction = F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none")
    reconstruction = reconstruction.view(tokens.shape).sum(1)
    kl = kl_divergence(mu, sigma)
    kl_cost = (kl - hyper.free_bits * math.log(2.0)).clamp_min(0.0)
    loss = reconstruction.mean() + hyper.beta(step) * kl_cost.mean()
    return Losses(reconstruction, kl, kl_cost, loss)


class TfAdam(torch.optim.Optimizer):
    """Adam as TensorFlow 1 writes it: w -= rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon)."""

    def __init__(self, model: nn.Module, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> None:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        super().__init__(trained, {"lr": 0.0, "betas": betas, "epsilon": epsilon})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update; a parameter without a gradient is updated with zeros, as TensorFlow does."""
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state.update(t=0, m=torch.zeros_like(parameter), v=torch.zeros_like(parameter))
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                state["t"] += 1
                state["m"].lerp_(gradient, 1 - b1)
                state["v"].mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
                rate = group["lr"] * math.sqrt(1 - b2 ** state["t"]) / (1 - b1 ** state["t"])
                parameter.addcdiv_(state["m"], state["v"].sqrt().add_(group["epsilon"]), value=-rate)


def train_step(
    model: LstmVAE, optimiser: TfAdam, tokens: Tensor, noise: Tensor, hyper: Hyper, step: int
) -> tuple[Losses, float]:
    """One update. Returns the losses before it and the gradients' norm before clipping."""
    result = losses(model, tokens, noise, hyper, step)
    optimiser.zero_grad()
    result.loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    scale = min(hyper.grad_clip / norm, 1.0) if 0 < norm < NORM_TO_ZERO else float(norm < NORM_TO_ZERO)
    for gradient in gradients:
        gradient.copy_(gradient * scale if scale else torch.zeros_like(gradient))
    for group in optimiser.param_groups:
        group["lr"] = hyper.rate(step)
    optimiser.step()
    return result, norm
