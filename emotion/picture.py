"""Bytes to pixels, for pictures that anyone may send.

Every limit on what is accepted stands here. Nothing is written or logged: a picture lives in memory only.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import PictureError

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 24  # pixels; the face detector's window
MAX_RATIO = 20  # long side to short side
# A face needs about 100 pixels; a picture whose longer side has 1280 shows ten of them side by side.
WORK_SIDE = 1280
# Pillow has many more readers; what visitors do not have is not opened at all.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIF")

EXIF_ORIENTATION = 0x0112
_T = Image.Transpose
# How to undo each orientation that EXIF knows (CIPA DC-008, tag 274); 1 is upright.
TURNS = {2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE, 6: _T.ROTATE_270,
         7: _T.TRANSVERSE, 8: _T.ROTATE_90}  # fmt: skip
QUARTER_TURNS = (_T.TRANSPOSE, _T.ROTATE_270, _T.TRANSVERSE, _T.ROTATE_90)

RGB = NDArray[np.uint8]


class Picture(NamedTuple):
    """pixels: (height, width, 3) uint8 RGB, upright, longer side at most WORK_SIDE
    width, height: of the upright picture before it was scaled down, in pixels"""

    pixels: RGB
    width: int
    height: int


def decode(data: bytes) -> Picture:
    """The picture in `data`: turned upright by its EXIF mark, its first frame, as RGB of 8 bits, scaled down.

    Transparent parts become white. Raises PictureError if it is no picture or outside the limits above.
    """
    if not data:
        raise PictureError("The file is empty. Please send a photo as JPEG, PNG, WebP or HEIC.")
    if len(data) > MAX_BYTES:
        raise PictureError(f"The file has {len(data) / 2**20:.0f} MB; at most {MAX_BYTES // 2**20} MB can be read. "
                           "Please send a smaller picture.")  # fmt: skip
    _register_heif()
    try:
        # A context manager, so that a picture's decoder is freed at once.
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            _check_size(width, height)
            turn = TURNS.get(image.getexif().get(EXIF_ORIENTATION, 1))
            # A JPEG can be decoded at a fraction of its size: quick, and little memory.
            image.draft("RGB", (WORK_SIDE, WORK_SIDE))
            upright = _opaque(_shrink(_eight_bit(image)))
            if turn is not None:
                upright = upright.transpose(turn)
            pixels = np.array(upright, np.uint8)
    except PictureError:
        raise
    except Image.DecompressionBombError as err:  # Pillow's own limit comes first where it is far exceeded
        raise PictureError(f"The picture has far more than the {MAX_PIXELS // 10**6} million pixels that can be read. "
                           "Please send a smaller one.") from err  # fmt: skip
    except Exception as err:  # a damaged file can make a decoder fail in any way
        raise PictureError("This is not a picture that can be read: it is damaged or of an unknown type. "
                           "Please send a photo as JPEG, PNG, WebP or HEIC.") from err  # fmt: skip
    if turn in QUARTER_TURNS:
        width, height = height, width
    return Picture(pixels, width, height)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(f"The picture has {width} x {height} pixels, {width * height / 1e6:.0f} million; at most "
                           f"{MAX_PIXELS // 10**6} million can be read. Please send a smaller one.")  # fmt: skip
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_RATIO * min(width, height):
        raise PictureError(f"The picture has {width} x {height} pixels: too small or too narrow to show a face. "
                           f"Please send one of at least {MIN_SIDE} pixels a side.")  # fmt: skip


def _register_heif() -> None:
    import pi_heif  # type: ignore[import-untyped]

    pi_heif.register_heif_opener(thumbnails=False)


def _eight_bit(image: Image.Image) -> Image.Image:
    """A mode that can be scaled down and made RGB without loss; Pillow itself would cut 16-bit greys off at 255."""
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        return Image.fromarray((grey if grey.max() <= 255 else grey // 257).astype(np.uint8))
    # Palettes cannot be averaged when scaled, and may hide transparency.
    if image.mode in ("P", "PA", "1"):
        return image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    return image


def _shrink(image: Image.Image) -> Image.Image:
    if max(image.size) > WORK_SIDE:
        image.thumbnail((WORK_SIDE, WORK_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return image


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "La", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
