"""A detector for DeepFace's table: OpenCV's frontal-face cascade, with settings for a visitor's picture.

Imported by DeepFace itself, when a picture is first read.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from deepface.models.Detector import Detector, FacialAreaRegion
from numpy.typing import NDArray


class Search(NamedTuple):
    """One pass over the picture.

    side: length in pixels to which its longer side is scaled down
    smallest: side of the smallest face, as a part of the longer side
    neighbours: how many windows must agree on a face
    """

    side: int
    smallest: float
    neighbours: int


# From quick to thorough: the next one runs only where the last found nothing. 10 is DeepFace's own setting.
SEARCHES = (Search(528, 1 / 14, 10), Search(800, 1 / 28, 10), Search(640, 1 / 20, 4))
STEP = 1.1  # from one window size to the next; DeepFace's own setting
WINDOW = 24  # pixels; the cascade knows no smaller one
MARGIN = 0.1  # black, around the picture, so that a face at its edge is found


class HaarDetector(Detector):  # type: ignore[misc]
    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self.cascade = cv2.CascadeClassifier(str(path))

    def detect_faces(self, img: NDArray[np.uint8]) -> list[FacialAreaRegion]:
        """Boxes in `img`, (height, width, 3) BGR, with the cascade's score as confidence; DeepFace adds the eyes.

        DeepFace has put a black border of half the picture's size on each side. It is not searched.
        """
        top, left = img.shape[0] // 4, img.shape[1] // 4
        grey = cv2.cvtColor(img[top : img.shape[0] - top, left : img.shape[1] - left], cv2.COLOR_BGR2GRAY)
        for search in SEARCHES:
            if faces := self._search(grey, search):
                return [FacialAreaRegion(x + left, y + top, w, h, confidence=score) for x, y, w, h, score in faces]
        return []

    def _search(self, grey: NDArray[Any], search: Search) -> list[tuple[int, int, int, int, float]]:
        longer = max(grey.shape)
        scale = min(1.0, search.side / longer)
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
        edge = math.ceil(MARGIN * min(small.shape))
        small = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_CONSTANT)
        least = max(WINDOW, round(search.smallest * scale * longer))
        boxes, _, scores = self.cascade.detectMultiScale3(
            small, STEP, search.neighbours, minSize=(least, least), outputRejectLevels=True
        )
        faces = []
        for box, score in zip(boxes, scores, strict=True):
            x, y, w, h = (round(v / scale) for v in (box[0] - edge, box[1] - edge, box[2], box[3]))
            faces.append((x, y, w, h, float(score)))
        return faces
