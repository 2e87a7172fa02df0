"""Bytes to pixels: every kind of picture that visitors send, and the limits."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emotion import PictureError, picture
from emotion.picture import decode
from tests.emotion_pictures import DATA, astronaut, encoded


def marked(width: int = 60, height: int = 40) -> Image.Image:
    """Blue, with a red corner at the top left and a green one at the top right."""
    image = Image.new("RGB", (width, height), "blue")
    image.paste("red", (0, 0, width // 2, height // 2))
    image.paste("lime", (width // 2, 0, width, height // 2))
    return image


def corners(pixels: picture.RGB) -> list[str]:
    """The strongest colour at the top left, top right, bottom left and bottom right."""
    y, x = pixels.shape[0] // 4, pixels.shape[1] // 4
    return ["RGB"[int(pixels[v, h].argmax())] for v in (y, -y) for h in (x, -x)]


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [(1, None), (2, "FLIP_LEFT_RIGHT"), (3, "ROTATE_180"), (4, "FLIP_TOP_BOTTOM"), (5, "TRANSPOSE"),
     (6, "ROTATE_90"), (7, "TRANSVERSE"), (8, "ROTATE_270")],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_undone(orientation: int, stored: str | None, kind: str) -> None:
    image = marked() if stored is None else marked().transpose(Image.Transpose[stored])
    exif = Image.Exif()
    exif[picture.EXIF_ORIENTATION] = orientation
    result = decode(encoded(image, kind, exif=exif))
    assert (result.width, result.height) == (60, 40)
    assert result.pixels.shape == (40, 60, 3)
    assert corners(result.pixels) == ["R", "G", "B", "B"]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "1"),
     ("WEBP", "RGBA"), ("GIF", "P"), ("BMP", "RGB"), ("AVIF", "RGB")],
)  # fmt: skip
def test_kinds_and_modes(kind: str, mode: str) -> None:
    image = astronaut().convert(mode)
    pixels = decode(encoded(image, kind)).pixels
    assert pixels.shape == (512, 512, 3)
    assert pixels.dtype == np.uint8
    # The same picture up to colour, palette and compression: of 255 shades, fewer than 20 apart on the mean.
    expected = np.asarray(image.convert("RGB"), float)
    assert np.abs(pixels.astype(float) - expected).mean() < 20


def test_heic_of_phones() -> None:
    result = decode((DATA / "astronaut.heic").read_bytes())
    assert np.abs(result.pixels.astype(float) - np.asarray(astronaut())[:256, 96:352]).mean() < 6


def test_sixteen_bits_keep_their_shades() -> None:
    grey = np.tile(np.linspace(0, 65535, 100).astype(np.uint16), (100, 1))
    pixels = decode(encoded(Image.fromarray(grey), "PNG")).pixels
    assert np.abs(pixels[0, :, 0] - np.linspace(0, 255, 100)).max() <= 1


def test_transparent_becomes_white() -> None:
    assert decode(encoded(Image.new("RGBA", (50, 50), (9, 9, 9, 0)), "PNG")).pixels.min() == 255
    palette = Image.new("P", (50, 50), 0)
    assert decode(encoded(palette, "PNG", transparency=0)).pixels.min() == 255


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "lime")]
    pixels = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:])).pixels
    assert corners(pixels) == ["R", "R", "R", "R"]


@pytest.mark.parametrize(("kind", "size"), [("JPEG", (8000, 6000)), ("PNG", (4000, 3000)), ("WEBP", (3000, 4000))])
def test_large_pictures_are_scaled_down(kind: str, size: tuple[int, int]) -> None:
    result = decode(encoded(marked(*size), kind))
    assert (result.width, result.height) == size
    assert max(result.pixels.shape) == picture.WORK_SIDE
    assert corners(result.pixels) == ["R", "G", "B", "B"]
    assert result.pixels.shape[1] / result.pixels.shape[0] == pytest.approx(size[0] / size[1], rel=0.01)


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG that declares this size and holds these compressed rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"hello", "not a picture"),
        (b"%PDF-1.7 and so on", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (png(8000, 8000), "64 million"),
        (png(60_000, 60_000), "50 million"),  # would take 10 GB
        (png(2**31 - 1, 2**31 - 1), "Please send"),
        (png(100_000, 400), "too narrow"),
        (png(10, 10), "too small"),
        (png(100, 100), "not a picture"),  # no rows
        (png(0, 100), "Please send"),
        (encoded(marked(), "GIF")[:6] + b"\xff" * 4 + encoded(marked(), "GIF")[10:], "50 million"),
        (bytes(picture.MAX_BYTES + 1), "MB"),
    ],
)
def test_refused_with_a_reason(data: bytes, said: str) -> None:
    with pytest.raises(PictureError, match=said) as caught:
        decode(data)
    assert "Please send" in str(caught.value)


def test_text_bomb_in_a_png_is_refused() -> None:
    # A compressed comment of 200 MB in 200 kB.
    plain = encoded(marked(), "PNG")
    text = b"Comment\0\0" + zlib.compress(bytes(200 * 2**20), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    try:
        result: Any = decode(plain[:33] + chunk + plain[33:])
    except PictureError:
        return
    assert result.pixels.shape == (40, 60, 3)
