"""`python -m generator bench encode`: how long reading melodies into the latent takes, for both encoders."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from generator.musicvae.stopwatch import best, machine

if TYPE_CHECKING:
    from torch import Tensor

MODELS = ("full", "default")
HEADER = f"{'model':8}{'threads':>8}{'batch':>6}{'ms':>10}{'ms a melody':>14}"


def encoder(model: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The posterior of a model with random weights: tokens int64 [B, 256] -> mu, sigma. "full": the published model's
    sizes, without the decoder, which plays no part."""
    import torch
    from torch.nn import functional as F

    from generator.musicvae.config import Config
    from generator.musicvae.lstm_config import LstmConfig
    from generator.musicvae.lstm_vae import Reader, magenta_linear
    from generator.musicvae.model import MelodyVAE

    torch.manual_seed(0)
    if model == "default":
        return MelodyVAE(Config()).eval().encode
    config = LstmConfig()
    reader = Reader(config.tokens, config.encoder).eval()
    mu, sigma = (magenta_linear(2 * config.encoder[-1], config.z) for _ in range(2))

    def encode(tokens: Tensor) -> tuple[Tensor, Tensor]:
        features = reader(F.one_hot(tokens, config.tokens).float())
        return mu(features), F.softplus(sigma(features))

    return encode


def add_part(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Mount `encode` beside `decode`."""
    parser = kinds.add_parser("encode", help="encoding melodies into the latent")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many runs counts (default 3)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import torch

    if min([args.repeats, *args.threads, *args.batches]) < 1:
        raise ValueError("bench encode: repeats, threads and batches must be 1 or more")
    print(f"{machine()}, random weights, best of {args.repeats}\n{HEADER}")
    for model in args.models:
        encode = encoder(model)
        for threads in args.threads:
            torch.set_num_threads(threads)
            for batch in args.batches:
                tokens = torch.randint(0, 90, (batch, 256), generator=torch.Generator().manual_seed(0))
                with torch.no_grad():
                    milliseconds = 1e3 * best(partial(encode, tokens), args.repeats)[0]
                print(f"{model:8}{threads:>8}{batch:>6}{milliseconds:>10.1f}{milliseconds / batch:>14.1f}", flush=True)
