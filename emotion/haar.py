"""A detector for DeepFace's table: OpenCV's frontal-face cascade, with settings for a visitor's picture.

Imported by DeepFace itself, when a picture is first read.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from deepface.models.Detector import FacialAreaRegion
from deepface.models.face_detection.OpenCv import OpenCvClient
from numpy.typing import NDArray


class Search(NamedTuple):
    """One pass over the picture.

    side: length in pixels to which its longer side is scaled down
    smallest: side of the smallest face, as a part of the longer side
    neighbours: how many windows must agree on a face
    angle: by how many degrees the picture is turned first, against the clock
    """

    side: int
    smallest: float
    neighbours: int
    angle: int = 0


# From quick to thorough: the next one runs only where the last ones found nothing sure. 10 is DeepFace's own setting.
# The cascade knows upright faces, tilted by 15 degrees at most.
SEARCHES = (
    Search(480, 1 / 12, 10),
    Search(480, 1 / 12, 10, 22),
    Search(480, 1 / 12, 10, -22),
    Search(800, 1 / 28, 10),
    Search(640, 1 / 20, 4),
)
STEP = 1.1  # from one window size to the next; DeepFace's own setting
WINDOW = 24  # pixels; the cascade knows no smaller one
MAX_FACES = 12  # in one picture; more would take too long to look at
MARGIN = 0.05  # black, around the picture, so that a face at its edge is found

# Each face found is looked at again: scaled to this size, pixels, and turned by these angles, degrees.
CLOSE_SIDE = 64
TILTS = (-30, -15, 0, 15, 30)
# Windows that then agree, at the best angle: 25 to 200 on faces, fewer than 16 on nearly everything else.
MIN_WINDOWS = 16
SURE_WINDOWS = 24  # where no face reaches this, the next search is made too
# Where the eyes lie in a level box, from its middle, as parts of its side. Only the angle between them is used.
EYE_APART, EYE_UP = 0.2, 0.1

Box = tuple[float, float, float]  # middle x, middle y, side; pixels


class HaarDetector(OpenCvClient):  # type: ignore[misc]
    """DeepFace's own "opencv" detector with another way to search.

    DeepFace turns a face level by its eyes, which its eye cascade often misses behind glasses, and now and then sees in
    a mouth. Here the tilt is the angle at which most windows of the face cascade agree; on photographs turned by known
    angles it is off by 2 degrees (root mean square).
    """

    def detect_faces(self, img: NDArray[Any]) -> list[FacialAreaRegion]:
        """Boxes in `img`, (height, width, 3) BGR, with eyes, and the number of windows that agree as confidence.

        DeepFace has put a black border of half the picture's size on each side. It is not searched.
        """
        top, left = img.shape[0] // 4, img.shape[1] // 4
        grey = cv2.cvtColor(img[top : img.shape[0] - top, left : img.shape[1] - left], cv2.COLOR_BGR2GRAY)
        faces: list[tuple[Box, float, int]] = []
        for search in SEARCHES:
            looked_at = [self._look_at(grey, box, search.angle) for box in self._search(grey, search)]
            candidates, faces = sorted(faces + looked_at, key=lambda each: -each[2]), []
            for box, tilt, windows in candidates:
                # Two boxes on one face: the better one stays.
                twice = any(math.dist(box[:2], other[:2]) < other[2] / 2 for other, *_ in faces)
                if windows >= MIN_WINDOWS and not twice:
                    faces.append((box, tilt, windows))
            if any(windows >= SURE_WINDOWS for *_, windows in faces):
                break
        return [_region((x + left, y + top, side), tilt, windows) for (x, y, side), tilt, windows in faces]

    def _search(self, grey: NDArray[Any], search: Search) -> list[Box]:
        """What one pass over the picture finds."""
        height, width = grey.shape
        scale = min(1.0, search.side / max(height, width))
        edge = math.ceil(MARGIN * scale * min(height, width))
        size = (round(scale * width) + 2 * edge, round(scale * height) + 2 * edge)
        if search.angle:
            small, back = _turned(grey, (width / 2, height / 2), search.angle, scale, size)
        else:
            # Averages over the pixels of each new one, which turning does not: the cascade finds more.
            small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
            small = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_CONSTANT)
            back = np.array([[1, 0, -edge], [0, 1, -edge]]) / scale
        least = max(WINDOW, round(search.smallest * scale * max(height, width)))
        found, windows = self.model["face_detector"].detectMultiScale2(
            small, STEP, search.neighbours, minSize=(least, least)
        )
        boxes = []
        for number in np.argsort(-np.asarray(windows))[:MAX_FACES]:
            x, y, side, _ = found[number]
            middle = back @ (x + side / 2, y + side / 2, 1)
            boxes.append((float(middle[0]), float(middle[1]), side / scale))
        return boxes

    def _look_at(self, grey: NDArray[Any], box: Box, about: int) -> tuple[Box, float, int]:
        """The face again: its box more exactly, the angle in degrees that turns it level, sought near `about`, and how
        many windows agree at the best of the angles tried."""
        # First averaged down to the size at which it is looked at: turning alone would skip pixels of a large face.
        scale = min(1.0, CLOSE_SIDE / box[2])
        reduced = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
        x, y, side = (value * scale for value in box)
        counts: list[int] = []
        better = box
        for tilt in TILTS:
            size = round(1.6 * CLOSE_SIDE)
            close, back = _turned(reduced, (x, y), about + tilt, CLOSE_SIDE / side, (size, size))
            found, windows = self.model["face_detector"].detectMultiScale2(
                close, STEP, 1, minSize=(3 * CLOSE_SIDE // 4,) * 2, maxSize=(4 * CLOSE_SIDE // 3,) * 2
            )
            count = max(windows, default=0)
            if count > max(counts, default=0):
                # The mean of these windows: steadier than the box of a search over the whole picture.
                left, top, length, _ = found[int(np.argmax(windows))]
                middle = back @ (left + length / 2, top + length / 2, 1) / scale
                better = (float(middle[0]), float(middle[1]), length / CLOSE_SIDE * box[2])
            counts.append(count)
        # The mean of the angles, weighed so that the best ones count most.
        weights = np.square(counts, dtype=np.float64)
        level = about + float(weights @ np.array(TILTS)) / max(float(weights.sum()), 1.0)
        return better, level, int(max(counts))


def _turned(
    grey: NDArray[Any], middle: tuple[float, float], angle: float, scale: float, size: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A picture of `size` (width, height) around `middle`, turned by `angle` degrees against the clock and scaled; and
    the (2, 3) map from its points back to those of `grey`."""
    there: NDArray[Any] = cv2.getRotationMatrix2D(middle, angle, scale)
    there[:, 2] += np.array(size) / 2 - middle
    return cv2.warpAffine(grey, there, size), cv2.invertAffineTransform(there)


def _region(box: Box, tilt: float, windows: int) -> FacialAreaRegion:
    """The face as DeepFace wants it. It turns the face until its eyes are level, so they are placed at that angle."""
    x, y, side = box
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))

    def eye(across: float) -> tuple[int, int]:
        right, down = across * side, -EYE_UP * side
        return round(x + cos * right - sin * down), round(y + sin * right + cos * down)

    left, top, length = round(x - side / 2), round(y - side / 2), round(side)
    return FacialAreaRegion(left, top, length, length, eye(EYE_APART), eye(-EYE_APART), confidence=float(windows))
