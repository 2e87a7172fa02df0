"""Ways to make a melody for a target, each with the same time: the method, what others do, and the method in parts.

Every way proposes latents; all are decoded, moved to the key that fits the register, judged by the same exact losses
and the same realism, and the best is kept. What is worked out once for all requests (networks trained in advance,
attribute vectors) is not counted.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from generator.actor_critic import (
    ActorCritic,
    Effort,
    Judged,
    Tokens,
    Weights,
    condition,
    judge,
    retrain,
)
from generator.compose import CANDIDATES
from generator.losses import Melodies, Targets
from generator.models import Models
from generator.musicvae.plan import KEY_REACH
from generator.starts import planned_shares

ENDLESS = 10_000  # rounds; the time ends them
SEED_STEP = 1_000_003  # between the batches of starts of one request
CMA_SIGMA, CMA_POPULATION = 0.3, 16
GRADIENT_RATE, GRADIENT_STEPS, GRADIENT_BATCHES = 0.05, 10, 4
ARITHMETIC_STEPS, MODE_LEAD = 3, 0.1  # moves of one draw; the lead of the wanted mode that is aimed at


@dataclass(frozen=True)
class Result:
    """tokens [256] in the key that fits the register; CPU seconds; total of the losses that it was chosen by."""

    tokens: Tokens
    seconds: float
    total: float


@dataclass(frozen=True)
class Attributes:
    """Attribute vectors: `vectors` [3, z] for density, pitch and mode, and what a step along each adds to all three
    attributes, `effect` [3, 3] (row: the vector, column: the attribute)."""

    vectors: Tensor
    effect: npt.NDArray[np.float64]

    @classmethod
    def of(cls, models: Models, tokens: npt.NDArray[np.uint8]) -> Attributes:
        """From encoded training melodies [N, 256] in the model's key, as in section 5.5 of MusicVAE.

        A vector is the mean latent of the half of the melodies with more of an attribute less that of the other half;
        its effect is the regression of the attributes on the latents' places along the three vectors.
        """
        z = models.encode(tokens)
        measured = attributes(Melodies(tokens))
        vectors = []
        for column in measured.T:
            more = torch.from_numpy(column > np.median(column)).to(z.device)
            vectors.append(z[more].mean(0) - z[~more].mean(0))
        stacked = torch.stack(vectors)
        places = (z @ torch.linalg.pinv(stacked)).cpu().numpy()  # [N, 3], in lengths of the vectors
        effect, *_ = np.linalg.lstsq(places - places.mean(0), measured - measured.mean(0), rcond=None)
        return cls(stacked, effect)


def attributes(melodies: Melodies) -> npt.NDArray[np.float64]:
    """Density, mean pitch and lead of the major key: [N, 3]."""
    return np.stack([melodies.density, melodies.pitch, melodies.mode], 1)


@dataclass(frozen=True)
class Setting:
    """What all ways share: the networks, attribute vectors, and how the method is re-trained."""

    models: Models
    attributes: Attributes
    effort: Effort = field(default_factory=Effort)


Heard = tuple[Tokens, Judged]  # what a batch decoded to, and how it was judged
Batches = Generator[Tensor, Heard, None]  # latents to be tried; what came of them is sent back
Way = Callable[[Setting, Targets, int], Batches]
Method = Callable[[Setting, Targets, int, float], Result]


def drawn(setting: Setting, seed: int, number: int, count: int = CANDIDATES) -> Tensor:
    """Draws from the prior as they come, others for each number of a request."""
    return setting.models.starts(count, (seed + number * SEED_STEP) % 2**31)


def planned(setting: Setting, targets: Targets, seed: int, number: int) -> Tensor:
    """Draws from the prior, planned for the targets: the first are those that the method starts from."""
    return setting.models.starts(CANDIDATES, (seed + number * SEED_STEP) % 2**31, targets.rows(CANDIDATES))


def one_sample(setting: Setting, targets: Targets, seed: int) -> Batches:
    """One draw from the prior, whatever it is."""
    yield drawn(setting, seed, 0, 1)


def best_of_many(setting: Setting, targets: Targets, seed: int) -> Batches:
    """Draws from the prior until the time is up."""
    for number in range(ENDLESS):
        yield drawn(setting, seed, number)


def best_of_planned(setting: Setting, targets: Targets, seed: int) -> Batches:
    """Draws that are planned for the targets until the time is up."""
    for number in range(ENDLESS):
        yield planned(setting, targets, seed, number)


def arithmetic(setting: Setting, targets: Targets, seed: int) -> Batches:
    """Draws from the prior, moved along the attribute vectors by what they lack of the target.

    How far is solved from the regression; a draw is moved again from where it came to, while that still helps.
    """
    wanted = np.array([targets.density, targets.pitch, MODE_LEAD if targets.major else -MODE_LEAD])
    solve = np.linalg.pinv(setting.attributes.effect)
    for number in range(ENDLESS):
        z = drawn(setting, seed, number)
        for _ in range(ARITHMETIC_STEPS):
            home, _ = yield z
            found = attributes(Melodies(home))
            lacking = wanted - found
            lacking[:, 1] -= np.clip(np.rint(lacking[:, 1]), -KEY_REACH, KEY_REACH)  # the key sees to these
            lacking[:, 2] *= found[:, 2] * wanted[2] < 0  # the mode is right already
            amounts = torch.from_numpy((lacking @ solve).astype(np.float32)).to(z.device)
            z = z + amounts @ setting.attributes.vectors


def gradient(setting: Setting, targets: Targets, seed: int) -> Batches:
    """From planned draws, descend the critic as trained in advance (value, realism, length of the move), by Adam."""
    networks = setting.models.networks
    for number in range(ENDLESS):
        starts = planned(setting, targets, seed, number)
        asked = condition(targets.rows(len(starts))).to(starts)
        step = torch.zeros_like(starts, requires_grad=True)  # in units of the spread
        optimizer = torch.optim.Adam([step], lr=GRADIENT_RATE)
        for _ in range(GRADIENT_BATCHES):
            for _ in range(GRADIENT_STEPS):
                optimizer.zero_grad()
                loss = networks.objective(starts, starts + step * networks.spread, asked).sum()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            yield starts + step.detach() * networks.spread


def evolution(setting: Setting, targets: Targets, seed: int) -> Batches:
    """CMA-ES (Hansen 2016, PyPI cma) on z in units of the spread, from the best of the first draws.

    With a diagonal covariance: 512 numbers leave no time to learn a full one.
    """
    try:
        import cma
    except ImportError as error:
        raise ValueError("CMA-ES needs the package cma: pip install -r requirements-dev.txt") from error
    starts = drawn(setting, seed, 0)
    _, judged = yield starts
    begin, spread = starts[int(judged.totals.argmin())], setting.models.networks.spread
    options = {"popsize": CMA_POPULATION, "CMA_diagonal": True, "seed": seed + 1, "verbose": -9}
    search = cma.CMAEvolutionStrategy(np.zeros(len(begin)), CMA_SIGMA, options)
    for _ in range(ENDLESS):
        steps = search.ask()
        _, judged = yield begin + torch.from_numpy(np.array(steps, np.float32)).to(begin) * spread
        search.tell(steps, judged.totals.tolist())


def actor_alone(setting: Setting, targets: Targets, seed: int) -> Batches:
    """Planned draws, moved by the actor as trained in advance."""
    networks = setting.models.networks
    for number in range(ENDLESS):
        starts = planned(setting, targets, seed, number)
        with torch.no_grad():
            yield networks.actor(starts, condition(targets.rows(len(starts))).to(starts))


def search(way: Way, setting: Setting, targets: Targets, seed: int, seconds: float) -> Result:
    """Follow a way until the next batch, by the longest so far, would end after `seconds` of computing time."""
    begun = time.process_time()
    best, total, longest = np.zeros(0, np.uint8), np.inf, 0.0
    batches = way(setting, targets, seed)
    z = next(batches)
    while True:
        before = time.process_time()
        home = setting.models.decode(z)
        judged = judge(setting.models.networks, z, home, targets)
        chosen = int(judged.totals.argmin())
        if judged.totals[chosen] < total:
            best, total = judged.tokens[chosen], float(judged.totals[chosen])
        if time.process_time() - begun + longest > seconds:
            break
        try:
            z = batches.send((home, judged))
        except StopIteration:
            break
        longest = max(longest, time.process_time() - before)
    return Result(best, time.process_time() - begun, total)


def re_training(setting: Setting, targets: Targets, seed: int, seconds: float, plans: bool = True) -> Result:
    """The method itself. It ends by its own rule. plans: whether its starts are planned for the targets."""
    begun = time.process_time()
    models = setting.models
    starts = planned(setting, targets, seed, 0) if plans else drawn(setting, seed, 0)
    share = planned_shares(models, CANDIDATES) if plans else None
    found = retrain(models.networks, models.decode, starts, targets, setting.effort, share=share)
    return Result(found.tokens, time.process_time() - begun, found.trace[-1].total)


def with_weights(weights: Weights) -> Method:
    """The method with other weights of the actor's loss, at the request; trained in advance with all parts."""

    def method(setting: Setting, targets: Targets, seed: int, seconds: float) -> Result:
        networks = copy.deepcopy(setting.models.networks)
        networks.weights = weights
        return re_training(replace(setting, models=replace(setting.models, networks=networks)), targets, seed, seconds)

    return method


def without_pretraining(setting: Setting, targets: Targets, seed: int, seconds: float) -> Result:
    """The method with networks that know nothing but the spread of real latents."""
    known = setting.models.networks
    torch.manual_seed(seed)
    fresh = ActorCritic(known.config).requires_grad_(False)
    fresh.spread.copy_(known.spread)
    return re_training(replace(setting, models=replace(setting.models, networks=fresh)), targets, seed, seconds)


def searching(way: Way) -> Method:
    """A way as a method."""

    def method(setting: Setting, targets: Targets, seed: int, seconds: float) -> Result:
        return search(way, setting, targets, seed, seconds)

    return method


FULL = "actor-critic re-training"
LESS = "..."  # begins the names of the method less a part
METHODS: dict[str, Method] = {
    "prior sample": searching(one_sample),
    "best of N prior samples": searching(best_of_many),
    "attribute vectors": searching(arithmetic),
    "CMA-ES": searching(evolution),
    "gradient on the critic": searching(gradient),
    "best of N planned samples": searching(best_of_planned),
    "actor alone": searching(actor_alone),
    FULL: re_training,
    "... without plans": partial(re_training, plans=False),
    "... without realism": with_weights(Weights(realism=0.0)),
    "... without value": with_weights(Weights(value=0.0)),
    "... without pre-training": without_pretraining,
}
