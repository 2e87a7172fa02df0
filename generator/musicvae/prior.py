"""The learned prior: where in latent space real melodies lie.

A posterior that keeps nearly every note leaves most of N(0, I) empty: a latent drawn from it decodes to leaps, and no
bar ever returns. A rectified flow (Liu, Gong and Liu 2022, arXiv 2209.03003) learns a velocity that carries N(0, I) to
the latents of real melodies; Mittal et al. 2021 (2103.16091) put a diffusion prior on MusicVAE's latents in the same
way. The 16 bars are the transformer's 16 positions, so that attention can bring a bar back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generator.musicvae.attention import attend
from generator.musicvae.config import check_sizes


@dataclass(frozen=True)
class PriorConfig:
    """bars, z_bar: the latent's shape; width, heads, layers of the transformer."""

    bars: int = 16
    z_bar: int = 32
    width: int = 224
    heads: int = 7
    layers: int = 4

    def __post_init__(self) -> None:
        check_sizes("prior", vars(self))
        if self.width % (2 * self.heads):
            raise ValueError(f"prior config: width {self.width} is not a multiple of twice the heads, {self.heads}")


class FlowBlock(nn.Module):
    """A transformer layer whose norms are scaled and shifted by the time (Peebles and Xie 2023, adaptive norm).

    The time's projection is shared by all layers and each adds its own offset, as in PixArt (Chen et al. 2023): a
    third of the weights for the same effect.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.offset = nn.Parameter(torch.zeros(6 * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """x [B, bars, width], modulation [B, 1, 6 * width] -> [B, bars, width]."""
        width = x.shape[2]
        scale_a, shift_a, gate_a, scale_b, shift_b, gate_b = (modulation + self.offset).chunk(6, -1)
        mixed = F.layer_norm(x, (width,)) * (1 + scale_a) + shift_a
        x = x + gate_a * self.out(attend(self.qkv(mixed), self.heads))
        inner = F.layer_norm(x, (width,)) * (1 + scale_b) + shift_b
        out: Tensor = x + gate_b * self.down(F.gelu(self.up(inner)))
        return out


class Prior(nn.Module):
    """Velocity field over latents, and the sampler that follows it.

    mean and scale [z] bring latents to zero mean and unit spread before the flow sees them.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Linear(config.z_bar, config.width)
        self.place = nn.Parameter(0.02 * torch.randn(config.bars, config.width))
        self.time = nn.Sequential(
            nn.Linear(config.width, config.width), nn.SiLU(), nn.Linear(config.width, 6 * config.width)
        )
        nn.init.zeros_(self.time[-1].weight)  # type: ignore[arg-type]
        self.blocks = nn.ModuleList(FlowBlock(config.width, config.heads) for _ in range(config.layers))
        self.leave = nn.Linear(config.width, config.z_bar)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("mean", torch.zeros(config.bars * config.z_bar))
        self.register_buffer("scale", torch.ones(config.bars * config.z_bar))

    def velocity(self, x: Tensor, time: Tensor) -> Tensor:
        """x [B, z] on the way, time [B] in 0..1 (0 noise, 1 latent) -> dx/dtime [B, z]."""
        config = self.config
        frequencies = torch.exp(
            torch.arange(config.width // 2, device=x.device) * (-math.log(1e4) / (config.width // 2))
        )
        angles = 1000 * time[:, None] * frequencies
        modulation = self.time(torch.cat([angles.sin(), angles.cos()], 1))[:, None]
        hidden = self.enter(x.view(-1, config.bars, config.z_bar)) + self.place
        for block in self.blocks:
            hidden = block(hidden, modulation)
        velocity: Tensor = self.leave(F.layer_norm(hidden, (config.width,))).flatten(1)
        return velocity

    def loss(self, z: Tensor) -> Tensor:
        """Mean squared error of the velocity on straight lines from noise to the latents z [B, z]."""
        latent = (z - self.mean) / self.scale
        noise = torch.randn_like(latent)
        time = torch.sigmoid(torch.randn(len(z), device=z.device))  # more often in the middle (Esser et al. 2024)
        x = (1 - time)[:, None] * noise + time[:, None] * latent
        return F.mse_loss(self.velocity(x, time).float(), latent - noise)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None, steps: int = 24) -> Tensor:
        """Latents of `count` new melodies, [count, z], by `steps` steps of Euler's method."""
        x = torch.randn(count, self.mean.numel(), generator=generator).to(self.mean.device)
        for step in range(steps):
            time = torch.full((count,), step / steps, device=x.device)
            x = x + self.velocity(x, time) / steps
        return x * self.scale + self.mean
