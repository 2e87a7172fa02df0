"""Finding faces in real photographs, through DeepFace's own pipeline."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageOps

import emotion
from emotion.face import find_faces
from emotion.picture import RGB, decode
from tests.emotion_pictures import astronaut, encoded, hopper, two_faces, webcam

ASTRONAUT = (175, 64, 97, 97)
HOPPER = (147, 99, 236, 236)
NO_FACES = (skimage.data.coffee, skimage.data.chelsea, skimage.data.brick, skimage.data.rocket, skimage.data.moon)


def overlap(box: tuple[int, int, int, int], face: emotion.Face) -> float:
    """Intersection over union."""
    x, y, w, h = box
    across = min(x + w, face.x + face.width) - max(x, face.x)
    down = min(y + h, face.y + face.height) - max(y, face.y)
    shared = max(across, 0) * max(down, 0)
    return shared / (w * h + face.width * face.height - shared)


def test_boxes_are_in_pixels_of_the_upright_picture() -> None:
    faces = emotion.read(encoded(astronaut())).faces
    assert len(faces) == 1
    assert overlap(ASTRONAUT, faces[0]) > 0.8
    large = emotion.read(encoded(astronaut().resize((3000, 3000)))).faces
    assert overlap(tuple(round(value * 3000 / 512) for value in ASTRONAUT), large[0]) > 0.8  # type: ignore[arg-type]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = emotion.read(encoded(astronaut().transpose(Image.Transpose.ROTATE_90), exif=exif)).faces
    assert overlap(ASTRONAUT, turned[0]) > 0.8


def test_most_certain_first_and_another_can_be_chosen() -> None:
    data = encoded(two_faces())
    first, second = emotion.read(data), emotion.read(data, face=1)
    assert len(first.faces) == 2
    assert first.faces == second.faces
    assert first.faces[0].score >= first.faces[1].score
    # Whichever comes first, the smile is read from the astronaut and the rest from Hopper.
    for reading in (first, second):
        smiles = overlap(ASTRONAUT, reading.faces[reading.face]) > 0.6
        assert smiles != (overlap((512 + HOPPER[0], *HOPPER[1:]), reading.faces[reading.face]) > 0.6)
        assert max(reading.expressions, key=reading.expressions.__getitem__) == ("happy" if smiles else "neutral")
    with pytest.raises(emotion.NoFaceError, match="shows 2"):
        emotion.read(data, face=2)
    with pytest.raises(emotion.NoFaceError):
        emotion.read(data, face=-1)


def test_the_most_certain_is_not_the_largest() -> None:
    # Hopper, small beside the astronaut's picture blown up and blurred until hardly a face.
    blurred = astronaut().resize((40, 40)).resize((1000, 1000))
    blurred.paste(hopper().resize((300, 352)), (0, 640))
    faces = find_faces(np.asarray(blurred))
    assert faces[0][0].y > 600


def test_mirrored_webcam_reads_the_same() -> None:
    plain, mirrored = emotion.read(encoded(webcam())), emotion.read(encoded(ImageOps.mirror(webcam())))
    assert plain.mood == mirrored.mood
    distance = sum(abs(plain.expressions[name] - mirrored.expressions[name]) for name in plain.expressions)
    assert distance < 0.1


def test_grey_and_small_pictures() -> None:
    for image in (webcam().convert("L"), astronaut().resize((256, 256)), hopper().convert("CMYK").resize((200, 234))):
        assert len(emotion.read(encoded(image)).faces) == 1


@pytest.mark.parametrize("angle", [-30, -20, -10, 10, 20, 30])
@pytest.mark.parametrize(("image", "expression"), [(astronaut, "happy"), (hopper, "neutral")])
def test_tilted_heads_are_found_and_turned_level(image: Callable[[], Image.Image], expression: str, angle: int) -> None:
    tilted = image().rotate(angle, resample=Image.Resampling.BICUBIC, fillcolor="gray")
    expressions = emotion.read(encoded(tilted)).expressions
    assert expressions[expression] > 0.4

    def shades(crop: RGB) -> NDArray[np.float64]:
        return np.asarray(Image.fromarray(crop).convert("L").resize((48, 48)), np.float64).ravel()

    # The crop looks like that of the level picture, more than if it had been cut out without turning it.
    (_, level_crop), (found, crop) = find_faces(np.asarray(image()))[0], find_faces(np.asarray(tilted))[0]
    box = (found.x, found.y, found.x + found.width, found.y + found.height)
    unturned = np.asarray(tilted.crop(box))
    alike, unlike = (np.corrcoef(shades(level_crop), shades(other))[0, 1] for other in (crop, unturned))
    assert alike > max(unlike, 0.6)


@pytest.mark.parametrize("picture", NO_FACES)
def test_no_face_is_said_with_advice(picture: object) -> None:
    data = encoded(Image.fromarray(picture()).convert("RGB"))  # type: ignore[operator]
    with pytest.raises(emotion.NoFaceError) as caught:
        emotion.read(data)
    for word in ("light", "closer", "straight", "pick a mood"):
        assert word in str(caught.value)


def test_outline_draws_the_boxes_on_the_upright_picture() -> None:
    data = encoded(two_faces())
    reading = emotion.read(data, face=1)
    drawn, plain = decode(emotion.outline(data, reading)).pixels.astype(int), decode(data).pixels.astype(int)
    assert drawn.shape == plain.shape
    changed = np.abs(drawn - plain).max(axis=2) > 60
    for face in reading.faces:
        inside = changed[face.y + 20 : face.y + face.height - 20, face.x + 20 : face.x + face.width - 20]
        edge = changed[face.y + 1, face.x + 5 : face.x + face.width - 5]
        assert edge.mean() > 0.8
        assert inside[len(inside) // 2 :].mean() < 0.05  # a face stays visible
    chosen, other = (reading.faces[i] for i in (1, 0))
    assert drawn[chosen.y + 1, chosen.x + 30].tolist() != drawn[other.y + 1, other.x + 30].tolist()
