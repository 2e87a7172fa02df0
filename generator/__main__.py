"""The command line: `python -m generator --help`.

Exit codes: 0 done, 1 it could not be done (the message says why and what to do), 2 the command was not understood.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from generator import train_command
from generator.corpus_build import build
from generator.evaluation import command as evaluation
from generator.export import KINDS
from generator.musicvae import bench, importer


def add_compose(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("compose", help="compose 16 bars for a mood, as MIDI, WAV and other files")
    parser.add_argument(
        "--mood",
        required=True,
        help="one of the nine, in English or Korean (peaceful, 평화로움), or a mixture: peaceful=0.7,clear=0.3",
    )
    parser.add_argument("--seed", type=int, default=0, help="another number, another tune (default 0)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the files (default out/)")
    parser.add_argument(
        "--parts", choices=("melody", "chords", "full"), default="full", help="how much is played (default full)"
    )
    parser.add_argument(
        "--files",
        nargs="+",
        choices=KINDS,
        default=["mid", "wav"],
        help="which files: mid, wav, flac, mp3, musicxml, stems.zip (a WAV a part), png (a picture); default mid wav",
    )
    parser.add_argument("--plot", action="store_true", help="the picture too: piano roll and spectrogram")
    add_model(parser)
    parser.set_defaults(run=run_compose)


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options of every command that uses a model."""
    parser.add_argument(
        "--model",
        default="default",
        metavar="NAME",
        help="an imported model with an actor, or a folder that `train` has filled (default: the one that ships)",
    )
    parser.add_argument(
        "--device", choices=train_command.DEVICES, default="auto", help="default: the GPU where there is one"
    )


def run_compose(args: argparse.Namespace) -> None:
    """Write the files, and print targets and what was reached."""
    import torch

    from generator.compose import Request, compose
    from generator.harmony import by_bar
    from generator.models import load_models

    torch.set_num_threads(1)
    request = Request.for_moods(read_mixture(args.mood), args.seed, args.parts)
    models = load_models(args.model, args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    piece = compose(request, models=models)
    for name, data in piece.export.files([*args.files, *(["png"] if args.plot else [])]).items():
        (args.out / name).write_bytes(data)
        print(f"wrote {args.out / name}")
    print(f"sound by {piece.export.rendered_by}")
    wanted, reached = piece.targets, piece.reached
    print(f"{'':20}{'target':>10}{'reached':>10}")
    print(f"{'notes a bar':20}{wanted.density:>10.2f}{reached.density:>10.2f}")
    print(f"{'mean pitch (MIDI)':20}{wanted.pitch:>10.1f}{reached.pitch:>10.1f}")
    print(f"{'mode':20}{mode(wanted.major):>10}{mode(reached.major):>10}")
    print(f"{'tempo (bpm)':20}{wanted.tempo:>10.0f}{piece.tempo:>10.0f}")
    print(f"{'chord tones':20}{'':>10}{reached.chord_tones:>10.0%}")
    print(f"key {piece.key}; chords by bar: {' | '.join(by_bar(piece.export.chords))}")
    last = piece.trace[-1]
    losses = ", ".join(f"{name} {value:.3f}" for name, value in last.losses.items())
    print(f"after {last.number} rounds: {losses}; realism {last.realism:.2f}, move {last.move:.2f}")


def mode(major: bool) -> str:
    return "major" if major else "minor"


def read_mixture(text: str) -> dict[str, float]:
    """ "peaceful" or "peaceful=0.7,clear=0.3" -> weights by name. Raises ValueError."""
    weights = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        try:
            weights[name.strip()] = float(weight) if weight else 1.0
        except ValueError:
            raise ValueError(f"expected a number after {name.strip()}=, got {weight!r}") from None
    return weights


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("evaluate", help="measure what the shipped networks reach")
    parser.add_argument("--pieces", type=int, default=20, help="a mood (default 20)")
    parser.add_argument("--data", type=Path, help="npz of melodies, for the figures of model and prior")
    add_model(parser)
    evaluation.add_options(parser)
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> None:
    import torch

    from generator.evaluate import evaluate
    from generator.models import load_models

    torch.set_num_threads(1)
    if args.targets is not None:
        evaluation.run(args, lambda line: print(line, flush=True))
        return
    models = load_models(args.model, args.device)
    evaluate(models, args.pieces, args.data, lambda line: print(line, flush=True))


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m generator", description="Music for a mood.")
    commands = parser.add_subparsers(required=True, metavar="command")
    add_compose(commands)
    train_command.add_commands(commands)
    add_evaluate(commands)
    importer.add_commands(commands)
    bench.add_commands(commands)
    build.add_commands(commands)
    args = parser.parse_args(arguments)

    from generator.audio import AudioError
    from generator.musicvae.errors import CheckpointError

    try:
        args.run(args)
    except (ValueError, OSError, AudioError, CheckpointError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
