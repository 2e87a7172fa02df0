"""Finds and aligns the faces of a picture, through DeepFace's own pipeline.

`DeepFace.extract_faces` turns each face level and cuts it out. Its detector is ours (haar.py), given to it by its own
table of detectors: the same cascade as its "opencv" one, used in another way. That one searches the picture with a
black border that makes it four times as large, for faces of any size, which takes three times as long; gives the surest
face the lowest confidence; and misses heads tilted by more than 15 degrees.
"""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .errors import NoFaceError
from .picture import RGB

# Its name in DeepFace's table of detectors.
DETECTOR = "maeum"

# One picture at a time: OpenCV's cascades keep their working memory in the object.
_lock = threading.Lock()


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    x, y, width, height: its box in pixels of the upright picture at its full size
    score: how sure the detector is: how many windows of its cascade agree on this face
    """

    x: int
    y: int
    width: int
    height: int
    score: float


def find_faces(pixels: RGB) -> list[tuple[Face, RGB]]:
    """Every face with its aligned crop, the most certain first; boxes in the pixels given.

    pixels: (height, width, 3) uint8 RGB. Raises NoFaceError if there is none.
    """
    deepface = load_deepface()
    with _lock:
        found = deepface.extract_faces(
            pixels[:, :, ::-1], detector_backend=DETECTOR, enforce_detection=False, normalize_face=False
        )
    faces = []
    for item in found:
        area, crop = item["facial_area"], item["face"]
        # Where nothing is found DeepFace returns the whole picture, with confidence 0.
        if item["confidence"] > 0 and min(crop.shape[:2]) > 0:
            faces.append((Face(area["x"], area["y"], area["w"], area["h"], item["confidence"]), crop))
    if not faces:
        raise NoFaceError("No face was found in the picture. Please look straight into the camera, come closer, and "
                          "let light fall on your face; or pick a mood from the list.")  # fmt: skip
    return sorted(faces, key=lambda each: -each[0].score)


@cache
def load_deepface() -> Any:
    """The DeepFace module, with our detector in its table. The first call takes about half a second."""
    # On onnxruntime DeepFace needs neither TensorFlow nor torch, and its weights are no pickle.
    os.environ["DEEPFACE_BACKEND_ENGINE"] = "onnx"
    _ensure_home()
    import cv2
    from deepface import DeepFace
    from deepface.modules import modeling

    # More threads win nothing on pictures this small, and wait for each other where other work runs.
    cv2.setNumThreads(1)
    modeling.AVAILABLE_MODELS["face_detector"][DETECTOR] = {modeling.ANY: "emotion.haar.HaarDetector"}
    return DeepFace


def _ensure_home() -> None:
    """DeepFace makes a folder for weights as it is imported, and fails, or says so on the terminal, if it has to."""
    home = Path(os.environ.get("DEEPFACE_HOME", Path.home()))
    try:
        (home / ".deepface" / "weights").mkdir(parents=True, exist_ok=True)
    except OSError:
        os.environ["DEEPFACE_HOME"] = tempfile.mkdtemp(prefix="maeum-")
        _ensure_home()
