"""Magenta's recorded numbers: the same weights and inputs must give the same outputs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from generator.musicvae.decode import CoreWeights, decode_step_by_step
from generator.musicvae.latent import slerp
from generator.musicvae.lstm_config import LstmConfig, infer_config
from generator.musicvae.lstm_vae import CoreDecoder, LstmVAE
from generator.musicvae.magenta_names import core_slots, slots
from generator.musicvae.magenta_training import Hyper, TfAdam, kl_divergence, losses, train_step

SHARED = Path(__file__).parents[2] / "shared" / "musicvae"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded numbers lie in ../shared, which is not here")
Recorded = dict[str, np.ndarray]


def record(name: str) -> Recorded:
    with np.load(SHARED / name) as file:
        return dict(file)


def build(weights: Recorded, prefix: str = "w/") -> LstmVAE:
    named = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
    model = LstmVAE(infer_config({name: array.shape for name, array in named.items()}, "fixture"))
    table = slots(model)
    assert set(table) == set(named)
    for name, slot in table.items():
        slot.set(torch.from_numpy(named[name]))
    return model


@pytest.fixture(scope="module")
def tiny() -> Recorded:
    return record("fixtures/tiny.npz")


@pytest.fixture(scope="module")
def model(tiny: Recorded) -> LstmVAE:
    return build(tiny)


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array)


def close(found: torch.Tensor, expected: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=atol)


def test_the_published_model_has_the_published_tensors() -> None:
    shapes = LstmConfig().tensors()
    assert sum(math.prod(shape) for shape in shapes.values()) == 176_061_530
    assert len(shapes) == 26
    assert shapes["encoder/cell_1/bidirectional_rnn/bw/multi_rnn_cell/cell_0/lstm_cell/kernel"] == (6144, 8192)
    assert shapes["core_decoder/decoder/multi_rnn_cell/cell_0/lstm_cell/kernel"] == (2138, 4096)


def test_the_small_published_model_has_as_many_weights_as_its_file_holds() -> None:
    shapes = LstmConfig(form="hier-mel", encoder=(512,), decoder=(256, 256), z=256).tensors()
    assert sum(math.prod(shape) for shape in shapes.values()) == 11_771_994


def test_weights_come_back_as_they_went_in(tiny: Recorded, model: LstmVAE) -> None:
    for name, slot in slots(model).items():
        np.testing.assert_array_equal(slot.get(), tiny[f"w/{name}"])


def test_encoder(tiny: Recorded, model: LstmVAE) -> None:
    mu, sigma = model.encode(tensor(tiny["enc_tokens"]))
    close(model.features(tensor(tiny["enc_tokens"])), tiny["enc_h"], 1e-5)
    close(mu, tiny["enc_mu"], 1e-5)
    close(sigma, tiny["enc_sigma"], 1e-5)
    close(kl_divergence(mu, sigma), tiny["enc_kl"], 1e-4)


def test_encoder_reads_only_what_lies_within_the_lengths(tiny: Recorded, model: LstmVAE) -> None:
    lengths = tensor(tiny["enc_var_lengths"]).long()
    close(model.features(tensor(tiny["enc_tokens"]), lengths), tiny["enc_var_h"], 1e-5)
    mu, sigma = model.encode(tensor(tiny["enc_tokens"]), lengths)
    close(mu, tiny["enc_var_mu"], 1e-5)
    close(sigma, tiny["enc_var_sigma"], 1e-5)


def test_conductor_and_teacher_forced_logits(tiny: Recorded, model: LstmVAE) -> None:
    z = tensor(tiny["z"])
    close(model.embed(z), tiny["conductor_embeddings"], 1e-5)
    tokens = tensor(tiny["tf_tokens"])
    logits = model.teacher_forced(z, tokens)
    close(logits, tiny["tf_logits"], 1e-4)
    nats = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none").sum(1)
    np.testing.assert_allclose(nats.detach().numpy(), tiny["tf_r_loss"], rtol=1e-5)


@pytest.mark.parametrize("temperature", ["t0.5", "t1"])
def test_logits_seen_while_sampling(tiny: Recorded, model: LstmVAE, temperature: str) -> None:
    logits = model.teacher_forced(tensor(tiny["z"]), tensor(tiny[f"sampled_tokens_{temperature}"]))
    close(logits, tiny[f"sampled_logits_{temperature}"], 1e-4)


def test_greedy_tokens(tiny: Recorded, model: LstmVAE) -> None:
    np.testing.assert_array_equal(model.decode(tensor(tiny["z"])).numpy(), tiny["greedy_tokens"])
    close(model.teacher_forced(tensor(tiny["z"]), tensor(tiny["greedy_tokens"])), tiny["greedy_logits"], 1e-4)


def test_slerp(tiny: Recorded) -> None:
    np.testing.assert_allclose(slerp(tiny["enc_mu"][0], tiny["enc_mu"][1], 5), tiny["slerp"], rtol=0, atol=1e-6)


def test_two_level_encoder_agrees_with_tensorflow_and_magenta_js() -> None:
    recorded = record("fixtures/js_tiny_hier.npz")
    model = build(recorded)
    assert model.config.form == "hier-mel"
    mu, sigma = model.encode(tensor(recorded["enc_tokens"]))
    close(mu, recorded["tf_mu"], 1e-5)
    close(mu, recorded["js_mu"], 1e-5)
    close(sigma, recorded["tf_sigma"], 1e-5)
    tokens = model.decode(tensor(recorded["z"])).numpy()
    np.testing.assert_array_equal(tokens, recorded["tokens"])
    np.testing.assert_array_equal(tokens, recorded["js_tokens"])


def test_core_decoder_of_googles_pretrained_two_bar_model() -> None:
    recorded = record("real/mel_2bar_small_decoder.npz")
    core = CoreDecoder(256, 90, (256, 256))
    for name, slot in core_slots(core, "decoder").items():
        slot.set(tensor(recorded[f"w/{name}"]))
    z = tensor(recorded["z"])
    tokens = core.decode(z[:, None], steps=32).numpy()
    np.testing.assert_array_equal(tokens, recorded["greedy_tokens"])
    np.testing.assert_array_equal(tokens, recorded["js_tokens"])
    plain = CoreWeights.of_lstms(core.lstms, core.output)
    plain_tokens = decode_step_by_step(plain, z[:, None], core.initial_states(z[:, None]), 32, None)
    np.testing.assert_array_equal(plain_tokens.numpy(), recorded["greedy_tokens"])
    for kind in ("greedy", "sampled_t0.5", "sampled_t1"):
        one_hot = F.one_hot(tensor(recorded[f"{kind}_tokens"]), 90).float()
        previous = torch.cat([torch.zeros_like(one_hot[:, :1]), one_hot[:, :-1]], 1)
        close(core.logits(z, previous), recorded[f"{kind}_logits"], 1e-4)


@pytest.mark.parametrize("setting", ["default", "lowfree", "clip"])
def test_three_training_steps(tiny: Recorded, setting: str) -> None:
    everything = record("fixtures/tiny_train.npz")
    recorded = {k.removeprefix(f"{setting}/"): v for k, v in everything.items() if k.startswith(f"{setting}/")}
    hyper = Hyper(**{k.removeprefix("hp/"): float(v) for k, v in recorded.items() if k.startswith("hp/")})
    start, tokens = int(recorded["step0"]), tensor(recorded["tokens"])
    model = build(tiny)
    table = slots(model)

    losses(model, tokens, tensor(recorded["eps"][0]), hyper, start).loss.backward()  # type: ignore[no-untyped-call]
    for name, slot in table.items():
        expected = recorded[f"grad/{name}"]
        np.testing.assert_allclose(slot.get(lambda p: p.grad), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())

    optimiser = TfAdam(model)
    for k in range(3):
        found, norm = train_step(model, optimiser, tokens, tensor(recorded["eps"][k]), hyper, start + k)
        np.testing.assert_allclose(found.loss.item(), recorded[f"{k}/loss"], rtol=2e-6)
        np.testing.assert_allclose(found.reconstruction.detach(), recorded[f"{k}/losses/r_loss"], rtol=2e-6)
        np.testing.assert_allclose(found.kl_cost.detach(), recorded[f"{k}/losses/kl_loss"], atol=2e-5)
        np.testing.assert_allclose(found.kl.detach() / math.log(2), recorded[f"{k}/losses/kl_bits"], atol=2e-5)
        np.testing.assert_allclose(hyper.beta(start + k), recorded[f"{k}/losses/kl_beta"], rtol=1e-6)
        np.testing.assert_allclose(norm, recorded[f"{k}/global_norm"], rtol=1e-5)
        np.testing.assert_allclose(hyper.rate(start + k), recorded[f"{k}/lr"], rtol=1e-6)
        for name, slot in table.items() if k in (0, 2) else ():
            np.testing.assert_allclose(slot.get(), recorded[f"after{k + 1}/{name}"], rtol=0, atol=2e-6)


def test_a_gradient_beyond_all_measure_is_not_followed(tiny: Recorded) -> None:
    model = build(tiny)
    with torch.no_grad():
        model.core.output.weight.mul_(1e4)
    before = {name: slot.get().copy() for name, slot in slots(model).items()}
    tokens = tensor(tiny["tf_tokens"])
    _, norm = train_step(model, TfAdam(model), tokens, torch.zeros(4, 8), Hyper(), 5)
    assert not norm < 1e4
    for name, slot in slots(model).items():
        np.testing.assert_array_equal(slot.get(), before[name])
