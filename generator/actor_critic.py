"""Moving a latent vector to where the decoder makes music of the wanted kind, and no further.

The actor makes a gated residual move, z' = (1 - g) z + g dz, conditioned on the targets (Engel, Hoffman and Roberts
2018, arXiv 1711.05772, "Latent Constraints"). The critic judges z' twice. Realism: is this the latent of a real
melody? Trained on encoded melodies against drawn and moved latents. Value: how large will the decoded melody's losses
be? Trained on the exact losses of decoded melodies, which need no gradient. The actor descends both.

`train` does this in advance, over random targets and starts; `retrain` goes on with it for a few rounds at a request,
on copies, and keeps the best candidate by exact measures.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generator.key import transpose
from generator.losses import LOSSES, Floats, Melodies, TargetRows, Targets, Weighed, exact_losses
from generator.musicvae.config import check_sizes
from generator.musicvae.plan import KEY_REACH

Tokens = npt.NDArray[np.uint8]
Decode = Callable[[Tensor], Tokens]  # latents [N, z] -> uint8 [N, 256]

CONDITIONS = 3  # density, pitch, mode
PENALTY = 10.0  # of the realism's gradient (Gulrajani et al. 2017)
LOSS_WEIGHTS = torch.tensor([weight for _, weight in LOSSES])
FEWEST = 8  # candidates that are re-trained to the end


@dataclass(frozen=True)
class Weights:
    """What the actor descends, beside each other: expected losses, lack of realism, length of the move."""

    value: float = 1.0
    realism: float = 0.5
    distance: float = 1.0


@dataclass(frozen=True)
class ActorCriticConfig:
    """z: length of the latent; bars: how many bars it is made of; hidden: width of the layers; features: what the value
    keeps of a latent."""

    z: int = 512
    bars: int = 16
    hidden: int = 512
    features: int = 32

    def __post_init__(self) -> None:
        check_sizes("actor-critic", vars(self))
        if self.z % self.bars:
            raise ValueError(f"actor-critic config: z {self.z} is not a multiple of bars {self.bars}")


def condition(targets: TargetRows) -> Tensor:
    """Targets as the networks see them: three numbers around -1..1 a row, [N, 3]."""
    return (torch.from_numpy(targets.table()) - torch.tensor([5.5, 69.0, 0.0])) / torch.tensor([2.0, 6.0, 1.0])


def perceptron(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(n_in, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, n_out)
    )


class Actor(nn.Module):
    """z [N, z], conditions [N, 3] -> moved z' [N, z]. Starts close to no move: the gate opens at about .1.

    The latent's bars are moved by one network that sees the bar, a summary of all bars and the conditions, but not the
    bar's place: bars that are alike stay alike, and what returns in the start returns in the result. A model whose
    latent has no bars is one bar.
    """

    def __init__(self, config: ActorCriticConfig) -> None:
        super().__init__()
        self.z_bar = config.z // config.bars
        self.summarise = perceptron(self.z_bar, config.hidden // 2, config.hidden // 4)
        self.move = perceptron(self.z_bar + config.hidden // 4 + CONDITIONS, config.hidden, 2 * self.z_bar)
        with torch.no_grad():
            self.move[-1].bias[: self.z_bar] = -2.0  # type: ignore[operator]

    def forward(self, z: Tensor, conditions: Tensor) -> Tensor:
        bars = z.view(len(z), -1, self.z_bar)  # [N, bars, z_bar]
        summary = self.summarise(bars).mean(1)
        shared = torch.cat([summary, conditions], 1)[:, None].expand(-1, bars.shape[1], -1)
        gate, target = self.move(torch.cat([bars, shared], 2)).chunk(2, 2)
        gate = torch.sigmoid(gate)
        moved: Tensor = ((1 - gate) * bars + gate * target).flatten(1)
        return moved


class Critic(nn.Module):
    """Both judgements of a latent."""

    def __init__(self, config: ActorCriticConfig) -> None:
        super().__init__()
        self.real = perceptron(config.z, config.hidden // 2, 1)
        self.read = perceptron(config.z, config.hidden, config.features)
        self.judge = perceptron(config.features + CONDITIONS, config.hidden // 4, len(LOSSES))

    def realism(self, z: Tensor) -> Tensor:
        """Logit that z [N, z] is the latent of a real melody: [N]."""
        logit: Tensor = self.real(z)[:, 0]
        return logit

    def value(self, z: Tensor, conditions: Tensor) -> Tensor:
        """Losses expected of the decoded melody, in the order of `LOSSES`: [N, losses], at least 0."""
        return F.softplus(self.judge(torch.cat([self.read(z), conditions], 1)))


class ActorCritic(nn.Module):
    """The two, and the spread of real latents that distances are measured in.

    spread [z]: standard deviation of the latents of real melodies. weights: of the parts of the actor's loss.
    """

    spread: Tensor
    weights = Weights()

    def __init__(self, config: ActorCriticConfig) -> None:
        super().__init__()
        self.config = config
        self.actor, self.critic = Actor(config), Critic(config)
        self.register_buffer("spread", torch.ones(config.z))

    @classmethod
    def for_latent(cls, length: int, bars: int) -> ActorCritic:
        """Untrained networks for latents of a length, made of so many bars."""
        return cls(ActorCriticConfig(z=length, bars=bars))

    def distance(self, z: Tensor, moved: Tensor) -> Tensor:
        """Length of the move, log(1 + dz^2) in units of the spread, mean over the latent's numbers: [N]."""
        return torch.log1p(((moved - z) / self.spread) ** 2).mean(1)

    def objective(self, z: Tensor, moved: Tensor, conditions: Tensor) -> Tensor:
        """What is to be small after a move: expected losses, lack of realism and length of the move, weighed, [N]."""
        weights = self.weights
        wanted = (self.critic.value(moved, conditions) * LOSS_WEIGHTS.to(z.device)).sum(1)
        unreal = F.softplus(-self.critic.realism(moved))
        return weights.value * wanted + weights.realism * unreal + weights.distance * self.distance(z, moved)

    def move(self, z: Tensor, conditions: Tensor, share: Tensor | None = None) -> Tensor:
        """The actor's moves of z [N, z], or of each a share (0..1) [N]."""
        moved: Tensor = self.actor(z, conditions)
        return moved if share is None else z + share[:, None] * (moved - z)

    def actor_loss(self, z: Tensor, conditions: Tensor, share: Tensor | None = None) -> Tensor:
        """What the actor descends: the mean objective of its moves."""
        return self.objective(z, self.move(z, conditions, share), conditions).mean()

    def realism_loss(self, real: Tensor, other: Tensor) -> Tensor:
        """Logistic loss of telling real latents from drawn and moved ones, with a gradient penalty between them."""
        mix = torch.rand(len(real), 1, device=real.device)
        between = (mix * real + (1 - mix) * other).requires_grad_()
        (gradient,) = torch.autograd.grad(self.critic.realism(between).sum(), between, create_graph=True)
        penalty = ((gradient * self.spread).norm(dim=1) - 1).clamp_min(0).square().mean()
        told = F.softplus(-self.critic.realism(real)).mean() + F.softplus(self.critic.realism(other)).mean()
        loss: Tensor = told + PENALTY * penalty
        return loss

    def value_loss(self, z: Tensor, conditions: Tensor, losses: Tensor) -> Tensor:
        """How far the value was from exact losses [N, losses]; Huber, since a rare melody is far off."""
        return F.smooth_l1_loss(self.critic.value(z, conditions), losses)


def register_shifts(tokens: Tokens, pitch: Floats | float) -> npt.NDArray[np.int64]:
    """Semitones, at most 6, that bring each melody's mean pitch nearest the reference: [N, 256] -> [N].

    The model plays in one key; which one is heard is free, and the register decides it.
    """
    return np.clip(np.rint(pitch - Melodies(tokens).pitch), -KEY_REACH, KEY_REACH).astype(np.int64)


def fit_register(tokens: Tokens, pitch: float) -> tuple[Tokens, npt.NDArray[np.int64]]:
    """The same melodies in the key whose mean pitch is nearest the reference, and the semitones moved, [N]."""
    moved = register_shifts(tokens, pitch)
    return transpose(tokens, moved), moved


@dataclass(frozen=True)
class Round:
    """One round of re-training, as the page draws it. Losses and realism are of the best candidate so far; of a round
    that still runs, of the candidate that led the last one, where the actor takes it now.

    losses: by name; realism: probability 0..1 that the critic takes it for real; move: length of the move.
    """

    number: int
    losses: dict[str, float]
    total: float
    realism: float
    move: float
    tokens: Tokens

    @property
    def pitch_loss(self) -> float:
        """Chord tones and register."""
        return self.losses["pitch"]

    @property
    def density_loss(self) -> float:
        """Onsets and windows' energy."""
        return self.losses["density"]


OnRound = Callable[[Round], bool | None]  # True: that will do, stop here
OnStep = Callable[[Round], object]


@dataclass(frozen=True)
class Judged:
    """Decoded candidates by exact measures. tokens [N, 256] in the key that fits the register, semitones moved to it
    [N], losses [N, losses], realism 0..1 [N], and totals [N]: losses, weighed, and lack of realism."""

    tokens: Tokens
    shifts: npt.NDArray[np.int64]
    losses: npt.NDArray[np.float32]
    realism: npt.NDArray[np.float32]
    totals: npt.NDArray[np.float64]

    def round(self, number: int, best: int, move: float, names: Sequence[str]) -> Round:
        """The candidate `best` as what a round came to. names: of the losses."""
        losses = dict(zip(names, self.losses[best].tolist(), strict=True))
        return Round(number, losses, float(self.totals[best]), float(self.realism[best]), move, self.tokens[best])


def judge(networks: ActorCritic, z: Tensor, home: Tokens, targets: Targets, own: Sequence[Weighed] = ()) -> Judged:
    """Judge latents z [N, z] and what they decode to, home [N, 256]. own: losses of this request beside `LOSSES`.

    Realism counts too, by the critic as trained in advance, which a request cannot talk round.
    """
    with torch.no_grad():
        realism = torch.sigmoid(networks.critic.realism(z)).cpu().numpy()
    tokens, shifts = fit_register(home, targets.pitch)
    judged = (*LOSSES, *own)
    losses = exact_losses(Melodies(tokens), targets, judged)
    totals = losses @ np.array([weight for _, weight in judged]) + networks.weights.realism * (1 - realism)
    return Judged(tokens, shifts, losses, realism, totals)


@dataclass
class Retrained:
    """What re-training has found so far: latent [z], tokens [256] in the key that fits the register, semitones moved
    to it, and the rounds that led there. first: the first start's tokens, before any was chosen or moved."""

    z: Tensor
    tokens: Tokens
    shift: int
    first: Tokens
    trace: list[Round] = field(default_factory=list)

    def consider(self, number: int, z: Tensor, moves: Tensor, judged: Judged, names: Sequence[str]) -> None:
        """Keep the best candidate of all rounds, and write the round down. names: of the losses."""
        best = int(judged.totals.argmin())
        here = judged.round(number, best, float(moves[best]), names)
        if self.trace and here.total >= self.trace[-1].total:
            self.trace.append(replace(self.trace[-1], number=number))
            return
        self.z, self.tokens, self.shift = z[best], here.tokens, int(judged.shifts[best])
        self.trace.append(here)


@dataclass(frozen=True)
class Effort:
    """How long a request is re-trained: rounds at most, gradient steps a round, rate, the share of the candidates that
    goes on to the next round, and the total at which it is good enough to stop."""

    rounds: int = 10
    steps: int = 6
    rate: float = 5e-4
    survive: float = 0.7
    enough: float = 0.5


def retrain(
    networks: ActorCritic,
    decode: Decode,
    starts: Tensor,
    targets: Targets,
    effort: Effort,
    on_round: OnRound | None = None,
    own_losses: Sequence[Weighed] = (),
    share: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Retrained:
    """Re-train copies of actor and critic on one request's candidates, starts [N, z]; keep the best candidate.

    Round 0 judges the starts as they are. After each later round the starts whose moves were worst are given up.
    `on_round` sees every round as it ends, in the caller's thread, and stops re-training by returning True; `on_step`
    sees every gradient step on the way, for 8 ms each, and changes nothing. own_losses: what this request asks for
    beside `LOSSES`; candidates are chosen by them, while the value does not know them. share [N]: how much (0..1) of
    the actor's move each start takes, 1 if not given.
    """
    own = copy.deepcopy(networks).requires_grad_(True)
    critic = torch.optim.Adam(own.critic.read.parameters(), lr=effort.rate)
    actor = torch.optim.Adam(own.actor.parameters(), lr=effort.rate)
    names = [loss.name for loss, _ in (*LOSSES, *own_losses)]
    found = Retrained(starts[0], np.zeros(0, np.uint8), 0, np.zeros(0, np.uint8))
    candidates, moves = starts, torch.zeros(len(starts))
    rows, asked = targets.rows(len(starts)), torch.empty(0)
    seen: list[tuple[Tensor, Tensor, Tensor]] = []  # latents, what they were asked for, their losses
    leader = 0

    def moved(some: slice) -> tuple[Tensor, Tensor]:
        """Where the actor takes some of the starts now, and the lengths of these moves."""
        with torch.no_grad():
            z = own.move(starts[some], asked[some], None if share is None else share[some])
            return z, own.distance(starts[some], z)

    for number in range(effort.rounds + 1):
        if number:
            known = [torch.cat(each) for each in zip(*seen, strict=True)]
            for _ in range(effort.steps):
                critic.zero_grad()
                own.value_loss(*known).backward()  # type: ignore[no-untyped-call]
                critic.step()
                actor.zero_grad()
                own.actor_loss(starts, asked, share).backward()  # type: ignore[no-untyped-call]
                actor.step()
                if on_step is not None:
                    z, move = moved(slice(leader, leader + 1))
                    on_step(judge(networks, z, decode(z), targets, own_losses).round(number, 0, float(move), names))
            candidates, moves = moved(slice(None))
        home = decode(candidates)
        judged = judge(networks, candidates, home, targets, own_losses)
        found.consider(number, candidates, moves, judged, names)
        if not number:
            found.first = judged.tokens[0]
            leader = int(judged.totals.argmin())
            # What another key brings to the register the actor need not.
            rows = rows.lowered(judged.shifts)
            asked = condition(rows).to(starts)
        if on_round is not None and on_round(found.trace[-1]):
            break
        if number and found.trace[-1].total <= effort.enough:
            break
        losses = torch.from_numpy(exact_losses(Melodies(home), rows)).to(starts.device)
        seen.append((candidates, asked, losses))
        if number:
            staying = judged.totals.argsort()[: max(FEWEST, round(effort.survive * len(starts)))]
            kept = torch.from_numpy(staying).to(starts.device)
            starts, asked, rows = starts[kept], asked[kept], rows.of(staying)
            share = share if share is None else share[kept]
            leader = 0  # The best stands first now.
    return found
