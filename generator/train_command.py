"""The commands that train: `python -m generator train` and `train-actor`."""

from __future__ import annotations

import argparse
from pathlib import Path

from generator.stages import STAGES

DEVICES = ("auto", "cpu", "cuda")


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Mount both on a command line; their `run(args)` raises ValueError, OSError and CheckpointError."""
    parser = subparsers.add_parser("train", help="train the melody model, its prior, actor and critic")
    parser.add_argument("--data", type=Path, required=True, help="npz of melodies, as `corpus build` makes it")
    parser.add_argument("--out", type=Path, required=True, help="folder for states and weights; goes on from there")
    parser.add_argument(
        "--from",
        dest="begin",
        type=Path,
        metavar="FOLDER",
        help="go on from the weights in a folder such as assets/: no first stage, full beta from the start",
    )
    parser.add_argument("--only", nargs="+", choices=STAGES, default=STAGES, help="these stages (default: all)")
    parser.add_argument("--minutes", type=_minutes, help="for each stage, instead of the recipes' own")
    parser.add_argument("--beta", type=float, help="weight of the KL in the second stage (default: the recipe's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: the GPU where there is one")
    parser.set_defaults(run=_run_train)

    parser = subparsers.add_parser("train-actor", help="train an actor and a critic for an imported model")
    parser.add_argument("--model", required=True, metavar="NAME", help="an imported model")
    parser.add_argument("--data", type=Path, help="npz of real melodies (default: the default model writes some)")
    parser.add_argument("--minutes", type=_minutes, help="default 20; on a CPU a full-size model needs hours")
    parser.add_argument("--out", type=Path, help="the file to write (default: beside the imported model)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: the GPU where there is one")
    parser.set_defaults(run=_run_train_actor)


def _minutes(text: str) -> float:
    """A number over 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected minutes over 0, not {text}")
    return value


def _run_train(args: argparse.Namespace) -> None:
    import torch

    from generator.models import choose_device
    from generator.musicvae.train import BETA
    from generator.train import Plan, train

    beta = BETA if args.beta is None else args.beta
    if not 0 <= beta < float("inf"):
        raise ValueError(f"train: expected a beta of 0 or more, not {beta}")
    torch.set_num_threads(1)
    device = choose_device(args.device)
    plan = Plan(args.data, args.out, args.begin, tuple(args.only), args.minutes, beta, args.seed, device)
    train(plan, lambda line: print(line, flush=True))


def _run_train_actor(args: argparse.Namespace) -> None:
    from generator.imported_actor import train_imported

    path = train_imported(
        args.model, args.data, args.out, args.minutes, args.seed, args.device, lambda line: print(line, flush=True)
    )
    print(f"wrote {path}")
