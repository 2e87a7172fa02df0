"""What Magenta's models take and refuse, and how they begin."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.musicvae.latent import slerp
from generator.musicvae.lstm_config import LstmConfig, infer_config
from generator.musicvae.lstm_vae import LstmVAE
from generator.musicvae.magenta_names import slots
from generator.musicvae.magenta_training import Hyper

FLAT = LstmConfig(encoder=(5, 4), decoder=(6, 7), z=3, bars=4, bar=8)
LEVELS = LstmConfig(form="hier-mel", encoder=(5,), decoder=(6, 7), z=3, bars=4, bar=8)
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple)


def model_of(config: LstmConfig, seed: int = 0) -> LstmVAE:
    torch.manual_seed(seed)
    model = LstmVAE(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.4)
    return model.requires_grad_(False)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["hierdec-mel", "hier-mel"]), sizes, sizes, st.integers(1, 40))
def test_config_goes_through_json_and_is_found_again_from_shapes(
    form: str, encoder: tuple[int, ...], decoder: tuple[int, ...], z: int
) -> None:
    config = LstmConfig(form=form, encoder=encoder, decoder=decoder, z=z)
    assert LstmConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    assert infer_config(config.tensors(), "file") == config
    assert set(slots(LstmVAE(config))) == set(config.tensors())


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"form": "drums"}, "form"),
        ({"encoder": ()}, "encoder"),
        ({"encoder": (0,)}, "encoder"),
        ({"encoder": [4]}, "encoder"),
        ({"decoder": (4, 9000)}, "decoder"),
        ({"decoder": (4,) * 9}, "decoder"),
        ({"z": 2.5}, "z"),
        ({"z": True}, "z"),
        ({"bars": -1}, "bars"),
    ],
)
def test_impossible_sizes_are_refused(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=f"model config: {word}"):
        LstmConfig(**fields)


@pytest.mark.parametrize("config", [FLAT, LEVELS], ids=lambda config: config.form)
def test_what_lies_behind_the_lengths_is_not_read(config: LstmConfig) -> None:
    model = model_of(config)
    tokens = torch.randint(config.tokens, (3, config.steps))
    noise = torch.randint(config.tokens, (3, config.steps))
    full, nothing = torch.full((3,), config.steps), torch.zeros(3, dtype=torch.int64)
    torch.testing.assert_close(model.encode(tokens, full), model.encode(tokens))
    torch.testing.assert_close(model.encode(tokens, nothing), model.encode(noise, nothing))
    lengths = torch.tensor([13, 1, 0])
    behind = torch.arange(config.steps) >= lengths[:, None]
    if config.form == "hier-mel":
        lengths = torch.tensor([[8, 3, 0, 0], [0, 8, 8, 1], [1, 1, 1, 1]])
        behind = (torch.arange(config.bar) >= lengths[:, :, None]).flatten(1)
    torch.testing.assert_close(model.encode(tokens, lengths), model.encode(torch.where(behind, noise, tokens), lengths))
    assert not torch.allclose(model.encode(tokens, lengths)[0], model.encode(tokens)[0])


@pytest.mark.parametrize(
    ("config", "lengths"),
    [(FLAT, [-1, 3]), (FLAT, [33, 3]), (FLAT, [3]), (FLAT, [[8] * 4] * 2), (LEVELS, [8, 32]), (LEVELS, [[9] * 4] * 2)],
)
def test_bad_lengths_are_refused(config: LstmConfig, lengths: list[Any]) -> None:
    tokens = torch.zeros(2, config.steps, dtype=torch.int64)
    with pytest.raises(ValueError, match="lengths"):
        model_of(config).encode(tokens, torch.tensor(lengths))


def test_bad_tokens_and_latents_are_refused() -> None:
    model = model_of(FLAT)
    for tokens in (torch.zeros(2, 31), torch.zeros(32), torch.full((1, 32), 90), torch.full((1, 32), -1)):
        with pytest.raises(ValueError, match="tokens"):
            model.encode(tokens.long())
        with pytest.raises(ValueError, match="tokens"):
            model.teacher_forced(torch.zeros(1, 3), tokens.long())
    for z in (torch.zeros(3), torch.zeros(2, 4)):
        with pytest.raises(ValueError, match="z: expected shape"):
            model.decode(z)
        with pytest.raises(ValueError, match="z: expected shape"):
            model.embed(z)


@pytest.mark.parametrize("config", [FLAT, LEVELS], ids=lambda config: config.form)
def test_greedy_tokens_are_the_likeliest_under_teacher_forcing(config: LstmConfig) -> None:
    model = model_of(config, 2)
    z = torch.randn(3, 3)
    tokens = model.decode(z)
    assert torch.equal(model.teacher_forced(z, tokens).argmax(2), tokens)
    sampled = [model.decode(z, 1.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(sampled[0], sampled[1])
    assert not torch.equal(sampled[0], sampled[2])


def test_an_untrained_model_begins_as_magentas() -> None:
    torch.manual_seed(0)
    weights = {
        name: slot.get() for name, slot in slots(LstmVAE(LstmConfig(encoder=(60,), decoder=(70, 70), z=50))).items()
    }
    for name, array in weights.items():
        if name.endswith("bias"):
            assert not array.any()
        elif "lstm_cell" in name or "output_projection" in name:
            limit = (6 / sum(array.shape)) ** 0.5
            assert 0.98 * limit < np.abs(array).max() <= limit
        else:
            assert 0.0009 < array.std() < 0.0011


def test_slerp_keeps_the_ends_and_the_angles() -> None:
    rng = np.random.default_rng(0)
    p0, p1 = rng.normal(size=(2, 512))
    points = slerp(p0, p1, 7)
    np.testing.assert_allclose(points[[0, -1]], [p0, p1], rtol=1e-6)
    p1 = p1 * np.linalg.norm(p0) / np.linalg.norm(p1)  # ends of one length: so are all between, at equal angles
    even = slerp(p0, p1, 7)
    np.testing.assert_allclose(np.linalg.norm(even, axis=1), np.linalg.norm(p0), rtol=1e-5)
    steps = np.arccos(np.sum(even[1:] * even[:-1], 1) / np.linalg.norm(p0) ** 2)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-4)
    np.testing.assert_allclose(slerp(p0, p0 * 2, 3), [p0, p0 * 1.5, p0 * 2], rtol=1e-5)
    for a, b, word in ((p0, -p0, "opposite"), (p0, p0 * 0, "zeros"), (p0, p0[:5], "one length")):
        with pytest.raises(ValueError, match=word):
            slerp(a, b, 3)


@pytest.mark.parametrize(
    "bad", [{"free_bits": -1}, {"grad_clip": 0}, {"beta_rate": 1.5}, {"learning_rate": float("nan")}]
)
def test_impossible_hyperparameters_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="training"):
        Hyper(**bad)
