"""Real photographs that ship in packages, and bytes made from them, for the tests of emotion/."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

DATA = Path(__file__).parent / "data"

# Faces of skimage.data.lfw_subset() whose expression is plain to see, labelled by eye.
SMILING = (1, 11, 13, 18, 19, 21, 23, 27, 31, 36, 37, 38, 45, 50, 52, 53, 61, 69, 74, 75, 79, 81, 85, 91, 93, 94, 96)
AT_REST = (7, 12, 17, 20, 26, 28, 32, 40, 42, 46, 54, 57, 60, 62, 72, 73, 80, 90, 92, 98)
SAD = (44, 83, 95)


@cache
def astronaut() -> Image.Image:
    """Eileen Collins, smiling broadly, 512 x 512; one face at about x 175, y 64 of 97 x 97 pixels."""
    return Image.fromarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]


@cache
def hopper() -> Image.Image:
    """Grace Hopper, her face at rest, 512 x 600."""
    import matplotlib

    return Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")


def webcam() -> Image.Image:
    """The astronaut in a picture of 704 x 528, as Streamlit's camera sends it."""
    picture = Image.new("RGB", (704, 528), "gray")
    picture.paste(astronaut(), (96, 8))
    return picture


def two_faces() -> Image.Image:
    """The astronaut on the left, Hopper on the right, 1024 x 600."""
    picture = Image.new("RGB", (1024, 600), "gray")
    picture.paste(astronaut(), (0, 0))
    picture.paste(hopper(), (512, 0))
    return picture


@cache
def faces() -> NDArray[np.uint8]:
    """(100, 25, 25, 3): the grey faces of Labeled Faces in the Wild that ship with scikit-image."""
    grey = (skimage.data.lfw_subset()[:100] * 255).round().astype(np.uint8)  # type: ignore[no-untyped-call]
    return np.repeat(grey[..., None], 3, axis=3)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
