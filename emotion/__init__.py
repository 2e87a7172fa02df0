"""From a picture of a face to nine moods.

    reading = emotion.read(picture)          # bytes of a photo
    reading.moods                            # {"bright": 0.41, "lively": 0.33, ...}

Importing this package is quick; DeepFace, OpenCV and onnxruntime are loaded when the first picture is read. A picture
is processed in memory and never written, logged or sent. An expression is not a feeling.
"""

from __future__ import annotations

import os

# onnxruntime keeps a record of its use in the home folder and sends it to its maker, unless it is told not to before it
# is loaded. This package promises that nothing leaves the machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from .categories import Category, categories, category
from .errors import EmotionError, NoFaceError, PictureError, RecogniserError, UnknownMoodError
from .face import Face
from .mood import moods, strongest
from .reading import Reading, outline, read

__all__ = [
    "Category",
    "EmotionError",
    "Face",
    "NoFaceError",
    "PictureError",
    "Reading",
    "RecogniserError",
    "UnknownMoodError",
    "categories",
    "category",
    "moods",
    "outline",
    "read",
    "strongest",
]
