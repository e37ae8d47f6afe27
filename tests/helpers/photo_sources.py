"""Photos of every type that a caller may pass, with what they become or why they are refused.

Paths are relative to a folder that `write_photo_files` filled.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from onelook.data.image_input import ImageSource

RGB = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
GRAY = RGB[..., 0]


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def gray_as_rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[:, :, None], 3, axis=2)


def over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weight = alpha[:, :, None] / 255
    return weight * rgb + (1 - weight) * 255


ALPHA = RGB[..., 1]
HUGE_HEADER = b"P5 8193 8192 255\n"
CMYK = np.dstack([255 - RGB, np.zeros_like(GRAY)])
# name: source, expected image, tolerance in gray levels
CONVERTED: dict[str, tuple[ImageSource, np.ndarray, float]] = {
    "str": ("photo.png", RGB, 0),
    "Path": (Path("photo.png"), RGB, 0),
    "bytes": (png(RGB), RGB, 0),
    "bytearray": (bytearray(png(RGB)), RGB, 0),
    "memoryview": (memoryview(png(RGB)), RGB, 0),
    "PIL 1": (Image.fromarray(GRAY > 127), gray_as_rgb(np.uint8(255) * (GRAY > 127)), 0),
    "PIL L": (Image.fromarray(GRAY), gray_as_rgb(GRAY), 0),
    "PIL LA": (Image.fromarray(np.dstack([GRAY, ALPHA])), over_white(gray_as_rgb(GRAY), ALPHA), 1),
    "PIL P": (Image.fromarray(GRAY).convert("P"), gray_as_rgb(GRAY), 0),
    "PIL RGB": (Image.fromarray(RGB), RGB, 0),
    "PIL RGBA": (Image.fromarray(np.dstack([RGB, ALPHA])), over_white(RGB, ALPHA), 1),
    "PIL CMYK": (Image.fromarray(CMYK, "CMYK"), RGB, 1),
    "PIL I;16": (Image.fromarray(GRAY.astype(np.uint16) * 257), gray_as_rgb(GRAY), 0),
    "PIL I": (Image.fromarray(GRAY.astype(np.int32) * 257), gray_as_rgb(GRAY), 0),
    "gray": (GRAY, gray_as_rgb(GRAY), 0),
    "one channel": (GRAY[:, :, None], gray_as_rgb(GRAY), 0),
    "gray with alpha": (np.dstack([GRAY, ALPHA]), over_white(gray_as_rgb(GRAY), ALPHA), 1),
    "rgb": (RGB, RGB, 0),
    "rgba": (np.dstack([RGB, ALPHA]), over_white(RGB, ALPHA), 1),
    "bool": (GRAY > 127, gray_as_rgb(np.uint8(255) * (GRAY > 127)), 0),
    "uint16": (RGB.astype(np.uint16) * 257, RGB, 0),
    "big-endian uint16": (RGB.astype(">u2") * 257, RGB, 0),
    "strided": (RGB[::-1, ::2], RGB[::-1, ::2], 0),
    "fortran": (np.asfortranarray(RGB), RGB, 0),
    "one pixel": (RGB[:1, :1], RGB[:1, :1], 0),
}


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"a.png"


REFUSED: dict[str, tuple[object, str]] = {
    **{
        dtype: ((RGB / 255).astype(dtype), f"array of {np.dtype(dtype)}: not uint8; scale it to 0..255")
        for dtype in ("float16", "float32", "float64", "longdouble")
    },
    **{
        dtype: (RGB.astype(dtype), f"array of {dtype}: not uint8; convert values of 0 to 255")
        for dtype in ("int8", "int16", "int32", "int64", "uint32", "uint64", "complex64", "complex128", "object")
    },
    "text": (np.array([["a"]]), "array of <U1"),
    "dates": (np.zeros((8, 8), "datetime64[s]"), r"array of datetime64\[s\]"),
    "records": (np.zeros((8, 8), [("red", np.uint8)]), "array of .*red.*: not uint8"),
    "no dimension": (np.zeros((), np.uint8), r"array of shape \(\): empty"),
    "row": (RGB[0, 0], r"shape \(3,\): not an image"),
    "batch": (RGB[None], r"several images; pass them one by one"),
    "five dimensions": (RGB[None, None], "not an image"),
    "channels first": (RGB.transpose(2, 0, 1), "channels come last"),
    "five channels": (np.zeros((8, 8, 5), np.uint8), "not an image"),
    "no rows": (np.zeros((0, 4, 3), np.uint8), "empty"),
    "no columns": (np.zeros((4, 0), np.uint8), "empty"),
    "no channels": (np.zeros((4, 4, 0), np.uint8), "empty"),
    "huge": (np.broadcast_to(np.uint8(0), (8193, 8192, 3)), "megapixels, more than 64; scale it down"),
    "PIL F": (Image.fromarray(GRAY.astype(np.float32)), "image of Pillow: floating-point"),
    "PIL La": (Image.new("La", (4, 4)), "mode La has no RGB equivalent"),
    "PIL huge": (Image.new("1", (8193, 8192)), "megapixels"),
    "PIL without pixels": (Image.new("RGB", (0, 4)), "0x4 pixels"),
    "PIL truncated": (Image.open(io.BytesIO(png(RGB)[:-200])), "truncated"),
    "no bytes": (b"", "bytes: empty"),
    "huge bytes": (HUGE_HEADER, "bytes: 8193x8192 is 64 megapixels, more than 64; scale it down"),
    "text as bytes": (b"no photo", "bytes: not a photo"),
    "str of no file": ("none.jpg", "none.jpg: no such photo"),
    "Path of no file": (Path("none.jpg"), "none.jpg: no such photo"),
    "empty file": ("empty.png", r"empty.png: empty \(0 bytes\)"),
    "huge file": (Path("huge.pgm"), "huge.pgm: 8193x8192 is 64 megapixels"),
    "address": ("https://example.org/a.jpg", "an address, and onelook downloads nothing"),
    "null character": ("a\0b.jpg", r"a\\x00b.jpg': no such photo"),
    "folder": (".", "a folder"),
    "path of bytes": (BytesPath(), "not a path of text"),
    "None": (None, "NoneType: not a photo; pass a path"),
    "list": (RGB.tolist(), "list: not a photo"),
    "stream": (io.BytesIO(png(RGB)), "BytesIO: not a photo"),
}


def write_photo_files(folder: Path) -> None:
    """Write the files that the paths above name."""
    for name, content in (("photo.png", png(RGB)), ("empty.png", b""), ("huge.pgm", HUGE_HEADER)):
        (folder / name).write_bytes(content)
