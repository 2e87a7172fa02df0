"""`python -m generator evaluate --targets N`: run all methods, work out the figures, write the report."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """The comparison's options, beside those that `evaluate` has."""
    parser.add_argument(
        "--targets", type=int, help="compare with other methods on so many random targets, and write docs/evaluation.md"
    )
    parser.add_argument("--seconds", type=float, help="computing time a piece for every rival (default: the method's)")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the report (default docs/)")
    parser.add_argument("--work", type=Path, help="folder that keeps what is done, to stop and go on (default: none)")
    parser.add_argument("--processes", type=int, default=1, help="how many requests at a time (default 1)")


def run(args: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Raises ValueError where an option is missing or out of its range."""
    from generator.evaluation.figures import Figures
    from generator.evaluation.report import write
    from generator.evaluation.run import Plan, run_all
    from generator.models import load_models
    from generator.musicvae.corpus import load_corpus

    if args.data is None:
        raise ValueError("evaluate --targets needs melodies to compare with: name the npz with --data")
    for name, low in (("targets", 12), ("pieces", 8), ("processes", 1)):
        if getattr(args, name) < low:
            raise ValueError(f"evaluate --{name} goes from {low} upwards, not {getattr(args, name)}")
    home = load_models(args.model).home_key
    training, held_out = (load_corpus(args.data, split, home) for split in ("train", "test"))
    plan = Plan.of(args.targets, min(50, max(4, args.targets // 8)), args.pieces)
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        outcomes, seconds = run_all(plan, args.data, args.model, args.seconds, work, args.processes, say)
    say("measuring")
    figures = Figures(plan, outcomes, seconds, training, held_out)
    command = f"python -m generator evaluate --targets {args.targets} --pieces {args.pieces} --data {args.data.name}"
    if args.seconds:
        command += f" --seconds {args.seconds:g}"
    if args.model != "default":
        command += f" --model {shlex.quote(args.model)}"
    say(f"wrote {write(figures, args.out, command, args.model)}")
