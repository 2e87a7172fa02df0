"""Training actor and critic in advance, over random targets and starts, for any melody model and prior.

Three things take turns: the value learns the exact losses of decoded melodies, each judged against many random
targets; the realism learns to tell latents of real melodies from drawn and moved ones; the actor descends both. A
twentieth of the steps decodes melodies that the actor has just moved, so that the value knows where the actor goes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generator.actor_critic import ActorCritic, Decode, condition
from generator.losses import Melodies, TargetRows, exact_losses
from generator.musicvae.loop import SAVE_SECONDS, Report, rate_factor, save_state

BATCH = 256
CRITIC_RATE, ACTOR_RATE = 5e-4, 3e-4
POOL = 24_576  # decoded melodies the value learns from at a time; the oldest make room
FILL_SHARE = 0.3  # of the minutes, at most, to fill the pool in: a full-size decoder fills a part of it
REFRESH_EVERY, REFRESH = 20, 128  # steps, melodies
REFRESH_SHARE = 0.4  # of the time, at most, for decoding what the actor has moved


@dataclass(frozen=True)
class Ranges:
    """Targets are drawn evenly from these: note onsets a bar, mean pitch in the model's key."""

    density: tuple[float, float] = (2.0, 9.0)
    pitch: tuple[float, float] = (58.0, 80.0)


def draw_targets(rng: np.random.Generator, count: int, ranges: Ranges = Ranges()) -> TargetRows:
    """Random joint targets."""
    return TargetRows(
        rng.uniform(*ranges.density, count), rng.uniform(*ranges.pitch, count), rng.integers(0, 2, count).astype(bool)
    )


class Pool:
    """Latents and the melodies they decode to. seconds: how long may be decoded; latents left over are dropped."""

    def __init__(self, z: Tensor, decode: Decode, seconds: float) -> None:
        begun, decoded = time.monotonic(), []
        for part in torch.split(z, REFRESH):
            decoded.append(decode(part))
            if time.monotonic() - begun > seconds:
                break
        self.melodies = Melodies(np.concatenate(decoded))
        self.z = z[: len(self.melodies.tokens)].clone()
        self._next = 0
        exact_losses(self.melodies, draw_targets(np.random.default_rng(0), len(self.z)))  # works the measures out, once

    def replace(self, z: Tensor, decode: Decode) -> None:
        """Put new latents where the oldest are."""
        place = np.arange(self._next, self._next + len(z)) % len(self.z)
        self._next = int(place[-1] + 1) % len(self.z)
        fresh = Melodies(decode(z))
        exact_losses(fresh, draw_targets(np.random.default_rng(0), len(z)))
        self.z[torch.from_numpy(place)] = z
        for name, value in vars(fresh).items():
            vars(self.melodies)[name][place] = value


def train(
    networks: ActorCritic,
    decode: Decode,
    real: Tensor,
    starts: Tensor,
    asked: TargetRows,
    minutes: float,
    seed: int,
    report: Report,
    state_file: Path | None = None,
) -> ActorCritic:
    """Train new networks for a model.

    real [N, z]: latents of real melodies; starts [M, z]: drawn from the prior; both on the networks' device. asked:
    targets that each start was drawn for. minutes: of steps; filling the pool comes first. state_file: where the run
    leaves its state, and goes on from it if it is there.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    networks.spread.copy_(real.std(0))
    critic = torch.optim.Adam(networks.critic.parameters(), lr=CRITIC_RATE)
    actor = torch.optim.Adam(networks.actor.parameters(), lr=ACTOR_RATE)
    before, first = 0.0, 0
    if state_file is not None and state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location=real.device)
        networks.load_state_dict(state["module"])
        critic.load_state_dict(state["critic"])
        actor.load_state_dict(state["actor"])
        before, first = state["spent"], state["step"]
        rng = np.random.default_rng([seed, first])
    if before >= 60 * minutes:
        return networks.eval().requires_grad_(False)
    mixed = torch.cat([real, starts])[torch.randperm(len(real) + len(starts))][:POOL]
    pool = Pool(mixed, decode, FILL_SHARE * 60 * minutes)
    device, step, refreshing, half = real.device, first, 0.0, BATCH // 2
    begun = saved = time.monotonic()
    while (share := (before + time.monotonic() - begun) / (60 * minutes)) < 1:
        critic.param_groups[0]["lr"] = CRITIC_RATE * rate_factor(share)
        actor.param_groups[0]["lr"] = ACTOR_RATE * rate_factor(share)
        picked = torch.from_numpy(rng.integers(0, len(pool.z), BATCH))
        judged = draw_targets(rng, BATCH)
        losses = torch.from_numpy(exact_losses(pool.melodies.rows(picked.numpy()), judged)).to(device)
        value = networks.value_loss(pool.z[picked], condition(judged).to(device), losses)
        drawn = rng.integers(0, len(starts), BATCH)
        begin = starts[torch.from_numpy(drawn)]
        # Half for what they were drawn for, half for anything: a visitor's own tune may be far from what is asked.
        wanted = torch.cat([condition(asked.of(drawn))[half:], condition(draw_targets(rng, half))]).to(device)
        with torch.no_grad():
            moved = networks.actor(begin, wanted)
        other = torch.cat([begin[:half], moved[half:]])
        realism = networks.realism_loss(real[torch.from_numpy(rng.integers(0, len(real), BATCH))], other)
        critic.zero_grad()
        (value + realism).backward()  # type: ignore[no-untyped-call]
        critic.step()
        drive = networks.actor_loss(begin, wanted)
        actor.zero_grad()
        drive.backward()  # type: ignore[no-untyped-call]
        actor.step()
        step += 1
        spent = time.monotonic() - begun
        if step % REFRESH_EVERY == 0 and share > 0.2 and refreshing < REFRESH_SHARE * spent:
            pool.replace(moved[:REFRESH], decode)
            refreshing += time.monotonic() - begun - spent
        if step % 100 == 0:
            figures = {"value": value.item(), "realism": realism.item(), "actor": drive.item()}
            report(step, before + spent, figures)
        if state_file is not None and time.monotonic() - saved > SAVE_SECONDS:
            saved = time.monotonic()
            _save(networks, critic, actor, before + spent, step, state_file)
    if state_file is not None:
        _save(networks, critic, actor, 60 * minutes, step, state_file)
    return networks.eval().requires_grad_(False)


def _save(
    networks: ActorCritic,
    critic: torch.optim.Optimizer,
    actor: torch.optim.Optimizer,
    spent: float,
    step: int,
    path: Path,
) -> None:
    state = {"module": networks.state_dict(), "critic": critic.state_dict(), "actor": actor.state_dict()}
    save_state(state | {"spent": spent, "step": step}, path)
