"""Models by name: what ships, what was imported, what a user has trained; and the way from a checkpoint to a piece."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from generator import models as models_module
from generator.__main__ import main
from generator.models import ASSETS, actor_file, default_models, load_models, models_there, untrained_models
from generator.musicvae.errors import CheckpointError
from generator.musicvae.importer import import_checkpoint
from tests.checkpoint_files import SMALL, random_weights, write_bundle

SHARED = Path(__file__).parents[2] / "shared"
recorded = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the recorded checkpoints lie in ../shared, which is not here"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models."""
    torch.set_num_threads(1)
    monkeypatch.setenv("MAEUM_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def take_in(name: str, tmp_path: Path, seed: int = 0) -> None:
    import_checkpoint(str(write_bundle(tmp_path / f"{name}.ckpt", random_weights(SMALL, seed))), progress=False)


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """A few melodies of no merit, for tests that are not about them: the default model takes seconds to write some."""
    windows = np.random.default_rng(0).integers(0, 90, (64, 256)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", windows=windows, split=np.zeros(64, int), cluster=np.arange(64))
    return ["--data", str(tmp_path / "data.npz")]


def train_actor(name: str, *more: str) -> int:
    return main(["train-actor", "--model", name, "--minutes", "0.02", *more])


def test_what_ships_is_there_and_is_loaded_once() -> None:
    assert models_there() == ["default"]
    assert load_models() is load_models("default")
    assert load_models().name == "default"
    assert load_models().home_key


def test_the_mean_of_the_posterior_leads_back_to_the_melody() -> None:
    models = default_models()
    tokens = models.decode(models.starts(8, seed=5))
    z = models.encode(tokens)
    assert z.shape == (8, 512)
    again = models.decode(z)
    assert (again == tokens)[tokens >= 2].mean() > 0.9
    assert torch.allclose(z[7:8], models.encode(tokens[7:8]), atol=1e-5)


@recorded
@pytest.mark.parametrize("source", ["tiny_ckpt", "js_ckpt_tiny_q2"])
def test_from_a_checkpoint_to_a_piece(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = SHARED / "musicvae" / "fixtures" / source
    assert main(["import", str(path), "--name", "mine"]) == 0
    assert "train-actor --model mine" in capsys.readouterr().out
    out = tmp_path / "out"
    compose = ["compose", "--mood", "clear", "--model", "mine", "--files", "mid", "--out", str(out)]
    assert main(compose) == 1
    assert "python -m generator train-actor --model mine" in capsys.readouterr().err
    assert not out.exists()
    data = ["--data", str(SHARED / "data" / "melodies_open.npz")] if source == "tiny_ckpt" else []
    assert train_actor("mine", *data) == 0
    assert ("default model" in capsys.readouterr().out) == (not data)
    assert main(compose) == 0
    assert [path.suffix for path in out.iterdir()] == [".mid"]
    assert models_there() == ["default", "mine"]
    models = load_models("mine")
    assert not models.home_key
    assert models.prior is None


def test_an_imported_models_starts_are_standard_normal(tmp_path: Path) -> None:
    take_in("small", tmp_path)
    models = untrained_models("small")
    z = models.starts(4000, seed=1)
    assert z.shape == (4000, SMALL.z)
    assert z.mean().abs() < 0.05
    assert z.std() == pytest.approx(1, abs=0.05)
    assert torch.equal(z, models.starts(4000, seed=1))


def test_an_unknown_name_is_answered_with_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take_in("small", tmp_path)
    with pytest.raises(ValueError, match=r"'big'.*default, small.*import NAME_OR_PATH"):
        load_models("big")
    assert train_actor("big") == 1
    assert "default, small" in capsys.readouterr().err


def test_new_weights_under_an_old_name_need_a_new_actor(tmp_path: Path, data: list[str]) -> None:
    take_in("small", tmp_path)
    train_actor("small", *data)
    first = load_models("small")
    assert load_models("small") is first
    take_in("small", tmp_path, seed=1)
    with pytest.raises(CheckpointError, match=r"small\.safetensors: expected an actor trained with the weights"):
        load_models("small")
    train_actor("small", *data)
    assert load_models("small") is not first


def test_a_damaged_actor_is_named(tmp_path: Path, data: list[str]) -> None:
    take_in("small", tmp_path)
    train_actor("small", *data)
    actor_file("small").write_bytes(b"\0" * 100)
    with pytest.raises(CheckpointError, match=r"small\.safetensors: expected"):
        load_models("small")


def test_two_sets_stay_in_memory_and_no_more(tmp_path: Path, data: list[str]) -> None:
    ours, others = load_models(), []
    for name in ("a", "b"):
        take_in(name, tmp_path)
        train_actor(name, *data)
        others.append(load_models(name))
    assert load_models() is ours
    assert load_models("b") is others[1]
    assert models_module._other.cache_info().currsize == 1


def test_a_folder_of_ones_own_weights_is_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "run"
    own.mkdir()
    for path in ASSETS.glob("*.safetensors"):
        shutil.copy(path, own)
    models = load_models(str(own))
    assert models.name == str(own)
    assert np.array_equal(models.decode(models.starts(2, 1)), default_models().decode(default_models().starts(2, 1)))
    (own / "prior.safetensors").unlink()
    assert main(["compose", "--mood", "clear", "--model", str(own), "--out", str(tmp_path / "o")]) == 1
    assert "prior.safetensors: expected a weights file" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_to_be_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compose", "--mood", "clear", "--device", "cuda", "--out", str(tmp_path / "o")]) == 1
    assert "finds no GPU" in capsys.readouterr().err
