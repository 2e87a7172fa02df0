"""DeepFace's own expression weights: where they lie, whether they are the expected ones, how to fetch them.

DeepFace keeps them in $DEEPFACE_HOME/.deepface/weights and uses whatever file lies there. Here a file is used only if
its SHA-256 is the one noted beside it (`<file>.sha256`, as `sha256sum` writes it), so that a file that was cut off or
exchanged later is noticed. `python -m emotion fetch` downloads it and writes that note.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .errors import RecogniserError

NAME = "facial_expression_model_weights.onnx"
FETCH = "python -m emotion fetch"


def weights_file() -> Path:
    """Where DeepFace looks for its weights. The file need not exist."""
    return Path(os.environ.get("DEEPFACE_HOME", Path.home())) / ".deepface" / "weights" / NAME


def note_file(weights: Path) -> Path:
    return weights.with_name(weights.name + ".sha256")


def sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def verify(weights: Path) -> None:
    """Raises RecogniserError unless the file is there and has the SHA-256 noted beside it."""
    if not weights.is_file():
        raise RecogniserError(f"DeepFace's own expression weights are not on this machine. To download them: {FETCH}. "
                              "The embedded recogniser needs no download.")  # fmt: skip
    note = note_file(weights)
    if not note.is_file():
        raise RecogniserError(
            "DeepFace's weights are there, but no checksum is noted beside them. If you placed the file yourself: "
            f"{FETCH} --sha256 CHECKSUM, with the checksum that its source gives."
        )
    expected = (note.read_text(encoding="utf-8", errors="replace").split() or [""])[0].lower()
    if (actual := sha256(weights)) != expected:
        raise RecogniserError(f"DeepFace's weights have SHA-256 {actual}, but {expected[:64]} is noted beside them. "
                              f"Delete {NAME} and its note, and fetch it again: {FETCH}.")  # fmt: skip


def fetch(expected: str | None = None) -> str:
    """Download the weights with DeepFace's own downloader unless they are there, check and note their SHA-256.

    expected: the checksum from the file's source; without one, whatever came is noted, and only later changes show.
    Returns the SHA-256. Raises RecogniserError if the download fails, or if the checksum differs: the file is then
    not used.
    """
    from .face import load_deepface

    weights = weights_file()
    if not weights.is_file():
        load_deepface()
        from deepface.commons.weight_utils import download_weights_if_necessary
        from deepface.models.demography.onnx.Emotion import WEIGHTS_URL

        try:
            download_weights_if_necessary(NAME, WEIGHTS_URL)
        except Exception as err:  # its errors have no common base
            raise RecogniserError("DeepFace's weights could not be downloaded. Is this machine online? "
                                  "The embedded recogniser needs no download.") from err  # fmt: skip
    actual = sha256(weights)
    if expected is not None and actual != expected.strip().lower():
        note_file(weights).unlink(missing_ok=True)
        raise RecogniserError(
            f"The weights have SHA-256 {actual}, not the expected {expected[:64]}. They are not used."
        )
    note_file(weights).write_text(f"{actual}  {NAME}\n", encoding="utf-8")
    return actual
