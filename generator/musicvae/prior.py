"""The learned prior: where in latent space real melodies lie.

A posterior that keeps nearly every note leaves most of N(0, I) empty: a latent drawn from it decodes to leaps, and no
bar ever returns. So the latent is drawn bar by bar. A transformer reads the bars before; a rectified flow (Liu, Gong
and Liu 2022, arXiv 2209.03003), a small perceptron told what the transformer makes of them, carries N(0, I) to the next
bar's numbers, as Li et al. 2024 (2406.11838) draw images without a codebook. That a bar is an earlier one once more, or
something new, is a choice of one or the other here; a flow over all 16 bars at once blurs it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generator.musicvae import plan
from generator.musicvae.config import check_sizes

# Without both, the loss on held-out melodies rises from the third thousand of steps on.
DROPOUT = 0.25
CONTEXT_NOISE = 0.15  # on the bars that are read, in units of the spread
# Root mean square distance, in units of the spread, up to which a bar is an earlier one: in real melodies bars that are
# equal lie within .11 of each other, 99 of 100 that differ by one note farther than .32; the flow is off by .1 to .3.
RETURNED = 0.3
TIME_WAVES = 32  # sines and cosines each that tell the flow its time


@dataclass(frozen=True)
class PriorConfig:
    """bars, z_bar: the latent's shape; width, heads, layers of the transformer; flow_width, flow_layers of the flow;
    outline: numbers of a plan, outlines: how many are kept, plan_width: of the layer that reads one."""

    bars: int = 16
    z_bar: int = 32
    width: int = 208
    heads: int = 8
    layers: int = 4
    flow_width: int = 192
    flow_layers: int = 3
    outline: int = len(plan.NAMES)
    outlines: int = 6000
    plan_width: int = 128

    def __post_init__(self) -> None:
        check_sizes("prior", vars(self))
        if self.width % self.heads:
            raise ValueError(f"prior config: width {self.width} is not a multiple of heads {self.heads}")


class CausalBlock(nn.Module):
    """One pre-norm transformer layer in which a bar sees itself and those before it. Starts as the identity."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_mix, self.norm_bar = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer in (self.out, self.down):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [B, T, width] after bars whose keys and values are `past` [2, B, heads, P, width / heads].

        Returns the same shape, and keys and values of all P + T bars.
        """
        count, bars, width = x.shape
        split = self.qkv(self.norm_mix(x)).view(count, bars, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each [B, heads, T, width / heads]
        seen = torch.stack([key, value])
        if past is not None:
            seen = torch.cat([past, seen], 3)
        later = torch.ones(bars, seen.shape[3], dtype=torch.bool, device=x.device).triu(seen.shape[3] - bars + 1)
        # Written out: PyTorch's fused attention is several times slower in bfloat16 on so few positions.
        fit = (query @ seen[0].transpose(2, 3) / math.sqrt(width // self.heads)).masked_fill(later, -1e4)
        mixed = (fit.softmax(3) @ seen[1]).transpose(1, 2).reshape(count, bars, width)
        x = x + F.dropout(self.out(mixed), DROPOUT, self.training)
        inner = self.down(F.gelu(self.up(self.norm_bar(x))))
        return x + F.dropout(inner, DROPOUT, self.training), seen


class BarFlow(nn.Module):
    """The velocity that carries noise to a bar's numbers: residual layers scaled and shifted by time and context."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        width, layers = config.flow_width, config.flow_layers
        self.enter, self.told = nn.Linear(config.z_bar, width), nn.Linear(config.width, width)
        self.time = nn.Sequential(nn.Linear(2 * TIME_WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Linear(width, 3 * width * layers)
        self.up = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(layers))
        self.down = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(layers))
        self.leave, self.skip = nn.Linear(width, config.z_bar), nn.Linear(config.width, config.z_bar)
        for layer in (self.modulation, self.leave, self.skip):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """x [..., z_bar] on the way, time [...] in 0..1 (0 noise, 1 latent), context [..., width] -> dx/dtime."""
        # The skip carries a bar that returns straight through.
        velocity: Tensor = self.velocity(x, *self.steer(time, context)) + self.skip(context)
        return velocity

    def steer(self, time: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """What does not depend on x: what is added to it [..., flow_width], and scales, shifts and gates."""
        frequencies = torch.exp(torch.arange(TIME_WAVES, device=time.device) * (-math.log(1e3) / TIME_WAVES))
        angles = 100 * time[..., None] * frequencies
        told = self.told(context) + self.time(torch.cat([angles.sin(), angles.cos()], -1))
        return told, self.modulation(F.silu(told))

    def velocity(self, x: Tensor, told: Tensor, modulation: Tensor) -> Tensor:
        """dx/dtime without the skip's part."""
        hidden = self.enter(x) + told
        scales = modulation.chunk(3 * len(self.up), -1)
        for layer, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            scale, shift, gate = scales[3 * layer : 3 * layer + 3]
            inner = F.layer_norm(hidden, hidden.shape[-1:]) * (1 + scale) + shift
            hidden = hidden + (1 + gate) * down(F.silu(up(inner)))
        velocity: Tensor = self.leave(F.layer_norm(hidden, hidden.shape[-1:]))
        return velocity


def returned(bar: Tensor, before: Tensor) -> Tensor:
    """A drawn bar [B, z_bar], or the one of those before it, [B, bars, z_bar], that it all but is.

    The flow comes near the bar that it brings back, not on it, and a note of it would be another.
    """
    off = (before - bar[:, None]).square().mean(2).sqrt()
    nearest, which = off.min(1)
    same = before.gather(1, which[:, None, None].expand(-1, 1, bar.shape[1]))[:, 0]
    return torch.where((nearest < RETURNED)[:, None], same, bar)


class Prior(nn.Module):
    """Latents bar by bar, after a plan.

    mean and scale [z] bring latents to zero mean and unit spread first; plan_mean and plan_scale [P] do so with plans;
    table [outlines, P]: plans of real melodies.
    """

    mean: Tensor
    scale: Tensor
    plan_mean: Tensor
    plan_scale: Tensor
    table: Tensor

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Linear(config.z_bar, config.width)
        self.first = nn.Parameter(torch.zeros(config.width))
        self.place = nn.Parameter(0.02 * torch.randn(config.bars, config.width))
        self.blocks = nn.ModuleList(CausalBlock(config.width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.flow = BarFlow(config)
        self.register_buffer("mean", torch.zeros(config.bars * config.z_bar))
        self.register_buffer("scale", torch.ones(config.bars * config.z_bar))
        self.read_plan = nn.Sequential(
            nn.Linear(config.outline, config.plan_width), nn.SiLU(), nn.Linear(config.plan_width, config.width)
        )
        for parameter in self.read_plan[-1].parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("plan_mean", torch.zeros(config.outline))
        self.register_buffer("plan_scale", torch.ones(config.outline))
        self.register_buffer("table", torch.zeros(config.outlines, config.outline))

    def planned(self, plans: Tensor) -> Tensor:
        """What each bar hears of its plan, [B, P] -> [B, 1, width]."""
        read: Tensor = self.read_plan(((plans - self.plan_mean) / self.plan_scale).clamp(-4, 4))
        return read[:, None]

    def loss(self, z: Tensor, plans: Tensor, draws: int = 2) -> Tensor:
        """Mean squared error of the velocity on straight lines from noise to the bars of latents z [B, z].

        plans [B, P]: the melodies' outlines. draws: of noise and time for each bar; the transformer runs once for all.
        """
        config = self.config
        bars = ((z - self.mean) / self.scale).view(-1, config.bars, config.z_bar)
        read = bars[:, :-1] + CONTEXT_NOISE * torch.randn_like(bars[:, :-1])
        hidden = torch.cat([self.first.expand(len(bars), 1, -1), self.enter(read)], 1) + self.place
        hidden = hidden + self.planned(plan.blurred(plans, self.plan_scale))
        for block in self.blocks:
            hidden, _ = block(hidden)
        context = F.dropout(self.norm(hidden), DROPOUT, self.training).repeat(draws, 1, 1)
        latent = bars.repeat(draws, 1, 1)
        noise = torch.randn_like(latent)
        # More often in the middle, where it is decided what the bar will be (Esser et al. 2024).
        time = torch.sigmoid(torch.randn(latent.shape[:2], device=z.device) + 0.3)
        x = (1 - time)[..., None] * noise + time[..., None] * latent
        return F.mse_loss(self.flow(x, time, context).float(), latent - noise)

    def plans(self, count: int, generator: torch.Generator, wanted: Tensor | None = None) -> Tensor:
        """Plans to draw melodies after, [count, P]: of real melodies, near `wanted` [count, 3] where that is given."""
        if wanted is None:
            chosen = torch.randint(len(self.table), (count,), generator=generator).to(self.table.device)
            return plan.blurred(self.table[chosen], self.plan_scale, generator)
        near = plan.near(self.table, self.plan_scale, wanted, generator)
        told = plan.blurred(self.table[near], self.plan_scale, generator)
        told[:, : plan.MODE] = wanted[:, : plan.MODE]
        return told

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator, steps: int = 32, wanted: Tensor | None = None) -> Tensor:
        """Latents of `count` new melodies, [count, z], each bar by `steps` steps of Euler's method.

        wanted [count, 3]: density, mean pitch and mode (1 major, -1 minor) to plan for; plans as they come without it.
        """
        config, device = self.config, self.mean.device
        hears = self.planned(self.plans(count, generator, wanted))
        noise = torch.randn(count, config.bars, config.z_bar, generator=generator).to(device)
        times = (torch.arange(steps, device=device) / steps)[:, None]  # [steps, 1]
        past: list[Tensor | None] = [None] * config.layers
        hidden = self.first.expand(count, 1, -1)
        bars: list[Tensor] = []
        for place in range(config.bars):
            hidden = hidden + self.place[place] + hears
            for layer, block in enumerate(self.blocks):
                hidden, past[layer] = block(hidden, past[layer])
            context, x = self.norm(hidden[:, 0]), noise[:, place]
            # All that does not depend on x at once, for all steps: many small products would take longer.
            told, modulation = self.flow.steer(times, context.expand(steps, -1, -1))
            skip = self.flow.skip(context)
            for step in range(steps):
                x = x + (self.flow.velocity(x, told[step], modulation[step]) + skip) / steps
            if bars:
                x = returned(x, torch.stack(bars, 1))
            bars.append(x)
            hidden = self.enter(x)[:, None]
        return torch.cat(bars, 1) * self.scale + self.mean
