"""Training: every stage, going on after a break, from weights that are there, on two processes; the best is kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, distributed, nn

from generator.__main__ import main
from generator.musicvae import loop
from generator.musicvae import train as stages
from generator.musicvae.config import Config
from generator.musicvae.corpus import load_corpus
from generator.musicvae.loop import Ranks, Recipe
from generator.musicvae.model import MelodyVAE
from generator.train import Plan, Training
from tests.tiny_training import SMALL, shrink
from tests.tunes import random_tune

WEIGHTS = ("melody.safetensors", "prior.safetensors", "actor_critic.safetensors")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("data") / "tunes.npz"
    windows = np.stack([random_tune(seed) for seed in range(60)])
    np.savez(path, windows=windows, split=np.repeat([0, 1, 2], 20).astype(np.uint8), cluster=np.arange(60))
    return path


def train(data: Path, out: Path, *more: str, minutes: float = 0.02) -> int:
    return main(["train", "--data", str(data), "--out", str(out), "--minutes", str(minutes), *more])


def facts(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        said: dict[str, Any] = json.loads(file.metadata()["trained"])
    return said


def steps(out: Path, stage: str) -> int:
    return int(torch.load(out / f"{stage}.pt", weights_only=True)["step"])


@pytest.fixture(scope="module")
def first_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all stages have run."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        out = tmp_path_factory.mktemp("training") / "run"
        assert train(data, out, "--seed", "3") == 0
    return out


@pytest.fixture
def trained(first_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, for one test."""
    shrink(monkeypatch)
    return Path(shutil.copytree(first_run, tmp_path / "run"))


def test_all_stages_give_a_model_that_composes_and_says_what_it_is(trained: Path, tmp_path: Path) -> None:
    assert main(["compose", "--mood", "clear", "--model", str(trained), "--files", "mid", "--out", str(tmp_path)]) == 0
    assert list(tmp_path.glob("*.mid"))
    said = facts(trained / "melody.safetensors")
    assert (said["data"], said["seed"], said["training windows"], said["processes"]) == ("tunes.npz", 3, 20, 1)
    for stage in ("bar", "melody"):
        assert said[stage]["steps"] == steps(trained, stage) > 0
        assert said[stage]["minutes"] >= 0.02
        assert np.isfinite(said[stage]["valid"])
    assert said["melody"]["beta"] == stages.BETA
    assert 0 <= said["test"]["teacher-forced, onset"] <= 1
    assert "density" in facts(trained / "prior.safetensors")["samples"]["learned prior"]
    for stage in ("bar", "melody", "prior"):
        (board,) = (trained / "logs" / stage).iterdir()
        assert b"valid/" in board.read_bytes()


def test_a_finished_stage_is_passed_over_and_more_minutes_go_on(trained: Path, data: Path) -> None:
    before = {stage: steps(trained, stage) for stage in ("bar", "melody", "prior", "actor")}
    weights = (trained / "actor_critic.safetensors").read_bytes()
    assert train(data, trained, "--seed", "3") == 0
    assert {stage: steps(trained, stage) for stage in before} == before
    assert train(data, trained, "--seed", "3", minutes=0.03) == 0
    after = {stage: steps(trained, stage) for stage in before}
    assert all(after[stage] > before[stage] for stage in before)
    assert (trained / "actor_critic.safetensors").read_bytes() != weights


def test_going_on_from_weights_skips_the_bar_and_needs_no_other_stage(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "more"
    assert train(data, out, "--from", str(trained), "--only", "melody", "--beta", "0.15") == 0
    assert sorted(path.name for path in out.iterdir()) == ["logs", "melody.pt", "melody.safetensors"]
    said = facts(out / "melody.safetensors")
    assert (said["from"], said["melody"]["beta"], "bar" in said) == ("run", 0.15, False)
    assert train(data, out, "--only", "prior", "actor") == 0
    assert sorted(path.name for path in out.glob("*.safetensors")) == sorted(WEIGHTS)


def test_without_warm_up_beta_counts_from_the_start(data: Path) -> None:
    torch.manual_seed(0)
    model, corpus = MelodyVAE(Config(**SMALL)), load_corpus(data, "train")
    found = []
    for warm_up in (True, False):
        torch.manual_seed(1)
        loss = stages.melody_loss(model, corpus, np.random.default_rng(0), 4, 0.5, warm_up)
        found.append(loss(0, 0.0))
    (warm, figures), (full, _) = found
    assert (full - warm).item() == pytest.approx(0.5 * figures["kl"], rel=1e-3)


class Drift:
    """A loss that pulls one weight from 0 to 10, and a validation that likes 1 best."""

    def __init__(self) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.module.weight)
        self.seen: list[float] = []

    def loss(self, step: int, share: float) -> tuple[Tensor, dict[str, float]]:
        return (self.module.weight - 10).square().sum(), {"w": self.module.weight.item()}

    def validate(self) -> tuple[float, dict[str, float]]:
        value = self.module.weight.item()
        self.seen.append(value)
        return abs(value - 1), {"w": value}


def test_the_best_weights_are_kept_when_later_ones_are_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "VALIDATE_EVERY", 5)
    drift = Drift()
    recipe = Recipe(minutes=0.01, batch=1, rate=0.1)
    figures = loop.run(drift.module, drift.loss, recipe, tmp_path / "s.pt", lambda *_: None, 0.9, drift.validate)
    kept = drift.module.weight.item()
    assert abs(kept - 1) == min(abs(value - 1) for value in drift.seen) == pytest.approx(figures["valid"])
    assert drift.seen[-1] > kept + 1
    # A run that goes on knows the best of the run before, and goes on from the last weights, not from the best.
    again = Drift()
    longer = Recipe(minutes=0.02, batch=1, rate=0.1)
    loop.run(again.module, again.loss, longer, tmp_path / "s.pt", lambda *_: None, 0.9, again.validate)
    assert again.seen[0] > kept + 1
    assert again.module.weight.item() == pytest.approx(kept)


def test_a_network_is_judged_as_it_will_be_used(tmp_path: Path) -> None:
    """Trained with dropout, and validated without."""
    drift = Drift()
    modes: dict[str, set[bool]] = {"loss": set(), "validate": set()}

    def loss(step: int, share: float) -> tuple[Tensor, dict[str, float]]:
        modes["loss"].add(drift.module.training)
        return drift.loss(step, share)

    def validate() -> tuple[float, dict[str, float]]:
        modes["validate"].add(drift.module.training)
        return drift.validate()

    recipe = Recipe(minutes=0.002, batch=1, rate=0.1)
    loop.run(drift.module, loss, recipe, tmp_path / "s.pt", lambda *_: None, 0.9, validate)
    assert modes == {"loss": {True}, "validate": {False}}
    assert drift.module.training


def test_each_process_and_each_beginning_draws_other_melodies(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    plan = Plan(data, tmp_path)
    draws = [tuple(Training(plan, Ranks(rank), print).rng("bar").integers(0, 1000, 5)) for rank in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    torch.save({"step": 7}, tmp_path / "bar.pt")
    assert tuple(Training(plan, Ranks(0), print).rng("bar").integers(0, 1000, 5)) != draws[0]


@pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="PyTorch is built without gloo"
)
def test_two_processes_train_one_model(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "tests.tiny_training", "train"]
    command += ["--data", str(data), "--out", str(out), "--minutes", "0.03", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr[-2000:]
    for stage in ("bar", "melody", "prior"):
        sums = [float((out / f"{stage}.rank{rank}.txt").read_text()) for rank in (0, 1)]
        assert sums[0] == sums[1], stage
    assert facts(out / "melody.safetensors")["processes"] == 2
    assert done.stdout.count('"teacher-forced, onset"') == 1  # one process reports
    assert sorted(path.name for path in out.glob("*.safetensors")) == sorted(WEIGHTS)
    assert len(list((out / "logs" / "bar").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nothing.npz"], "nothing.npz"),
        (["--from", "nowhere"], "melody.safetensors: expected a weights file"),
        (["--beta", "-1"], "expected a beta of 0 or more"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(data, tmp_path / "run", *arguments) == 1
    assert message in capsys.readouterr().err
