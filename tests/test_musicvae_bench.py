"""The benchmark times what it says it times: no figure is asserted, for figures are the machine's."""

from __future__ import annotations

import argparse

import pytest
import torch

from generator.musicvae import bench, bench_encode, lstm_config
from generator.musicvae.decode import FastCore, gumbel_noise
from generator.musicvae.lstm_config import LstmConfig


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("model", bench.MODELS)
def test_both_ways_give_the_same_tokens_and_something_is_decoded_again(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = LstmConfig(encoder=(8,), decoder=(96, 96), z=64)  # the full size takes a minute on a busy machine
    monkeypatch.setattr(lstm_config, "LstmConfig", lambda: small)
    (result,) = bench.measure(model, "float32", threads=1, batches=[4], repeats=1)
    assert result.differ == 0
    assert result.rounds > 1
    assert 0 < result.again < 2
    assert min(result.step_by_step, result.side_by_side, result.limit) > 0


def test_random_weights_behave_as_a_trained_models() -> None:
    """Most tokens are "hold", and the bars of a melody differ."""
    with torch.no_grad():
        subject = bench.default_subject(torch.float32)
        embeddings = subject.embed(torch.randn(4, subject.z))
        noise = gumbel_noise((4, 256, 90), bench.TEMPERATURE, torch.Generator().manual_seed(0), torch.device("cpu"))
        tokens, _ = FastCore(subject.weights).decode(embeddings, subject.states(embeddings), subject.steps, noise)
    assert 0.4 < (tokens == 0).float().mean() < 0.95
    assert len(torch.unique(tokens.view(4 * 16, 16), dim=0)) > 32


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    bench.add_commands(parser.add_subparsers())
    wanted = "bench decode --models default --products float32 bfloat16 --threads 1 --batches 4 5 --repeats 1"
    args = parser.parse_args(wanted.split())
    args.run(args)
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("default")]
    assert [row[:4] for row in rows] == [
        ["default", kind, "1", batch] for kind in ("float32", "bfloat16") for batch in ("4", "5")
    ]
    args = parser.parse_args(["bench", "decode", "--repeats", "0"])
    with pytest.raises(ValueError, match="1 or more"):
        args.run(args)


def test_encoding(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Both encoders are timed at every size, and they are the encoders: two latents of the config's length."""
    small = LstmConfig(encoder=(16, 16), z=24)  # the full size takes seconds a melody
    monkeypatch.setattr(lstm_config, "LstmConfig", lambda: small)
    for model, length in (("full", 24), ("default", 512)):
        mu, sigma = bench_encode.encoder(model)(torch.zeros(2, 256, dtype=torch.int64))
        assert mu.shape == sigma.shape == (2, length)
    parser = argparse.ArgumentParser()
    bench.add_commands(parser.add_subparsers())
    args = parser.parse_args(["bench", "encode", "--threads", "1", "--batches", "1", "3", "--repeats", "1"])
    args.run(args)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:3] for row in rows] == [[model, "1", batch] for model in ("full", "default") for batch in "13"]
    assert all(float(row[3]) > 0 for row in rows)
