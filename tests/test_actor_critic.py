"""Re-training moves a latent towards its targets, keeps the best, and says what it did."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from generator.actor_critic import (
    ActorCritic,
    ActorCriticConfig,
    Effort,
    Retrained,
    Round,
    Tokens,
    fit_register,
    retrain,
)
from generator.key import find_key
from generator.losses import Melodies, Targets
from generator.models import Models, default_models

SPARSE, DENSE = Targets(3.5, 66, False), Targets(7.5, 73, True)


@pytest.fixture(scope="module")
def models() -> Models:
    torch.set_num_threads(1)
    return default_models()


def request(models: Models, targets: Targets, seed: int = 5, rounds: int = 4) -> Retrained:
    return retrain(models.networks, models.decode, models.starts(16, seed), targets, Effort(rounds=rounds))


@pytest.mark.parametrize("targets", [SPARSE, DENSE], ids=["sparse minor", "dense major"])
def test_a_request_reaches_its_targets(models: Models, targets: Targets) -> None:
    starts = models.starts(16, 5, targets.rows(16))
    found = retrain(models.networks, models.decode, starts, targets, Effort(rounds=4))
    melodies = Melodies(found.tokens[None])
    assert melodies.density[0] == pytest.approx(targets.density, abs=0.5)
    assert melodies.pitch[0] == pytest.approx(targets.pitch, abs=1.0)
    assert find_key(found.tokens).major == targets.major


def test_the_trace_goes_down_and_ends_with_the_result(models: Models) -> None:
    found = request(models, SPARSE)
    totals = [each.total for each in found.trace]
    assert totals == sorted(totals, reverse=True)
    assert [each.number for each in found.trace] == list(range(len(found.trace)))
    assert np.array_equal(found.trace[-1].tokens, found.tokens)
    assert found.trace[-1].total < found.trace[0].total


def test_the_actor_beats_the_starts_it_is_given(models: Models) -> None:
    """Over several requests, moved candidates are nearer their targets than the best of starts that know of none."""
    gains = []
    for seed in range(4):
        trace = request(models, (SPARSE, DENSE)[seed % 2], seed).trace
        gains.append(trace[0].total - trace[-1].total)
    assert np.mean(gains) > 0.1


def test_a_request_leaves_the_shared_networks_alone(models: Models) -> None:
    before = {name: tensor.clone() for name, tensor in models.networks.state_dict().items()}
    request(models, DENSE, rounds=2)
    for name, tensor in models.networks.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_same_request_gives_the_same_melody(models: Models) -> None:
    first, second, other = request(models, DENSE, 1), request(models, DENSE, 1), request(models, DENSE, 2)
    assert np.array_equal(first.tokens, second.tokens)
    assert not np.array_equal(first.tokens, other.tokens)


def test_a_round_can_be_watched(models: Models) -> None:
    seen: list[int] = []
    starts = models.starts(4, 1)
    effort = Effort(rounds=3, enough=0)
    retrain(models.networks, models.decode, starts, DENSE, effort, lambda each: seen.append(each.number))
    assert seen == [0, 1, 2, 3]


def test_register_is_fitted_by_key_alone() -> None:
    tokens = np.zeros((1, 256), np.uint8)
    tokens[0, ::4] = np.resize([41, 45, 48, 45], 64)
    moved, shift = fit_register(tokens, 67.0)
    assert Melodies(moved).pitch[0] == pytest.approx(67.0, abs=0.5)
    assert np.array_equal(moved[moved >= 2], tokens[tokens >= 2] + shift[0])
    far, most = fit_register(tokens, 90.0)
    assert most[0] == 6
    assert np.array_equal(far[far >= 2], tokens[tokens >= 2] + 6)


def test_the_worst_starts_are_given_up_round_by_round(models: Models) -> None:
    decoded: list[int] = []

    def decode(z: torch.Tensor) -> Tokens:
        decoded.append(len(z))
        return models.decode(z)

    retrain(models.networks, decode, models.starts(16, 1), DENSE, Effort(rounds=4, enough=0))
    assert decoded == [16, 16, 11, 8, 8]


def test_watching_every_step_shows_the_move_and_changes_nothing(models: Models) -> None:
    effort = Effort(rounds=2, enough=0)
    starts = models.starts(1, 3)
    unseen = retrain(models.networks, models.decode, starts, DENSE, effort)
    steps: list[Round] = []
    found = retrain(models.networks, models.decode, starts, DENSE, effort, on_step=steps.append)
    assert np.array_equal(found.tokens, unseen.tokens)
    assert [step.number for step in steps] == [1] * effort.steps + [2] * effort.steps
    assert len({step.move for step in steps}) == len(steps)  # The latent moves with every step.
    # With a single candidate the last step of a round is what the round comes to.
    ends = [found.trace[0].total, steps[effort.steps - 1].total, steps[-1].total]
    assert found.trace[-1].total == pytest.approx(min(ends), abs=1e-5)


def test_a_start_that_takes_no_share_of_the_move_stays(models: Models) -> None:
    z, wanted = models.starts(3, 1), torch.tensor([[1.0, 0.0, 1.0]]).expand(3, -1)
    moved = models.networks.move(z, wanted, torch.tensor([0.0, 0.5, 1.0]))
    whole = models.networks.move(z, wanted)
    assert torch.equal(moved[0], z[0])
    assert torch.allclose(moved[1], (z[1] + whole[1]) / 2, atol=1e-5)
    assert torch.allclose(moved[2], whole[2], atol=1e-5)


def test_an_untrained_actor_hardly_moves() -> None:
    torch.manual_seed(0)
    networks = ActorCritic(ActorCriticConfig(z=32, bars=4))
    z = torch.randn(8, 32)
    moved = networks.actor(z, torch.randn(8, 3))
    assert (moved - z).norm() < 0.3 * z.norm()


def test_bars_that_are_alike_are_moved_alike() -> None:
    torch.manual_seed(0)
    networks = ActorCritic(ActorCriticConfig(z=32, bars=4))
    z = torch.randn(3, 4, 8)
    z[:, 2] = z[:, 0]
    moved = networks.actor(z.flatten(1), torch.randn(3, 3)).view(3, 4, 8)
    assert torch.allclose(moved[:, 2], moved[:, 0], atol=1e-6)
    assert not torch.allclose(moved[:, 1], moved[:, 0], atol=1e-2)
