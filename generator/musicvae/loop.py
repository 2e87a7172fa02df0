"""One stage of training: any module and loss, for so many minutes, on one process or, under torchrun, on several.

A run writes its state (weights, optimiser, time spent) every minute and goes on from it; the rate falls over the run's
minutes, so a run's length is part of its recipe. The weights are averaged over the last steps, the average is judged on
held-out data now and then, and the best average is what the run results in.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

CLIP = 1.0  # global norm of the gradient, as in MusicVAE
SAVE_SECONDS = 60.0
REPORT_EVERY, VALIDATE_EVERY = 100, 500  # steps
AVERAGE = 0.999  # decay of the exponential average of the weights, a step
PATIENCE = timedelta(hours=2)  # of a process for the others, while the first one measures

Figures = dict[str, float]
Report = Callable[[int, float, Figures], None]  # (step, seconds, figures)
Loss = Callable[[int, float], tuple[Tensor, Figures]]  # (step, share of the run done) -> loss, figures
Validate = Callable[[], tuple[float, Figures]]  # -> loss on held-out data, figures


@dataclass(frozen=True)
class Recipe:
    """One stage: minutes, windows (or bars) a step and process, peak learning rate."""

    minutes: float
    batch: int
    rate: float


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is, and its device."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @classmethod
    def join(cls, device: str) -> Ranks:
        """Join the other processes where torchrun started this one. device: "cpu" or "cuda"."""
        if "LOCAL_RANK" not in os.environ:
            return cls(device=device)
        place = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
        distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size(), place)

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def agree(self, number: float) -> float:
        """The first process's number, in all of them."""
        if self.count == 1:
            return number
        shared = torch.tensor([number], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def leave(self) -> None:
        """Part from the others."""
        if self.count > 1:
            distributed.destroy_process_group()


class _Objective(nn.Module):
    """A loss as a module, which is what DistributedDataParallel wants."""

    def __init__(self, module: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, step: int, share: float) -> tuple[Tensor, Figures]:
        return self.loss(step, share)


def rate_factor(share: float) -> float:
    """The learning rate's factor when `share` of the run is done: 1 for half of it, then a cosine down to .01."""
    return 1.0 if share < 0.5 else max(0.01, math.cos(math.pi * (share - 0.5)))


def run(
    module: nn.Module,
    loss: Loss,
    recipe: Recipe,
    state_file: Path,
    report: Report,
    average: float = AVERAGE,
    validate: Validate | None = None,
    ranks: Ranks = Ranks(),
) -> Figures:
    """Train `module`'s free weights until the recipe's minutes are over, going on from `state_file` if it is there.

    The module then holds the averaged weights (average 0: the last ones), and where `validate` is given those of the
    best validation. All processes must see one state file; the first writes it, and reports. Returns steps, minutes
    and the best validation loss.
    """
    weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=recipe.rate, weight_decay=0.0)
    averaged = [weight.detach().clone() for weight in weights]
    best, best_loss = [weight.clone() for weight in averaged], math.inf
    spent, step = 0.0, 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location=ranks.device)
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        averaged, spent, step = state["averaged"], state["spent"], state["step"]
        best, best_loss = state.get("best", averaged), state.get("best_loss", math.inf)
    objective: nn.Module = _Objective(module, loss)
    if ranks.count > 1:
        objective = DistributedDataParallel(objective)
    kind = torch.device(ranks.device).type

    def judge() -> None:
        nonlocal best, best_loss
        result = averaged if average else [weight.detach() for weight in weights]
        if validate is None:
            best = [weight.clone() for weight in result]
            return
        training = module.training
        module.eval()  # as it will be used: without dropout
        with _holding(weights, result), torch.no_grad(), torch.autocast(kind, torch.bfloat16):
            found, figures = validate()
        module.train(training)
        report(step, spent, {f"valid {name}": value for name, value in figures.items()})
        if found < best_loss:
            best, best_loss = [weight.clone() for weight in result], found

    begun = saved = time.monotonic()
    total, before = recipe.minutes * 60, spent
    while spent < total:
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, (step + 1) / 50) * rate_factor(spent / total)
        with torch.autocast(kind, torch.bfloat16):
            value, figures = objective(step, spent / total)
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(weights, CLIP)
        optimiser.step()
        step += 1
        if average:
            with torch.no_grad():
                torch._foreach_lerp_(averaged, list[Tensor](weights), 1 - min(average, step / (step + 10)))
        spent = ranks.agree(before + time.monotonic() - begun)
        if not ranks.first:
            continue
        if step % REPORT_EVERY == 0:
            report(step, spent, figures)
        if step % VALIDATE_EVERY == 0 or spent >= total:
            judge()
        if time.monotonic() - saved > SAVE_SECONDS or spent >= total:
            saved = time.monotonic()
            state = {"module": module.state_dict(), "optimiser": optimiser.state_dict(), "averaged": averaged}
            save_state(state | {"best": best, "best_loss": best_loss, "spent": spent, "step": step}, state_file)
    with torch.no_grad():
        for weight, kept in zip(weights, best, strict=True):
            weight.copy_(kept)
            if ranks.count > 1:  # only the first process has validated
                distributed.broadcast(weight.detach(), 0)
    return {"steps": step, "minutes": spent / 60} | ({"valid": best_loss} if validate else {})


@contextmanager
def _holding(weights: list[nn.Parameter], values: list[Tensor]) -> Iterator[None]:
    """The weights hold other values for as long as a `with` lasts."""
    own = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        torch._foreach_copy_(list[Tensor](weights), values)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list[Tensor](weights), own)


def save_state(state: Any, path: Path) -> None:
    """Write a run's state, whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
