"""All four stages of training, one after the other, from a file of melodies to the files in assets/.

    python -m generator train --data melodies.npz --out runs/first
    torchrun --nproc-per-node 2 -m generator train --data melodies.npz --out runs/first

Each stage leaves its state in the output folder and goes on from it when started again; a finished stage is passed
over. How long each takes on one core is in `generator.musicvae.train.RECIPES` and `ACTOR_MINUTES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from generator.actor_critic import ActorCritic, register_shifts
from generator.losses import TargetRows
from generator.models import ACTOR_CRITIC, MELODY, PRIOR, PRIOR_STEPS, Models
from generator.musicvae import loop, plan
from generator.musicvae import train as stages
from generator.musicvae.config import Config
from generator.musicvae.corpus import load_corpus
from generator.musicvae.loop import REPORT_EVERY, Figures, Loss, Ranks, Recipe, Report, Validate, run, save_state
from generator.musicvae.model import MelodyVAE
from generator.musicvae.prior import Prior, PriorConfig
from generator.musicvae.report import reconstruction, samples
from generator.stages import STAGES
from generator.train_actor import draw_targets
from generator.train_actor import train as train_actor
from generator.weights import load_weights, save_weights

ACTOR_MINUTES = 10.0
START_WINDOWS = 3000  # for the principal components
REAL, STARTS = 20_000, 8192  # latents the actor's stage learns from
DRAWN = 256  # of them at a time
REPORT_WINDOWS = 1000
SAY_EVERY = 5 * REPORT_EVERY  # steps; TensorBoard has them all

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to train, where and how long.

    data: npz of melodies; out: folder for states and weights; begin: folder of weights to go on from, without the first
    stage; only: stages to run, the others' results must be there; minutes: for each stage, instead of the recipes' own;
    beta: weight of the KL; device: "cpu" or "cuda".
    """

    data: Path
    out: Path
    begin: Path | None = None
    only: tuple[str, ...] = STAGES
    minutes: float | None = None
    beta: float = stages.BETA
    seed: int = 0
    device: str = "cpu"


def train(plan: Plan, say: Say) -> None:
    """Run the stages that are not finished yet.

    Raises ValueError or FileNotFoundError where the data cannot be used, CheckpointError where weights cannot.
    """
    ranks = Ranks.join(plan.device)
    try:
        Training(plan, ranks, say if ranks.first else lambda line: None).run()
    finally:
        ranks.leave()


class Training:
    """One call of `train`, in one process."""

    def __init__(self, plan: Plan, ranks: Ranks, say: Say) -> None:
        self.plan, self.ranks, self.say = plan, ranks, say
        plan.out.mkdir(parents=True, exist_ok=True)
        self.corpus, self.valid = load_corpus(plan.data, "train"), load_corpus(plan.data, "valid")
        self.held_out = load_corpus(plan.data, "test")
        chosen = np.random.default_rng(plan.seed).permutation(len(self.held_out.windows))[:REPORT_WINDOWS]
        self.windows = self.held_out.windows[chosen]
        self.said: dict[str, Any] = {
            "data": plan.data.name,
            "training windows": len(self.corpus.windows),
            "seed": plan.seed,
            "processes": ranks.count,
            "from": plan.begin.name if plan.begin else None,
        }

    def run(self) -> None:
        """All stages."""
        torch.manual_seed(self.plan.seed)
        model = self.melody()
        if {"prior", "actor"} & set(self.plan.only):
            prior = self.prior(model)
            if "actor" in self.plan.only and self.ranks.first:
                self.actor(model, prior)

    def melody(self) -> MelodyVAE:
        """The first two stages."""
        plan, begin = self.plan, self.plan.begin
        if "melody" not in plan.only and "bar" not in plan.only:
            return load_weights((begin or plan.out) / MELODY, "melody", Config, MelodyVAE).to(self.ranks.device)
        model = load_weights(begin / MELODY, "melody", Config, MelodyVAE) if begin else MelodyVAE(Config())
        model.train().requires_grad_(True).to(self.ranks.device)
        if not begin:
            for part in (model.encoder, model.conductor):  # they play no part yet
                part.requires_grad_(False)
            loss = stages.bar_loss(model, self.corpus, self.rng("bar"), stages.RECIPES["bar"].batch)
            self.stage("bar", model, loss, stages.bar_validation(model, self.valid))
            model.requires_grad_(True)
            if not (plan.out / "melody.pt").exists():
                stages.start_from_components(model, self.corpus.draw(np.random.default_rng(plan.seed), START_WINDOWS))
        if "melody" in plan.only:
            batch = stages.RECIPES["melody"].batch
            loss = stages.melody_loss(model, self.corpus, self.rng("melody"), batch, plan.beta, warm_up=not begin)
            validate = stages.melody_validation(model, self.valid, plan.beta)
            self.stage("melody", model, loss, validate, beta=plan.beta)
            model.eval().requires_grad_(False)
            if self.ranks.first:
                figures = reconstruction(model, self.windows, plan.seed)
                save_weights(model, "melody", model.config, plan.out / MELODY, self.said | {"test": figures})
                self.say(json.dumps(figures, indent=1))
        return model.eval().requires_grad_(False)

    def prior(self, model: MelodyVAE) -> Prior:
        """The third stage."""
        plan, begin = self.plan, self.plan.begin
        if "prior" not in plan.only:
            return load_weights((begin or plan.out) / PRIOR, "prior", PriorConfig, Prior).to(self.ranks.device)
        prior = load_weights(begin / PRIOR, "prior", PriorConfig, Prior) if begin else Prior(PriorConfig())
        prior.train().requires_grad_(True).to(self.ranks.device)
        loss = stages.prior_loss(prior, model, self.corpus, self.rng("prior"), stages.RECIPES["prior"].batch)
        self.stage("prior", prior, loss, stages.prior_validation(prior, model, self.valid))
        prior.eval().requires_grad_(False)
        if self.ranks.first:
            drawn = samples(model, prior, self.held_out, self.corpus, REPORT_WINDOWS, PRIOR_STEPS, plan.seed)
            save_weights(prior, "prior", prior.config, plan.out / PRIOR, self.said | {"samples": drawn})
            self.say(json.dumps(drawn, indent=1))
        return prior

    def actor(self, model: MelodyVAE, prior: Prior) -> None:
        """The last stage, in one process."""
        networks = ActorCritic.for_latent(model.config.z, model.config.bars).to(self.ranks.device)
        models = Models(model, prior, networks)
        minutes = self.plan.minutes or ACTOR_MINUTES
        asked = draw_targets(np.random.default_rng(self.plan.seed), STARTS)
        real, starts = self.latents(models, asked)
        home = np.concatenate([models.decode(part) for part in torch.split(starts, DRAWN)])
        asked = asked.lowered(register_shifts(home, asked.pitch))
        report, state = self.report("actor"), self.plan.out / "actor.pt"
        train_actor(networks, models.decode, real, starts, asked, minutes, self.plan.seed, report, state)
        said = self.said | {"minutes": minutes}
        save_weights(networks, "actor-critic", networks.config, self.plan.out / ACTOR_CRITIC, said)

    def latents(self, models: Models, asked: TargetRows) -> tuple[Tensor, Tensor]:
        """Of real melodies and of drawn ones, for the actor's stage. Drawing takes minutes: they are kept.

        The real ones are near random targets too, or an unusual target would be taken for what is not real.
        """
        kept = self.plan.out / "actor_latents.pt"
        if kept.exists():
            real, starts = torch.load(kept, weights_only=True, map_location=self.ranks.device)
            return real, starts
        assert isinstance(models.melody, MelodyVAE)  # noqa: S101 - for the type checker
        rng, generator = np.random.default_rng(self.plan.seed), torch.Generator().manual_seed(self.plan.seed)
        windows = self.corpus.draw(rng, REAL)
        outlines, wanted = torch.from_numpy(plan.outlines(windows)), torch.from_numpy(draw_targets(rng, REAL).table())
        spread = outlines.std(0)
        near = torch.cat([plan.near(outlines, spread, part, generator) for part in torch.split(wanted, DRAWN)])
        mu, sigma = stages.latents(models.melody, windows[near.numpy()])
        real = stages.near_mean(mu, sigma, generator)
        parts = np.arange(STARTS).reshape(-1, DRAWN)
        starts = torch.cat([models.starts(DRAWN, self.plan.seed + k, asked.of(part)) for k, part in enumerate(parts)])
        save_state([real, starts], kept)
        return real, starts

    def rng(self, stage: str) -> np.random.Generator:
        """Other melodies in each process and stage, and when a run goes on."""
        state = self.plan.out / f"{stage}.pt"
        age = int(torch.load(state, weights_only=True)["step"]) if state.exists() else 0
        own = np.random.SeedSequence([self.plan.seed, self.ranks.rank, STAGES.index(stage), age])
        torch.manual_seed(int(own.generate_state(1)[0]))
        return np.random.default_rng(own)

    def stage(self, name: str, module: nn.Module, loss: Loss, validate: Validate, **facts: float) -> None:
        """Run one stage, and note what it was."""
        recipe: Recipe = stages.RECIPES[name]
        if self.plan.minutes is not None:
            recipe = replace(recipe, minutes=self.plan.minutes)
        state = self.plan.out / f"{name}.pt"
        figures = run(module, loss, recipe, state, self.report(name), validate=validate, ranks=self.ranks)
        self.said[name] = figures | {"batch": recipe.batch, "rate": recipe.rate} | facts

    def report(self, stage: str) -> Report:
        """To TensorBoard files in the output folder, and now and then a line."""
        if not self.ranks.first:
            return lambda step, seconds, figures: None
        from tensorboardX import SummaryWriter

        board = SummaryWriter(str(self.plan.out / "logs" / stage))

        def report(step: int, seconds: float, figures: Figures) -> None:
            for key, value in figures.items():
                board.add_scalar(key.replace("valid ", "valid/"), value, step)
            board.flush()
            if step % SAY_EVERY == 0 or (next(iter(figures)).startswith("valid") and step % loop.VALIDATE_EVERY):
                said = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
                self.say(f"{stage} {seconds:.0f} s, step {step}: {said}")

        return report
