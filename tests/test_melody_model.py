"""The shipped melody model plays tunes, and its files are refused when they are not what they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from generator.models import ASSETS, PRIOR_STEPS, Models, default_models
from generator.musicvae.config import Config
from generator.musicvae.corpus import load_corpus
from generator.musicvae.errors import CheckpointError
from generator.musicvae.model import MelodyVAE
from generator.musicvae.report import reconstruction
from generator.musicvae.statistics import note_statistics
from generator.weights import load_weights, save_weights

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "melodies_open.npz"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs the shared melodies")
TINY = Config(width=12, heads=2, layers=1, z_bar=3, bar_rnn=5, core_rnn=6)


@pytest.fixture(scope="module")
def models() -> Models:
    torch.set_num_threads(1)
    return default_models()


@needs_data
def test_held_out_tunes_come_back_through_the_latent(models: Models) -> None:
    windows = load_corpus(DATA, "test").windows
    chosen = windows[np.random.default_rng(1).choice(len(windows), 128, replace=False)]
    figures = reconstruction(models.melody, chosen)
    assert figures["teacher-forced, onset"] > 0.85
    assert figures["greedy from the mean, onset"] > 0.9
    assert figures["commonest bar, onset"] < 0.4  # or the measure says nothing


def test_drawn_melodies_are_tunes(models: Models) -> None:
    """In key, singable and with bars that return; N(0, I) through the same decoder is none of these."""
    drawn = note_statistics(models.decode(models.starts(48, seed=1)))
    blank = note_statistics(models.decode(torch.randn(48, 512, generator=torch.Generator().manual_seed(1))))
    assert drawn["scale consistency"].mean() > 0.9
    assert drawn["mean interval"].mean() < 3.3 < blank["mean interval"].mean()
    assert drawn["lag 8"].mean() > 0.03
    assert blank["lag 8"].mean() < 0.01


def test_a_melody_does_not_depend_on_its_company(models: Models) -> None:
    z = models.starts(5, seed=2)
    together = models.decode(z)
    assert np.array_equal(together[2], models.decode(z[2:3])[0])


def test_greedy_decoding_is_what_teacher_forcing_finds_likeliest(models: Models) -> None:
    z = models.starts(4, seed=3)
    tokens = models.melody.decode(z)
    likeliest = models.melody.teacher_forced(z, tokens).argmax(-1)
    assert (likeliest == tokens).float().mean() > 0.999  # rounding may turn a tie


def test_sampling_follows_its_seed(models: Models) -> None:
    z = models.starts(2, seed=4)
    first, second, other = (models.melody.decode(z, 1.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_prior_follows_its_seed(models: Models) -> None:
    assert torch.equal(models.starts(3, 7), models.starts(3, 7))
    assert not torch.equal(models.starts(3, 7), models.starts(3, 8))
    assert PRIOR_STEPS > 1


def test_shipped_weights_fit_a_download() -> None:
    sizes = [path.stat().st_size for path in ASSETS.glob("*.safetensors")]
    assert len(sizes) == 3
    assert sum(path.stat().st_size for path in (ASSETS / "melody.safetensors", ASSETS / "prior.safetensors")) < 12e6


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    model = MelodyVAE(TINY)
    save_weights(model, "melody", TINY, tmp_path / "m.safetensors", {"seed": 0})
    again = load_weights(tmp_path / "m.safetensors", "melody", Config, MelodyVAE)
    assert again.config == TINY
    for name, tensor in model.state_dict().items():
        assert torch.allclose(again.state_dict()[name], tensor, atol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text", "flipped header", "other kind"])
def test_damaged_weights_are_named(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_weights(MelodyVAE(TINY), "prior" if damage == "other kind" else "melody", TINY, path, {})
    whole = path.read_bytes()
    content = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "text": b"not weights at all",
        "flipped header": b"\xff" * 8 + whole[8:],
    }
    if damage == "missing":
        path.unlink()
    elif damage in content:
        path.write_bytes(content[damage])
    with pytest.raises(CheckpointError, match=r"m\.safetensors: expected .*, found"):
        load_weights(path, "melody", Config, MelodyVAE)


def test_a_tensor_of_the_wrong_shape_or_content_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = MelodyVAE(TINY)
    with torch.no_grad():
        model.output.weight[0, 0] = float("nan")
    save_weights(model, "melody", TINY, path, {})
    with pytest.raises(CheckpointError, match=r"output\.weight: expected finite numbers"):
        load_weights(path, "melody", Config, MelodyVAE)
    model.output = torch.nn.Linear(7, 90)
    save_weights(model, "melody", TINY, path, {})
    with pytest.raises(CheckpointError, match=r"output\.weight: expected \(90, 6\)"):
        load_weights(path, "melody", Config, MelodyVAE)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"bars": -1}, {"z_bar": 2.5}, {"heads": 7}])
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="model config"):
        Config(**wrong)
