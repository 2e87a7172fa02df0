"""Plans: real outlines near what is wanted, which the prior's melodies follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from generator.actor_critic import fit_register
from generator.losses import Melodies, TargetRows
from generator.models import Models, default_models
from generator.musicvae import plan
from generator.musicvae.prior import RETURNED, returned
from tests.tunes import random_tune


@pytest.fixture(scope="module")
def models() -> Models:
    torch.set_num_threads(1)
    return default_models()


def test_an_outline_says_what_the_losses_measure() -> None:
    tunes = np.stack([random_tune(seed) for seed in range(20)])
    outlines = dict(zip(plan.NAMES, plan.outlines(tunes).T, strict=True))
    melodies = Melodies(tunes)
    for name, measured in (
        ("density", melodies.density),
        ("pitch", melodies.pitch),
        ("mode", melodies.mode),
        ("mean interval", melodies.interval),
        ("returning 4", melodies.returning(4)),
        ("turns", melodies.turns),
    ):
        assert np.allclose(outlines[name], measured, atol=1e-4), name


def test_a_plan_is_near_what_is_wanted() -> None:
    rng = np.random.default_rng(0)
    table = torch.zeros(4000, len(plan.NAMES))
    table[:, plan.DENSITY] = torch.from_numpy(rng.uniform(1, 10, 4000))
    table[:, plan.PITCH] = torch.from_numpy(rng.uniform(55, 85, 4000))
    table[:, plan.MODE] = torch.from_numpy(rng.uniform(-0.3, 0.3, 4000))
    wanted = torch.tensor([[2.0, 58.0, 1.0], [9.0, 80.0, -1.0], [5.5, 69.0, 1.0]])
    spread = torch.full((len(plan.NAMES),), 2.0)
    drawn = [table[plan.near(table, spread, wanted, torch.Generator().manual_seed(seed))] for seed in range(30)]
    for chosen in drawn:
        assert (chosen[:, plan.DENSITY] - wanted[:, 0]).abs().max() < 0.6
        assert (chosen[:, plan.PITCH] - wanted[:, 1]).abs().max() < plan.KEY_REACH + 1
        assert (chosen[:, plan.MODE] * wanted[:, 2]).min() >= plan.LEAST_LEAD
    assert len({float(chosen[0, plan.DENSITY]) for chosen in drawn}) > 10  # and not always the same one


def test_a_bar_that_all_but_returns_is_the_bar_it_was() -> None:
    before = torch.tensor([[[0.0, 0.0], [4.0, 4.0]]]).expand(3, -1, -1)
    bar = torch.tensor([[0.9 * RETURNED, 0.0], [4.0, 4.0 - 0.9 * RETURNED], [4.0, 4.0 - 2 * RETURNED]])
    assert returned(bar, before).tolist() == [[0.0, 0.0], [4.0, 4.0], bar[2].tolist()]


def test_melodies_follow_their_plans(models: Models) -> None:
    rng = np.random.default_rng(4)
    wanted = TargetRows(rng.uniform(2, 9, 60), rng.uniform(58, 80, 60), rng.integers(0, 2, 60).astype(bool))
    followed, free = (Melodies(models.decode(models.starts(60, 3, each))) for each in (wanted, None))
    assert np.corrcoef(followed.density, wanted.density)[0, 1] > 0.9 > np.corrcoef(free.density, wanted.density)[0, 1]
    assert ((followed.mode > 0) == wanted.major).mean() > 0.7
    off = np.abs(
        np.array(
            [
                Melodies(fit_register(tune[None], pitch)[0]).pitch[0]
                for tune, pitch in zip(followed.tokens, wanted.pitch, strict=True)
            ]
        )
        - wanted.pitch
    )
    assert np.median(off) < 0.6


def test_plans_follow_the_seed(models: Models) -> None:
    wanted = TargetRows(np.full(3, 5.0), np.full(3, 70.0), np.full(3, True))
    assert torch.equal(models.starts(3, 7, wanted), models.starts(3, 7, wanted))
    assert not torch.equal(models.starts(3, 7, wanted), models.starts(3, 8, wanted))
