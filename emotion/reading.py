"""Reads a picture: the face, its expressions, and the moods to compose for."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Literal

from .errors import NoFaceError
from .face import Face, find_faces
from .mood import among_moods, moods_at, place
from .picture import Picture, decode
from .recognizer import EXPRESSIONS, load_recogniser

# Design: shares of the likeliest expression. Plain faces get .74 on average, and nearly all are read right
# (docs/emotion-model-card.md).
SURE, PARTLY_SURE = 0.7, 0.4


@dataclass(frozen=True)
class Reading:
    """What was read from a picture.

    faces: every face found, the most certain first; boxes in pixels of the upright picture
    face: which of them was read, from 0
    width, height: of the upright picture, in pixels
    expressions: probability of each of seven expressions, summing to 1
    valence, arousal: where these expressions lie, -1..1 each (Russell and Mehrabian 1977)
    moods: probability of each of the nine moods, summing to 1
    recogniser: which one read the face, "embedded" or "deepface"
    """

    faces: tuple[Face, ...]
    face: int
    width: int
    height: int
    expressions: dict[str, float]
    valence: float
    arousal: float
    moods: dict[str, float]
    recogniser: str

    @property
    def mood(self) -> str:
        """The strongest mood."""
        return max(self.moods, key=self.moods.__getitem__)

    @property
    def ranked(self) -> list[str]:
        """The seven expressions, the likeliest first."""
        return sorted(self.expressions, key=self.expressions.__getitem__, reverse=True)

    @property
    def sure(self) -> Literal["yes", "partly", "no"]:
        """How sure the likeliest expression is."""
        share = self.expressions[self.ranked[0]]
        return "yes" if share >= SURE else "partly" if share >= PARTLY_SURE else "no"


def read(picture: bytes, face: int = 0, recogniser: str = "embedded") -> Reading:
    """Read the expressions of a face and the moods that go with them.

    picture: a photo's bytes (JPEG, PNG, WebP, GIF, BMP, AVIF or HEIC), at most 50 million pixels
    face: which one, counted from the most certain, 0
    recogniser: "embedded" or "deepface"

    Raises PictureError if it is no picture or outside the limits, NoFaceError if it shows no face or none of that
    number, RecogniserError if the recogniser cannot run; all are EmotionErrors with a message for the visitor.
    """
    model = load_recogniser(recogniser)
    decoded = decode(picture)
    found = find_faces(decoded.pixels)
    if not 0 <= face < len(found):
        raise NoFaceError(f"There is no face number {face + 1} in the picture; it shows {len(found)}.")
    probabilities = model.expressions(found[face][1])
    expressions = dict(zip(EXPRESSIONS, probabilities.tolist(), strict=True))
    valence, arousal = point = place(expressions)
    return Reading(
        faces=tuple(_enlarge(each, decoded) for each, _ in found),
        face=face,
        width=decoded.width,
        height=decoded.height,
        expressions=expressions,
        valence=valence,
        arousal=arousal,
        moods=moods_at(among_moods(point)),
        recogniser=model.name,
    )


def outline(picture: bytes, reading: Reading) -> bytes:
    """The picture, upright and scaled down, as a PNG with a box around each face: bright and thick around the one read.

    Boxes are numbered from 1, the most certain. Raises PictureError as `read` does.
    """
    from PIL import Image, ImageDraw, ImageFont

    decoded = decode(picture)
    scale = decoded.pixels.shape[1] / reading.width
    image = Image.fromarray(decoded.pixels)
    draw = ImageDraw.Draw(image)
    for number, face in enumerate(reading.faces):
        chosen = number == reading.face
        left, top = face.x * scale, face.y * scale
        box = (left, top, left + face.width * scale, top + face.height * scale)
        colour = "#ffd54a" if chosen else "#e0e0e0"
        width = max(2, round(max(image.size) / (160 if chosen else 400)))
        draw.rectangle(box, outline=colour, width=width)
        if len(reading.faces) > 1:
            size = max(14, round(face.width * scale / 5))
            draw.text((left + width + 2, top + width), str(number + 1), colour, ImageFont.load_default(size),
                      stroke_width=2, stroke_fill="black")  # fmt: skip
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _enlarge(face: Face, picture: Picture) -> Face:
    """A face's box in pixels of the picture before it was scaled down."""
    scale = picture.width / picture.pixels.shape[1]
    x, y, width, height = (round(value * scale) for value in (face.x, face.y, face.width, face.height))
    return replace(face, x=x, y=y, width=width, height=height)
